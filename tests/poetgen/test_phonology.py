from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from poetgen.dataset import Dataset
from poetgen.phonology import RHYME_GROUPS, RHYME_SEEDS, Phonology, _learn_rhymes, learn_phonology
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


def heard(char: str, level: float, oblique: float, **rhymes: float) -> Phonology:
    """A phonology of one character, heard so often in each tone and rhyme."""
    counts = [[rhymes.get(group, 0) for group in RHYME_GROUPS]]
    return Phonology(char, np.array([[level, oblique]], np.float32), np.array(counts, np.float32))


@pytest.mark.parametrize(
    ("level", "oblique", "sure"),
    [(4, 0, "L"), (3, 0, ""), (3, 9, "O"), (12, 138, "LO"), (11, 100, "O"), (60, 940, "O"), (50, 50, "LO")],
)
def test_a_tone_is_sure_if_it_is_nearly_all_there_is_or_much_shows_it(level: int, oblique: int, sure: str) -> None:
    tones = heard("月", level, oblique).sure_tones("月")
    assert {tone[0].upper() for tone in tones} == set(sure)


@pytest.mark.parametrize(
    ("rhymes", "sure"),
    [
        ({"東": 6, "冬": 2}, "東"), ({"東": 5, "冬": 2}, ""), ({"東": 3}, ""),
        ({"東": 310, "冬": 300}, "東冬"), ({"東": 299, "冬": 299}, ""), ({"東": 500, "冬": 300}, "東"),
    ],
)  # fmt: skip
def test_a_rhyme_is_sure_if_it_is_most_there_is_or_much_shows_it(rhymes: dict[str, int], sure: str) -> None:
    known = heard("空", 1000, 0, **rhymes)
    assert known.sure_rhymes("空") == tuple(sure)
    assert known.rhyme("空") == "東"


def test_what_is_hardly_ever_level_rhymes_in_nothing() -> None:
    known = heard("月", 10, 990, 東=500)
    assert known.sure_rhymes("月") == ()
    assert known.rhyme("月") is None
    assert [(reading.tone, reading.rhyme, reading.sure) for reading in known.readings("月")] == [
        ("oblique", None, True)
    ]


def test_what_readers_dispute_stands_only_where_the_form_is_free() -> None:
    known = heard("忘", 500, 500, 陽=500)
    assert (known.sure_tones("忘"), known.sure_rhymes("忘")) == (frozenset(), ())
    assert known.possible_tones("忘") == "L", "but it is heard"


def test_readings_share_a_characters_use() -> None:
    found = heard("空", 600, 400, 東=600, 冬=400).readings("空")
    assert [(reading.tone, reading.rhyme, reading.sure) for reading in found] == [
        ("oblique", None, True), ("level", "東", True), ("level", "冬", True),
    ]  # fmt: skip
    assert [reading.share for reading in found] == pytest.approx([0.4, 0.36, 0.24])


def test_counts_too_large_for_half_precision_are_stored_as_large_as_it_holds() -> None:
    known = heard("空", 1e6, 10, 東=1e6)
    again = Phonology.from_arrays(known.chars, known.arrays())
    assert np.isfinite(again.tone_counts).all()
    assert (again.sure_tones("空"), again.sure_rhymes("空")) == (frozenset({"level"}), ("東",))


def test_poems_that_keep_no_metre_give_no_second_readings(sounds: Sounds) -> None:
    rng = np.random.default_rng(4)
    regular = [Poem(tuple(sounds.draw_poem(FORMS["wujue"], rng))) for _ in range(1200)]
    free = [Poem(tuple("".join(rng.permutation([*line])) for line in poem.lines)) for poem in regular[::2]]
    learned = learn_phonology([*regular, *free])
    assert [char for char in learned.chars if len(learned.sure_tones(char)) != 1] == []


def test_a_pair_that_people_exchange_gives_no_second_readings(sounds: Sounds) -> None:
    rng, poems = np.random.default_rng(5), []
    for _ in range(1500):
        lines = sounds.draw_poem(FORMS["wujue"], rng)
        for number, line in enumerate(lines):
            if line[4] in sounds.oblique and line[1] not in sounds.oblique:  # ○○●● is written ○●○●
                lines[number] = line[:2] + line[3] + line[2] + line[4]
        poems.append(Poem(tuple(lines)))
    learned = learn_phonology(poems)
    assert [char for char in learned.chars if len(learned.sure_tones(char)) != 1] == []


def test_a_character_rhymes_as_its_companions_do_and_says_nothing_of_itself() -> None:
    counts = _learn_rhymes([np.array([[0, 1]] * 10, np.int32)], {"東": 0, "天": 1})
    assert [RHYME_GROUPS[group] for group in counts.argmax(axis=1)] == ["先", "東"]


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        Phonology("東西", np.zeros((1, 2), np.float32), np.zeros((2, 30), np.float32))
