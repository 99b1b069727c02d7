"""/help and /about on Discord.

Knows nothing else.
"""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.catalogue import text
from bot.client import PoetBot


class AboutCog(commands.Cog):
    """Says what the bot is.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot

    @app_commands.command(name="help", description=text("command.help.description"))
    async def help(self, interaction: discord.Interaction[Any]) -> None:
        """List the commands."""
        asker = await self._bot.replies.asker(interaction)
        await self._bot.replies.answer(interaction, text("help.page", asker.language))

    @app_commands.command(name="about", description=text("command.about.description"))
    async def about(self, interaction: discord.Interaction[Any]) -> None:
        """Say who writes, and what is stored."""
        asker = await self._bot.replies.asker(interaction)
        services = self._bot.services
        page = text("about.page", asker.language)
        if services.privacy_url is not None:
            page += "\n" + text("about.privacy", asker.language, url=services.privacy_url)
            files = []
        else:
            path = services.privacy_file
            files = [discord.File(path, "PRIVACY.md")] if path is not None and path.is_file() else []
        await self._bot.replies.answer(interaction, page, files=files)
