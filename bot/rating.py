"""Votes on poems, whoever brings them: reactions, buttons or typed words.

Knows no Discord but the two emoji.
"""

import asyncio

from bot.errors import BotError
from bot.metrics import Metrics
from bot.store import Store
from bot.store.poems import StoredPoem

UP, DOWN = "👍", "👎"
VOTES = {UP: 1, DOWN: -1}
# The five skin tones, and the selector that asks for an emoji's coloured form.
_MODIFIERS = dict.fromkeys((*range(127995, 128000), 65039))


def vote_of(emoji: str) -> int | None:
    """The vote that an emoji casts, in any skin tone; None if it is none."""
    return VOTES.get(emoji.translate(_MODIFIERS))


class Rating:
    """Counts votes, in the order in which they come.

    Args:
        store: Where they are kept.
        metrics: Where they are counted.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._poems = store.poems
        self._votes = store.votes
        self._metrics = metrics
        self._in_order = asyncio.Lock()
        self._pressed: dict[int, list[tuple[int, int, asyncio.Future[tuple[StoredPoem, int, int] | None]]]] = {}
        self._pressing: asyncio.Task[None] | None = None

    async def vote(self, poem_id: int, voter_id: int, value: int) -> None:
        """One vote per person and poem, the last one counts.

        Raises:
            BotError: The poem is gone.
        """
        if not await self._votes.cast(poem_id, voter_id, value):
            raise BotError("poem_gone")
        self._metrics.votes.inc()

    async def press(self, poem_id: int, voter_id: int, value: int) -> tuple[StoredPoem, int, int]:
        """A vote by a button: pressed again, it is taken back. Returns the poem and the votes for and against.

        Answered when it is kept. Presses that come while others are being written are written together.

        Raises:
            BotError: The poem is gone.
        """
        kept: asyncio.Future[tuple[StoredPoem, int, int] | None] = asyncio.get_running_loop().create_future()
        self._pressed.setdefault(poem_id, []).append((voter_id, value, kept))
        if self._pressing is None or self._pressing.done():
            self._pressing = asyncio.create_task(self._write_presses(), name="presses")
        found = await kept
        if found is None:
            raise BotError("poem_gone")
        self._metrics.votes.inc()
        return found

    async def _write_presses(self) -> None:
        while self._pressed:
            poem_id, presses = self._pressed.popitem()
            try:
                found = await self._votes.press_all(poem_id, [(voter, value) for voter, value, _ in presses])
            except Exception as error:
                for _, _, kept in presses:
                    if not kept.done():
                        kept.set_exception(error)
                continue
            for _, _, kept in presses:
                if not kept.done():
                    kept.set_result(found)

    async def take_back(self, poem_id: int, voter_id: int) -> None:
        """Forget a person's vote on a poem, whichever it was."""
        await self._votes.withdraw(poem_id, voter_id)

    async def tally(self, poem_id: int) -> tuple[int, int]:
        """How many votes a poem has, for and against."""
        return await self._votes.tally(poem_id)

    async def vote_on_message(self, message_id: int, voter_id: int, value: int) -> None:
        """A vote on whatever poem a message shows; nothing happens if it shows none."""
        async with self._in_order:  # a slow look-up must not let a later vote pass an earlier one
            poem = await self._poems.of_message(message_id)
            if poem is not None and await self._votes.cast(poem.id, voter_id, value, reaction=True):
                self._metrics.votes.inc()

    async def take_back_on_message(
        self, message_id: int, voter_id: int | None = None, value: int | None = None
    ) -> None:
        """Votes on a message's poem are taken back: all, or one person's, or those of one value.

        A person who gave both keeps the one that is not taken back.
        """
        async with self._in_order:
            poem = await self._poems.of_message(message_id)
            if poem is not None:
                await self._votes.withdraw(poem.id, voter_id, value)
