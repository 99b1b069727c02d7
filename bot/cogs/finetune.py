"""/finetune on Discord, and the message that shows how a fine-tune goes on.

Knows no process. The message is the bot's own, edited with its token, so that it outlives the interaction's fifteen
minutes; edits to messages over an hour old are rationed, so a long job gets a new message.
"""

import io
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.beside import compose_beside
from bot.buttons import Press, row
from bot.catalogue import text
from bot.client import PoetBot
from bot.errors import BotError
from bot.job_pages import confirm_page, finetune_page, history_page, progress_page, result_page, voices_page
from bot.replies import REFUSED, described
from bot.store.jobs import UNFINISHED, Job
from bot.training import Outcome, Progress

_log = logging.getLogger(__name__)
_EDIT_SECONDS = 5.0
_NEW_MESSAGE_SECONDS = 50 * 60
_HISTORY = 10
SHARED = "shared"  # in a button's id: the voice of all


@dataclass(slots=True)
class _Shown:
    message: discord.PartialMessage
    posted: float
    edited: float


@app_commands.guild_only()
@app_commands.allowed_installs(guilds=True, users=False)
@app_commands.default_permissions(manage_guild=True)
class FinetuneCog(commands.GroupCog, name="finetune", description=text("command.finetune.description")):
    """Fine-tunes voices.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot
        self._finetuning = bot.services.finetuning
        self._store = bot.services.store
        self._shown: dict[int, _Shown] = {}
        self._silent: set[int] = set()  # jobs whose channel takes nothing from the bot
        self._started = False
        self.edit_seconds = _EDIT_SECONDS
        self._finetuning.watcher = self
        bot.on_press("start", self._confirmed)
        bot.on_press("cancel", self._cancelled)

    @commands.Cog.listener()
    async def on_ready(self) -> None:
        """Go on with the queue, once messages can be edited."""
        if not self._started:
            self._started = True
            await self._finetuning.start()

    @app_commands.command(name="start", description=text("command.finetune.start.description"))
    async def start(self, interaction: discord.Interaction[Any]) -> None:
        """Say what would be learned from, and ask."""
        asker = await self._bot.replies.asker(interaction)
        await self.ask(interaction, asker, asker.must_manage())

    @app_commands.command(name="status", description=text("command.finetune.status.description"))
    async def status(self, interaction: discord.Interaction[Any]) -> None:
        """Show how it goes on."""
        asker = await self._bot.replies.asker(interaction)
        await self.show_status(interaction, asker, asker.must_manage())

    @app_commands.command(name="cancel", description=text("command.finetune.cancel.description"))
    async def cancel(self, interaction: discord.Interaction[Any]) -> None:
        """Stop it."""
        asker = await self._bot.replies.asker(interaction)
        await self.stop(interaction, asker, asker.must_manage())

    @app_commands.command(name="history", description=text("command.finetune.history.description"))
    async def history(self, interaction: discord.Interaction[Any]) -> None:
        """List those there were."""
        asker = await self._bot.replies.asker(interaction)
        await self.show_history(interaction, asker, asker.must_manage())

    async def ask(self, interaction: discord.Interaction[Any], asker: Asker, voice: int | None) -> None:
        """Say what a voice (None: the shared one) would learn from, and ask to confirm."""
        self._finetuning.refuse_here()
        await self._bot.replies.think(interaction, ephemeral=True)
        ratings = await self._finetuning.ratings(voice)
        self._finetuning.refuse_too_few(ratings)
        page = confirm_page(ratings, self._finetuning.limits, asker.language)
        start = Press("start", _about(voice), text("button.start", asker.language), style=discord.ButtonStyle.primary)
        await self._bot.replies.answer(interaction, page, view=row([start]))

    async def show_status(self, interaction: discord.Interaction[Any], asker: Asker, voice: int | None) -> None:
        """Show how a voice's fine-tune goes on, or how the last one ended."""
        page = await finetune_page(self._finetuning, voice, asker.language)
        await self._bot.replies.answer(interaction, page)

    async def stop(self, interaction: discord.Interaction[Any], asker: Asker, voice: int | None) -> None:
        """Stop a voice's fine-tune."""
        job = await self._finetuning.cancel(voice)
        await self._bot.replies.answer(interaction, text("finetune.cancelling", asker.language, id=job.id))

    async def show_history(self, interaction: discord.Interaction[Any], asker: Asker, voice: int | None) -> None:
        """List a voice's fine-tunes."""
        page = history_page(await self._store.jobs.history(voice, _HISTORY), asker.language)
        await self._bot.replies.answer(interaction, page)

    async def _voice(self, interaction: discord.Interaction[Any], about: str) -> tuple[Asker, int | None]:
        """Who pressed, and the voice that the button is about, which must be theirs to change."""
        asker = await self._bot.replies.asker(interaction)
        if about == SHARED:
            asker.must_own()
            return asker, None
        if asker.must_manage() != int(about):
            raise BotError("not_allowed")
        return asker, int(about)

    async def _confirmed(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker, voice = await self._voice(interaction, about)
        job, place = await self._finetuning.begin(asker, voice)
        await self._bot.replies.update(
            interaction, content=text("finetune.begun", asker.language, id=job.id), view=None
        )
        try:
            await self._post(job, progress_page(job, None, place))
        except (discord.Forbidden, discord.NotFound):
            self._silent.add(job.id)
            await self._bot.replies.answer(interaction, text("finetune.silent", asker.language))

    async def _cancelled(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker, voice = await self._voice(interaction, about)
        await self.stop(interaction, asker, voice)

    async def _post(self, job: Job, page: str) -> None:
        if job.channel_id is None:
            return
        channel = self._bot.get_partial_messageable(job.channel_id)
        cancel = Press("cancel", _about(job.guild_id), text("button.cancel", job.language))
        message = await channel.send(page, view=row([cancel]))
        now = time.monotonic()
        self._shown[job.id] = _Shown(channel.get_partial_message(message.id), now, now)
        await self._store.jobs.note_message(job.id, job.channel_id, message.id)

    async def progressed(self, job: Job, progress: Progress) -> None:
        """Edit the message, but not more often than every few seconds; it is done beside the process's lines."""
        if job.id in self._silent:
            return
        shown = self._shown.get(job.id)
        now = time.monotonic()
        if shown is not None and now - shown.edited < self.edit_seconds:
            return
        if shown is not None:
            shown.edited = now
        self._bot.in_background(self._show(job.id, progress), "finetune-progress")

    async def _show(self, job_id: int, progress: Progress) -> None:
        job = await self._store.jobs.get(job_id)
        if job is None or job.state not in UNFINISHED:
            return
        page = progress_page(job, progress, 0)
        shown = self._shown.get(job_id) or self._remembered(job)
        try:
            if shown is not None and time.monotonic() - shown.posted <= _NEW_MESSAGE_SECONDS:
                with suppress(discord.NotFound):  # it was deleted: another one takes its place
                    await shown.message.edit(content=page)
                    return
            await self._post(job, page)
        except REFUSED as error:
            self._silent.add(job_id)  # `/finetune status` shows it
            _log.warning("a fine-tune's progress could not be shown (%s)", described(error))

    def _remembered(self, job: Job) -> _Shown | None:
        """The message that an earlier run of the bot posted."""
        if job.channel_id is None or job.message_id is None:
            return None
        message = self._bot.get_partial_messageable(job.channel_id).get_partial_message(job.message_id)
        shown = self._shown[job.id] = _Shown(message, time.monotonic(), 0.0)
        return shown

    async def finished(self, job: Job, outcome: Outcome) -> None:
        """Show how it ended: in the message, and below it the plot and six poems."""
        shown = self._shown.pop(job.id, None) or self._remembered(job)
        self._shown.pop(job.id, None)
        self._silent.discard(job.id)
        if job.channel_id is None or shown is None:
            return
        try:
            channel = self._bot.get_partial_messageable(job.channel_id)
            try:
                await shown.message.edit(content=result_page(job), view=None)
            except discord.NotFound:  # it was deleted
                await channel.send(result_page(job))
            pages = [] if job.version is None else [await self._beside(job)]
            files = [] if outcome.plot is None else [_plot(outcome.plot, job)]
            if pages or files:
                await channel.send(pages[0] if pages else None, files=files)
        except REFUSED as error:
            _log.warning("a fine-tune's end could not be shown (%s)", described(error))

    async def _beside(self, job: Job) -> str:
        poems = self._bot.services.poems
        script = poems.script_in(job.guild_id, job.language)
        return voices_page(await compose_beside(poems, job), script, job.language)


def _plot(content: bytes, job: Job) -> discord.File:
    return discord.File(
        io.BytesIO(content), f"reward-{job.id}.png", description=text("finetune.plot", job.language, id=job.id)
    )


def _about(voice: int | None) -> str:
    return SHARED if voice is None else str(voice)
