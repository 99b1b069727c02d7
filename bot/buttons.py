"""The buttons. Their ids are versioned and hold no state: what they are about is in the database, so they never die.

But for a poem that a person typed, which is stored nowhere: the button below what only they see holds its lines.

Knows no command: the client sends each act to whoever registered for it.
"""

import re
from collections.abc import Container, Sequence
from typing import Any, Protocol, Self

import discord

from bot.catalogue import text
from bot.store.poems import StoredPoem

# yin1:ACT:ABOUT; a later scheme begins with yin2, and this one stays known.
BUTTON_ID = re.compile(r"yin1:(?P<act>[a-z-]{1,20}):(?P<about>[0-9a-z-]{1,40}|[\u3400-\u9fff.]{1,80})")
UP_ACT, DOWN_ACT = "up", "down"
TYPED_ACT = "read-typed"  # with the lines that a person typed in its id
# Acts whose answer only the person sees; the others show something to all.
PRIVATE_ACTS = frozenset(
    ("read", TYPED_ACT, "info", "retry", "up", "down", "start", "cancel", "pick-one", "pick-two", "forget")
)
POEM_ACTS = ("another", UP_ACT)  # under every poem, and under nothing else
CARD_ACTS = ("card-dark", "card-light")


class Presser(Protocol):
    """The client, as a button sees it."""

    async def pressed(self, interaction: discord.Interaction[Any], act: str, about: str) -> None:
        """A button was pressed."""


class Press(discord.ui.DynamicItem[discord.ui.Button[Any]], template=BUTTON_ID):
    """A button.

    Args:
        act: What it does.
        about: What it does it with: a poem's number, a job's.
        label: What stands on it.
        emoji: Before the label.
        style: Its colour.
    """

    def __init__(
        self,
        act: str,
        about: object,
        label: str | None = None,
        emoji: str | None = None,
        style: discord.ButtonStyle = discord.ButtonStyle.secondary,
    ) -> None:
        self.act = act
        self.about = str(about)
        super().__init__(discord.ui.Button(label=label, emoji=emoji, style=style, custom_id=f"yin1:{act}:{self.about}"))

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        """The button as it was pressed."""
        return cls(match["act"], match["about"])

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """Send the press on."""
        presser: Presser = interaction.client
        await presser.pressed(interaction, self.act, self.about)


def row(presses: Sequence[Press]) -> discord.ui.View:
    """A message's buttons, five a row."""
    view = discord.ui.View(timeout=None)
    for press in presses:
        view.add_item(press)
    return view


def poem_buttons(poem: StoredPoem, cards: bool, up: int = 0, down: int = 0) -> discord.ui.View | None:
    """Under a poem: what can be done with it in one row, and votes in a second where there are no reactions."""
    if poem.hidden:
        return None
    acts = [("another", "🔄"), ("vary", "🎲"), ("read", "📖"), *([("card", "🖼️")] if cards else []), ("info", "🔎")]
    presses = [Press(act, poem.id, text(f"button.{act}", poem.language), emoji) for act, emoji in acts]
    view = row(presses)
    if poem.vote_buttons:
        for act, emoji, count in ((UP_ACT, "👍", up), (DOWN_ACT, "👎", down)):
            press = Press(act, poem.id, str(count), emoji)
            press.item.row = 1
            view.add_item(press)
    return view


def typed_buttons(lines: Sequence[str], language: str) -> discord.ui.View | None:
    """Under what was found of a poem that a person typed; None if the poem is more than an id holds."""
    press = Press(TYPED_ACT, ".".join(lines), text("button.read", language), "📖")
    return row([press]) if BUTTON_ID.fullmatch(press.item.custom_id or "") else None


def poem_id_of(message: discord.Message, acts: Container[str] = POEM_ACTS) -> int | None:
    """The poem that a message of ours shows, by its buttons; with `CARD_ACTS`, the poem on a card."""
    for part in message.components:
        for child in getattr(part, "children", ()):
            found = BUTTON_ID.fullmatch(getattr(child, "custom_id", None) or "")
            if found and found["act"] in acts:
                return int(found["about"])
    return None
