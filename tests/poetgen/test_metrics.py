import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poetgen.metrics import (
    NgramModel,
    auc,
    bleu2,
    distinct_pairs,
    edit_distance,
    frechet_distance,
    interval,
    ms_jaccard,
    rank_correlation,
)


def test_auc_by_hand() -> None:
    assert auc([3, 4], [1, 2]) == 1
    assert auc([1, 2], [3, 4]) == 0
    assert auc([1, 3], [2]) == 0.5
    assert auc([2, 2], [2]) == 0.5
    assert auc([1, 2, 3], [2, 0]) == pytest.approx((1 + 1.5 + 2) / 6)
    with pytest.raises(ValueError, match="both sides"):
        auc([], [1])


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=20), st.lists(st.integers(-5, 5), min_size=1, max_size=20))
def test_auc_is_the_chance_of_a_win(positive: list[int], negative: list[int]) -> None:
    wins = sum((p > n) + 0.5 * (p == n) for p in positive for n in negative)
    assert auc(positive, negative) == pytest.approx(wins / (len(positive) * len(negative)))


def test_distinct_pairs_by_hand() -> None:
    assert distinct_pairs([["甲乙丙", "甲乙丁"]]) == 3 / 4
    assert distinct_pairs([]) == 0


def test_unigram_and_bigram_by_hand() -> None:
    poems = [np.array([[0, 1], [0, 1], [0, 2]], np.int32)]
    unigram = NgramModel(poems, 1, 4)
    uniform = 1 / 4
    backed = 0.75 * 3 / 6 * uniform
    assert np.exp(unigram.log_probs(np.array([[0]], np.int32))) == pytest.approx((3 - 0.75) / 6 + backed)
    assert np.exp(unigram.log_probs(np.array([[3]], np.int32))) == pytest.approx(backed)
    bigram = NgramModel(poems, 2, 4)
    # Kneser-Ney's lower order counts kinds of histories: each of 0, 1, 2 follows one thing only.
    lower = (1 - 0.75) / 3 + 0.75 * 3 / 3 * uniform
    found = np.exp(bigram.log_probs(np.array([[0, 1]], np.int32)))[0, 1]
    assert found == pytest.approx((2 - 0.75) / 3 + 0.75 * 2 / 3 * lower)


@given(st.integers(1, 3), st.lists(st.integers(0, 5), min_size=2, max_size=2))
def test_probabilities_sum_to_one(order: int, history: list[int]) -> None:
    rng = np.random.default_rng(0)
    model = NgramModel(
        [rng.integers(0, 6, (20, 5)).astype(np.int32), rng.integers(0, 6, (9, 7)).astype(np.int32)], order, 6
    )
    poems = np.array([[*history, last] for last in range(6)], np.int32)
    assert np.exp(model.log_probs(poems)[:, 2]).sum() == pytest.approx(1)


def test_an_interval_holds_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        drawn = rng.standard_normal(50)
        low, high = interval(lambda rows, drawn=drawn: float(drawn[rows].mean()), 50, rng)  # type: ignore[misc]
        held += low <= 0 <= high
    assert 180 <= held <= 199


def test_an_interval_of_distinct_kinds_is_not_shifted_by_poems_drawn_twice() -> None:
    kinds = np.arange(100)
    low, high = interval(lambda rows: len(set(kinds[rows])) / len(rows), 100, np.random.default_rng(0))
    assert low <= 1 <= high


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert rank_correlation([0, 5, 5, 6], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))
    with pytest.raises(ValueError, match="constant"):
        rank_correlation([1, 1], [1, 2])


def test_edit_distance_by_hand() -> None:
    assert edit_distance([1, 2, 3], [1, 2, 3]) == 0
    assert edit_distance([1, 2, 3], [2, 3]) == 1
    assert edit_distance([1, 2, 3, 4], [1, 9, 4]) == 2
    assert edit_distance([], [1, 2]) == 2


@given(*[st.lists(st.integers(0, 3), max_size=8)] * 3)
def test_edit_distance_is_a_distance(first: list[int], second: list[int], third: list[int]) -> None:
    assert edit_distance(first, second) == edit_distance(second, first)
    assert edit_distance(first, third) <= edit_distance(first, second) + edit_distance(second, third)


def test_ms_jaccard_by_hand() -> None:
    assert ms_jaccard([["甲乙丙"]], [["甲乙丙"]]) == pytest.approx(1)
    assert ms_jaccard([["甲乙"]], [["丙丁"]], order=1) == 0
    # characters: 甲 2 and 1, 乙 1 and 1, 丙 0 and 1: lesser 2, greater 4; pairs 甲甲, 甲乙 against 甲乙, 乙丙: 1 of 3
    assert ms_jaccard([["甲甲乙"]], [["甲乙丙"]], order=2) == pytest.approx((2 / 4 * 1 / 3) ** 0.5)


def test_frechet_distance_by_hand() -> None:
    rng = np.random.default_rng(0)
    sample = rng.standard_normal((500, 3))
    assert frechet_distance(sample, sample) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(sample, sample + np.array([3, 4, 0])) == pytest.approx(25)
    # in one dimension: the squared difference of means plus that of deviations
    line = sample[:, :1]
    assert frechet_distance(line, 2 * line) == pytest.approx(line.mean() ** 2 + line.std(ddof=1) ** 2)


def test_bleu2_by_hand() -> None:
    assert bleu2([["甲乙丙"]], [["甲乙丙"]]) == pytest.approx(1)
    assert bleu2([["甲乙"]], [["丙丁"]]) == 0
    # 甲 is in the references once at most: 2 of 3 characters, 1 of 2 pairs
    assert bleu2([["甲甲乙"]], [["甲乙"], ["丁甲"]]) == pytest.approx((2 / 3 * 1 / 2) ** 0.5)
