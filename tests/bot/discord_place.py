"""A server in the simulated Discord, and what a message of the bot looks like from outside."""

from typing import Any

import discord
import simcord
from discord.ext import commands

from tests.bot.limits import violations


class Place:
    """A server with a channel, two members and an admin."""

    def __init__(self, env: simcord.Env) -> None:
        self.env = env
        self.guild = env.create_guild()
        self.channel = self.guild.create_text_channel("poems")
        self.alice = self.guild.add_member(env.create_user("alice"))
        self.bob = self.guild.add_member(env.create_user("bob"))
        role = self.guild.create_role(
            "admins", permissions=discord.Permissions(manage_guild=True, manage_messages=True)
        )
        self.admin = self.guild.add_member(env.create_user("admin"), roles=[role])

    async def poem(self, **options: object) -> discord.Message:
        result = await self.alice.slash(self.channel, "poem", **options)
        assert result.response is not None
        return result.response.message

    def hidden(self, *seen_by: Any) -> simcord.ChannelHandle:
        """A channel that only these members or roles may view."""
        overwrites = dict.fromkeys(seen_by, discord.PermissionOverwrite(view_channel=True))
        overwrites[self.guild.default_role] = discord.PermissionOverwrite(view_channel=False)
        return self.guild.create_text_channel("hidden", overwrites=overwrites)

    def bodies(self, method: str | None = None) -> list[dict[str, Any]]:
        """The JSON bodies that the bot sent."""
        sent = self.env.http_requests
        return [request.json for request in sent if request.json and method in (None, request.method)]


def owners_server(env: simcord.Env, guild_id: int, bot: commands.Bot) -> tuple[simcord.ChannelHandle, Any, Any]:
    """(channel, the bot's owner, another administrator) of the server that has the owner's commands."""
    home = env.create_guild(id=guild_id)
    role = home.create_role("admins", permissions=discord.Permissions(administrator=True))
    boss, other = [home.add_member(env.create_user(name), roles=[role]) for name in ("boss", "other")]
    bot.owner_id = boss.id
    return home.create_text_channel("owner"), boss, other


def hold_to_the_limits(env: simcord.Env) -> None:
    """Hold everything that the bot sent against Discord's limits."""
    for request in env.http_requests:
        if request.json is not None:
            assert violations(request.json) == [], f"{request.method} {request.path}"


def buttons(message: Any) -> list[Any]:
    """A message's buttons, row by row."""
    shown = message.message if hasattr(message, "message") else message
    return [child for part in shown.components for child in part.children]


def labels(message: Any) -> list[str | None]:
    """What stands on them."""
    return [button.label for button in buttons(message)]
