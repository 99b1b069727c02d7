"""The gate: whether a candidate may be heard in its base's place. Figures of both, and what is wrong, in words.

Knows no training. A candidate must predict votes of people it never learned from, and must not have lost what the
base can do: its language, its variety, its form, its own words.
"""

from collections.abc import Mapping
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
from poetgen.vocabulary import PAD_ID

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
        "no_better": "The poet as it was predicts the votes as well.",
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
        _, starts = np.unique(own[order], return_index=True)
        likes = np.add.reduceat(liked[order], starts)
        dislikes = np.add.reduceat(disliked[order], starts)
        below = np.concatenate([[0.0], np.cumsum(dislikes)[:-1]])
        won += float((likes * (below + dislikes / 2)).sum())
        pairs += float(liked.sum() * disliked.sum())
    return won / pairs if pairs else 0.5


class Gate:
    """Compares candidates with the version that they change.

    Args:
        base: That version, whole. A voice that is in use is no measure: it learned from votes that are kept back here.
        ratings: P rated poems.
        held_out: [P, K] each poem's score by a discriminator that never saw the voters of fold k.
        most_lost: KL to the base, as a share of its nats, that is allowed.
        poems: How many to draw from each.
        seed: Of these, and of the bootstrap.
    """

    def __init__(
        self,
        base: Model,
        ratings: Ratings,
        held_out: npt.NDArray[np.float64],
        *,
        most_lost: float,
        poems: int,
        seed: int,
    ) -> None:
        self._ratings, self._most_lost, self._poems, self._seed = ratings, most_lost, poems, seed
        self._before = {
            "votes predicted": vote_auc(_of_base(base, ratings), ratings.up, ratings.down),
            **_samples(base, ratings, poems, seed),
            "language lost": 0.0,
        }
        self._votes = {
            "votes predicted": vote_auc(held_out, ratings.up, ratings.down),
            "votes predicted, at least": _lower_bound(held_out, ratings, seed),
        }

    def judge(self, candidate: Model, lost: float) -> Verdict:
        """Whether a candidate may be heard.

        Args:
            candidate: One that follows what `held_out` was learned from.
            lost: Its KL to the base as a share of the base's nats.
        """
        before = self._before
        after = {
            **self._votes,
            **_samples(candidate, self._ratings, self._poems, self._seed),
            "language lost": lost,
        }
        reasons = []
        if after["votes predicted, at least"] <= _LEAST_PREDICTED:
            reasons.append("chance")
        if after["votes predicted"] <= before["votes predicted"]:
            reasons.append("no_better")
        too_strong = not reasons
        if lost > self._most_lost:
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
        theme = base.vocabulary.encode(poem.known_theme(base.vocabulary)) or [PAD_ID]
        return float(base.discriminator(torch.tensor([poem.ids(base.vocabulary)]), poem.form, torch.tensor([theme])))

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
