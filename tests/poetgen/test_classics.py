"""The fingerprint denies no line it was made of, and takes few others for one of them."""

from hypothesis import given
from hypothesis import strategies as st

from poetgen.classics import Classics

hanzi_lines = st.sets(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=5, max_size=7))


@given(hanzi_lines)
def test_no_line_is_denied(lines: set[str]) -> None:
    classics = Classics.of(lines)
    assert all(classics.hold(line) for line in lines)


def test_few_others_are_taken_for_one() -> None:
    classics = Classics.of(f"line {number}" for number in range(20_000))
    assert sum(classics.hold(f"other {number}") for number in range(20_000)) < 100


def test_it_takes_twelve_bits_a_line() -> None:
    assert Classics.of(str(number) for number in range(1000)).bits.nbytes == 1500
