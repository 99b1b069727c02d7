"""/owner on Discord, in the owner's server only: for the whole bot what an admin may do for a server.

Knows no registry and no process.
"""

from typing import Any, Literal

import discord
from discord import app_commands
from discord.ext import commands

from bot.catalogue import text
from bot.client import PoetBot
from bot.cogs.finetune import FinetuneCog
from bot.errors import BotError
from bot.job_pages import versions_page
from bot.status import status_page


@app_commands.default_permissions()
class OwnerCog(commands.GroupCog, name="owner", description=text("command.owner.description")):
    """The owner's commands.

    Args:
        bot: The client.
        finetune: Which shows fine-tunes.
    """

    def __init__(self, bot: PoetBot, finetune: FinetuneCog) -> None:
        self._bot = bot
        self._finetune = finetune

    @app_commands.command(name="finetune", description=text("command.owner.finetune.description"))
    @app_commands.describe(action=text("command.owner.finetune.action"))
    async def finetune(
        self, interaction: discord.Interaction[Any], action: Literal["start", "status", "cancel", "history"]
    ) -> None:
        """As /finetune, for the shared voice."""
        asker = await self._bot.replies.asker(interaction)
        asker.must_own()
        shown = {
            "start": self._finetune.ask,
            "status": self._finetune.show_status,
            "cancel": self._finetune.stop,
            "history": self._finetune.show_history,
        }
        await shown[action](interaction, asker, None)

    @app_commands.command(name="voice", description=text("command.owner.voice.description"))
    @app_commands.describe(action=text("command.owner.voice.action"), version=text("command.owner.voice.version"))
    async def voice(
        self, interaction: discord.Interaction[Any], action: Literal["list", "use", "rollback"], version: str = ""
    ) -> None:
        """As /voice, for the shared voice."""
        asker = await self._bot.replies.asker(interaction)
        asker.must_own()
        voices = self._bot.services.voices
        if action == "list":
            page = versions_page(await voices.heard(None), await voices.current(None), asker.language)
        elif action == "use":
            if not version.strip():
                raise BotError("no_such_version")
            name = await self._bot.services.comparing.named(None, version)
            page = text("voice.used", asker.language, version=await voices.use(None, name))
        else:
            page = text("voice.used", asker.language, version=await voices.roll_back(None))
        await self._bot.replies.answer(interaction, page)

    @app_commands.command(name="status", description=text("command.owner.status.description"))
    async def status(self, interaction: discord.Interaction[Any]) -> None:
        """Say how the bot is."""
        asker = await self._bot.replies.asker(interaction)
        asker.must_own()
        page = await status_page(self._bot.services, len(self._bot.guilds), asker.language)
        await self._bot.replies.answer(interaction, page)
