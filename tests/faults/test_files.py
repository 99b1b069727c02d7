"""Whatever stands in a version's or a corpus's files: they are read or refused in one sentence, and nothing runs."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from poetgen import corpus
from poetgen.checkpoint import load_model
from poetgen.errors import CheckpointError, CorpusError, PoetgenError
from poetgen.record import JSON_FILE, WEIGHTS_FILE, load_record, version_name
from poetgen.registry import RELEASE as SHIPPED

anything = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shipped version's record, beside its weights, to be changed."""
    (tmp_path / JSON_FILE).write_bytes((SHIPPED / JSON_FILE).read_bytes())
    (tmp_path / WEIGHTS_FILE).symlink_to(SHIPPED / WEIGHTS_FILE)
    return tmp_path


def _forge(folder: Path, record: dict[str, Any]) -> None:
    """Write a record whose name is that of its content, as somebody would who means it."""
    record = {key: value for key, value in record.items() if key != "version"}
    content = {"version": version_name(record), **record}
    (folder / JSON_FILE).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _done_or_refused(work: Callable[[], object], error: type[PoetgenError], sign: str = "") -> None:
    """It works, or is refused in one line that holds `sign`."""
    try:
        work()
    except error as refused:
        message = str(refused).strip()
    else:
        return
    assert sign in message
    assert "\n" not in message


@anything
@given(data=st.data())
def test_a_record_with_anything_in_any_field(folder: Path, data: st.DataObject) -> None:
    record = json.loads((SHIPPED / JSON_FILE).read_text(encoding="utf-8"))
    key = data.draw(st.sampled_from(sorted(record.keys() - {"version", "weights_sha256"})))
    record[key] = data.draw(values)
    if data.draw(st.booleans()):
        del record[key]
    _forge(folder, record)
    _done_or_refused(lambda: load_model(folder), CheckpointError)


@anything
@given(content=st.one_of(st.binary(max_size=300), values.map(lambda value: json.dumps(value).encode())))
def test_a_record_of_any_bytes(folder: Path, content: bytes) -> None:
    (folder / JSON_FILE).write_bytes(content)
    with pytest.raises(CheckpointError):
        load_record(folder)


@anything
@given(data=st.data())
def test_weights_of_any_bytes(folder: Path, data: st.DataObject) -> None:
    """Cut, changed in the header, or something else, with the hash that fits: the reader itself must stand it."""
    whole = (SHIPPED / WEIGHTS_FILE).read_bytes()
    kind = data.draw(st.sampled_from(["cut", "header", "other"]))
    if kind == "cut":
        content = whole[: data.draw(st.integers(0, 5000))]
    elif kind == "header":
        changed = bytearray(whole[:6000])
        for place in data.draw(st.lists(st.integers(0, 4000), min_size=1, max_size=8)):
            changed[place] = data.draw(st.integers(0, 255))
        content = bytes(changed) + whole[6000:]
    else:
        content = data.draw(st.binary(max_size=200))
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).write_bytes(content)
    record = json.loads((SHIPPED / JSON_FILE).read_text(encoding="utf-8"))
    _forge(folder, record | {"weights_sha256": hashlib.sha256(content).hexdigest()})
    _done_or_refused(lambda: load_model(folder), CheckpointError)


def test_a_tensor_less_is_told_in_one_line(folder: Path) -> None:
    tensors = load_file(SHIPPED / WEIGHTS_FILE)
    del tensors["discriminator.hidden.bias"]
    (folder / WEIGHTS_FILE).unlink()
    save_file(tensors, folder / WEIGHTS_FILE)
    record = json.loads((SHIPPED / JSON_FILE).read_text(encoding="utf-8"))
    content = (folder / WEIGHTS_FILE).read_bytes()
    _forge(folder, record | {"weights_sha256": hashlib.sha256(content).hexdigest()})
    _done_or_refused(lambda: load_model(folder), CheckpointError, "hidden.bias")


def test_a_pickle_is_not_run(folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    content = f"cposix\nsystem\n(S'touch {trace}'\ntR.".encode()
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).write_bytes(content)
    record = json.loads((SHIPPED / JSON_FILE).read_text(encoding="utf-8"))
    _forge(folder, record | {"weights_sha256": hashlib.sha256(content).hexdigest()})
    with pytest.raises(CheckpointError):
        load_model(folder)
    assert not trace.exists()


@anything
@given(
    content=st.one_of(
        st.binary(max_size=300),
        values.map(lambda value: json.dumps(value).encode()),
        st.lists(
            st.fixed_dictionaries(
                {}, optional={"title": values, "paragraphs": st.lists(st.text(max_size=20)) | values, "author": values}
            ),
            max_size=4,
        ).map(lambda value: json.dumps(value).encode()),
    )
)
def test_a_corpus_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "全唐诗"
    folder.mkdir(exist_ok=True)
    (folder / "poet.tang.0.json").write_bytes(content)
    read = lambda: list(corpus.read_corpus(tmp_path, corpus.Summary(), quiet=True))  # noqa: E731
    _done_or_refused(read, CorpusError, "poet.tang.0.json")
    list(corpus.read_corpus(tmp_path, corpus.Summary(), skip_bad=True, quiet=True))
