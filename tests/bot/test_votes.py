"""What votes weigh, and what a fine-tune reads of them."""

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.asker import CONSOLE
from bot.ranking import wilson
from bot.ratings import ratings_of
from bot.store.votes import CastVote
from bot.votes import NUM_FOLDS, Vote, folds_of, weights
from tests.bot.test_pages import stored

_votes = st.lists(
    st.builds(Vote, st.integers(1, 6), st.integers(1, 8), st.sampled_from([1, -1]), st.floats(0, 1e5), st.booleans()),
    max_size=60,
    unique_by=lambda vote: (vote.poem, vote.voter),
)

# Within seconds of each other, and some of them ten apart to the second.
_votes_in_bursts = st.lists(
    st.builds(Vote, st.integers(1, 50), st.integers(1, 2), st.sampled_from([1, -1]), st.integers(0, 25), st.booleans()),
    max_size=40,
    unique_by=lambda vote: (vote.poem, vote.voter),
)


@given(_votes)
def test_weights_are_from_0_to_1_and_nothing_for_own_requests(votes: list[Vote]) -> None:
    found = weights(votes)
    assert len(found) == len(votes)
    assert all(0 <= weight <= 1 for weight in found)
    assert all((weight == 0) == vote.requested for weight, vote in zip(found, votes, strict=True))


@given(_votes)
def test_no_voter_has_more_than_the_allowed_share(votes: list[Vote]) -> None:
    found = weights(votes)
    voters = {vote.voter for vote in votes if not vote.requested}
    for voter in voters:
        own = sum(weight for weight, vote in zip(found, votes, strict=True) if vote.voter == voter)
        assert own <= max(0.10, 1.5 / len(voters)) * sum(found) + 1e-9


@given(_votes, st.randoms())
def test_order_does_not_matter(votes: list[Vote], chance: random.Random) -> None:
    shuffled = votes[:]
    chance.shuffle(shuffled)
    before = dict(zip(votes, weights(votes), strict=True))
    assert dict(zip(shuffled, weights(shuffled), strict=True)) == pytest.approx(before)


@given(_votes)
def test_only_who_is_who_matters_not_the_ids(votes: list[Vote]) -> None:
    renamed = [Vote(v.poem * 7, -v.voter, v.value, v.seconds, v.requested) for v in votes]
    assert weights(renamed) == pytest.approx(weights(votes))


def _crowd(num_poems: int = 20, num_voters: int = 12) -> list[Vote]:
    """People who mostly agree: even poems are liked, odd ones are not; each errs on one poem in ten."""
    chance = random.Random(0)
    return [
        Vote(poem, voter, (1 if poem % 2 else -1) * (1 if chance.random() < 0.9 else -1), 1000.0 * poem + 60 * voter)
        for poem in range(num_poems)
        for voter in range(num_voters)
    ]


def _mean_weight(votes: list[Vote], voter: int) -> float:
    found = [weight for weight, vote in zip(weights(votes), votes, strict=True) if vote.voter == voter]
    return sum(found) / len(found)


def test_who_contradicts_everybody_counts_little() -> None:
    contrary = [Vote(poem, 99, -1 if poem % 2 else 1, 1000.0 * poem) for poem in range(20)]
    votes = _crowd() + contrary
    assert _mean_weight(votes, 99) < 0.25 * _mean_weight(votes, 3)


def test_who_contradicts_everybody_takes_little_from_those_he_contradicts() -> None:
    # Four voters on two poems in five, so that one more voice weighs among those on a poem.
    sparse = [vote for vote in _crowd(40) if (vote.voter + vote.poem) % 3 == 0]
    contrary = [Vote(poem, 99, -1 if poem % 2 else 1, 1000.0 * poem) for poem in range(40)]
    found = weights(sparse + contrary)[: len(sparse)]
    assert sum(found) > 0.98 * sum(weights(sparse))


def test_who_only_likes_counts_little_but_a_newcomer_fully() -> None:
    votes = _crowd() + [Vote(poem, 98, 1, 1000.0 * poem) for poem in range(20)] + [Vote(1, 97, 1, 5.0)]
    assert _mean_weight(votes, 98) < 0.35 * _mean_weight(votes, 3)
    assert _mean_weight(votes, 97) > 0.85


def test_a_burst_counts_as_three_votes() -> None:
    slow = [Vote(poem, 1, 1 if poem % 2 else -1, 100.0 * poem) for poem in range(12)]
    quick = [Vote(poem, 1, 1 if poem % 2 else -1, 0.5 * poem) for poem in range(12)]
    assert sum(weights(quick)) == pytest.approx(sum(weights(slow)) / 4)


@given(_votes_in_bursts)
def test_a_burst_is_who_voted_within_ten_seconds_before_and_behind(votes: list[Vote]) -> None:
    found = dict(zip(votes, weights(votes), strict=True))
    for voter in {vote.voter for vote in votes}:
        own = [vote for vote in votes if vote.voter == voter and not vote.requested]
        bursts = [min(1, 3 / sum(abs(other.seconds - vote.seconds) <= 10 for other in own)) for vote in own]
        # All else that weighs is the voter's.
        assert [found[vote] * bursts[0] for vote in own] == pytest.approx([found[own[0]] * burst for burst in bursts])


def test_twenty_accounts_of_one_person_do_not_outweigh_the_crowd() -> None:
    """They vote against the crowd within seconds on a few poems; what they say is turned down, not off."""
    raid = [Vote(poem, 500 + account, -1, 7.0 + poem) for account in range(20) for poem in (1, 3, 5, 7, 9)]
    votes = _crowd() + raid
    found = weights(votes)
    raiders = sum(weight for weight, vote in zip(found, votes, strict=True) if vote.voter >= 500)
    assert raiders < 0.35 * len(raid)


@given(st.sets(st.integers(0, 2**63), max_size=40))
def test_folds_need_the_key_and_are_even(voters: set[int]) -> None:
    key = b"k" * 32
    folds = folds_of(voters, key)
    assert folds.keys() == voters
    sizes = [list(folds.values()).count(fold) for fold in range(NUM_FOLDS)]
    assert max(sizes) - min(sizes) <= 1, "few voters are never in one fold"
    assert folds == folds_of(sorted(voters), key)
    if len(voters) > 20:
        assert folds != folds_of(voters, b"other")


def _cast(poem: int, voter: int, value: int = 1, requested: bool = False) -> CastVote:
    return CastVote(poem, voter, value, poem * 100_000 + voter, requested)


def test_ratings_hold_no_person_and_no_theme_of_one() -> None:
    poems = [stored("qijue", "秋夜"), stored("wujue", "自家題", id=2)]
    cast = [_cast(1, 10**18 + n, (-1) ** n) for n in range(4)] + [_cast(2, 10**18 + n) for n in range(4)]
    ratings = ratings_of(poems, cast, b"key")
    assert (ratings.num_poems, ratings.num_voters, ratings.num_votes) == (2, 4, 8)
    text = ratings.lines()
    assert str(10**17) not in text
    assert "自家題" not in text
    rows = [json.loads(line) for line in text.splitlines()]
    assert all(row.keys() == {"form", "theme", "traditional", "version", "up", "down", "fold"} for row in rows)
    assert {row["theme"] for row in rows} == {"秋夜", None}
    assert {row["fold"] for row in rows} <= set(range(5))
    assert all(row["up"] + row["down"] > 0 for row in rows)


def test_poems_with_one_voter_beside_the_requester_stay_out() -> None:
    cast = [_cast(1, 5, requested=True), _cast(1, 6), _cast(2, 6), _cast(2, 7)]
    ratings = ratings_of([stored(), stored(id=2)], cast, b"key")
    assert (ratings.num_poems, ratings.num_votes) == (1, 2)


def test_own_votes_are_not_learned_from() -> None:
    others = [_cast(1, 6), _cast(1, 7, -1)]
    ratings = ratings_of([stored()], others, b"key")
    assert ratings_of([stored()], [_cast(1, 5, requested=True), *others], b"key") == ratings


def test_the_console_s_one_person_is_enough_alone_and_has_folds_of_poems() -> None:
    poems = [stored(id=number) for number in range(1, 41)]
    ratings = ratings_of(poems, [_cast(poem.id, CONSOLE, (-1) ** poem.id) for poem in poems], b"key")
    assert ratings.alone
    assert (ratings.num_poems, ratings.num_voters, ratings.num_votes) == (40, 1, 40)
    assert {row["fold"] for row in ratings.rows} == set(range(5))
    beside = ratings_of(poems, [_cast(poem.id, voter) for poem in poems for voter in (CONSOLE, 7)], b"key")
    assert not beside.alone


@pytest.mark.parametrize("console", [True, False])
def test_one_voter_is_enough_in_the_console_before_the_first_vote_too(console: bool) -> None:
    assert ratings_of([], [], b"key", console=console).alone is console


@given(st.integers(0, 500), st.integers(0, 500))
def test_wilson_is_below_the_share_and_grows_with_votes(up: int, down: int) -> None:
    bound = wilson(up, down)
    assert 0 <= bound <= up / max(1, up + down)
    assert wilson(up + 1, down) >= bound
    assert wilson(up, down + 1) <= bound
    assert wilson(up * 2, down * 2) >= bound


def test_wilson_prefers_nineteen_of_twenty_to_two_of_two() -> None:
    assert wilson(19, 1) > wilson(2, 0) > wilson(1, 0) > wilson(0, 5) == 0
    assert wilson(19, 1) == pytest.approx(0.8040, abs=1e-4)  # by hand
