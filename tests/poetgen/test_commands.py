"""The command line as a person uses it, and the way from a corpus to a poem."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from poetgen.__main__ import main
from poetgen.record import JSON_FILE


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POETGEN_HOME", str(home))


def rows(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_from_a_corpus_to_a_poem(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POETGEN_HOME", str(tmp_path / "home"))
    data, taught, first, second = (str(tmp_path / name) for name in ("data", "teacher", "first", "second"))
    assert main(["prepare", str(corpus), "--out", data]) == 0
    assert "regulated" in capsys.readouterr().out
    tiny = ["--data", data, "--preset", "tiny", "--minutes", "0.02", "--threads", "1"]
    assert main(["pretrain", *tiny, "--out", taught]) == 0
    assert main(["pretrain", *tiny, "--teacher", taught, "--out", first]) == 0
    adversarial = ["adversarial", *tiny, "--generator", first, "--out", second, "--promote", "--measured-poems", "8"]
    assert main([*adversarial, "--counted-chars", "160"]) == 0
    name = re.search(r"Registered as (\w+)", capsys.readouterr().out)
    assert name is not None
    assert main(["write", "--form", "wulv", "--count", "5", "--candidates", "2", "--json"]) == 0
    poems = rows(capsys.readouterr().out)
    assert [poem["version"] for poem in poems] == [name[1]] * 5
    assert all(poem["check"] == {"passed": True, "problems": []} for poem in poems)
    assert main(["versions", "show", name[1]]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"]["pretrain"]["teacher"]["stage"] == "pretrain"
    assert all(0 < distance < 1 for distance in shown["recipe"]["lifts"])
    figures = shown["figures"]
    assert {"generator", "unigram", "bigram", "trigram"} <= set(figures["nats_per_char"])
    assert figures["noise"].keys() == {"own", "another's", "prior"}
    assert all(of_form["regulated"] == 1 for of_form in figures["samples"].values())


def test_a_teacher_that_is_not_there_is_one_sentence(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere, run = str(tmp_path / "nowhere"), str(tmp_path / "run")
    for arguments in (["pretrain", "--teacher", nowhere], ["adversarial", "--generator", nowhere]):
        assert main([*arguments, "--data", str(prepared), "--out", run, "--minutes", "1"]) == 2
        assert "holds no pretrained generator. Make one: poetgen pretrain" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_write_gives_every_field_and_replays(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["write", "--json", "--candidates", "3"]) == 0
    (poem,) = rows(capsys.readouterr().out)
    assert list(poem) == [
        "form", "theme", "title", "seed", "version", "lines", "traditional", "pattern", "rhyme", "realness",
        "in_classics", "check",
    ]  # fmt: skip
    assert main(["write", "--json", "--seed", str(poem["seed"]), "--version", str(poem["version"])[:6]]) == 0
    (again,) = rows(capsys.readouterr().out)
    assert again["traditional"] == poem["traditional"]


def test_write_sets_the_poem_as_a_person_would(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["write", "--seed", "1", "--script", "traditional"]) == 0
    heading, first, second, footer = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"《.{2}》  七絕 · .韻", heading)
    assert all(re.fullmatch(r".{7}，.{7}。", couplet) for couplet in (first, second))
    assert footer.startswith("seed 1 · version ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["write", "--form", "haiku"], "There is no form “haiku”"),
        (["write", "--theme", "x" * 500], "500 characters"),
        (["write", "--theme", "🌙"], "does not know: 🌙"),
        (["write", "--voice", "nobody"], "has no version of its own"),
        (["write", "--count", "0"], "at least one poem"),
        (["write", "--seed", "1", "--count", "2"], "A seed is one poem"),
        (["write", "--version", "nothing"], "There is no version 'nothing'"),
        (["check", "autumn, wind"], "not Chinese characters only"),
        (["check", ""], "Give a poem"),
        (["prepare", "nowhere", "--out", "out"], "There is no corpus"),
        (["pretrain", "--data", "nowhere", "--out", "run", "--minutes", "1"], "poetgen prepare"),
        (["score", "nowhere.jsonl"], "cannot be read"),
        (["versions", "promote", "nothing"], "There is no version"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == [], "nothing half written"


_TRAIN = ["pretrain", "--data", "data", "--out", "run", "--minutes"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["write", "--seed", "abc"], ["write", "--bogus"], ["frobnicate"], [],
        *([*_TRAIN, minutes] for minutes in ("0", "-1", "inf", "nan", "ten", "1e308")),
        [*_TRAIN, "1", "--steps", "0"], [*_TRAIN, "1", "--threads", "0"], [*_TRAIN, "1", "--seed", "-1"],
        [*_TRAIN, "1", "--seed", "99999999999999999999"],
        ["referee", "--data", "data", "--minutes", "0"], ["evaluate", "--data", "data", "--seed", "-1"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_one_sentence_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_form_may_be_named_in_characters(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("五绝", "五絕", "WuJue"):
        assert main(["write", "--form", name, "--seed", "1", "--json"]) == 0
        assert rows(capsys.readouterr().out)[0]["form"] == "wujue"


def test_check_reads_a_poem_and_names_what_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["write", "--seed", "4", "--json"]) == 0
    (poem,) = rows(capsys.readouterr().out)
    lines = poem["traditional"]
    assert isinstance(lines, list)
    monkeypatch.setattr("sys.stdin", io.StringIO("，".join(lines) + "。"))
    assert main(["check", "-"]) == 0
    assert "in order" in capsys.readouterr().out
    assert main(["check", "，".join(lines[:3] + lines[:1]), "--json"]) == 0
    (report,) = rows(capsys.readouterr().out)
    assert report["passed"] is False
    assert report["problems"]
    assert report["form"] == "qijue"


POEM = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"


@pytest.mark.parametrize("text", ["\ufeff" + POEM, POEM.replace("山", "\u200b山"), POEM.replace("，", "，\u200d")])
def test_what_nobody_sees_in_a_poem_is_no_character_of_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", POEM, "--json"])
    plain = capsys.readouterr().out
    assert main(["check", text, "--json"]) == 0
    assert capsys.readouterr().out == plain
    assert rows(plain)[0]["form"] == "wujue"


def test_a_poem_in_another_encoding_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(POEM.encode("gbk")), encoding="utf-8"))
    assert main(["check", "-"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no text in UTF-8" in line


@pytest.mark.parametrize(("closed", "text", "code"), [(">&-", POEM, 0), ("2>&-", "", 2), ("<&-", "-", 2)])
def test_a_closed_stream_is_one_to_nowhere(closed: str, text: str, code: int) -> None:
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "poetgen", "check", text]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr
    assert ("Give a poem" in done.stderr) == (closed == "<&-")


def test_a_corpus_too_small_for_the_least_count_says_which_option_to_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "corpus" / "全唐诗"
    folder.mkdir(parents=True)
    poems = [{"author": "某", "title": "無題", "paragraphs": [text]} for text in (POEM, POEM[12:] + POEM[:12])]
    (folder / "poet.tang.0.json").write_text(json.dumps(poems, ensure_ascii=False), encoding="utf-8")
    assert main(["prepare", str(tmp_path / "corpus"), "--out", str(tmp_path / "out")]) == 2
    assert "--min-char-count" in capsys.readouterr().err.splitlines()[-1]


def test_score_adds_two_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["write", "--count", "3", "--candidates", "1", "--json"])
    path = tmp_path / "poems.jsonl"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["score", str(path)]) == 0
    scored = rows(capsys.readouterr().out)
    assert len(scored) == 3
    for row in scored:
        assert isinstance(row["nll_per_char"], float)
        assert isinstance(row["realness"], float)
        assert "traditional" in row


@pytest.mark.parametrize("text", ["not json", "[1]", '{"lines": "text"}', '{"lines": ["一二"]}'])
def test_score_refuses_what_is_no_poem(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    path = tmp_path / "poems.jsonl"
    path.write_text(text + "\n", encoding="utf-8")
    assert main(["score", str(path)]) == 2
    assert str(path) in capsys.readouterr().err


def test_phonology_is_one_object_a_character(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["phonology", "東龘", "--json"]) == 0
    east, unknown = rows(capsys.readouterr().out)
    assert (east["char"], east["tone"], east["rhyme"]) == ("東", "level", "東")
    assert unknown == {"char": "龘", "tone": None, "rhyme": None, "readings": []}
    assert main(["phonology", "東龘"]) == 0
    assert "not in the corpus" in capsys.readouterr().out


def test_versions_promote_and_roll_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["versions", "list"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("*") == 1
    current = re.search(r"\* (\w+)", listed)
    assert current is not None
    assert main(["versions", "promote", current[1]]) == 0
    assert main(["versions", "show", current[1]]) == 0


def test_a_damaged_version_is_listed_as_such_among_the_others(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home, tmp_path / "home")
    monkeypatch.setenv("POETGEN_HOME", str(tmp_path / "home"))
    assert main(["versions", "list"]) == 0
    before = capsys.readouterr().out.splitlines()
    broken = tmp_path / "home" / "versions" / "broken"
    broken.mkdir()
    (broken / JSON_FILE).write_text("{")
    os.utime(broken / JSON_FILE, (0, 0))
    assert main(["versions", "list"]) == 0
    first, damaged, *others = capsys.readouterr().out.splitlines()
    assert damaged.startswith("  broken  damaged: ")
    assert [first, *others] == before


def test_nothing_heavy_is_imported_for_light_work() -> None:
    code = "import sys, poetgen.__main__, poetgen.registry, poetgen.prosody; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
