"""The poems that were written: what was asked, what came of it, and which message shows it.

Knows no votes but that they go with their poem.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from bot.store.database import Database, now_ms
from bot.store.tables import poems
from poetgen.poem import FORMS, Composition, Poem, PoemRequest, Script

FORGOTTEN = -1  # the requester of a poem whose requester asked to be forgotten


@dataclass(frozen=True, slots=True)
class Setting:
    """How a poem is kept beside what was composed.

    Attributes:
        requester_id: Who asked; 0 in the console.
        guild_id: The server; None in a direct message, 0 in the console.
        channel_id: The channel.
        script: The characters it is shown in.
        language: The language of what stands around it.
        purpose: asked, daily or compare.
        ranked: Whether it was chosen among several.
        vote_buttons: Whether votes are cast by buttons.
    """

    requester_id: int
    guild_id: int | None = None
    channel_id: int | None = None
    script: Script = "simplified"
    language: str = "en"
    purpose: str = "asked"
    ranked: bool = True
    vote_buttons: bool = False


@dataclass(frozen=True, slots=True)
class StoredPoem:
    """A poem as it is kept; the names are the table's."""

    id: int
    created_at: int
    requester_id: int
    guild_id: int | None
    channel_id: int | None
    message_id: int | None
    form: str
    theme: str
    seed: int
    version: str
    pattern: str
    rhyme: str
    title: str
    text: str
    realness: float
    acrostic: str
    first_line: str
    asked_rhyme: str
    ranked: bool
    in_classics: str
    purpose: str
    script: Script
    language: str
    vote_buttons: bool
    hidden: bool

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self.text.split("\n"))

    @property
    def poem(self) -> Poem:
        return Poem(self.lines, FORMS[self.form], self.title)

    @property
    def request(self) -> PoemRequest:
        """What was asked for, without the seed."""
        return PoemRequest(
            form=FORMS[self.form],
            theme=self.theme,
            acrostic=self.acrostic,
            first_line=self.first_line,
            rhyme=self.asked_rhyme,
        )

    def with_vote_buttons(self) -> "StoredPoem":
        return replace(self, vote_buttons=True)

    def as_hidden(self) -> "StoredPoem":
        return replace(self, hidden=True)


def stored(row: sa.Row[*tuple[Any, ...]]) -> StoredPoem:
    """The poem of a row of `SELECT poems.*`."""
    return StoredPoem(*row)


class PoemShelf:
    """The poems.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, setting: Setting, request: PoemRequest, composition: Composition) -> StoredPoem:
        """Keep a poem."""
        poem = composition.poem
        assert poem.form is not None, "the poet writes in forms only"
        row = {
            "created_at": now_ms(),
            "requester_id": setting.requester_id,
            "guild_id": setting.guild_id,
            "channel_id": setting.channel_id,
            "form": poem.form.name,
            "theme": composition.theme,
            "seed": composition.seed,
            "version": composition.version,
            "pattern": composition.pattern,
            "rhyme": composition.rhyme,
            "title": poem.title,
            "text": "\n".join(poem.lines),
            "realness": composition.realness,
            "acrostic": request.acrostic,
            "first_line": request.first_line,
            "asked_rhyme": request.rhyme,
            "ranked": setting.ranked,
            "in_classics": "".join("1" if known else "0" for known in composition.in_classics),
            "purpose": setting.purpose,
            "script": setting.script,
            "language": setting.language,
            "vote_buttons": setting.vote_buttons,
        }
        poem_id = await self._database.insert(poems, row)
        return StoredPoem(id=poem_id, message_id=None, hidden=False, **row)  # type: ignore[arg-type]

    async def get(self, poem_id: int) -> StoredPoem | None:
        """A poem, if it is still kept."""
        row = await self._database.first(sa.select(poems).where(poems.c.id == poem_id))
        return None if row is None else stored(row)

    async def newest(self, guild_id: int) -> int | None:
        """The id of the last poem asked for in a server; None if none is kept."""
        newest = sa.select(sa.func.max(poems.c.id)).where(poems.c.guild_id == guild_id, poems.c.purpose == "asked")
        row = await self._database.first(newest)
        return None if row is None else row[0]

    async def latest_in(self, guild_id: int | None, channel_id: int | None, limit: int) -> list[StoredPoem]:
        """The last poems that a channel was shown, the newest first, without hidden ones."""
        query = (
            sa.select(poems)
            .where(poems.c.guild_id.is_not_distinct_from(guild_id), poems.c.channel_id == channel_id)
            .where(poems.c.purpose != "compare", ~poems.c.hidden)
            .order_by(poems.c.id.desc())
            .limit(limit)
        )
        return [stored(row) for row in await self._database.all(query)]

    async def lately(self, limit: int) -> dict[str, list[tuple[str, ...]]]:
        """The lines of the last poems of all, by the version that wrote them, the oldest first; no poem twice."""
        found: dict[str, dict[tuple[str, ...], None]] = {}
        for row in reversed(await self._database.all(sa.select(poems).order_by(poems.c.id.desc()).limit(limit))):
            poem = stored(row)
            found.setdefault(poem.version, {})[poem.lines] = None
        return {version: list(lines) for version, lines in found.items()}

    async def of_message(self, message_id: int) -> StoredPoem | None:
        """The poem that a message shows; None if it shows none of ours."""
        row = await self._database.first(sa.select(poems).where(poems.c.message_id == message_id))
        return None if row is None else stored(row)

    async def version_of(self, request: PoemRequest, guild_id: int | None) -> str | None:
        """The version that wrote the poem of this server which a request with a seed asks to see again; None if none.

        Another server's poem is no answer: its voice is its own.
        """
        query = (
            sa.select(poems.c.version)
            .where(poems.c.seed == request.seed, poems.c.form == request.form.name, poems.c.theme == request.theme)
            .where(poems.c.acrostic == request.acrostic, poems.c.first_line == request.first_line)
            .where(poems.c.asked_rhyme == request.rhyme, poems.c.guild_id.is_not_distinct_from(guild_id))
            .order_by(poems.c.id)
        )
        row = await self._database.first(query)
        return None if row is None else str(row.version)

    async def note_message(self, poem_id: int, message_id: int) -> None:
        """Remember which message shows a poem. The first one noted stays."""
        unnoted = sa.update(poems).where(poems.c.id == poem_id, poems.c.message_id.is_(None))
        taken = sa.select(poems.c.id).where(poems.c.message_id == message_id).exists()
        await self._database.execute(unnoted.where(~taken).values(message_id=message_id))

    async def show_vote_buttons(self, poem_id: int) -> None:
        """Remember that votes on a poem are cast by buttons."""
        await self._database.execute(sa.update(poems).where(poems.c.id == poem_id).values(vote_buttons=True))

    async def hide(self, poem_id: int) -> None:
        """Show a poem no more."""
        await self._database.execute(sa.update(poems).where(poems.c.id == poem_id).values(hidden=True))

    async def delete(self, poem_id: int) -> None:
        """Forget a poem with its votes and reports."""
        await self._database.execute(sa.delete(poems).where(poems.c.id == poem_id))

    async def delete_shown_by(self, message_ids: Sequence[int]) -> None:
        """Forget the poems that these messages showed."""
        await self._database.execute(sa.delete(poems).where(poems.c.message_id.in_(message_ids)))

    async def delete_in(self, channel_id: int) -> None:
        """Forget the poems of a channel or thread with their votes."""
        await self._database.execute(sa.delete(poems).where(poems.c.channel_id == channel_id))

    async def channels_of(self, guild_id: int) -> list[int]:
        """The channels and threads in which a server's poems stand."""
        query = sa.select(poems.c.channel_id).where(poems.c.guild_id == guild_id, poems.c.channel_id.is_not(None))
        return [int(row.channel_id) for row in await self._database.all(query.distinct())]

    async def unnoted(self, since_ms: int, limit: int) -> list[StoredPoem]:
        """Poems in a channel whose message is not known: they were never shown, or the bot ended in between."""
        query = (
            sa.select(poems)
            .where(poems.c.message_id.is_(None), poems.c.created_at >= since_ms, poems.c.channel_id.is_not(None))
            .where(poems.c.purpose != "compare")
            .order_by(poems.c.id.desc())
            .limit(limit)
        )
        return [stored(row) for row in await self._database.all(query)]

    async def shown_since(self, since_ms: int, limit: int) -> list[StoredPoem]:
        """Poems that a message shows, the latest first."""
        query = (
            sa.select(poems)
            .where(poems.c.message_id.is_not(None), poems.c.created_at >= since_ms, poems.c.channel_id.is_not(None))
            .order_by(poems.c.id.desc())
            .limit(limit)
        )
        return [stored(row) for row in await self._database.all(query)]

    async def count(self) -> int:
        """How many poems are kept."""
        row = await self._database.first(sa.select(sa.func.count()).select_from(poems))
        return 0 if row is None else int(row[0])
