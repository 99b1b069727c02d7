"""What a seed says: a whole number that decides a poem, given its request and version.

From the low end: which outline (24 bits), which of the candidates that begin with it (7 bits), which way that candidate
went on after each line (2 bits each), and which variation of the poem is meant (8 bits). So a poem that was found among
many by going on with the best of them is written again by its seed alone.
"""

from dataclasses import dataclass
from typing import Final

MAX_SEED: Final = 2**53 - 1  # every JSON reader and every Discord integer option holds it exactly
OUTLINES: Final = 2**24
STARTS: Final = 2**7
WAYS: Final = 4
_MAX_TURNS: Final = 7  # in a poem of eight lines
# Of a poem without its variation.
FIRST_SEEDS: Final = OUTLINES * STARTS * WAYS**_MAX_TURNS
MAX_VARIATION: Final = MAX_SEED // FIRST_SEEDS


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed, taken apart.

    Attributes:
        outline: Decides plan, pattern and rhyme; below `OUTLINES`.
        start: Decides noise and all that is drawn, together with the outline; below `STARTS`.
        ways: Which of its draws the candidate took in the second line and each that follows; below `WAYS`.
        variation: 0 is the poem itself; at most `MAX_VARIATION`.
    """

    outline: int
    start: int
    ways: tuple[int, ...] = (0,) * _MAX_TURNS
    variation: int = 0

    @classmethod
    def of(cls, number: int) -> "Seed":
        """The seed that a number from 0 to `MAX_SEED` holds."""
        rest, outline = divmod(number, OUTLINES)
        rest, start = divmod(rest, STARTS)
        ways = []
        for _ in range(_MAX_TURNS):
            rest, way = divmod(rest, WAYS)
            ways.append(way)
        return cls(outline, start, tuple(ways), rest)

    @property
    def number(self) -> int:
        """Such that `of` gives this seed back; `ways` that are missing count as 0."""
        number = self.variation
        for way in reversed((*self.ways, *(0,) * (_MAX_TURNS - len(self.ways)))):
            number = number * WAYS + way
        return (number * STARTS + self.start) * OUTLINES + self.outline
