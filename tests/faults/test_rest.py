"""Discord's REST interface limits, fails, hangs and resets; only the poem concerned suffers, if any."""

import asyncio
import time
from pathlib import Path

from tests.bot.conftest import Rows
from tests.bot.discord_server import Discord, discord_server, option, ready, stopped

server = discord_server
LIMITED = {"message": "You are being rate limited.", "retry_after": 2.5, "global": False}


async def _poem(server: Discord, user_id: int, theme: str = "秋夜") -> str:
    token = await server.command("poem", option("theme", theme), user_id=user_id)
    return str((await server.answer(token, edited=True))["content"])


async def test_long_rate_limit_of_one_holds_up_nobody_else(server: Discord, tmp_path: Path) -> None:
    bot = await ready(server, tmp_path)
    await _poem(server, 1)
    server.failures = [("@original", 429, LIMITED)]
    started = time.monotonic()
    limited = asyncio.create_task(_poem(server, 2))
    await asyncio.sleep(0.3)
    await server.answer(await server.command("help", user_id=3))
    assert not limited.done()
    assert "秋夜" in await limited
    assert time.monotonic() - started > 2
    await stopped(bot)


async def test_answer_that_hangs_holds_up_nobody_else(server: Discord, tmp_path: Path) -> None:
    bot = await ready(server, tmp_path)
    await _poem(server, 1)
    server.hanging = [("@original", 2.0)]
    hanging = asyncio.create_task(_poem(server, 2))
    await asyncio.sleep(0.3)
    assert "春" in await asyncio.wait_for(_poem(server, 3, "春"), 1.5)
    assert "秋夜" in await hanging
    await stopped(bot)


async def test_poem_that_cannot_be_shown_is_given_back_and_the_next_is_shown(server: Discord, tmp_path: Path) -> None:
    bot = await ready(server, tmp_path, COOLDOWN_SECONDS="0")
    server.failures = [("@original", 500, {"message": "500", "code": 0})] * 6
    await server.command("poem", option("theme", "秋夜"), user_id=7)
    rows = Rows(tmp_path / "data" / "yin.db")
    async with asyncio.timeout(40):
        while server.failures:  # noqa: ASYNC110 (the bot's retries, some seconds apart)
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    assert "春" in await _poem(server, 7, "春")
    assert rows("SELECT used FROM usage WHERE member_id = 7") == [(1,)], "the first was given back"
    await stopped(bot)


async def test_connection_reset_is_tried_again_or_told(server: Discord, tmp_path: Path) -> None:
    bot = await ready(server, tmp_path, COOLDOWN_SECONDS="0")
    server.resetting = ["/callback"]
    token = await server.command("poem", option("theme", "秋夜"), user_id=7)
    async with asyncio.timeout(20):
        while server.resetting:  # noqa: ASYNC110 (until it has happened)
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    assert "春" in await _poem(server, 7, "春")
    shown = Rows(tmp_path / "data" / "yin.db")("SELECT used FROM usage WHERE member_id = 7")
    assert shown == [(1 + server.answered[f"{token} edited"].is_set(),)], "counted only if it was shown"
    server.resetting = ["@original"]
    assert await _poem(server, 8)
    await stopped(bot)
