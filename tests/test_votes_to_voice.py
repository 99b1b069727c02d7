"""From votes in the database through a real fine-tune to a voice that the running bot serves."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from bot.__main__ import built
from bot.asker import Asker
from bot.poems import Wish
from bot.services import Services
from bot.settings import Settings
from bot.store.poems import StoredPoem
from bot.training import Progress
from poetgen.seeds import FIRST_SEEDS

SERVER = 7
MEMBERS = range(101, 109)
# A taste of eight members, of whom each is wrong now and then: whoever asked does not count.
WANTED = "月酒醉杯樽"


async def write(services: Services, seed: int, guild_id: int | None = SERVER) -> StoredPoem:
    asker = Asker(1000 + seed, guild_id=guild_id, can_react=True)
    theme = ("月", "酒", "山居", "邊塞")[seed % 4]
    async with await services.poems.begin(asker, Wish(theme=theme, seed=seed)) as composing:
        return await composing.poem()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        database_url=f"sqlite+aiosqlite:///{tmp_path}/yin.db", poetgen_home=tmp_path / "home", torch_threads=1,
        cooldown_seconds=0, finetune_minutes=10, _env_file=None,
    )  # fmt: skip


async def test_votes_become_a_voice_that_the_running_bot_serves(settings: Settings, tmp_path: Path) -> None:
    async with built(settings) as services:
        poems = [await write(services, seed) for seed in range(60)]
        for poem in poems:
            likes = any(char in WANTED for char in "".join(poem.lines))
            for member in MEMBERS:
                wrong = (poem.id * 31 + member * 17) % 10 == 0
                await services.rating.vote(poem.id, member, 1 if likes != wrong else -1)
        # Cast over weeks, not in one burst.
        with sqlite3.connect(tmp_path / "yin.db") as connection:
            connection.execute("UPDATE votes SET created_at = created_at - poem_id * 3600000")
        connection.close()
        base = poems[0].version
        heard: list[Progress] = []

        class Watcher:
            async def progressed(self, job: object, progress: Progress) -> None:
                heard.append(progress)

            async def finished(self, job: object, outcome: object) -> None:
                done.set_result(outcome)

        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        services.finetuning.watcher = Watcher()
        await services.finetuning.start()
        job, before_it = await services.finetuning.begin(Asker(1, guild_id=SERVER, channel_id=2, admin=True), SERVER)
        assert before_it == 0
        served = 0
        async with asyncio.timeout(300):
            while not done.done():  # the bot goes on serving all the while
                await write(services, FIRST_SEEDS - 1 - served)
                served += 1
                await asyncio.sleep(1)  # the cores are the fine-tune's, too
        finished = await services.store.jobs.get(job.id)
        assert finished is not None
        assert finished.state == "promoted", await done
        assert {progress.stage for progress in heard} == {"discriminator", "generator", "gate"}
        assert served > 3

        voice = await write(services, 3_000_001)
        elsewhere = await write(services, 3_000_001, guild_id=SERVER + 1)
        assert voice.version == finished.version != base
        assert elsewhere.version == base
        # What was written before is replayed by the version that wrote it.
        assert (await write(services, 0)).lines == poems[0].lines

        await services.voices.roll_back(SERVER)
        assert (await write(services, 3_000_002)).version == base
