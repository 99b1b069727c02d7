"""Reactions on poems: 👍 and 👎 are put there by the bot, and counted when people add or remove theirs.

Knows no model; which messages show poems, the store knows, so reactions count after a restart too.
"""

import asyncio
import logging
from collections import deque

import discord
from discord.ext import commands

from bot.poems import VOTES, Poems, vote_of

_log = logging.getLogger(__name__)
# Past this, the oldest poems go without the bot's own two reactions; people's count all the same.
_MAX_INVITATIONS = 500


class RatingsCog(commands.Cog):
    """Counts votes.

    Args:
        bot: The client, for its own user's id.
        poems: What the bot does.
    """

    def __init__(self, bot: commands.Bot, poems: Poems) -> None:
        self._bot = bot
        self._poems = poems
        self._to_invite: deque[discord.Message] = deque(maxlen=_MAX_INVITATIONS)
        self._inviting: asyncio.Task[None] | None = None

    def invite(self, message: discord.Message) -> None:
        """Put the two reactions on a message, in the background."""
        self._to_invite.append(message)
        if self._inviting is None or self._inviting.done():
            self._inviting = asyncio.create_task(self._invite_all(), name="invite-votes")

    async def cog_unload(self) -> None:
        """Leave the remaining messages as they are."""
        if self._inviting is not None:
            self._inviting.cancel()
            await asyncio.gather(self._inviting, return_exceptions=True)

    async def _invite_all(self) -> None:
        while self._to_invite:
            message = self._to_invite.popleft()
            try:
                for emoji in VOTES:
                    await message.add_reaction(emoji)
            except (discord.Forbidden, discord.NotFound):
                continue  # no permission here, or the message is gone
            except discord.HTTPException as error:
                _log.warning("reactions could not be added (%d, %d)", error.status, error.code)

    @commands.Cog.listener()
    async def on_raw_reaction_add(self, payload: discord.RawReactionActionEvent) -> None:
        """A vote is cast."""
        value = self._vote(payload)
        if value is not None and not (payload.member is not None and payload.member.bot):
            await self._poems.vote_on_message(payload.message_id, payload.user_id, value)

    @commands.Cog.listener()
    async def on_raw_reaction_remove(self, payload: discord.RawReactionActionEvent) -> None:
        """A vote is taken back."""
        value = self._vote(payload)
        if value is not None:
            await self._poems.take_back_on_message(payload.message_id, payload.user_id, value)

    @commands.Cog.listener()
    async def on_raw_reaction_clear(self, payload: discord.RawReactionClearEvent) -> None:
        """A moderator removed all reactions."""
        await self._poems.take_back_on_message(payload.message_id)

    @commands.Cog.listener()
    async def on_raw_reaction_clear_emoji(self, payload: discord.RawReactionClearEmojiEvent) -> None:
        """A moderator removed all reactions of one kind."""
        value = vote_of(str(payload.emoji))
        if value is not None:
            await self._poems.take_back_on_message(payload.message_id, value=value)

    def _vote(self, payload: discord.RawReactionActionEvent) -> int | None:
        own_id = self._bot.user.id if self._bot.user is not None else None
        return None if payload.user_id == own_id else vote_of(str(payload.emoji))
