"""The poem of the day: when it is due over summer time, and that it comes exactly once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from bot.daily import CannotPostError, DailyPoems, latest_due, minute_of
from bot.errors import BotError, BusyError
from bot.services import Services
from bot.store.dailies import Daily
from bot.store.poems import StoredPoem
from tests.bot.conftest import FakePoet, FakeRegistry, Rows

BERLIN = ZoneInfo("Europe/Berlin")
GUILD, CHANNEL = 5, 6


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("minute", "now", "day", "due"),
    [
        (8 * 60, "2026-01-10T07:00", "2026-01-10", "2026-01-10T07:00"),
        (8 * 60, "2026-01-10T06:59", "2026-01-09", "2026-01-09T07:00"),
        (8 * 60, "2026-07-10T06:00", "2026-07-10", "2026-07-10T06:00"),
        (150, "2026-03-29T00:59", "2026-03-28", "2026-03-28T01:30"),
        (150, "2026-03-29T01:30", "2026-03-29", "2026-03-29T01:30"),  # 02:30 is skipped: due at 03:30
        (150, "2026-10-25T00:30", "2026-10-25", "2026-10-25T00:30"),  # 02:30 comes twice: the first one
        (150, "2026-10-25T01:30", "2026-10-25", "2026-10-25T00:30"),
        (0, "2026-10-25T22:59", "2026-10-25", "2026-10-24T22:00"),
    ],
)
def test_due_in_the_servers_own_time(minute: int, now: str, day: str, due: str) -> None:
    assert latest_due(minute, BERLIN, _utc(now)) == (day, _utc(due))


def test_every_day_of_a_year_is_due_once() -> None:
    now, days = _utc("2026-01-01T12:00"), []
    while now < _utc("2027-01-01T12:00"):
        day, due = latest_due(150, BERLIN, now)
        assert due <= now < due + timedelta(hours=25)
        days.append(day)
        now += timedelta(minutes=30)
    changes = [day for before, day in pairwise(days) if day != before]
    assert len(changes) == len(set(changes)) == 365


@pytest.mark.parametrize(("typed", "minute"), [("8:05", 485), (" 20:30 ", 1230), ("00:00", 0), ("23：59", 1439)])
def test_times_that_are_understood(typed: str, minute: int) -> None:
    assert minute_of(typed) == minute


@pytest.mark.parametrize("typed", ["", "8", "24:00", "8:60", "8:5", "-1:30", "a:bc", "8:30pm", "²:30"])
def test_times_that_are_not(typed: str) -> None:
    with pytest.raises(BotError):
        minute_of(typed)


class Channel:
    """A channel that may fail while posting, before or after the message is there."""

    def __init__(self) -> None:
        self.messages: list[int] = []
        self.failures: list[Exception | None] = []
        self.lost_answers = 0
        self.here = True

    def home(self, daily: Daily) -> tuple[str, bool] | None:
        return ("zh-TW", True) if self.here else None

    async def find(self, poem: StoredPoem) -> int | None:
        return 100 + self.messages.index(poem.id) if poem.id in self.messages else None

    async def post(self, poem: StoredPoem) -> int | None:
        if self.failures and (failure := self.failures.pop(0)) is not None:
            raise failure
        self.messages.append(poem.id)
        if self.lost_answers:
            self.lost_answers -= 1
            raise OSError("the connection broke before the answer came")
        return 100 + self.messages.index(poem.id)


class Clock:
    def __init__(self, now: str) -> None:
        self.now = _utc(now)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def clock() -> Clock:
    return Clock("2026-11-24T07:59")


@pytest.fixture
async def daily(services: Services, channel: Channel, clock: Clock, rows: Rows) -> DailyPoems:
    await services.store.dailies.set(GUILD, CHANNEL, 8 * 60, "wujue")
    rows.run(f"UPDATE dailies SET since = {_utc('2026-11-23T12:00').timestamp() * 1000:.0f}")
    return DailyPoems(services.poems, channel, clock)


async def test_posted_once_a_day(daily: DailyPoems, channel: Channel, clock: Clock, rows: Rows) -> None:
    await daily.post_due()
    assert channel.messages == [], "not due yet, and yesterday was before it was wanted"
    clock.now = _utc("2026-11-24T08:00")
    await daily.post_due()
    await daily.post_due()
    clock.now = _utc("2026-11-24T23:00")
    await daily.post_due()
    assert channel.messages == [1]
    clock.now = _utc("2026-11-25T08:01")
    await daily.post_due()
    assert channel.messages == [1, 2]
    assert rows("SELECT form, language, message_id FROM poems") == [("wujue", "zh-TW", 100), ("wujue", "zh-TW", 101)]


async def test_each_server_has_its_own_at_its_own_time_in_its_own_voice(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, registry: FakeRegistry, rows: Rows
) -> None:
    store, tokyo = services.store, 7
    await store.servers.choose(tokyo, lambda chosen: replace(chosen, time_zone="Asia/Tokyo", script="simplified"))
    for minute in (9 * 60, 17 * 60 + 30):  # the later choice is the one that holds
        await store.dailies.set(tokyo, CHANNEL + 1, minute, None)
    rows.run("UPDATE dailies SET since = (SELECT min(since) FROM dailies)")
    registry.add("fake-2", "server-7")
    registry.promote("fake-2", "server-7")
    for now, posted in (("08:00", 1), ("08:29", 1), ("08:30", 2), ("08:31", 2)):
        clock.now = _utc(f"2026-11-24T{now}")
        await daily.post_due()
        assert len(channel.messages) == posted
    expected = [(GUILD, CHANNEL, "traditional", "fake-1"), (tokyo, CHANNEL + 1, "simplified", "fake-2")]
    assert rows("SELECT guild_id, channel_id, script, version FROM poems") == expected
    assert rows("SELECT guild_id, day, posted FROM daily_poems") == [(GUILD, "2026-11-24", 1), (tokyo, "2026-11-24", 1)]
    await store.dailies.stop(tokyo)
    assert [wish.guild_id for wish in await store.dailies.all()] == [GUILD]


async def test_a_server_that_waits_holds_up_no_other(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, rows: Rows
) -> None:
    async def want(guild_id: int, since: str) -> None:
        await services.store.dailies.set(guild_id, CHANNEL, 8 * 60, None)
        rows.run(f"UPDATE dailies SET since = {_utc(since).timestamp() * 1000:.0f} WHERE guild_id = {guild_id}")

    await want(3, "2026-11-24T08:30")  # from tomorrow on
    await want(4, "2026-11-23T12:00")
    await want(GUILD, "2026-11-23T12:00")
    clock.now = _utc("2026-11-24T08:00")
    channel.failures = [OSError("down")]
    await daily.post_due()
    posted = "SELECT guild_id, posted FROM daily_poems ORDER BY guild_id"
    assert rows(posted) == [(4, 0), (GUILD, 1)]
    await want(6, "2026-11-23T12:00")
    clock.now += timedelta(seconds=10)
    await daily.post_due()
    assert rows(posted) == [(4, 0), (GUILD, 1), (6, 1)]


async def test_spells_no_word_on_the_servers_list(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, rows: Rows
) -> None:
    await services.store.servers.choose(GUILD, lambda chosen: replace(chosen, words=("初三",)))
    clock.now = _utc("2026-11-24T08:00")
    await daily.post_due()
    assert channel.messages == []
    assert rows("SELECT id FROM poems") == []


async def test_written_anew_if_it_was_deleted_before_it_was_posted(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, rows: Rows
) -> None:
    clock.now = _utc("2026-11-24T08:00")
    channel.failures = [OSError("down")]
    await daily.post_due()
    rows.run("DELETE FROM poems")
    clock.now += timedelta(minutes=1)
    await daily.post_due()
    assert len(channel.messages) == 1
    assert rows("SELECT posted FROM daily_poems") == [(1,)]


async def test_posted_late_if_the_bot_was_down_at_that_minute(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services
) -> None:
    clock.now = _utc("2026-11-25T03:00")
    await daily.post_due()
    await DailyPoems(services.poems, channel, clock).post_due()
    assert channel.messages == [1]


async def test_not_posted_twice_if_the_bot_ended_before_it_was_noted(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, rows: Rows
) -> None:
    clock.now = _utc("2026-11-24T08:00")
    channel.lost_answers = 1
    await daily.post_due()
    assert rows("SELECT posted FROM daily_poems") == [(0,)]
    await DailyPoems(services.poems, channel, clock).post_due()
    assert channel.messages == [1]
    assert rows("SELECT posted FROM daily_poems") == [(1,)]
    assert rows("SELECT message_id FROM poems") == [(100,)]


async def test_written_poem_is_kept_when_posting_fails_and_posted_at_the_next_try(
    daily: DailyPoems, channel: Channel, clock: Clock, poet: FakePoet
) -> None:
    clock.now = _utc("2026-11-24T08:00")
    channel.failures = [OSError("down"), OSError("down")]
    for _ in range(4):
        await daily.post_due()
        clock.now += timedelta(minutes=1)
    assert channel.messages == [1]
    assert len(poet.batches) == 1


async def test_poem_that_cannot_be_kept_is_composed_ever_more_seldom(
    daily: DailyPoems, channel: Channel, clock: Clock, poet: FakePoet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise OSError("database or disk is full")

    clock.now = _utc("2026-11-24T08:00")
    with monkeypatch.context() as patched:
        patched.setattr(daily._poems.store.poems, "add", full)
        for _ in range(3 * 60 * 6):  # ticks in six hours
            await daily.post_due()
            clock.now += timedelta(seconds=20)
    assert 5 < len(poet.batches) < 20
    clock.now += timedelta(hours=1)
    await daily.post_due()
    assert channel.messages == [1]


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO servers (guild_id, time_zone, channels, words) VALUES (1, 'No/Where', '', '')",
        "UPDATE dailies SET minute = 5000 WHERE guild_id = 1",
    ],
)
async def test_a_server_whose_time_cannot_be_told_holds_up_nobody_else(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, rows: Rows, damage: str
) -> None:
    rows.run("INSERT INTO dailies (guild_id, channel_id, minute, form, since) VALUES (1, 2, 480, NULL, 0)")
    rows.run(damage)
    await services.store.servers.load()
    clock.now = _utc("2026-11-24T08:00")
    await daily.post_due()
    assert rows("SELECT guild_id FROM poems") == [(GUILD,)]
    assert len(channel.messages) == 1


async def test_given_up_for_the_day_where_it_never_can(
    daily: DailyPoems, channel: Channel, clock: Clock, poet: FakePoet
) -> None:
    clock.now = _utc("2026-11-24T08:00")
    channel.failures = [CannotPostError()]
    await daily.post_due()
    await daily.post_due()
    assert channel.messages == []
    assert len(poet.batches) == 1
    clock.now = _utc("2026-11-25T08:00")
    await daily.post_due()
    assert len(channel.messages) == 1


async def test_waits_while_the_server_is_away_and_asks_nobodys_quota(
    daily: DailyPoems, channel: Channel, clock: Clock, rows: Rows
) -> None:
    clock.now = _utc("2026-11-24T08:00")
    channel.here = False
    await daily.post_due()
    assert rows("SELECT * FROM poems") == []
    channel.here = True
    await daily.post_due()
    assert channel.messages == [1]
    assert rows("SELECT * FROM usage") == []


async def test_a_zone_that_is_unknown_here_holds_up_no_other(
    daily: DailyPoems, channel: Channel, clock: Clock, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    await services.store.servers.choose(1, lambda chosen: replace(chosen, time_zone="Mars/Olympus"))
    await services.store.dailies.set(1, CHANNEL, 8 * 60, None)
    clock.now = _utc("2026-11-24T08:00")
    await daily.post_due()
    assert channel.messages == [1]
    assert "server 1 could not be posted" in caplog.text


async def test_a_full_queue_is_no_error(
    daily: DailyPoems, channel: Channel, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    channel.failures = [BusyError(3)]
    clock.now = _utc("2026-11-24T08:00")
    await daily.post_due()
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    await daily.post_due()
    assert channel.messages == [1], "at the next look"
