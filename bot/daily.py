"""The poem of the day: when it is due, and that it is posted exactly once.

Knows no Discord: who posts is a `Poster`.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from bot.errors import BotError, BusyError, ClosingError
from bot.poems import Poems
from bot.store.dailies import Daily
from bot.store.poems import FORGOTTEN, Setting, StoredPoem

_log = logging.getLogger(__name__)
_TICK_SECONDS = 20.0
_LONGEST_WAIT = timedelta(hours=1)  # between two tries of a poem that could not be posted, or kept


class CannotPostError(Exception):
    """The channel is gone, or the bot may not write there; trying again today would not help."""


class Poster(Protocol):
    """Puts a poem into a channel."""

    async def find(self, poem: StoredPoem) -> int | None:
        """The message that shows a poem already, if an earlier try came through."""

    async def post(self, poem: StoredPoem) -> int | None:
        """Show a poem; returns the message. Called twice for one poem it must show it once.

        Raises:
            CannotPostError: It never can.
        """

    def home(self, daily: Daily) -> tuple[str, bool] | None:
        """The server's language and whether the bot may react in the channel; None while the server is not there."""


def latest_due(minute: int, zone: ZoneInfo, now: datetime) -> tuple[str, datetime]:
    """The last day whose poem is due, as "2026-03-29", and the moment it was due.

    A time that the clocks skip in spring is due when they have jumped; one that comes twice in autumn the first time.
    """
    at = time(minute // 60, minute % 60)
    day = now.astimezone(zone).date()
    while (due := datetime.combine(day, at, zone).astimezone(UTC)) > now:
        day -= timedelta(days=1)
    return day.isoformat(), due


def minute_of(typed: str) -> int:
    """The minute of the day of a time such as 8:05 or 20:30.

    Raises:
        BotError: It is none.
    """
    hours, colon, minutes = typed.strip().replace("：", ":").partition(":")
    if not (colon and hours.isdecimal() and minutes.isdecimal() and len(minutes) == 2):
        raise BotError("time")
    if int(hours) > 23 or int(minutes) > 59:
        raise BotError("time")
    return int(hours) * 60 + int(minutes)


def clock(minute: int) -> str:
    """A minute of the day as people write it: 08:30."""
    return f"{minute // 60:02}:{minute % 60:02}"


class DailyPoems:
    """Posts the servers' daily poems.

    Args:
        poems: Writes them.
        poster: Shows them.
        now: The time, with its zone.
    """

    def __init__(self, poems: Poems, poster: Poster, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._poems = poems
        self._poster = poster
        self._now = now
        self._failed: dict[Daily, tuple[datetime, timedelta]] = {}  # when last, and how long to wait from then

    async def run(self) -> None:
        """Look every few seconds until cancelled."""
        while True:
            try:
                await self.post_due()
            except ClosingError:
                return
            except Exception:
                _log.exception("the daily poems could not be looked after")
            await asyncio.sleep(_TICK_SECONDS)

    async def post_due(self) -> None:
        """Post what is due and not yet posted."""
        for daily in await self._poems.store.dailies.all():
            now = self._now()
            failed, wait = self._failed.get(daily, (now, timedelta()))
            if failed <= now < failed + wait:  # unless the clock was put back
                continue
            day = None
            try:
                # Within, for a zone may be gone from the system's since it was chosen.
                zone = ZoneInfo(self._poems.store.servers.of(daily.guild_id).time_zone)
                day, due = latest_due(daily.minute, zone, now)
                if due.timestamp() * 1000 < daily.since:
                    continue
                await self._post(daily, day)
                self._failed.pop(daily, None)
            except ClosingError:
                raise
            except BusyError:
                _log.info("the daily poem of server %d waits for others", daily.guild_id)
            except CannotPostError:
                assert day is not None
                _log.warning("the daily poem of server %d cannot be posted in its channel", daily.guild_id)
                await self._poems.store.dailies.posted(daily.guild_id, day)
            except Exception:
                # The next try comes in some seconds, later ones ever more slowly, for a poem that cannot be kept is
                # composed anew each time; the number of one that is kept stops it from being shown twice.
                self._failed[daily] = now, min(max(2 * wait, timedelta(seconds=_TICK_SECONDS)), _LONGEST_WAIT)
                _log.exception("the daily poem of server %d could not be posted", daily.guild_id)

    async def _post(self, daily: Daily, day: str) -> None:
        store = self._poems.store
        state = await store.dailies.of_day(daily.guild_id, day)
        if state is not None and state[1]:
            return
        home = self._poster.home(daily)
        if home is None:
            return
        poem = None if state is None or state[0] is None else await store.poems.get(state[0])
        message_id = None if poem is None else poem.message_id or await self._poster.find(poem)
        if poem is None:
            language, can_react = home
            script = self._poems.script_in(daily.guild_id, language)
            setting = Setting(
                requester_id=FORGOTTEN, guild_id=daily.guild_id, channel_id=daily.channel_id, script=script,
                language=language, purpose="daily", vote_buttons=not can_react,
            )  # fmt: skip
            poem = await self._poems.daily(daily.form, setting)
            await store.dailies.written(daily.guild_id, day, poem.id)
        if message_id is None:
            message_id = await self._poster.post(poem)
        if message_id is not None:
            await self._poems.note_message(poem.id, message_id)
        await store.dailies.posted(daily.guild_id, day)
