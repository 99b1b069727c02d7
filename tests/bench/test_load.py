"""A short load over loopback: what became of the requests is counted, no times are held to anything."""

from pathlib import Path

from bench.load import Load, draw, memory
from tests.bot.discord_server import Discord, discord_server, start

server = discord_server


async def test_every_request_is_answered_under_overload(server: Discord, tmp_path: Path) -> None:
    settings = {"QUEUE_SIZE": "4", "MAX_BATCH": "2"}
    bot = await start(tmp_path, server.address, server.gateway, "0.2", **settings)
    try:
        await server.ready.wait()
        load = Load(server, bot.pid)
        overload = await load.phase("overload", 60, 2)
        assert overload.asked > 60
        assert overload.unanswered == 0
        assert overload.poems + overload.refused == overload.asked
        assert overload.poems > 5
        assert overload.refused > 5
        assert len(overload.answered) == overload.poems
        assert len(overload.acknowledged) == overload.asked
        quiet = await load.phase("quiet", 2, 2)
        assert (quiet.refused, quiet.unanswered) == (0, 0), "it has recovered"
        assert memory(bot.pid) > 10
        assert overload.figures()["refused"] == overload.refused
        assert len(draw([overload, quiet]).axes) == 2
    finally:
        bot.terminate()
        await bot.wait()
