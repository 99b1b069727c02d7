"""The message commands "Delete poem" and "Report poem".

Knows no database.
"""

import logging
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.buttons import poem_id_of
from bot.catalogue import text
from bot.client import PoetBot
from bot.errors import BotError
from bot.pages import link_to, poem_page
from bot.poems import REPORTS_TO_HIDE
from bot.store.poems import StoredPoem

_log = logging.getLogger(__name__)


class ModerationCog(commands.Cog):
    """Takes poems away.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._poems = bot.services.poems
        for name, callback in (("Delete poem", self._delete), ("Report poem", self._report)):
            bot.tree.add_command(app_commands.ContextMenu(name=name, callback=callback))

    async def _poem(self, asker: Asker, message: discord.Message) -> StoredPoem:
        """The poem that a message shows.

        Raises:
            BotError: It shows none of ours.
        """
        own = self._bot.user is not None and message.author.id == self._bot.user.id
        poem_id = poem_id_of(message) if own else None
        poem = await self._poems.store.poems.of_message(message.id)
        if poem is None and poem_id is not None:
            await self._poems.shown(poem_id, message.id)
            poem = await self._poems.store.poems.of_message(message.id)
        if poem is None or poem.guild_id != asker.guild_id:
            raise BotError("no_poem_here")
        return poem

    async def _delete(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        asker = await self._bot.replies.asker(interaction)
        poem = await self._poem(asker, message)
        await self._poems.delete(asker, poem)
        try:
            await message.delete()
            said = "moderation.deleted"
        except discord.HTTPException:  # where the bot is no member, the message is not its to delete
            said = "moderation.forgotten"
        await self._bot.replies.answer(interaction, text(said, asker.language))

    async def _report(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        asker = await self._bot.replies.asker(interaction)
        poem = await self._poem(asker, message)
        count, hide = await self._poems.report(asker, poem)
        await self._bot.replies.answer(interaction, text("moderation.reported", asker.language))
        if hide:
            await self._hide(poem, message)
            await self._tell(poem, count)

    async def _hide(self, poem: StoredPoem, message: discord.Message) -> None:
        try:
            await message.edit(content=poem_page(poem.as_hidden()), view=None, attachments=[])
        except discord.HTTPException as error:
            _log.warning("a reported poem's message could not be changed (%d, %d)", error.status, error.code)

    async def _tell(self, poem: StoredPoem, count: int) -> None:
        channel_id = self._poems.store.servers.of(poem.guild_id).reports_channel_id
        if channel_id is None:
            return
        page = text("moderation.told", poem.language, count=max(count, REPORTS_TO_HIDE), link=link_to(poem) or "?")
        lines = "\n".join(poem.lines)
        try:
            await self._bot.get_partial_messageable(channel_id).send(f"{page}\n||{lines}||")
        except discord.HTTPException as error:
            _log.warning("a report could not be told (%d, %d)", error.status, error.code)
