"""How people's lines end, counted by hand."""

import numpy as np
import pytest

from poetgen.dataset import Dataset, endings_of
from poetgen.endings import Endings, sure_rhymes
from poetgen.phonology import RHYME_GROUPS


def test_chances_by_hand() -> None:
    rhymes = np.zeros((3, 7), np.bool_)
    rhymes[1, 5] = rhymes[2, 6] = True
    # After 3: twice the first group's character, once one that rhymes in none. After 4: once the second's.
    chances = np.exp(Endings.of(np.array([[3, 5], [3, 5], [3, 3], [4, 6]]), rhymes).log_chances)
    first, second = (2 + 1) / (4 + 3), (1 + 1) / (4 + 3)  # of all lines, one more of each kind
    assert chances[3, 1:] == pytest.approx([(2 + 5 * first) / (3 + 5), 5 * second / (3 + 5)])
    assert chances[4, 1:] == pytest.approx([5 * first / (1 + 5), (1 + 5 * second) / (1 + 5)])
    assert chances[0, 1:] == pytest.approx([first, second]), "never seen: as all lines end"
    assert chances[:, 0].tolist() == [1.0] * 7


def test_of_a_corpus(dataset: Dataset) -> None:
    chances = endings_of(dataset).log_chances
    assert chances.shape == (len(dataset.vocabulary), 1 + len(RHYME_GROUPS))
    assert np.isfinite(chances).all()
    assert (chances <= 0).all()


def test_unknown_leaves_every_rhyme_open(dataset: Dataset) -> None:
    assert not Endings.unknown(5).log_chances.any()
    rhymes = sure_rhymes(dataset.vocabulary, dataset.phonology)
    for number, char in enumerate(dataset.vocabulary.chars[:50], start=3):
        named = {RHYME_GROUPS[group - 1] for group in np.flatnonzero(rhymes[:, number])}
        assert named == set(dataset.phonology.sure_rhymes(char))
