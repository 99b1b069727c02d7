"""Votes: reactions that the bot puts under poems and people add or remove, and buttons where it may not react.

Knows no model; which messages show poems, the store knows, so votes count after a restart too.
"""

import asyncio
import logging
from collections import deque
from functools import partial
from typing import Any

import discord
from discord.ext import commands

from bot.buttons import DOWN_ACT, UP_ACT, poem_buttons
from bot.catalogue import language_of, text
from bot.client import PoetBot
from bot.pages import poem_page
from bot.rating import VOTES, vote_of
from bot.replies import REFUSED, described, pressed_message
from bot.store.poems import StoredPoem

_log = logging.getLogger(__name__)
# Past this, the oldest poems go without the bot's own two reactions; people's count all the same.
_MAX_INVITATIONS = 500


class RatingsCog(commands.Cog):
    """Counts votes.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._poems = bot.services.poems
        self._rating = bot.services.rating
        self._to_invite: deque[tuple[StoredPoem, discord.Message]] = deque(maxlen=_MAX_INVITATIONS)
        self._inviting: asyncio.Task[None] | None = None
        bot.on_press(UP_ACT, partial(self._pressed, value=1))
        bot.on_press(DOWN_ACT, partial(self._pressed, value=-1))

    def invite(self, poem: StoredPoem, message: discord.Message) -> None:
        """Put the two reactions under a poem's message, in the background."""
        self._to_invite.append((poem, message))
        if self._inviting is None or self._inviting.done():
            self._inviting = asyncio.create_task(self._invite_all(), name="invite-votes")

    async def cog_unload(self) -> None:
        """Leave the remaining messages as they are."""
        if self._inviting is not None:
            self._inviting.cancel()
            await asyncio.gather(self._inviting, return_exceptions=True)

    async def _invite_all(self) -> None:
        while self._to_invite:
            try:
                await self._invite(*self._to_invite.popleft())
            except discord.NotFound:
                continue  # the message is gone
            except discord.HTTPException as error:
                _log.warning("votes could not be invited (%s)", described(error))
            except Exception:
                _log.exception("votes could not be invited")

    async def _invite(self, poem: StoredPoem, message: discord.Message) -> None:
        kept = await self._poems.store.poems.get(poem.id)
        if kept is None:
            return
        try:
            for emoji in VOTES:
                await message.add_reaction(emoji)
        except discord.Forbidden:
            await self._poems.store.poems.show_vote_buttons(kept.id)
            kept = kept.with_vote_buttons()
            up, down = await self._rating.tally(kept.id)
            view = poem_buttons(kept, self._bot.services.cards.available, up, down)
            # The message as it was sent: what answers an interaction may be changed where the bot may not look.
            await message.edit(content=poem_page(kept), view=view)

    async def _pressed(self, interaction: discord.Interaction[Any], about: str, *, value: int) -> None:
        poem, up, down = await self._rating.press(int(about), interaction.user.id, value)
        message = pressed_message(interaction)
        if message is None:
            said = text("console.rated", language_of(str(interaction.locale)), up=up, down=down)
            await self._bot.replies.answer(interaction, said)
            return
        if poem.message_id is None and not message.flags.ephemeral:  # which is a copy, by /show
            await self._poems.note_message(poem.id, message.id)
        view = poem_buttons(poem.with_vote_buttons(), self._bot.services.cards.available, up, down)
        try:
            await self._bot.replies.update(interaction, view=view)
        except REFUSED as error:
            # The vote is kept, and a press that tries again would take it back.
            _log.warning("the votes of a poem could not be shown: %s", described(error))

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """A vote is cast."""
        value = self._vote(payload)
        if value is not None and not (payload.member is not None and payload.member.bot):
            await self._rating.vote_on_message(payload.message_id, payload.user_id, value)

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        """A vote is taken back."""
        value = self._vote(payload)
        if value is not None:
            await self._rating.take_back_on_message(payload.message_id, payload.user_id, value)

    @commands.Cog.listener()
    async def on_raw_reaction_clear(self, payload: discord.RawReactionClearEvent) -> None:
        """A moderator removed all reactions."""
        await self._rating.take_back_on_message(payload.message_id)

    @commands.Cog.listener()
    async def on_raw_reaction_clear_emoji(self, payload: discord.RawReactionClearEmojiEvent) -> None:
        """A moderator removed all reactions of one kind."""
        value = vote_of(str(payload.emoji))
        if value is not None:
            await self._rating.take_back_on_message(payload.message_id, value=value)

    @commands.Cog.listener()
    async def on_raw_message_delete(self, payload: discord.RawMessageDeleteEvent) -> None:
        """A message is gone, and with it the poem that it showed."""
        await self._poems.messages_deleted([payload.message_id])

    @commands.Cog.listener()
    async def on_raw_bulk_message_delete(self, payload: discord.RawBulkMessageDeleteEvent) -> None:
        """Many messages are gone."""
        await self._poems.messages_deleted(sorted(payload.message_ids))

    def _vote(self, payload: discord.RawReactionActionEvent) -> int | None:
        own_id = self._bot.user.id if self._bot.user is not None else None
        return None if payload.user_id == own_id else vote_of(str(payload.emoji))
