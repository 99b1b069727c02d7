"""The tonal patterns of regulated verse as tables; checks a poem and says what is broken.

Knows no model: what a character may sound like is asked of `phonology`.

A line is described by its last five characters (its core). Level is written L, oblique O, either X:

    a  XOXLO     A  XOOLL     b  XLLOO     B  LLXOL or XLLOL

Lines of seven put two characters before the core, the first free, the second opposed to the core's second. A poem
is named by its first four lines; a longer one goes on in the way that its second couplet leads to.
"""

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from poetgen.errors import RequestError
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.poem import Poem
from poetgen.script import script_of, to_simplified

# What is written. B keeps a level pair before its oblique fourth: the single level between obliques (孤平) is refused.
# A ends in two levels only, never three (三平尾).
LINE_TYPES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"a": ("XOXLO",), "A": ("XOOLL",), "b": ("XLLOO",), "B": ("LLXOL", "XLLOL")}
)
# What people also wrote and the rules excuse: three obliques at the end, and the exchanged pair (特拗).
_TOLERATED: Mapping[str, tuple[str, ...]] = MappingProxyType({"a": (), "A": (), "b": ("XLOOO", "LLOLO"), "B": ()})
# A fourth oblique in `a` (大拗) is excused where the next line has a level third. Never written by us.
_RESCUED_A = "XOXOO"

# The first line may rhyme with a neighbouring group (孤雁入群); ours never does.
_NEIGHBOURS: tuple[str, ...] = ("東冬江", "支微齊佳灰", "魚虞", "真文元寒刪先", "蕭肴豪", "歌麻佳", "庚青蒸", "覃鹽咸")

PATTERNS: tuple[str, ...] = ("aBbA", "ABbA", "bAaB", "BAaB")
_CONTINUATION: Mapping[str, str] = MappingProxyType({"bA": "aB", "aB": "bA"})
RHYMING_TYPES = frozenset("AB")

ProblemKind = Literal[
    "form",
    "oblique rhyme",
    "level wanted",
    "oblique wanted",
    "opposition",
    "adhesion",
    "lone level",
    "three levels",
    "rhyme",
    "no rhyme",
    "level end",
    "oblique end",
    "repeated rhyme",
]

# What breaks a poem, for somebody who never heard of it; a caller with other languages has the same keys.
PROBLEM_TEXTS: Mapping[ProblemKind, str] = MappingProxyType(
    {
        "form": "A regulated poem has 4 or 8 lines of 5 or 7 characters each; this has lines of {lengths}.",
        "oblique rhyme": (
            "Its even lines end in oblique tones (仄): that may be old-style verse (古體), which has no pattern of "
            "tones to keep; it is no regulated verse."
        ),
        "level wanted": "Line {number}, {line}: character {place}, {char}, should be level (平).",
        "oblique wanted": "Line {number}, {line}: character {place}, {char}, should be oblique (仄).",
        "opposition": (
            "Line {number}, {line}: its tones repeat those of the line before, where they should oppose them (失對)."
        ),
        "adhesion": (
            "Line {number}, {line}: its second tone should agree with that of the line before, across the couplets "
            "(失粘)."
        ),
        "lone level": (
            "Line {number}, {line}: only one level tone is left between oblique ones before the rhyme (孤平)."
        ),
        "three levels": "Line {number}, {line}: it ends in three level tones (三平尾).",
        "rhyme": (
            "Line {number}, {line}: {char} does not rhyme with the group {group} (出韻); it belongs to {groups}."
        ),
        "no rhyme": (
            "Line {number}, {line}: {char} does not rhyme; it is not known as a level rhyme, and regulated poems rhyme "
            "level."
        ),
        "level end": "Line {number}, {line}: it should end level, in the rhyme; {char} does not.",
        "oblique end": "Line {number}, {line}: it should end oblique, since it does not rhyme; {char} does not.",
        "repeated rhyme": "Line {number}, {line}: the rhyme {char} is used twice (重韻).",
    }
)


def pattern_lines(pattern: str, num_lines: int) -> str:
    """The line types of a whole poem, one letter a line, such as "ABbAaBbA" for eight lines of ABbA."""
    types = pattern
    while len(types) < num_lines:
        types += _CONTINUATION[types[-2:]]
    return types[:num_lines]


def line_templates(line_type: str, length: int) -> tuple[str, ...]:
    """The one or two tonal templates of a line type, for lines of 5 or 7 characters."""
    return _prefixed(LINE_TYPES[line_type], length)


def _prefixed(cores: Sequence[str], length: int) -> tuple[str, ...]:
    if length == 5:
        return tuple(cores)
    return tuple("X" + ("L" if core[1] == "O" else "O") + core for core in cores)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that breaks the form.

    Attributes:
        kind: What is broken.
        line: The line, from 0; -1 for the whole poem.
        position: The character in the line, from 0; -1 for the whole line.
        values: What fills the places of the kind's text.
    """

    kind: ProblemKind
    line: int
    position: int
    values: Mapping[str, str]

    @property
    def message(self) -> str:
        """The same in English words."""
        return PROBLEM_TEXTS[self.kind].format(**self.values)


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found; `passed` means a regulated poem in every respect.

    Attributes:
        pattern: The tonal pattern it comes nearest to; "" if its shape is none of ours, or it is old-style verse.
        rhyme: The rhyme group most of its ends belong to.
        tones: Of each character of each line, how it may be heard: "L", "O" or both ("LO"); "" if nobody knows.
        heard: The same, where the pattern decides between both.
        problems: What is broken.
        borrowed: The rhyme group of a first line that rhymes in a neighbouring one, as it may; else "".
    """

    pattern: str
    rhyme: str | None
    tones: tuple[tuple[str, ...], ...]
    heard: tuple[tuple[str, ...], ...]
    problems: tuple[Problem, ...]
    borrowed: str = ""

    @property
    def passed(self) -> bool:
        return not self.problems

    @property
    def decided(self) -> tuple[tuple[str, ...], ...]:
        """Of each character the tone that the pattern decides for, if it may be heard in both; else ""."""
        return tuple(
            tuple(settled if len(possible) > len(settled) else "" for possible, settled in zip(*line, strict=True))
            for line in zip(self.tones, self.heard, strict=True)
        )


def _fits(template: str, tones: Sequence[str]) -> bool:
    return all(wanted == "X" or wanted in heard for wanted, heard in zip(template, tones, strict=True))


@functools.lru_cache(maxsize=100_000)  # a corpus has the same tones again and again
def _line_fits(line_type: str, tones: tuple[str, ...], next_third: str) -> bool:
    """Whether a line may be of a type, where the next line's third tone from the end may be `next_third`."""
    cores = LINE_TYPES[line_type] + _TOLERATED[line_type]
    if any(_fits(template, tones) for template in _prefixed(cores, len(tones))):
        return True
    rescued = line_type == "a" and "L" in next_third
    return rescued and _fits(_prefixed((_RESCUED_A,), len(tones))[0], tones)


def check(poem: Poem, phonology: Phonology) -> Report:
    """Form, rhyme and tones of a poem against the pattern it comes nearest to.

    A character of several readings passes if one of them fits; one that the phonology does not know passes for
    its tone and fails as a rhyme.
    """
    tones = tuple(tuple(phonology.possible_tones(char) for char in line) for line in poem.lines)
    told = _without_unknown(tones, poem, phonology)
    lengths = {len(line) for line in poem.lines}
    if len(lengths) != 1 or not lengths <= {5, 7} or len(poem.lines) not in (4, 8):
        shape = ", ".join(str(len(line)) for line in poem.lines) or "nothing"
        return Report("", None, told, told, (Problem("form", -1, -1, {"lengths": shape}),))
    if all("L" not in heard[-1] for heard in tones[1::2]):
        return Report("", None, told, told, (Problem("oblique rhyme", -1, -1, {}),))
    problems, pattern, kinds = _nearest_pattern(poem, tones)
    rhyme, rhyme_problems, borrowed = _rhyme_problems(poem, pattern, phonology)
    heard = _without_unknown([_settled(*line) for line in zip(tones, kinds, strict=True)], poem, phonology)
    return Report(pattern, rhyme, told, heard, tuple(problems + rhyme_problems), borrowed)


def _without_unknown(tones: Sequence[Sequence[str]], poem: Poem, phonology: Phonology) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(tone if char in phonology else "" for tone, char in zip(line_tones, line, strict=True))
        for line_tones, line in zip(tones, poem.lines, strict=True)
    )


def restored(poem: Poem, typed: str, phonology: Phonology) -> Poem:
    """A poem typed in simplified characters with those that it was written in, as far as form and rhyme tell.

    Several characters may be simplified alike (乾, 幹 and 干 are 干), and a dictionary takes one that breaks the form
    now and then: where another of them mends it, that one is meant.
    """
    if script_of(typed) == "traditional":
        return poem
    lines = list(poem.lines)
    problems = check(poem, phonology).problems
    for problem in problems:
        if problem.position < 0:
            continue
        line, place = lines[problem.line], problem.position
        for other in _simplified_alike(phonology).get(to_simplified(line[place]), ""):
            lines[problem.line] = line[:place] + other + line[place + 1 :]
            tried = check(replace(poem, lines=tuple(lines)), phonology).problems
            if len(tried) < len(problems):
                problems = tried
                break
            lines[problem.line] = line
    return replace(poem, lines=tuple(lines))


@functools.lru_cache(maxsize=1)
def _simplified_alike(phonology: Phonology) -> Mapping[str, str]:
    """Simplified characters -> all that are written so, where they are several."""
    found: dict[str, str] = {}
    for char in phonology.chars:
        simplified = to_simplified(char)
        found[simplified] = found.get(simplified, "") + char
    return {simplified: chars for simplified, chars in found.items() if len(chars) > 1}


@functools.lru_cache(maxsize=100_000)
def _settled(heard: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """How the characters of a line of this type are heard: what the pattern decides, is decided."""
    templates = _prefixed(LINE_TYPES[kind] + _TOLERATED[kind], len(heard))
    fitting = [template for template in templates if _fits(template, heard)]
    wanted = [set(places) for places in zip(*fitting, strict=True)] or [{"X"}] * len(heard)
    return tuple(
        next(iter(ones)) if len(ones) == 1 and "X" not in ones else own for ones, own in zip(wanted, heard, strict=True)
    )


def _nearest_pattern(poem: Poem, tones: Sequence[tuple[str, ...]]) -> tuple[list[Problem], str, str]:
    """What breaks the tones, the pattern of the first couplet, and the line types that lines were held against.

    Each couplet is taken for what it comes nearest to by itself: one that does not adhere to the one before is one
    fault, and not a fault in each of its lines.
    """

    def fits(number: int, line_type: str) -> bool:
        return _line_fits(line_type, tones[number], tones[number + 1][-3] if number + 1 < len(tones) else "")

    costs = {
        kinds: sum(not fits(*line) for line in enumerate(kinds)) + len(_not_adhering(kinds))
        for kinds in _ways_to_go_on(len(poem.lines))
    }
    fewest = min(costs.values())
    candidates = [(_tone_problems(kinds, poem, tones, fits), kinds) for kinds, cost in costs.items() if cost == fewest]
    problems, kinds = min(candidates, key=lambda found: len(found[0]))
    pattern = next(pattern for pattern in PATTERNS if kinds.startswith(pattern[:2]))
    return problems, pattern, kinds


@functools.cache
def _ways_to_go_on(num_lines: int) -> tuple[str, ...]:
    """The line types of whole poems, each couplet of any kind that may stand at its place."""
    later = num_lines // 2 - 1
    couplets = itertools.product([pattern[:2] for pattern in PATTERNS], *[_CONTINUATION] * later)
    return tuple("".join(kinds) for kinds in couplets)


@functools.cache
def _not_adhering(kinds: str) -> tuple[int, ...]:
    """The lines that begin a couplet which does not go on as the one before leads to."""
    return tuple(number for number in range(2, len(kinds), 2) if kinds[number - 1].lower() != kinds[number].lower())


def _tone_problems(
    kinds: str, poem: Poem, tones: Sequence[Sequence[str]], fits: Callable[[int, str], bool]
) -> list[Problem]:
    apart = _not_adhering(kinds)
    problems = []
    for number, (kind, line) in enumerate(zip(kinds, poem.lines, strict=True)):
        if number in apart:
            # What cannot be heard is a fault only where no other explains it.
            alike = set(tones[number][1]) & set(tones[number - 1][1])
            if not alike or (fits(number - 1, kinds[number - 1]) and fits(number, kind)):
                problems.append(_at("adhesion", number, line, 1))
        if not fits(number, kind):
            above = tones[number - 1] if number and number not in apart else None
            problems += _line_problems(number, kind, line, tones[number], above)
    return problems


def _at(kind: ProblemKind, number: int, line: str, place: int, **values: str) -> Problem:
    """A problem at a place in a line, which its text may name."""
    named = {"number": str(number + 1), "line": line, "place": str(place + 1), "char": line[place]}
    return Problem(kind, number, place, named | values)


def _line_problems(
    number: int, line_type: str, line: str, heard: Sequence[str], above: Sequence[str] | None
) -> list[Problem]:
    """What is wrong with a line that does not fit its type.

    Args:
        number: Of the line.
        line_type: That it should be of.
        line: Its characters.
        heard: Its tones.
        above: Those of the line before, if the line may stand in the wrong relation to it.
    """
    core = heard[-5:]
    if (
        line_type == "B"
        and _fits("OLOOL", core)
        and _fits(line_templates("B", len(line))[0], [*heard[:-5], "L", *core[1:]])
    ):
        return [_at("lone level", number, line, len(line) - 4)]
    if line_type == "A" and _fits("XOLLL", core):
        return [_at("three levels", number, line, len(line) - 3)]
    template = min(
        line_templates(line_type, len(line)),
        key=lambda t: sum(w not in h for w, h in zip(t, heard, strict=True) if w != "X"),
    )
    alternating = range(1, len(line) - 1, 2)
    turned = above is not None and all(template[place] not in heard[place] for place in alternating)
    if turned and above is not None:
        # All of it turned round: then it stands in the wrong relation to the line before, if that can be heard.
        alike = [bool(set(heard[place]) & set(above[place])) for place in alternating]
        turned = all(alike) if number % 2 else not alike[0]
    problems = [_at("opposition" if number % 2 else "adhesion", number, line, 1)] if turned else []
    for place, (wanted, tones) in enumerate(zip(template, heard, strict=True)):
        at_end = place == len(line) - 1
        if wanted == "X" or wanted in tones or (turned and not at_end):
            continue
        kinds: Mapping[str, ProblemKind] = (
            {"L": "level end", "O": "oblique end"} if at_end else {"L": "level wanted", "O": "oblique wanted"}
        )
        problems.append(_at(kinds[wanted], number, line, place))
    return problems


def rhyming_lines(pattern: str, num_lines: int) -> tuple[int, ...]:
    """The numbers, from 0, of the lines that rhyme."""
    return tuple(number for number, kind in enumerate(pattern_lines(pattern, num_lines)) if kind in RHYMING_TYPES)


def rhyme_groups_of(char: str, phonology: Phonology) -> tuple[str, ...]:
    """The groups a character may be heard to rhyme in: the sure ones, else the likeliest."""
    sure = phonology.sure_rhymes(char)
    likeliest = phonology.rhyme(char)
    return sure or ((likeliest,) if likeliest else ())


def is_neighbour(group: str, own: Sequence[str]) -> bool:
    """Whether a first line that rhymes in `own` groups may stand in a poem that rhymes in `group` (孤雁入群)."""
    return any(group in near and set(near) & set(own) for near in _NEIGHBOURS)


def _rhyme_problems(poem: Poem, pattern: str, phonology: Phonology) -> tuple[str | None, list[Problem], str]:
    """The poem's rhyme group, what breaks it, and the neighbouring group that a first line takes, if it does."""
    ends = {number: poem.lines[number][-1] for number in rhyming_lines(pattern, len(poem.lines))}
    groups = {char: rhyme_groups_of(char, phonology) for char in ends.values()}
    votes = Counter(group for char in ends.values() for group in groups[char])
    group = max(votes, key=lambda name: (votes[name], -RHYME_GROUPS.index(name))) if votes else None
    problems: list[Problem] = []
    borrowed = ""
    seen: set[str] = set()
    for number, char in ends.items():
        line = poem.lines[number]
        if char in seen:
            problems.append(_at("repeated rhyme", number, line, len(line) - 1))
        seen.add(char)
        own = groups[char]
        # An end that is not level is no rhyme at all, and has been named for that.
        if group in own or "L" not in phonology.possible_tones(char):
            continue
        if number == 0 and group is not None and is_neighbour(group, own):
            borrowed = next(name for name in own if is_neighbour(group, (name,)))
        else:
            kind: ProblemKind = "rhyme" if own else "no rhyme"
            problems.append(_at(kind, number, line, len(line) - 1, group=group or "", groups="/".join(own)))
    return group, problems, borrowed


def patterns_for_first_line(line: str, phonology: Phonology) -> tuple[str, ...]:
    """The patterns whose first line `line` could be, strictly; empty if it fits none."""
    tones = [phonology.possible_tones(char) for char in line]
    return tuple(
        pattern
        for pattern in PATTERNS
        if any(_fits(template, tones) for template in line_templates(pattern[0], len(line)))
    )


def resolve_rhyme(text: str, phonology: Phonology) -> str:
    """The rhyme group that a person means by its name or by any member.

    Raises:
        RequestError: No such group, or a character that belongs to several.
    """
    if text in RHYME_GROUPS:
        return text
    groups = rhyme_groups_of(text, phonology) if len(text) == 1 else ()
    if not groups:
        raise RequestError("rhyme", text=text, groups=" ".join(RHYME_GROUPS))
    if len(groups) > 1:
        raise RequestError("rhyme_several", text=text, groups=", ".join(groups))
    return groups[0]
