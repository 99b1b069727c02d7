"""/settings on Discord: what a server may choose.

Knows no database.
"""

from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.catalogue import LANGUAGE_NAMES, text
from bot.client import PoetBot
from bot.preferences import MAX_COOLDOWN, MAX_QUOTA
from bot.replies import must_post
from bot.words import MAX_WORD_LENGTH

_LANGUAGES = [
    app_commands.Choice(name=name, value=value)
    for value, name in (("auto", text("choice.auto")), *LANGUAGE_NAMES.items())
]


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class SettingsCog(commands.GroupCog, name="settings", description=text("command.settings.description")):
    """A server's settings.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._preferences = bot.services.preferences

    async def _manager(self, interaction: discord.Interaction[Any]) -> Asker:
        asker = await self._bot.replies.asker(interaction)
        asker.must_manage()
        return asker

    async def _show(self, interaction: discord.Interaction[Any], asker: Asker) -> None:
        await self._bot.replies.answer(interaction, await self._preferences.page(asker))

    @app_commands.command(name="show", description=text("command.settings.show.description"))
    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """Show all of it."""
        await self._show(interaction, await self._manager(interaction))

    @app_commands.command(name="language", description=text("command.settings.language.description"))
    @app_commands.describe(language=text("command.settings.language.language"))
    @app_commands.choices(language=_LANGUAGES)
    async def language(self, interaction: discord.Interaction[Any], language: str) -> None:
        """Choose the language of public parts."""
        asker = await self._manager(interaction)
        await self._preferences.language(asker, None if language == "auto" else language)
        await self._show(interaction, asker)

    @app_commands.command(name="script", description=text("command.settings.script.description"))
    @app_commands.describe(script=text("command.settings.script.script"))
    async def script(self, interaction: discord.Interaction[Any], script: Literal["simplified", "traditional"]) -> None:
        """Choose the characters of poems."""
        asker = await self._manager(interaction)
        await self._preferences.script(asker, script)
        await self._show(interaction, asker)

    @app_commands.command(name="timezone", description=text("command.settings.timezone.description"))
    @app_commands.describe(zone=text("command.settings.timezone.zone"))
    async def timezone(self, interaction: discord.Interaction[Any], zone: str) -> None:
        """Choose the zone of the daily poem's time."""
        asker = await self._manager(interaction)
        await self._preferences.time_zone(asker, zone)
        await self._show(interaction, asker)

    @timezone.autocomplete("zone")
    async def _zones(self, _: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=zone, value=zone) for zone in self._preferences.zones(typed)]

    @app_commands.command(name="channel", description=text("command.settings.channel.description"))
    @app_commands.describe(
        channel=text("command.settings.channel.channel"), allowed=text("command.settings.channel.allowed")
    )
    async def channel(
        self, interaction: discord.Interaction[Any], channel: discord.abc.GuildChannel, allowed: bool = True
    ) -> None:
        """Allow poems in a channel, or no more."""
        asker = await self._manager(interaction)
        await self._preferences.channel(asker, channel.id, allowed)
        await self._show(interaction, asker)

    @app_commands.command(name="everywhere", description=text("command.settings.everywhere.description"))
    async def everywhere(self, interaction: discord.Interaction[Any]) -> None:
        """Allow poems in every channel."""
        asker = await self._manager(interaction)
        await self._preferences.all_channels(asker)
        await self._show(interaction, asker)

    @app_commands.command(name="limits", description=text("command.settings.limits.description"))
    @app_commands.describe(
        quota=text("command.settings.limits.quota"), cooldown=text("command.settings.limits.cooldown")
    )
    async def limits(
        self,
        interaction: discord.Interaction[Any],
        quota: app_commands.Range[int, 0, MAX_QUOTA] | None = None,
        cooldown: app_commands.Range[int, 0, MAX_COOLDOWN] | None = None,
    ) -> None:
        """Choose how many poems a member may have."""
        asker = await self._manager(interaction)
        await self._preferences.limits(asker, quota, cooldown)
        await self._show(interaction, asker)

    @app_commands.command(name="reports", description=text("command.settings.reports.description"))
    @app_commands.describe(channel=text("command.settings.reports.channel"))
    async def reports(self, interaction: discord.Interaction[Any], channel: discord.TextChannel | None = None) -> None:
        """Choose where hidden poems are told of."""
        asker = await self._manager(interaction)
        if channel is not None:
            must_post(channel)
        await self._preferences.reports_channel(asker, None if channel is None else channel.id)
        await self._show(interaction, asker)

    @app_commands.command(name="words", description=text("command.settings.words.description"))
    @app_commands.describe(word=text("command.settings.words.word"), listed=text("command.settings.words.listed"))
    async def words(
        self,
        interaction: discord.Interaction[Any],
        word: app_commands.Range[str, 1, MAX_WORD_LENGTH],
        listed: bool = True,
    ) -> None:
        """Put a word on the list, or take it off."""
        asker = await self._manager(interaction)
        await self._preferences.word(asker, word, listed)
        await self._show(interaction, asker)
