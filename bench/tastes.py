"""Hidden tastes of simulated members: what they like in a poem, as a number. Knows no votes and no model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from poetgen.planner import Planner
from poetgen.vocabulary import Vocabulary

_WORDS: Mapping[str, tuple[str, str]] = {
    "wine and moon": ("酒醉杯樽飲酌觴酣壺月蟾桂娥嬋娟", ""),
    "calm, not martial": ("靜閒幽寂禪僧鐘眠臥琴茶鶴", "戰兵戈劍馬胡虜旗鼓將軍弓塞甲"),
    "no sorrow": ("", "愁悲淚恨怨傷哀斷腸泣苦憂"),
    "autumn": ("秋霜雁菊楓葉露寒砧蟬", ""),
}


@dataclass(frozen=True, slots=True)
class Taste:
    """What somebody likes.

    Attributes:
        name: Of the taste.
        named: Whether a person could name it; else it is random weights of characters.
        score: How much a poem's text is liked, on any scale.
    """

    name: str
    named: bool
    score: Callable[[str], float]

    def share_preferred(self, ours: Sequence[str], theirs: Sequence[str]) -> float:
        """The share of pairs of poems in which ours is preferred; ties count half."""
        pairs = [(self.score(own), self.score(other)) for own, other in zip(ours, theirs, strict=True)]
        return sum((own > other) + 0.5 * (own == other) for own, other in pairs) / len(pairs)

    def threshold(self, texts: Sequence[str]) -> float:
        """The score from which a poem is liked: as near to half of these poems as it can be."""
        scores = np.array([self.score(text) for text in texts])
        steps = np.unique(scores)
        return float(steps[np.argmin([abs((scores >= step).mean() - 0.5) for step in steps])])


def tastes(vocabulary: Vocabulary, planner: Planner, seeds: Sequence[int]) -> list[Taste]:
    """The named tastes (themes, plain characters, rare ones), and a linear one for each of `seeds`."""
    found = [Taste(name, True, _counting(*words)) for name, words in _WORDS.items()]
    commonness = dict(zip(vocabulary.chars, np.log(planner.char_counts[3:] + 1).tolist(), strict=True))
    found.append(Taste("plain characters", True, _weighing(commonness)))
    found.append(Taste("rare characters", True, _weighing({char: -value for char, value in commonness.items()})))
    for seed in seeds:
        weights = np.random.default_rng([1, seed]).standard_normal(len(vocabulary.chars)).tolist()
        found.append(Taste(f"linear {seed}", False, _weighing(dict(zip(vocabulary.chars, weights, strict=True)))))
    return found


def _counting(liked: str, disliked: str) -> Callable[[str], float]:
    return lambda text: sum(char in liked for char in text) - sum(char in disliked for char in text)


def _weighing(weights: Mapping[str, float]) -> Callable[[str], float]:
    return lambda text: sum(weights.get(char, 0.0) for char in text) / len(text)
