"""Simulated members who vote on poems, honest or not, and the ratings file that comes of it.

The weights are the bot's own (`bot.votes`).
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.tastes import Taste
from bot import votes
from poetgen.poem import Composition

HONEST = "honest"
HOSTILE = "one hostile member"
RING = "a hostile fifth"
NOISE = "noise"
CROWDS = (HONEST, HOSTILE, RING, NOISE)

_MEMBERS = 12
_FLIPPED = 0.15
_HOSTILE_SHARE = 0.3  # of all votes, by one member
_RING = 3  # beside the twelve: a fifth of fifteen


@dataclass(frozen=True, slots=True)
class Ballot:
    """The ratings file, and what is behind it."""

    lines: str
    num_poems: int
    num_votes: int


def vote(served: Sequence[Composition], taste: Taste, count: int, crowd: str, seed: int) -> Ballot:
    """`count` votes on poems as they were served.

    Each poem is seen by three to eight of a dozen members; they like it if their taste does, and 15 % of them err. A
    hostile member votes against the taste of the others on all poems, also on those that nobody else has seen, until
    30 % of the votes are his; a ring of three does so together on most poems. To `NOISE` all poems are the same.

    Args:
        served: The poems, in the order of voting; as many of them as it takes.
        taste: Of the honest members.
        count: Of all votes.
        crowd: One of `CROWDS`.
        seed: Decides who sees what and who errs.

    Raises:
        ValueError: There are too few poems for so many votes.
    """
    rng = np.random.default_rng([2, seed])
    threshold = taste.threshold([item.poem.text for item in served])
    likes = [taste.score(item.poem.text) >= threshold for item in served]
    honest = round(count * (1 - _HOSTILE_SHARE)) if crowd == HOSTILE else count
    cast: list[votes.Vote] = []
    for number in map(int, rng.permutation(len(served))):
        if len(cast) >= honest:
            break
        for voter in map(int, rng.permutation(_MEMBERS)[: int(rng.integers(3, 9))]):
            right = rng.random() >= (0.5 if crowd == NOISE else _FLIPPED)
            cast.append(_vote(number, voter, likes[number] == right, len(cast)))
        if crowd == RING and rng.random() < 0.8:
            cast += [_vote(number, _MEMBERS + one, not likes[number], len(cast) + one) for one in range(_RING)]
    if len(cast) < honest:
        raise ValueError(f"{len(served)} poems are too few for {count} votes")
    if crowd == HOSTILE:
        voted_on = list(dict.fromkeys(item.poem for item in cast))
        unseen = [number for number in range(len(served)) if number not in voted_on]
        for number in [*voted_on, *unseen][: count - honest]:
            cast.append(_vote(number, _MEMBERS, not likes[number], len(cast)))
    return _ballot(served, cast)


def _vote(number: int, voter: int, liked: bool, place: int) -> votes.Vote:
    return votes.Vote(number, voter, 1 if liked else -1, 60.0 * place)


def _ballot(served: Sequence[Composition], cast: Sequence[votes.Vote]) -> Ballot:
    """The file as the bot exports it: only poems with two voters and more."""
    voters: dict[int, set[int]] = defaultdict(set)
    for item in cast:
        voters[item.poem].add(item.voter)
    kept = [item for item in cast if len(voters[item.poem]) > 1]
    folds = votes.folds_of((item.voter for item in kept), b"bench")
    sums: dict[tuple[int, int], dict[int, float]] = defaultdict(lambda: {1: 0.0, -1: 0.0})
    for item, weight in zip(kept, votes.weights(kept), strict=True):
        sums[item.poem, folds[item.voter]][item.value] += weight
    rows = []
    for (number, fold), sum_ in sorted(sums.items()):
        poem = served[number].poem
        assert poem.form is not None
        row = {"form": poem.form.name, "theme": served[number].theme or None, "traditional": list(poem.lines)}
        rows.append(row | {"version": served[number].version, "up": sum_[1], "down": sum_[-1], "fold": fold})
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return Ballot(lines, len({item.poem for item in kept}), len(kept))
