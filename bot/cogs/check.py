"""/check on Discord: a form for a poem of one's own, answered with its tones and faults.

Knows no prosody.
"""

from collections.abc import Iterator
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.buttons import typed_buttons
from bot.catalogue import language_of, text
from bot.client import PoetBot
from bot.pages import check_page
from poetgen.script import show

_FORM_ID = "yin1:check"
_MAX_LENGTH = 400


class CheckModal(discord.ui.Modal):
    """The form. It is answered by its id and not by its object, so that one opened before a restart is answered too.

    Args:
        language: What the person reads.
    """

    def __init__(self, language: str) -> None:
        super().__init__(title=text("check.form", language), custom_id=_FORM_ID, timeout=600)
        field: discord.ui.TextInput[Any] = discord.ui.TextInput(
            style=discord.TextStyle.paragraph,
            custom_id="poem",
            placeholder=text("check.example", language),
            min_length=1,
            max_length=_MAX_LENGTH,
        )
        description = text("check.hint", language)
        self.add_item(discord.ui.Label(text=text("check.label", language), description=description, component=field))


class CheckCog(commands.Cog):
    """Checks poems.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot

    @app_commands.command(description=text("command.check.description"))
    async def check(self, interaction: discord.Interaction[Any]) -> None:
        """Show the form."""
        await self._bot.replies.modal(interaction, CheckModal(language_of(str(interaction.locale))))

    @commands.Cog.listener()
    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """The form was sent."""
        data: Any = interaction.data or {}
        if interaction.type is not discord.InteractionType.modal_submit or data.get("custom_id") != _FORM_ID:
            return
        self._bot.replies.watch(interaction)
        try:
            await self._answer(interaction, "\n".join(_typed(data.get("components", []))))
        except Exception as error:
            await self._bot.replies.fail(interaction, error)

    async def _answer(self, interaction: discord.Interaction[Any], typed: str) -> None:
        asker = await self._bot.replies.asker(interaction)
        poem, report, script = self._bot.services.poems.inspected(asker, typed)
        view = typed_buttons([show(line, script) for line in poem.lines], asker.language)
        await self._bot.replies.answer(interaction, check_page(poem, report, script, asker.language), view=view)


def _typed(components: list[dict[str, Any]]) -> Iterator[str]:
    """What was typed into a form, wherever its fields are."""
    for component in components:
        if "value" in component:
            yield str(component["value"])
        yield from _typed([component["component"]] if "component" in component else component.get("components", []))
