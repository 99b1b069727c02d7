"""Poems as people paste them."""

import pytest

from poetgen.errors import RequestError
from poetgen.poem import FORMS
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
    ],
)
def test_a_pasted_poem_is_its_lines(typed: str) -> None:
    poem = parse_poem(typed)
    assert poem.lines == LINES
    assert poem.form == FORMS["wujue"]


def test_what_is_no_poem_keeps_all_its_lines() -> None:
    assert parse_poem("登鸛雀樓，白日依山盡").lines == ("登鸛雀樓", "白日依山盡")
    assert parse_poem("，".join([*LINES, *LINES])).form == FORMS["wulv"], "not a quatrain with a long title"
    assert len(parse_poem("，".join([*LINES, *LINES[:2]])).lines) == 6, "none of them is a title"
    assert len(parse_poem("，".join([*LINES, *LINES[:3]])).lines) == 7
    with pytest.raises(RequestError, match="lines and nothing else"):
        parse_poem("白日 and 依山")
    with pytest.raises(RequestError, match="Give a poem"):
        parse_poem("《》")
