"""/privacy on Discord.

Knows no database.
"""

import io
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.buttons import Press, row
from bot.catalogue import text
from bot.client import PoetBot
from bot.errors import BotError
from bot.privacy import Privacy


class PrivacyCog(commands.GroupCog, name="privacy", description=text("command.privacy.description")):
    """What is stored of a person.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._privacy = Privacy(bot.services.store)
        bot.on_press("forget", self._confirmed)

    @app_commands.command(name="show", description=text("command.privacy.show.description"))
    async def show(self, interaction: discord.Interaction[Any]) -> None:
        """Say how much there is."""
        asker = await self._bot.replies.asker(interaction)
        await self._bot.replies.answer(interaction, await self._privacy.page(asker))

    @app_commands.command(name="export", description=text("command.privacy.export.description"))
    async def export(self, interaction: discord.Interaction[Any]) -> None:
        """Hand it over as a file."""
        asker = await self._bot.replies.asker(interaction)
        await self._bot.replies.think(interaction, ephemeral=True)
        content = await self._privacy.export(asker)
        if len(content) > interaction.filesize_limit:
            raise BotError("export_size")
        file = discord.File(io.BytesIO(content), "yin-privacy.json")
        await self._bot.replies.answer(interaction, text("privacy.export", asker.language), files=[file])

    @app_commands.command(name="delete", description=text("command.privacy.delete.description"))
    async def delete(self, interaction: discord.Interaction[Any]) -> None:
        """Ask whether it shall really go."""
        asker = await self._bot.replies.asker(interaction)
        forget = Press("forget", asker.user_id, text("button.forget", asker.language), style=discord.ButtonStyle.danger)
        await self._bot.replies.answer(interaction, text("privacy.confirm", asker.language), view=row([forget]))

    async def _confirmed(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker = await self._bot.replies.asker(interaction)
        if int(about) != asker.user_id:
            raise BotError("not_yours")
        await self._bot.replies.update(interaction, content=await self._privacy.delete(asker), view=None)
