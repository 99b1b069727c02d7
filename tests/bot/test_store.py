"""The store on real SQLite files: migrations, votes, quotas, transactions, and files it cannot use."""

import asyncio
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.asker import CONSOLE, Asker
from bot.errors import BotError, StartError
from bot.leaderboard import leaderboard
from bot.metrics import Metrics
from bot.poems import Limits
from bot.preferences import MAX_CHANNELS, MAX_COOLDOWN, MAX_QUOTA, Preferences
from bot.rating import Rating
from bot.store import Store
from bot.store.database import _claimed, _config, least_id, now_ms
from bot.store.poems import FORGOTTEN, Setting, StoredPoem
from bot.store.servers import Choices
from bot.store.tables import metadata
from bot.words import MAX_WORD_LENGTH, MAX_WORDS
from poetgen.poem import Composition, PoemRequest
from tests.bot.conftest import FakePoet, Rows

ASKER = Setting(requester_id=2**63 - 1, guild_id=2, channel_id=3)
REQUEST = PoemRequest(theme="秋夜")
JOB = {"language": "en", "seed": 1, "minutes": 5, "num_poems": 1, "num_voters": 1, "num_votes": 1}


async def _add(store: Store, composition: Composition) -> int:
    return (await store.poems.add(ASKER, REQUEST, composition)).id


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


async def test_last_poems_are_told_by_version_the_oldest_first(store: Store, composition: Composition) -> None:
    for version, line in (("b", "春"), ("a", "夏"), ("b", "秋"), ("a", "冬"), ("a", "冬")):
        poem = replace(composition.poem, lines=(line,))
        await _add(store, replace(composition, poem=poem, version=version))
    assert await store.poems.lately(4) == {"a": [("夏",), ("冬",)], "b": [("秋",)]}


async def test_replay_is_of_this_servers_poem_and_of_all_that_was_asked_for(
    store: Store, composition: Composition
) -> None:
    asked = PoemRequest(theme="秋夜", acrostic="春", seed=composition.seed)
    await store.poems.add(ASKER, asked, composition)
    assert await store.poems.version_of(asked, 2) == "fake-1"
    for other in ({"acrostic": ""}, {"first_line": "春眠不覺曉"}, {"rhyme": "東"}, {"seed": 1}, {"theme": "春"}):
        assert await store.poems.version_of(replace(asked, **other), 2) is None
    for elsewhere in (5, None):
        assert await store.poems.version_of(asked, elsewhere) is None


async def test_last_poem_of_a_server_is_one_that_was_asked_for_there(store: Store, composition: Composition) -> None:
    mine = await _add(store, composition)
    for setting in (Setting(1, 2, purpose="daily"), Setting(1, 2, purpose="compare"), Setting(1, 77)):
        await store.poems.add(setting, REQUEST, composition)
    assert await store.poems.newest(2) == mine


async def test_poem_keeps_its_first_message_and_a_message_its_poem(store: Store, composition: Composition) -> None:
    first, second = await _add(store, composition), await _add(store, composition)
    for poem_id, message_id in ((first, 9), (first, 10), (second, 9)):
        await store.poems.note_message(poem_id, message_id)
    assert [getattr(await store.poems.get(poem_id), "message_id", 0) for poem_id in (first, second)] == [9, None]


async def test_deletion_reads_no_whole_table(store: Store, rows: Rows) -> None:
    for table in metadata.sorted_tables:
        for column in (key.parent.name for key in table.foreign_keys):
            [(*_, plan)] = rows(f"EXPLAIN QUERY PLAN SELECT * FROM {table.name} WHERE {column} = 1")
            assert str(plan).startswith("SEARCH"), f"{table.name}.{column}"
    [(*_, plan)] = rows("EXPLAIN QUERY PLAN DELETE FROM poems WHERE channel_id = 1")
    assert str(plan).startswith("SEARCH")


async def test_id_is_never_given_twice(store: Store, composition: Composition, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.database.least_id", least_id)
    given = []
    for _ in range(5):
        given.append(await _add(store, composition))
        await store.poems.delete(given[-1])
        await asyncio.sleep(0.002)
    given += [await _add(store, composition) for _ in range(5)]
    assert sorted(set(given)) == given
    monkeypatch.setattr("bot.store.database.least_id", lambda: 1)
    assert await _add(store, composition) == given[-1] + 1, "though the clock stepped back"
    monkeypatch.setattr("bot.store.database.least_id", least_id)
    first, second = given[-2:]
    compared = await store.comparisons.add(1, 2, first, second)
    await store.people.forget(1)
    await asyncio.sleep(0.002)
    assert await store.comparisons.add(1, 2, first, second) > compared


async def test_opening_again_keeps_what_is_there(url: str, composition: Composition, rows: Rows) -> None:
    async with await Store.open(url) as store:
        poem_id = await _add(store, composition)
        await store.poems.note_message(poem_id, 99)
    async with await Store.open(url) as store:
        poem = await store.poems.of_message(99)
        assert poem is not None
        assert poem.id == poem_id
        assert await store.poems.of_message(98) is None
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
            poem_id = await _add(store, composition)
            other_id = await _add(store, composition)
            await store.votes.cast(other_id, 1, -1)
            for voter_id, value in cast:
                if value is None:
                    await store.votes.withdraw(poem_id, voter_id)
                else:
                    await store.votes.cast(poem_id, voter_id, value)
            assert await store.votes.tally(other_id) == (0, 1)
            return await store.votes.tally(poem_id)

    last = [value for value in dict(cast).values() if value is not None]
    assert asyncio.run(vote()) == (last.count(1), last.count(-1))


async def test_votes_at_the_same_time_count_in_the_order_they_were_cast(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem_id = await _add(store, composition)
    casts = [store.votes.cast(poem_id, voter_id, value) for value in (1, -1, 1, -1) for voter_id in range(5)]
    await asyncio.gather(*casts)
    assert rows.votes() == [(poem_id, voter_id, -1) for voter_id in range(5)]


async def test_slow_look_up_lets_no_later_vote_pass(
    store: Store, composition: Composition, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    poem_id = await _add(store, composition)
    await store.poems.note_message(poem_id, 9)
    of_message, waits = store.poems.of_message, [0.1, 0.0]

    async def slow_at_first(message_id: int) -> StoredPoem | None:
        await asyncio.sleep(waits.pop(0))
        return await of_message(message_id)

    monkeypatch.setattr(store.poems, "of_message", slow_at_first)
    rating = Rating(store, Metrics())
    await asyncio.gather(*(rating.vote_on_message(9, 4, value) for value in (1, -1)))
    assert rows.votes() == [(poem_id, 4, -1)]


async def test_hidden_poem_takes_no_presses(store: Store, composition: Composition, rows: Rows) -> None:
    poem_id = await _add(store, composition)
    await store.poems.hide(poem_id)
    assert await store.votes.press_all(poem_id, [(4, 1)]) is None
    assert rows.votes() == []


async def test_reactions_read_later_leave_who_votes_now_alone(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem = await store.poems.add(Setting(1, 2, 3), REQUEST, composition)
    for voter_id in (4, 5):
        await store.votes.cast(poem.id, voter_id, 1)
    found = {1: frozenset({1}), 6: frozenset({-1}), 7: frozenset({1})}
    assert await store.votes.settle(poem.id, found, leave=frozenset({5, 7})) == 3
    expected = [(1, 1, 0), (5, 1, 1), (6, -1, 1)]
    assert rows("SELECT voter_id, value, weight FROM votes ORDER BY voter_id") == expected, "one's own weighs nothing"


async def test_write_that_began_is_finished_even_if_its_task_is_cancelled(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem_id = await _add(store, composition)
    await store.notes.hashed(0)  # for which a key is made once
    for voter_id in range(30):
        task = asyncio.create_task(store.votes.cast(poem_id, voter_id, 1))
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
        poem_id = await _add(store, composition)
        await store.votes.tally(poem_id)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert begun == ["BEGIN IMMEDIATE", "BEGIN"]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO votes VALUES (1, 2, 0, 0, 1, 0)",
        "INSERT INTO votes VALUES (7, 2, 1, 0, 1, 0)",
        "INSERT INTO votes VALUES (1, 1, -1, 0, 1, 0)",
    ],
    ids=["a vote of 0", "a poem that is not there", "a second vote"],
)
async def test_database_itself_refuses(store: Store, composition: Composition, database: Path, statement: str) -> None:
    await store.votes.cast(await _add(store, composition), 1, 1)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


async def test_votes_go_with_their_poem(store: Store, composition: Composition, database: Path, rows: Rows) -> None:
    await store.votes.cast(await _add(store, composition), 1, 1)
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("DELETE FROM poems")
    connection.close()
    assert rows.votes() == []


async def test_error_of_the_database_names_nobody(store: Store, rows: Rows) -> None:
    rows.run("DROP TABLE retries")
    with pytest.raises(sa.exc.OperationalError) as failed:
        await store.notes.keep_retry("abc", 4242, "what was typed")
    assert "retries" in str(failed.value)
    assert "4242" not in str(failed.value)
    assert "typed" not in str(failed.value)


async def test_notes_are_replaced(store: Store) -> None:
    assert await store.notes.noted("commands") is None
    await store.notes.note("commands", "a")
    await store.notes.note("commands", "b")
    assert await store.notes.noted("commands") == "b"


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
        await _add(store, composition)
    await store.close()
    _overwrite(database, 8192, 16384)
    assert "is damaged" in await _refusal(url)


def _overwrite(path: Path, start: int, end: int) -> None:
    content = bytearray(path.read_bytes())
    assert len(content) > end
    content[start:end] = b"\xff" * (end - start)
    path.write_bytes(content)


async def test_locked_database(database: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.store.database._BUSY_SECONDS", 0.05)
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


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
async def test_database_and_its_copies_are_the_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        first = tmp_path / "first" / "first.db"
        _first_version(first)
        for path in (first, tmp_path / "new" / "new.db"):
            async with await Store.open(f"sqlite+aiosqlite:///{path}") as store:
                await store.notes.note("a", "b")
                modes = _modes(tmp_path)
    finally:
        os.umask(before)
    assert {modes[name] for name in ("new.db", "new.db-wal", "first.db.before-0001.bak")} == {0o600}
    assert modes["new.db.lock"] == 0o600, "whoever may open it can lock it, and keep the bot from starting"
    assert modes["first.db"] == 0o644, "as it was"


def _modes(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mode & 0o777 for file in folder.rglob("*.db*")}


def test_a_lock_that_may_only_be_read_keeps_nobody_away_and_is_refused() -> None:
    with TemporaryDirectory() as folder:
        place, nobody = f"{folder}/yin.db", 65534
        Path(folder).chmod(0o755)
        Path(f"{place}.lock").touch(0o444)
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(nobody)
            with pytest.raises(StartError, match=r"yin\.db\.lock may not be written; change its permissions"):
                _claimed(place)
        finally:
            if is_root:
                os.seteuid(0)


async def test_second_instance_says_so_and_stops(store: Store, url: str) -> None:
    assert "Another instance of me is running" in await _refusal(url)
    await store.close()
    async with await Store.open(url):
        pass


def _first_version(database: Path) -> None:
    """A database as the first release left it, with poems and votes."""
    database.parent.mkdir(parents=True)
    engine = sa.create_engine(f"sqlite:///{database}")
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        row = "(%d, 1000, %d, 2, 3, %d, 'qijue', '秋夜', 7, 'v', 'BAaB', '東', '秋夜', '一\n二\n三\n四', 0.5)"
        for poem_id, requester_id in ((1, 50), (2, 0)):
            connection.exec_driver_sql("INSERT INTO poems VALUES " + row % (poem_id, requester_id, 90 + poem_id))
        connection.exec_driver_sql("INSERT INTO votes VALUES (1, 50, 1, 0), (1, 51, -1, 0), (2, 0, 1, 0)")
        connection.exec_driver_sql("INSERT INTO meta VALUES ('commands_hash', 'x')")
    engine.dispose()


async def test_database_of_the_first_version_is_backed_up_and_brought_up_to_date(
    database: Path, url: str, rows: Rows
) -> None:
    _first_version(database)
    async with await Store.open(url) as store:
        poem = await store.poems.of_message(91)
        assert poem is not None
        assert (poem.theme, poem.lines, poem.acrostic, poem.ranked) == ("秋夜", ("一", "二", "三", "四"), "", True)
        assert await store.notes.noted("commands_hash") == "x"
        assert await store.votes.tally(1) == (1, 1)
    assert rows("SELECT poem_id, voter_id, value, weight FROM votes ORDER BY poem_id, voter_id") == [
        (1, 50, 1, 0),
        (1, 51, -1, 1),
        (2, 0, 1, 1),
    ], "a requester's own vote weighs nothing, except the console's"
    with closing(sqlite3.connect(f"{database}.before-0001.bak")) as backup:
        assert backup.execute("SELECT count(*) FROM votes").fetchone() == (3,)
        assert backup.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)


async def test_new_database_needs_no_backup(store: Store, database: Path) -> None:
    assert [path.name for path in database.parent.glob("*.bak")] == []


async def test_messages_of_members_that_were_kept_are_deleted(store: Store, url: str, rows: Rows) -> None:
    await store.close()
    engine = sa.create_engine(url.replace("+aiosqlite", ""))
    with engine.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        for name, data in (("menu", '{"messages": {"1": {"content": "a secret"}}}'), ("button", '{"custom_id": "a"}')):
            connection.exec_driver_sql("INSERT INTO retries VALUES (?, 1, 0, ?)", (name, data))
    engine.dispose()
    async with await Store.open(url):
        assert rows("SELECT id FROM retries") == [("button",)]


async def test_steps_lead_back_too(database: Path, rows: Rows) -> None:
    _first_version(database)
    engine = sa.create_engine(f"sqlite:///{database}")
    for revision, step in (("head", command.upgrade), ("0001", command.downgrade)):
        with engine.begin() as connection:
            config = _config()
            config.attributes["connection"] = connection
            step(config, revision)
    engine.dispose()
    assert rows("SELECT count(*) FROM votes") == [(3,)]
    assert rows("SELECT name FROM sqlite_master WHERE name = 'jobs'") == []


async def test_quota_and_cooldown_hold_over_a_restart_and_are_given_back(url: str) -> None:
    async with await Store.open(url) as store:
        taken = await store.usage.take(1, 2, 2, 60_000)
        with pytest.raises(BotError) as refused:
            await store.usage.take(1, 2, 2, 60_000)
        assert refused.value.key == "cooldown"
        assert 59 <= refused.value.values["seconds"] <= 60  # type: ignore[operator]
        await store.usage.take(1, None, 2, 60_000)  # elsewhere
        await store.usage.take(3, 2, 2, 60_000)  # somebody else
        await store.usage.give_back(taken)
        await store.usage.take(1, 2, 2, 60_000)
        await store.usage.take(1, 2, 2, 0)
    async with await Store.open(url) as store:
        with pytest.raises(BotError) as refused:
            await store.usage.take(1, 2, 2, 0)
        assert refused.value.key == "quota"
        assert str(refused.value.values["at"]).startswith("<t:")


async def test_quota_is_a_new_one_every_day(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.usage.take(1, 2, 1, 0)
    with pytest.raises(BotError):
        await store.usage.take(1, 2, 1, 0)
    tomorrow = now_ms() + 86_400_000
    monkeypatch.setattr("bot.store.usage.now_ms", lambda: tomorrow)
    await store.usage.take(1, 2, 1, 0)


async def test_forgotten_person_is_in_no_table(store: Store, composition: Composition, rows: Rows) -> None:
    others = await _add(store, composition)
    rhymed, line = PoemRequest(theme="秋夜", rhyme="東"), PoemRequest(first_line="春眠不覺曉")
    for request in (rhymed, line):
        await store.poems.add(Setting(4242, 2, 3), request, composition)
    await store.votes.cast(others, 4242, 1)
    await store.votes.report(others, 4242)
    await store.comparisons.add(4242, 2, others, others)
    await store.notes.keep_retry("a", 4242, "{}")
    await store.usage.take(4242, 2, 9, 0)
    await store.jobs.add(guild_id=2, requester_id=4242, **JOB)
    assert set((await store.people.counts(4242)).values()) == {1, 2}
    await store.people.forget(4242)
    assert set((await store.people.counts(4242)).values()) == {0}
    kept = "SELECT requester_id, theme, title, asked_rhyme, first_line FROM poems WHERE id > 1"
    assert rows(kept) == [(FORGOTTEN, "", "無題", "", "")], "a line of one's own goes with its poem"


async def test_erased_server_leaves_nothing_behind_and_the_others_everything(
    store: Store, composition: Composition, rows: Rows
) -> None:
    for guild_id in (2, 5):
        poem = await store.poems.add(Setting(1, guild_id, 3), REQUEST, composition)
        await store.votes.cast(poem.id, 4, 1)
        await store.comparisons.add(1, guild_id, poem.id, poem.id)
        await store.dailies.set(guild_id, 3, 480, None)
        await store.dailies.written(guild_id, "2026-11-24", poem.id)
        await store.usage.take(1, guild_id, 9, 0)
        await store.jobs.add(guild_id=guild_id, requester_id=1, **JOB)
        await store.servers.choose(guild_id, lambda chosen: replace(chosen, words=("月",)))
    await store.servers.erase(2)
    for table in metadata.sorted_tables:
        if "guild_id" in table.c:
            assert rows(f"SELECT guild_id FROM {table.name}") == [(5,)], table.name
    assert rows("SELECT count(*) FROM votes") == [(1,)]
    assert [store.servers.of(guild_id).words for guild_id in (2, 5)] == [(), ("月",)]


async def test_console_is_no_server_that_was_left(store: Store) -> None:
    await store.servers.choose(CONSOLE, lambda chosen: replace(chosen, script="traditional"))
    await store.servers.present({5})
    assert await store.servers.left_before(now_ms() + 1000) == []


async def test_forgotten_person_has_no_new_quota_today(store: Store, rows: Rows) -> None:
    await store.usage.take(1, 2, 9, 60_000)
    await store.usage.take(1, 3, 2, 0)
    await store.usage.take(1, 3, 2, 0)
    for _ in range(2):
        await store.people.forget(1)
        assert rows("SELECT used FROM usage WHERE member_id > 0") == []
        for guild_id, cooldown_ms, refused in ((2, 60_000, "cooldown"), (3, 0, "quota")):
            with pytest.raises(BotError) as error:
                await store.usage.take(1, guild_id, 2, cooldown_ms)
            assert error.value.key == refused
    await store.usage.take(5, 2, 9, 60_000)
    await store.usage.take(1, 2, 9, 0)
    assert rows("SELECT member_id, used FROM usage WHERE guild_id = 2 ORDER BY member_id") == [(1, 2), (5, 1)]
    await store.people.forget(1)
    rows.run("UPDATE usage SET last_at = 1000 WHERE member_id = 5")
    await store.people.forget_hashes(1001)
    assert rows("SELECT count(*) FROM usage WHERE member_id = 5") == [(0,)], "who asked long ago"
    assert rows("SELECT count(*) > 0 FROM usage") == [(1,)]
    await store.people.forget_hashes(2**62)
    assert rows("SELECT member_id FROM usage") == []


async def test_nothing_that_a_forgotten_person_typed_is_kept(
    store: Store, composition: Composition, rows: Rows
) -> None:
    for theme in ("", "秋夜"):
        asked = PoemRequest(theme=theme, rhyme="東")
        await store.poems.add(Setting(7, guild_id=5, channel_id=6), asked, replace(composition, theme=theme))
    await store.people.forget(7)
    assert rows("SELECT requester_id, theme, asked_rhyme FROM poems") == [(-1, "", "")] * 2


async def test_forgotten_requesters_vote_weighs_nothing_still(
    store: Store, composition: Composition, rows: Rows
) -> None:
    poem = await store.poems.add(Setting(1, 2, 3), REQUEST, composition)
    await store.people.forget(1)
    weights = "SELECT voter_id, weight FROM votes ORDER BY voter_id"
    await store.votes.press_all(poem.id, [(1, 1), (4, 1)])
    assert rows(weights) == [(1, 0), (4, 1)]
    for voter_id in (1, 4):
        await store.votes.cast(poem.id, voter_id, -1)
    assert rows(weights) == [(1, 0), (4, 1)]
    await asyncio.sleep(0.002)
    other = await store.poems.add(Setting(FORGOTTEN, 2, 3), REQUEST, composition)
    await store.votes.cast(other.id, 1, 1)
    assert rows("SELECT weight FROM votes WHERE poem_id = 2") == [(1,)], "it was written afterwards"


async def test_nobody_asked_for_a_daily_poem(store: Store, composition: Composition, rows: Rows) -> None:
    poem = await store.poems.add(Setting(FORGOTTEN, 2, 3, purpose="daily"), REQUEST, composition)
    await store.people.forget(1)
    await store.votes.cast(poem.id, 1, 1)
    assert rows("SELECT weight FROM votes") == [(1,)]


async def test_requests_at_the_same_moment_do_not_pass_the_quota_together(store: Store) -> None:
    takes = [store.usage.take(1, 2, 5, 0) for _ in range(20)]
    results = await asyncio.gather(*takes, return_exceptions=True)
    assert sum(not isinstance(result, BotError) for result in results) == 5


async def test_choices_are_kept_and_read_again(url: str) -> None:
    chosen = Choices("zh-TW", "traditional", "Asia/Taipei", (1, 2**62), ("一", "二 三"), 0, 7, 9)
    async with await Store.open(url) as store:
        await store.servers.choose(5, lambda _: chosen)
        assert store.servers.of(5) == chosen
    async with await Store.open(url) as store:
        await store.servers.load()
        assert store.servers.of(5) == chosen
        assert store.servers.of(None) == store.servers.of(6) == Choices()


async def test_two_who_choose_at_once_both_have_their_way(store: Store) -> None:
    admin, preferences = Asker(1, guild_id=5, admin=True), Preferences(store, Limits())
    await asyncio.gather(
        preferences.language(admin, "zh-TW"), preferences.script(admin, "traditional"), store.servers.joined(5),
        *(preferences.word(admin, word, listed=True) for word in ("一", "二")),
        *(preferences.channel(admin, channel, allowed=True) for channel in (7, 8)),
    )  # fmt: skip
    chosen = Choices("zh-TW", "traditional", words=("一", "二"), channels=(7, 8))
    assert store.servers.of(5) == chosen
    await store.servers.load()
    assert store.servers.of(5) == chosen


async def test_choices_are_bounded(store: Store) -> None:
    admin, preferences = Asker(1, guild_id=5, admin=True), Preferences(store, Limits())
    full = Choices(words=tuple(map(str, range(MAX_WORDS))), channels=tuple(range(MAX_CHANNELS)))
    await store.servers.choose(5, lambda _: full)
    for refused in (
        preferences.word(admin, "月", listed=True), preferences.channel(admin, MAX_CHANNELS, allowed=True),
        preferences.word(admin, "月" * (MAX_WORD_LENGTH + 1), listed=False), preferences.word(admin, "…", listed=False),
        preferences.limits(admin, MAX_QUOTA + 1, None), preferences.limits(admin, -1, None),
        preferences.limits(admin, None, MAX_COOLDOWN + 1), preferences.limits(admin, None, -1),
    ):  # fmt: skip
        with pytest.raises(BotError):
            await refused
    assert store.servers.of(5) == full


async def test_what_was_chosen_is_taken_back_and_shown_as_it_stands(store: Store) -> None:
    admin, preferences = Asker(1, guild_id=5, admin=True, home_language="zh-TW"), Preferences(store, Limits())
    for word, listed in (("月餅", True), ("*a*", True), ("月饼", False)):
        await preferences.word(admin, word, listed)
    for channel, allowed in ((7, True), (8, True), (7, False)):
        await preferences.channel(admin, channel, allowed)
    await preferences.limits(admin, 0, 0)
    page = await preferences.page(admin)
    for shown in (
        r"(1): ||\*a\*||",
        "Poems in: <#8>\n",
        "Per member: 0 poems a day, 0 s apart",
        "Characters of poems: traditional\n",
    ):
        assert shown in page


@pytest.mark.parametrize(
    ("path", "end"),
    [(("running", "evaluating"), "promoted"), (("running",), "rejected"), ((), "failed"), ((), "cancelled")],
)
async def test_job_goes_its_way_and_not_back(store: Store, path: tuple[str, ...], end: str) -> None:
    job = await store.jobs.add(guild_id=1, requester_id=2, **JOB)
    assert job is not None
    for state in (*path, end):
        assert await store.jobs.move(job.id, state)  # type: ignore[arg-type]
    for state in ("running", "evaluating", "promoted", "failed", "cancelled"):
        assert not await store.jobs.move(job.id, state)  # type: ignore[arg-type]
    finished = await store.jobs.get(job.id)
    assert finished is not None
    assert finished.state == end
    assert finished.finished_at is not None


async def test_fine_tunes_wait_in_the_order_they_came(store: Store) -> None:
    for guild_id in (7, 1, 5):
        await store.jobs.add(guild_id=guild_id, requester_id=2, **JOB)
    assert [job.guild_id for job in await store.jobs.waiting()] == [7, 1, 5]


async def test_fine_tunes_are_told_by_their_voice(store: Store) -> None:
    ids: list[int] = []
    for guild_id, version in ((1, "a"), (7, "b"), (1, "c"), (None, "d")):
        job = await store.jobs.add(guild_id=guild_id, requester_id=2, **JOB)
        assert job is not None
        assert await store.jobs.move(job.id, "running")
        assert await store.jobs.move(job.id, "promoted", version=version)
        ids.append(job.id)
    assert [job.id for job in await store.jobs.history(1, 9)] == [ids[2], ids[0]]
    assert [job.id for job in await store.jobs.history(None, 9)] == [ids[3]]
    assert await store.jobs.fitted() == {1: "c", 7: "b", None: "d"}, "the last one of each"


async def test_reported_hidden_and_personal_poems_are_not_trained_on(store: Store, composition: Composition) -> None:
    plain = await _add(store, composition)
    for request in (PoemRequest(acrostic="春"), PoemRequest(first_line="春眠不覺曉")):
        other = await store.poems.add(ASKER, request, composition)
        await store.votes.cast(other.id, 1, 1)
    compared = await store.poems.add(Setting(1, 2, 3, purpose="compare"), REQUEST, composition)
    reported, hidden = await _add(store, composition), await _add(store, composition)
    elsewhere = await store.poems.add(Setting(1, guild_id=77), REQUEST, composition)
    for poem_id in (plain, compared.id, reported, hidden, elsewhere.id):
        await store.votes.cast(poem_id, 1, 1)
    await store.votes.report(reported, 9)
    await store.poems.hide(hidden)
    poems, cast = await store.votes.for_training(2)
    assert [poem.id for poem in poems] == [vote.poem_id for vote in cast] == [plain]
    poems, _ = await store.votes.for_training(None, shared=True)
    assert [poem.id for poem in poems] == [plain, elsewhere.id]


async def test_own_votes_are_told_apart_for_training(store: Store, composition: Composition) -> None:
    poem_id = await _add(store, composition)
    for voter_id in (4, ASKER.requester_id):
        await store.votes.cast(poem_id, voter_id, 1)
    _, cast = await store.votes.for_training(2)
    assert [(vote.voter_id, vote.requested) for vote in cast] == [(4, False), (ASKER.requester_id, True)]


async def test_best_are_liked_poems_of_this_server_that_may_be_shown(store: Store, composition: Composition) -> None:
    liked, disliked, own, hidden = [await _add(store, composition) for _ in range(4)]
    elsewhere = await store.poems.add(Setting(1, 77, 3), REQUEST, composition)
    for poem_id in (liked, hidden, elsewhere.id):
        await store.votes.cast(poem_id, 4, 1)
    await store.votes.cast(disliked, 4, -1)
    await store.votes.cast(own, ASKER.requester_id, 1)
    await store.poems.hide(hidden)
    assert [poem.id for poem, *_ in await leaderboard(store, Asker(1, guild_id=2), "all")] == [liked]


async def test_only_the_ten_best_are_read_of_equals_the_newest_first(
    store: Store, composition: Composition, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await _add(store, composition) for _ in range(12)]
    for poem_id in ids:
        await store.votes.cast(poem_id, 1, 1)
    for voter_id in (2, 3):
        await store.votes.cast(ids[4], voter_id, 1)
    await store.votes.cast(ids[11], 2, -1)
    read: list[int] = []
    begin = StoredPoem.__init__

    def noted(self: StoredPoem, poem_id: int, *values: Any) -> None:
        read.append(poem_id)
        begin(self, poem_id, *values)

    monkeypatch.setattr(StoredPoem, "__init__", noted)
    found = await leaderboard(store, Asker(1, guild_id=2), "all")
    assert [poem.id for poem, _, _ in found] == [ids[4], *reversed(ids[5:11]), *reversed(ids[1:4])]
    assert [votes for _, *votes in found] == [[3, 0]] + [[1, 0]] * 9
    assert len(read) == 10


async def test_secret_is_made_once(url: str) -> None:
    async with await Store.open(url) as store:
        secret = await store.notes.secret("key")
        assert len(secret) == 32
    async with await Store.open(url) as store:
        assert await store.notes.secret("key") == secret
        assert await store.notes.secret("other") != secret


async def test_votes_that_are_read_later_are_no_burst(store: Store, composition: Composition, rows: Rows) -> None:
    for _ in range(2):
        await store.poems.add(Setting(9, 2, 3), REQUEST, composition)
    rows.run("UPDATE poems SET created_at = 1000000 * id")
    for poem_id in (1, 2):
        await store.votes.settle(poem_id, {5: frozenset({1})})
    assert rows("SELECT created_at FROM votes ORDER BY poem_id") == [(1_000_000,), (2_000_000,)]


async def test_of_many_poems_the_latest_are_learned_from(
    store: Store, composition: Composition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.store.votes.MOST_POEMS", 2)
    for _ in range(4):
        poem = await store.poems.add(Setting(9, 2, 3), REQUEST, composition)
        await store.votes.cast(poem.id, 5, 1)
    await store.votes.withdraw(4)
    learned, cast = await store.votes.for_training(2)
    assert [poem.id for poem in learned] == [2, 3]
    assert {vote.poem_id for vote in cast} == {2, 3}


async def test_votes_of_a_server_are_counted_by_version(store: Store, composition: Composition) -> None:
    for version, guild_id, requester in (("v1", 2, 9), ("v1", 2, 9), ("v2", 2, 5), ("v1", 3, 9)):
        poem = await store.poems.add(Setting(requester, guild_id, 3), REQUEST, replace(composition, version=version))
        await store.votes.cast(poem.id, 5, 1 if poem.id != 2 else -1)
    assert await store.votes.by_version(2) == {"v1": (1, 1), "v2": (0, 0)}, "one's own request weighs nothing"
