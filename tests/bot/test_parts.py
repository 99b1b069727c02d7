"""Themes, words, cards, the doctor and the health page: each alone."""

import io
import logging
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import aiohttp
import pytest
from PIL import Image
from pydantic import SecretStr
from pypinyin import lazy_pinyin

from bot.card import HEIGHT, SYSTEM_FONTS, WIDTH, Cards, alt_text
from bot.doctor import Finding, _settings, examine
from bot.errors import BotError, NotNowError, StartError
from bot.health import Health
from bot.logs import errors_counted, set_up_logging
from bot.metrics import Metrics
from bot.settings import Settings
from bot.store import Store
from bot.themes import meant, nearest, own_themes, suggestions, themes
from bot.words import WordList
from poetgen.errors import CheckpointError
from poetgen.poem import FORMS, MAX_THEME_LENGTH, Poem
from poetgen.registry import Registry
from poetgen.script import is_hanzi, to_traditional
from tests.bot.conftest import LINES, Rows

POEM = Poem(LINES, FORMS["qijue"], "暮江吟")
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"
needs_font = pytest.mark.skipif(not Cards().available, reason="no font with Chinese characters is installed")


def test_themes_are_about_two_hundred_and_each_has_all_its_names() -> None:
    assert 200 <= len(themes()) <= 300
    assert len(own_themes()) == len(themes())
    for theme in themes():
        assert is_hanzi(theme.hanzi)
        assert to_traditional(theme.hanzi) == theme.hanzi, "written as the poet writes it"
        assert len(theme.hanzi) <= MAX_THEME_LENGTH
        assert all(theme.english)
        assert all(name == name.lower() for name in theme.english)
        assert all(theme.japanese)
        assert all(theme.korean)
        assert theme.pinyin == " ".join(lazy_pinyin(theme.hanzi))


@pytest.mark.parametrize(
    ("typed", "theme"),
    [
        ("autumn moon", "秋月"), ("  The Autumn-Moon ", "秋月"), ("秋の月", "秋月"), ("가을 달", "秋月"),
        ("秋月", "秋月"),        ("送别", "送別"), ("goodbye", "送別"), ("自家題", "自家題"), ("", ""),
        ("夜明け", "曉"), ("バラ", "薔薇"), ("月と花", "月花"), ("벗", "友"), ("친구", "友"), ("가을달", "秋月"),
        ("달과 꽃", "月花"), ("qiuyue", "秋月"), ("Qiū yuè", "秋月"), ("chun jiang", "春江"),
        # Of one character pinyin may be another word.
        ("he", "he"), ("die", "die"), ("long", "long"),
    ],
)  # fmt: skip
def test_theme_is_known_by_its_names(typed: str, theme: str) -> None:
    assert meant(typed) == theme


def test_suggestions_are_bounded_and_in_the_readers_language() -> None:
    assert len(suggestions("", "simplified", "en-US")) == 25
    assert suggestions("autumn moon", "simplified", "ja")[0] == ("秋月 秋の月", "秋月")
    assert suggestions("送别", "simplified", "zh-CN")[0] == ("送别", "送別")
    assert suggestions("qqqq", "simplified", "ko") == []
    assert suggestions("yuè", "simplified", "en-US")[0] == ("月 moon", "月")
    assert ("月 moon", "月") in suggestions("yue", "simplified", "en-US")
    assert suggestions("벗", "traditional", "ko")[0] == ("友 친구", "友")


@pytest.mark.parametrize("typed", ["王八蛋", "王 八.蛋", "\uff26\uff35\uff23\uff2b", "f-u-c-k", "傻\u200b逼", "杀光"])
def test_words_are_found_folded(typed: str) -> None:
    assert WordList().found_in(typed)


@pytest.mark.parametrize(
    "typed", ["强奸東風", "强奸东风", "乾你孃", "榦你孃東風", "沙鵰", "狗孃养国", "回迴狗", "奸淫國"]
)
def test_words_are_found_however_they_come_to_look_so(typed: str) -> None:
    assert WordList().found_in(typed), "in simplified characters it is shown as a word of the list"


@pytest.mark.parametrize("typed", ["共產党", "共产党", "共產黨", "共产黨東風", "共产党国國"])
@pytest.mark.parametrize("listed", ["共产党", "共產黨"])
def test_a_servers_word_is_found_in_any_mixture_of_scripts(listed: str, typed: str) -> None:
    assert WordList().found_in(typed, (listed,))


def test_only_what_lines_begin_with_is_read_upwards() -> None:
    words = WordList()
    assert words.found_in_heads("蛋八王")
    words.refuse(["蛋八王"])
    with pytest.raises(BotError):
        words.refuse([], acrostic="蛋八王")


@pytest.mark.parametrize("line", ["死去元知萬事空", "穆王八駿空", "貴賤人間事", "何處美人妖"])
def test_words_of_verse_are_no_insults(line: str) -> None:
    words = WordList()
    words.refuse([line])
    assert not words.found_in_lines([line])


@pytest.mark.parametrize(
    ("typed", "theme"),
    [("Cats", "貓"), ("moon and flowers", "月花"), ("Wine, snow", "酒雪"), ("I miss my cat", "I miss my cat"),
     ("mountain temple", "山寺"), ("old friend wine and flower moon", "故人酒花月"), ("moon nonsense", "moon nonsense"),
     ("autumn rain " * 400 + "zzz", "autumn rain " * 400 + "zzz"),
     ("秋夜", "秋夜"), ("moon and nonsense", "moon and nonsense")],
)  # fmt: skip
def test_themes_are_meant_in_the_plural_and_together(typed: str, theme: str) -> None:
    assert meant(typed) == theme


@pytest.mark.parametrize(
    ("typed", "word", "near"),
    [
        ("mooon", "mooon", ["moon"]), ("Autum  Night", "Autum  Night", ["autumn night"]),
        ("mooon and flowers", "mooon", ["moon"]), ("moon, flowrs & wine", "flowrs", ["flowers"]),
        ("mountains and rivrs", "mountains and rivrs", ["mountains and rivers"]), ("wien", "wien", ["wine"]),
        ("hops", "", []), ("homs", "", []), ("flwer", "flwer", ["flower"]),
        ("computer", "", []), ("moon and nonsense", "", []), ("🍂", "", []), ("夜" * 500, "", []), ("", "", []),
    ],
)  # fmt: skip
def test_nearest_names_are_those_of_the_word_that_is_unknown(typed: str, word: str, near: list[str]) -> None:
    assert nearest(typed) == (word, near)


@pytest.mark.parametrize("typed", ["a" + " " * 5998 + "b", " \t" * 3000, "a" + " , " * 2000, " and" * 1500])
def test_no_text_takes_long_to_be_looked_up(typed: str) -> None:
    started = time.process_time()
    suggestions(typed, "simplified", "en-US")
    meant(typed)
    assert time.process_time() - started < 0.2, "whoever else asks waits for it"


def test_nearest_names_are_of_different_themes() -> None:
    assert nearest("mountian")[1] == ["mountain", "fountain"]
    for theme in themes()[:40]:
        _, near = nearest(f"{theme.english[0]}q")
        assert 1 <= len(near) == len({meant(name) for name in near}) <= 3


def test_words_of_the_owner_and_the_server_join_ours(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_text("# 月光\n月餅\n", encoding="utf-8")
    words = WordList(path)
    assert not words.found_in("# 月光")
    assert words.found_in("吃月饼")
    assert not words.found_in("春江花月")
    assert words.found_in("春江花月", ("江花",))
    with pytest.raises(BotError):
        words.refuse(["", "月餅"])
    assert words.found_in_lines(["中秋月餅圓"])
    assert words.found_in_lines(["餅香", "月明"]), "its heads, read upwards"
    assert not words.found_in_lines(["中秋餅月圓"]), "nobody reads a line backwards"
    with pytest.raises(StartError, match="WORD_LIST"):
        WordList(tmp_path / "missing")


@needs_font
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shade", ["light", "dark"])
def test_card_is_a_quick_picture_within_the_frame(form: str, shade: str) -> None:
    length = FORMS[form].line_lengths[0]
    poem = Poem(tuple(line[:length] for line in (LINES * 2)[: FORMS[form].num_lines]), FORMS[form], "暮江吟")
    cards = Cards()
    cards.draw(poem, "traditional", shade, "詩社")  # type: ignore[arg-type]
    started = time.monotonic()
    drawn = cards.draw(poem, "traditional", shade, "詩社")  # type: ignore[arg-type]
    assert time.monotonic() - started < 0.3
    assert drawn is not None
    image = Image.open(io.BytesIO(drawn)).convert("L")
    assert image.size == (WIDTH, HEIGHT)
    # Outside the frame there is paper only, and inside there is ink in every column of the poem.
    margin = image.crop((0, 0, WIDTH, 40))
    assert _contrast(margin) < 30
    inside = image.crop((70, 70, WIDTH - 70, HEIGHT - 70))
    assert _contrast(inside) > 120


def _contrast(image: Image.Image) -> int:
    """The lightest minus the darkest tone."""
    tones = [tone for tone, count in enumerate(image.histogram()) if count]
    return tones[-1] - tones[0]


@needs_font
@pytest.mark.parametrize("seal", ["", "🎉🎉", "Poets Corner", "春江花月夜詩社", "x" * 100])
def test_any_name_makes_a_seal(seal: str) -> None:
    assert Cards().draw(POEM, "simplified", "light", seal) is not None


@needs_font
def test_font_without_a_character_gives_way_to_the_next(tmp_path: Path) -> None:
    rare = Poem(("𠀀" * 5,) * 4, FORMS["wujue"], "題")
    first = Cards().fonts[0]
    assert Cards(first, ()).draw(rare, "traditional", "light", "吟") is None
    assert Cards(first, ()).draw(POEM, "traditional", "light", "吟") is not None


def test_without_a_font_there_are_no_cards(tmp_path: Path) -> None:
    broken = tmp_path / "font.ttf"
    broken.write_bytes(b"no font")
    cards = Cards(broken, (("package", str(tmp_path / "missing.ttf")),))
    assert not cards.available
    assert cards.draw(POEM, "simplified", "light", "吟") is None


def test_alt_text_holds_the_poem() -> None:
    assert alt_text(POEM, "simplified") == ("暮江吟：一道残阳铺水中 半江瑟瑟半江红 可怜九月初三夜 露似真珠月似弓")


async def test_doctor_says_what_to_do_in_one_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = tmp_path / "yin.db"
    settings = Settings(_env_file=None, database_url="sqlite+aiosqlite:///yin.db", poetgen_home=tmp_path / "home")
    found = {finding.what: finding for finding in await examine(settings)}
    assert set(found) == {"token", "settings", "database", "model", "voices", "fonts", "words", "disk"}
    assert found["token"].well is None
    assert str(tmp_path / ".env") in found["settings"].said
    assert f"{database} will be made" in found["database"].said, "absolute, for it depends on where it is started"
    assert found["model"].well
    assert all("\n" not in finding.line() for finding in found.values())
    assert not database.exists(), "it only looks"

    (tmp_path / ".env").write_text("TORCH_THREAD=1\n", encoding="utf-8")
    database.write_text("no database " * 100)
    monkeypatch.setattr("bot.card.SYSTEM_FONTS", ())
    monkeypatch.setattr("bot.doctor.Cards", lambda path: Cards(path, ()))
    bad = settings.model_copy(update={"card_font": tmp_path / "x.ttf", "word_list": tmp_path / "y"})
    found = {finding.what: finding for finding in await examine(bad)}
    assert [name for name, finding in found.items() if finding.well is False] == [
        "settings",
        "database",
        "fonts",
        "words",
    ]
    assert found["settings"].said == "TORCH_THREAD in .env is no setting; is it TORCH_THREADS?"
    secret = settings.model_copy(update={"discord_token": SecretStr(TOKEN)})
    for mode, well in ((0o644, False), (0o640, True)):
        (tmp_path / ".env").write_text("TORCH_THREADS=1\n", encoding="utf-8")
        (tmp_path / ".env").chmod(mode)
        assert _settings(secret).well is well
    assert "may be read by everybody" not in _settings(settings).said
    assert "is not a SQLite database" in found["database"].said
    assert all(package in found["fonts"].said for package, _ in SYSTEM_FONTS)


async def test_doctor_finds_what_the_bot_would_stumble_over(
    store: Store, url: str, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.close()

    async def found(**values: object) -> dict[str, Finding]:
        settings = Settings(_env_file=None, database_url=url, poetgen_home=tmp_path).model_copy(update=values)
        return {finding.what: finding for finding in await examine(settings)}

    assert (await found())["database"].well
    for other in (f"sqlite:///{tmp_path}/yin.db", "sqlite+aiosqlite://", "postgresql://host/yin"):
        assert "DATABASE_URL names no" in (await found(database_url=other))["database"].said
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", Path("/proc/nope")):
        voices = (await found(poetgen_home=home))["voices"]
        assert voices.well is False
        assert str(home) in voices.said
    monkeypatch.setattr("bot.doctor.shutil.disk_usage", lambda _: SimpleNamespace(free=499 * 2**20))
    full = (await found())["disk"]
    assert full.well is False
    assert "Make room." in full.said
    rows.run("UPDATE alembic_version SET version_num = '9999'")
    later = (await found())["database"]
    assert later.well is False
    assert "by a later version" in later.said


async def test_health_is_served_on_localhost() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ready = [False]
    metrics = Metrics()
    metrics.votes.inc(3)
    metrics.count_queue(lambda: 7)
    with errors_counted(metrics.errors.inc):
        logging.getLogger("anything").error("nobody expected that")
        logging.getLogger("anything").warning("somebody did")
    logging.getLogger("anything").error("not meant any more")

    async def version() -> str:
        if ready[0]:
            raise CheckpointError("damaged")
        return "v1"

    async with Health(port, metrics, lambda: ready[0], version), aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/healthz") as answer:
            assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 503
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
        ready[0] = True
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            page = await answer.text()
        with pytest.raises(NotNowError, match="HEALTH_PORT"):
            async with Health(port, metrics, lambda: True, version):
                pass
    for line in (
        "yin_errors_total 1.0",
        "yin_ready 1.0",
        "yin_votes_total 3.0",
        "yin_queue_length 7.0",
        'yin_version_info{version="v1"} 1.0',
    ):
        assert line in page
    for name in ("yin_event_loop_lag_seconds", "yin_acknowledge_seconds", "yin_compose_seconds", "yin_poems_total"):
        assert name in page


def test_json_log_holds_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        set_up_logging(Settings(_env_file=None, discord_token=TOKEN, log_format="json"))
        logging.getLogger("anything").error("the header was %s", TOKEN)
        logging.getLogger("discord.http").warning(
            "PATCH https://d.c/api/v10/webhooks/12/aW50-ZX_J.a/messages/@original, "
            "POST https://d.c/api/v10/interactions/13/aW50-ZX_J.a/callback"
        )
    finally:
        root.handlers[:], root.level = before
    logged = capsys.readouterr().err
    assert '"message": "the header was [token]"' in logged
    assert "/webhooks/12/[token]/messages/@original" in logged
    assert "/interactions/13/[token]/callback" in logged


async def test_doctor_reads_the_poets_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(_env_file=None, poetgen_home=tmp_path / "home")
    Registry(settings.poetgen_home)
    monkeypatch.setattr("poetgen.registry.weights_hash", lambda folder: "0" * 64)
    (model,) = [finding for finding in await examine(settings) if finding.what == "model"]
    assert model.well is False
    assert "is damaged" in model.said
