"""The connection to the database: how it is opened, migrated, read from and written to.

Knows no table.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from bot.errors import NotNowError, StartError

_T = TypeVar("_T")
_BEGIN = "begin"  # the execution option that says how a transaction begins
_BUSY_SECONDS = 5.0  # how long to wait for another program's write
_PRAGMAS = ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")
# What SQLite says, and what a person can do about it.
_TROUBLES = (
    ("locked", "is in use by another program; stop that one, or wait"),
    ("not a database", "is not a SQLite database, or is damaged; move it away or restore a copy"),
    ("malformed", "is damaged; move it away or restore a copy"),
    (
        "unable to open",
        "cannot be opened; see that its folder exists, and that both belong to whoever runs me",
    ),
    ("readonly", "may not be written; change its permissions"),
    ("disk is full", "cannot grow, for the disk is full"),
    ("locate revision", "was written by a later version of this program; update the program"),
)
_MAY_MEND = ("locked", "disk is full")  # by themselves, or by what somebody does elsewhere
_MIGRATIONS = Path(__file__).parents[1] / "migrations"


def now_ms() -> int:
    """The time, as the tables have it: Unix milliseconds."""
    return time.time_ns() // 1_000_000


def least_id() -> int:
    """The least id that a new row may have."""
    return now_ms()


class Database:
    """An open database. One writer at a time, first come first served, so that of two votes the later one counts.

    Args:
        engine: To the database, its schema up to date.
        claim: What keeps a second instance away, until it is closed.
    """

    def __init__(self, engine: AsyncEngine, claim: sqlite3.Connection | None = None) -> None:
        self._reader = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._claim = claim
        self._turn = asyncio.Lock()
        self._writes: set[asyncio.Task[Any]] = set()

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open a database, make it if it is not there, and bring its schema up to date.

        Raises:
            StartError: It cannot be opened or written, or another instance has it; the message says why.
        """
        engine, place = engine_of(url)
        sqlite = engine.dialect.name == "sqlite"
        claim = None
        try:
            if sqlite:
                _make_folder_of(place)
                _make_private(place)
                await asyncio.to_thread(_probe, place)
                claim = _claimed(place)
                await asyncio.to_thread(_back_up_if_old, place)
            database = cls(engine, claim)
            async with database._writer.begin() as connection:
                await connection.run_sync(_upgrade)
        except BaseException as error:
            await engine.dispose()
            if claim is not None:
                claim.close()
            if isinstance(error, (SQLAlchemyError, sqlite3.Error, CommandError)):
                raise start_error(place, error) from None
            raise
        return database

    async def close(self) -> None:
        """Finish the writes under way and close every connection; an unclosed one would hang the exit."""
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._reader.dispose()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    async def all(self, query: sa.Executable) -> Sequence[sa.Row[*tuple[Any, ...]]]:
        """Every row of a query."""
        async with self._reader.connect() as connection:
            return (await connection.execute(query)).fetchall()

    async def first(self, query: sa.Executable) -> sa.Row[*tuple[Any, ...]] | None:
        """The first row of a query, if it has any."""
        async with self._reader.connect() as connection:
            return (await connection.execute(query)).first()

    async def execute(self, *statements: sa.Executable) -> int:
        """Run statements in one transaction; returns how many rows the last one touched."""

        async def work(connection: AsyncConnection) -> int:
            count = 0
            for statement in statements:
                count = (await connection.execute(statement)).rowcount
            return count

        return await self.write(work)

    async def insert(self, table: sa.Table, values: Mapping[str, object]) -> int:
        """Insert a row; returns its id.

        Ids are the time or, if that is not after the highest one, the next: messages name them for ever, and one that
        counted from the highest would come again after a deletion, or after a copy was restored.
        """

        async def work(connection: AsyncConnection) -> int:
            highest = (await connection.execute(sa.select(sa.func.max(table.c.id)))).scalar()
            row_id = max(least_id(), 0 if highest is None else highest + 1)
            await connection.execute(sa.insert(table).values({**values, "id": row_id}))
            return row_id

        return await self.write(work)

    async def write(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        """Do some work in one writing transaction. It is finished even if the caller is cancelled.

        Shielded: a BEGIN IMMEDIATE whose task is cancelled still runs in the connection's thread, and would leave
        its transaction open.
        """
        task = asyncio.create_task(self._transact(work))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)
        return await asyncio.shield(task)

    async def _transact(self, work: Callable[[AsyncConnection], Awaitable[_T]]) -> _T:
        async with self._turn, self._writer.begin() as connection:
            return await work(connection)


def trouble(error: BaseException) -> str:
    """What is wrong with a database and what to do, to follow its name."""
    said = str(getattr(error, "orig", None) or error)
    return next((told for sign, told in _TROUBLES if sign in said.lower()), f"cannot be used ({said})")


def start_error(place: str, error: BaseException) -> StartError:
    """An error of a database's as the one sentence to end with."""
    kind = NotNowError if any(sign in str(error).lower() for sign in _MAY_MEND) else StartError
    return kind(f"The database {place} {trouble(error)}.")


def engine_of(url: str) -> tuple[AsyncEngine, str]:
    """An engine, and the database's name as a message may show it (a URL can hold a password).

    Raises:
        StartError: The URL names no database that can be used.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and (parsed.database or ":memory:").startswith((":memory:", "file:")):
            raise ArgumentError("no file")  # in memory all tasks would share one connection, and so one transaction
        # An error's text goes into the log, which must not hold what members typed, or their ids.
        engine = create_async_engine(parsed, hide_parameters=True)
    except (SQLAlchemyError, NoSuchModuleError, ImportError):
        raise StartError(
            "DATABASE_URL names no database that I can use; it looks like sqlite+aiosqlite:///data/yin.db."
        ) from None
    place = str(parsed.database)
    if parsed.get_backend_name() == "sqlite":
        _begin_by_ourselves(engine)
    return engine, place


def _make_folder_of(place: str) -> None:
    try:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"The folder of the database {place} cannot be made ({error.strerror}).") from None


def _make_private(place: str) -> None:
    """Make a file for its owner alone: it may hold people's ids, and SQLite gives what lies beside it the same mode.

    One that is there keeps its own, for somebody may have chosen it.
    """
    with suppress(OSError):  # also where it cannot be made: SQLite says so in its own words
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


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


def lock_of(place: Path) -> Path:
    """The file that is locked while a bot runs on the database at `place`."""
    return place.with_name(place.name + ".lock")


def _claimed(place: str) -> sqlite3.Connection:
    """Holds a lock beside the database for as long as it is open; the system lets go of it however we end.

    Raises:
        StartError: Another instance holds it, or it may not be written.
    """
    lock = str(lock_of(Path(place)))
    _make_private(lock)  # whoever may open it may hold it, and keep us from starting
    claim = sqlite3.connect(lock, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        claim.execute("PRAGMA journal_mode = MEMORY")
        claim.execute("BEGIN EXCLUSIVE")
        claim.execute("PRAGMA user_version = 1")  # a file that may only be read can be locked by everybody at once
    except sqlite3.OperationalError as error:
        claim.close()
        if "locked" not in str(error):
            raise start_error(lock, error) from None
        raise NotNowError(f"Another instance of me is running on the database {place}; stop that one first.") from None
    return claim


def _back_up_if_old(place: str) -> None:
    """Before a migration, a copy beside the file, named after the version that it has."""
    config = _config()
    engine = sa.create_engine(f"sqlite:///{place}")
    try:
        with engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    if found is None or found == ScriptDirectory.from_config(config).get_current_head():
        return
    backup = f"{place}.before-{found}.bak"
    _make_private(backup)
    with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(backup)) as copy:
        source.backup(copy)


def is_of_later_version(revision: str) -> bool:
    """Whether a database's revision is none that this program knows."""
    try:
        return ScriptDirectory.from_config(_config()).get_revision(revision) is None
    except CommandError:
        return True


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _upgrade(connection: sa.Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
