"""The Discord client: its intents, its commands' registration, and what is told when a command fails.

Knows no command and no poem; `cogs/` has those.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.cogs.poem import PoemCog
from bot.cogs.ratings import RatingsCog
from bot.errors import explain
from bot.messages import escaped
from bot.poems import Poems
from bot.store import Store
from poetgen.poem import Script

_log = logging.getLogger(__name__)
_COMMANDS_KEY = "commands_hash"
# Unknown interaction, unknown webhook, invalid webhook token: the person has gone, nobody can be told.
_EXPIRED = frozenset((10062, 10015, 50027))
_REPLY_SECONDS = 5.0  # how long a stopping bot waits for its last replies to be sent


class PoetTree(app_commands.CommandTree["PoetBot"]):
    """The commands, with one answer to every error."""

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError) -> None:
        """Tell the person privately if nothing was shown yet, else in the place of the answer."""
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        if isinstance(cause, discord.HTTPException) and cause.code in _EXPIRED:
            _log.warning("an interaction expired before it was answered (%d)", cause.code)
            return
        content = escaped(explain(cause))
        try:
            if interaction.response.is_done():
                await interaction.edit_original_response(content=content)
            else:
                await interaction.response.send_message(content, ephemeral=True)
        except discord.HTTPException as failure:
            _log.warning("an error could not be told (%d, %d)", failure.status, failure.code)


class PoetBot(commands.Bot):
    """Yin on Discord.

    Args:
        poems: What the bot does.
        store: Where it notes which commands Discord knows.
        script: The characters that poems are shown in.
    """

    def __init__(self, poems: Poems, store: Store, script: Script) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=PoetTree,
            # None of these is privileged; without members and messages there is nothing to cache.
            intents=discord.Intents(guilds=True, guild_reactions=True, dm_reactions=True),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
        )
        self._poems = poems
        self._store = store
        self._script = script
        self._replying: set[asyncio.Task[Any]] = set()

    async def setup_hook(self) -> None:
        """Add the commands, and tell Discord of them if they changed."""
        ratings = RatingsCog(self, self._poems)
        await self.add_cog(ratings)
        await self.add_cog(PoemCog(self._poems, self._script, ratings.invite, self.replying))
        await self._sync_if_changed()

    async def on_ready(self) -> None:
        """Say that we are here; Discord may say so many times."""
        _log.info("ready in %d servers", len(self.guilds))

    async def close(self) -> None:
        """Finish what is being composed and answered, then leave."""
        await self._poems.close()
        if self._replying:
            await asyncio.wait(self._replying, timeout=_REPLY_SECONDS)
        await super().close()

    @contextmanager
    def replying(self) -> Iterator[None]:
        """What runs within is waited for when the bot stops."""
        task = asyncio.current_task()
        assert task is not None
        self._replying.add(task)
        try:
            yield
        finally:
            self._replying.discard(task)

    async def _sync_if_changed(self) -> None:
        payloads = [command.to_dict(self.tree) for command in self.tree.get_commands()]
        described = json.dumps([self.application_id, payloads], sort_keys=True, default=str)
        digest = hashlib.sha256(described.encode()).hexdigest()
        if await self._store.noted(_COMMANDS_KEY) == digest:
            return
        try:
            await self.tree.sync()
        except discord.HTTPException as error:
            # The commands of the last time still work; the next start tries again.
            _log.warning("the commands could not be registered: %s", error)
            return
        await self._store.note(_COMMANDS_KEY, digest)
        _log.info("commands registered: %d", len(payloads))
