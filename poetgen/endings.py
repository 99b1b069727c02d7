"""Which rhymes a line can still end in, seen from its last character but one: counts of people's rhyming lines.

Knows no torch and no decoding. A generator writes from left to right: it comes to the place where the rhyme must
stand with a character before it that few or none of the group's characters go with, and makes a word that is none.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poetgen import script
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.vocabulary import UNKNOWN_ID, Vocabulary

_PRIOR_LINES = 5.0  # lines that end as all do, seen after each character before any was counted


@dataclass(frozen=True, slots=True)
class Endings:
    """How lines go on from their last character but one.

    Attributes:
        log_chances: [V, 1 + groups] log of the chance that a rhyming line, that character being its last but one,
            ends in a character that surely rhymes in the group (numbered as rhyme ids are; 0, no group, is 0).
    """

    log_chances: npt.NDArray[np.float32]

    @classmethod
    def unknown(cls, num_chars: int) -> "Endings":
        """Nothing counted: every character leaves every rhyme open."""
        return cls(np.zeros((num_chars, 1 + len(RHYME_GROUPS)), np.float32))

    @classmethod
    def of(cls, pairs: npt.NDArray[np.integer], rhymes: npt.NDArray[np.bool_]) -> "Endings":
        """Counted in lines that rhyme.

        Args:
            pairs: [N, 2] ids of their last two characters.
            rhymes: [1 + groups, V] as `sure_rhymes` makes them.
        """
        size = rhymes.shape[1]
        lines = np.bincount(pairs[:, 0], minlength=size)[:, None]
        found = np.stack([np.bincount(pairs[members[pairs[:, 1]], 0], minlength=size) for members in rhymes], axis=1)
        shares = (found.sum(axis=0) + 1) / (len(pairs) + len(rhymes))
        chances = (found + _PRIOR_LINES * shares) / (lines + _PRIOR_LINES)
        chances[:, 0] = 1
        return cls(np.log(chances).astype(np.float32))


def sure_rhymes(vocabulary: Vocabulary, phonology: Phonology) -> npt.NDArray[np.bool_]:
    """[1 + groups, V] which characters surely rhyme in which group (numbered as rhyme ids are: from 1)."""
    rhymes = np.zeros((1 + len(RHYME_GROUPS), len(vocabulary)), np.bool_)
    for number, char in enumerate(vocabulary.chars, start=UNKNOWN_ID + 1):
        if script.fold(char) != char:
            continue  # a print variant, in a vocabulary older than the table that folds it
        for group in phonology.sure_rhymes(char):
            rhymes[1 + RHYME_GROUPS.index(group), number] = True
    return rhymes
