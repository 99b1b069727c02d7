"""Whether a line stands in the corpus, answered from a fingerprint: the corpus itself is not shipped.

Knows no poems and no torch. A Bloom filter (Bloom 1970): no line of the corpus is ever denied, and about three other
lines in a thousand are taken for one of its lines.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_BITS_PER_LINE = 12
_HASHES = 10

Bits = npt.NDArray[np.uint8]


class Classics:
    """The fingerprint of a set of lines.

    Args:
        bits: The filter, eight bits to an element.
    """

    def __init__(self, bits: Bits) -> None:
        self.bits = bits

    @classmethod
    def of(cls, lines: Iterable[str]) -> "Classics":
        """The fingerprint of these lines."""
        unique = set(lines)
        size = max(1, len(unique) * _BITS_PER_LINE // 8)
        flags = np.zeros(8 * size, np.bool_)
        for line in unique:
            flags[_places(line, len(flags))] = True
        return cls(np.packbits(flags, bitorder="little"))

    def hold(self, line: str) -> bool:
        """Whether the line is one of them, as far as the fingerprint tells."""
        places = _places(line, 8 * len(self.bits))
        return bool((self.bits[places // 8] >> (places % 8) & 1).all())


def _places(line: str, size: int) -> npt.NDArray[np.int64]:
    """Where a line leaves its marks: two hashes make all the others (Kirsch and Mitzenmacher 2006)."""
    digest = hashlib.blake2b(line.encode(), digest_size=12).digest()
    first, second = int.from_bytes(digest[:6], "little"), int.from_bytes(digest[6:], "little") | 1
    return (first + np.arange(_HASHES, dtype=np.int64) * second) % size
