"""Everything that is stored of one person: shown, handed over, and forgotten.

Knows no Discord.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from bot.store.database import Database, now_ms
from bot.store.notes import Notes
from bot.store.poems import FORGOTTEN
from bot.store.tables import comparisons, forgotten, jobs, poems, reports, retries, usage, votes
from bot.store.usage import counted_as, day_of

# Each table with a person in it, and the column that says who.
_TRACES = {
    "poems": poems.c.requester_id,
    "votes": votes.c.voter_id,
    "reports": reports.c.reporter_id,
    "usage": usage.c.member_id,
    "jobs": jobs.c.requester_id,
    "comparisons": comparisons.c.asker_id,
    "retries": retries.c.user_id,
}
UNTITLED = "無題"


class People:
    """What is kept of people.

    Args:
        database: Where it is kept.
        notes: Keep the key of the hashes of those who are forgotten.
    """

    def __init__(self, database: Database, notes: Notes) -> None:
        self._database = database
        self._notes = notes

    async def counts(self, user_id: int) -> dict[str, int]:
        """How many rows of each table are about a person."""
        found = {}
        for name, column in _TRACES.items():
            row = await self._database.first(sa.select(sa.func.count()).where(column == user_id))
            found[name] = int(row[0]) if row is not None else 0
        return found

    async def export(self, user_id: int) -> dict[str, list[dict[str, Any]]]:
        """Every row that is about a person, by table."""
        return {
            name: [
                dict(row._mapping) for row in await self._database.all(sa.select(column.table).where(column == user_id))
            ]
            for name, column in _TRACES.items()
        }

    async def forget(self, user_id: int) -> None:
        """Forget a person in one transaction.

        Votes, reports, picks and kept requests go. Poems that hold the person's own characters go; of the others the
        poem stays, without who asked and for what. Reactions still stand under poems, so that a hash of the person is
        kept by which `were_forgotten` knows them again; and under it today's counts, or this would fill the quota.
        """
        person = await self._notes.hashed(user_id)
        mine = poems.c.requester_id == user_id
        typed = sa.or_(poems.c.acrostic != "", poems.c.first_line != "")
        nobody = {"requester_id": FORGOTTEN, "theme": "", "title": UNTITLED, "asked_rhyme": ""}
        await self._database.execute(
            *(
                sa.delete(table.table).where(table == user_id)
                for name, table in _TRACES.items()
                if name not in ("poems", "jobs", "usage")
            ),
            sa.update(usage)
            .where(usage.c.member_id == user_id, usage.c.day == day_of(now_ms()))
            .values(member_id=counted_as(person)),
            sa.delete(usage).where(usage.c.member_id == user_id),
            sa.delete(poems).where(mine, typed),
            sa.update(poems).where(mine, poems.c.theme == "").values(requester_id=FORGOTTEN, asked_rhyme=""),
            sa.update(poems).where(mine).values(nobody),
            sa.update(jobs).where(jobs.c.requester_id == user_id).values(requester_id=FORGOTTEN),
            sa.delete(forgotten).where(forgotten.c.person == person),
            sa.insert(forgotten).values(person=person, asked_at=now_ms()),
        )

    async def were_forgotten(self, user_ids: Iterable[int], since_ms: int) -> set[int]:
        """Which of these people asked to be forgotten since a time."""
        people = {await self._notes.hashed(user_id): user_id for user_id in user_ids}
        query = sa.select(forgotten.c.person).where(forgotten.c.asked_at >= since_ms)
        return {people[row.person] for row in await self._database.all(query) if row.person in people}

    async def forget_hashes(self, before_ms: int) -> None:
        """Delete the hashes of those who were forgotten before a time, and when others asked last if it was before."""
        await self._database.execute(
            sa.delete(forgotten).where(forgotten.c.asked_at < before_ms),
            sa.delete(usage).where(usage.c.last_at < before_ms),
        )
