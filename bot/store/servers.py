"""What each server chose. Read once and kept in memory, for every command asks for it before it answers.

Knows no Discord.
"""

import asyncio
from collections.abc import Callable, Set
from dataclasses import dataclass, fields, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.asker import CONSOLE
from bot.store.database import Database, now_ms
from bot.store.tables import comparisons, dailies, daily_poems, jobs, poems, servers, usage
from poetgen.poem import Script

_UNCHOSEN: dict[str, object] = {"time_zone": "UTC", "channels": "", "words": ""}

_OF_A_SERVER = (poems, dailies, daily_poems, usage, jobs, comparisons, servers)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a server chose; None where it leaves a thing to the deployment's settings."""

    language: str | None = None
    script: Script | None = None
    time_zone: str = "UTC"
    channels: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    quota: int | None = None
    cooldown: int | None = None
    reports_channel_id: int | None = None


class Servers:
    """The servers' choices.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, Choices] = {}
        self._choosing = asyncio.Lock()

    async def load(self) -> None:
        """Read all servers' choices; before this, every server has chosen nothing."""
        self._known = {row.guild_id: _choices(row) for row in await self._database.all(sa.select(servers))}

    def of(self, guild_id: int | None) -> Choices:
        """A server's choices; those of nobody in a direct message."""
        return Choices() if guild_id is None else self._known.get(guild_id, Choices())

    async def choose(self, guild_id: int, change: Callable[[Choices], Choices]) -> None:
        """Change a server's choices; of two people at once, the later one changes what the first one chose."""
        async with self._choosing:
            choices = change(self.of(guild_id))
            row: dict[str, Any] = {field.name: getattr(choices, field.name) for field in fields(Choices)}
            row["channels"] = "\n".join(map(str, choices.channels))
            row["words"] = "\n".join(choices.words)
            await self._put(guild_id, row)
            self._known[guild_id] = choices

    async def channel_gone(self, guild_id: int, channel_id: int) -> None:
        """A channel was deleted. The last one where poems were allowed stays, for without any they were everywhere."""

        def change(chosen: Choices) -> Choices:
            channels = tuple(known for known in chosen.channels if known != channel_id) or chosen.channels
            reports = None if chosen.reports_channel_id == channel_id else chosen.reports_channel_id
            return replace(chosen, channels=channels, reports_channel_id=reports)

        if change(self.of(guild_id)) != self.of(guild_id):
            await self.choose(guild_id, change)

    async def left(self, guild_id: int) -> None:
        """The bot was removed from a server; what is kept of it will be erased unless it comes back."""
        await self._put(guild_id, {"left_at": now_ms()})

    async def joined(self, guild_id: int) -> None:
        """The bot is in a server (again)."""
        await self._put(guild_id, {"left_at": None})

    async def present(self, here: Set[int]) -> None:
        """The bot is in these servers and in no others: what it missed while it was away is noted.

        Servers where it was never a member, but somebody who installed it for themselves, are not touched.
        """
        query = sa.select(servers.c.guild_id, servers.c.left_at).where(servers.c.guild_id != CONSOLE)
        known = {int(row.guild_id): row.left_at for row in await self._database.all(query)}
        for guild_id in sorted(here):
            if known.get(guild_id, 0) is not None:  # new to us, or left once
                await self.joined(guild_id)
        for guild_id, left_at in known.items():
            if guild_id not in here and left_at is None:
                await self.left(guild_id)

    async def left_before(self, before_ms: int) -> list[int]:
        """The servers that were left before a time."""
        query = sa.select(servers.c.guild_id).where(servers.c.left_at < before_ms)
        return [int(row.guild_id) for row in await self._database.all(query)]

    async def is_known(self, guild_id: int) -> bool:
        """Whether anything is kept of a server."""
        return any(
            [await self._database.first(sa.select(table).where(table.c.guild_id == guild_id)) for table in _OF_A_SERVER]
        )

    async def erase(self, guild_id: int) -> None:
        """Erase what is kept of a server."""
        await self._database.execute(*(sa.delete(table).where(table.c.guild_id == guild_id) for table in _OF_A_SERVER))
        self._known.pop(guild_id, None)

    async def _put(self, guild_id: int, values: dict[str, Any]) -> None:
        async def work(connection: AsyncConnection) -> None:
            changed = sa.update(servers).where(servers.c.guild_id == guild_id).values(values)
            if (await connection.execute(changed)).rowcount == 0:
                await connection.execute(sa.insert(servers).values(_UNCHOSEN | values | {"guild_id": guild_id}))

        await self._database.write(work)


def _choices(row: sa.Row[*tuple[Any, ...]]) -> Choices:
    return Choices(
        language=row.language,
        script=row.script,
        time_zone=row.time_zone,
        channels=tuple(int(channel) for channel in row.channels.split()),
        words=tuple(row.words.split("\n")) if row.words else (),
        quota=row.quota,
        cooldown=row.cooldown,
        reports_channel_id=row.reports_channel_id,
    )
