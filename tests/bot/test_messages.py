"""How poems and texts are shown."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BusyError, explain
from bot.messages import DEFAULT_LANGUAGE, TEXTS, clean, escaped, poem_card, poem_page
from bot.poems import vote_of
from poetgen.errors import RequestError
from poetgen.poem import FORMS, Composition, Poem, Script


def _composition(form: str, title: str = "秋夜") -> Composition:
    lines = tuple("風" * length for length in FORMS[form].line_lengths)
    return Composition(Poem(lines, FORMS[form], title), title, 5, "v", "BAaB", "東", 0.0)


@pytest.mark.parametrize(("script", "shown"), [("simplified", "风"), ("traditional", "風")])
def test_poem_is_set_in_couplets_in_the_script_asked_for(script: Script, shown: str) -> None:
    card = poem_card(_composition("wulv"), script).splitlines()
    assert card[0] == "**秋夜**"
    assert card[1:5] == [f"{shown * 5}，{shown * 5}。"] * 4
    assert card[5].startswith("-# ")
    assert len(card) == 6
    assert f"{shown * 5}，{shown * 5}。" in poem_page(_composition("wulv"), script)


def test_title_cannot_be_markup() -> None:
    card = poem_card(_composition("qijue", "**@everyone** <@1>\n# x"), "traditional")
    assert card.splitlines()[0] == r"**\*\*@everyone\*\* \<@1\> # x**"


@given(st.text())
def test_cleaned_text_is_one_line_without_invisible_characters(typed: str) -> None:
    cleaned = clean(typed)
    assert cleaned.isprintable()
    assert clean(cleaned) == cleaned
    assert len(escaped(typed)) >= len(cleaned)


def test_letters_are_left_alone() -> None:
    assert clean("秋夜 autumn, 가을 \U00020000") == "秋夜 autumn, 가을 \U00020000"


@pytest.mark.parametrize(
    ("emoji", "vote"), [("👍", 1), ("👎", -1), ("👍🏻", 1), ("👎🏿", -1), ("👍\ufe0f", 1), ("🍂", None), ("", None)]
)
def test_vote_of_an_emoji(emoji: str, vote: int | None) -> None:
    assert vote_of(emoji) == vote


def test_languages_have_the_same_texts_with_the_same_places() -> None:
    def places(table: dict[str, str]) -> dict[str, set[str | None]]:
        return {
            key: {name for _, name, _, _ in string.Formatter().parse(shown)} - {None} for key, shown in table.items()
        }

    expected = places(dict(TEXTS[DEFAULT_LANGUAGE]))
    assert all(places(dict(table)) == expected for table in TEXTS.values())
    assert {key for key in expected if key.startswith("form.")} == {f"form.{name}" for name in FORMS}


def test_known_errors_say_what_they_mean_and_others_do_not() -> None:
    assert explain(RequestError("No such form.")) == "No such form."
    assert "in about 7 s" in explain(BusyError(7))
    assert "secret" not in explain(KeyError("secret"))
