"""How poems are shown, and what people typed is made harmless."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.catalogue import LANGUAGES
from bot.job_pages import history_page, progress_page, result_page, versions_page, voices_page
from bot.pages import MAX_PAGE, again_page, check_page, compare_page, info_page, poem_page, replay_command, top_page
from bot.rating import vote_of
from bot.store.jobs import Job
from bot.store.poems import StoredPoem
from bot.training import Progress
from bot.typed import clean, escaped, plain, shortened
from poetgen.poem import FORMS, Composition, Poem, Script
from poetgen.prosody import PROBLEM_TEXTS, Problem, Report
from tests.bot.conftest import version_named


def stored(form: str = "qilv", title: str = "秋夜", **values: Any) -> StoredPoem:
    poem = StoredPoem(
        id=1, created_at=0, requester_id=1, guild_id=2, channel_id=3, message_id=4, form=form, theme=title,
        seed=2**53 - 1, version="v" * 12, pattern="BAaB", rhyme="東", title=title,
        text="\n".join("風" * length for length in FORMS[form].line_lengths), realness=0.0, acrostic="", first_line="",
        asked_rhyme="", ranked=True, in_classics="1" * FORMS[form].num_lines, purpose="asked", script="simplified",
        language="en", vote_buttons=False, hidden=False,
    )  # fmt: skip
    return replace(poem, **values)


def report(poem: Poem, kinds: tuple[str, ...] = ()) -> Report:
    values = dict.fromkeys(("lengths", "number", "line", "place", "char", "group", "groups"), "風")
    problems = tuple(Problem(kind, 0, 0, values) for kind in kinds)  # type: ignore[arg-type]
    tones = tuple(("L", "O", "LO", "L", "O", "LO", "L")[: len(line)] for line in poem.lines)
    return Report("BAaB", "東", tones, tones, problems)


@pytest.mark.parametrize(("script", "shown"), [("simplified", "风"), ("traditional", "風")])
def test_poem_is_set_in_couplets_in_the_script_asked_for(script: Script, shown: str) -> None:
    page = poem_page(stored("wulv", script=script)).splitlines()
    assert page[0] == "**秋夜**"
    assert page[1:5] == [f"{shown * 5}，{shown * 5}。"] * 4
    assert page[5].startswith("-# ")
    assert len(page) == 6


def test_title_cannot_be_markup() -> None:
    page = poem_page(stored("qijue", "**@everyone** <@1>\n# x https://evil.example/a", script="traditional"))
    assert page.splitlines()[0] == r"**\*\*@everyone\*\* \<@1\> # x …**"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("form", FORMS)
def test_no_page_is_longer_than_a_message(language: str, form: str) -> None:
    poem = stored(form, "夜" * 20, language=language, acrostic="春" * 8, first_line="風" * 7, ranked=False)
    kinds = tuple(PROBLEM_TEXTS) * 6
    pages = [
        poem_page(poem),
        info_page(poem, report(poem.poem), True, language),
        check_page(poem.poem, report(poem.poem, kinds), "traditional", language),
        top_page([(poem, 1000, 1000)] * 10, "month", language, "traditional"),
        again_page(poem, language),
        compare_page(poem, poem, language, 1),
        versions_page(
            [version_named("v" * 12, f"server-{2**63}")] * 40, "v" * 12, language, {"v" * 12: (10**6, 10**6)}
        ),
    ]
    assert all(0 < len(page) <= MAX_PAGE for page in pages)
    assert all("{" not in page for page in pages)


def test_latest_versions_are_listed() -> None:
    page = versions_page([version_named(f"v{number}") for number in range(40)], "v39", "en")
    assert "◉ `v39`" in page
    assert "`v1`" not in page


def test_versions_are_listed_with_how_they_were_liked() -> None:
    page = versions_page([version_named("v1"), version_named("v2")], "v1", "en", {"v2": (9, 1)})
    # Wilson's bounds of .9 in 10, 95 % on either side.
    assert page.splitlines()[-1] == "-# 👍 9 · 👎 1; the share that likes it lies between 65 and 98 %"
    assert page.count("👍") == 1


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("state", ["queued", "running", "evaluating", "promoted", "rejected", "failed", "cancelled"])
def test_no_page_of_a_job_is_longer_than_a_message(language: str, state: Any) -> None:
    figures = {f"a figure with a long name {n}": float(n) for n in range(40)}
    outcome = {"reasons": ["orphaned", "x" * 500] * 9, "before": figures, "after": figures}
    job = Job(7, 1, 2, 3, 4, language, state, 0, 0, 0, 1, 5, 10, 20, 30, "old", "new", outcome)
    composition = Composition(Poem(stored().lines, FORMS["qilv"], "題"), "題", 1, "v", "BAaB", "東", 0.0, (False,) * 8)
    pages = [
        result_page(job),
        progress_page(job, Progress("gate", 0.5, 100, 0.25), 3),
        history_page([job] * 10, language),
        voices_page([(composition, composition)] * 3, "simplified", language),
    ]
    assert all(0 < len(page) <= MAX_PAGE for page in pages)


def test_check_explains_each_kind_of_fault_once() -> None:
    poem = stored("wujue").poem
    page = check_page(poem, report(poem, ("adhesion", "adhesion", "lone level")), "simplified", "zh-CN")
    assert page.count("（失粘）") == 2
    assert page.count("-# 失粘：") == 1
    assert page.count("-# 孤平：") == 1


def test_check_tells_what_it_does_not_know_and_what_is_allowed() -> None:
    poem = stored("wujue").poem
    tones = (("L", "O", "", "L", "O"), *report(poem).tones[1:])
    page = check_page(poem, replace(report(poem), tones=tones, heard=tones, borrowed="冬"), "simplified", "en")
    assert "风·" in page
    assert "the tone of 风, so its tone was not judged" in page
    assert "neighbouring group, 冬 dōng" in page
    faulty = check_page(poem, report(poem, ("adhesion",)), "simplified", "en")
    assert "quatrains without these rules" in faulty
    unrhymed = check_page(poem, report(poem, ("rhyme", "repeated rhyme")), "simplified", "en")
    assert "quatrains without these rules" not in unrhymed
    eight = stored("wulv").poem
    assert "quatrains" not in check_page(eight, report(eight, ("adhesion",)), "simplified", "en")


def test_old_style_verse_is_called_so_and_breaks_nothing() -> None:
    poem = stored("wujue").poem
    assert "\nOld-style verse:\n• " in check_page(poem, report(poem, ("oblique rhyme",)), "simplified", "en")
    assert "\n古体诗：\n• " in check_page(poem, report(poem, ("oblique rhyme",)), "simplified", "zh-CN")


def test_replay_holds_all_that_was_asked_for() -> None:
    poem = stored("wujue", acrostic="春江", first_line="春眠不覺曉", asked_rhyme="東", seed=5)
    expected = "/poem form:wujue theme:秋夜 acrostic:春江 first_line:春眠不覺曉 rhyme:東 seed:5 script:simplified"
    assert replay_command(poem) == expected


@pytest.mark.parametrize(
    ("first_line", "in_classics", "said"),
    [
        ("", "1100", "Also in the collection I learned from (rarely a false alarm), lines: 1, 2."),
        ("", "0000", "None of its lines is in the collection I learned from."),
        ("牀前明月光", "1100", "Also in the collection I learned from (rarely a false alarm), lines: 2."),
        ("牀前明月光", "1000", "Beside your first line, none of its lines is in the collection I learned from."),
    ],
)
def test_nothing_is_said_of_a_line_that_was_given(first_line: str, in_classics: str, said: str) -> None:
    poem = stored("wujue", first_line=first_line, in_classics=in_classics)
    assert said in info_page(poem, report(poem.poem), True, "en").splitlines()


def test_a_poem_whose_theme_was_forgotten_promises_no_replay() -> None:
    poem = stored("wujue", theme="", title="無題")
    assert "/poem" not in info_page(poem, report(poem.poem), True, "en")
    assert "/poem" in info_page(stored("wujue"), report(poem.poem), True, "en")


def test_links_lead_to_the_message_and_there_is_none_without_one() -> None:
    assert "https://discord.com/channels/2/3/4" in top_page([(stored(), 1, 0)], "all", "en", "simplified")
    assert "http" not in top_page([(stored(message_id=None), 1, 0)], "all", "en", "simplified")


@given(st.text())
def test_cleaned_text_is_one_line_without_invisible_characters(typed: str) -> None:
    cleaned = clean(typed)
    assert cleaned.isprintable()
    assert clean(cleaned) == cleaned


@given(st.text(alphabet="秋a*_~`|<>[]\\#- 1.", max_size=30))
def test_plain_takes_escapes_away_again(typed: str) -> None:
    assert plain(escaped(typed)) == clean(typed)


def test_letters_are_left_alone() -> None:
    assert clean("秋夜 autumn, 가을 \U00020000") == "秋夜 autumn, 가을 \U00020000"
    assert escaped("秋夜 autumn") == "秋夜 autumn"
    assert shortened("秋夜月", 2) == "秋…"


@pytest.mark.parametrize(
    ("emoji", "vote"), [("👍", 1), ("👎", -1), ("👍🏻", 1), ("👎🏿", -1), ("👍\ufe0f", 1), ("🍂", None), ("", None)]
)
def test_vote_of_an_emoji(emoji: str, vote: int | None) -> None:
    assert vote_of(emoji) == vote
