"""The message commands "Delete poem" and "Report poem".

Knows no database.
"""

import logging
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.buttons import CARD_ACTS, poem_id_of
from bot.catalogue import text
from bot.client import PoetBot
from bot.errors import BotError
from bot.pages import link_to, poem_page
from bot.poems import REPORTS_TO_HIDE
from bot.replies import described
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

    async def _poem(self, asker: Asker, message: discord.Message) -> StoredPoem | None:
        """The poem that a message shows, itself or as a card; None if there is none, or none any more."""
        poem = await self._poems.store.poems.of_message(message.id)
        if poem is None and self._is_own(message):
            poem_id, card_of = poem_id_of(message), poem_id_of(message, CARD_ACTS)
            if poem_id is not None:
                await self._poems.note_message(poem_id, message.id)
                poem = await self._poems.store.poems.of_message(message.id)
            elif card_of is not None:
                poem = await self._poems.store.poems.get(card_of)
        return None if poem is None or poem.guild_id != asker.guild_id else poem

    def _is_own(self, message: discord.Message) -> bool:
        return self._bot.user is not None and message.author.id == self._bot.user.id

    async def _delete(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        asker = await self._bot.replies.asker(interaction)
        poem = await self._poem(asker, message)
        # Whoever asked to be forgotten is not known as the requester any more, but Discord knows who asked here.
        asked_here = message.interaction_metadata is not None and message.interaction_metadata.user.id == asker.user_id
        if poem is not None and poem_id_of(message, CARD_ACTS) is None:
            await self._poems.delete(asker, poem, asked_here=asked_here)
        elif not self._is_own(message):
            raise BotError("no_poem_here")
        elif not (asked_here or asker.moderator or asker.owner):  # a card, or a poem that is forgotten already
            raise BotError("not_yours")
        try:
            await message.delete()
            said = "moderation.deleted"
        except discord.HTTPException:  # where the bot is no member, the message is not its to delete
            said = "moderation.forgotten"
        await self._bot.replies.answer(interaction, text(said, asker.language))

    async def _report(self, interaction: discord.Interaction[Any], message: discord.Message) -> None:
        asker = await self._bot.replies.asker(interaction)
        poem = await self._poem(asker, message)
        if poem is None:
            raise BotError("no_poem_here")
        count, hide = await self._poems.report(asker, poem)
        await self._bot.replies.answer(interaction, text("moderation.reported", asker.language))
        if hide or poem.hidden:
            await self._hide(poem, message)
        if hide:
            if poem.message_id not in (None, message.id) and poem.channel_id is not None:  # it was reported by a card
                channel = self._bot.get_partial_messageable(poem.channel_id, guild_id=poem.guild_id)
                await self._hide(poem, channel.get_partial_message(poem.message_id))
            await self._tell(poem, count)

    async def _hide(self, poem: StoredPoem, message: discord.Message | discord.PartialMessage) -> None:
        try:
            await message.edit(content=poem_page(poem.as_hidden()), view=None, attachments=[])
        except discord.HTTPException as error:
            _log.warning("a reported poem's message could not be changed (%s)", described(error))

    async def _tell(self, poem: StoredPoem, count: int) -> None:
        channel_id = self._poems.store.servers.of(poem.guild_id).reports_channel_id
        if channel_id is None:
            return
        page = text("moderation.told", poem.language, count=max(count, REPORTS_TO_HIDE), link=link_to(poem) or "?")
        lines = "\n".join(poem.lines)
        try:
            await self._bot.get_partial_messageable(channel_id).send(f"{page}\n||{lines}||")
        except discord.HTTPException as error:
            _log.warning("a report could not be told (%s)", described(error))
