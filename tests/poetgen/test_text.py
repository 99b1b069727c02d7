"""Poems as people paste them."""

import pytest

from poetgen.errors import RequestError
from poetgen.poem import FORMS, Form
from poetgen.text import parse_poem

LINES = ("白日依山盡", "黃河入海流", "欲窮千里目", "更上一層樓")


@pytest.mark.parametrize(
    "typed",
    [
        "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
        "白日依山尽\n黄河入海流\n欲穷千里目\n更上一层楼",
        "「白日依山盡，黃河入海流。」『欲窮千里目，更上一層樓』",
        "《登鸛雀樓》（王之渙）\n白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
        "登鸛雀樓 唐·王之渙\n白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
        "題鸛雀樓上 王之渙\n白日依山盡，黃河入海流。欲窮千里目，更上一層樓。",
        "白日依山盡黃河入海流欲窮千里目更上一層樓",
        "登鸛雀樓\n白日依山尽黄河入海流欲穷千里目更上一层楼",
    ],
)
def test_a_pasted_poem_is_its_lines(typed: str) -> None:
    poem = parse_poem(typed)
    assert poem.lines == LINES
    assert poem.form == FORMS["wujue"]


@pytest.mark.parametrize("form", FORMS.values())
def test_a_poem_without_punctuation_is_cut_into_equal_lines(form: Form) -> None:
    poem = parse_poem("風" * form.num_chars)
    assert poem.form == form
    assert len(parse_poem("風" * (form.num_chars - 1)).lines) == 1


def test_what_nobody_sees_is_no_character() -> None:
    assert parse_poem("白日\u200b依山盡，黃河\u2060入海流。\ufeff欲窮千里目，更上一層樓。").lines == LINES


def test_of_what_stands_before_a_poem_no_more_than_three_pieces_are_left_out() -> None:
    whole, before = "".join(LINES), ("登樓", "唐", "王之渙", "作")
    for poem in ("，".join(LINES), whole):
        assert parse_poem("，".join([*before[:3], poem])).lines == LINES
        assert parse_poem("，".join([*before, poem])).lines == (*before, *poem.split("，"))


def test_what_is_no_poem_keeps_all_its_lines() -> None:
    assert parse_poem("登鸛雀樓，白日依山盡").lines == ("登鸛雀樓", "白日依山盡")
    assert parse_poem("，".join([*LINES, *LINES])).form == FORMS["wulv"], "not a quatrain with a long title"
    assert len(parse_poem("，".join([*LINES, *LINES[:2]])).lines) == 6, "none of them is a title"
    assert len(parse_poem("，".join([*LINES, *LINES[:3]])).lines) == 7
    with pytest.raises(RequestError, match="lines and nothing else"):
        parse_poem("白日 and 依山")
    with pytest.raises(RequestError, match="Give a poem"):
        parse_poem("《》")
