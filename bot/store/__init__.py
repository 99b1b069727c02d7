"""The open store: one database and, for each noun, what is kept of it. `database.py` has the connection.

Knows no Discord and no model. SQLite now; nothing here that PostgreSQL could not do, except the pragmas.
"""

from typing import Self

from bot.store.comparisons import Comparisons
from bot.store.dailies import Dailies
from bot.store.database import Database
from bot.store.jobs import Jobs
from bot.store.notes import Notes
from bot.store.people import People
from bot.store.poems import PoemShelf
from bot.store.servers import Servers
from bot.store.usage import Usage
from bot.store.votes import Votes


class Store:
    """An open database, by nouns.

    Args:
        database: Its connection, the schema up to date.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self.poems = PoemShelf(database)
        self.notes = Notes(database)
        self.votes = Votes(database, self.notes)
        self.servers = Servers(database)
        self.dailies = Dailies(database)
        self.usage = Usage(database, self.notes)
        self.jobs = Jobs(database)
        self.comparisons = Comparisons(database)
        self.people = People(database, self.notes)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Open a database, make it if it is not there, and bring its schema up to date.

        Raises:
            StartError: It cannot be opened or written, or another instance has it; the message says why.
        """
        return cls(await Database.open(url))

    async def close(self) -> None:
        """Finish the writes under way and close every connection; an unclosed one would hang the exit."""
        await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
