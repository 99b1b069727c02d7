import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poetgen.metrics import NgramModel, auc, distinct_pairs


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
