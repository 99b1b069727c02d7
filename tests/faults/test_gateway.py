"""The gateway goes away in every way that it can; the bot comes back and answers."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from tests.bot.discord_server import Discord, discord_server, option, ready, stopped

server = discord_server


async def _still_answers(server: Discord, user_id: int) -> None:
    poem = await server.answer(await server.command("poem", option("theme", "秋夜"), user_id=user_id), edited=True)
    assert "秋夜" in poem["content"]


async def _back(server: Discord) -> None:
    await asyncio.wait_for(server.ready.wait(), 20)


@pytest.mark.parametrize("code", [1001, 4000, 4008])
async def test_dropped_connection_is_resumed(server: Discord, tmp_path: Path, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    bot = await ready(server, tmp_path, HEALTH_PORT=str(port))
    await _still_answers(server, 1)
    await server.drop(code)
    await _back(server)
    async with aiohttp.ClientSession() as session, asyncio.timeout(5):
        while (await session.get(f"http://127.0.0.1:{port}/readyz")).status != 200:  # noqa: ASYNC110 (until it is)
            await asyncio.sleep(0.05)
    assert (server.identified, server.resumed) == (1, 1)
    await _still_answers(server, 2)
    assert "Traceback" not in await stopped(bot)


async def test_invalid_session_is_begun_anew(server: Discord, tmp_path: Path) -> None:
    bot = await ready(server, tmp_path)
    await server.invalidate()
    await _back(server)
    assert (server.identified, server.resumed) == (2, 0)
    await _still_answers(server, 1)
    assert "Traceback" not in await stopped(bot)


async def test_heartbeats_that_nobody_acknowledges_lead_to_another_connection(server: Discord, tmp_path: Path) -> None:
    server.heartbeat_ms = 200
    bot = await ready(server, tmp_path, HEARTBEAT_TIMEOUT="0.6")
    await _still_answers(server, 1)
    server.acknowledging = False
    server.ready.clear()
    await asyncio.sleep(0.1)
    await asyncio.wait_for(server.left.wait(), 20)
    server.acknowledging = True
    await _back(server)
    assert server.resumed >= 1
    await _still_answers(server, 2)
    await stopped(bot)
