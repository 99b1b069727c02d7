"""The console: the same commands as on Discord, typed."""

from collections.abc import AsyncIterator

import pytest

from bot.console import Console
from bot.poems import Poems
from tests.bot.conftest import FakePoet, Rows


async def _session(poems: Poems, *lines: str) -> str:
    async def typed() -> AsyncIterator[str]:
        for line in lines:
            yield line

    said: list[str] = []
    await Console(poems, "simplified", said.append).run(typed())
    return "\n".join(said[1:])


async def test_poem_is_shown_and_kept(poems: Poems, rows: Rows) -> None:
    said = await _session(poems, "/poem form:qijue theme:秋夜 seed:5", "/quit", "/poem")
    assert "秋夜\n\n一道残阳铺水中，半江瑟瑟半江红。\n可怜九月初三夜，露似真珠月似弓。\n" in said
    assert "seed 5" in said
    query = "SELECT form, theme, seed, requester_id, guild_id, channel_id, message_id FROM poems"
    assert rows(query) == [("qijue", "秋夜", 5, 0, None, None, None)], "nothing after /quit is read"


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("/poem", ("qijue", "")),
        ("/poem theme:秋夜 form:wulv", ("wulv", "秋夜")),
        ("/poem theme： 秋夜", ("qijue", "秋夜")),
        ("  /poem   form:wujue  ", ("wujue", "")),
    ],
)
async def test_options_in_any_order(poems: Poems, rows: Rows, line: str, asked: tuple[str, str]) -> None:
    await _session(poems, line)
    assert rows("SELECT form, theme FROM poems") == [asked]


async def test_last_poem_is_rated(poems: Poems, rows: Rows) -> None:
    said = await _session(poems, "/poem", "/poem", "/rate up")
    assert rows.votes() == [(2, 0, 1)]
    assert "1 👍 and 0 👎" in said
    await _session(poems, "/poem", "/rate up", "/rate down")
    assert rows.votes() == [(2, 0, 1), (3, 0, -1)]
    await _session(poems, "/poem", "/rate down", "/rate clear")
    assert rows.votes() == [(2, 0, 1), (3, 0, -1)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("poem", "Commands begin with a slash"),
        ("/sonnet", "no command /sonnet"),
        ("/poem form:sonnet", "There is no form 'sonnet'"),
        ("/poem colour:red", "colour:red is none of them"),
        ("/poem theme:秋 theme:春", "at most once"),
        ("/poem seed:many", "A seed is a whole number; many is none."),
        ("/poem seed:-1", "A seed is a number from 0"),
        ("/poem theme:🍂", "does not know"),
        ("/rate", "up, down or clear"),
        ("/rate up", "no poem to rate yet"),
        ("/help me", "/rate up | down | clear"),
    ],
)
async def test_wrong_line_gets_one_answer_and_the_session_goes_on(
    poems: Poems, rows: Rows, line: str, said: str
) -> None:
    answer = await _session(poems, line, "", "/poem theme:秋夜")
    assert said in answer
    assert "Traceback" not in answer
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_failure_is_told_with_an_id_and_the_session_goes_on(poems: Poems, poet: FakePoet, rows: Rows) -> None:
    poet.fail_on = "春"
    said = await _session(poems, "/poem theme:春", "/poem theme:秋夜")
    assert "in my log as" in said
    assert rows("SELECT theme FROM poems") == [("秋夜",)]
