"""/poem on Discord.

Knows no model and no database.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.messages import form_label, poem_card, text
from bot.poems import Poems
from bot.store import Asker
from poetgen.poem import DEFAULT_FORM, FORMS, MAX_THEME_LENGTH, Script

_FORMS = [app_commands.Choice(name=form_label(name, "simplified"), value=name) for name in FORMS]


class PoemCog(commands.Cog):
    """Writes poems.

    Args:
        poems: What the bot does.
        script: The characters that poems are shown in.
        invite_votes: Called with each message that shows a poem; must not wait.
        replying: A context that keeps the bot from stopping before the answer is sent.
    """

    def __init__(
        self,
        poems: Poems,
        script: Script,
        invite_votes: Callable[[discord.Message], None],
        replying: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._poems = poems
        self._script = script
        self._invite_votes = invite_votes
        self._replying = replying

    @app_commands.command(description=text("command.poem"))
    @app_commands.describe(
        form=text("option.form"), theme=text("option.theme", length=MAX_THEME_LENGTH), seed=text("option.seed")
    )
    @app_commands.choices(form=_FORMS)
    async def poem(
        self,
        interaction: discord.Interaction[Any],
        form: str = DEFAULT_FORM.name,
        theme: str = "",
        seed: int | None = None,
    ) -> None:
        """Refuse at once and privately what cannot be written; else acknowledge, compose, keep, show."""
        composing = self._poems.begin(form, theme, seed)
        with self._replying():
            try:
                await interaction.response.defer(thinking=True)
            except BaseException:
                composing.cancel()
                raise
            asker = Asker(interaction.user.id, interaction.guild_id, interaction.channel_id)
            poem = await self._poems.finish(composing, asker)
            message = await interaction.edit_original_response(content=poem_card(poem.composition, self._script))
            await self._poems.shown(poem.id, message.id)
            self._invite_votes(message)
