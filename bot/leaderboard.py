"""A server's best loved poems of a period.

Knows no Discord.
"""

from bot.asker import Asker
from bot.errors import BotError
from bot.ranking import PERIODS, wilson
from bot.store import Store
from bot.store.database import now_ms
from bot.store.poems import StoredPoem

_SHOWN = 10
_DAY_MS = 86_400_000


async def leaderboard(store: Store, asker: Asker, period: str) -> list[tuple[StoredPoem, int, int]]:
    """The ten best poems of the asker's server, with their votes.

    Raises:
        BotError: There is no such period, or it is a direct message.
    """
    if period not in PERIODS:
        raise BotError("period", periods=", ".join(PERIODS))
    days = PERIODS[period]
    since = 0 if days is None else now_ms() - days * _DAY_MS
    found = await store.votes.tallies(asker.server, since)
    return sorted(found, key=lambda entry: (-wilson(entry[1], entry[2]), -entry[0].id))[:_SHOWN]
