from hypothesis import given
from hypothesis import strategies as st

from poetgen.seeds import FIRST_SEEDS, MAX_SEED, MAX_VARIATION, OUTLINES, STARTS, WAYS, Seed


@given(st.integers(0, MAX_SEED))
def test_every_number_is_a_seed(number: int) -> None:
    seed = Seed.of(number)
    assert seed.number == number
    assert 0 <= seed.outline < OUTLINES
    assert 0 <= seed.start < STARTS
    assert set(seed.ways) <= set(range(WAYS))
    assert 0 <= seed.variation <= MAX_VARIATION


@given(
    st.integers(0, OUTLINES - 1), st.integers(0, STARTS - 1), st.lists(st.integers(0, WAYS - 1), max_size=7),
    st.integers(0, MAX_VARIATION),
)  # fmt: skip
def test_a_seed_says_all_that_was_put_into_it(outline: int, start: int, ways: list[int], variation: int) -> None:
    seed = Seed(outline, start, tuple(ways), variation)
    assert 0 <= seed.number <= MAX_SEED
    again = Seed.of(seed.number)
    assert (again.outline, again.start, again.variation) == (outline, start, variation)
    assert list(again.ways) == ways + [0] * (7 - len(ways))
    assert (seed.number < FIRST_SEEDS) == (variation == 0)
