"""Fine-tunes with real child processes: learned, refused, cancelled, killed, silent, garbled, orphaned, queued."""

import asyncio
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.asker import Asker
from bot.client import PoetBot
from bot.errors import BotError, ClosingError
from bot.finetuning import FinetuneLimits, Finetuning
from bot.job_pages import finetune_page
from bot.poems import Wish
from bot.ratings import Ratings
from bot.services import Services
from bot.store.jobs import Job
from bot.store.poems import Setting
from bot.training import Outcome, Progress, TrainingProcess, free_mb
from poetgen.poem import PoemRequest
from tests.bot.conftest import FakePoet, FakeRegistry, Rows, Trainer, until, version_named

ADMIN = Asker(1, guild_id=5, channel_id=6, admin=True)


class Watched:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.ended: list[tuple[Job, Outcome]] = []

    async def progressed(self, job: Job, progress: Progress) -> None:
        self.progress.append(progress)

    async def finished(self, job: Job, outcome: Outcome) -> None:
        self.ended.append((job, outcome))


@pytest.fixture
async def watched(services: Services) -> Watched:
    for number in range(3):
        poem = await services.store.poems.add(
            Setting(99, 5, 6), PoemRequest(theme="秋夜"), FakePoet().compose([PoemRequest(theme="秋夜")])[0]
        )
        for voter in range(4):
            await services.store.votes.cast(poem.id, voter, 1 if (voter + number) % 2 else -1)
    watcher = Watched()
    services.finetuning.watcher = watcher
    return watcher


async def _ended(watched: Watched, count: int = 1) -> tuple[Job, Outcome]:
    await until(lambda: len(watched.ended) >= count, 20)
    return watched.ended[-1]


async def test_promoted_with_figures_and_a_plot(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.png"
    plot.write_bytes(b"\x89PNG and so on")
    seen = tmp_path / "seen.json"
    trainer.write(
        f"""
pathlib.Path({str(seen)!r}).write_text(json.dumps([ratings, voice, sys.argv[3:]]))
stage("discriminator", 0.25)
stage("generator", 0.5)
stage("gate", 0.9)
print("a warning", file=sys.stderr)
said(version="new-1", verdict="promoted", reasons=[], before=dict(loss=2.0), after=dict(loss=1.5), plot={str(plot)!r})
"""
    )
    await services.finetuning.start()
    job, place = await services.finetuning.begin(ADMIN, 5)
    assert (place, job.state, job.num_poems, job.num_voters, job.num_votes) == (0, "queued", 3, 4, 12)
    ended, outcome = await _ended(watched)
    assert (ended.state, ended.version, ended.base) == ("promoted", "new-1", "fake-1")
    assert ended.outcome["before"] == {"loss": 2.0}
    assert outcome.plot == b"\x89PNG and so on"
    assert [progress.stage for progress in watched.progress] == ["discriminator", "generator", "gate"]
    text = seen.read_text(encoding="utf-8")
    assert '"server-5"' in text
    assert '"fold"' in text
    assert '"voter' not in text


async def test_likes_alone_are_no_taste(services: Services, watched: Watched) -> None:
    for poem_id in range(1, 4):
        for voter in range(4):
            await services.store.votes.cast(poem_id, voter, 1)
    with pytest.raises(BotError, match="👍 and 👎"):
        await services.finetuning.begin(ADMIN, 5)


async def test_shared_voice_learns_from_all_servers_and_each_from_its_own(
    services: Services, watched: Watched, rows: Rows
) -> None:
    rows.run("UPDATE poems SET guild_id = 7 WHERE id = 3")
    learned = [(await services.finetuning.ratings(voice)).num_poems for voice in (None, 5, 7, 8)]
    assert learned == [3, 2, 1, 0]


async def test_gate_may_refuse(services: Services, watched: Watched, registry: FakeRegistry) -> None:
    registry.heard["server-5"] = ["damaged-1"]  # and no version of it can be read
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    job, _ = await _ended(watched)
    assert job.state == "rejected"
    assert job.outcome["reasons"] == ["no better"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("sys.exit('out of memory')", "crashed"),
        ("stage('generator', 0.5)", "garbled"),
        ("print('Hello', flush=True); time.sleep(30)", "garbled"),
        ("print('[1]', flush=True); time.sleep(30)", "garbled"),
        ("print('x' * 3_000_000); time.sleep(30)", "garbled"),
        ("said(verdict='wonderful')", "garbled"),
        ("said(stage='gate', progress='half'); time.sleep(30)", "garbled"),
        ("pass", "crashed"),
        ("import os; os.kill(os.getpid(), signal.SIGKILL)", "crashed"),
        ("said(version=None, verdict='promoted', reasons=[]); sys.exit(1)", "crashed"),
        ("said(version=None, verdict='failed', reasons=['few'], error='There are too few.'); sys.exit(2)", "few"),
        ("said(version=None, verdict='failed', reasons=[], error='No text of ours.'); sys.exit(2)", "crashed"),
    ],
)
async def test_what_goes_wrong_is_failed_and_the_next_one_runs(
    services: Services, watched: Watched, trainer: Trainer, code: str, reason: str
) -> None:
    trainer.write(code)
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    job, _ = await _ended(watched)
    assert (job.state, job.outcome["reasons"]) == ("failed", [reason])
    trainer.write("said(version=None, verdict='refused', reasons=[])")
    await services.finetuning.begin(ADMIN, 5)
    job, _ = await _ended(watched, 2)
    assert job.state == "rejected"


async def test_missing_program_is_a_failure(services: Services, watched: Watched, monkeypatch: Any) -> None:
    monkeypatch.setattr(services.finetuning, "_command_line", lambda *_: ["/nowhere/python"])
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    job, _ = await _ended(watched)
    assert job.outcome["reasons"] == ["start"]


async def test_end_that_cannot_be_told_holds_up_no_other(
    services: Services, watched: Watched, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise OSError("Discord fell over")

    rows.run("UPDATE poems SET guild_id = 7 WHERE id = 3")
    monkeypatch.setattr(watched, "finished", broken)
    for guild_id in (5, 7):
        await services.finetuning.begin(Asker(1, guild_id=guild_id, admin=True), guild_id)
    await services.finetuning.start()
    await until(lambda: rows("SELECT state FROM jobs") == [("rejected",)] * 2, 20)


async def test_what_fails_in_the_bot_itself_is_told_and_the_next_one_runs(
    services: Services, watched: Watched, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, ratings, move = services.finetuning.begin, services.finetuning.ratings, services.store.jobs.move

    async def broken(*_: object, **__: object) -> Any:
        raise OSError("no space left on device")

    await begin(ADMIN, 5)
    monkeypatch.setattr(services.finetuning, "ratings", broken)
    await services.finetuning.start()
    job, outcome = await _ended(watched)
    assert (job.state, job.outcome["reasons"], outcome.reasons) == ("failed", ["crashed"], ("crashed",))
    monkeypatch.setattr(services.store.jobs, "move", broken)
    monkeypatch.setattr(services.finetuning, "ratings", ratings)
    await begin(ADMIN, 5)
    worker = services.finetuning._worker
    assert worker is not None
    await asyncio.wait_for(worker, 5)
    monkeypatch.setattr(services.store.jobs, "move", move)
    services.finetuning._go_on()
    assert (await _ended(watched, 2))[0].state == "rejected"


async def test_silent_one_is_stopped() -> None:
    async def heard(_: Progress) -> None: ...

    process = TrainingProcess([sys.executable, "-c", "import time; time.sleep(60)"], {}, 0.3, 2048, heard)
    started = time.monotonic()
    outcome = await process.run()
    assert outcome == Outcome("failed", reasons=("silent",))
    assert time.monotonic() - started < 5


async def test_one_that_says_all_and_does_not_end_is_stopped() -> None:
    async def heard(_: Progress) -> None: ...

    code = "import os, time; print('{}', flush=True); os.close(1); time.sleep(60)"
    process = TrainingProcess([sys.executable, "-c", code], {}, 0.3, 2048, heard)
    assert await asyncio.wait_for(process.run(), 10) == Outcome("failed", reasons=("silent",))


async def test_it_knows_the_variables_it_was_given_and_no_others(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    trainer.write(
        f"import os\npathlib.Path({str(seen)!r}).write_text(str('DISCORD_TOKEN' in os.environ))\n"
        "said(version=None, verdict='refused', reasons=[])"
    )
    monkeypatch.setenv("DISCORD_TOKEN", "a secret")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await _ended(watched)
    assert seen.read_text() == "False"


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="this kernel cannot be told")
async def test_the_kernel_is_told_to_end_it_before_the_bot(
    services: Services, watched: Watched, trainer: Trainer
) -> None:
    trainer.write(
        "score = pathlib.Path('/proc/self/oom_score_adj')\n"
        "while int(score.read_text()) < 500: time.sleep(0.01)\n"
        "said(version=None, verdict='refused', reasons=[])"
    )
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    job, _ = await _ended(watched)
    assert job.state == "rejected"


_STUBBORN = """
import subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(PIDS).write_text(f"{os.getpid()} {child.pid}")
stage("generator", 0.5)
time.sleep(60)
"""


async def test_cancelled_one_ends_with_all_it_started(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.training._GRACE_SECONDS", 0.3)
    pids = tmp_path / "pids"
    trainer.write("import os\n" + _STUBBORN.replace("PIDS", repr(str(pids))))
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await until(lambda: bool(watched.progress), 20)
    found = await services.finetuning.status(5)
    assert found is not None
    assert found[0].state == "running"
    assert found[0].heartbeat_at is not None
    await services.finetuning.cancel(5)
    job, outcome = await _ended(watched)
    assert job.state == outcome.verdict == "cancelled"
    for pid in map(int, pids.read_text().split()):
        await until(lambda pid=pid: not _alive(pid))  # type: ignore[misc]
    with pytest.raises(BotError):
        await services.finetuning.cancel(5)


async def test_cancelled_one_stays_so_though_the_bot_stops_meanwhile(
    services: Services, watched: Watched, trainer: Trainer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.training._GRACE_SECONDS", 0.5)
    trainer.write("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nstage('generator', 0.1)\ntime.sleep(60)")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await until(lambda: bool(watched.progress), 20)
    await services.finetuning.cancel(5)
    await services.finetuning.close()
    assert rows("SELECT state FROM jobs") == [("cancelled",)]


async def test_cancelled_while_its_ratings_are_read_never_starts(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = tmp_path / "begun"
    trainer.write(f"pathlib.Path({str(begun)!r}).touch()\nsaid(version=None, verdict='refused', reasons=[])")
    job, _ = await services.finetuning.begin(ADMIN, 5)
    reading, ratings = asyncio.Event(), services.finetuning.ratings

    async def slow(guild_id: int | None) -> Ratings:
        reading.set()
        await asyncio.sleep(0.2)
        return await ratings(guild_id)

    monkeypatch.setattr(services.finetuning, "ratings", slow)
    await services.finetuning.start()
    await reading.wait()
    assert (await services.finetuning.cancel(5)).id == job.id
    ended, outcome = await _ended(watched)
    assert ended.state == outcome.verdict == "cancelled"
    await asyncio.sleep(0.5)
    assert not begun.exists()


@pytest.mark.parametrize("end", ["time.sleep(60)", "time.sleep(0.5); sys.exit(1)"], ids=["cancelled", "failed"])
async def test_version_that_was_promoted_before_it_ended_is_told_of(
    services: Services, watched: Watched, trainer: Trainer, registry: FakeRegistry, end: str
) -> None:
    trainer.write(f"stage('gate', 0.9)\n{end}")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await until(lambda: bool(watched.progress), 20)
    registry.add("new-1", "server-5")
    registry.promote("new-1", "server-5")
    if end == "time.sleep(60)":
        await services.finetuning.cancel(5)
    job, outcome = await _ended(watched)
    assert (job.state, job.version, outcome.verdict) == ("promoted", "new-1", "promoted")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def test_it_runs_in_a_session_of_its_own(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path
) -> None:
    session = tmp_path / "session"
    trainer.write(
        f"import os\npathlib.Path({str(session)!r}).write_text(f'{{os.nice(0)}} {{os.getsid(0) == os.getpid()}}')\n"
        "said(version=None, verdict='refused', reasons=[])"
    )
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await _ended(watched)
    assert session.read_text() == f"{os.nice(0)} True", "its priority is lowered once, by itself"


async def test_others_queue_with_their_place_and_one_voice_has_one(
    services: Services, watched: Watched, trainer: Trainer, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer.write("stage('generator', 0.1)\ntime.sleep(60)")
    rows.run("UPDATE poems SET guild_id = 7 WHERE id = 3")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await until(lambda: bool(watched.progress), 20)
    with pytest.raises(BotError) as refused:
        await services.finetuning.begin(ADMIN, 5)
    assert refused.value.key == "finetune_under_way"
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: 799)  # for the one that runs has it
    _, place = await services.finetuning.begin(Asker(2, guild_id=7, channel_id=8), 7)
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: 4096)
    assert place == 1
    trainer.write("said(version=None, verdict='refused', reasons=[])")
    await services.finetuning.cancel(5)
    await _ended(watched, 2)
    assert rows("SELECT guild_id, state FROM jobs ORDER BY id") == [(5, "cancelled"), (7, "rejected")]


async def test_two_admins_at_once_start_one(services: Services, watched: Watched, rows: Rows) -> None:
    begun = [services.finetuning.begin(admin, 5) for admin in (ADMIN, Asker(2, guild_id=5, channel_id=6, admin=True))]
    results = await asyncio.gather(*begun, return_exceptions=True)
    assert [getattr(result, "key", None) for result in results] == [None, "finetune_under_way"]
    assert rows("SELECT guild_id, state FROM jobs") == [(5, "queued")]


async def test_queued_one_can_be_cancelled_before_it_runs(services: Services, watched: Watched, rows: Rows) -> None:
    await services.finetuning.begin(ADMIN, 5)
    await services.finetuning.cancel(5)
    assert watched.ended[0][0].state == "cancelled"
    assert rows("SELECT heartbeat_at IS NULL FROM jobs") == [(0,)]


async def test_orphan_is_marked_and_the_queue_goes_on_at_the_next_start(
    services: Services, watched: Watched, registry: FakeRegistry, trainer: Trainer, rows: Rows
) -> None:
    values = {
        "requester_id": 1,
        "language": "en",
        "seed": 1,
        "minutes": 5,
        "num_poems": 1,
        "num_voters": 1,
        "num_votes": 1,
    }
    orphan = await services.store.jobs.add(guild_id=7, **values)
    assert orphan is not None
    await services.store.jobs.move(orphan.id, "running")
    await services.store.jobs.add(guild_id=5, **values)
    await services.finetuning.start()
    await _ended(watched, 2)
    assert rows("SELECT guild_id, state FROM jobs ORDER BY id") == [(7, "failed"), (5, "rejected")]
    assert watched.ended[0][1].reasons == ("orphaned",)


async def test_stopping_bot_puts_it_back_into_the_queue(
    services: Services, watched: Watched, trainer: Trainer, rows: Rows
) -> None:
    trainer.write("stage('generator', 0.1)\ntime.sleep(60)")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await until(lambda: bool(watched.progress), 20)
    started = time.monotonic()
    await services.finetuning.close()
    assert time.monotonic() - started < 5
    assert rows("SELECT state FROM jobs") == [("queued",)]
    assert watched.ended == []


async def test_stopping_bot_waits_little_for_what_is_told(
    services: Services, watched: Watched, simcord_bot: PoetBot, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    telling = asyncio.Event()

    async def finished(*_: object) -> None:
        telling.set()
        await asyncio.sleep(60)

    monkeypatch.setattr("bot.finetuning._CLOSE_SECONDS", 0.5)
    monkeypatch.setattr(watched, "finished", finished)
    services.finetuning.watcher = watched
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await telling.wait()
    started = time.monotonic()
    closing = asyncio.create_task(simcord_bot.close())
    await asyncio.sleep(0.1)
    assert not closing.done()
    with pytest.raises(ClosingError):
        await services.poems.begin(Asker(3), Wish())
    await closing
    assert time.monotonic() - started < 5
    assert rows("SELECT state FROM jobs") == [("rejected",)]


async def test_too_little_to_learn_from_is_said_with_numbers(services: Services, registry: FakeRegistry) -> None:
    finetuning = Finetuning(services.store, services.voices, lambda *_: [], {}, FinetuneLimits())
    with pytest.raises(BotError) as refused:
        await finetuning.begin(ADMIN, 5)
    assert "0 of 15 poems, 0 of 3 voters, 0 of 30 votes" in str(refused.value)


async def test_voices_that_were_left_behind_are_warned_of_at_the_start(
    services: Services, watched: Watched, registry: FakeRegistry, trainer: Trainer, caplog: pytest.LogCaptureFixture
) -> None:
    trainer.write("said(version='new-1', verdict='promoted', reasons=[])")
    registry.add("new-1", "server-5")
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await _ended(watched)
    await services.finetuning.start()
    assert "missing" not in caplog.text
    registry.erase("server-5")
    await services.finetuning.start()
    assert "the last versions of 1 voices are missing (new-1" in caplog.text


async def test_switched_off_it_is_refused_and_what_waits_does_not_run(
    services: Services, watched: Watched, rows: Rows
) -> None:
    await services.finetuning.begin(ADMIN, 5)
    services.finetuning.limits = FinetuneLimits(0, 1, 1, 1, 10.0)
    await services.finetuning.start()
    with pytest.raises(BotError, match="switched off"):
        await services.finetuning.begin(ADMIN, 5)
    assert rows("SELECT state FROM jobs") == [("cancelled",)]


async def test_refused_while_there_is_too_little_memory(
    services: Services, watched: Watched, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: 799)
    with pytest.raises(BotError, match="799 of 800 MB"):
        await services.finetuning.begin(ADMIN, 5)
    assert rows("SELECT * FROM jobs") == []
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: None)
    await services.finetuning.begin(ADMIN, 5)
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: 799)
    await services.finetuning.start()
    job, _ = await _ended(watched)
    assert (job.state, job.outcome["reasons"]) == ("failed", ["no_memory"]), "there was room, but others took it"


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="this system does not say")
def test_free_memory_is_read() -> None:
    assert (free_mb() or 0) > 0


async def test_who_is_forgotten_while_it_waits_is_not_learned_from(
    services: Services, watched: Watched, trainer: Trainer, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    trainer.write(
        f"pathlib.Path({str(seen)!r}).write_text(str(len(ratings)))\nsaid(version=None, verdict='refused', reasons=[])"
    )
    await services.finetuning.begin(ADMIN, 5)
    for voter in range(4):
        await services.store.people.forget(voter)
    await services.finetuning.start()
    await _ended(watched)
    assert seen.read_text() == "0"


async def test_signal_of_ours_reaches_it(services: Services) -> None:
    heard: list[Progress] = []

    async def note(progress: Progress) -> None:
        heard.append(progress)

    code = (
        "import signal, sys, time, json\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\n"
        "print(json.dumps(dict(stage='x', progress=2, seconds_left=-1)), flush=True)\ntime.sleep(60)"
    )
    process = TrainingProcess([sys.executable, "-c", code], {}, 20.0, 2048, note)
    running = asyncio.create_task(process.run())
    await until(lambda: bool(heard), 20)
    assert heard == [Progress("x", 1.0, 0.0, None)]
    assert process._process is not None
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert process._process.returncode == 3


async def test_votes_that_were_learned_from_are_not_learned_from_again(
    services: Services, watched: Watched, trainer: Trainer, registry: FakeRegistry
) -> None:
    trainer.write('said(version="new-1", verdict="refused", reasons=["chance"], before={}, after={})\n')
    with pytest.raises(BotError, match="no fine-tune"):
        await finetune_page(services.finetuning, 5, "en")
    sha256 = (await services.finetuning.ratings(5)).sha256
    registry.versions.append(replace(version_named("new-1", "server-5"), votes_sha256=sha256))
    await services.finetuning.start()
    await services.finetuning.begin(ADMIN, 5)
    await _ended(watched)
    with pytest.raises(BotError, match="No vote has changed since fine-tune #1"):
        await services.finetuning.begin(ADMIN, 5)
    assert "no better than by chance" in await finetune_page(services.finetuning, 5, "en")
    await services.store.votes.cast(1, 77, 1)
    await services.finetuning.begin(ADMIN, 5)
    await _ended(watched, 2)
