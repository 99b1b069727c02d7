"""What a fine-tune reads: poems of ours with weighed votes in five folds of voters, and nobody's id.

Knows no process. Only themes of our own list are named; what a person typed never leaves the database.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bot import votes
from bot.asker import CONSOLE
from bot.store.poems import StoredPoem
from bot.store.votes import CastVote
from bot.themes import own_themes

_LEAST_VOTERS = 2  # of a poem, its requester not counted


@dataclass(frozen=True, slots=True)
class Ratings:
    """The rows of the file, and how much is behind them.

    Attributes:
        rows: One for each poem and fold.
        num_poems: How many poems were voted on.
        num_voters: By how many people.
        num_votes: How often.
        alone: They are the console's one person's, who is enough.
        both: Whether there are likes and dislikes.
    """

    rows: tuple[dict[str, object], ...]
    num_poems: int
    num_voters: int
    num_votes: int
    alone: bool
    both: bool

    def lines(self) -> str:
        """The file: one JSON object a line."""
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in self.rows)

    @property
    def sha256(self) -> str:
        """The file's hash, by which the version that learned from it is known."""
        return hashlib.sha256(self.lines().encode()).hexdigest()


def ratings_of(poems: Sequence[StoredPoem], cast: Sequence[CastVote], key: bytes, *, console: bool = False) -> Ratings:
    """What may be learned from these poems and votes.

    The console has one person only: there every poem counts that this person voted on, and the folds are of poems.

    Args:
        poems: Those that a fine-tune may see.
        cast: The votes on them.
        key: Of the hash that puts voters into folds.
        console: Whether the console asks, where nobody else will vote if nobody has yet.
    """
    voters: dict[int, set[int]] = defaultdict(set)
    for vote in cast:
        if not vote.requested:
            voters[vote.poem_id].add(vote.voter_id)
    alone = {vote.voter_id for vote in cast} == {CONSOLE} if cast else console
    least = 1 if alone else _LEAST_VOTERS
    kept = [vote for vote in cast if not vote.requested and len(voters[vote.poem_id]) >= least]
    weighed = votes.weights([votes.Vote(v.poem_id, v.voter_id, v.value, v.cast_at / 1000) for v in kept])
    poem_ids, voter_ids = {vote.poem_id for vote in kept}, {vote.voter_id for vote in kept}
    folds = votes.folds_of(poem_ids if alone else voter_ids, key)
    sums: dict[tuple[int, int], dict[int, float]] = defaultdict(lambda: {1: 0.0, -1: 0.0})
    for vote, weight in zip(kept, weighed, strict=True):
        sums[vote.poem_id, folds[vote.poem_id if alone else vote.voter_id]][vote.value] += weight
    by_id = {poem.id: poem for poem in poems}
    rows = tuple(
        _row(by_id[poem_id]) | {"up": round(sum_[1], 6), "down": round(sum_[-1], 6), "fold": fold}
        for (poem_id, fold), sum_ in sorted(sums.items())
    )
    both = all(any(sum_[value] for sum_ in sums.values()) for value in (1, -1))
    return Ratings(rows, len(poem_ids), len(voter_ids), len(kept), alone, both)


def _row(poem: StoredPoem) -> dict[str, object]:
    return {
        "form": poem.form,
        "theme": poem.theme if poem.theme in own_themes() else None,
        "traditional": list(poem.lines),
        "version": poem.version,
    }
