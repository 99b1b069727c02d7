"""What the poet wrote lately, so that among its candidates it chooses one that says something else.

Knows no models and no files. Each candidate is chosen for itself, so what readers like best would win again and again.
People do not repeat themselves so: a pair of neighbouring characters that came lately costs something each time it
comes again (as Keskar et al. 2019 charge a word, but over poems, and in the choice alone: nothing is drawn differently,
so a seed still writes its poem).
"""

import math
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from itertools import pairwise

_POEMS = 2000  # how many are remembered
_MOST = 8  # times a pair came; more do not count
_PAIRS = 1 << 16  # ids are below


class Memory:
    """The pairs of characters in the last poems, and how often each came.

    Args:
        poems: How many poems it holds; the oldest is forgotten first.
    """

    def __init__(self, poems: int = _POEMS) -> None:
        self._poems: deque[array[int]] = deque()
        self._most_poems = poems
        self._counts: Counter[int] = Counter()

    def keep(self, lines: Sequence[Sequence[int]]) -> None:
        """Remember a poem: the ids of its lines' characters."""
        pairs = array("I", (pair for line in lines for pair in _pairs(line)))
        self._poems.append(pairs)
        self._counts.update(pairs)
        if len(self._poems) > self._most_poems:
            forgotten = self._poems.popleft()
            self._counts.subtract(forgotten)
            for pair in set(forgotten):
                if not self._counts[pair]:
                    del self._counts[pair]

    def staleness(self, line: Sequence[int]) -> float:
        """≥ 0, the sum over a line's pairs of the root of how often each came lately."""
        return sum(math.sqrt(min(self._counts[pair], _MOST)) for pair in _pairs(line))


def _pairs(line: Sequence[int]) -> list[int]:
    return [first * _PAIRS + second for first, second in pairwise(line)]
