"""Names and descriptions of commands in the languages of Discord that we speak.

Knows no command: the keys follow from where a string stands.
"""

from typing import Any

import discord
from discord import app_commands
from discord.app_commands import TranslationContextLocation as Location

from bot.catalogue import COMMAND_LANGUAGES, catalogue


def key_of(context: app_commands.TranslationContext[Any, Any]) -> str | None:
    """The text's key in the catalogues, such as "command.daily.set.description"."""
    data: Any = context.data
    match context.location:
        case Location.command_name | Location.group_name:
            return f"command.{dotted(data)}.name"
        case Location.command_description | Location.group_description:
            return f"command.{dotted(data)}.description"
        case Location.parameter_name:
            return f"option.{data.name}"
        case Location.parameter_description:
            return f"command.{dotted(data.command)}.{data.name}"
        case Location.choice_name:
            return f"choice.{data.value}"
        case _:
            return None


def dotted(command: Any) -> str:
    """A command's name as keys have it: "daily.set", "delete_poem"."""
    return ".".join(part.replace(" ", "_").casefold() for part in _path(command))


def _path(command: Any) -> list[str]:
    parent = getattr(command, "parent", None)
    return [*(_path(parent) if parent is not None else []), command.name]


class CatalogueTranslator(app_commands.Translator):
    """Looks strings up in the catalogues."""

    async def translate(
        self,
        string: app_commands.locale_str,
        locale: discord.Locale,
        context: app_commands.TranslationContext[Any, Any],
    ) -> str | None:
        """The string in a language; None where we do not speak it."""
        key = key_of(context)
        if key is None or locale.value not in COMMAND_LANGUAGES:
            return None
        return catalogue(locale.value).get(key)
