"""The Discord client: its intents, its commands' registration, and where presses and failures go.

Knows no command and no poem; `cogs/` has those.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.buttons import Press
from bot.errors import BotError
from bot.replies import AGAIN, EXPIRED, Replies
from bot.services import Services
from bot.translator import CatalogueTranslator

_log = logging.getLogger(__name__)
_COMMANDS_KEY = "commands_hash"
_TELL_AGAIN_SECONDS = 3600.0  # two bots with one token would else tell Discord of their commands in turn without end
_REPLY_SECONDS = 1.5  # how long a stopping bot waits for its last replies to be sent

PressHandler = Callable[[discord.Interaction[Any], str], Awaitable[None]]


def _without_user(record: logging.LogRecord) -> bool:
    """A failed autocomplete, which discord.py logs with the person's id: without it, and mildly if it came too late."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, discord.HTTPException) and error.code in EXPIRED:
        record.levelno, record.levelname, record.exc_info = logging.WARNING, "WARNING", None
    if record.msg.startswith("Ignoring exception in autocomplete") and isinstance(record.args, tuple):
        record.msg, record.args = "suggestions for %r could not be made", record.args[:1]
    return True


class PoetTree(app_commands.CommandTree["PoetBot"]):
    """The commands, with one answer to every error."""

    async def interaction_check(self, interaction: discord.Interaction[Any]) -> bool:
        """Nothing is refused here; from now on the interaction is watched."""
        self.client.replies.watch(interaction)
        return True

    async def on_error(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError) -> None:
        """Tell the person; and Discord, if it knows other commands than ours."""
        if isinstance(error, (app_commands.CommandNotFound, app_commands.CommandSignatureMismatch)):
            self.client.tell_commands_again()
        await self.client.replies.fail(interaction, error)

    async def again(self, interaction: discord.Interaction[Any]) -> None:
        """Run a command as it was asked for before, answering the press that asks for it again."""
        await self._call(interaction)


class PoetBot(commands.Bot):
    """Yin on Discord.

    Args:
        services: What the bot does.
    """

    def __init__(self, services: Services) -> None:
        super().__init__(
            command_prefix=commands.when_mentioned,
            help_command=None,
            tree_cls=PoetTree,
            # None of these is privileged. Messages come without their content; deletions are what we want of them.
            intents=discord.Intents(
                guilds=True, guild_reactions=True, dm_reactions=True, guild_messages=True, dm_messages=True
            ),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            allowed_mentions=discord.AllowedMentions.none(),
            allowed_installs=app_commands.AppInstallationType(guild=True, user=True),
            allowed_contexts=app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True),
        )
        self.services = services
        self.replies = Replies(self, services)
        logging.getLogger("discord.app_commands.tree").addFilter(_without_user)
        self._connected = False
        self._told_again = -_TELL_AGAIN_SECONDS
        self._press_handlers: dict[str, PressHandler] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def setup_hook(self) -> None:
        """Add the commands, and tell Discord of them if they changed."""
        from bot.cogs import add_all

        self.add_dynamic_items(Press)
        await self.tree.set_translator(CatalogueTranslator())
        await add_all(self)
        await self._sync_if_changed()

    async def on_ready(self) -> None:
        """Say that we are here; Discord may say so many times."""
        _log.info("ready in %d servers", len(self.guilds))

    async def on_guild_join(self, guild: discord.Guild) -> None:
        """The owner's server takes the owner's commands only once the bot is in it, and loses them when it is not."""
        if guild.id == self.services.owner_guild_id:
            await self._sync_scope(discord.Object(guild.id), always=True)

    async def on_connect(self) -> None:
        """A session has begun."""
        self._connected = True

    async def on_resumed(self) -> None:
        """A session goes on."""
        self._connected = True

    async def on_disconnect(self) -> None:
        """Discord's events do not reach us; discord.py tries to connect until they do."""
        self._connected = False

    def is_answering(self) -> bool:
        """Whether commands are answered now; `is_ready` stays true when the connection is lost."""
        return self.is_ready() and self._connected

    async def on_message(self, message: discord.Message) -> None:
        """Nothing: what people write is none of our business."""

    async def close(self) -> None:
        """Finish what is being composed and answered, then leave."""
        # Together, so that nothing new is taken while a fine-tune ends or is shown.
        await asyncio.gather(self.services.poems.close(), self.services.finetuning.close())
        await self.replies.finish(_REPLY_SECONDS)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await super().close()

    def in_background(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the commands until it ends or the bot stops."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s failed", task.get_name(), exc_info=error)

    def on_press(self, act: str, handler: PressHandler) -> None:
        """Send presses of an act to a handler."""
        self._press_handlers[act] = handler

    async def pressed(self, interaction: discord.Interaction[Any], act: str, about: str) -> None:
        """A button was pressed; like a command it is answered, whatever happens."""
        self.replies.watch(interaction)
        try:
            await self._press(interaction, act, about)
        except Exception as error:
            await self.replies.fail(interaction, error)

    async def _press(self, interaction: discord.Interaction[Any], act: str, about: str) -> None:
        if act == "retry":
            kept = await self.services.store.notes.retry(about, interaction.user.id)
            if kept is None:
                raise BotError("nothing_to_retry")
            # From here on it is what was asked for then, also for what is kept if it fails once more.
            interaction.data = data = json.loads(kept)
            interaction.extras[AGAIN] = True
            if "custom_id" not in data:
                assert isinstance(self.tree, PoetTree)
                await self.tree.again(interaction)
                return
            _, act, about = data["custom_id"].split(":", 2)
        handler = self._press_handlers.get(act)
        if handler is None:
            raise BotError("button_unknown")
        await handler(interaction, about)

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        """An event's handler failed: nobody waits for an answer, so the log is told."""
        _log.exception("the event %s was not handled", event_method)

    def tell_commands_again(self) -> None:
        """Discord sent a command that we do not have: another program told it last, before a restore or beside us."""
        now = time.monotonic()
        if now - self._told_again >= _TELL_AGAIN_SECONDS:
            self._told_again = now
            self.in_background(self._sync_if_changed(always=True), "commands")

    async def _sync_if_changed(self, *, always: bool = False) -> None:
        scopes: list[discord.abc.Snowflake | None] = [None]
        if self.services.owner_guild_id is not None:
            scopes.append(discord.Object(self.services.owner_guild_id))
        for scope in scopes:
            await self._sync_scope(scope, always=always)
        for key in await self.services.store.notes.keys(f"{_COMMANDS_KEY}:"):
            guild_id = int(key.rpartition(":")[2])
            if guild_id != self.services.owner_guild_id:
                await self._clear_scope(discord.Object(guild_id), key)

    async def _clear_scope(self, scope: discord.abc.Snowflake, key: str) -> None:
        """Take the owner's commands out of the server that was the owner's before."""
        try:
            await self.tree.sync(guild=scope)  # the tree has none for it
        except (discord.Forbidden, discord.NotFound):
            pass  # the bot is not there any more, and so neither are they
        except discord.HTTPException as error:
            _log.warning("the commands of server %d could not be taken away: %s", scope.id, error)
            return
        await self.services.store.notes.drop(key)

    async def _sync_scope(self, scope: discord.abc.Snowflake | None, *, always: bool = False) -> None:
        translator = self.tree.translator
        assert translator is not None
        payloads = [
            await command.get_translated_payload(self.tree, translator)
            for command in self.tree.get_commands(guild=scope)
        ]
        described = json.dumps([self.application_id, payloads], sort_keys=True, default=str)
        digest = hashlib.sha256(described.encode()).hexdigest()
        key = _COMMANDS_KEY if scope is None else f"{_COMMANDS_KEY}:{scope.id}"
        if not always and await self.services.store.notes.noted(key) == digest:
            return
        try:
            await self.tree.sync(guild=scope)
        except discord.HTTPException as error:
            # The commands of the last time still work; the next start tries again.
            where = "" if scope is None else f" of the owner's server {scope.id}"
            _log.warning("the commands%s could not be registered: %s", where, error)
            return
        await self.services.store.notes.note(key, digest)
        _log.info("commands registered: %d", len(payloads))
