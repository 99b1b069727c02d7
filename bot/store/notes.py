"""Notes of the program itself, and what somebody asked for when something went wrong.

Knows no Discord: an interaction's data is a string to it.
"""

import secrets

import sqlalchemy as sa

from bot.store.database import Database, now_ms
from bot.store.tables import meta, retries


class Notes:
    """Small things by a key.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def noted(self, key: str) -> str | None:
        """What was noted under a key, if anything."""
        row = await self._database.first(sa.select(meta.c.value).where(meta.c.key == key))
        return None if row is None else str(row.value)

    async def note(self, key: str, value: str) -> None:
        """Note something in place of what was noted under this key."""
        await self._database.execute(
            sa.delete(meta).where(meta.c.key == key), sa.insert(meta).values(key=key, value=value)
        )

    async def secret(self, key: str) -> bytes:
        """A random key of 32 bytes, made when it is first asked for."""
        found = await self.noted(key)
        if found is None:
            found = secrets.token_hex(32)
            await self.note(key, found)
        return bytes.fromhex(found)

    async def keep_retry(self, retry_id: str, user_id: int, data: str) -> None:
        """Keep what somebody asked for."""
        row = {"id": retry_id, "user_id": user_id, "created_at": now_ms(), "data": data}
        await self._database.execute(sa.insert(retries).values(row))

    async def forget_retries(self, before_ms: int) -> None:
        """Delete what was asked for before a time."""
        await self._database.execute(sa.delete(retries).where(retries.c.created_at < before_ms))

    async def retry(self, retry_id: str, user_id: int) -> str | None:
        """What this person asked for, if it is still kept."""
        row = await self._database.first(
            sa.select(retries.c.data).where(retries.c.id == retry_id, retries.c.user_id == user_id)
        )
        return None if row is None else str(row.data)
