"""The poem of the day: where and when each server wants it, and which days have theirs.

Knows no clock and no time zone.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from bot.store.database import Database, now_ms
from bot.store.tables import dailies, daily_poems


@dataclass(frozen=True, slots=True)
class Daily:
    """A server's wish for a poem a day.

    Attributes:
        guild_id: The server.
        channel_id: Where.
        minute: When, in minutes of the server's day.
        form: In which form; None for the usual one.
        since: Unix milliseconds; nothing is owed for before.
    """

    guild_id: int
    channel_id: int
    minute: int
    form: str | None
    since: int


class Dailies:
    """Daily poems.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def set(self, guild_id: int, channel_id: int, minute: int, form: str | None) -> Daily:
        """A server wants a poem a day, from now on."""
        daily = Daily(guild_id, channel_id, minute, form, now_ms())
        row = {"guild_id": guild_id, "channel_id": channel_id, "minute": minute, "form": form, "since": daily.since}
        await self._database.execute(
            sa.delete(dailies).where(dailies.c.guild_id == guild_id), sa.insert(dailies).values(row)
        )
        return daily

    async def stop(self, guild_id: int) -> bool:
        """A server wants none any more; returns whether it had wanted one."""
        return await self._database.execute(sa.delete(dailies).where(dailies.c.guild_id == guild_id)) > 0

    async def channel_gone(self, channel_id: int) -> None:
        """A channel was deleted: whoever wanted its daily poem there wants none any more."""
        await self._database.execute(sa.delete(dailies).where(dailies.c.channel_id == channel_id))

    async def all(self) -> list[Daily]:
        """Every server's wish."""
        return [Daily(**row._mapping) for row in await self._database.all(sa.select(dailies))]

    async def of_day(self, guild_id: int, day: str) -> tuple[int | None, bool] | None:
        """The poem of a server's day and whether it was posted; None if it is not written yet."""
        query = sa.select(daily_poems).where(daily_poems.c.guild_id == guild_id, daily_poems.c.day == day)
        row = await self._database.first(query)
        return None if row is None else (row.poem_id, bool(row.posted))

    async def written(self, guild_id: int, day: str, poem_id: int) -> None:
        """The poem of a server's day is written (again, if the first one was deleted before it was posted)."""
        await self._database.execute(
            sa.delete(daily_poems).where(daily_poems.c.guild_id == guild_id, daily_poems.c.day == day),
            sa.insert(daily_poems).values(guild_id=guild_id, day=day, poem_id=poem_id, posted=False),
        )

    async def forget_days(self, before: str) -> None:
        """Delete the notes of the days before one; of a server's days only the last is ever asked for."""
        await self._database.execute(sa.delete(daily_poems).where(daily_poems.c.day < before))

    async def posted(self, guild_id: int, day: str) -> None:
        """The poem of a server's day is in its channel."""
        where = (daily_poems.c.guild_id == guild_id, daily_poems.c.day == day)
        await self._database.execute(sa.update(daily_poems).where(*where).values(posted=True))
