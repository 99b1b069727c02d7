"""What each vote weighs when a voice learns from it. Pure: knows no database, no Discord and no trainer.

A server's votes are few, and some are cast to move the scale. For the vote i of voter v on a poem:

    weight_i = burst_i x balance_v x agreement_v, then capped by voter

    requested    0 for a vote on a poem that its voter asked for.
    burst_i      min(1, B / b_i): b_i of v's votes lie within W seconds of i (itself among them), B are believed.
    balance_v    4 p (1 - p), p = (likes + 1) / (votes + 2): who only ever likes, or only dislikes, tells poems
                 apart less and less (1 vote: 0.89; 10 alike: 0.31; 50 alike: 0.08).
    agreement_v  clip(1/2 + 5 e, 1/50, 1), e = (sum of (s_i - c_i) + K E) / (m + K) over v's m votes on poems that
                 others voted on: s_i is the share of the others' votes there that are like v's, c_i how likely a vote
                 like v's is among all votes of others. A newcomer has e = E = 1/10 and so counts fully; who votes at
                 random goes to 1/2, who contradicts everybody to 1/50. Counted twice, the second time with each of
                 the others counting as much as the first time found: else who contradicts everybody would take from
                 all those whom he contradicts, too.
    cap          no voter has more than max(10 %, 1.5 / number of voters) of the weight of all.

That few votes say little is left to the trainer, whose prior shrinks what it learns from them (`training.taste`).
"""

import hmac
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

NUM_FOLDS = 5
_BURST_SECONDS, _BURST_BELIEVED = 10.0, 3
_PRIOR_VOTES, _PRIOR_EXCESS = 5.0, 0.1  # K and E
_LEAST_AGREEMENT = 0.02
_LEAST_CAP, _CAP_OF_EVEN = 0.10, 1.5


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's opinion of one poem.

    Attributes:
        poem: The poem's id.
        voter: The person's id.
        value: 1 for a like, -1 for a dislike.
        seconds: When it was cast, on any clock.
        requested: Whether this person had asked for the poem.
    """

    poem: int
    voter: int
    value: int
    seconds: float
    requested: bool = False


def weights(votes: Sequence[Vote]) -> list[float]:
    """What each vote weighs, 0 to 1, in the order given; at most one vote per voter and poem is expected."""
    counted = [number for number, vote in enumerate(votes) if not vote.requested]
    kept = [votes[number] for number in counted]
    bursts, balances, agreements = _bursts(kept), _balances(kept), _agreements(kept)
    raw = [burst * balances[vote.voter] * agreements[vote.voter] for vote, burst in zip(kept, bursts, strict=True)]
    totals: dict[int, float] = defaultdict(float)
    for vote, weight in zip(kept, raw, strict=True):
        totals[vote.voter] += weight
    scales = _caps(totals)
    result = [0.0] * len(votes)
    for number, vote, weight in zip(counted, kept, raw, strict=True):
        result[number] = weight * scales[vote.voter]
    return result


def _bursts(votes: Sequence[Vote]) -> list[float]:
    times: dict[int, list[float]] = defaultdict(list)
    for vote in votes:
        times[vote.voter].append(vote.seconds)
    for cast in times.values():
        cast.sort()

    def near(vote: Vote) -> int:
        cast = times[vote.voter]
        return bisect_right(cast, vote.seconds + _BURST_SECONDS) - bisect_left(cast, vote.seconds - _BURST_SECONDS)

    return [min(1.0, _BURST_BELIEVED / near(vote)) for vote in votes]


def _balances(votes: Sequence[Vote]) -> dict[int, float]:
    likes, cast = Counter[int](), Counter[int]()
    for vote in votes:
        cast[vote.voter] += 1
        likes[vote.voter] += vote.value > 0
    shares = {voter: (likes[voter] + 1) / (cast[voter] + 2) for voter in cast}
    return {voter: 4 * share * (1 - share) for voter, share in shares.items()}


def _agreements(votes: Sequence[Vote]) -> dict[int, float]:
    everybody = dict.fromkeys((vote.voter for vote in votes), 1.0)
    return _agreements_with(votes, _agreements_with(votes, everybody))


def _agreements_with(votes: Sequence[Vote], believed: Mapping[int, float]) -> dict[int, float]:
    """How much each voter agrees with the others, each of whom counts as much as is believed of them."""
    on_poem: dict[int, dict[int, float]] = defaultdict(lambda: {1: 0.0, -1: 0.0})
    by_voter: dict[int, dict[int, float]] = defaultdict(lambda: {1: 0.0, -1: 0.0})
    everywhere = {1: 0.0, -1: 0.0}
    voters_of = Counter(vote.poem for vote in votes)
    for vote in votes:
        for sums in (on_poem[vote.poem], by_voter[vote.voter], everywhere):
            sums[vote.value] += believed[vote.voter]
    excess: dict[int, float] = defaultdict(float)
    compared = Counter[int]()
    for vote in votes:
        if voters_of[vote.poem] == 1:
            continue
        here, own = on_poem[vote.poem], by_voter[vote.voter]
        one = believed[vote.voter]
        alike = (here[vote.value] - one) / (sum(here.values()) - one)
        by_chance = (everywhere[vote.value] - own[vote.value]) / (sum(everywhere.values()) - sum(own.values()))
        excess[vote.voter] += alike - by_chance
        compared[vote.voter] += 1
    means = {
        voter: (excess[voter] + _PRIOR_VOTES * _PRIOR_EXCESS) / (compared[voter] + _PRIOR_VOTES) for voter in by_voter
    }
    return {voter: min(1.0, max(_LEAST_AGREEMENT, 0.5 + 5 * mean)) for voter, mean in means.items()}


def _caps(totals: Mapping[int, float]) -> dict[int, float]:
    """What each voter's weight is multiplied by, so that none has more than the allowed share of what remains."""
    if not totals:
        return {}
    share = max(_LEAST_CAP, _CAP_OF_EVEN / len(totals))
    ordered = sorted(totals, key=lambda voter: -totals[voter])
    rest = sum(totals.values())
    scales = dict.fromkeys(totals, 1.0)
    # With the k largest at the cap c T and the others as they are, the total is T = rest / (1 - k c).
    for capped, voter in enumerate(ordered):
        if capped * share >= 1:
            break
        total = rest / (1 - capped * share)
        if totals[voter] <= share * total:
            for above in ordered[:capped]:
                scales[above] = share * total / totals[above]
            return scales
        rest -= totals[voter]
    return scales


def folds_of(numbers: Iterable[int], key: bytes) -> dict[int, int]:
    """One of five folds for each voter's id: as even as can be, and not to be told backwards without the key."""
    order = sorted(set(numbers), key=lambda number: hmac.digest(key, str(number).encode(), "sha256"))
    return {number: place % NUM_FOLDS for place, number in enumerate(order)}
