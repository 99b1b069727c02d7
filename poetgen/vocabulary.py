"""Character <-> id. Knows nothing of what a character means or sounds like."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

PAD_ID, START_ID, UNKNOWN_ID = 0, 1, 2
_SPECIALS = "\0\1□"  # what stands for padding, the place before a line, and a character too rare to learn


class Vocabulary:
    """The characters a model knows, the commonest first, after three special ids."""

    def __init__(self, chars: str) -> None:
        if len(set(chars)) != len(chars) or set(chars) & set(_SPECIALS):
            raise ValueError("vocabulary: repeated or reserved characters")
        self.chars = chars
        self._all = _SPECIALS + chars
        self._ids = {char: number for number, char in enumerate(self._all)}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, char: str) -> bool:
        return self._ids.get(char, PAD_ID) > UNKNOWN_ID

    @property
    def fingerprint(self) -> str:
        """The same only for vocabularies in which every id means the same character."""
        return hashlib.sha256(self.chars.encode()).hexdigest()[:12]

    def encode(self, text: str) -> list[int]:
        """Ids of the characters; `UNKNOWN_ID` for one that is too rare."""
        return [self._ids.get(char, UNKNOWN_ID) for char in text]

    def decode(self, ids: Sequence[int] | npt.NDArray[np.integer]) -> str:
        return "".join(self._all[int(number)] for number in ids)


def count_vocabulary(texts: Iterable[str], min_count: int) -> Vocabulary:
    """The characters seen at least `min_count` times, the commonest first."""
    counts = Counter(char for text in texts for char in text)
    return Vocabulary("".join(sorted((c for c in counts if counts[c] >= min_count), key=lambda c: (-counts[c], c))))
