"""The store on real SQLite files: migrations, votes, transactions, and files it cannot use."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.errors import StartError
from bot.store import Asker, Store
from bot.tables import metadata
from poetgen.poem import Composition, PoemRequest
from tests.bot.conftest import FakePoet, Rows

ASKER = Asker(requester_id=2**63 - 1, guild_id=2, channel_id=3)


@pytest.fixture
def composition() -> Composition:
    return FakePoet().compose([PoemRequest(theme="秋夜", seed=2**53 - 1)])[0]


async def test_migrations_make_the_tables_from_nothing(store: Store, database: Path, rows: Rows) -> None:
    await store.close()
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()
    assert rows("PRAGMA journal_mode") == [("wal",)]


async def test_opening_again_keeps_what_is_there(url: str, composition: Composition, rows: Rows) -> None:
    async with await Store.open(url) as store:
        poem_id = await store.add_poem(ASKER, composition)
        await store.note_message(poem_id, 99)
    async with await Store.open(url) as store:
        assert await store.poem_of_message(99) == poem_id
        assert await store.poem_of_message(98) is None
    expected = (2**63 - 1, 2, 3, 99, "秋夜", 2**53 - 1)
    assert rows("SELECT requester_id, guild_id, channel_id, message_id, theme, seed FROM poems") == [expected]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1, -1, None])), max_size=12))
def test_one_vote_per_member_and_the_last_counts(
    tmp_path_factory: pytest.TempPathFactory, composition: Composition, cast: list[tuple[int, int | None]]
) -> None:
    path = tmp_path_factory.mktemp("votes") / "yin.db"

    async def vote() -> tuple[int, int]:
        async with await Store.open(f"sqlite+aiosqlite:///{path}") as store:
            poem_id = await store.add_poem(ASKER, composition)
            other_id = await store.add_poem(ASKER, composition)
            await store.cast_vote(other_id, 1, -1)
            for voter_id, value in cast:
                if value is None:
                    await store.withdraw_votes(poem_id, voter_id)
                else:
                    await store.cast_vote(poem_id, voter_id, value)
            assert await store.tally(other_id) == (0, 1)
            return await store.tally(poem_id)

    last = [value for value in dict(cast).values() if value is not None]
    assert asyncio.run(vote()) == (last.count(1), last.count(-1))


async def test_votes_at_the_same_time_count_in_the_order_they_were_cast(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem_id = await store.add_poem(ASKER, composition)
    casts = [store.cast_vote(poem_id, voter_id, value) for value in (1, -1, 1, -1) for voter_id in range(5)]
    await asyncio.gather(*casts)
    assert rows.votes() == [(poem_id, voter_id, -1) for voter_id in range(5)]


async def test_write_that_began_is_finished_even_if_its_task_is_cancelled(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem_id = await store.add_poem(ASKER, composition)
    for voter_id in range(30):
        task = asyncio.create_task(store.cast_vote(poem_id, voter_id, 1))
        for _ in range(2 + voter_id % 10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.close()
    assert len(rows.votes()) == 30


async def test_writing_takes_the_lock_at_once_and_reading_takes_none(store: Store, composition: Composition) -> None:
    begun: list[str] = []

    def listen(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("BEGIN"):
            begun.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        poem_id = await store.add_poem(ASKER, composition)
        await store.tally(poem_id)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert begun == ["BEGIN IMMEDIATE", "BEGIN"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO votes VALUES (1, 2, 0, 0)",
        "INSERT INTO votes VALUES (7, 2, 1, 0)",
        "INSERT INTO votes VALUES (1, 1, -1, 0)",
    ],
    ids=["a vote of 0", "a poem that is not there", "a second vote"],
)
async def test_database_itself_refuses(store: Store, composition: Composition, database: Path, statement: str) -> None:
    await store.cast_vote(await store.add_poem(ASKER, composition), 1, 1)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


async def test_votes_go_with_their_poem(store: Store, composition: Composition, database: Path, rows: Rows) -> None:
    await store.cast_vote(await store.add_poem(ASKER, composition), 1, 1)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("DELETE FROM poems")
    connection.close()
    assert rows.votes() == []


async def test_notes_are_replaced(store: Store) -> None:
    assert await store.noted("commands") is None
    await store.note("commands", "a")
    await store.note("commands", "b")
    assert await store.noted("commands") == "b"


async def _refusal(url: str) -> str:
    with pytest.raises(StartError) as refused:
        await Store.open(url)
    message = str(refused.value)
    assert "\n" not in message
    assert message.endswith(".")
    return message


async def test_no_database_at_all(tmp_path: Path) -> None:
    path = tmp_path / "yin.db"
    path.write_text("床前明月光，疑是地上霜。" * 100, encoding="utf-8")
    assert "is not a SQLite database, or is damaged" in await _refusal(f"sqlite+aiosqlite:///{path}")
    assert path.read_text(encoding="utf-8").startswith("床前明月光"), "it was left as it was"


async def test_damaged_database(store: Store, composition: Composition, database: Path, url: str) -> None:
    for _ in range(200):
        await store.add_poem(ASKER, composition)
    await store.close()
    _overwrite(database, 8192, 16384)
    assert "is damaged" in await _refusal(url)


def _overwrite(path: Path, start: int, end: int) -> None:
    content = bytearray(path.read_bytes())
    assert len(content) > end
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)


async def test_locked_database(database: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store._BUSY_SECONDS", 0.05)
    async with await Store.open(url):
        pass
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "in use by another program" in await _refusal(url)
    other.close()


async def test_folder_where_the_file_should_be(tmp_path: Path) -> None:
    assert "cannot be opened" in await _refusal(f"sqlite+aiosqlite:///{tmp_path}")


async def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made" in await _refusal(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'yin.db'}")


async def test_database_of_a_later_version(store: Store, database: Path, url: str) -> None:
    await store.close()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "later version of this program" in await _refusal(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite+aiosqlite://",
        "sqlite+aiosqlite:///:memory:",
        "sqlite:///yin.db",
        "oracle+nothing://u:secret@h/d",
    ],
)
async def test_url_that_names_no_database(url: str) -> None:
    message = await _refusal(url)
    assert message.startswith("DATABASE_URL")
    assert "secret" not in message
