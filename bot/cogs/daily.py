"""/daily on Discord, and the posting of the day's poem.

Knows no clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.buttons import poem_buttons, poem_id_of
from bot.catalogue import language_of, text
from bot.client import PoetBot
from bot.daily import CannotPostError, DailyPoems, clock, minute_of
from bot.pages import form_label, poem_page
from bot.replies import may_react, must_post
from bot.store.dailies import Daily
from bot.store.poems import StoredPoem
from poetgen.poem import FORMS

_FORMS = [app_commands.Choice(name=form_label(name, "simplified"), value=name) for name in FORMS]
_LOOKED_AT = 50  # messages after a poem was written, when its own is looked for


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class DailyCog(commands.GroupCog, name="daily", description=text("command.daily.description")):
    """A poem a day.

    Args:
        bot: The client.
        invite_votes: Called with each poem that is posted and rated by reactions, and its message.
    """

    def __init__(self, bot: PoetBot, invite_votes: Callable[[StoredPoem, discord.Message], None]) -> None:
        self._bot = bot
        self._store = bot.services.store
        self._invite_votes = invite_votes
        self._started = False
        self.daily_poems = DailyPoems(bot.services.poems, self)

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Begin to look after the daily poems, once the servers are known."""
        if not self._started:
            self._started = True
            self._bot.in_background(self.daily_poems.run(), "daily-poems")

    @app_commands.command(name="set", description=text("command.daily.set.description"))
    @app_commands.describe(
        channel=text("command.daily.set.channel"),
        time=text("command.daily.set.time"),
        form=text("command.daily.set.form"),
    )
    @app_commands.choices(form=_FORMS)
    async def set(
        self,
        interaction: discord.Interaction[Any],
        channel: discord.TextChannel,
        time: str,
        form: str | None = None,
    ) -> None:
        """Want a poem a day."""
        asker = await self._bot.replies.asker(interaction)
        server = asker.must_manage()
        minute = minute_of(time)
        must_post(channel)
        await self._store.dailies.set(server, channel.id, minute, form)
        page = text(
            "daily.set",
            asker.language,
            channel=channel.mention,
            time=clock(minute),
            zone=self._store.servers.of(server).time_zone,
        )
        await self._bot.replies.answer(interaction, page)

    @app_commands.command(name="off", description=text("command.daily.off.description"))
    async def off(self, interaction: discord.Interaction[Any]) -> None:
        """Want none any more."""
        asker = await self._bot.replies.asker(interaction)
        stopped = await self._store.dailies.stop(asker.must_manage())
        await self._bot.replies.answer(interaction, text("daily.off" if stopped else "daily.none", asker.language))

    def home(self, daily: Daily) -> tuple[str, bool] | None:
        """The server's language and whether the bot may react in the channel; None while the server is not there."""
        guild = self._bot.get_guild(daily.guild_id)
        if guild is None or guild.unavailable:
            return None
        fallback = language_of(str(guild.preferred_locale))
        channel = guild.get_channel(daily.channel_id)
        own = channel.permissions_for(guild.me) if channel is not None and guild.me is not None else None
        can_react = own is not None and may_react(own)
        return self._bot.services.preferences.home_language(daily.guild_id, fallback), can_react

    async def find(self, poem: StoredPoem) -> int | None:
        """The message that shows a poem already, if an earlier try came through."""
        return await find_message(self._bot, poem)

    async def post(self, poem: StoredPoem) -> int | None:
        """Post a poem in its channel; the nonce keeps Discord from taking it twice."""
        assert poem.channel_id is not None
        channel = self._bot.get_partial_messageable(poem.channel_id, guild_id=poem.guild_id)
        view = poem_buttons(poem, self._bot.services.cards.available)
        try:
            message = await channel.send(poem_page(poem), view=view or discord.utils.MISSING, nonce=f"yin-{poem.id}")
        except (discord.Forbidden, discord.NotFound):
            raise CannotPostError from None
        if not poem.vote_buttons:
            self._invite_votes(poem, message)
        return message.id


async def find_message(bot: PoetBot, poem: StoredPoem) -> int | None:
    """The message of ours that shows a poem, looked for by its buttons in the channel's history."""
    assert poem.channel_id is not None
    written = datetime.fromtimestamp(poem.created_at / 1000, UTC) - timedelta(minutes=1)
    try:
        channel = bot.get_partial_messageable(poem.channel_id, guild_id=poem.guild_id)
        async for message in channel.history(limit=_LOOKED_AT, after=written, oldest_first=True):
            if bot.user is not None and message.author.id == bot.user.id and poem_id_of(message) == poem.id:
                return message.id
    except (discord.Forbidden, discord.NotFound):
        return None
    return None
