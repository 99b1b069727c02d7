"""What a sample of poems is worth, in figures. Pure functions; knows no model and no corpus."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Chance that a positive scores above a negative, ties counting half: 0 to 1, 0.5 for no difference.

    Raises:
        ValueError: One side is empty.
    """
    if not positive or not negative:
        raise ValueError("auc needs scores on both sides")
    scores = np.array([*positive, *negative], np.float64)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[inverse]
    wins = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(wins / (len(positive) * len(negative)))


def distinct_pairs(poems: Sequence[Sequence[str]]) -> float:
    """Share of the pairs of neighbouring characters within lines that occur once only as a kind: 0 to 1.

    Kinds of pairs over pairs in all (distinct-2, Li et al. 2016); comparable only between samples of one size.
    """
    pairs = [line[place : place + 2] for poem in poems for line in poem for place in range(len(line) - 1)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


class NgramModel:
    """Interpolated Kneser-Ney over the characters of whole poems: the yardstick beside the LSTM.

    Args:
        poems: Arrays of ids, [P, T] each, in any mixture of lengths.
        order: 1, 2 or 3.
        num_chars: Ids are below this.
    """

    _DISCOUNT = 0.75

    def __init__(self, poems: Sequence[npt.NDArray[np.int32]], order: int, num_chars: int) -> None:
        self._order = order
        self._size = num_chars + 1  # one more for the place before the poem
        codes, counts = np.unique(np.concatenate([self._codes(block, order) for block in poems]), return_counts=True)
        self._levels: list[_Level] = []
        for size in range(order, 0, -1):
            self._levels.insert(0, _Level(codes, counts.astype(np.float64), self._size))
            # Lower orders count kinds of what stands before, not tokens (Kneser and Ney 1995).
            codes, counts = np.unique(codes % self._size ** (size - 1), return_counts=True)

    def _codes(self, poems: npt.NDArray[np.int32], order: int) -> npt.NDArray[np.int64]:
        """The n-grams of each place, as numbers in base `_size`, the last character lowest."""
        padded = np.pad(poems.astype(np.int64), ((0, 0), (order - 1, 0)), constant_values=self._size - 1)
        codes = np.zeros(poems.shape, np.int64)
        for place in range(order):
            codes = codes * self._size + padded[:, place : place + poems.shape[1]]
        return codes.ravel()

    def log_probs(self, poems: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """[P, T] log p of each character given those before it, nats."""
        codes = self._codes(poems, self._order)
        probability = np.full(len(codes), 1 / (self._size - 1))
        for size, level in enumerate(self._levels, start=1):
            probability = level.interpolate(codes % self._size**size, probability, self._DISCOUNT)
        logs: npt.NDArray[np.float64] = np.log(probability).reshape(poems.shape)
        return logs


class _Level:
    """The n-grams of one order: sorted codes and their counts."""

    def __init__(self, codes: npt.NDArray[np.int64], counts: npt.NDArray[np.float64], size: int) -> None:
        self._codes, self._counts, self._size = codes, counts, size
        self._histories, places = np.unique(codes // size, return_inverse=True)
        self._totals = np.bincount(places, counts)
        self._kinds = np.bincount(places).astype(np.float64)

    def interpolate(
        self, codes: npt.NDArray[np.int64], lower: npt.NDArray[np.float64], discount: float
    ) -> npt.NDArray[np.float64]:
        """P of each n-gram's last character, given p of the order below."""
        place = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        count = np.where(self._codes[place] == codes, self._counts[place], 0)
        histories = codes // self._size
        place = np.minimum(np.searchsorted(self._histories, histories), len(self._histories) - 1)
        known = self._histories[place] == histories
        backed = (np.maximum(count - discount, 0) + discount * self._kinds[place] * lower) / self._totals[place]
        return np.where(known, backed, lower)
