"""The poet's thread hangs or runs out of memory; a fine-tune eats memory. One request suffers, the next works."""

import sys
from collections.abc import AsyncIterator

import pytest
import simcord

from bot.inference import Inference
from bot.training import Progress, TrainingProcess
from tests.bot.conftest import FakePoet, Rows
from tests.bot.discord_place import Place


@pytest.fixture
async def inference(poet: FakePoet) -> AsyncIterator[Inference]:
    """One that does not wait for long, and whose second poet is a new one."""
    loaded = iter([poet])

    def load(version: str | None) -> FakePoet:
        return next(loaded, None) or FakePoet()

    async with Inference(load, queue_size=4, max_batch=3, hung_seconds=0.3) as started:
        yield started


async def test_hung_thread_is_told_given_back_and_replaced(
    simcord_env: simcord.Env, place: Place, poet: FakePoet, rows: Rows
) -> None:
    poet.gate.clear()
    result = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert result.response is not None
    assert "log as" in result.response.content
    assert rows("SELECT used FROM usage") == [(0,)]
    simcord_env.errors.clear()
    assert "春" in (await place.poem(theme="春")).content, "another thread, while the first still hangs"
    poet.gate.set()


async def test_out_of_memory_is_told_and_given_back(
    simcord_env: simcord.Env, place: Place, poet: FakePoet, rows: Rows
) -> None:
    poet.fail_on, poet.failure = "秋夜", MemoryError()
    result = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert result.response is not None
    assert "log as" in result.response.content
    assert rows("SELECT used FROM usage") == [(0,)]
    simcord_env.errors.clear()
    assert "春" in (await place.poem(theme="春")).content


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only /proc tells a process's memory")
async def test_fine_tune_that_eats_memory_is_stopped_and_reported() -> None:
    async def heard(_: Progress) -> None:
        pass

    greedy = "import time\nkept = []\nwhile True:\n    kept.append(bytearray(2**24))\n    time.sleep(0.02)\n"
    process = TrainingProcess([sys.executable, "-c", greedy], {}, 30.0, 200, heard)
    outcome = await process.run()
    assert (outcome.verdict, outcome.reasons) == ("failed", ("memory",))
