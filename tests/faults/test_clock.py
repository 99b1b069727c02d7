"""The clock steps back, as clocks do: nobody is locked out, and of two votes the later still counts."""

import pytest

from bot.services import Services
from bot.store import Store
from bot.store import usage as usage_module
from bot.store import votes as votes_module
from bot.store.database import now_ms
from tests.bot.conftest import Rows
from tests.bot.discord_place import Place

HOUR_MS = 3_600_000


async def test_nobody_waits_for_the_old_time_to_come_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.usage.take(1, None, 5, 60_000)
    before = now_ms() - HOUR_MS
    monkeypatch.setattr(usage_module, "now_ms", lambda: before)
    taken = await store.usage.take(1, None, 5, 60_000)
    await store.usage.give_back(taken)
    await store.usage.take(1, None, 5, 60_000)


async def test_the_later_vote_counts_though_its_time_is_earlier(
    place: Place, services: Services, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    poem = await place.poem(theme="秋夜")
    await place.bob.react(poem, "👍")
    before = now_ms() - HOUR_MS
    monkeypatch.setattr(votes_module, "now_ms", lambda: before)
    await place.bob.unreact(poem, "👍")
    await place.bob.react(poem, "👎")
    assert rows.votes() == [(1, place.bob.id, -1)]
