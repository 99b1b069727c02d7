from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from poetgen.dataset import Dataset
from poetgen.phonology import RHYME_SEEDS, Phonology, learn_phonology
from poetgen.poem import FORMS, Poem
from tests.poetgen.generated import Sounds


def test_finds_every_characters_tone_without_being_told(phonology: Phonology, sounds: Sounds) -> None:
    wrong = [char for char in sounds.level if phonology.tone(char) != "level"]
    wrong += [char for char in sounds.oblique if phonology.tone(char) != "oblique"]
    assert wrong == []


def test_finds_the_rhyme_group_of_characters_that_are_no_seed(phonology: Phonology, sounds: Sounds) -> None:
    seeds = "".join(RHYME_SEEDS.values())
    learned = {char: group for char, group in sounds.level.items() if char not in seeds}
    assert {char: phonology.rhyme(char) for char in learned} == learned


def test_oblique_characters_have_no_rhyme(phonology: Phonology, sounds: Sounds) -> None:
    assert {phonology.rhyme(char) for char in sounds.oblique} == {None}
    assert {phonology.sure_rhymes(char) for char in sounds.oblique} == {()}


def test_a_character_used_in_both_tones_gets_both_readings(sounds: Sounds) -> None:
    rng = np.random.default_rng(3)
    twin_level, twin_oblique = "東", sounds.oblique[0]
    poems = []
    for _ in range(1500):
        lines = sounds.draw_poem(FORMS["qijue"], rng)
        # One character written for two: a level one and an oblique one.
        poems.append(Poem(tuple(line.replace(twin_oblique, twin_level) for line in lines)))
    learned = learn_phonology(poems)
    assert learned.sure_tones(twin_level) == {"level", "oblique"}
    readings = learned.readings(twin_level)
    assert {reading.tone for reading in readings} == {"level", "oblique"}
    assert sum(reading.share for reading in readings) == pytest.approx(1, abs=0.02)
    assert learned.possible_tones(twin_level) == "LO"


def test_an_unknown_character_is_unknown(phonology: Phonology) -> None:
    assert "龘" not in phonology
    assert phonology.tone("龘") is None
    assert phonology.readings("龘") == ()
    assert phonology.sure_tones("龘") == frozenset()
    assert phonology.possible_tones("龘") == "LO"


def test_storing_keeps_every_reading(dataset: Dataset) -> None:
    phonology = dataset.phonology
    again = Phonology.from_arrays(phonology.chars, phonology.arrays())
    for char in phonology.chars:
        assert again.sure_tones(char) == phonology.sure_tones(char)
        assert again.sure_rhymes(char) == phonology.sure_rhymes(char)


def test_rhymes_are_stored_by_place_and_earlier_versions_are_read(dataset: Dataset, tmp_path: Path) -> None:
    phonology = dataset.phonology
    save_file(phonology.arrays(), tmp_path / "arrays")  # as a version stores them
    stored = load_file(tmp_path / "arrays")
    assert stored["rhyme_counts"].shape == ((phonology.rhyme_counts > 0).sum(),)
    again = Phonology.from_arrays(phonology.chars, stored)
    assert np.array_equal(again.rhyme_counts, phonology.rhyme_counts.astype(np.float16))
    whole = {"tone_counts": stored["tone_counts"], "rhyme_counts": phonology.rhyme_counts.astype(np.float16)}
    assert np.array_equal(Phonology.from_arrays(phonology.chars, whole).rhyme_counts, again.rhyme_counts)
    for place in ([[-1, 0]], [[0, 30]], [[len(phonology.chars), 0]], [[0, 0], [1, 1]]):
        bad = {**stored, "rhyme_counts": np.ones(1, np.float16), "rhyme_places": np.array(place, np.int16)}
        with pytest.raises(ValueError, match="not those of the characters"):
            Phonology.from_arrays(phonology.chars, bad)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Phonology("東西", np.zeros((1, 2), np.float32), np.zeros((2, 30), np.float32))
