"""What a sample of poems is worth, in figures. Pure functions; knows no model and no corpus."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

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
    """How many kinds of pairs of neighbouring characters there are within lines, as a share of all pairs: 0 to 1.

    That is distinct-2 (Li et al. 2016); comparable only between samples of one size.
    """
    pairs = [line[place : place + 2] for poem in poems for line in poem for place in range(len(line) - 1)]
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def interval(
    statistic: Callable[[npt.NDArray[np.intp]], float], count: int, rng: np.random.Generator, resamples: int = 100
) -> tuple[float, float]:
    """(low, high) of a statistic of `count` poems: a bootstrap interval of 95 %.

    The resamples' spread is laid around the statistic of the poems themselves: a resample holds poems twice over, so
    that figures such as distinct pairs come out too low in all of them alike.

    Args:
        statistic: Of the poems at these places, some of them several times.
        count: How many poems there are.
        rng: Draws the resamples.
        resamples: How many.
    """
    drawn = np.array([statistic(rng.integers(0, count, count)) for _ in range(resamples)])
    middle = statistic(np.arange(count)) - drawn.mean()
    low, high = np.percentile(drawn, [2.5, 97.5]) + middle
    return float(low), float(high)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's: −1 to 1; ties share the mean of their ranks.

    Raises:
        ValueError: A side is constant, or the lengths differ.
    """
    ranks = []
    for values in (first, second):
        _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[inverse])
    if len(ranks[0]) != len(ranks[1]) or any(np.ptp(row) == 0 for row in ranks):
        raise ValueError("rank_correlation needs two rows of one length, neither of them constant")
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def edit_distance(first: Sequence[int], second: Sequence[int]) -> int:
    """Characters to put in, take out or exchange to make one of the other (Levenshtein 1966)."""
    before = list(range(len(second) + 1))
    for row, left in enumerate(first, start=1):
        here = [row]
        for column, right in enumerate(second, start=1):
            here.append(min(before[column] + 1, here[-1] + 1, before[column - 1] + (left != right)))
        before = here
    return before[-1]


def _ngrams(poem: Sequence[str], order: int) -> list[str]:
    return [line[place : place + order] for line in poem for place in range(len(line) - order + 1)]


def ms_jaccard(ours: Sequence[Sequence[str]], theirs: Sequence[Sequence[str]], order: int = 3) -> float:
    """Overlap of the n-grams of two samples as multisets, 0 to 1 (Alihosseini et al. 2019).

    For each n up to `order` the sum of the lesser shares over the sum of the greater; the geometric mean of these.
    Shares are per poem, so that samples of different sizes compare; n-grams do not run over the end of a line.
    """
    overlaps = []
    for size in range(1, order + 1):
        counted = [Counter(gram for poem in side for gram in _ngrams(poem, size)) for side in (ours, theirs)]
        shares = [
            {gram: count / max(1, len(side)) for gram, count in counts.items()}
            for counts, side in zip(counted, (ours, theirs), strict=True)
        ]
        grams = shares[0].keys() | shares[1].keys()
        pairs = [(shares[0].get(gram, 0.0), shares[1].get(gram, 0.0)) for gram in grams]
        overlaps.append(sum(map(min, pairs)) / sum(map(max, pairs)) if pairs else 0.0)
    return math.prod(overlaps) ** (1 / order)


def frechet_distance(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    """Between the normal distributions fitted to two samples of vectors, [A, D] and [B, D] (Heusel et al. 2017)."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    means = ours.mean(axis=0) - theirs.mean(axis=0)
    covariances = [np.atleast_2d(np.cov(side, rowvar=False)) for side in (ours, theirs)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # The trace of the root of a product of two covariances, by a symmetric matrix with the same eigenvalues.
    crossed = np.linalg.eigvalsh(root @ covariances[1] @ root)
    trace = sum(float(np.trace(covariance)) for covariance in covariances)
    return float(means @ means + trace - 2 * np.sqrt(np.maximum(crossed, 0)).sum())


def bleu2(poems: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> float:
    """Mean BLEU-2 of poems, each against all references at once, as papers on poem generation report it: 0 to 1.

    Geometric mean of the clipped precisions of characters and pairs (Papineni et al. 2002); no penalty for brevity,
    for all poems of a form are of one length.
    """
    most: dict[str, int] = {}
    for poem in references:
        for gram, count in Counter([*_ngrams(poem, 1), *_ngrams(poem, 2)]).items():
            most[gram] = max(most.get(gram, 0), count)
    scores = []
    for poem in poems:
        precisions = []
        for order in (1, 2):
            counts = Counter(_ngrams(poem, order))
            precisions.append(sum(min(count, most.get(gram, 0)) for gram, count in counts.items()) / counts.total())
        scores.append(math.sqrt(precisions[0] * precisions[1]))
    return sum(scores) / max(1, len(scores))


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
