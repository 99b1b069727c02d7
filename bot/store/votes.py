"""The votes on poems, and the reports of poems that should not be shown.

Knows no emoji and no message.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.asker import CONSOLE
from bot.store.database import Database, now_ms
from bot.store.notes import Notes
from bot.store.poems import FORGOTTEN, StoredPoem, stored
from bot.store.tables import forgotten, poems, reports, votes

# Sums of the votes that weigh something.
_UP = sa.func.sum(sa.case((votes.c.value == 1, votes.c.weight), else_=0))
_DOWN = sa.func.sum(sa.case((votes.c.value == -1, votes.c.weight), else_=0))
MOST_POEMS = 1500  # that a fine-tune reads
_POEMS_A_PAGE = 500


@dataclass(frozen=True, slots=True)
class CastVote:
    """A vote as a fine-tune reads it.

    Attributes:
        poem_id: The poem.
        voter_id: Who cast it.
        value: 1 or -1.
        cast_at: When, Unix milliseconds.
        requested: Whether the voter had asked for the poem; such a vote weighs nothing.
    """

    poem_id: int
    voter_id: int
    value: int
    cast_at: int
    requested: bool


class Tally(NamedTuple):
    """The votes on a poem, for and against, and the channel that it stands in."""

    poem_id: int
    channel_id: int | None
    up: int
    down: int


class Votes:
    """One vote per person and poem.

    Args:
        database: Where they are kept.
        notes: Know those again who asked to be forgotten.
    """

    def __init__(self, database: Database, notes: Notes) -> None:
        self._database = database
        self._notes = notes

    async def cast(self, poem_id: int, voter_id: int, value: int, *, reaction: bool = False) -> bool:
        """Keep a vote, 1 or -1, in place of any earlier one by the same person; returns whether the poem is there.

        The requester's own vote weighs nothing, except in the console, where there is nobody else. Of two reactions the
        earlier stands on, and is remembered.
        """
        person = await self._notes.hashed(voter_id)

        async def work(connection: AsyncConnection) -> bool:
            poem = (await connection.execute(sa.select(poems).where(poems.c.id == poem_id))).first()
            if poem is None:
                return False
            own = (votes.c.poem_id == poem_id, votes.c.voter_id == voter_id)
            before = (await connection.execute(sa.select(votes.c.value, votes.c.other_stands).where(*own))).first()
            other = reaction and before is not None and (before.value != value or before.other_stands)
            await connection.execute(_deletion(poem_id, voter_id))
            weightless = await _weightless(connection, stored(poem), {voter_id: person})
            kept: dict[str, object] = {**_row(poem_id, voter_id, value, weightless), "other_stands": other}
            await connection.execute(sa.insert(votes).values(kept))
            return True

        return await self._database.write(work)

    async def press_all(self, poem_id: int, presses: Sequence[tuple[int, int]]) -> tuple[StoredPoem, int, int] | None:
        """Keep votes on one poem, (voter, value) each, or take back what is the same again.

        All in one transaction, for a popular poem's buttons are pressed hundreds of times a second.

        Returns:
            The poem, and the votes for and against; None if it is gone or hidden.
        """
        people = {voter: await self._notes.hashed(voter) for voter, _ in presses}

        async def work(connection: AsyncConnection) -> tuple[StoredPoem, int, int] | None:
            row = (await connection.execute(sa.select(poems).where(poems.c.id == poem_id))).first()
            if row is None or row.hidden:
                return None
            poem = stored(row)
            theirs = (votes.c.poem_id == poem_id, votes.c.voter_id.in_(people))
            found = await connection.execute(sa.select(votes.c.voter_id, votes.c.value).where(*theirs))
            now: dict[int, int | None] = {int(known.voter_id): int(known.value) for known in found}
            for voter, value in presses:
                now[voter] = None if now.get(voter) == value else value
            await connection.execute(sa.delete(votes).where(*theirs))
            weightless = await _weightless(connection, poem, people)
            rows = [_row(poem_id, voter, value, weightless) for voter, value in now.items() if value is not None]
            if rows:
                await connection.execute(sa.insert(votes), rows)
            return poem, *_tally((await connection.execute(_counted(poem_id))).fetchall())

        return await self._database.write(work)

    async def withdraw(self, poem_id: int, voter_id: int | None = None, value: int | None = None) -> None:
        """Forget the votes on a poem: all, or only one person's, or only those of one value.

        Where one value is taken back and the voter's reaction for the other one stands, that one counts from now on.
        """
        own = sa.true() if voter_id is None else votes.c.voter_id == voter_id
        here = sa.and_(votes.c.poem_id == poem_id, own)
        if value is None:
            await self._database.execute(sa.delete(votes).where(here))
            return
        taken = sa.and_(here, votes.c.value == value)
        await self._database.execute(
            sa.update(votes).where(here, votes.c.value == -value).values(other_stands=False),
            sa.delete(votes).where(taken, votes.c.other_stands.is_(False)),
            sa.update(votes).where(taken).values(value=-value, other_stands=False, created_at=now_ms()),
        )

    async def settle(
        self, poem_id: int, found: Mapping[int, frozenset[int]], leave: frozenset[int] = frozenset()
    ) -> int:
        """Make the votes on a poem those that its reactions tell.

        Args:
            poem_id: The poem.
            found: For each person who reacted, the values of the reactions. Who gave both keeps the stored vote, and
                has none if none is stored.
            leave: Who voted just now; their votes stay as they are.

        Returns:
            How many votes were added, changed or taken back.
        """

        async def work(connection: AsyncConnection) -> int:
            about = sa.select(poems.c.requester_id, poems.c.created_at).where(poems.c.id == poem_id)
            poem = (await connection.execute(about)).first()
            if poem is None:
                return 0
            known = await connection.execute(
                sa.select(votes.c.voter_id, votes.c.value, votes.c.other_stands).where(votes.c.poem_id == poem_id)
            )
            before = {int(row.voter_id): (int(row.value), bool(row.other_stands)) for row in known}
            after = {voter: (next(iter(values)), False) for voter, values in found.items() if len(values) == 1}
            both = [voter for voter, values in found.items() if len(values) > 1 and voter in before]
            after |= {voter: (before[voter][0], True) for voter in both}
            gone = before.keys() - after.keys() - leave
            for voter in gone:
                await connection.execute(_deletion(poem_id, voter))
            changed = 0
            for voter, (value, other) in after.items():
                if voter in leave or before.get(voter) == (value, other):
                    continue
                if voter in before and before[voter][0] == value:
                    own = (votes.c.poem_id == poem_id, votes.c.voter_id == voter)
                    await connection.execute(sa.update(votes).where(*own).values(other_stands=other))
                    continue
                await connection.execute(_deletion(poem_id, voter))
                # When it was cast nobody knows; with the time of reading all would be a burst of their voter's.
                row = _row(poem_id, voter, value, {poem.requester_id}) | {"created_at": poem.created_at}
                await connection.execute(sa.insert(votes).values(row))
                changed += 1
            return changed + len(gone)

        return await self._database.write(work)

    async def of(self, poem_id: int, voter_id: int) -> int | None:
        """A person's vote on a poem, if there is one."""
        query = sa.select(votes.c.value).where(votes.c.poem_id == poem_id, votes.c.voter_id == voter_id)
        row = await self._database.first(query)
        return None if row is None else int(row.value)

    async def tally(self, poem_id: int) -> tuple[int, int]:
        """How many votes a poem has, for and against."""
        return _tally(await self._database.all(_counted(poem_id)))

    async def tallies(self, guild_id: int | None, since_ms: int) -> list[Tally]:
        """Of a server's poems since a time that may be shown, and are liked: the votes that weigh something."""
        query = (
            sa.select(poems.c.id, poems.c.channel_id, _UP, _DOWN)
            .join(votes, votes.c.poem_id == poems.c.id)
            .where(poems.c.guild_id == guild_id, poems.c.created_at >= since_ms, poems.c.hidden.is_(False))
            .where(poems.c.purpose != "compare")
            .group_by(poems.c.id, poems.c.channel_id)
            .having(_UP > 0)
        )
        return [Tally(*row) for row in await self._database.all(query)]

    async def by_version(self, guild_id: int) -> dict[str, tuple[int, int]]:
        """Votes for and against what each version wrote in a server: those that weigh something."""
        query = (
            sa.select(poems.c.version, _UP, _DOWN)
            .join(votes, votes.c.poem_id == poems.c.id)
            .where(poems.c.guild_id == guild_id, poems.c.purpose != "compare")
            .group_by(poems.c.version)
        )
        return {row[0]: (int(row[1]), int(row[2])) for row in await self._database.all(query)}

    async def for_training(self, guild_id: int | None, shared: bool = False) -> tuple[list[StoredPoem], list[CastVote]]:
        """The poems and votes that a fine-tune may learn from: of one server, or of all for the shared voice.

        Left out are poems with a person's own characters in them, reported and hidden ones, and comparisons; of many
        the latest are taken, for a fine-tune's memory grows with them.
        """
        place = sa.true() if shared else poems.c.guild_id == guild_id
        allowed = sa.and_(
            place, poems.c.hidden.is_(False), poems.c.purpose != "compare",
            poems.c.acrostic == "", poems.c.first_line == "", ~sa.exists().where(reports.c.poem_id == poems.c.id),
        )  # fmt: skip
        # Apart, for a poem with many votes would be read as often; and by pages, between which others have their turn.
        are_voted_on = sa.exists().where(votes.c.poem_id == poems.c.id)
        latest = sa.select(poems).where(allowed, are_voted_on).order_by(poems.c.id.desc()).limit(MOST_POEMS)
        kept = {int(row.id): stored(row) for row in reversed(await self._database.all(latest))}
        ids = list(kept)
        cast: list[CastVote] = []
        for start in range(0, len(ids), _POEMS_A_PAGE):
            these = votes.c.poem_id.in_(ids[start : start + _POEMS_A_PAGE])
            rows = await self._database.all(sa.select(votes).where(these).order_by(votes.c.poem_id, votes.c.voter_id))
            cast += [CastVote(row.poem_id, row.voter_id, row.value, row.created_at, row.weight == 0) for row in rows]
        return list(kept.values()), cast

    async def report(self, poem_id: int, reporter_id: int) -> int | None:
        """Keep a report, one per person and poem; returns how many there are, None if the poem is gone."""

        async def work(connection: AsyncConnection) -> int | None:
            if (await connection.execute(sa.select(poems.c.id).where(poems.c.id == poem_id))).first() is None:
                return None
            mine = sa.delete(reports).where(reports.c.poem_id == poem_id, reports.c.reporter_id == reporter_id)
            await connection.execute(mine)
            row = {"poem_id": poem_id, "reporter_id": reporter_id, "created_at": now_ms()}
            await connection.execute(sa.insert(reports).values(row))
            count = sa.select(sa.func.count()).select_from(reports).where(reports.c.poem_id == poem_id)
            return int((await connection.execute(count)).scalar_one())

        return await self._database.write(work)

    async def count(self) -> int:
        """How many votes are kept."""
        row = await self._database.first(sa.select(sa.func.count()).select_from(votes))
        return 0 if row is None else int(row[0])


def _deletion(poem_id: int, voter_id: int) -> sa.Delete:
    return sa.delete(votes).where(votes.c.poem_id == poem_id, votes.c.voter_id == voter_id)


async def _weightless(connection: AsyncConnection, poem: StoredPoem, people: Mapping[int, str]) -> set[int]:
    """Who of these people (id -> hash) may have asked for a poem: whoever is known to, or was forgotten since.

    Nobody asked for a daily poem.
    """
    if poem.purpose == "daily":
        return set()
    if poem.requester_id != FORGOTTEN:
        return {poem.requester_id}
    since = (forgotten.c.person.in_(people.values()), forgotten.c.asked_at >= poem.created_at)
    known = {row.person for row in await connection.execute(sa.select(forgotten.c.person).where(*since))}
    return {user_id for user_id, person in people.items() if person in known}


def _row(poem_id: int, voter_id: int, value: int, weightless: Set[int]) -> dict[str, int]:
    weight = 0 if voter_id in weightless and voter_id != CONSOLE else 1
    return {"poem_id": poem_id, "voter_id": voter_id, "value": value, "created_at": now_ms(), "weight": weight}


def _counted(poem_id: int) -> sa.Select[tuple[int, int]]:
    return sa.select(votes.c.value, sa.func.count()).where(votes.c.poem_id == poem_id).group_by(votes.c.value)


def _tally(rows: Sequence[sa.Row[*tuple[Any, ...]]]) -> tuple[int, int]:
    counts = {int(row[0]): int(row[1]) for row in rows}
    return counts.get(1, 0), counts.get(-1, 0)
