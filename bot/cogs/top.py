"""/top on Discord: the server's best loved poems.

Knows no ranking.
"""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.catalogue import text
from bot.client import PoetBot
from bot.leaderboard import leaderboard
from bot.pages import top_page
from bot.ranking import PERIODS

_PERIODS = [app_commands.Choice(name=text(f"choice.{period}"), value=period) for period in PERIODS]


class TopCog(commands.Cog):
    """Ranks poems.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot

    @app_commands.command(description=text("command.top.description"))
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.describe(period=text("command.top.period"))
    @app_commands.choices(period=_PERIODS)
    async def top(self, interaction: discord.Interaction[Any], period: str = "month") -> None:
        """Show the ten best."""
        asker = await self._bot.replies.asker(interaction)
        entries = await leaderboard(self._bot.services.store, asker, period)
        page = top_page(entries, period, asker.home_language, self._bot.services.poems.script_for(asker))
        await self._bot.replies.answer(interaction, page, ephemeral=False)
