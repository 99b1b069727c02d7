"""The database cannot be written, is somebody else's for a while, or is not ours: said so, and never overwritten."""

import asyncio
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import simcord
import sqlalchemy as sa
from sqlalchemy import event

from bot.errors import NotNowError, StartError
from bot.store import Store
from bot.store import database as database_module
from bot.store.database import trouble
from tests.bot.conftest import Rows
from tests.bot.discord_place import Place
from tests.bot.test_store import _first_version


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has to wait for another program gives up soon."""
    monkeypatch.setattr(database_module, "_BUSY_SECONDS", 0.3)


def _pages(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("PRAGMA page_count").fetchone()[0])


async def test_full_disk_while_a_poem_is_stored(
    simcord_env: simcord.Env, place: Place, store: Store, database: Path, rows: Rows
) -> None:
    """SQLite itself is told that the file may not grow, so it answers as on a full disk."""
    await place.poem(theme="春")
    most_pages = _pages(database)

    @event.listens_for(store.poems._database._writer.sync_engine, "begin", insert=True)
    def limit(connection: sa.Connection) -> None:  # each connection has a limit of its own
        connection.exec_driver_sql(f"PRAGMA max_page_count={most_pages}")

    refused = shown = 0
    for _ in range(40):
        result = await place.alice.slash(place.channel, "poem", theme="秋夜")
        assert result.response is not None
        refused += "log as" in result.response.content
        shown += "秋夜" in result.response.content
    assert refused + shown == 40
    assert min(refused, shown) > 0
    assert {str(getattr(error.__cause__, "orig", None)) for error in simcord_env.errors} == {"database or disk is full"}
    most_pages = 1_000_000
    assert rows("SELECT count(*) FROM poems WHERE theme = '秋夜'") == [(shown,)], "what was shown is kept, no other"
    assert rows("SELECT used FROM usage") == [(1 + shown,)], "what failed was given back"
    assert "夏" in (await place.poem(theme="夏")).content
    assert rows("PRAGMA integrity_check") == [("ok",)]
    simcord_env.errors.clear()


async def test_full_disk_while_migrating(database: Path, url: str, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    _first_version(database)
    before = rows("SELECT * FROM votes ORDER BY poem_id, voter_id")
    full = (*database_module._PRAGMAS, f"max_page_count={_pages(database)}")
    with monkeypatch.context() as patched:
        patched.setattr(database_module, "_PRAGMAS", full)
        with pytest.raises(NotNowError, match="cannot grow, for the disk is full"):
            await Store.open(url)
    assert rows("SELECT * FROM votes ORDER BY poem_id, voter_id") == before
    assert rows("SELECT version_num FROM alembic_version") == [("0001",)]
    async with await Store.open(url) as store:
        assert await store.votes.tally(1) == (1, 1)


async def test_database_that_another_program_writes_for_long(
    simcord_env: simcord.Env, place: Place, database: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.poem(theme="春")
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        result = await place.alice.slash(place.channel, "poem", theme="秋夜")
        other.execute("ROLLBACK")
    assert result.response is not None
    assert "log as" in result.response.content
    assert len(simcord_env.errors) == 1
    simcord_env.errors.clear()
    assert "夏" in (await place.poem(theme="夏")).content
    assert rows("SELECT theme FROM poems ORDER BY id") == [("春",), ("夏",)]


def test_read_only_database_has_its_own_sentence(tmp_path: Path) -> None:
    path = tmp_path / "yin.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE poems (id)")
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection,
        pytest.raises(sqlite3.OperationalError) as refused,
    ):
        connection.execute("INSERT INTO poems VALUES (1)")
    assert trouble(refused.value) == "may not be written; change its permissions"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write what nobody may")
def test_file_that_may_not_be_written(tmp_path: Path) -> None:
    database = tmp_path / "yin.db"
    url = f"sqlite+aiosqlite:///{database}"
    asyncio.run(_opened_and_closed(url))
    before = database.read_bytes()
    database.chmod(0o400)
    with pytest.raises(StartError, match=r"may not be written|cannot be opened"):
        asyncio.run(_opened_and_closed(url))
    assert database.read_bytes() == before


async def _opened_and_closed(url: str) -> None:
    async with await Store.open(url):
        pass


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 4000, b"not a database at all" * 99])
async def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "yin.db"
    path.write_bytes(content)
    if not content:  # an empty file is an empty database
        async with await Store.open(f"sqlite+aiosqlite:///{path}") as opened:
            assert await opened.poems.get(1) is None
        return
    with pytest.raises(StartError, match="restore a copy"):
        await Store.open(f"sqlite+aiosqlite:///{path}")
    assert path.read_bytes() == content
