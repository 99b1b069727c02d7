"""The gate: whether a candidate may be heard in its base's place. Figures of both, and what is wrong, in words.

Knows no training. A candidate must predict votes of people it never learned from, and must not have lost what the
base can do: its language, its variety, its form, its own words.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch

from poetgen.checkpoint import Model
from poetgen.metrics import distinct_pairs
from poetgen.poem import PoemRequest
from poetgen.poet import Poet
from poetgen.seeds import FIRST_SEEDS
from poetgen.training.ratings import RatedPoem, Ratings, Weights

_RESAMPLES = 500
_CONFIDENCE = 2.5  # per cent
# Chance is one half, but who agrees with others weighs more, and so the votes that are kept for the test agree a little
# with those that are learned from, even if all are noise: .55 on average. The interval's lower end is then .45, with a
# spread of .06; if 300 votes follow a taste it is .57 at the least, .73 on average (docs/experiments.md).
_LEAST_PREDICTED = 0.56
_LEAST_VARIETY = 0.98  # of the base's
_MOST_COPIED = 0.029  # the share of lines that people's poems have in common with others, were they not split by them

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "chance": "The votes it never saw are predicted no better than by chance: too few, or too unlike.",
        "no_better": "The voice so far predicts the votes as well.",
        "language": "It lost more of the base's language than it may.",
        "variety": "Its poems are less various than the base's.",
        "copied": "It writes lines that stand in the classics more often than people do.",
        "rules": "Its poems break form, rhyme or tone.",
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate found; passed if there are no reasons against.

    Attributes:
        reasons: Why it may not be heard, keys of `REASONS`.
        too_strong: Whether all of them would be fewer if it changed less: the votes are predicted well enough.
        before: Figures of the base.
        after: The same of the candidate.
    """

    reasons: tuple[str, ...]
    too_strong: bool
    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def passed(self) -> bool:
        return not self.reasons


def vote_auc(scores: npt.NDArray[np.float64], up: Weights, down: Weights) -> float:
    """The chance that a liked poem scores above a disliked one, both by votes of one fold; 0.5 if nothing is known.

    Args:
        scores: [P, K] of each poem, as whoever never saw fold k scores it.
        up: [P, K] what the likes weigh.
        down: [P, K] what the dislikes weigh.
    """
    won = pairs = 0.0
    for fold in range(up.shape[1]):
        own, liked, disliked = scores[:, fold], up[:, fold], down[:, fold]
        order = np.argsort(own, kind="stable")
        values, starts = np.unique(own[order], return_index=True)
        likes = np.add.reduceat(liked[order], starts)
        dislikes = np.add.reduceat(disliked[order], starts)
        below = np.concatenate([[0.0], np.cumsum(dislikes)[:-1]])
        won += float((likes * (below + dislikes / 2)).sum())
        pairs += float(liked.sum() * disliked.sum())
        assert len(values) == len(likes)
    return won / pairs if pairs else 0.5


def judge(
    base: Model,
    candidate: Model,
    ratings: Ratings,
    held_out: npt.NDArray[np.float64],
    *,
    lost: float,
    most_lost: float,
    poems: int,
    seed: int,
    progress: Callable[[float], None] = lambda share: None,
) -> Verdict:
    """Compare a candidate with its base.

    Args:
        base: Heard now.
        candidate: The other.
        ratings: P rated poems.
        held_out: [P, K] each poem's score by a discriminator that never saw the voters of fold k.
        lost: KL to the base as a share of its nats.
        most_lost: How much of it is allowed.
        poems: How many to draw from each.
        seed: Of these, and of the bootstrap.
        progress: Told the share that is done.
    """
    before: dict[str, float] = {"votes predicted": vote_auc(_of_base(base, ratings), ratings.up, ratings.down)}
    after: dict[str, float] = {"votes predicted": vote_auc(held_out, ratings.up, ratings.down)}
    after["votes predicted, at least"] = _lower_bound(held_out, ratings, seed)
    progress(0.1)
    before |= _samples(base, ratings, poems, seed)
    progress(0.55)
    after |= _samples(candidate, ratings, poems, seed)
    before["language lost"], after["language lost"] = 0.0, lost
    progress(1.0)
    reasons = []
    if after["votes predicted, at least"] <= _LEAST_PREDICTED:
        reasons.append("chance")
    if after["votes predicted"] <= before["votes predicted"]:
        reasons.append("no_better")
    too_strong = not reasons
    if lost > most_lost * 1.05:
        reasons.append("language")
    if after["distinct pairs"] < _LEAST_VARIETY * before["distinct pairs"]:
        reasons.append("variety")
    if after["copied lines"] > max(_MOST_COPIED, before["copied lines"]):
        reasons.append("copied")
    if after["regulated"] < before["regulated"]:
        reasons.append("rules")
    return Verdict(
        tuple(reasons),
        too_strong,
        {name: round(value, 4) for name, value in before.items()},
        {name: round(value, 4) for name, value in after.items()},
    )


@torch.no_grad()
def _of_base(base: Model, ratings: Ratings) -> npt.NDArray[np.float64]:
    """[P, K] the base discriminator's logits, the same for each fold."""

    def logit(poem: RatedPoem) -> float:
        known = "".join(char for char in poem.theme if char in base.vocabulary)
        ids = torch.tensor([base.vocabulary.encode("".join(poem.lines))])
        return float(base.discriminator(ids, poem.form, torch.tensor([base.vocabulary.encode(known) or [0]])))

    scores = np.array([logit(poem) for poem in ratings.poems])
    return np.repeat(scores[:, None], ratings.up.shape[1], axis=1)


def _lower_bound(held_out: npt.NDArray[np.float64], ratings: Ratings, seed: int) -> float:
    """The lower end of the interval in which `vote_auc` lies, by resampling poems."""
    rng = np.random.default_rng([seed, 3])
    count = len(ratings.poems)
    found = []
    for _ in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)[:, None]
        found.append(vote_auc(held_out, ratings.up * times, ratings.down * times))
    return float(np.percentile(found, _CONFIDENCE))


def _samples(model: Model, ratings: Ratings, poems: int, seed: int) -> dict[str, float]:
    """Of poems in the forms that were rated, each drawn once, by the same seeds for every model."""
    rng = np.random.default_rng([seed, 4])
    forms = [ratings.poems[int(number)].form for number in rng.integers(0, len(ratings.poems), poems)]
    seeds = rng.integers(0, FIRST_SEEDS, poems).tolist()
    written = Poet("", model).compose([PoemRequest(form, seed=own) for form, own in zip(forms, seeds, strict=True)])
    lines = [held for item in written for held in item.in_classics]
    return {
        "distinct pairs": distinct_pairs([item.poem.lines for item in written]),
        "copied lines": sum(lines) / max(1, len(lines)),
        "regulated": sum(not item.problems for item in written) / max(1, poems),
    }
