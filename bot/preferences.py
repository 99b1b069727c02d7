"""What a server may choose, one thing at a time: checked, kept, and listed.

Knows no Discord but the marks of channels.
"""

import functools
from collections.abc import Mapping
from dataclasses import replace
from zoneinfo import available_timezones

from bot.asker import Asker
from bot.catalogue import LANGUAGE_NAMES, text
from bot.daily import clock
from bot.errors import BotError
from bot.pages import MAX_PAGE
from bot.poems import Limits
from bot.store import Store
from bot.store.servers import Choices
from bot.typed import clean, escaped, shortened
from bot.words import MAX_WORD_LENGTH, MAX_WORDS, folded
from poetgen.poem import SCRIPTS

MAX_CHANNELS = 50
MAX_QUOTA, MAX_COOLDOWN = 10_000, 3600


@functools.cache  # it looks through hundreds of files
def _zones() -> Mapping[str, str]:
    """Names of zones in small letters -> as they are written, sorted."""
    return {zone.casefold(): zone for zone in sorted(available_timezones())}


class Preferences:
    """The servers' settings.

    Args:
        store: Where they are kept.
        limits: What holds where a server chose nothing.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits

    def home_language(self, guild_id: int | None, fallback: str) -> str:
        """The language of public parts in a server; `fallback` where it chose none."""
        return self._store.servers.of(guild_id).language or fallback

    async def language(self, asker: Asker, language: str | None) -> None:
        """The language of public parts; None for that of each server's own Discord."""
        if language is not None and language not in LANGUAGE_NAMES:
            # Only a terminal lets people type it, and there it is the code that is typed.
            languages = ", ".join(f"{code} ({name})" for code, name in LANGUAGE_NAMES.items())
            raise BotError("language", languages=languages)
        await self._choose(asker, language=language)

    async def script(self, asker: Asker, script: str | None) -> None:
        """The characters of poems."""
        if script is not None and script not in SCRIPTS:
            raise BotError("script", scripts=", ".join(SCRIPTS))
        await self._choose(asker, script=script)

    async def time_zone(self, asker: Asker, name: str) -> None:
        """The zone of the daily poem's time."""
        found = _zones().get(clean(name).replace(" ", "_").casefold())
        if found is None:
            raise BotError("time_zone")
        await self._choose(asker, time_zone=found)

    def zones(self, typed: str, limit: int = 25) -> list[str]:
        """Zones that hold what somebody has typed so far."""
        wanted = clean(typed).replace(" ", "_").casefold()
        return [zone for folded_zone, zone in _zones().items() if wanted in folded_zone][:limit]

    async def channel(self, asker: Asker, channel_id: int, allowed: bool) -> None:
        """Whether poems may be asked for in a channel. With no channel allowed, they may be in all."""

        def change(chosen: Choices) -> Choices:
            channels = [known for known in chosen.channels if known != channel_id] + [channel_id] * allowed
            if len(channels) > MAX_CHANNELS:
                raise BotError("too_many_channels", most=MAX_CHANNELS)
            return replace(chosen, channels=tuple(channels))

        await self._store.servers.choose(asker.must_manage(), change)

    async def all_channels(self, asker: Asker) -> None:
        """Poems may be asked for everywhere."""
        await self._choose(asker, channels=())

    async def limits(self, asker: Asker, quota: int | None, cooldown: int | None) -> None:
        """Poems a member a day, and seconds between two; None for the deployment's."""
        if quota is not None and not 0 <= quota <= MAX_QUOTA:
            raise BotError("quota_range", most=MAX_QUOTA)
        if cooldown is not None and not 0 <= cooldown <= MAX_COOLDOWN:
            raise BotError("cooldown_range", most=MAX_COOLDOWN)
        await self._choose(asker, quota=quota, cooldown=cooldown)

    async def reports_channel(self, asker: Asker, channel_id: int | None) -> None:
        """Where hidden poems are told of."""
        await self._choose(asker, reports_channel_id=channel_id)

    async def word(self, asker: Asker, word: str, listed: bool) -> None:
        """Whether a word stands on the server's list."""
        word = clean(word)
        if not folded(word) or len(word) > MAX_WORD_LENGTH:
            raise BotError("word_length", most=MAX_WORD_LENGTH)

        def change(chosen: Choices) -> Choices:
            words = [known for known in chosen.words if folded(known) != folded(word)] + [word] * listed
            if len(words) > MAX_WORDS:
                raise BotError("too_many_words", most=MAX_WORDS)
            return replace(chosen, words=tuple(words))

        await self._store.servers.choose(asker.must_manage(), change)

    async def page(self, asker: Asker) -> str:
        """What the server chose, and what holds where it did not."""
        asker.must_manage()
        chosen, language = self._store.servers.of(asker.server), asker.language
        unchosen = text("settings.default", language)
        script = chosen.script or self._limits.script_where(asker.home_language)
        quota = self._limits.quota if chosen.quota is None else chosen.quota
        cooldown = self._limits.cooldown if chosen.cooldown is None else chosen.cooldown
        channels = " ".join(f"<#{channel}>" for channel in chosen.channels) or text("settings.everywhere", language)
        reports = f"<#{chosen.reports_channel_id}>" if chosen.reports_channel_id else text("settings.nowhere", language)
        daily = await self._daily(asker.server) or text("settings.nowhere", language)
        rows = [
            text("settings.title", language),
            text("settings.language", language, value=LANGUAGE_NAMES.get(chosen.language or "", unchosen)),
            text("settings.script", language, value=text(f"choice.{script}", language)),
            text("settings.time_zone", language, value=chosen.time_zone),
            text("settings.channels", language, value=channels),
            text("settings.limits", language, quota=quota, cooldown=cooldown),
            text("settings.daily", language, value=daily),
            text("settings.reports", language, value=reports),
            text("settings.words", language, count=len(chosen.words),
                 words=escaped(" ".join(chosen.words)) if chosen.words else text("settings.nowhere", language)),
        ]  # fmt: skip
        return shortened("\n".join(rows), MAX_PAGE)

    async def _daily(self, guild_id: int | None) -> str:
        """Where and when the poem of the day comes; "" if none is wanted."""
        dailies = await self._store.dailies.all()
        return next(
            (f"<#{daily.channel_id}> {clock(daily.minute)}" for daily in dailies if daily.guild_id == guild_id), ""
        )

    async def _choose(self, asker: Asker, **values: object) -> None:
        await self._store.servers.choose(asker.must_manage(), lambda chosen: replace(chosen, **values))  # type: ignore[arg-type]
