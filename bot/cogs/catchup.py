"""What happened while the bot was away: poems whose message was not noted, reactions, deletions, servers left.

Away is before the start and between two sessions with Discord. And what is only kept for a while is erased here. Knows
no model. Everything is bounded and polite: the latest poems of thirty days, a few requests a second.
"""

import asyncio
import logging
from collections import defaultdict
from datetime import UTC, datetime

import discord
from discord.ext import commands

from bot.client import PoetBot
from bot.cogs.daily import find_message
from bot.rating import vote_of
from bot.replies import REFUSED, described
from bot.store.database import now_ms
from bot.store.poems import StoredPoem

_log = logging.getLogger(__name__)
_DAYS_MS = 30 * 86_400_000
_MAX_POEMS, _MAX_UNNOTED, _MAX_USERS = 500, 50, 500
_PAUSE_SECONDS = 0.3
_ERASE_EVERY_SECONDS = 6 * 3600
_NO_CHANNEL, _NO_MESSAGE = 10003, 10008  # Discord's codes for what was deleted


class CatchUpCog(commands.Cog):
    """Mends and counts what was missed.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._store = bot.services.store
        self._erasing = False
        self._catching_up, self._looking = asyncio.Lock(), asyncio.Lock()
        self._to_look_at: set[int] = set()
        # Who changed a vote on which message since this session began: what is read of the past must not undo it.
        self._live: dict[int, set[int]] | None = None
        self.pause_seconds = _PAUSE_SECONDS

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Begin, once the servers are known; each new session may have missed something."""
        self._live = defaultdict(set)
        self._bot.in_background(self.catch_up(), "catch-up")
        if not self._erasing:
            self._erasing = True
            self._bot.in_background(self._erase_now_and_then(), "erase")

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """Remember who reacts now."""
        if self._live is not None:
            self._live[payload.message_id].add(payload.user_id)

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        """Remember who reacts now."""
        if self._live is not None:
            self._live[payload.message_id].add(payload.user_id)

    @commands.Cog.listener()
    async def on_guild_remove(self, guild: discord.Guild) -> None:
        """The bot was removed from a server: what is kept of it is erased after thirty days."""
        await self._store.servers.left(guild.id)

    @commands.Cog.listener()
    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The bot is back: nothing is erased."""
        await self._store.servers.joined(guild.id)

    @commands.Cog.listener()
    async def on_guild_channel_delete(self, channel: discord.abc.GuildChannel) -> None:
        """A channel is gone, and with it the poems that it and its threads showed, and what was chosen of it."""
        await self._store.poems.delete_in(channel.id)
        await self._store.servers.channel_gone(channel.guild.id, channel.id)
        await self._store.dailies.channel_gone(channel.id)
        self._bot.in_background(self._look_for_threads(channel.guild), "threads")

    @commands.Cog.listener()
    async def on_raw_thread_delete(self, payload: discord.RawThreadDeleteEvent) -> None:
        """A thread is gone."""
        await self._store.poems.delete_in(payload.thread_id)

    async def _look_for_threads(self, guild: discord.Guild) -> None:
        """Ask for the archived threads with poems, for Discord does not tell which of them went with a channel."""
        if guild.id in self._to_look_at:
            return  # a look that has yet to begin will see this, too
        self._to_look_at.add(guild.id)
        async with self._looking:
            self._to_look_at.discard(guild.id)
            for channel_id in await self._store.poems.channels_of(guild.id):
                if guild.get_channel_or_thread(channel_id) is not None:
                    continue
                try:
                    await self._bot.fetch_channel(channel_id)
                except discord.NotFound as error:
                    if error.code == _NO_CHANNEL:
                        await self._store.poems.delete_in(channel_id)
                except REFUSED as error:
                    _log.warning("a thread could not be looked for: %s", described(error))
                await asyncio.sleep(self.pause_seconds)

    async def catch_up(self) -> None:
        """Do all of it once; a later session waits for the one before."""
        async with self._catching_up:
            live = self._live
            try:
                await self._catch_up()
            finally:
                if self._live is live:  # or another session has begun meanwhile
                    self._live = None

    async def _catch_up(self) -> None:
        await self._look_where_we_are()
        since = now_ms() - _DAYS_MS
        for poem in await self._store.poems.unnoted(since, _MAX_UNNOTED):
            await self._note(poem)
            await asyncio.sleep(self.pause_seconds)
        changed = 0
        for poem in await self._store.poems.shown_since(since, _MAX_POEMS):
            try:
                changed += await self._count(poem)
            except REFUSED as error:
                _log.warning("the reactions of a poem could not be read: %s", described(error))
            await asyncio.sleep(self.pause_seconds)
        if changed:
            _log.info("votes changed while I was away: %d", changed)

    async def _look_where_we_are(self) -> None:
        await self._store.servers.present({guild.id for guild in self._bot.guilds})

    async def _note(self, poem: StoredPoem) -> None:
        try:
            message_id = await find_message(self._bot, poem)
        except REFUSED as error:
            _log.warning("the message of a poem could not be looked for: %s", described(error))
            return
        if message_id is not None:
            await self._store.poems.note_message(poem.id, message_id)
            if self._live is not None:
                self._live.pop(message_id, None)  # what changed until now counted for no poem, so it is yet to be read

    async def _count(self, poem: StoredPoem) -> int:
        """Make the stored votes those that a message's reactions tell; returns how many changed.

        If the message or its channel was deleted, the poem goes; also one that is rated by buttons, or hidden.
        """
        assert poem.message_id is not None and poem.channel_id is not None  # noqa: PT018 (not a test)
        guild = None if poem.guild_id is None else self._bot.get_guild(poem.guild_id)
        if poem.guild_id is not None and guild is None:
            return 0  # the bot is no member there, and may not look
        channel = self._bot.get_partial_messageable(poem.channel_id, guild_id=poem.guild_id)
        try:
            message = await channel.fetch_message(poem.message_id)
        except discord.NotFound as error:
            if error.code == _NO_MESSAGE:
                await self._store.poems.delete(poem.id)
            elif error.code == _NO_CHANNEL and guild is not None and not guild.unavailable:
                await self._store.poems.delete_in(poem.channel_id)
            return 0
        except discord.Forbidden:
            return 0
        if poem.vote_buttons or poem.hidden:
            return 0
        found: dict[int, set[int]] = defaultdict(set)
        for reaction in message.reactions:
            value = vote_of(str(reaction.emoji))
            if value is None or reaction.count == int(reaction.me):
                continue
            kinds = [discord.ReactionType.normal] + [discord.ReactionType.burst] * (reaction.burst_count > 0)
            for kind in kinds:
                async for user in reaction.users(limit=_MAX_USERS, type=kind):
                    if not user.bot:
                        found[user.id].add(value)
            if reaction.count > _MAX_USERS:
                return 0  # more than are read: what is stored is the better account
        # Whoever asked to be forgotten has left reactions behind, which are no votes any more.
        forgotten = await self._store.people.were_forgotten(found, poem.created_at)
        live = set() if self._live is None else self._live[poem.message_id]
        values = {user: frozenset(votes) for user, votes in found.items()}
        return await self._store.votes.settle(poem.id, values, leave=frozenset(live | forgotten))

    async def _erase_now_and_then(self) -> None:
        while True:
            try:
                # First, for a server may have invited the bot again while it was away.
                await self._look_where_we_are()
                await self.erase(now_ms() - _DAYS_MS)
            except Exception:
                _log.exception("what is kept for a while only could not be erased")
            await asyncio.sleep(_ERASE_EVERY_SECONDS)

    async def erase(self, before_ms: int) -> None:
        """Erase what is kept for a while only, and from before a time: left servers, failed requests, hashes, days."""
        erased = 0
        for guild_id in await self._store.servers.left_before(before_ms):
            try:
                # The rows last: by them the server is found again if its files cannot be deleted now.
                await self._bot.services.voices.erase(guild_id)
                await self._store.servers.erase(guild_id)
                erased += 1
            except Exception:
                _log.exception("server %d could not be erased", guild_id)
        if erased:
            _log.info("erased what was kept of servers that were left: %d", erased)
        await self._store.notes.forget_retries(before_ms)
        await self._store.people.forget_hashes(before_ms)
        await self._store.dailies.forget_days(datetime.fromtimestamp(before_ms / 1000, UTC).date().isoformat())
