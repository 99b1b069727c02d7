import numpy as np
import pytest

from poetgen import planner
from poetgen.planner import Outlines, Planner
from poetgen.vocabulary import PAD_ID, UNKNOWN_ID

# Ids from 3 on are characters. Two circles of them that never stand in one poem.
CIRCLES = ((3, 4, 5, 6), (7, 8, 9, 10))
NUM_CHARS = 11


@pytest.fixture(scope="module")
def vectors() -> planner.Vectors:
    rng = np.random.default_rng(0)
    poems = np.array([rng.permutation(CIRCLES[number % 2]) for number in range(400)], np.int32)
    return planner.association_vectors(poems, NUM_CHARS, rng)


def test_characters_of_one_circle_are_associated_by_their_pmi(vectors: planner.Vectors) -> None:
    products = vectors @ vectors.T
    for circle in CIRCLES:
        for first in circle:
            for second in circle:
                if first != second:
                    # Each stands in half of the poems, together in half: PMI log 2, a little discounted.
                    assert products[first, second] == pytest.approx(np.log(2), abs=0.3)
    assert abs(products[3, 7]) < 0.05


def test_a_character_stands_in_a_poem_once_however_often_it_comes() -> None:
    rng = np.random.default_rng(5)
    poems = np.array([rng.permutation(CIRCLES[number % 2]) for number in range(100)], np.int32)
    once, twice = np.pad(poems, ((0, 0), (1, 0))), np.column_stack([poems[:, 0], poems])
    one, other = (planner.association_vectors(of, NUM_CHARS, np.random.default_rng(0)) for of in (once, twice))
    assert np.array_equal(one, other)


def test_telling_is_the_mean_association_by_hand() -> None:
    vectors = np.zeros((6, planner.VECTOR_DIM), np.float32)
    vectors[3:6, :2] = [[1, 0], [2, 1], [0, 3]]
    (found,) = planner.telling(vectors, np.array([[3, 4, 5]], np.int32), np.array([[3, 4, 5]], np.int32))
    assert found == pytest.approx([2 / 3, (2 + 3) / 3, 3 / 3])


def test_telling_leaves_a_character_itself_out(vectors: planner.Vectors) -> None:
    poems = np.array([[3, 4, 5, 7]], np.int32)
    at_home, stranger = planner.telling(vectors, poems, np.array([[3, 7]], np.int32))[0]
    assert at_home > stranger
    assert stranger == pytest.approx(0, abs=0.05)
    assert planner.telling(vectors, poems, np.array([[PAD_ID]], np.int32))[0, 0] == -1


def test_relevance_is_a_cosine(vectors: planner.Vectors) -> None:
    poems = np.array([[3, 4, 5, 6]], np.int32)
    near, far = planner.relevance(vectors, poems, np.array([[3, 7]], np.int32))[0]
    assert far == pytest.approx(0, abs=0.05)
    assert 0.3 < near <= 1.0001


def test_words_stand_together_more_than_by_chance() -> None:
    rng = np.random.default_rng(1)
    lines = rng.integers(20, 60, (2000, 5)).astype(np.int32)
    lines[:200, 0], lines[:200, 1] = 5, 6  # always together
    words = planner.word_codes([lines], 60)
    assert 5 * 60 + 6 in words
    assert len(words) < 10


def test_what_stands_together_too_seldom_is_no_word() -> None:
    lines = np.random.default_rng(1).integers(20, 60, (2000, 5)).astype(np.int32)
    for count, first in ((15, 5), (14, 7)):
        lines[100 * first : 100 * first + count, :2] = [first, first + 1]
    assert set(planner.word_codes([lines], 60)) & {5 * 60 + 6, 7 * 60 + 8} == {5 * 60 + 6}


@pytest.mark.parametrize(("length", "beats"), [(5, {0, 2, 3}), (7, {0, 2, 4, 5})])
def test_words_stand_on_the_beat(length: int, beats: set[int]) -> None:
    line = np.arange(3, 3 + length, dtype=np.int32)[None]
    for place in range(length - 1):
        words = np.array([line[0, place] * 20 + line[0, place + 1]], np.int64)
        keyword = planner.line_keywords(line, 1, np.zeros(line.shape, np.float32), words, 20)[0, 0]
        assert (keyword.tolist() == line[0, place : place + 2].tolist()) == (place in beats)


def test_a_lines_keyword_is_its_most_telling_word_on_the_beat() -> None:
    words = np.array(sorted([3 * 20 + 4, 4 * 20 + 5, 6 * 20 + 7]), np.int64)
    poems = np.array([[3, 4, 5, 6, 7, 8, 9, 10, 11, 12]], np.int32)
    scores = np.array([[0.5, 0.5, 0.9, 0.1, 0.2, 0.1, 0.2, 0.9, 0.3, 0.1]], np.float32)
    keywords = planner.line_keywords(poems, 2, scores, words, 20)
    # 4-5 scores more but stands across the beat; the second line has no word, so one character.
    assert keywords.tolist() == [[[3, 4], [10, PAD_ID]]]


def words_of(vectors: planner.Vectors) -> Planner:
    keywords = np.array([[char, PAD_ID] for circle in CIRCLES for char in circle], np.int32)
    return Planner(vectors, keywords, np.full(len(keywords), 10, np.float32), np.ones(len(vectors), np.float32))


def test_a_plan_stays_with_its_theme_and_repeats_nothing(vectors: planner.Vectors) -> None:
    rng = np.random.default_rng(2)
    plans = words_of(vectors).draw([[3]] * 200, rng.random((200, 3)))
    inside = np.isin(plans[:, :, 0], CIRCLES[0]).mean()
    assert inside > 0.9
    assert all(len({tuple(word) for word in plan}) == 3 for plan in plans.tolist())


def test_a_plan_without_a_theme_stays_with_its_own_words(vectors: planner.Vectors) -> None:
    plans = words_of(vectors).draw([[]] * 200, np.random.default_rng(2).random((200, 3)))
    inside = np.isin(plans[:, :, 0], CIRCLES[0]).sum(axis=1)
    assert np.isin(inside, (0, 3)).mean() > 0.9
    assert 0.3 < (inside == 3).mean() < 0.7


def test_a_character_that_nobody_knows_says_nothing_of_a_theme(vectors: planner.Vectors) -> None:
    known = vectors.copy()
    known[UNKNOWN_ID] = vectors[CIRCLES[1][0]]
    finder, uniforms = words_of(known), np.random.default_rng(2).random((20, 3))
    assert np.array_equal(finder.likeness([3, UNKNOWN_ID]), finder.likeness([3]))
    assert np.array_equal(finder.draw([[3, UNKNOWN_ID]] * 20, uniforms), finder.draw([[3]] * 20, uniforms))


def test_a_word_is_drawn_by_how_common_it_is_and_how_near_to_theme_and_words_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Planner, "focus", 2.0)
    vectors = np.zeros((6, planner.VECTOR_DIM), np.float32)
    vectors[3:6, :3] = np.diag([1, 5, 9])  # of any length: cosines count
    keywords = np.array([[3, PAD_ID], [4, 5], [5, PAD_ID]], np.int32)
    finder = Planner(vectors, keywords, np.array([1, 2, 3], np.float32), np.ones(6, np.float32))
    plans = finder.draw([[3]] * 20_000, np.random.default_rng(0).random((20_000, 2)))
    first = np.exp([2, 0, 0]) * [1, 2, 3]
    assert (plans[:, 0, 0] == 5).mean() == pytest.approx(first[2] / first.sum(), abs=0.02)
    # After 4 5, half a right angle from 5, the mean of theme and word is half of each.
    second = np.exp([2 / 2, 2 / 2 * 0.5**0.5]) * [1, 3]
    after = plans[plans[:, 0, 0] == 4, 1, 0]
    assert set(after.tolist()) == {3, 5}
    assert (after == 5).mean() == pytest.approx(second[1] / second.sum(), abs=0.02)


def test_a_plan_does_not_hang_on_its_batch(vectors: planner.Vectors) -> None:
    rng = np.random.default_rng(3)
    uniforms = rng.random((50, 4))
    themes = [[3], [], [7, 8]] * 16 + [[4], []]
    together = words_of(vectors).draw(themes, uniforms)
    for row, theme in enumerate(themes):
        alone = words_of(vectors).draw([theme], uniforms[row : row + 1])
        assert alone[0].tolist() == together[row].tolist()


def test_a_leaning_planner_draws_what_is_liked_more_often(vectors: planner.Vectors) -> None:
    plain = words_of(vectors)
    liked = CIRCLES[1][0]
    gains = np.zeros(len(vectors), np.float32)
    gains[liked] = 2.0
    gains[PAD_ID] = 9.0  # the missing second character of a word says nothing
    leaning = plain.leaning(gains)
    place = plain.keywords[:, 0].tolist().index(liked)
    weights = np.where(np.arange(len(plain.keywords)) == place, np.exp(2), 1) * plain.counts
    uniforms = np.random.default_rng(4).random((4000, 1))
    drawn = [float((of.draw([[]] * 4000, uniforms)[:, 0, 0] == liked).mean()) for of in (plain, leaning)]
    assert drawn[0] == pytest.approx(1 / len(weights), abs=0.02)
    assert drawn[1] == pytest.approx(weights[place] / weights.sum(), abs=0.03)
    assert plain.divergence(plain) == 0
    likelier = weights / weights.sum() * len(weights)
    assert plain.divergence(leaning) == pytest.approx(float((likelier * np.log(likelier)).mean()))
    assert leaning.leaning(-gains).divergence(plain) == pytest.approx(0)


def with_outlines(vectors: planner.Vectors) -> Planner:
    """Four outlines of two lines in the first circle, four in the second, and one in both."""
    plans = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4]], np.int32)
    numbers = np.arange(len(plans), dtype=np.int32)
    words = words_of(vectors)
    return Planner(
        vectors, words.keywords, words.counts, words.char_counts, {"wujue": Outlines(plans, numbers, numbers)}
    )


def test_the_outlines_of_a_theme_are_likelier(vectors: planner.Vectors) -> None:
    finder = with_outlines(vectors)
    chances = finder.outline_chances("wujue", [CIRCLES[0][0], CIRCLES[0][1]])
    assert chances.sum() == pytest.approx(1)
    assert chances[:4].sum() > 0.99
    assert chances[:4].min() > 0.1, "all that are as near to the theme are about as likely"
    assert chances[4:8].max() < chances[8] < chances[:4].min()
    assert finder.outline_chances("wujue", []) == pytest.approx(np.full(9, 1 / 9))


def test_those_nearest_to_a_theme_are_equally_likely(vectors: planner.Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    words, theme = words_of(vectors), [CIRCLES[0][0]]
    nine = with_outlines(vectors)
    ranked = np.argsort(-nine.outline_chances("wujue", theme), kind="stable")
    plans = nine.outlines["wujue"].plans[np.concatenate([ranked[:4], np.repeat(ranked[4:], 200)])]
    numbers = np.arange(len(plans), dtype=np.int32)
    finder = Planner(
        vectors, words.keywords, words.counts, words.char_counts, {"wujue": Outlines(plans, numbers, numbers)}
    )
    monkeypatch.setattr(Planner, "num_nearest", 1)
    chances = finder.outline_chances("wujue", theme)
    assert chances[:4].min() > 10 * chances[4:].max()
    monkeypatch.setattr(Planner, "num_nearest", 10**6)  # one in two hundred: six
    chances = finder.outline_chances("wujue", theme)
    assert chances[:4] == pytest.approx(np.full(4, chances[4:].max()))


def test_likeness_is_a_cosine_with_the_theme(vectors: planner.Vectors) -> None:
    finder = words_of(vectors)
    likeness = finder.likeness([CIRCLES[0][0]])
    assert likeness[CIRCLES[0][0]] == pytest.approx(1)
    assert likeness[CIRCLES[0][1]] > 0.5 > abs(likeness[CIRCLES[1][0]])
    assert likeness[PAD_ID] == 0
    assert not finder.likeness([]).any()


def test_a_leaning_planner_finds_what_is_liked_more_often(vectors: planner.Vectors) -> None:
    finder = with_outlines(vectors)
    gains = np.zeros(len(vectors), np.float32)
    gains[CIRCLES[1][0]] = np.log(3)  # stands in three of the nine outlines
    gains[PAD_ID] = 9.0
    leaning = finder.leaning(gains)
    expected = np.array([1, 1, 1, 1, 3, 1, 1, 3, 3]) / 15
    assert leaning.outline_chances("wujue", []) == pytest.approx(expected)
    assert finder.divergence(leaning) == pytest.approx(float((expected * np.log(expected * 9)).sum()))
    assert finder.divergence(finder) == 0


def test_outlines_are_stored_with_the_planner(vectors: planner.Vectors) -> None:
    finder = with_outlines(vectors)
    stored = Planner.from_arrays(finder.arrays())
    for name, of in finder.outlines.items():
        for field in ("plans", "patterns", "rhymes"):
            assert np.array_equal(getattr(stored.outlines[name], field), getattr(of, field))
    assert not Planner.from_arrays(words_of(vectors).arrays()).outlines
