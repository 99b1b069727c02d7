"""How people's lines end: the last three characters of a line, as people wrote them more than once or twice.

Knows no torch and no decoding. A line falls into two and three or into four and three characters, and its last three
are mostly one phrase. A generator that writes from left to right, and must end in a tone and a rhyme, bends it: of
its lines' last three characters people wrote half as often as of people's own.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poetgen.vocabulary import UNKNOWN_ID

LENGTH = 3
_LEAST = 3  # times; what stands once may be as bent as ours, and half as many are enough


@dataclass(frozen=True, slots=True)
class Tails:
    """The ends that people's lines have.

    Attributes:
        ids: [N, LENGTH] characters; each row once, in ascending order.
    """

    ids: npt.NDArray[np.int64]

    @classmethod
    def none(cls) -> "Tails":
        """No line's end is known."""
        return cls(np.zeros((0, LENGTH), np.int64))

    @classmethod
    def of(cls, ends: npt.NDArray[np.integer], least: int = _LEAST) -> "Tails":
        """Those that are seen often enough.

        Args:
            ends: [M, LENGTH] ids of lines' last characters.
            least: How often that is.
        """
        known, counts = np.unique(ends.astype(np.int64), axis=0, return_counts=True)
        return cls(known[(counts >= least) & (known > UNKNOWN_ID).all(axis=1)])
