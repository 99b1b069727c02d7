"""Answers to interactions: who asks, the acknowledgement in time, the answer, and what is told when something fails.

Knows no command. Everything sent to an interaction goes through here.
"""

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.buttons import BUTTON_ID, PRIVATE_ACTS, TYPED_ACT, Press, row
from bot.catalogue import language_of, text
from bot.errors import BotError, MistypedError, explain
from bot.pages import MAX_PAGE
from bot.services import Services
from bot.typed import escaped, shortened
from poetgen.errors import PoetgenError

_log = logging.getLogger(__name__)
# Unknown interaction, unknown webhook, invalid webhook token: the person has gone, nobody can be told.
EXPIRED = frozenset((10062, 10015, 50027))
# Discord says no, or cannot be reached.
REFUSED = (discord.HTTPException, aiohttp.ClientError, OSError, TimeoutError)
_ALREADY = 40060  # acknowledged already: another instance was quicker, or we were by the watch
_WATCH_SECONDS = 1.2
AGAIN = "again"  # among an interaction's extras: it was "Try again"
_PUBLIC_COMMANDS = frozenset(("poem", "top"))


def pressed_message(interaction: discord.Interaction[Any]) -> discord.Message | None:
    """The message whose button was pressed; None for "Try again", which is below an error."""
    return None if AGAIN in interaction.extras else interaction.message


def may_react(own: discord.Permissions) -> bool:
    """Whether the bot may put reactions under its messages where it has these permissions."""
    return own.view_channel and own.add_reactions and own.read_message_history


def must_post(channel: discord.TextChannel) -> None:
    """The bot may write in a channel.

    Raises:
        BotError: It may not.
    """
    own = channel.permissions_for(channel.guild.me)
    if not (own.view_channel and own.send_messages):
        raise BotError("cannot_post", channel=channel.mention)


def described(error: BaseException) -> str:
    """What Discord said, for the log: status and code, or what kept us from reaching it."""
    if isinstance(error, discord.HTTPException):
        return f"{error.status}, {error.code}"
    return type(error).__name__


class Replies:
    """Answers interactions.

    Args:
        client: The bot, to know who owns it.
        services: Its parts.
    """

    def __init__(self, client: commands.Bot, services: Services) -> None:
        self._client = client
        self._services = services
        self._answering: set[asyncio.Task[Any]] = set()
        self._watching: set[asyncio.Task[None]] = set()

    async def asker(self, interaction: discord.Interaction[Any]) -> Asker:
        """Who asks, and where."""
        guild_id = interaction.guild_id
        language = language_of(str(interaction.locale))
        fallback = language if interaction.guild_locale is None else language_of(str(interaction.guild_locale))
        permissions, own = interaction.permissions, interaction.app_permissions
        in_server, present = guild_id is not None, self._present(interaction)
        return Asker(
            user_id=interaction.user.id,
            guild_id=guild_id,
            channel_id=interaction.channel_id,
            parent_id=getattr(interaction.channel, "parent_id", None),
            category_id=_category_of(interaction.channel),
            language=language,
            home_language=self._services.preferences.home_language(guild_id, fallback),
            admin=in_server and (permissions.manage_guild or permissions.administrator),
            moderator=in_server and (permissions.manage_messages or permissions.administrator),
            owner=await self._by_owner(interaction),
            present=present or not in_server,
            can_react=present and may_react(own),
        )

    def _present(self, interaction: discord.Interaction[Any]) -> bool:
        """Whether the bot is a member of the server, and not only its commands are."""
        return interaction.guild_id is not None and self._client.get_guild(interaction.guild_id) is not None

    async def _by_owner(self, interaction: discord.Interaction[Any]) -> bool:
        """Whether the bot's owner asks, in the server that is kept for that."""
        at_owners = interaction.guild_id is not None and interaction.guild_id == self._services.owner_guild_id
        return at_owners and await self._client.is_owner(interaction.user)

    def watch(self, interaction: discord.Interaction[Any]) -> None:
        """Wait for this interaction's task when the bot stops, and acknowledge it if nobody has in a second."""
        interaction.extras["arrived"] = time.monotonic()
        answering = asyncio.current_task()
        if answering is not None:
            self._answering.add(answering)
            answering.add_done_callback(self._answering.discard)
        if interaction.type is discord.InteractionType.autocomplete:
            return
        watching = asyncio.create_task(self._acknowledge_late(interaction), name="acknowledge-late")
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        if answering is not None:
            answering.add_done_callback(lambda _: watching.cancel())

    async def _acknowledge_late(self, interaction: discord.Interaction[Any]) -> None:
        await asyncio.sleep(_WATCH_SECONDS)
        if not interaction.response.is_done():
            _log.warning("an interaction was not answered within %.1f s, so it was acknowledged", _WATCH_SECONDS)
            await self.think(interaction, ephemeral=not _is_public(interaction))

    async def think(self, interaction: discord.Interaction[Any], *, ephemeral: bool) -> None:
        """Acknowledge now, answer later."""
        if interaction.response.is_done():
            return
        try:
            await interaction.response.defer(thinking=True, ephemeral=ephemeral)
            self._note_time(interaction)
        except discord.InteractionResponded:
            pass
        except discord.HTTPException as error:
            if error.code != _ALREADY:
                raise

    async def answer(
        self,
        interaction: discord.Interaction[Any],
        content: str,
        *,
        view: discord.ui.View | None = None,
        files: Sequence[discord.File] = (),
        ephemeral: bool = True,
    ) -> discord.Message | None:
        """Show the answer: at once, or in the place of the acknowledgement."""
        shown: dict[str, Any] = {"content": shortened(content, MAX_PAGE)}
        more: dict[str, Any] = ({"view": view} if view else {}) | ({"files": list(files)} if files else {})
        if not interaction.response.is_done():
            try:
                sent = await interaction.response.send_message(**shown, **more, ephemeral=ephemeral)
                self._note_time(interaction)
                return sent.resource if isinstance(sent.resource, discord.Message) else None
            except discord.InteractionResponded:
                pass
            except discord.HTTPException as error:
                if error.code != _ALREADY:
                    raise
        if interaction.response.type is discord.InteractionResponseType.deferred_channel_message:
            return await interaction.edit_original_response(**shown, view=view, attachments=list(files))
        return await interaction.followup.send(**shown, **more, ephemeral=ephemeral, wait=True)

    async def update(
        self,
        interaction: discord.Interaction[Any],
        *,
        content: str | None = None,
        view: discord.ui.View | None,
        files: Sequence[discord.File] | None = None,
    ) -> None:
        """Change the message whose button was pressed; after "Try again", show what it would have changed to."""
        message = pressed_message(interaction)
        if message is None:
            await self.answer(interaction, content or "", view=view, files=files or ())
            return
        values: dict[str, Any] = {"view": view}
        if content is not None:
            values["content"] = shortened(content, MAX_PAGE)
        if files is not None:
            values["attachments"] = list(files)
        if not interaction.response.is_done():
            try:
                await interaction.response.edit_message(**values)
                self._note_time(interaction)
                return
            except discord.InteractionResponded:
                pass
            except discord.HTTPException as error:
                if error.code != _ALREADY:
                    raise
        # The watch has acknowledged with a thought of its own: the message is changed, the thought taken away.
        await interaction.followup.edit_message(message.id, **values)
        await interaction.delete_original_response()

    async def modal(self, interaction: discord.Interaction[Any], modal: discord.ui.Modal) -> None:
        """Show a form."""
        await interaction.response.send_modal(modal)
        self._note_time(interaction)

    async def fail(self, interaction: discord.Interaction[Any], error: BaseException) -> None:
        """Tell what went wrong, with a button to try again if nobody expected it."""
        cause = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        if isinstance(cause, discord.HTTPException) and cause.code in EXPIRED:
            _log.warning("an interaction expired before it was answered (%d)", cause.code)
            return
        if isinstance(cause, app_commands.TransformerError) and not self._present(interaction):
            cause = BotError("not_present")  # a channel of a server that we do not see
        language = language_of(str(interaction.locale))
        if isinstance(cause, (app_commands.CommandNotFound, app_commands.CommandSignatureMismatch)):
            content, view = text("error.command_changed", language), None
        else:
            told = explain(
                cause, language, operator=isinstance(cause, PoetgenError) and await self._by_owner(interaction)
            )
            # These may hold what the person typed; our other texts hold marks of channels and times.
            repeats_typed = isinstance(cause, (PoetgenError, MistypedError))
            content, view = escaped(told.text) if repeats_typed else told.text, None
            if told.error_id is not None and await self._keep(interaction, told.error_id):
                view = row([Press("retry", told.error_id, text("button.retry", language))])
        try:
            await self.answer(interaction, content, view=view)
        except discord.HTTPException as failure:
            _log.warning("an error could not be told (%s)", described(failure))

    async def _keep(self, interaction: discord.Interaction[Any], error_id: str) -> bool:
        """Keep what was asked for, so that the button works after a restart too."""
        data: dict[str, Any] = {**(interaction.data or {})}
        # What was written into a form is never stored, and a menu's data hold the message that it was opened on.
        of_menu = "custom_id" not in data and data.get("type") != discord.AppCommandType.chat_input.value
        pressed = BUTTON_ID.fullmatch(str(data.get("custom_id")))
        of_typed = pressed is not None and pressed["act"] == TYPED_ACT
        if interaction.type is discord.InteractionType.modal_submit or of_menu or of_typed:
            return False
        if "resolved" in data:
            data["resolved"] = {"channels": data["resolved"].get("channels", {})}
        try:
            await self._services.store.notes.keep_retry(error_id, interaction.user.id, json.dumps(data, default=str))
        except Exception:
            _log.exception("what was asked for could not be kept")
            return False
        return True

    def _note_time(self, interaction: discord.Interaction[Any]) -> None:
        arrived = interaction.extras.get("arrived")
        if arrived is not None:
            self._services.metrics.acknowledged.observe(time.monotonic() - arrived)

    async def finish(self, seconds: float) -> None:
        """Wait for what is being answered, for the bot stops."""
        current = asyncio.current_task()
        answering = {task for task in self._answering if task is not current}
        if answering:
            await asyncio.wait(answering, timeout=seconds)


def _category_of(channel: object) -> int | None:
    """The category of a channel, if it is known: where the bot is no member, it does not know a thread's channel."""
    known = channel.parent if isinstance(channel, discord.Thread) else channel
    return getattr(known, "category_id", None)


def _is_public(interaction: discord.Interaction[Any]) -> bool:
    data: Any = interaction.data or {}
    pressed = BUTTON_ID.fullmatch(str(data.get("custom_id", "")))
    return pressed["act"] not in PRIVATE_ACTS if pressed else data.get("name") in _PUBLIC_COMMANDS
