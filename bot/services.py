"""What the commands are handed: everything the composition root has built.

Knows no Discord; the console is handed the same.
"""

from dataclasses import dataclass
from pathlib import Path

from bot.card import Cards
from bot.comparing import Comparing
from bot.finetuning import Finetuning
from bot.metrics import Metrics
from bot.poems import Poems
from bot.preferences import Preferences
from bot.rating import Rating
from bot.store import Store
from bot.voices import Voices


@dataclass(frozen=True, slots=True)
class Services:
    """The bot's parts.

    Attributes:
        poems: From request to page.
        rating: Votes.
        store: What is kept.
        voices: Which server hears which version.
        preferences: What servers chose.
        finetuning: The queue of fine-tunes.
        comparing: Two voices side by side.
        cards: Pictures of poems.
        metrics: What is counted.
        owner_guild_id: The server with the owner's commands.
        privacy_url: Where PRIVACY.md can be read.
        privacy_file: The same file here, for where there is no URL.
    """

    poems: Poems
    rating: Rating
    store: Store
    voices: Voices
    preferences: Preferences
    finetuning: Finetuning
    comparing: Comparing
    cards: Cards
    metrics: Metrics
    owner_guild_id: int | None = None
    privacy_url: str | None = None
    privacy_file: Path | None = None
