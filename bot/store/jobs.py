"""Fine-tunes: their state machine, and when each was last heard of.

    queued -> running -> evaluating -> promoted | rejected
    any of the first three -> failed | cancelled
    running, evaluating -> queued, when the bot stops

Knows no process.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.store.database import Database, now_ms
from bot.store.tables import jobs

JobState = Literal["queued", "running", "evaluating", "promoted", "rejected", "failed", "cancelled"]
UNFINISHED: tuple[JobState, ...] = ("queued", "running", "evaluating")
_BEFORE: Mapping[JobState, tuple[JobState, ...]] = {
    "running": ("queued",),
    "evaluating": ("running",),
    "promoted": ("running", "evaluating"),
    "rejected": ("running", "evaluating"),
    "failed": UNFINISHED,
    "cancelled": UNFINISHED,
}


@dataclass(frozen=True, slots=True)
class Job:
    """One fine-tune; the names are the table's. `outcome` is what the process said last, {} before."""

    id: int
    guild_id: int | None
    requester_id: int
    channel_id: int | None
    message_id: int | None
    language: str
    state: JobState
    created_at: int
    heartbeat_at: int | None
    finished_at: int | None
    seed: int
    minutes: int
    num_poems: int
    num_voters: int
    num_votes: int
    base: str | None
    version: str | None
    outcome: dict[str, Any]


class Jobs:
    """Fine-tunes.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, **values: object) -> Job | None:
        """A new job, queued; None if its voice has one that is not finished.

        Jobs count up from one: people are shown the numbers, and no button names them.
        """
        row = values | {"state": "queued", "created_at": now_ms()}
        same_voice = jobs.c.guild_id.is_not_distinct_from(row["guild_id"])

        async def work(connection: AsyncConnection) -> int | None:
            other = sa.select(jobs.c.id).where(same_voice, jobs.c.state.in_(UNFINISHED))
            if (await connection.execute(other)).first() is not None:
                return None
            return int((await connection.execute(sa.insert(jobs).values(row).returning(jobs.c.id))).scalar_one())

        job_id = await self._database.write(work)
        return None if job_id is None else await self.get(job_id)

    async def get(self, job_id: int) -> Job | None:
        """A job."""
        row = await self._database.first(sa.select(jobs).where(jobs.c.id == job_id))
        return None if row is None else _job(row)

    async def move(self, job_id: int, state: JobState, **values: object) -> bool:
        """Move a job to a state that it may move to from where it is; returns whether it did."""
        outcome = values.pop("outcome", None)
        if outcome is not None:
            values["outcome"] = json.dumps(outcome, ensure_ascii=False)
        if state not in UNFINISHED:
            values["finished_at"] = now_ms()
        where = (jobs.c.id == job_id, jobs.c.state.in_(_BEFORE[state]))
        statement = sa.update(jobs).where(*where).values(state=state, heartbeat_at=now_ms(), **values)
        return await self._database.execute(statement) > 0

    async def drop(self, job_id: int) -> bool:
        """Cancel a job that still waits; returns whether it did."""
        now = now_ms()
        where = (jobs.c.id == job_id, jobs.c.state == "queued")
        values = {"state": "cancelled", "heartbeat_at": now, "finished_at": now}
        return await self._database.execute(sa.update(jobs).where(*where).values(values)) > 0

    async def requeue(self, job_id: int) -> None:
        """Put a job back where it waited, because the bot stops."""
        where = (jobs.c.id == job_id, jobs.c.state.in_(("running", "evaluating")))
        await self._database.execute(sa.update(jobs).where(*where).values(state="queued", heartbeat_at=None))

    async def beat(self, job_id: int) -> None:
        """The process was heard of just now."""
        await self._database.execute(sa.update(jobs).where(jobs.c.id == job_id).values(heartbeat_at=now_ms()))

    async def note_message(self, job_id: int, channel_id: int, message_id: int) -> None:
        """The message that shows a job's progress."""
        values = {"channel_id": channel_id, "message_id": message_id}
        await self._database.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))

    async def waiting(self) -> list[Job]:
        """The queue, the oldest first."""
        return await self._jobs(sa.select(jobs).where(jobs.c.state == "queued").order_by(jobs.c.id))

    async def unfinished(self) -> list[Job]:
        """What is queued or runs, the oldest first."""
        return await self._jobs(sa.select(jobs).where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.id))

    async def fitted(self) -> dict[int | None, str]:
        """The version that was fitted last to each voice that has one."""
        query = sa.select(jobs.c.guild_id, jobs.c.version).where(
            jobs.c.state == "promoted", jobs.c.version.is_not(None)
        )
        return {row.guild_id: str(row.version) for row in await self._database.all(query.order_by(jobs.c.id))}

    async def history(self, guild_id: int | None, limit: int) -> list[Job]:
        """A voice's jobs, the latest first."""
        return await self._jobs(
            sa.select(jobs).where(jobs.c.guild_id == guild_id).order_by(jobs.c.id.desc()).limit(limit)
        )

    async def _jobs(self, query: sa.Executable) -> list[Job]:
        rows: Sequence[sa.Row[*tuple[Any, ...]]] = await self._database.all(query)
        return [_job(row) for row in rows]


def _job(row: sa.Row[*tuple[Any, ...]]) -> Job:
    return Job(**{**row._mapping, "outcome": json.loads(row.outcome) if row.outcome else {}})
