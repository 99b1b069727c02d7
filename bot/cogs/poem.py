"""/poem and /show on Discord, and the buttons below a poem: Another, Vary, Read, Card, Info.

Knows no model and no database.
"""

import asyncio
import io
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from bot.asker import Asker
from bot.buttons import TYPED_ACT, Press, poem_buttons, row
from bot.card import Shade, alt_text
from bot.catalogue import text
from bot.client import PoetBot
from bot.errors import BotError
from bot.pages import MAX_PAGE, again_page, form_label, info_page, poem_page
from bot.poems import Composing, Wish
from bot.reading import RHYMES_SPELT, reading, rhyme_label
from bot.replies import pressed_message
from bot.store.poems import StoredPoem
from bot.themes import suggestions
from bot.typed import clean, shortened, unmarked
from poetgen.poem import FORMS, Poem, Script
from poetgen.prosody import Report
from poetgen.script import show

_FORMS = [app_commands.Choice(name=form_label(name, "simplified"), value=name) for name in FORMS]
_SEAL = "吟"
_MAX_CHOICE = 100
_MAX_CHOICES = 25
_LOOKED_THROUGH = 500  # of a channel's last poems, for the one that somebody types of
_T = TypeVar("_T")


class PoemCog(commands.Cog):
    """Writes poems.

    Args:
        bot: The client.
        invite_votes: Called with each poem that is shown and rated by reactions, and its message; must not wait.
    """

    def __init__(self, bot: PoetBot, invite_votes: Callable[[StoredPoem, discord.Message], None]) -> None:
        self._bot = bot
        self._poems = bot.services.poems
        self._cards = bot.services.cards
        self._invite_votes = invite_votes
        # One thread, in which the dictionary is read once; the threads that all share stay free for every command.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-and-card")
        bot.on_press("another", self._again("another"))
        bot.on_press("vary", self._again("vary"))
        bot.on_press("read", self._read)
        bot.on_press(TYPED_ACT, self._read_typed)
        bot.on_press("info", self._info)
        bot.on_press("card", self._card)
        bot.on_press("card-dark", partial(self._redraw, shade="dark"))
        bot.on_press("card-light", partial(self._redraw, shade="light"))

    async def cog_unload(self) -> None:
        """Begin no page and no card any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _aside(self, work: Callable[..., _T], *values: object) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *values)

    @app_commands.command(description=text("command.poem.description"))
    @app_commands.describe(
        form=text("command.poem.form"),
        theme=text("command.poem.theme"),
        acrostic=text("command.poem.acrostic"),
        first_line=text("command.poem.first_line"),
        rhyme=text("command.poem.rhyme"),
        seed=text("command.poem.seed"),
        script=text("command.poem.script"),
    )
    @app_commands.choices(form=_FORMS)
    async def poem(
        self,
        interaction: discord.Interaction[Any],
        form: str = "",
        theme: str = "",
        acrostic: str = "",
        first_line: str = "",
        rhyme: str = "",
        seed: int | None = None,
        script: Literal["simplified", "traditional"] | None = None,
    ) -> None:
        """Refuse at once and privately what cannot be written; else acknowledge, compose, keep, show."""
        wish = Wish(form, theme, acrostic, first_line, rhyme, seed, script)
        await self._show(interaction, lambda asker: self._poems.begin(asker, wish))

    @poem.autocomplete("theme")
    async def _themes(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        typed = clean(typed)
        if len(typed) > _MAX_CHOICE:
            return []  # no theme is so long, and each letter more would be looked up again
        asker = await self._bot.replies.asker(interaction)
        found = suggestions(typed, self._poems.script_for(asker), str(interaction.locale))
        # A theme of one's own is offered as it stands, if it will not be refused.
        own = [(typed, typed)] if typed and not found and self._poems.knows_theme(typed) else []
        return [app_commands.Choice(name=name[:_MAX_CHOICE], value=value) for name, value in own + found][:_MAX_CHOICES]

    @poem.autocomplete("rhyme")
    async def _rhymes(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        asker = await self._bot.replies.asker(interaction)
        script = self._poems.script_for(asker)
        wanted, found = typed.strip().lower(), []
        for group in self._poems.inference.poet.rhymes:
            if not wanted or wanted in (group, show(group, script)) or unmarked(RHYMES_SPELT[group]).startswith(wanted):
                found.append(app_commands.Choice(name=rhyme_label(group, script), value=group))
        return found[:_MAX_CHOICES]

    @app_commands.command(name="show", description=text("command.show.description"))
    @app_commands.describe(poem=text("command.show.poem"))
    async def show_again(self, interaction: discord.Interaction[Any], poem: app_commands.Range[int, 1]) -> None:
        """Show an earlier poem, to the asker alone: a copy for all would outlive it when it is hidden or deleted."""
        asker, found = await self._get(interaction, str(poem))
        up, down = await self._bot.services.rating.tally(found.id)
        view = poem_buttons(found, self._cards.available, up, down)
        await self._bot.replies.answer(interaction, again_page(found, asker.language), view=view)

    @show_again.autocomplete("poem")
    async def _earlier(self, interaction: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[int]]:
        # Of this channel alone: not all may read what stands in others.
        wanted, found = typed.strip(), []
        count = _LOOKED_THROUGH if wanted else _MAX_CHOICES
        for poem in await self._poems.store.poems.latest_in(interaction.guild_id, interaction.channel_id, count):
            shown = show(f"{poem.title} · {poem.lines[0]}", poem.script)
            if not wanted or wanted in shown or wanted in poem.title or str(poem.id).startswith(wanted):
                found.append(app_commands.Choice(name=shortened(shown, _MAX_CHOICE), value=poem.id))
            if len(found) == _MAX_CHOICES:
                break
        return found

    async def _show(
        self, interaction: discord.Interaction[Any], begin: Callable[[Asker], Awaitable[Composing]]
    ) -> None:
        asker = await self._bot.replies.asker(interaction)
        async with await begin(asker) as composing:
            await self._bot.replies.think(interaction, ephemeral=False)
            poem = await composing.poem()
            message = await self._bot.replies.answer(
                interaction, poem_page(poem), view=poem_buttons(poem, self._cards.available), ephemeral=False
            )
        if message is not None:
            await self._poems.note_message(poem.id, message.id)
            if not poem.vote_buttons:
                self._invite_votes(poem, message)

    def _again(self, how: Literal["another", "vary"]) -> Callable[[discord.Interaction[Any], str], Awaitable[None]]:
        async def pressed(interaction: discord.Interaction[Any], about: str) -> None:
            await self._mend(interaction, about)
            await self._show(interaction, lambda asker: self._poems.again(asker, int(about), how))

        return pressed

    async def _mend(self, interaction: discord.Interaction[Any], about: str) -> None:
        """The bot may have ended between sending a poem and noting its message: the first press tells which it is."""
        message = pressed_message(interaction)
        if message is not None and not message.flags.ephemeral:  # which is a copy, by /show
            await self._poems.note_message(int(about), message.id)

    async def _get(self, interaction: discord.Interaction[Any], about: str) -> tuple[Asker, StoredPoem]:
        asker = await self._bot.replies.asker(interaction)
        return asker, await self._poems.get(asker, int(about))

    async def _read(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker, poem = await self._get(interaction, about)
        await self._bot.replies.think(interaction, ephemeral=True)
        report = self._poems.inference.poet.inspect(poem.poem)
        await self._read_out(interaction, asker, poem.poem, report, poem.script)

    async def _read_typed(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker = await self._bot.replies.asker(interaction)
        await self._bot.replies.think(interaction, ephemeral=True)
        await self._read_out(interaction, asker, *self._poems.inspected(asker, about))

    async def _read_out(
        self, interaction: discord.Interaction[Any], asker: Asker, poem: Poem, report: Report, script: Script
    ) -> None:
        page = await self._aside(reading, poem, report, script, MAX_PAGE - 100)
        await self._bot.replies.answer(interaction, f"{page}\n{text('read.source', asker.language)}")

    async def _info(self, interaction: discord.Interaction[Any], about: str) -> None:
        asker, poem = await self._get(interaction, about)
        voted = await self._poems.store.votes.of(poem.id, asker.user_id) is not None
        report = self._poems.inference.poet.inspect(poem.poem)
        await self._bot.replies.answer(interaction, info_page(poem, report, voted, asker.language))

    async def _card(self, interaction: discord.Interaction[Any], about: str) -> None:
        _, poem = await self._get(interaction, about)
        await self._bot.replies.think(interaction, ephemeral=False)
        file, view = await self._drawn(interaction, poem, "light")
        await self._bot.replies.answer(interaction, "", view=view, files=[file], ephemeral=False)

    async def _redraw(self, interaction: discord.Interaction[Any], about: str, *, shade: Shade) -> None:
        _, poem = await self._get(interaction, about)
        file, view = await self._drawn(interaction, poem, shade)
        await self._bot.replies.update(interaction, view=view, files=[file])

    async def _drawn(
        self, interaction: discord.Interaction[Any], poem: StoredPoem, shade: Shade
    ) -> tuple[discord.File, discord.ui.View]:
        guild = interaction.guild_id and self._bot.get_guild(interaction.guild_id)
        seal = guild.name if guild else _SEAL
        drawn = await self._aside(self._cards.draw, poem.poem, poem.script, shade, seal)
        if drawn is None:
            raise BotError("no_glyph")
        if len(drawn) > interaction.filesize_limit:
            raise BotError("card_size")
        other: Shade = "dark" if shade == "light" else "light"
        view = row([Press(f"card-{other}", poem.id, text(f"button.{other}", poem.language))])
        file = discord.File(
            io.BytesIO(drawn),
            f"poem-{poem.id}-{shade}.png",
            description=shortened(alt_text(poem.poem, poem.script), 1024),
        )
        return file, view
