"""The versions of the poet that a server can hear, and which of them it hears now: its voice.

Knows no model: the registry is files. Its calls read a few small files and so run in a thread.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from bot.errors import BotError
from poetgen.errors import CheckpointError, NothingPromotedError, UnwrittenError
from poetgen.registry import Version


class RegistryLike(Protocol):
    """What the bot needs of the registry."""

    def current(self, voice: str | None = None) -> str:
        """The version that a voice is in; the shared one where it never had its own."""

    def versions_of(self, voice: str | None) -> list[Version]:
        """Those that a voice can be in, the oldest first."""

    def promote(self, name: str, voice: str | None = None) -> str:
        """Put a voice into a version."""

    def rollback(self, voice: str | None = None) -> str:
        """Put a voice back."""

    def erase(self, voice: str) -> None:
        """Delete a voice."""

    def show(self, name: str) -> Version:
        """What is known of a version."""

    def names(self) -> list[str]:
        """All versions."""


def voice_of(guild_id: int | None) -> str | None:
    """The name of a server's voice; None for the shared one, which is heard in direct messages."""
    return None if guild_id is None else f"server-{guild_id}"


class Voices:
    """Who hears which version.

    Args:
        registry: The versions.
    """

    def __init__(self, registry: RegistryLike) -> None:
        self._registry = registry

    async def current(self, guild_id: int | None) -> str:
        """The version that a server hears; the shared one in a direct message."""
        return await asyncio.to_thread(self._registry.current, voice_of(guild_id))

    async def heard(self, guild_id: int | None) -> Sequence[Version]:
        """The versions that a server can hear, the oldest first."""
        return await asyncio.to_thread(self._registry.versions_of, voice_of(guild_id))

    async def use(self, guild_id: int | None, name: str) -> str:
        """Let a server hear a version; returns its full name.

        Raises:
            BotError: It is damaged or gone.
        """
        try:
            return await asyncio.to_thread(self._registry.promote, name, voice_of(guild_id))
        except UnwrittenError:
            raise
        except CheckpointError:
            raise BotError("version_gone", version=name) from None

    async def roll_back(self, guild_id: int | None) -> str:
        """Let a server hear what it heard before; returns its name.

        Raises:
            BotError: Nothing was chosen or fitted.
        """
        try:
            return await asyncio.to_thread(self._registry.rollback, voice_of(guild_id))
        except NothingPromotedError:
            raise BotError("nothing_to_roll_back") from None

    async def erase(self, guild_id: int) -> None:
        """Delete a server's own versions."""
        voice = voice_of(guild_id)
        assert voice is not None
        await asyncio.to_thread(self._registry.erase, voice)

    async def missing(self, names: Iterable[str]) -> list[str]:
        """Those of these versions that are not there."""
        known = await asyncio.to_thread(self._registry.names)
        return [name for name in names if name not in known]

    async def show(self, name: str) -> Version:
        """What is known of a version."""
        return await asyncio.to_thread(self._registry.show, name)
