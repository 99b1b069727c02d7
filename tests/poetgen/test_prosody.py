import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poetgen import prosody
from poetgen.errors import RequestError
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.poem import FORMS, Poem

# Poems from the public domain with their tones (L level, O oblique) and rhymes, typed by hand.
STORK = (("白日依山盡", "OOLLO"), ("黃河入海流", "LLOOL"), ("欲窮千里目", "OLLOO"), ("更上一層樓", "OOOLL"))
RHYMES = {"流": "尤", "樓": "尤", "秋": "尤", "西": "齊", "山": "刪", "天": "先", "花": "麻", "前": "先"}


def phonology_of(*lines: tuple[str, str], extra: str = "") -> Phonology:
    """A phonology that knows just these characters; `extra` as "秋L月O"."""
    tones = {char: tone for line, pattern in lines for char, tone in zip(line, pattern, strict=True)}
    tones |= dict(zip(extra[::2], extra[1::2], strict=True))
    chars = "".join(sorted(tones))
    tone_counts = np.array([[100, 0] if tones[char] == "L" else [0, 100] for char in chars], np.float32)
    rhyme_counts = np.zeros((len(chars), len(RHYME_GROUPS)), np.float32)
    for row, char in enumerate(chars):
        if char in RHYMES:
            rhyme_counts[row, RHYME_GROUPS.index(RHYMES[char])] = 100
    return Phonology(chars, tone_counts, rhyme_counts)


EXTRA = "秋L西L山L月O水O天L花L前L"


def report_of(*lines: tuple[str, str]) -> prosody.Report:
    return prosody.check(Poem(tuple(line for line, _ in lines)), phonology_of(*STORK, *lines, extra=EXTRA))


def kinds(report: prosody.Report) -> list[str]:
    return [problem.kind for problem in report.problems]


def test_a_regulated_poem_passes() -> None:
    report = report_of(*STORK)
    assert report.passed
    assert (report.pattern, report.rhyme) == ("aBbA", "尤")


@pytest.mark.parametrize(
    ("number", "line", "kind"),
    [
        (1, ("日河入海流", "OLOOL"), "lone level"),
        (3, ("更上依層樓", "OOLLL"), "three levels"),
        (1, ("白日一山流", "OOOLL"), "opposition"),
        (2, ("日目山窮盡", "OOLLO"), "adhesion"),
        (1, ("黃河入海西", "LLOOL"), "rhyme"),
        (3, ("更上一層流", "OOOLL"), "repeated rhyme"),
        (2, ("欲窮千里山", "OLLOL"), "oblique end"),
        (0, ("白山依山盡", "OLLLO"), "oblique wanted"),
    ],
)
def test_each_fault_is_named(number: int, line: tuple[str, str], kind: str) -> None:
    lines = [*STORK]
    lines[number] = line
    report = report_of(*lines)
    assert kind in kinds(report)
    assert all(problem.message.endswith(".") for problem in report.problems)


def test_the_message_names_line_and_character() -> None:
    lines = [*STORK]
    lines[1] = ("白日一山流", "OOOLL")
    lines[2] = ("欲窮千里山", "OLLOL")
    (problem,) = [problem for problem in report_of(*lines).problems if problem.kind == "oblique end"]
    assert (problem.line, problem.position) == (2, 4)
    assert problem.message.startswith("Line 3, 欲窮千里山")


def test_a_couplet_that_does_not_adhere_is_one_fault() -> None:
    lines = (*STORK[:2], ("更里依河目", "OOLLO"), ("黃河入月秋", "LLOOL"))
    (problem,) = report_of(*lines).problems
    assert (problem.kind, problem.line) == ("adhesion", 2), "each line is in order, and so is each couplet"


def test_what_the_pattern_decides_is_decided() -> None:
    base = phonology_of(*STORK, extra=EXTRA)
    counts = base.tone_counts.copy()
    for char in "山欲":
        counts[base.chars.index(char)] = (60, 40)
    report = prosody.check(Poem(tuple(line for line, _ in STORK)), Phonology(base.chars, counts, base.rhyme_counts))
    assert report.heard[0] == ("O", "O", "L", "L", "O"), "山 stands where only a level tone may"
    assert report.heard[2][0] == report.tones[0][3] == "LO", "欲 stands where either may"


def problems_of(*tones: str) -> list[tuple[str, int, int]]:
    """(kind, line, position) of what is wrong with a poem of these tones, all of whose characters differ and rhyme."""
    numbers = iter(range(0x4E00, 0x9FFF))
    lines = [("".join(chr(next(numbers)) for _ in line), line) for line in tones]
    base = phonology_of(*lines)
    known = Phonology(base.chars, base.tone_counts, np.where(np.arange(30) == 0, base.tone_counts[:, :1], 0))
    report = prosody.check(Poem(tuple(line for line, _ in lines)), known)
    return [(problem.kind, problem.line, problem.position) for problem in report.problems]


@pytest.mark.parametrize(
    ("tones", "problems"),
    [
        (("OOLLO", "LLOOL", "OLLOO", "OOOLL"), []),
        (("OOLOO", "LLLOL", "OLLOO", "OOOLL"), []),  # the second line's level third rescues the first
        (("OOLOO", "LLOOL", "OLLOO", "OOOLL"), [("level wanted", 0, 3)]),
        (("OOLLO", "OLOOL", "OLLOO", "OOLLL"), [("lone level", 1, 1), ("three levels", 3, 2)]),
        (("OLOOLLO", "OOOLOOL", "LOOLLOO", "LLOOLLL"), [("lone level", 1, 3), ("three levels", 3, 4)]),
        # More than the lone level is wrong with it.
        (("OLOOLLO", "OLOLOOL", "LOOLLOO", "LLOOOLL"), [("oblique wanted", 1, 1), ("level wanted", 1, 2)]),
        # One character explains what else would be a couplet that does not adhere, with one that is out of order.
        (("OOLLO", "LLOOL", "OLLLO", "LLLOL"), [("oblique wanted", 2, 1)]),
        # The last line does not repeat the tones of the line before; its couplet does not adhere.
        (("OOLLO", "LLOOL", "OOLOO", "LLOOL"), [("adhesion", 2, 1), ("level wanted", 2, 3)]),
        (("OOLLO", "LLOOL", "LOOLLOO", "LLOOOLL"), [("form", -1, -1)]),
    ],
)
def test_what_is_wrong_is_found_where_it_is(tones: tuple[str, ...], problems: list[tuple[str, int, int]]) -> None:
    assert problems_of(*tones) == problems


def test_only_a_first_line_may_borrow_a_rhyme() -> None:
    report = report_of(STORK[0], ("黃河入海山", "LLOOL"), STORK[2], ("更上一層前", "OOOLL"))
    assert (report.rhyme, report.borrowed) == ("刪", ""), "of groups with as many ends the first of the rhyme books"
    assert [(problem.kind, problem.line) for problem in report.problems] == [("rhyme", 3)]


def test_an_end_rhymes_where_it_is_likeliest_to_if_nothing_is_sure_of_it() -> None:
    base = phonology_of(*STORK)
    counts = base.rhyme_counts.copy()
    counts[base.chars.index("樓")] *= 0.02
    unsure = Phonology(base.chars, base.tone_counts, counts)
    assert unsure.sure_rhymes("樓") == ()
    assert prosody.check(Poem(tuple(line for line, _ in STORK)), unsure).passed


def test_what_was_typed_in_simplified_characters_is_only_changed_to_mend_it() -> None:
    lines = [*STORK[:3], ("更乾一層樓", "OLOLL")]
    poem, typed = Poem(tuple(line for line, _ in lines)), "白日依山尽，黄河入海流。欲穷千里目，更干一层楼。"
    assert prosody.restored(poem, typed, phonology_of(*lines, extra="干L")) == poem, "干 would be no better"
    mended = prosody.restored(poem, typed, phonology_of(*lines, extra="干L幹O"))
    assert mended.lines == (*poem.lines[:3], "更幹一層樓")


def test_oblique_rhymes_are_old_style_and_no_fault_of_each_line() -> None:
    lines = [*STORK]
    lines[1], lines[3] = ("黃河入流海", "LLOLO"), ("更上一樓目", "OOOLO")
    assert kinds(report_of(*lines)) == ["oblique rhyme"]
    lines[3] = STORK[3]
    assert [(problem.kind, problem.line) for problem in report_of(*lines).problems].count(("level end", 1)) == 1
    assert not {"rhyme", "no rhyme"} & set(kinds(report_of(*lines)))


def test_a_tone_that_nobody_knows_is_told_as_unknown_and_breaks_nothing() -> None:
    lines = (STORK[0][0], STORK[1][0], "欲她千里目", STORK[3][0])
    report = prosody.check(Poem(lines), phonology_of(*STORK, extra=EXTRA))
    assert report.passed
    assert report.tones[2][1] == report.heard[2][1] == report.decided[2][1] == ""


def test_a_first_line_may_borrow_a_neighbouring_rhyme_and_that_is_told() -> None:
    lines = [("更上日黃山", "OOOLL"), ("黃河入海天", "LLOOL"), STORK[2], ("更上一層前", "OOOLL")]
    report = report_of(*lines)
    assert report.passed
    assert (report.rhyme, report.borrowed) == ("先", "刪")
    assert report_of(*STORK).borrowed == ""


def test_people_may_exchange_the_pair_and_end_in_three_obliques() -> None:
    exchanged = [*STORK]
    exchanged[2] = ("千窮月山目", "LLOLO")
    assert report_of(*exchanged).passed
    obliques = [*STORK]
    obliques[2] = ("欲窮月里目", "OLOOO")
    assert report_of(*obliques).passed


def test_other_shapes_are_no_form() -> None:
    for lines in (("白日依山盡",), ("白日", "依山"), ("白日依山盡", "黃河入海"), ()):
        report = prosody.check(Poem(lines), phonology_of(*STORK))
        assert kinds(report) == ["form"]


def test_a_character_of_two_readings_passes_in_either() -> None:
    base = phonology_of(*STORK, extra=EXTRA)
    counts = base.tone_counts.copy()
    counts[base.chars.index("山")] = (60, 40)
    both = Phonology(base.chars, counts, base.rhyme_counts)
    lines = [*STORK]
    lines[2] = ("欲山千里目", "OLLOO")
    assert prosody.check(Poem(tuple(line for line, _ in lines)), both).passed
    lines[0] = ("白山依河盡", "OOLLO")
    assert prosody.check(Poem(tuple(line for line, _ in lines)), both).passed


@pytest.mark.parametrize("form", FORMS.values(), ids=list(FORMS))
@pytest.mark.parametrize("pattern", prosody.PATTERNS)
def test_the_tables_keep_the_rules_of_regulated_verse(form: object, pattern: str) -> None:
    from poetgen.poem import Form

    assert isinstance(form, Form)
    types = prosody.pattern_lines(pattern, form.num_lines)
    templates = [prosody.line_templates(kind, form.line_lengths[0]) for kind in types]
    seconds = [{template[1] for template in pair} for pair in templates]
    for number in range(1, form.num_lines):
        same = seconds[number] == seconds[number - 1]
        assert same == (number % 2 == 0), "couplets oppose within and adhere between"
    for pair in templates:
        for template in pair:
            assert template[-3:] != "LLL"
            assert template[1] != template[3]
    assert set(range(1, form.num_lines, 2)) <= set(prosody.rhyming_lines(pattern, form.num_lines))


@given(st.data())
def test_whatever_the_templates_allow_passes_the_check(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(list(FORMS.values())))
    pattern = data.draw(st.sampled_from(prosody.PATTERNS))
    numbers = iter(range(0x4E00, 0x9FFF))
    lines: list[tuple[str, str]] = []
    rhymes: list[str] = []
    for kind in prosody.pattern_lines(pattern, form.num_lines):
        template = data.draw(st.sampled_from(prosody.line_templates(kind, form.line_lengths[0])))
        tones = "".join(data.draw(st.sampled_from("LO")) if code == "X" else code for code in template)
        line = "".join(chr(next(numbers)) for _ in tones)
        lines.append((line, tones))
        if kind in prosody.RHYMING_TYPES:
            rhymes.append(line[-1])
    base = phonology_of(*lines)
    counts = base.rhyme_counts.copy()
    for char in rhymes:
        counts[base.chars.index(char), 0] = 50
    report = prosody.check(Poem(tuple(line for line, _ in lines)), Phonology(base.chars, base.tone_counts, counts))
    assert report.problems == ()


def test_a_rhyme_is_named_by_its_group_or_any_member() -> None:
    phonology = phonology_of(*STORK, extra=EXTRA)
    assert prosody.resolve_rhyme("尤", phonology) == "尤"
    assert prosody.resolve_rhyme("樓", phonology) == "尤"
    with pytest.raises(RequestError, match="no rhyme group"):
        prosody.resolve_rhyme("月", phonology)


def test_an_ambiguous_rhyme_lists_its_groups() -> None:
    base = phonology_of(*STORK, extra="車L")
    counts = base.rhyme_counts.copy()
    counts[base.chars.index("車"), [RHYME_GROUPS.index("魚"), RHYME_GROUPS.index("麻")]] = (600, 500)
    with pytest.raises(RequestError, match="魚, 麻"):
        prosody.resolve_rhyme("車", Phonology(base.chars, base.tone_counts, counts))
