"""Notes of the program itself, and what somebody asked for when something went wrong.

Knows no Discord: an interaction's data is a string to it.
"""

import hmac
import secrets

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.database import Database, now_ms
from bot.store.tables import meta, retries

_FORGOTTEN_KEY = "forgotten_key"


class Notes:
    """Small things by a key.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._secrets: dict[str, bytes] = {}

    async def noted(self, key: str) -> str | None:
        """What was noted under a key, if anything."""
        row = await self._database.first(sa.select(meta.c.value).where(meta.c.key == key))
        return None if row is None else str(row.value)

    async def note(self, key: str, value: str) -> None:
        """Note something in place of what was noted under this key."""
        await self._database.execute(
            sa.delete(meta).where(meta.c.key == key), sa.insert(meta).values(key=key, value=value)
        )

    async def keys(self, start: str) -> list[str]:
        """The keys that begin so and under which something is noted."""
        query = sa.select(meta.c.key).where(meta.c.key.startswith(start, autoescape=True)).order_by(meta.c.key)
        return [str(row.key) for row in await self._database.all(query)]

    async def drop(self, key: str) -> None:
        """Forget what was noted under a key."""
        await self._database.execute(sa.delete(meta).where(meta.c.key == key))

    async def secret(self, key: str) -> bytes:
        """A random key of 32 bytes, made when it is first asked for."""
        if key not in self._secrets:

            async def work(connection: AsyncConnection) -> str:
                row = (await connection.execute(sa.select(meta.c.value).where(meta.c.key == key))).first()
                if row is not None:
                    return str(row.value)
                made = secrets.token_hex(32)
                await connection.execute(sa.insert(meta).values(key=key, value=made))
                return made

            self._secrets[key] = bytes.fromhex(await self._database.write(work))
        return self._secrets[key]

    async def hashed(self, user_id: int) -> str:
        """A hash by which a person is known again who asked to be forgotten."""
        return hmac.digest(await self.secret(_FORGOTTEN_KEY), str(user_id).encode(), "sha256").hex()

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
