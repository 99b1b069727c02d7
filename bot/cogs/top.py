"""/top on Discord: the server's best loved poems.

Knows no ranking.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from bot.catalogue import text
from bot.client import PoetBot
from bot.leaderboard import leaderboard
from bot.pages import top_page
from bot.ranking import PERIODS

_PERIODS = [app_commands.Choice(name=text(f"choice.{period}"), value=period) for period in PERIODS]


class TopCog(commands.Cog):
    """Ranks poems.

    Args:
        bot: The client.
    """

    def __init__(self, bot: PoetBot) -> None:
        self._bot = bot

    @app_commands.command(description=text("command.top.description"))
    @app_commands.guild_only()
    @app_commands.allowed_installs(guilds=True, users=False)
    @app_commands.describe(period=text("command.top.period"))
    @app_commands.choices(period=_PERIODS)
    async def top(self, interaction: discord.Interaction[Any], period: str = "month") -> None:
        """Show the ten best."""
        asker = await self._bot.replies.asker(interaction)
        may_tell = _readable_from(self._bot.get_guild(asker.server), asker.channel_id)
        entries = await leaderboard(self._bot.services.store, asker, period, may_tell)
        page = top_page(entries, period, asker.home_language, self._bot.services.poems.script_for(asker))
        await self._bot.replies.answer(interaction, page, ephemeral=False)


def _readable_from(guild: discord.Guild | None, here: int | None) -> Callable[[int | None], bool]:
    """Tells of a channel whether everybody who reads in the channel `here` may read in it too.

    The answer is for all who do. Poems of private threads, and of archived ones, which are not known, are told of only
    where they stand.
    """
    channel = guild.get_channel_or_thread(here) if guild and here else None
    if guild is None or channel is None:
        return lambda channel_id: channel_id == here
    readers = [role for role in guild.roles if channel.permissions_for(role).view_channel]
    if _lets_in_alone(channel):
        readers.append(guild.default_role)

    @functools.cache
    def readable(channel_id: int | None) -> bool:
        if channel_id == here:
            return True
        other = guild.get_channel_or_thread(channel_id) if channel_id else None
        if not readers or other is None or (isinstance(other, discord.Thread) and other.is_private()):
            return False
        if any(allowed.view_channel is False for target, allowed in _overwrites(other) if target != guild.default_role):
            return False  # hidden from somebody who may read here by another role
        return all(other.permissions_for(role).view_channel for role in readers)

    return readable


def _lets_in_alone(channel: discord.abc.GuildChannel | discord.Thread) -> bool:
    """Whether a channel, or a thread's, is open to a member by name: what else they may read is not known."""
    return any(allowed.view_channel for target, allowed in _overwrites(channel) if not isinstance(target, discord.Role))


def _overwrites(
    channel: discord.abc.GuildChannel | discord.Thread,
) -> Iterable[tuple[object, discord.PermissionOverwrite]]:
    """For whom a channel, or a thread's, has rules of its own, and which."""
    place = channel.parent if isinstance(channel, discord.Thread) else channel
    return () if place is None else place.overwrites.items()
