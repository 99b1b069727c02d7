"""How the bot is: what the owner is told.

Knows no Discord.
"""

from bot.catalogue import text
from bot.services import Services


async def status_page(services: Services, num_servers: int, language: str) -> str:
    """Servers, poems, votes, queue, jobs and the version in use."""
    return text(
        "owner.status",
        language,
        servers=num_servers,
        poems=await services.store.poems.count(),
        votes=await services.store.votes.count(),
        queue=services.poems.inference.num_waiting,
        jobs=len(await services.store.jobs.unfinished()),
        version=await services.voices.current(None),
    )
