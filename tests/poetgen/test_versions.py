"""Checkpoints and the registry: what is stored comes back, what is damaged is refused, nothing is half written."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import torch

from poetgen import checkpoint, files
from poetgen.checkpoint import load_model, save_model
from poetgen.dataset import Dataset
from poetgen.errors import CheckpointError, NothingPromotedError, UnwrittenError
from poetgen.poet import Poet
from poetgen.record import FORMAT, JSON_FILE, WEIGHTS_FILE, load_phonology, load_record, version_name
from poetgen.registry import PLOTS, Registry
from poetgen.training.release import DEFAULT_TEMPERATURE


@pytest.fixture
def folder(tmp_path: Path, poet: Poet) -> Path:
    save_model(poet.model, tmp_path / "version")
    return tmp_path / "version"


def test_a_version_comes_back_as_it_was(folder: Path, poet: Poet, tmp_path: Path) -> None:
    name, model = load_model(folder)
    assert save_model(model, tmp_path / "again") == name, "what few bits hold, they hold again"
    assert load_phonology(folder).chars == poet.model.phonology.chars
    large = {"lstm.weight_ih_l0", "blocks.0.look_output.weight", "blocks.0.think_output.weight"}  # in half a byte
    before, after = (dict(one.generator.named_parameters()) for one in (poet.model, model))
    for key, value in before.items():
        steps = 13 if key in large else 200
        assert (after[key] - value).abs().max() <= value.abs().max() / steps, key


def test_a_version_keeps_its_lifts(poet: Poet, tmp_path: Path) -> None:
    lifts = torch.linspace(-2, 2, len(poet.model.vocabulary)).half().float()
    save_model(replace(poet.model, lifts=lifts, lift=0.7), tmp_path)
    _, model = load_model(tmp_path)
    assert model.lifts is not None
    assert torch.equal(model.lifts, lifts)
    assert model.lift == 0.7


def test_a_version_of_another_edition_is_refused(folder: Path) -> None:
    record = load_record(folder) | {"format": FORMAT - 1}
    (folder / JSON_FILE).write_text(json.dumps(record | {"version": version_name(record)}), encoding="utf-8")
    with pytest.raises(CheckpointError, match="another edition"):
        load_model(folder)


def test_a_version_is_named_by_its_content(folder: Path, poet: Poet, tmp_path: Path) -> None:
    assert save_model(poet.model, tmp_path / "again") == load_record(folder)["version"]


def test_the_release_holds_no_line_of_the_corpus(folder: Path, dataset: Dataset) -> None:
    record = (folder / JSON_FILE).read_text(encoding="utf-8")
    lines = [dataset.vocabulary.decode(ids) for length in (5, 7) for ids in dataset.learned_lines(length).tolist()]
    assert lines
    assert not any(line in record for line in lines)


@pytest.mark.parametrize("damage", ["cut", "flip", "json", "foreign", "missing weights", "edited"])
def test_a_damaged_version_is_refused_in_one_sentence(folder: Path, damage: str) -> None:
    weights, record = folder / WEIGHTS_FILE, folder / JSON_FILE
    content = weights.read_bytes()
    if damage == "cut":
        weights.write_bytes(content[:1000])
    elif damage == "flip":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "json":
        record.write_text("{", encoding="utf-8")
    elif damage == "foreign":
        record.write_text('{"format": "pickle"}', encoding="utf-8")
    elif damage == "missing weights":
        weights.unlink()
    else:
        own = f'"temperature": {DEFAULT_TEMPERATURE}'
        record.write_text(record.read_text(encoding="utf-8").replace(own, '"temperature": 0.95'), encoding="utf-8")
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_nothing_half_written(
    folder: Path, poet: Poet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    before = (folder / WEIGHTS_FILE).read_bytes()
    with pytest.raises(UnwrittenError, match="No space left"):
        save_model(poet.model, folder)
    assert (folder / WEIGHTS_FILE).read_bytes() == before
    with pytest.raises(CheckpointError):
        save_model(poet.model, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_write_whole_replaces_only_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        files.write_whole(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def two_versions(registry: Registry, folder: Path, poet: Poet, tmp_path: Path) -> tuple[str, str]:
    from dataclasses import replace

    first = registry.register(folder)
    save_model(replace(poet.model, temperature=0.7, parent=first), tmp_path / "child")
    return first, registry.register(tmp_path / "child")


def test_promote_and_roll_back(folder: Path, poet: Poet, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=tmp_path / "none")
    with pytest.raises(CheckpointError, match="no version of the poet"):
        registry.current()
    first, second = two_versions(registry, folder, poet, tmp_path)
    assert registry.names() == [first, second]
    assert registry.current() == first
    assert registry.promote(second[:6]) == second
    assert registry.promote(second) == second
    assert registry.current() == second
    assert registry.show(second).parent == first
    assert registry.rollback() == first
    with pytest.raises(CheckpointError, match="nothing to roll back"):
        registry.rollback()


def test_the_shipped_release_is_there_and_in_use_first(folder: Path, poet: Poet, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=folder)
    shipped = str(load_record(folder)["version"])
    assert registry.current() == shipped
    assert registry.show(shipped).shipped
    _, second = two_versions(Registry(tmp_path / "home", release=tmp_path / "none"), folder, poet, tmp_path)
    registry.promote(second)
    assert registry.rollback() == shipped


def test_registering_twice_is_one_version(folder: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=tmp_path / "none")
    assert registry.register(folder) == registry.register(folder)
    assert len(registry.names()) == 1


def test_two_processes_may_register_one_version_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, copy = Registry(tmp_path / "home", release=tmp_path / "none"), shutil.copyfile
    seen: list[list[str]] = []

    def overtaken(source: Path, target: Path) -> None:
        copy(source, target)
        seen.append(registry.names())
        if len(seen) == 2:  # all is copied, and nothing is in its place yet
            Registry(registry.home, release=tmp_path / "none").register(folder)

    monkeypatch.setattr(shutil, "copyfile", overtaken)
    name = registry.register(folder)
    assert seen[:2] == [[], []], "what is still coming in is no version"
    assert load_model(registry.folder(name))[0] == name
    assert [path.name for path in (registry.home / "versions").iterdir()] == [name]


def test_unknown_ambiguous_and_damaged_names(folder: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=tmp_path / "none")
    name = registry.register(folder)
    for wrong in ("", "zzz", "../version"):
        with pytest.raises(CheckpointError, match="There is no version"):
            registry.folder(wrong)
    shutil.copytree(registry.folder(name), registry.folder(name).parent / f"{name}x")
    with pytest.raises(CheckpointError, match="Several versions begin"):
        registry.folder(name[:4])
    (tmp_path / "home" / "current.json").write_text("[]")
    with pytest.raises(CheckpointError, match="Delete it"):
        registry.current()


def voice_version(folder: Path, base: str, voice: str, verdict: str, target: Path) -> Path:
    """The files of a voice's version, as far as the registry looks at them."""
    target.mkdir()
    record = load_record(folder) | {"base": base, "parent": base, "voice": voice, "verdict": verdict}
    record["weights_sha256"] = hashlib.sha256(b"small changes").hexdigest()
    record["version"] = version_name(record)
    (target / JSON_FILE).write_text(json.dumps(record), encoding="utf-8")
    (target / WEIGHTS_FILE).write_bytes(b"small changes")
    return target


@pytest.fixture
def voices(folder: Path, tmp_path: Path) -> tuple[Registry, str, dict[str, str]]:
    """A registry with a shipped version and three of voices, and their names."""
    registry = Registry(tmp_path / "home", release=folder)
    base = registry.current()
    made = {
        key: registry.register(voice_version(folder, base, voice, verdict, tmp_path / key))
        for key, voice, verdict in (
            ("own", "server-1", "promoted"),
            ("refused", "server-1", "refused"),
            ("other", "server-2", "promoted"),
        )
    }
    return registry, base, made


def test_each_voice_has_its_own_line_of_versions(voices: tuple[Registry, str, dict[str, str]]) -> None:
    registry, base, made = voices
    assert registry.current("server-1") == base
    registry.promote(made["own"], "server-1")
    assert registry.current("server-1") == made["own"]
    assert registry.current("server-2") == registry.current() == base
    assert [version.name for version in registry.versions_of("server-1")] == [base, made["own"]]
    assert [version.name for version in registry.versions_of(None)] == [base]
    assert registry.show(made["own"]).voice == "server-1"
    assert registry.rollback("server-1") == base
    with pytest.raises(CheckpointError, match="nothing to roll back"):
        registry.rollback("server-1")


def test_a_shared_version_that_was_never_in_use_is_no_voices(
    voices: tuple[Registry, str, dict[str, str]], poet: Poet, tmp_path: Path
) -> None:
    registry, base, _ = voices
    save_model(replace(poet.model, temperature=0.9), tmp_path / "tried")
    tried = registry.register(tmp_path / "tried")
    assert [version.name for version in registry.versions_of(None)] == [base]
    registry.promote(tried)
    registry.rollback()
    registry.promote(base)
    assert [version.name for version in registry.versions_of(None)] == [base]


def test_each_version_is_read_once_to_list_those_of_a_voice(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(tmp_path / "home", release=folder)
    base = registry.promote(registry.current())
    voices = [f"server-{number}" for number in range(12)]
    made = [registry.register(voice_version(folder, base, voice, "promoted", tmp_path / voice)) for voice in voices]
    read: list[Path] = []

    def noted(path: Path) -> dict[str, object]:
        read.append(path)
        return load_record(path)

    monkeypatch.setattr("poetgen.registry.load_record", noted)
    assert [version.name for version in registry.versions_of("server-7")] == [base, made[7]]
    assert sorted(read) == sorted(registry.home / "versions" / name for name in (base, *made))
    assert registry.names()[0] == base
    assert sorted(registry.names()) == sorted([base, *made])
    assert registry.show(made[7][:9]).folder == registry.folder(made[7])


@pytest.mark.parametrize(
    ("key", "voice", "message"),
    [("refused", "server-1", "refused"), ("other", "server-1", "another voice"), ("own", None, "another voice"),
     ("own", "../etc", "no voice's name")],
)  # fmt: skip
def test_what_a_voice_may_not_hear(
    voices: tuple[Registry, str, dict[str, str]], key: str, voice: str | None, message: str
) -> None:
    registry, base, made = voices
    with pytest.raises(CheckpointError, match=message):
        registry.promote(made[key], voice)
    assert registry.current() == base


def test_a_voice_keeps_its_base_when_another_release_is_shipped(
    voices: tuple[Registry, str, dict[str, str]], poet: Poet, tmp_path: Path
) -> None:
    registry, base, made = voices
    save_model(replace(poet.model, temperature=0.9), tmp_path / "next")
    upgraded = Registry(registry.home, release=tmp_path / "next")
    assert upgraded.current() != base
    assert load_record(upgraded.root(made["own"]))["version"] == base
    shutil.rmtree(registry.home / "versions" / base)
    with pytest.raises(CheckpointError, match="is gone"):
        upgraded.root(made["own"])


def test_a_shipped_version_that_was_chosen_outlives_the_next_release(folder: Path, poet: Poet, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=folder)
    shipped = registry.promote(registry.current())
    save_model(replace(poet.model, temperature=0.9), tmp_path / "next")
    upgraded = Registry(registry.home, release=tmp_path / "next")
    assert upgraded.current() == shipped
    assert load_model(upgraded.folder(shipped))[0] == shipped


def test_an_erased_voice_leaves_the_others(voices: tuple[Registry, str, dict[str, str]]) -> None:
    registry, base, made = voices
    registry.promote(made["own"], "server-1")
    registry.promote(made["other"], "server-2")
    picture = registry.home / PLOTS / f"{made['own']}.png"
    picture.parent.mkdir()
    picture.write_bytes(b"PNG")
    registry.erase("server-1")
    registry.erase("server-3")
    assert set(registry.names()) == {base, made["other"]}
    assert not picture.exists()
    assert (registry.current("server-1"), registry.current("server-2")) == (base, made["other"])
    assert not (registry.home / "voices" / "server-1").exists()


@pytest.mark.parametrize("voice", ["../versions", "..", "", "Server 1"])
def test_what_is_no_voice_erases_nothing(voices: tuple[Registry, str, dict[str, str]], voice: str) -> None:
    registry, _, made = voices
    registry.promote(made["own"], "server-1")
    before = sorted(registry.home.rglob("*"))
    with pytest.raises(CheckpointError, match="no voice's name"):
        registry.erase(voice)
    assert sorted(registry.home.rglob("*")) == before


def test_a_damaged_version_is_in_nobody_elses_way(voices: tuple[Registry, str, dict[str, str]]) -> None:
    registry, base, made = voices
    (registry.folder(made["other"]) / JSON_FILE).write_text("{")
    assert [version.name for version in registry.versions_of("server-1")] == [base, made["own"]]
    (registry.folder(made["refused"]) / JSON_FILE).write_text('{"voice": "server-1"}')
    registry.erase("server-1")
    assert not {made["own"], made["refused"]} & set(registry.names()), "damaged or not"


@pytest.mark.parametrize(
    "odd",
    [{"parent": 5}, {"figures": []}, {"base": ["a"]}, {"voice": {}}, {"verdict": 1}, {"weights_sha256": None}]
    + [{key: ...} for key in ("parent", "base", "voice", "verdict", "votes_sha256", "figures", "weights_sha256")],
    ids=str,
)
def test_a_strangers_version_is_in_nobodys_way(
    voices: tuple[Registry, str, dict[str, str]], folder: Path, tmp_path: Path, odd: dict[str, object]
) -> None:
    registry, base, made = voices
    record = {key: value for key, value in (load_record(folder) | odd).items() if value is not ...}
    record["version"] = name = version_name(record)
    shutil.copytree(folder, registry.folder(made["own"]).parent / name)
    (registry.folder(name) / JSON_FILE).write_text(json.dumps(record), encoding="utf-8")
    assert [version.name for version in registry.versions_of("server-1")] == [base, made["own"]]
    for use in (registry.show, registry.root, registry.promote):
        with pytest.raises(CheckpointError):
            use(name)


@pytest.mark.parametrize(
    "odd", [{"temperature": 10**400, "lift": 0.0}, {"generator": []}, {"vocabulary": None}], ids=" ".join
)
def test_what_a_strangers_version_says_is_refused_in_one_sentence(folder: Path, odd: dict[str, object]) -> None:
    record = load_record(folder) | odd
    record["version"] = version_name(record)
    (folder / JSON_FILE).write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(folder)


def test_what_a_killed_process_left_is_cleared_away(folder: Path, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=tmp_path / "none")
    left, fresh = (registry.home / "versions" / name for name in (".left", ".fresh"))
    for path in (left, fresh):
        path.mkdir(parents=True)
    os.utime(left, (0, 0))
    name = registry.register(folder)
    assert {path.name for path in (registry.home / "versions").iterdir()} == {name, ".fresh"}


@pytest.mark.parametrize("file", [WEIGHTS_FILE, JSON_FILE])
@pytest.mark.parametrize("way", ["promote", "register"])
def test_a_damaged_copy_of_the_shipped_version_is_put_right(folder: Path, tmp_path: Path, file: str, way: str) -> None:
    registry = Registry(tmp_path / "home", release=folder)
    shipped = registry.promote(registry.current())
    (registry.home / "versions" / shipped / file).write_bytes(b"junk")
    with pytest.raises(CheckpointError):
        load_model(registry.folder(shipped))
    assert (registry.promote(shipped) if way == "promote" else registry.register(folder)) == shipped
    assert load_model(registry.home / "versions" / shipped)[0] == shipped


def test_a_damaged_version_is_not_promoted(folder: Path, poet: Poet, tmp_path: Path) -> None:
    registry = Registry(tmp_path / "home", release=tmp_path / "none")
    first, second = two_versions(registry, folder, poet, tmp_path)
    registry.promote(first)
    (registry.folder(second) / WEIGHTS_FILE).write_bytes(b"junk")
    with pytest.raises(CheckpointError, match="damaged"):
        registry.promote(second)
    assert registry.current() == first


def test_a_lock_that_somebody_holds_on_to_is_not_waited_for_without_end(
    voices: tuple[Registry, str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, _, made = voices
    registry.promote(made["own"], "server-1")
    monkeypatch.setattr("poetgen.registry._LOCK_SECONDS", 0.1, raising=False)
    with (registry.home / "voices" / "server-1" / "current.lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # who may read it may do that
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(registry.rollback, "server-1")
            try:
                with pytest.raises(UnwrittenError):
                    waiting.result(2)
            finally:
                fcntl.flock(held, fcntl.LOCK_UN)
    assert registry.current("server-1") == made["own"]


def test_of_promotions_and_ways_back_at_once_none_is_lost(folder: Path, poet: Poet, tmp_path: Path) -> None:
    home, release = tmp_path / "home", tmp_path / "none"
    names = []
    for number in range(4):
        save_model(replace(poet.model, temperature=0.6 + 0.1 * number), tmp_path / str(number))
        names.append(Registry(home, release).register(tmp_path / str(number)))

    together = Barrier(2)

    def promote(own: list[str]) -> None:
        registry = Registry(home, release)
        for number in range(8):
            together.wait(10)
            registry.promote(own[number % 2])

    def go_back(_: int) -> None:
        registry = Registry(home, release)
        for _ in range(8):
            together.wait(10)
            registry.rollback()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(promote, (names[:2], names[2:])))
        assert len(json.loads((home / "current.json").read_text(encoding="utf-8"))["promoted"]) == 16
        list(threads.map(go_back, range(2)))
    with pytest.raises(NothingPromotedError):
        Registry(home, release).rollback()
