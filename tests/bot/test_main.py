"""`python -m bot` as a person starts it: which door opens, and how it ends."""

import json
import logging
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import poetgen
from bot.__main__ import built, main
from bot.doctor import Finding
from bot.errors import StartError
from bot.finetuning import FinetuneLimits
from bot.logs import set_up_logging
from bot.operator import oblige
from bot.poems import Limits
from bot.settings import Settings, load_settings
from bot.store import Store
from tests.bot.conftest import FakePoet, Rows

ROOT = Path(__file__).parents[2]
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"
RELEASE = Path(poetgen.__file__).parent / "release"
needs_release = pytest.mark.skipif(not any(RELEASE.glob("*.safetensors")), reason="no release is shipped yet")

# The bot as it is, with the tests' poet in the place of the model: it starts at once.
_WITH_FAKE_POET = """
import sys, bot.__main__ as program
from tests.bot.conftest import FakePoet
program.load_poet = lambda home, num_threads, version: FakePoet()
sys.exit(program.main([]))
"""


def _environment(**values: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"} | values


def _start(tmp_path: Path, *command: str, **values: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=tmp_path,
        env=_environment(**values),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _refusal(tmp_path: Path, stdin: int | None = subprocess.DEVNULL, code: int = 2, **values: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bot"],
        cwd=tmp_path,
        env=_environment(**values),
        stdin=stdin,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == code
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr


def test_without_token_and_input_one_sentence(tmp_path: Path) -> None:
    assert "There is no DISCORD_TOKEN and nobody to type" in _refusal(tmp_path)
    assert list(tmp_path.iterdir()) == [], "nothing half written"


def test_with_closed_input_one_sentence(tmp_path: Path) -> None:
    code = f"import os, sys; os.close(0); os.execv({sys.executable!r}, [{sys.executable!r}, '-m', 'bot'])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert "There is no DISCORD_TOKEN" in done.stderr


def test_placeholder_for_a_token_one_sentence(tmp_path: Path) -> None:
    assert "DISCORD_TOKEN is not a bot token" in _refusal(tmp_path, DISCORD_TOKEN="your-token-here")


def test_unusable_database_one_sentence(tmp_path: Path) -> None:
    assert "cannot be opened" in _refusal(tmp_path, DISCORD_TOKEN=TOKEN, DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}")


def test_what_may_mend_itself_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    database = tmp_path / "yin.db"
    url = f"sqlite+aiosqlite:///{database}"
    with closing(sqlite3.connect(f"{database}.lock", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "Another instance of me is running" in _refusal(tmp_path, code=75, DISCORD_TOKEN=TOKEN, DATABASE_URL=url)
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "is in use by another program" in _refusal(tmp_path, code=75, DISCORD_TOKEN=TOKEN, DATABASE_URL=url)


def test_json_log_holds_why_it_does_not_start(tmp_path: Path) -> None:
    for token, said in (("", "There is no DISCORD_TOKEN"), (TOKEN, "DATABASE_URL names no database")):
        line = json.loads(_refusal(tmp_path, LOG_FORMAT="json", DISCORD_TOKEN=token, DATABASE_URL="sqlite://"))
        assert line["message"].startswith(said)
        assert line["levelname"] == "CRITICAL"


def _asked(tmp_path: Path, *words: str, **values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot", *words],
        cwd=tmp_path,
        env=_environment(**values),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_operator_fulfils_what_somebody_cannot_ask_the_bot_for(tmp_path: Path) -> None:
    home, rows = tmp_path / "home", Rows(tmp_path / "data" / "yin.db")
    typed = "/poem form:qijue theme:秋夜\n/rate up\n"
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    _, complained = program.communicate(typed.encode(), timeout=30)
    assert program.returncode == 0, complained.decode()
    rows.run("UPDATE poems SET requester_id = 77, guild_id = 55")
    rows.run("UPDATE votes SET voter_id = 77")
    (home / "voices" / "server-55").mkdir(parents=True)

    told = _asked(tmp_path, "export", "77", PYTHONIOENCODING="ascii")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert [row["theme"] for row in found["poems"]] == ["秋夜"]
    assert [row["value"] for row in found["votes"]] == [1]

    told = _asked(tmp_path, "forget", "77")
    assert (told.returncode, told.stderr) == (0, "")
    assert "poems 1, votes 1" in told.stdout
    assert rows("SELECT requester_id, theme FROM poems") == [(-1, "")]
    assert rows("SELECT * FROM votes") == []

    told = _asked(tmp_path, "erase-server", "55", POETGEN_HOME=str(home))
    assert (told.returncode, told.stderr) == (0, "")
    assert rows("SELECT * FROM poems") == []
    assert not (home / "voices" / "server-55").exists()

    rows.run("DROP TABLE votes")
    told = _asked(tmp_path, "forget", "77")
    assert (told.returncode, told.stdout) == (2, "")
    assert "yin.db cannot be used (no such table: votes)" in told.stderr
    assert told.stderr.count("\n") == 1


def test_operator_is_told_in_one_sentence_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["forget"], "I am started with"),
        (["forget", "1", "2"], "I am started with"),
        (["erase", "1"], "I am started with"),
        (["forget", "alice"], "forget takes an id, a number"),
        (["forget", "0"], "forget takes an id, a number"),
        (["export", "9" * 30], "export takes an id, a number"),
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(said)
    told = _asked(tmp_path, "forget", "77")
    assert told.returncode == 2
    assert "There is no database at" in told.stderr
    assert list(tmp_path.iterdir()) == [], "none is made"
    with (
        closing(sqlite3.connect(tmp_path / "yin.db")),
        closing(sqlite3.connect(tmp_path / "yin.db.lock", isolation_level=None)) as running,
    ):
        (tmp_path / "yin.db").touch()
        running.execute("BEGIN EXCLUSIVE")
        told = _asked(tmp_path, "forget", "77", DATABASE_URL=f"sqlite+aiosqlite:///{tmp_path}/yin.db")
    assert told.returncode == 75
    assert "stop that one first" in told.stderr


async def test_settings_reach_what_they_are_for_and_servers_choices_hold_over_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.__main__.load_poet", lambda home, num_threads, version: FakePoet())
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    words = tmp_path / "words"
    words.write_text("月餅\n", encoding="utf-8")
    settings = Settings(
        _env_file=None, database_url=f"sqlite+aiosqlite:///{tmp_path}/yin.db", poetgen_home=tmp_path, word_list=words,
        daily_quota=7, cooldown_seconds=8, poetry_script="traditional", finetune_minutes=1, finetune_min_poems=20,
        finetune_min_voters=3, finetune_min_votes=40, finetune_silence_minutes=5, finetune_memory_mb=900,
    )  # fmt: skip
    async with built(settings) as services:
        assert services.poems.limits == Limits(7, 8, "traditional")
        assert services.finetuning.limits == FinetuneLimits(1, 20, 3, 40, 300.0, 900)
        assert TOKEN not in services.finetuning._variables.values()
        assert services.poems.words.found_in("月饼")
        await services.store.servers.choose(5, lambda chosen: replace(chosen, words=("月",)))
    async with built(settings) as services:
        assert services.store.servers.of(5).words == ("月",)


def test_doctor_tells_by_its_exit_code_whether_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("POETGEN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("bot.doctor._fonts", lambda _: Finding(None, "fonts", "whether there is any."))
    assert main(["doctor"]) == 0, capsys.readouterr().out
    monkeypatch.setenv("WORD_LIST", str(tmp_path / "missing"))
    assert main(["doctor"]) == 1
    assert "FAIL words: WORD_LIST" in capsys.readouterr().out


def test_missing_poet_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "current.json").write_text('{"promoted": ["gone"]}', encoding="utf-8")
    assert "There is no version" in _refusal(tmp_path, DISCORD_TOKEN=TOKEN, POETGEN_HOME=str(home))


def test_piped_commands_are_answered_and_kept(tmp_path: Path) -> None:
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    typed = "/poem form:qijue theme:秋夜\n/sonnet\n/rate up"  # the last line without its end, then the input ends
    said, complained = program.communicate(typed.encode(), timeout=30)
    assert program.returncode == 0, complained.decode()
    assert "一道残阳铺水中，半江瑟瑟半江红。" in said.decode()
    assert "There is no command /sonnet" in said.decode()
    rows = Rows(tmp_path / "data" / "yin.db")
    assert rows("SELECT theme FROM poems") == [("秋夜",)]
    assert rows("SELECT voter_id, value FROM votes") == [(0, 1)]


def test_what_is_no_setting_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TORCH_THREAD=1\n", encoding="utf-8")
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    _, complained = program.communicate(b"/quit\n", timeout=30)
    assert program.returncode == 0
    assert "TORCH_THREAD in .env is no setting; is it TORCH_THREADS?" in complained.decode()


def test_bytes_that_are_no_text_are_answered(tmp_path: Path) -> None:
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    said, complained = program.communicate(b"/poem theme:\xff\xfe\n/poem theme:\xe7\xa7\x8b\n", timeout=30)
    assert program.returncode == 0, complained.decode()
    assert "does not know" in said.decode()
    assert Rows(tmp_path / "data" / "yin.db")("SELECT theme FROM poems") == [("秋",)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    assert program.stdin is not None
    assert program.stdout is not None
    assert b"Yin" in program.stdout.readline()
    program.stdin.write("/poem theme:秋夜\n".encode())
    program.stdin.flush()
    while b"seed" not in program.stdout.readline():
        pass
    started = time.monotonic()
    program.send_signal(number)
    _, complained = program.communicate(timeout=10)
    assert program.returncode == 0, complained.decode()
    assert complained == b""
    assert time.monotonic() - started < 5
    assert not (tmp_path / "data" / "yin.db-wal").exists(), "the database was closed"


def test_errors_are_counted_wherever_they_are_logged(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    failing = _WITH_FAKE_POET.replace("FakePoet()", "FakePoet(fail_on='秋夜')")
    program = _start(tmp_path, "-c", failing, HEALTH_PORT=str(port))
    assert program.stdin is not None
    assert program.stdout is not None
    program.stdin.write("/poem theme:秋夜\n".encode())
    program.stdin.flush()
    while b"in my log as" not in program.stdout.readline():
        pass
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        assert "yin_errors_total 1.0" in page.read().decode()
    _, complained = program.communicate(b"/quit\n", timeout=30)
    assert program.returncode == 0
    assert complained.decode().count("Traceback") == 1


def test_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    program = _start(tmp_path, "-c", _WITH_FAKE_POET)
    assert program.stdout is not None
    program.stdout.readline()
    program.stdout.close()
    program.stdout = None
    _, complained = program.communicate(b"/poem\n/poem\n", timeout=30)
    assert program.returncode == 0
    assert complained == b""


def test_token_never_reaches_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        set_up_logging(Settings(_env_file=None, discord_token=TOKEN))
        try:
            raise RuntimeError(f"Authorization: Bot {TOKEN}")
        except RuntimeError:
            logging.getLogger("anything").exception("the header was %s", TOKEN)
    finally:
        root.handlers[:], root.level = before
    logged = capsys.readouterr().err
    assert "the header was [token]" in logged
    assert "Authorization" in logged
    assert TOKEN not in logged


@needs_release
def test_shipped_poet_writes_in_the_console(tmp_path: Path) -> None:
    program = _start(tmp_path, "-m", "bot", POETGEN_HOME=str(tmp_path / "home"))
    said, complained = program.communicate("/poem form:qijue theme:秋夜\n/rate up\n/quit\n".encode(), timeout=120)
    assert program.returncode == 0, complained.decode()
    rows = Rows(tmp_path / "data" / "yin.db")
    [(text,)] = rows("SELECT text FROM poems")
    assert [len(line) for line in str(text).splitlines()] == [7] * 4
    assert said.decode().count("。") == 2
    assert rows("SELECT voter_id, value FROM votes") == [(0, 1)]


def test_help_is_told_and_an_id_is_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["--help"], ["forget", "-h"]):
        assert main(typed) == 0
        assert "erase-server SERVER_ID" in capsys.readouterr().out
    assert main(["erase-server", "foo"]) == 2
    assert "erase-server takes an id, a number" in capsys.readouterr().err


async def test_erasing_what_was_never_there_says_so(store: Store, url: str, tmp_path: Path) -> None:
    await store.servers.choose(5, lambda chosen: replace(chosen, quota=3))
    assert await store.servers.is_known(5)
    await store.close()
    settings = Settings(_env_file=None, database_url=url, poetgen_home=tmp_path / "home")
    with pytest.raises(StartError, match="Nothing is stored of server 12345"):
        await oblige(settings, "erase-server", 12345)
    assert "Server 5 is erased" in await oblige(settings, "erase-server", 5)
    with pytest.raises(StartError, match="check the id"):
        await oblige(settings, "erase-server", 5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEALTH_PORT", "many", "HEALTH_PORT must be a whole number."),
        ("PRIVACY_URL", "http://x", "PRIVACY_URL must be an address that begins with https://."),
    ],
)
def test_settings_are_refused_in_plain_words(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError) as refused:
        load_settings(None)
    assert str(refused.value) == said
