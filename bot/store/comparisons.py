"""Two poems on one theme by two versions, and which of them the asker picked.

Knows no versions: the poems have them.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from bot.store.database import Database, now_ms
from bot.store.tables import comparisons


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two poems side by side."""

    id: int
    asker_id: int
    guild_id: int | None
    created_at: int
    first_id: int
    second_id: int
    picked: int | None


class Comparisons:
    """Comparisons.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, asker_id: int, guild_id: int | None, first_id: int, second_id: int) -> int:
        """Keep a comparison before it is shown; returns its id."""
        row = {
            "asker_id": asker_id,
            "guild_id": guild_id,
            "created_at": now_ms(),
            "first_id": first_id,
            "second_id": second_id,
        }
        return await self._database.insert(comparisons, row)

    async def get(self, comparison_id: int) -> Comparison | None:
        """A comparison, if it is still kept."""
        row = await self._database.first(sa.select(comparisons).where(comparisons.c.id == comparison_id))
        return None if row is None else Comparison(**row._mapping)

    async def pick(self, comparison_id: int, picked: int) -> None:
        """The asker picked the first (1) or the second (2); the first choice stays."""
        where = (comparisons.c.id == comparison_id, comparisons.c.picked.is_(None))
        await self._database.execute(sa.update(comparisons).where(*where).values(picked=picked))
