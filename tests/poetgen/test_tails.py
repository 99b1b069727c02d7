"""How people's lines end, counted by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from poetgen.checkpoint import load_model, save_model
from poetgen.dataset import Dataset, tails_of
from poetgen.poet import Poet
from poetgen.tails import LENGTH, Tails
from poetgen.vocabulary import UNKNOWN_ID


def test_what_is_seen_often_enough_by_hand() -> None:
    ends = np.array([[9, 8, 7], [4, 5, 6], [9, 8, 7], [4, 5, 6], [4, 5, 7], [UNKNOWN_ID, 5, 6], [UNKNOWN_ID, 5, 6]])
    assert Tails.of(ends, least=2).ids.tolist() == [[4, 5, 6], [9, 8, 7]]
    assert Tails.of(ends, least=1).ids.tolist() == [[4, 5, 6], [4, 5, 7], [9, 8, 7]]
    assert Tails.of(ends, least=3).ids.shape == Tails.none().ids.shape == (0, LENGTH)


def test_of_a_corpus(dataset: Dataset) -> None:
    train = {name: data.and_also(data) for name, data in dataset.train.items()}
    assert len(tails_of(replace(dataset, train=train)).ids) < 10, "what stands in one line only is not known"
    read_thrice = replace(dataset, train={name: data.and_also(dataset.train[name]) for name, data in train.items()})
    lines = [data.ids.reshape(-1, data.form.line_lengths[0])[:, -LENGTH:].tolist() for data in dataset.train.values()]
    ends = {tuple(end) for of in lines for end in of if min(end) > UNKNOWN_ID}
    assert {tuple(row) for row in tails_of(read_thrice).ids.tolist()} == ends


def test_a_version_keeps_them(poet: Poet, tmp_path: Path) -> None:
    tails = Tails.of(np.array([[4, 5, 6], [9, 8, 7]]), least=1)
    save_model(replace(poet.model, tails=tails), tmp_path)
    _, model = load_model(tmp_path)
    assert model.tails.ids.tolist() == tails.ids.tolist()
