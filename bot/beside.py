"""Poems of a new voice beside those of the old one, after a fine-tune.

Knows no Discord.
"""

from bot.errors import BotError
from bot.poems import Poems
from bot.store.jobs import Job
from bot.themes import themes
from poetgen.errors import RequestError
from poetgen.poem import Composition, PoemRequest

_PAIRS = 3
_STRIDE = 61  # through the table of themes, which is sorted by subject


async def compose_beside(poems: Poems, job: Job) -> list[tuple[Composition, Composition]]:
    """Poems by the version before a job and by the one after it, on the same themes; those that fail are left out."""
    listed = themes()
    requests = [PoemRequest(theme=listed[(job.seed + _STRIDE * n) % len(listed)].hanzi) for n in range(_PAIRS)]
    pairs: list[tuple[Composition, Composition]] = []
    for request in requests:
        try:
            old, new = [await poems.inference.submit(request, version) for version in (job.base, job.version)]
        except (BotError, RequestError):  # the queue is full, a version is gone, the bot stops: shown without them
            continue
        if poems.may_show(old, job.guild_id) and poems.may_show(new, job.guild_id):
            pairs.append((old, new))
    return pairs
