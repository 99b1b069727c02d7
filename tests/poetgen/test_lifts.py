from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from poetgen.dataset import Dataset
from poetgen.poem import FORMS, PoemRequest
from poetgen.poet import Poet
from poetgen.sampling import Constraints
from poetgen.training import lifts
from poetgen.vocabulary import UNKNOWN_ID


def frequencies(poet: Poet, form: str, count: int = 400) -> npt.NDArray[np.float64]:
    vocabulary = poet.model.vocabulary
    asked = [PoemRequest(FORMS[form], candidates=1)] * count
    found = np.zeros(len(vocabulary), np.float64)
    for item in poet.compose(asked):
        np.add.at(found, vocabulary.encode(item.poem.text), 1 / (count * FORMS[form].num_chars))
    return found


@pytest.fixture(scope="module")
def skewed(poet: Poet) -> Poet:
    """A poet that has taken to some characters, and shuns others."""
    lifts = 1.5 * torch.randn(len(poet.model.vocabulary), generator=torch.Generator().manual_seed(0))
    return Poet("skewed", replace(poet.model, lifts=lifts))


@pytest.fixture(scope="module")
def lifted(skewed: Poet, dataset: Dataset) -> Poet:
    told: list[int] = []
    model = lifts.lifted(skewed.model, dataset, 1500, progress=told.append)
    assert sum(told) == lifts.num_poems(dataset, 1500)
    return Poet("lifted", model)


def test_characters_come_as_often_as_people_use_them(skewed: Poet, lifted: Poet, dataset: Dataset) -> None:
    data = dataset.train["qijue"]
    people = np.bincount(data.ids[data.patterns > 0].ravel(), minlength=len(dataset.vocabulary)).astype(float)
    people[: UNKNOWN_ID + 1] = 0
    people /= people.sum()
    before, after = (0.5 * np.abs(frequencies(one, "qijue") - people).sum() for one in (skewed, lifted))
    assert after < 0.8 * before
    distances = lifted.model.recipe["lifts"]
    assert isinstance(distances, list)
    assert len(distances) == 4
    assert distances[-1] < distances[0]


def test_its_poems_keep_every_rule(lifted: Poet) -> None:
    poems = lifted.compose([lifted.check(PoemRequest(FORMS["wulv"], candidates=2))] * 10)
    assert [item.problems for item in poems] == [()] * 10


def test_lifts_stand_in_place_of_the_rule(poet: Poet, lifted: Poet) -> None:
    model = replace(poet.model, lifts=lifted.model.lifts, lift=7.0)
    parts = model.vocabulary, model.phonology, model.planner, model.tails
    own = Constraints(*parts, lift=7.0, lifts=model.lifts)
    assert model.lifts is not None
    assert (own.lifts == model.lifts).all()
    assert (Constraints(*parts, lift=7.0).lifts != model.lifts).any()
