"""What the bot does whoever asks, apart from Discord and the console."""

import asyncio

from bot.inference import Inference
from bot.poems import Poems
from bot.store import Asker, Store
from tests.bot.conftest import Rows


class _SlowAtFirst(Store):
    """A store whose first look-up takes longer than the next."""

    looked_up = 0

    async def poem_of_message(self, message_id: int) -> int | None:
        self.looked_up += 1
        if self.looked_up == 1:
            await asyncio.sleep(0.05)
        return await super().poem_of_message(message_id)


async def test_later_vote_does_not_pass_an_earlier_one(inference: Inference, url: str, rows: Rows) -> None:
    async with await _SlowAtFirst.open(url) as store:
        poems = Poems(inference, store)
        poem = await poems.finish(poems.begin(), Asker(1))
        await poems.shown(poem.id, 99)
        await asyncio.gather(poems.vote_on_message(99, 7, 1), poems.vote_on_message(99, 7, -1))
        assert rows.votes() == [(poem.id, 7, -1)]
        await asyncio.gather(poems.vote_on_message(99, 7, 1), poems.take_back_on_message(99, 7, 1))
        assert rows.votes() == []


async def test_taking_back_one_value_leaves_the_other(inference: Inference, store: Store, rows: Rows) -> None:
    poems = Poems(inference, store)
    poem = await poems.finish(poems.begin(), Asker(1))
    await poems.shown(poem.id, 99)
    await poems.vote_on_message(99, 7, 1)
    await poems.vote_on_message(99, 8, -1)
    await poems.take_back_on_message(99, value=1)
    assert rows.votes() == [(poem.id, 8, -1)]
    await poems.take_back_on_message(99)
    assert rows.votes() == []
