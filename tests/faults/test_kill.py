"""kill -9 at random moments of a busy minute: what was answered is there."""

from pathlib import Path

from tests.bot.discord_server import Discord, discord_server
from tests.faults.busy import kill_once

server = discord_server


async def test_five_kills_lose_nothing_that_was_answered(server: Discord, tmp_path: Path) -> None:
    for seed in range(5):
        loss = await kill_once(server, tmp_path, seed)
        assert loss.none, loss
        assert min(loss.num_poems, loss.num_votes) > 3, "it was busy"
