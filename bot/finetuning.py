"""Fine-tunes from start to end: who may have one, the queue, the one that runs, and what became of it.

Knows no Discord: whoever shows progress is a `Watcher`.
"""

import asyncio
import logging
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from bot.asker import CONSOLE, Asker
from bot.errors import BotError
from bot.ratings import Ratings, ratings_of
from bot.store import Store
from bot.store.jobs import Job, JobState
from bot.training import Outcome, Progress, TrainingProcess, free_mb
from bot.voices import Voices, voice_of
from poetgen.errors import CheckpointError

_log = logging.getLogger(__name__)
_FOLD_KEY = "fold_key"
_LEAST_FREE_MB = 800  # one takes under 600, and the rest of the machine goes on
_CLOSE_SECONDS = 7.0  # more than a process needs to be ended
_VERDICTS: Mapping[str, JobState] = {
    "promoted": "promoted", "refused": "rejected", "failed": "failed", "cancelled": "cancelled"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FinetuneLimits:
    """What a fine-tune needs and may take; without minutes there is none."""

    minutes: int = 5
    min_poems: int = 15
    min_voters: int = 3
    min_votes: int = 30
    silence_seconds: float = 180.0
    memory_mb: int = 1200


class Watcher(Protocol):
    """Shows how a job goes on."""

    async def progressed(self, job: Job, progress: Progress) -> None:
        """A running job was heard of; must not take long."""

    async def finished(self, job: Job, outcome: Outcome) -> None:
        """A job has ended."""


# (the ratings' file, the voice or None for the shared one, minutes, seed) -> the command line
CommandLine = Callable[[Path, str | None, int, int], Sequence[str]]


class Finetuning:
    """The queue of fine-tunes; one runs at a time.

    Args:
        store: Where jobs and votes are kept.
        voices: Which version a server hears.
        command_line: What to run.
        variables: The child's variables.
        limits: What a fine-tune needs and may take.
    """

    def __init__(
        self,
        store: Store,
        voices: Voices,
        command_line: CommandLine,
        variables: Mapping[str, str],
        limits: FinetuneLimits,
    ) -> None:
        self._store = store
        self._voices = voices
        self._command_line = command_line
        self._variables = variables
        self.limits = limits
        self.watcher: Watcher | None = None
        self.last_progress: dict[int, Progress] = {}
        self._worker: asyncio.Task[None] | None = None
        self._running: tuple[int, asyncio.Task[Outcome | None]] | None = None
        self._cancelled = False  # by somebody, and not because the bot stops
        self._started = self._closing = self._more = False

    async def start(self) -> None:
        """Mark the jobs that an earlier run of the bot left running, and go on with the queue."""
        for job in await self._store.jobs.unfinished():
            if job.state != "queued":
                await self._store.jobs.move(job.id, "failed", outcome={"reasons": ["orphaned"]})
                await self._tell(job.id, Outcome("failed", reasons=("orphaned",)))
            elif not self.limits.minutes:
                await self.cancel(job.guild_id)
        self._started = True
        self._go_on()
        missing = await self._voices.missing((await self._store.jobs.fitted()).values())
        if missing:
            # Silently those servers would hear the shared version: the database was moved or restored without them.
            said = "the last versions of %d voices are missing (%s ...): restore POETGEN_HOME"
            _log.warning(said, len(missing), missing[0])

    async def close(self) -> None:
        """Stop the one that runs and put it back into the queue; the end of one is shown only if it takes not long."""
        self._closing = True
        if self._running is not None:
            self._running[1].cancel()
        if self._worker is not None:
            await asyncio.wait([self._worker], timeout=_CLOSE_SECONDS)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None

    async def ratings(self, guild_id: int | None) -> Ratings:
        """What a server's voice could learn from now; None for the shared voice and all servers."""
        poems, cast = await self._store.votes.for_training(guild_id, shared=guild_id is None)
        key = await self._store.notes.secret(_FOLD_KEY)
        return await asyncio.to_thread(ratings_of, poems, cast, key, console=guild_id == CONSOLE)

    def refuse_here(self) -> None:
        """Refuse what this machine cannot do now.

        Raises:
            BotError: Fine-tunes are switched off, or there is too little memory for one.
        """
        if not self.limits.minutes:
            raise BotError("finetune_off")
        if self._running is None and (free := _too_few_free_mb()) is not None:
            raise BotError("finetune_no_memory", free=free, needed=_LEAST_FREE_MB)

    def refuse_too_few(self, ratings: Ratings) -> None:
        """Refuse to learn from too little.

        Raises:
            BotError: It is too little; the message says what is missing.
        """
        limits = self.limits
        found = (ratings.num_poems, ratings.num_voters, ratings.num_votes)
        needed = (limits.min_poems, 1 if ratings.alone else limits.min_voters, limits.min_votes)
        if any(have < need for have, need in zip(found, needed, strict=True)):
            names = ("poems", "voters", "votes")
            counted = dict(zip(names, found, strict=True))
            least = {f"min_{name}": need for name, need in zip(names, needed, strict=True)}
            # Of one person's votes there is no number of voters to wait for.
            raise BotError("too_few_ratings_alone" if ratings.alone else "too_few_ratings", **counted, **least)
        if not ratings.both:
            raise BotError("one_sided_ratings")

    async def begin(self, asker: Asker, guild_id: int | None) -> tuple[Job, int]:
        """Queue a fine-tune of a voice; returns the job and how many are before it.

        Raises:
            BotError: There is too little to learn from or no room here, or this voice has one already.
        """
        self.refuse_here()
        ratings = await self.ratings(guild_id)
        self.refuse_too_few(ratings)
        base = await self._voices.current(guild_id)
        await self._refuse_same(guild_id, ratings, base)
        job = await self._store.jobs.add(
            guild_id=guild_id, requester_id=asker.user_id, channel_id=asker.channel_id, language=asker.home_language,
            seed=secrets.randbelow(2**31), minutes=self.limits.minutes, num_poems=ratings.num_poems,
            num_voters=ratings.num_voters, num_votes=ratings.num_votes, base=base,
        )  # fmt: skip
        if job is None:
            raise BotError("finetune_under_way")
        before = sum(other.id < job.id for other in await self._store.jobs.unfinished())
        self._go_on()
        return job, before

    async def _refuse_same(self, guild_id: int | None, ratings: Ratings, base: str) -> None:
        """Refuse what was learned already: else versions that differ by chance would fill the disk, and others wait.

        Raises:
            BotError: No vote has changed since this base, or what came of it, was fitted last.
        """
        last = await self.last(guild_id)
        if last is None or last.version is None or base not in (last.base, last.version):
            return
        with suppress(CheckpointError):  # it is gone
            if (await self._voices.show(last.version)).votes_sha256 == ratings.sha256:
                raise BotError("finetune_same", id=last.id)

    async def last(self, guild_id: int | None) -> Job | None:
        """A voice's latest job, whether it has ended or not; None if it has none."""
        return next(iter(await self._store.jobs.history(guild_id, 1)), None)

    async def status(self, guild_id: int | None) -> tuple[Job, int] | None:
        """A voice's unfinished job and how many are before it."""
        unfinished = await self._store.jobs.unfinished()
        return next(((job, place) for place, job in enumerate(unfinished) if job.guild_id == guild_id), None)

    async def cancel(self, guild_id: int | None) -> Job:
        """Stop a voice's fine-tune.

        Raises:
            BotError: It has none.
        """
        found = await self.status(guild_id)
        if found is None:
            raise BotError("no_finetune")
        job = found[0]
        if await self._store.jobs.drop(job.id):
            await self._tell(job.id, Outcome("cancelled"))
        elif self._running is not None and self._running[0] == job.id:
            # It is noted once the process has ended, for it may have promoted its version by now.
            self._cancelled = True
            self._running[1].cancel()
        else:
            raise BotError("no_finetune")
        return job

    def _go_on(self) -> None:
        """Let somebody work through the queue, until it is empty."""
        self._more = True
        if self._started and (self._worker is None or self._worker.done()):
            self._worker = asyncio.create_task(self._work(), name="finetuning")

    async def _work(self) -> None:
        while self._more and not self._closing:
            self._more = False
            while not self._closing and (waiting := await self._store.jobs.waiting()):
                try:
                    await self._run(waiting[0])
                except Exception:
                    _log.exception("fine-tune %d failed", waiting[0].id)
                    try:
                        await self._end(waiting[0], Outcome("failed", reasons=("crashed",)))
                    except Exception:  # then the queue goes on when somebody begins the next one
                        _log.exception("the end of fine-tune %d could not be noted", waiting[0].id)
                        return

    async def _run(self, job: Job) -> None:
        # The one that is heard may be none of those that can be chosen: its files may be damaged.
        known = {version.name for version in await self._voices.heard(job.guild_id)}
        known.add(await self._voices.current(job.guild_id))
        task = asyncio.create_task(self._train(job), name=f"finetune-{job.id}")
        self._running, self._cancelled = (job.id, task), False
        try:
            if self._closing:
                task.cancel()
            await asyncio.wait([task])
        finally:
            self._running = None
            self.last_progress.pop(job.id, None)
        outcome = Outcome("cancelled") if task.cancelled() else task.result()
        if outcome is None:
            return
        if outcome.verdict != "promoted" and (heard := await self._voices.current(job.guild_id)) not in known:
            outcome = Outcome("promoted", heard)  # it had promoted its version before it was stopped, or failed
        elif task.cancelled() and self._closing and not self._cancelled:
            await self._store.jobs.requeue(job.id)
            return
        await self._end(job, outcome)

    async def _end(self, job: Job, outcome: Outcome) -> None:
        told = {key: value for key, value in asdict(outcome).items() if key != "plot"}
        await self._store.jobs.move(job.id, _VERDICTS[outcome.verdict], version=outcome.version, outcome=told)
        await self._tell(job.id, outcome)

    async def _train(self, job: Job) -> Outcome | None:
        """What became of a job; None if it was cancelled before it began."""
        if not await self._store.jobs.move(job.id, "running"):
            return None
        if (free := _too_few_free_mb()) is not None:
            _log.error("fine-tune %d cannot begin with %d of %d MB free", job.id, free, _LEAST_FREE_MB)
            return Outcome("failed", reasons=("no_memory",))
        # The votes of now, not of when it was queued: who asked to be forgotten meanwhile is not in them.
        ratings = await self.ratings(job.guild_id)
        with tempfile.TemporaryDirectory(prefix="yin-finetune-") as folder:
            path = Path(folder) / "ratings.jsonl"
            await asyncio.to_thread(path.write_text, ratings.lines(), encoding="utf-8")
            command = self._command_line(path, voice_of(job.guild_id), job.minutes, job.seed)
            process = TrainingProcess(
                command,
                self._variables,
                self.limits.silence_seconds,
                self.limits.memory_mb,
                lambda heard: self._heard(job, heard),
            )
            return await process.run()

    async def _heard(self, job: Job, progress: Progress) -> None:
        self.last_progress[job.id] = progress
        if progress.stage == "gate":
            await self._store.jobs.move(job.id, "evaluating")
        await self._store.jobs.beat(job.id)
        if self.watcher is not None:
            await self.watcher.progressed(job, progress)

    async def _tell(self, job_id: int, outcome: Outcome) -> None:
        job = await self._store.jobs.get(job_id)
        if self.watcher is None or job is None:
            return
        try:
            await self.watcher.finished(job, outcome)
        except Exception:
            _log.exception("the end of fine-tune %d could not be told", job_id)


def _too_few_free_mb() -> int | None:
    """How much memory is free, if that is too little for a fine-tune."""
    free = free_mb()
    return None if free is None or free >= _LEAST_FREE_MB else free
