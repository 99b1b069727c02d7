"""The console: the same commands as on Discord, typed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.console import Console
from bot.services import Services
from bot.store.dailies import Daily
from poetgen.errors import CheckpointError, RequestError
from poetgen.poem import PoemRequest
from poetgen.registry import Version
from tests.bot.conftest import FakePoet, FakeRegistry, Rows, Trainer


async def _session(services: Services, *lines: str, folder: Path = Path("/nowhere")) -> str:
    async def typed() -> AsyncIterator[str]:
        for line in lines:
            yield line

    said: list[str] = []
    await Console(services, said.append, folder).run(typed())
    return "\n".join(said[1:])


async def test_poem_is_shown_and_kept(services: Services, rows: Rows) -> None:
    said = await _session(services, "/poem form:qijue theme:秋夜 seed:5", "/quit", "/poem")
    assert "秋夜\n一道残阳铺水中，半江瑟瑟半江红。\n可怜九月初三夜，露似真珠月似弓。\n" in said
    assert "seed 5" in said
    assert "**" not in said
    query = "SELECT form, theme, seed, requester_id, message_id FROM poems"
    assert rows(query) == [("qijue", "秋夜", 5, 0, None)], "nothing after /quit is read"


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/poem", ("qijue", "")),
        ("/poem theme:秋夜 form:wulv", ("wulv", "秋夜")),
        ("/poem theme： 秋夜", ("qijue", "秋夜")),
        ("/poem moon", ("qijue", "月")),
        ("/poem Autumn moon FORM:wujue", ("wujue", "秋月")),
        ("/poem Theme:秋夜", ("qijue", "秋夜")),
        ("/poem theme:Autumn moon form:wujue", ("wujue", "秋月")),
        ("  /poem   form:wujue  ", ("wujue", "")),
        ("/poem first_line:春眠不覺曉", ("wujue", "")),
        ("/poem first_line:一道殘陽鋪水中", ("qijue", "")),
        ("/poem acrostic:春夏秋冬風", ("qilv", "")),
        ("/poem acrostic:春夏秋冬風 first_line:春眠不覺曉", ("wulv", "")),
        ("/poem acrostic:春夏秋冬風 form:wujue", ("wujue", "")),
    ],
)
async def test_options_in_any_order(services: Services, rows: Rows, line: str, asked: tuple[str, str]) -> None:
    await _session(services, line)
    assert rows("SELECT form, theme FROM poems") == [asked]


@pytest.mark.parametrize("typed", ["jiang", "Jiāng", "江"])
async def test_rhyme_may_be_pinyin(services: Services, poet: FakePoet, typed: str) -> None:
    await _session(services, f"/poem rhyme:{typed}")
    assert poet.batches[0][0].rhyme == "江"


async def test_rhymes_to_choose_from_are_spelt(
    services: Services, poet: FakePoet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(request: PoemRequest) -> PoemRequest:
        raise RequestError("rhyme", text=request.rhyme, groups="東 冬")

    monkeypatch.setattr(poet, "check", check)
    assert "Give one of 东 dōng, 冬 dōng." in await _session(services, "/poem rhyme:x")


async def test_last_poem_is_rated(services: Services, rows: Rows) -> None:
    said = await _session(services, "/poem", "/poem", "/rate up")
    assert rows("SELECT poem_id, voter_id, value, weight FROM votes") == [(2, 0, 1, 1)], "here one's own vote counts"
    assert "1 👍 and 0 👎" in said
    await _session(services, "/poem", "/rate up", "/rate down")
    assert rows.votes() == [(2, 0, 1), (3, 0, -1)]
    assert (await _session(services, "/poem", "/rate down", "/rate clear")).endswith("\nVote removed.")
    assert rows.votes() == [(2, 0, 1), (3, 0, -1)]


async def test_buttons_are_words(services: Services, poet: FakePoet, tmp_path: Path) -> None:
    lines = ("/poem theme:秋夜", "/another", "/vary", "/read", "/info", "/rate up", "/info", "/card dark", "/top")
    said = await _session(services, *lines, folder=tmp_path)
    assert [batch[0].vary for batch in poet.batches] == [None, None, 8]
    assert "yī dào cán yáng" in said
    assert "一○ 道● 残○" in said
    assert said.count("fake-1") == 1, "the version is told after the vote"
    assert "1 👍 0 👎" in said
    if services.cards.available:
        assert (tmp_path / "poem-3-dark.png").read_bytes().startswith(b"\x89PNG")
        assert str(tmp_path / "poem-3-dark.png") in said


async def test_earlier_poem_is_shown_again_and_is_the_last_one_then(services: Services, rows: Rows) -> None:
    said = await _session(services, "/poem theme:春", "/poem theme:秋夜", "/info", "/show 1", "/rate up")
    assert "Its number is 2; /show poem:2 shows it again." in said
    assert said.count("春\n一道残阳铺水中") == 2
    await _session(services, "/show poem:2", "/rate down")
    assert rows.votes() == [(1, 0, 1), (2, 0, -1)]
    rows.run("UPDATE poems SET guild_id = 5 WHERE id = 1")
    assert "not there any more" in await _session(services, "/show 1")


async def test_the_last_poem_is_still_the_last_one_next_time(services: Services, tmp_path: Path) -> None:
    assert "There is no poem yet" in await _session(services, "/info", "/poem theme:秋夜", folder=tmp_path)
    said = await _session(services, "/read", "/delete", "/read", folder=tmp_path)
    assert "yī dào cán yáng" in said
    assert "“秋夜” is deleted." in said
    assert said.endswith("There is no poem yet; /poem writes one.")


async def test_the_poem_before_a_deleted_one_is_the_last_one_then(services: Services, rows: Rows) -> None:
    said = await _session(services, "/poem theme:春", "/poem theme:秋夜", "/delete", "/rate up", "/top", "/info")
    assert "“秋夜” is deleted." in said
    assert rows.votes() == [(1, 0, 1)]
    assert "1. 春 · 1 👍 0 👎 · /show 1\n" in said
    assert "Its number is 1" in said
    said = await _session(services, "/privacy delete yes", "/info")
    assert "Its number is 1" in said, "a common theme's poem stays, without a name"


async def test_admin_commands(services: Services, registry: FakeRegistry, rows: Rows) -> None:
    registry.add("fake-2", "server-0")
    said = await _session(
        services, "/settings script traditional", "/settings timezone asia/tokyo", "/settings words +月夜",
        "/settings limits 9 1", "/poem theme:月夜", "/poem theme:秋夜", "/voice list", "/voice use fake-2",
        "/voice rollback", "/daily set 08:00 wujue",
        "/daily off", "/owner status", "/owner voice list", "/about", "/settings words -月夜",
        "/settings language zh-CN", "/finetune status", "/settings language auto",
    )  # fmt: skip
    assert "一道殘陽鋪水中" in said
    assert "Asia/Tokyo" in said
    assert "on the list here" in said
    assert "version fake-2 is heard" in said
    assert "to this terminal at 08:00 (Asia/Tokyo)" in said
    assert "公开回复的语言：简体中文\n" in said
    assert "no poem a day any more" in said
    assert "servers: 1 · poems: 1 · " in said
    assert "The poems are yours to use. It does not read your messages. /privacy show: what is stored" in said
    assert "这种诗风没有正在进行的微调" in said
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_compare_and_pick(services: Services, registry: FakeRegistry, rows: Rows) -> None:
    registry.add("fake-2", "server-0")
    said = await _session(services, "/pick 1", "/voice compare theme:秋夜", "/pick 2", "/pick 1")
    assert "/voice compare shows two poems" in said
    assert said.index("Which do you like better?") < said.index("fake-2")
    assert rows("SELECT picked FROM comparisons") == [(2,)], "once they are named there is no other choice"


async def test_daily_poems_of_servers_are_not_for_the_terminal(services: Services) -> None:
    admin = Console(services, print, Path("/nowhere")).admin
    homes = [admin.home(Daily(guild_id, 3, 480, None, 0)) for guild_id in (0, 5)]
    assert homes == [("en", False), None]


async def test_check_privacy_delete_report(services: Services, rows: Rows, tmp_path: Path) -> None:
    said = await _session(
        services, "/check 白日依山盡，黃河入海流。欲窮千里目，更上一層樓。", "/poem", "/report", "/delete", "/poem",
        "/check 白日依山尽黄河入海流欲穷千里目更上一层楼",
        "/privacy show", "/privacy export", "/privacy delete", "/privacy delete yes", folder=tmp_path,
    )  # fmt: skip
    assert "依○ 山● 盡○" in said, "as it was typed"
    assert "依○ 山● 尽○" in said
    assert "Thank you." in said
    assert "” is deleted." in said
    assert "poems asked for: 1 · " in said
    assert (tmp_path / "yin-privacy.json").exists()
    assert rows("SELECT requester_id FROM poems") == [(-1,)]


async def test_finetune_is_shown_as_it_goes_on(services: Services, trainer: Trainer, rows: Rows) -> None:
    trainer.write("stage('generator', 0.5)\nsaid(version='new-1', verdict='promoted', reasons=[])")
    await services.finetuning.start()

    async def typed() -> AsyncIterator[str]:
        for line in ("/poem", "/rate up"):
            yield line
        for voter, value in ((1, 1), (2, -1)):
            rows.run(f"INSERT INTO votes VALUES (1, {voter}, {value}, 0, 1, 0)")
        yield "/finetune start"
        yield "/finetune start yes"
        async with asyncio.timeout(20):
            while "-# after" not in "".join(said) and "after\n" not in "".join(said):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        yield "/finetune history"

    said: list[str] = []
    await Console(services, said.append, Path("/nowhere")).run(typed())
    page = "\n".join(said)
    assert "from 1 poems with 3 votes by 3 voters" in page
    assert "The generator learns" in page
    assert "promoted: this voice is heard" in page
    assert "#1" in page


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("/poem acrostic:春 夏 秋 冬", "qijue"),
        ("/POEM acrostic:春，江，花，月，夜 Script:Traditional", "qilv"),
        ("/poem first_line:春眠 不覺曉，", "wujue"),
    ],
)
async def test_form_is_what_fits_whatever_stands_between_the_characters(
    services: Services, rows: Rows, line: str, form: str
) -> None:
    await _session(services, line)
    assert rows("SELECT form FROM poems") == [(form,)]


@pytest.mark.parametrize(
    "line", ["/poem form:wujue 秋夜", "/poem 秋夜 form:wujue", "/poem form:wujue autumn night seed:9"]
)
async def test_theme_may_stand_before_or_behind_options(services: Services, rows: Rows, line: str) -> None:
    await _session(services, line)
    assert rows("SELECT form, theme FROM poems") == [("wujue", "秋夜")]


async def test_any_poem_is_read_out(services: Services) -> None:
    said = await _session(services, "/read 白日依山尽，黄河入海流。欲穷千里目，更上一层楼。")
    assert "白日依山尽\nbái rì yī shān jìn\n" in said
    assert "white" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("poem", "Commands begin with a slash"),
        ("/sonnet", "no command /sonnet"),
        ("/poem form:sonnet", "There is no form “sonnet”. The forms are: wujue (five-character quatrain), qijue"),
        ("/poem colour:red", "colour:red is none of them"),
        ("/poem theme:秋 theme:春", "theme: is given twice."),
        ("/poem moon Theme:春", "theme: is given twice."),
        ("/poem seed:many", "A seed is a whole number; many is none."),
        ("/poem seed:-1", "A seed is a number from 0"),
        ("/poem script:cursive", "The scripts are"),
        ("/poem theme:🍂", "does not know"),
        ("/poem theme:mooon and wine", "“mooon”: did you mean moon?"),
        ("/poem acrostic:王八蛋", "on the list here"),
        ("/poem first_line:牀前", "The first line has 2 characters; a line has 5 / 7."),
        ("/poem rhyme:dong", "“dong” may be 东 dōng, 冬 dōng. Which one?"),
        ("/rate", "up, down or clear"),
        ("/rate up", "There is no poem yet"),
        ("/another", "There is no poem yet"),
        ("/show", "/show takes the number of a poem"),
        ("/show ²", "/show takes the number of a poem"),
        ("/show 999999999999999999", "not there any more"),
        ("/check", "Give a poem"),
        ("/read hello", "is not Chinese characters only"),
        ("/top yesterday", "The periods are"),
        ("/daily set noon", "A time looks like"),
        ("/daily", "set, off"),
        ("/voice use nothing", "no such version here; /voice list shows"),
        ("/voice", "list, use, rollback"),
        ("/owner voice use", "no such version here"),
        ("/finetune", "start, status, cancel, history"),
        ("/finetune start", "Your votes count on every poem here"),
        ("/quit now", "/quit takes nothing after it"),
        ("/another theme:moon", "/another takes nothing after it"),
        ("/privacy delete", "type: /privacy delete yes"),
        ("/card blue", "light, dark"),
        ("/settings colour red", "show, language"),
        ("/settings words 月", "Put + before"),
        ("/settings limits many", "two numbers"),
        ("/settings timezone Mars", "no such time zone"),
        ("/settings language fr", "The languages are: en (English), zh-CN (简体中文)"),
        ("/privacy", "show, export, delete"),
        ("/owner", "finetune, voice, status"),
        ("/help me", "/rate up | down | clear"),
        ("/help", "/poem theme:moon   /poem theme:autumn rain form:wujue"),
    ],
)
async def test_wrong_line_gets_one_answer_and_the_session_goes_on(
    services: Services, rows: Rows, line: str, said: str
) -> None:
    answer = await _session(services, line, "", "/poem theme:秋夜")
    assert said in answer
    assert "Traceback" not in answer
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_what_is_wrong_with_a_version_is_told(
    services: Services, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: str | None) -> list[Version]:
        raise CheckpointError("/home/yin/x is damaged.")

    monkeypatch.setattr(registry, "versions_of", damaged)
    assert await _session(services, "/voice list") == "/home/yin/x is damaged."


async def test_failure_is_told_with_an_id_and_the_session_goes_on(
    services: Services, poet: FakePoet, rows: Rows
) -> None:
    poet.fail_on = "春"
    said = await _session(services, "/poem theme:春", "/poem theme:秋夜")
    assert "in my log as" in said
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_a_folder_that_may_not_be_written_is_named(services: Services, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = await _session(services, "/privacy export", folder=tmp_path / "file" / "cards")
    assert "I cannot write to" in answer
    assert "Traceback" not in answer
