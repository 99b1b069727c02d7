"""/privacy: what is stored of a person, as a page, as a file, and no more.

Knows no Discord.
"""

import json

from bot.asker import Asker
from bot.catalogue import text
from bot.store import Store


class Privacy:
    """Everything that is stored of one person.

    Args:
        store: Where it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, asker: Asker) -> str:
        """How much there is of what."""
        counts = await self._store.people.counts(asker.user_id)
        return text("privacy.show", asker.language, **counts)

    async def export(self, asker: Asker) -> bytes:
        """All of it, as JSON."""
        rows = await self._store.people.export(asker.user_id)
        return json.dumps(rows, ensure_ascii=False, indent=1, default=str).encode()

    async def delete(self, asker: Asker) -> str:
        """Forget the person; returns what to tell."""
        await self._store.people.forget(asker.user_id)
        return text("privacy.deleted", asker.language)
