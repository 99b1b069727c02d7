"""A server's best loved poems of a period.

Knows no Discord.
"""

from collections.abc import Callable
from itertools import islice

from bot.asker import Asker
from bot.errors import BotError
from bot.ranking import PERIODS, wilson
from bot.store import Store
from bot.store.database import now_ms
from bot.store.poems import StoredPoem

_SHOWN = 10
_DAY_MS = 86_400_000


async def leaderboard(
    store: Store, asker: Asker, period: str, may_tell: Callable[[int | None], bool] = lambda channel_id: True
) -> list[tuple[StoredPoem, int, int]]:
    """The ten best poems of the asker's server, with their votes.

    Args:
        store: Where they are kept.
        asker: Who asks.
        period: A name of `PERIODS`.
        may_tell: Whether a poem may be told of that stands in a channel.

    Raises:
        BotError: There is no such period, or it is a direct message.
    """
    if period not in PERIODS:
        raise BotError("period", periods=", ".join(PERIODS))
    days = PERIODS[period]
    since = 0 if days is None else now_ms() - days * _DAY_MS
    found = await store.votes.tallies(asker.server, since)
    best = sorted(found, key=lambda tally: (-wilson(tally.up, tally.down), -tally.poem_id))
    told = islice((tally for tally in best if may_tell(tally.channel_id)), _SHOWN)
    poems = [(await store.poems.get(tally.poem_id), tally.up, tally.down) for tally in told]
    return [(poem, up, down) for poem, up, down in poems if poem is not None]
