import pytest
from hypothesis import given
from hypothesis import strategies as st

from poetgen import script


@pytest.mark.parametrize(
    ("typed", "ours"),
    [("秋云", "秋雲"), ("边塞", "邊塞"), ("爲", "為"), ("山峯", "山峰"), ("後庭", "後庭"), ("云", "雲"), ("", ""),
     ("征途", "征途"), ("征雁", "征雁"), ("征鸿", "征鴻")],
)  # fmt: skip
def test_what_people_type_becomes_folded_traditional(typed: str, ours: str) -> None:
    assert script.to_traditional(typed) == ours


def test_separate_words_stay_apart() -> None:
    for pair in ("里裏", "才纔", "後后", "雲云", "餘余"):
        assert len({script.fold(char) for char in pair}) == 2


@given(st.text(alphabet=st.characters(min_codepoint=0x3400, max_codepoint=0x9FFF), max_size=20))
def test_folding_twice_changes_nothing_and_keeps_length(text: str) -> None:
    folded = script.fold(text)
    assert script.fold(folded) == folded
    assert len(folded) == len(text)


def test_only_chinese_characters_are_hanzi() -> None:
    assert script.is_hanzi("秋夜")
    for text in ("", "秋 夜", "autumn", "秋🌙", "あき"):
        assert not script.is_hanzi(text)


def test_shown_in_either_script() -> None:
    assert script.show("為誰風露", "simplified") == "为谁风露"
    assert script.show("為誰風露", "traditional") == "為誰風露"


@pytest.mark.parametrize(
    ("text", "simplified", "traditional"),
    [("畫簷花蘂", "画檐花蕊", "畫簷花蕊"), ("却挂夜沈沈", "却挂夜沉沉", "卻掛夜沈沈"),
     ("爇香新篘", "爇香新篘", "爇香新篘"), ("沈園沈約", "沈园沈约", "沈園沈約"), ("神祇著書", "神祇著书", "神祇著書"),
     ("高閤月沈", "高阁月沉", "高閤月沈"),
     ("祇今都護著", "只今都护着", "祇今都護著"),
     ("祇園何沈謝", "祇园何沈谢", "祇園何沈謝")],
)  # fmt: skip
def test_each_script_is_as_it_is_printed_today(text: str, simplified: str, traditional: str) -> None:
    assert script.show(text, "simplified") == simplified
    assert script.show(text, "traditional") == traditional
    assert script.to_traditional(script.show(text, "traditional")) == script.fold(text), "typed again, it is the same"


@pytest.mark.parametrize(
    ("typed", "found"),
    [("黃河入海流", "traditional"), ("黄河入海流", "simplified"), ("白日依山", None),
     ("牀前看月光，舉頭望山月。", "traditional"), ("黃河 黄河", "traditional"), ("", None),
     ("春眠不覺曉，處處聞啼鳥。", "traditional"), ("春眠不觉晓，处处闻啼鸟。", "simplified"),
     ("水光潋滟晴方好，山色空濛雨亦奇。", "simplified"), ("细雨濛濛湿楚台，经春归客", "simplified")],
)  # fmt: skip
def test_script_is_told_by_most_characters(typed: str, found: str | None) -> None:
    assert script.script_of(typed) == found


def test_a_simplified_text_is_converted_throughout() -> None:
    assert script.to_traditional("细雨濛濛湿楚台\n经春归客") == "細雨濛濛濕楚臺\n經春歸客"
