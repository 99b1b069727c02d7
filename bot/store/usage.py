"""How many poems each member asked for today, and when last: the cooldown and the quota, kept over restarts.

Knows no poem.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.errors import BotError
from bot.store.database import Database, now_ms
from bot.store.notes import Notes
from bot.store.poems import FORGOTTEN
from bot.store.tables import usage

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Taken:
    """One poem taken from a member's quota, and what to put back if it fails."""

    member_id: int
    guild_id: int
    day: int
    last_at: int
    before: int


def day_of(time_ms: int) -> int:
    """The day of a time, as the table has it."""
    return time_ms // _DAY_MS


def counted_as(person: str) -> int:
    """The id, like nobody's, under which the counts of a person stay who asked to be forgotten.

    Args:
        person: The person's hash.
    """
    return FORGOTTEN - 1 - int(person[:15], 16)


class Usage:
    """Cooldowns and quotas.

    Args:
        database: Where they are kept.
        notes: Know those again who asked to be forgotten.
    """

    def __init__(self, database: Database, notes: Notes) -> None:
        self._database = database
        self._notes = notes

    async def take(self, member_id: int, guild_id: int | None, quota: int, cooldown_ms: int) -> Taken:
        """Take one poem from a member's quota; a day is a day of UTC.

        Raises:
            BotError: It is too soon ("cooldown"), or none is left today ("quota"); nothing was taken.
        """
        now = now_ms()
        ids = (member_id, counted_as(await self._notes.hashed(member_id)))
        mine = (usage.c.member_id.in_(ids), usage.c.guild_id == (guild_id or 0))

        async def work(connection: AsyncConnection) -> Taken:
            rows = (await connection.execute(sa.select(usage).where(*mine))).fetchall()
            day = day_of(now)
            used = max((row.used for row in rows if row.day == day), default=0)
            before = max((row.last_at for row in rows), default=0)
            if 0 <= now - before < cooldown_ms:
                raise BotError("cooldown", seconds=-(-(cooldown_ms - (now - before)) // 1000))
            if used >= quota:
                raise BotError("quota", quota=quota, at=f"<t:{(day + 1) * 86_400}:R>")
            await connection.execute(sa.delete(usage).where(*mine))
            row_now = {"member_id": member_id, "guild_id": guild_id or 0, "day": day, "used": used + 1, "last_at": now}
            await connection.execute(sa.insert(usage).values(row_now))
            return Taken(member_id, guild_id or 0, day, now, before)

        return await self._database.write(work)

    async def give_back(self, taken: Taken) -> None:
        """Undo a `take`, for its request failed."""
        mine = (usage.c.member_id == taken.member_id, usage.c.guild_id == taken.guild_id, usage.c.day == taken.day)
        await self._database.execute(
            sa.update(usage).where(*mine, usage.c.used > 0).values(used=usage.c.used - 1),
            sa.update(usage).where(*mine, usage.c.last_at == taken.last_at).values(last_at=taken.before),
        )
