"""The best loved poems, by the lower end of what their votes allow us to believe.

Knows no database.
"""

import math
from statistics import NormalDist

# How sure to be that the true share of likes is above the bound: 95 %, one-sided.
_Z = NormalDist().inv_cdf(0.95)
# Discord-wide names of periods, in days; "all" has no end.
PERIODS: dict[str, int | None] = {"day": 1, "week": 7, "month": 30, "year": 365, "all": None}


def wilson(up: int, down: int) -> float:
    """The Wilson score interval's lower bound of the share of likes, 0 to 1; 0 without likes.

    Two likes of two are worth less than nineteen of twenty. Wilson, "Probable Inference" (1927).
    """
    if not up:
        return 0.0  # which the formula misses, for some numbers of votes, by what rounding leaves
    votes = up + down
    share = up / votes
    spread = _Z * math.sqrt(share * (1 - share) / votes + _Z * _Z / (4 * votes * votes))
    return max(0.0, (share + _Z * _Z / (2 * votes) - spread) / (1 + _Z * _Z / votes))
