"""/voice on Discord: the versions a server can hear, which it hears, and two of them side by side.

Knows no registry.
"""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.buttons import Press, row
from bot.catalogue import text
from bot.client import PoetBot
from bot.job_pages import versions_page
from bot.pages import compare_page

# Within the class `list` is a command.
_Choices = list[app_commands.Choice[str]]


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
class VoiceCog(commands.GroupCog, name="voice", description=text("command.voice.description")):
    """Versions and voices.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._voices = bot.services.voices
        bot.on_press("pick-one", self._picked_one)
        bot.on_press("pick-two", self._picked_two)

    @app_commands.command(name="list", description=text("command.voice.list.description"))
    async def list(self, interaction: discord.Interaction[Any]) -> None:
        """Which versions there are, and which is heard."""
        asker = await self._bot.replies.asker(interaction)
        server = asker.server
        heard, current = await self._voices.heard(server), await self._voices.current(server)
        votes = {} if server is None else await self._bot.services.store.votes.by_version(server)
        page = versions_page(heard, current, asker.language, votes)
        await self._bot.replies.answer(interaction, page)

    @app_commands.command(name="use", description=text("command.voice.use.description"))
    @app_commands.describe(version=text("command.voice.use.version"))
    async def use(self, interaction: discord.Interaction[Any], version: str) -> None:
        """Hear a version from now on."""
        asker = await self._bot.replies.asker(interaction)
        server = asker.must_manage()
        version = await self._bot.services.comparing.named(server, version)
        name = await self._voices.use(server, version)
        await self._bot.replies.answer(interaction, text("voice.used", asker.language, version=name))

    @app_commands.command(name="rollback", description=text("command.voice.rollback.description"))
    async def rollback(self, interaction: discord.Interaction[Any]) -> None:
        """Hear what was heard before."""
        asker = await self._bot.replies.asker(interaction)
        name = await self._voices.roll_back(asker.must_manage())
        await self._bot.replies.answer(interaction, text("voice.used", asker.language, version=name))

    @app_commands.command(name="compare", description=text("command.voice.compare.description"))
    @app_commands.describe(
        theme=text("command.voice.compare.theme"),
        first=text("command.voice.compare.first"),
        second=text("command.voice.compare.second"),
    )
    async def compare(
        self, interaction: discord.Interaction[Any], theme: str = "", first: str = "", second: str = ""
    ) -> None:
        """Two poems without names."""
        asker = await self._bot.replies.asker(interaction)
        comparing = self._bot.services.comparing
        versions = await comparing.versions(asker.server, first, second)
        async with comparing.asked(asker, theme, versions) as composing:
            await self._bot.replies.think(interaction, ephemeral=True)
            comparison_id, one, two = await composing
        picks = [Press("pick-one", comparison_id, "1"), Press("pick-two", comparison_id, "2")]
        await self._bot.replies.answer(interaction, compare_page(one, two, asker.language), view=row(picks))

    @use.autocomplete("version")
    @compare.autocomplete("first")
    @compare.autocomplete("second")
    async def _versions(self, interaction: discord.Interaction[Any], typed: str) -> _Choices:
        heard = await self._voices.heard(interaction.guild_id)
        current = await self._voices.current(interaction.guild_id)
        names = [version.name for version in reversed(heard) if version.name.startswith(typed.strip())]
        return [
            app_commands.Choice(name=f"{'◉ ' if name == current else ''}{name}"[:100], value=name) for name in names
        ][:25]

    async def _picked_one(self, interaction: discord.Interaction[Any], about: str) -> None:
        await self._pick(interaction, await self._bot.replies.asker(interaction), int(about), 1)

    async def _picked_two(self, interaction: discord.Interaction[Any], about: str) -> None:
        await self._pick(interaction, await self._bot.replies.asker(interaction), int(about), 2)

    async def _pick(self, interaction: discord.Interaction[Any], asker: Asker, comparison_id: int, picked: int) -> None:
        found, one, two = await self._bot.services.comparing.pick(asker, comparison_id, picked)
        page = compare_page(one, two, asker.language, found.picked)
        await self._bot.replies.update(interaction, content=page, view=None)
