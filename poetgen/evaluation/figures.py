"""Figures of a sample of poems that need no training: fluency, copying, repetition, parallelism."""

import numpy as np
import numpy.typing as npt

from poetgen import planner
from poetgen.evaluation.samples import Poems
from poetgen.planner import Ids, Vectors

Floats = npt.NDArray[np.float64]

BROKEN_SHARE = 0.05  # of people's poems, by definition


def worst_lines(nats: Floats, num_lines: int) -> Floats:
    """[P] mean nats a character of each poem's least likely line.

    Args:
        nats: [P, T] of each character, as a judge of fluency gives them.
        num_lines: L.
    """
    worst: Floats = nats.reshape(len(nats), num_lines, -1).mean(axis=2).max(axis=1)
    return worst


def broken(ours: Floats, peoples: Floats) -> Floats:
    """[P] 1 for each of our poems whose worst line is worse than the worst line of 95 % of people's poems, else 0.

    Args:
        ours: [P] as `worst_lines` gives them.
        peoples: [Q] the same of people's poems.
    """
    verdicts: Floats = (ours > np.quantile(peoples, 1 - BROKEN_SHARE)).astype(np.float64)
    return verdicts


def distinct_share(lines: Ids) -> float:
    """`metrics.distinct_pairs` of [..., length] ids of lines, fast: kinds of pairs over pairs in all, 0 to 1."""
    codes = lines[..., :-1].astype(np.int64) * (1 << 20) + lines[..., 1:]
    return len(np.unique(codes)) / codes.size


def repeats(poems: Poems) -> Floats:
    """[P] 1 for each poem with a character that stands in two of its lines, else 0."""
    found = np.zeros(len(poems))
    for first in range(poems.form.num_lines):
        for second in range(first):
            same = poems.lines[:, first, :, None] == poems.lines[:, second, None, :]
            found[same.any(axis=(1, 2))] = 1
    return found


def parallelism(poems: Poems, vectors: Vectors) -> Floats:
    """[P] how much more alike the aligned characters of the middle couplets are than those one place aside; cosines.

    For poems of eight lines: 對仗 wants words of a kind at the same places of lines 3 and 4, and of 5 and 6.
    """
    units = planner.unit(vectors)[poems.lines]
    scores = np.zeros(len(poems))
    for line in (2, 4):
        upper, lower = units[:, line], units[:, line + 1]
        aligned = (upper * lower).sum(axis=2).mean(axis=1)
        aside = (upper * np.roll(lower, 1, axis=1)).sum(axis=2).mean(axis=1)
        scores += (aligned - aside) / 2
    return scores


class Corpus:
    """The lines that a model was trained on, all of one length, to find what was copied.

    Args:
        lines: [N, length] ids.
    """

    def __init__(self, lines: Ids) -> None:
        self._length = lines.shape[1]
        # All runs of each length, as numbers: a set of hashes would do for one length only.
        self._runs = {size: np.unique(_codes(lines, size)) for size in range(2, self._length + 1)}

    def longest_runs(self, poems: Poems) -> Ids:
        """[P, L] how many characters in a row each line has in common with some line of the corpus, at least 1."""
        lines = poems.lines.reshape(-1, self._length)
        longest = np.ones(len(lines), np.int32)
        for size, known in self._runs.items():
            longest[np.isin(_codes(lines, size).reshape(len(lines), -1), known).any(axis=1)] = size
        return longest.reshape(len(poems), -1)


def _codes(lines: Ids, size: int) -> npt.NDArray[np.uint64]:
    """Runs of `size` characters as numbers: exact up to four, above that a hash of 64 bits."""
    width = lines.shape[1] - size + 1
    codes = np.zeros((len(lines), width), np.uint64)
    for place in range(size):
        codes = codes * np.uint64(1_000_003 if size > 4 else 1 << 15) + lines[:, place : place + width].astype(
            np.uint64
        )
        if size > 4:
            codes ^= codes >> np.uint64(29)
    return codes.ravel()
