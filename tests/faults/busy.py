"""A busy minute that ends with kill -9, and what the database must hold afterwards. The bench does it fifty times."""

import asyncio
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from discord import InteractionResponseType

from tests.bot.discord_server import Discord, option, ready

_RATE = 0.01  # seconds between two members


@dataclass(frozen=True, slots=True)
class Loss:
    """What was answered and is not in the database, and what else is wrong with it; empty if all is well.

    Attributes:
        poems: Ids of poems that were shown.
        votes: (poem, member) of votes that were answered.
        jobs: Fine-tunes that are neither queued nor ended after the next start.
        integrity: What SQLite says of the file.
        num_poems, num_votes: How many were answered before the kill: a test of the test.
    """

    poems: frozenset[str]
    votes: frozenset[tuple[str, int]]
    jobs: int
    integrity: str
    num_poems: int
    num_votes: int

    @property
    def none(self) -> bool:
        return not self.poems and not self.votes and self.jobs == 0 and self.integrity == "ok"


async def kill_once(server: Discord, folder: Path, seed: int) -> Loss:
    """Start the bot, let members ask and vote, kill it at a random moment, start it again, look.

    Args:
        server: Discord.
        folder: The bot's, also of earlier rounds.
        seed: Decides the moment; members are others for each.
    """
    chance = random.Random(seed)
    first_user = 1_000_000 * (seed + 1)
    _add_running_job(folder)
    server.ready.clear()
    bot = await ready(server, folder, "0.01", level="ERROR", COOLDOWN_SECONDS="0")
    asked: list[str] = []
    pressed: dict[str, tuple[str, int]] = {}

    async def members() -> None:
        user = first_user
        while True:
            user += 1
            ids = [poem for token in asked if (poem := server.poem_of(token))]
            try:
                if ids and user % 3:
                    poem = chance.choice(ids)
                    pressed[await server.press(f"yin1:{chance.choice(['up', 'down'])}:{poem}", user)] = (poem, user)
                else:
                    asked.append(await server.command("poem", option("theme", "秋夜"), user_id=user))
            except ConnectionError:
                return  # the bot is gone
            await asyncio.sleep(_RATE)

    busy = asyncio.create_task(members())
    await asyncio.sleep(0.5 + 1.5 * chance.random())
    bot.kill()
    await bot.wait()
    busy.cancel()
    await asyncio.gather(busy, return_exceptions=True)
    await asyncio.sleep(0.1)  # what was sent before the kill still arrives
    poems = frozenset(poem for token in asked if (poem := server.poem_of(token)))
    votes = frozenset(vote for token, vote in pressed.items() if _is_answered(server, token))
    server.ready.clear()
    again = await ready(server, folder, level="ERROR")
    for _ in range(100):  # until it has looked at what the last one left behind
        if not _stuck_jobs(folder):
            break
        await asyncio.sleep(0.1)
    again.terminate()
    await again.wait()
    with closing(sqlite3.connect(_database(folder))) as database:
        kept_poems = {str(poem) for (poem,) in database.execute("SELECT id FROM poems")}
        kept_votes = {(str(poem), voter) for poem, voter in database.execute("SELECT poem_id, voter_id FROM votes")}
        (integrity,) = database.execute("PRAGMA integrity_check").fetchone()
    return Loss(poems - kept_poems, votes - kept_votes, _stuck_jobs(folder), integrity, len(poems), len(votes))


def _database(folder: Path) -> Path:
    return folder / "data" / "yin.db"


def _stuck_jobs(folder: Path) -> int:
    with closing(sqlite3.connect(_database(folder))) as database:
        return int(database.execute("SELECT count(*) FROM jobs WHERE state = 'running'").fetchone()[0])


def _add_running_job(folder: Path) -> None:
    """A fine-tune that was under way when the bot was killed."""
    if not _database(folder).exists():
        return
    with closing(sqlite3.connect(_database(folder))) as database, database:
        database.execute(
            "INSERT INTO jobs (requester_id, language, state, created_at, seed, minutes, num_poems, num_voters,"
            " num_votes) VALUES (1, 'en', 'running', 0, 1, 1, 1, 1, 1)"
        )


def _is_answered(server: Discord, token: str) -> bool:
    """Whether more was said than that the bot is thinking, as it says where a machine is slow."""
    if server.answered[f"{token} edited"].is_set():
        return True
    return (
        server.answered[token].is_set()
        and server.shown[token]["type"] != InteractionResponseType.deferred_channel_message.value
    )
