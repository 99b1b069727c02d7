"""What the poet remembers of its last poems, and that it chooses by it."""

import math
import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from poetgen.memory import Memory
from poetgen.metrics import distinct_pairs
from poetgen.poem import FORMS, PoemRequest
from poetgen.poet import Poet, _shares_of

POEMS = st.lists(st.lists(st.lists(st.integers(3, 9), min_size=5, max_size=5), min_size=2, max_size=2), max_size=8)


SHARES = [0.1] * 10  # of ten characters


def test_a_pair_costs_the_root_of_how_often_it_came() -> None:
    memory = Memory(SHARES)
    assert memory.staleness([3, 4, 5]) == 0
    for _ in range(4):
        memory.keep([[3, 4, 6], [7, 8, 9]])
    memory.keep([[5, 3, 4], [4, 5, 3]])
    assert memory.staleness([3, 4, 5]) == pytest.approx(5**0.5 + 1)
    assert memory.staleness([6, 7, 4, 3]) == 0, "neither over the end of a line, nor backwards"
    for _ in range(1000):
        memory.keep([[3, 4]])
    assert memory.staleness([3, 4]) == pytest.approx(8**0.5)


def test_a_character_costs_what_it_came_oftener_than_people_use_it() -> None:
    memory = Memory([0.5, 0.25, 0.125, 0.125])
    assert memory.excess([0, 1, 2, 3]) == pytest.approx(0), "nothing is known yet"
    for _ in range(500):
        memory.keep([[0, 1, 1, 2]])
    # Beside 2,000 characters by people: 1,000 + 500, 500 + 1,000, 250 + 500 and 250 of 4,000.
    assert memory.excess([0]) == pytest.approx(math.log(0.375 / 0.5))
    assert memory.excess([1]) == pytest.approx(math.log(0.375 / 0.25))
    assert memory.excess([2, 3]) == pytest.approx(math.log(0.1875 / 0.125) + math.log(0.0625 / 0.125))
    rare = Memory([1e-9, 1 - 1e-9])
    rare.keep([[0, 1]])
    assert rare.excess([0]) == 2, "one poem that uses a rare character says so much and no more"


@given(POEMS, POEMS, st.lists(st.integers(3, 9), min_size=2, max_size=7))
def test_it_knows_its_last_poems_and_nothing_else(
    before: list[list[list[int]]], last: list[list[list[int]]], line: list[int]
) -> None:
    memory, only = Memory(SHARES, len(last)), Memory(SHARES)
    for poem in [*before, *last]:
        memory.keep(poem)
    for poem in last:
        only.keep(poem)
    assert memory.staleness(line) == pytest.approx(only.staleness(line))
    assert memory.excess(line) == pytest.approx(only.excess(line))


def test_a_poet_that_remembers_repeats_itself_less(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [PoemRequest(FORMS["wujue"], candidates=16, temperature=0.1)] * 60

    monkeypatch.setattr("poetgen.poet._EXCESS_WEIGHT", 0.0)

    def various(weight: float) -> float:
        monkeypatch.setattr("poetgen.poet._STALENESS_WEIGHT", weight)
        written = Poet("", poet.model).compose(asked, source=random.Random(1))
        return distinct_pairs([item.poem.lines for item in written])

    assert various(5.0) > various(0.0) + 0.02


def test_a_poet_that_remembers_uses_characters_as_people_do(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [PoemRequest(FORMS["wujue"], candidates=16, temperature=0.1)] * 100
    vocabulary, counts = poet.model.vocabulary, poet.model.planner.char_counts
    shares = counts / counts.sum()

    monkeypatch.setattr("poetgen.poet._STALENESS_WEIGHT", 0.0)

    def distance(weight: float) -> float:
        monkeypatch.setattr("poetgen.poet._EXCESS_WEIGHT", weight)
        written = Poet("", poet.model).compose(asked, source=random.Random(1))
        came = Counter(char for item in written for char in vocabulary.encode(item.poem.text))
        return float(sum(abs(came[char] / came.total() - share) for char, share in enumerate(shares))) / 2

    assert distance(2.0) < distance(0.0) - 0.02


def test_a_voice_is_expected_to_use_a_character_as_often_as_its_server_would_like(poet: Poet) -> None:
    generator = deepcopy(poet.model.generator)
    moon, *_ = poet.model.vocabulary.encode("月")
    with torch.no_grad():
        generator.output_bias[moon] += math.log(3)
    peoples = torch.tensor(_shares_of(poet.model))
    voices = torch.tensor(_shares_of(replace(poet.model, generator=generator, base=poet.model)))
    assert peoples.sum() == pytest.approx(1)
    others = torch.arange(len(peoples)) != moon
    assert voices[moon] / (1 - voices[moon]) == pytest.approx(3 * float(peoples[moon] / (1 - peoples[moon])), rel=1e-3)
    torch.testing.assert_close(voices[others] / voices[others].sum(), peoples[others] / peoples[others].sum())


def test_only_what_is_new_is_remembered_and_a_seed_writes_its_poem_in_spite_of_it(poet: Poet) -> None:
    fresh, asked = Poet("", poet.model), [PoemRequest(FORMS["qijue"], candidates=8)] * 4
    for _ in range(3):  # written again by its seed, a poem is no news
        fresh.compose([PoemRequest(FORMS["qijue"], seed=5)])
    first = fresh.compose(asked, source=random.Random(2))
    assert first == Poet("", poet.model).compose(asked, source=random.Random(2))
    again = fresh.compose([replace(request, seed=item.seed) for request, item in zip(asked, first, strict=True)])
    assert [item.poem for item in again] == [item.poem for item in first]
    told = Poet("", poet.model)
    told.remember(item.poem.lines for item in first)
    assert told.compose(asked, source=random.Random(3)) == fresh.compose(asked, source=random.Random(3))
