"""What the bot does, whoever asks: a poem is checked, composed, kept and shown; votes on it are counted.

Knows no Discord and no terminal; both call this. `begin` is quick and refuses at once, `finish` takes its time.
"""

import asyncio
from dataclasses import dataclass

from bot.inference import Inference
from bot.messages import clean
from bot.store import Asker, Store
from poetgen.poem import DEFAULT_FORM, Composition, PoemRequest, form_named

UP, DOWN = "👍", "👎"
VOTES = {UP: 1, DOWN: -1}
# The five skin tones, and the selector that asks for an emoji's coloured form.
_MODIFIERS = dict.fromkeys((*range(127995, 128000), 65039))


@dataclass(frozen=True, slots=True)
class KeptPoem:
    """A poem and its id in the store."""

    id: int
    composition: Composition


def vote_of(emoji: str) -> int | None:
    """The vote that an emoji casts, in any skin tone; None if it is none."""
    return VOTES.get(emoji.translate(_MODIFIERS))


class Poems:
    """Poems from request to vote.

    Args:
        inference: Composes.
        store: Keeps.
    """

    def __init__(self, inference: Inference, store: Store) -> None:
        self._inference = inference
        self._store = store
        self._votes_in_order = asyncio.Lock()

    def begin(
        self, form: str = DEFAULT_FORM.name, theme: str = "", seed: int | None = None
    ) -> asyncio.Future[Composition]:
        """Check a request and queue it.

        Raises:
            RequestError: It cannot be written.
            BusyError: Too many are waiting.
            ClosingError: The bot is stopping.
        """
        return self._inference.submit(PoemRequest(form=form_named(form), theme=clean(theme), seed=seed))

    async def finish(self, composing: asyncio.Future[Composition], asker: Asker) -> KeptPoem:
        """Wait for a poem that was begun, and keep it before anybody sees it."""
        composition = await composing
        return KeptPoem(await self._store.add_poem(asker, composition), composition)

    async def shown(self, poem_id: int, message_id: int) -> None:
        """A poem is now shown in a message; votes on that message count for it."""
        await self._store.note_message(poem_id, message_id)

    async def vote(self, poem_id: int, voter_id: int, value: int) -> None:
        """One vote per person and poem, the last one counts."""
        await self._store.cast_vote(poem_id, voter_id, value)

    async def take_back(self, poem_id: int, voter_id: int) -> None:
        """Forget a person's vote on a poem, whichever it was."""
        await self._store.withdraw_votes(poem_id, voter_id)

    async def tally(self, poem_id: int) -> tuple[int, int]:
        """How many votes a poem has, for and against."""
        return await self._store.tally(poem_id)

    async def vote_on_message(self, message_id: int, voter_id: int, value: int) -> None:
        """A vote on whatever poem a message shows; nothing happens if it shows none."""
        async with self._votes_in_order:  # a slow look-up must not let a later vote pass an earlier one
            poem_id = await self._store.poem_of_message(message_id)
            if poem_id is not None:
                await self._store.cast_vote(poem_id, voter_id, value)

    async def take_back_on_message(
        self, message_id: int, voter_id: int | None = None, value: int | None = None
    ) -> None:
        """Votes on a message's poem are taken back: all, or one person's, or those of one value.

        A person who gave both keeps the later one when the earlier is taken back.
        """
        async with self._votes_in_order:
            poem_id = await self._store.poem_of_message(message_id)
            if poem_id is not None:
                await self._store.withdraw_votes(poem_id, voter_id, value)

    async def close(self) -> None:
        """Begin nothing new, and let what is being composed be finished."""
        await self._inference.close()
