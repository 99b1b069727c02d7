"""Two poems on one theme by two versions, shown without names until the asker has picked.

Knows no Discord.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

from bot.asker import Asker
from bot.errors import BotError
from bot.poems import Poems
from bot.store.comparisons import Comparison
from bot.store.poems import Setting, StoredPoem
from bot.themes import themes
from poetgen.poem import Composition, PoemRequest


class Comparing:
    """Compares voices.

    Args:
        poems: Writes.
        chance: Draws the theme and the order.
    """

    def __init__(self, poems: Poems, chance: random.Random | None = None) -> None:
        self._poems = poems
        self._chance = chance or random.Random()

    async def named(self, guild_id: int | None, name: str) -> str:
        """The version that a name, or a beginning of one, means among those that a server can hear.

        Raises:
            BotError: It is none of them.
        """
        heard = [version.name for version in await self._poems.voices.heard(guild_id)]
        matches = [version for version in heard if version.startswith(name.strip())]
        if not name.strip() or len(matches) != 1:
            raise BotError("no_such_version")
        return matches[0]

    async def versions(self, guild_id: int | None, first: str, second: str) -> tuple[str, str]:
        """The two versions that are meant: by default the one heard now and the latest other one.

        Raises:
            BotError: There are not two, or one is none of those that can be heard.
        """
        chosen = [await self.named(guild_id, name) for name in (first, second) if name]
        heard = [version.name for version in await self._poems.voices.heard(guild_id)]
        for name in (await self._poems.voices.current(guild_id), *reversed(heard)):
            if len(chosen) < 2 and name not in chosen:
                chosen.append(name)
        if len(chosen) < 2:
            raise BotError("one_version")
        if chosen[0] == chosen[1]:
            raise BotError("same_version")
        return chosen[0], chosen[1]

    @asynccontextmanager
    async def asked(
        self, asker: Asker, theme: str, versions: tuple[str, str]
    ) -> AsyncIterator[Awaitable[tuple[int, StoredPoem, StoredPoem]]]:
        """Two poems under way, in an order drawn by lot; awaited, the comparison's id and both. One of the quota."""
        theme = self._poems.theme(theme) or self._chance.choice(themes()).hanzi
        self._poems.refuse_words(asker, [theme])
        request = self._poems.checked(PoemRequest(theme=theme))
        order = list(versions)
        self._chance.shuffle(order)
        async with self._poems.counted(asker):
            answers = [self._poems.inference.submit(request, version) for version in order]
            try:
                yield self._write(asker, request, dict(zip(order, answers, strict=True)))
            finally:
                for answer in answers:
                    answer.cancel()

    async def _write(
        self, asker: Asker, request: PoemRequest, answers: Mapping[str, Awaitable[Composition]]
    ) -> tuple[int, StoredPoem, StoredPoem]:
        composed, server = self._poems.composed, asker.guild_id
        compositions = await asyncio.gather(
            *(composed(answer, request, version, server) for version, answer in answers.items())
        )
        first, second = [await self._keep(asker, request, composition) for composition in compositions]
        store = self._poems.store
        return await store.comparisons.add(asker.user_id, asker.guild_id, first.id, second.id), first, second

    async def _keep(self, asker: Asker, request: PoemRequest, composition: Composition) -> StoredPoem:
        setting = Setting(
            asker.user_id, asker.guild_id, asker.channel_id, self._poems.script_for(asker), asker.language, "compare"
        )
        return await self._poems.store.poems.add(setting, request, composition)

    async def pick(self, asker: Asker, comparison_id: int, picked: int) -> tuple[Comparison, StoredPoem, StoredPoem]:
        """The asker picks one; returns the comparison as it is now and both poems.

        Raises:
            BotError: It is gone, or another's.
        """
        found = await self._poems.store.comparisons.get(comparison_id)
        if found is None or found.asker_id != asker.user_id:
            raise BotError("poem_gone" if found is None else "not_your_pick")
        await self._poems.store.comparisons.pick(comparison_id, picked)
        found = await self._poems.store.comparisons.get(comparison_id)
        assert found is not None
        first, second = await self._poems.get(asker, found.first_id), await self._poems.get(asker, found.second_id)
        return found, first, second
