"""Who asks, where, and what they may: what a command needs to know of a person.

Knows no Discord; the cogs make one of each interaction, and the console is one.
"""

from dataclasses import dataclass

from bot.errors import BotError

CONSOLE = 0  # the id of the console's one person, and of the server that it is in


@dataclass(frozen=True, slots=True)
class Asker:
    """A person at a place.

    Attributes:
        user_id: Who.
        guild_id: The server; None in a direct message.
        channel_id: The channel.
        parent_id: The channel of a thread.
        category_id: The category of the channel.
        language: What the person reads.
        home_language: What the place reads: the language of public parts.
        admin: Whether they may manage the server.
        moderator: Whether they may delete messages here.
        owner: Whether the bot is theirs and this is its owner's server.
        present: Whether the bot is a member there, and not only its commands are; true in a direct message.
        can_react: Whether the bot may put reactions under its messages here.
    """

    user_id: int
    guild_id: int | None = None
    channel_id: int | None = None
    parent_id: int | None = None
    category_id: int | None = None
    language: str = "en"
    home_language: str = "en"
    admin: bool = False
    moderator: bool = False
    owner: bool = False
    present: bool = True
    can_react: bool = False

    @property
    def places(self) -> set[int | None]:
        """Where this is, by all that a server may have allowed: channel, the thread's channel, category."""
        return {self.channel_id, self.parent_id, self.category_id}

    @property
    def server(self) -> int:
        """The server that this person asks in.

        Raises:
            BotError: It is a direct message.
        """
        if self.guild_id is None:
            raise BotError("servers_only")
        return self.guild_id

    def must_manage(self) -> int:
        """The server, which this person manages.

        Raises:
            BotError: They do not, or it is a direct message, or a server that the bot is no member of.
        """
        server = self.server
        if not self.admin:
            raise BotError("not_allowed")
        if not self.present:
            raise BotError("not_present")
        return server

    def must_own(self) -> None:
        """This person owns the bot.

        Raises:
            BotError: They do not.
        """
        if not self.owner:
            raise BotError("owner_only")
