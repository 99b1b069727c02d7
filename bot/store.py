"""Poems and votes in a database, through SQLAlchemy; its schema comes from `migrations/`, run when it is opened.

Knows no Discord and no model. SQLite now; nothing here that PostgreSQL could not do, except the four pragmas.
"""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import StartError
from bot.tables import meta, poems, votes
from poetgen.poem import Composition

_T = TypeVar("_T")
_BEGIN = "begin"  # the execution option that says how a transaction begins
_BUSY_SECONDS = 5.0  # how long to wait for another program's write
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")
# What SQLite says, and what a person can do about it.
_TROUBLES = (
    ("locked", "is in use by another program; stop that one, or wait"),
    ("not a database", "is not a SQLite database, or is damaged; move it away or restore a copy"),
    ("malformed", "is damaged; move it away or restore a copy"),
    ("unable to open", "cannot be opened; see that the folder exists and may be written"),
    ("readonly", "may not be written; change its permissions"),
    ("disk is full", "cannot grow, for the disk is full"),
    ("locate revision", "was written by a later version of this program; update the program"),
)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asked for a poem, and where; 0 and None in the console."""

    requester_id: int
    guild_id: int | None = None
    channel_id: int | None = None


class Store:
    """An open database. One writer at a time, first come first served, so that of two votes the later one counts.

    Args:
        engine: To the database, its schema up to date.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._turn = asyncio.Lock()
        self._writes: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open a database, make it if it is not there, and bring its schema up to date.

        Raises:
            StartError: It cannot be opened or written; the message says why.
        """
        engine, place = _engine(url)
        store = cls(engine)
        try:
            if engine.dialect.name == "sqlite":
                await asyncio.to_thread(_probe, place)
            async with store._writer.begin() as connection:
                await connection.run_sync(_upgrade)
        except (SQLAlchemyError, sqlite3.Error, CommandError) as error:
            await engine.dispose()
            said = str(getattr(error, "orig", None) or error)
            reason = next((told for sign, told in _TROUBLES if sign in said.lower()), f"cannot be used ({said})")
            raise StartError(f"The database {place} {reason}.") from None
        except BaseException:
            await engine.dispose()
            raise
        return store

    async def close(self) -> None:
        """Finish the writes under way and close every connection; an unclosed one would hang the exit."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._reader.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def add_poem(self, asker: Asker, composition: Composition) -> int:
        """Keep a poem; returns its id."""
        poem = composition.poem
        assert poem.form is not None, "the poet writes in forms only"
        row = {
            "created_at": _now_ms(),
            "requester_id": asker.requester_id,
            "guild_id": asker.guild_id,
            "channel_id": asker.channel_id,
            "form": poem.form.name,
            "theme": composition.theme,
            "seed": composition.seed,
            "version": composition.version,
            "pattern": composition.pattern,
            "rhyme": composition.rhyme,
            "title": poem.title,
            "text": "\n".join(poem.lines),
            "realness": composition.realness,
        }

        async def work(connection: AsyncConnection) -> int:
            result = await connection.execute(sa.insert(poems).values(row).returning(poems.c.id))
            return int(result.scalar_one())

        return await self._write(work)

    async def note_message(self, poem_id: int, message_id: int) -> None:
        """Remember which message shows a poem."""
        await self._execute(sa.update(poems).where(poems.c.id == poem_id).values(message_id=message_id))

    async def poem_of_message(self, message_id: int) -> int | None:
        """The poem that a message shows; None if it shows none of ours."""
        return await self._scalar(sa.select(poems.c.id).where(poems.c.message_id == message_id))

    async def cast_vote(self, poem_id: int, voter_id: int, value: int) -> None:
        """Keep a vote, 1 or -1, in place of any earlier one by the same person on the same poem."""
        row = {"poem_id": poem_id, "voter_id": voter_id, "value": value, "created_at": _now_ms()}
        await self._execute(_delete_votes(poem_id, voter_id), sa.insert(votes).values(row))

    async def withdraw_votes(self, poem_id: int, voter_id: int | None = None, value: int | None = None) -> None:
        """Forget the votes on a poem: all, or only one person's, or only those of one value."""
        await self._execute(_delete_votes(poem_id, voter_id, value))

    async def tally(self, poem_id: int) -> tuple[int, int]:
        """How many votes a poem has, for and against."""
        counted = sa.select(votes.c.value, sa.func.count()).where(votes.c.poem_id == poem_id).group_by(votes.c.value)
        async with self._reader.connect() as connection:
            counts = {int(value): int(count) for value, count in await connection.execute(counted)}
        return counts.get(1, 0), counts.get(-1, 0)

    async def noted(self, key: str) -> str | None:
        """What was noted under a key; None if nothing was."""
        return await self._scalar(sa.select(meta.c.value).where(meta.c.key == key))

    async def note(self, key: str, value: str) -> None:
        """Note something about the program itself, in place of what was noted under the key."""
        await self._execute(sa.delete(meta).where(meta.c.key == key), sa.insert(meta).values(key=key, value=value))

    async def _scalar(self, query: sa.Select[_T]) -> _T | None:
        async with self._reader.connect() as connection:
            return await connection.scalar(query)

    async def _execute(self, *statements: sa.Executable) -> None:
        async def work(connection: AsyncConnection) -> None:
            for statement in statements:
                await connection.execute(statement)

        await self._write(work)

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        # Shielded: a BEGIN IMMEDIATE whose task is cancelled still runs in the connection's thread, and would leave
        # its transaction open.
        task = asyncio.create_task(self._transact(work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        async with self._turn, self._writer.begin() as connection:
            return await work(connection)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _delete_votes(poem_id: int, voter_id: int | None = None, value: int | None = None) -> sa.Delete:
    statement = sa.delete(votes).where(votes.c.poem_id == poem_id)
    if voter_id is not None:
        statement = statement.where(votes.c.voter_id == voter_id)
    if value is not None:
        statement = statement.where(votes.c.value == value)
    return statement


def _engine(url: str) -> tuple[AsyncEngine, str]:
    """An engine, and the database's name as a message may show it (a URL can hold a password)."""
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and (parsed.database or ":memory:").startswith((":memory:", "file:")):
            raise ArgumentError("no file")  # in memory all tasks would share one connection, and so one transaction
        engine = create_async_engine(parsed)
    except (SQLAlchemyError, NoSuchModuleError, ImportError):
        raise StartError(
            "DATABASE_URL names no database that I can use; it looks like sqlite+aiosqlite:///data/yin.db."
        ) from None
    place = str(parsed.database)
    if parsed.get_backend_name() == "sqlite":
        _begin_by_ourselves(engine)
        try:
            Path(place).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartError(f"The folder of the database {place} cannot be made ({error.strerror}).") from None
    return engine, place


def _begin_by_ourselves(engine: AsyncEngine) -> None:
    """Take transactions out of sqlite3's hands, which begins them late and never IMMEDIATE."""

    @event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={_BUSY_SECONDS * 1000:.0f}", *_PRAGMAS):  # switching to WAL may have to wait
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _probe(place: str) -> None:
    """Whether the file is whole and can be written.

    By sqlite3 itself, because an aiosqlite connection that fails to open leaves a thread behind that complains.

    Raises:
        sqlite3.Error: It is not, or cannot.
    """
    with closing(sqlite3.connect(place, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {verdict}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
