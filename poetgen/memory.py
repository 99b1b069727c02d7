"""What the poet wrote lately, so that among its candidates it chooses one that says something else.

Knows no models and no files. Each candidate is chosen for itself, so what readers like best would win again and again.
People do not repeat themselves so. A pair of neighbouring characters that came lately costs something each time it
comes again (as Keskar et al. 2019 charge a word, but over poems), and so does a character that came oftener than
people use it; one that came more seldom is worth something. All that is in the choice alone: nothing is drawn
differently, so a seed still writes its poem.
"""

import math
from array import array
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from itertools import pairwise

_POEMS = 2000  # how many are remembered
_MOST = 8  # times a pair came; more do not count
_PAIRS = 1 << 16  # ids are below
_AS_PEOPLES = 2000  # characters' worth of people's shares, added to what came: a few poems say little
_LARGEST_EXCESS = 2.0  # nats


class Memory:
    """The characters and pairs of characters in the last poems, and how often each came.

    Args:
        shares: [V] how much of what people write each character is, over 0 and up to 1.
        poems: How many poems it holds; the oldest is forgotten first.
    """

    def __init__(self, shares: Sequence[float], poems: int = _POEMS) -> None:
        self._shares = shares
        self._most_poems = poems
        self._poems: deque[tuple[array[int], array[int]]] = deque()
        self._chars: Counter[int] = Counter()
        self._pairs: Counter[int] = Counter()
        self._num_chars = 0

    def keep(self, lines: Sequence[Sequence[int]]) -> None:
        """Remember a poem: the ids of its lines' characters."""
        poem = array("I", (char for line in lines for char in line)), array("I", _pairs_of(lines))
        self._poems.append(poem)
        forgotten = self._poems.popleft() if len(self._poems) > self._most_poems else ((), ())
        self._num_chars += len(poem[0]) - len(forgotten[0])
        for counts, came, went in zip((self._chars, self._pairs), poem, forgotten, strict=True):
            counts.update(came)
            counts.subtract(went)
            for number in set(went):
                if not counts[number]:
                    del counts[number]

    def staleness(self, line: Sequence[int]) -> float:
        """≥ 0, the sum over a line's pairs of the root of how often each came lately."""
        return sum(math.sqrt(min(self._pairs[pair], _MOST)) for pair in _pairs_of([line]))

    def excess(self, line: Sequence[int]) -> float:
        """Nats, the sum over a line's characters of how much oftener than people use it each came lately."""
        return sum(map(self._excess, line))

    def _excess(self, char: int) -> float:
        share = self._shares[char]
        came = (self._chars[char] + _AS_PEOPLES * share) / (self._num_chars + _AS_PEOPLES)
        return max(-_LARGEST_EXCESS, min(_LARGEST_EXCESS, math.log(came / share)))


def _pairs_of(lines: Iterable[Sequence[int]]) -> list[int]:
    return [first * _PAIRS + second for line in lines for first, second in pairwise(line)]
