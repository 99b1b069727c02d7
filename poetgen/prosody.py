"""The tonal patterns of regulated verse as tables; checks a poem and says what is broken.

Knows no model: what a character may sound like is asked of `phonology`.

A line is described by its last five characters (its core). Level is written L, oblique O, either X:

    a  XOXLO     A  XOOLL     b  XLLOO     B  LLXOL or XLLOL

Lines of seven put two characters before the core, the first free, the second opposed to the core's second. A poem
is named by its first four lines; a longer one goes on in the way that its second couplet leads to.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from poetgen.errors import RequestError
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.poem import Poem

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
    "form", "tone", "opposition", "adhesion", "lone level", "three levels", "rhyme", "line end", "repeated rhyme"
]


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
        message: The same in words, for somebody who never heard of it.
    """

    kind: ProblemKind
    line: int
    position: int
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """What `check` found; `passed` means a regulated poem in every respect."""

    pattern: str
    rhyme: str | None
    problems: tuple[Problem, ...]

    @property
    def passed(self) -> bool:
        return not self.problems


_TONE_WORDS: Mapping[str, str] = MappingProxyType({"L": "level (平)", "O": "oblique (仄)"})


def _fits(template: str, tones: Sequence[str]) -> bool:
    return all(wanted == "X" or wanted in heard for wanted, heard in zip(template, tones, strict=True))


def _line_fits(line_type: str, tones: Sequence[str], next_tones: Sequence[str] | None) -> bool:
    cores = LINE_TYPES[line_type] + _TOLERATED[line_type]
    if any(_fits(template, tones) for template in _prefixed(cores, len(tones))):
        return True
    rescued = line_type == "a" and next_tones is not None and "L" in next_tones[-3]
    return rescued and _fits(_prefixed((_RESCUED_A,), len(tones))[0], tones)


def check(poem: Poem, phonology: Phonology) -> Report:
    """Form, rhyme and tones of a poem against the pattern it comes nearest to.

    A character of several readings passes if one of them fits; one that the phonology does not know passes for
    its tone and fails as a rhyme.
    """
    lengths = {len(line) for line in poem.lines}
    if len(lengths) != 1 or not lengths <= {5, 7} or len(poem.lines) not in (4, 8):
        shape = ", ".join(str(len(line)) for line in poem.lines) or "nothing"
        message = f"A regulated poem has 4 or 8 lines of 5 or 7 characters each; this has lines of {shape}."
        return Report("", None, (Problem("form", -1, -1, message),))
    tones = [[phonology.possible_tones(char) for char in line] for line in poem.lines]
    problems, pattern = _nearest_pattern(poem, tones)
    rhyme, rhyme_problems = _rhyme_problems(poem, pattern, phonology)
    return Report(pattern, rhyme, tuple(problems + rhyme_problems))


def _nearest_pattern(poem: Poem, tones: Sequence[Sequence[str]]) -> tuple[list[Problem], str]:
    """The pattern that fewest lines break, with what is broken."""

    @functools.cache
    def fits(number: int, line_type: str) -> bool:
        return _line_fits(line_type, tones[number], tones[number + 1] if number + 1 < len(tones) else None)

    num_lines = len(poem.lines)
    broken = {
        pattern: [
            (number, kind) for number, kind in enumerate(pattern_lines(pattern, num_lines)) if not fits(number, kind)
        ]
        for pattern in PATTERNS
    }
    fewest = min(map(len, broken.values()))
    candidates = [
        (
            [
                item
                for number, kind in lines
                for item in _line_problems(number, kind, poem.lines[number], tones[number])
            ],
            pattern,
        )
        for pattern, lines in broken.items()
        if len(lines) == fewest
    ]
    return min(candidates, key=lambda found: len(found[0]))


def _line_problems(number: int, line_type: str, line: str, heard: Sequence[str]) -> list[Problem]:
    where = f"Line {number + 1}, {line}:"
    core = heard[-5:]
    if (
        line_type == "B"
        and _fits("OLOOL", core)
        and _fits(line_templates("B", len(line))[0], [*heard[:-5], "L", *core[1:]])
    ):
        message = f"{where} only one level tone is left between oblique ones before the rhyme (孤平)."
        return [Problem("lone level", number, len(line) - 4, message)]
    if line_type == "A" and _fits("XOLLL", core):
        return [Problem("three levels", number, len(line) - 3, f"{where} it ends in three level tones (三平尾).")]
    opposite = {"L": "O", "O": "L", "X": "X"}
    template = min(
        line_templates(line_type, len(line)),
        key=lambda t: sum(w not in h for w, h in zip(t, heard, strict=True) if w != "X"),
    )
    swapped = "".join(opposite[wanted] for wanted in template)
    # All the alternating places turned round: the line stands in the wrong relation to the one before it.
    if number > 0 and all(
        swapped[place] in heard[place] and template[place] not in heard[place] for place in range(1, len(line) - 1, 2)
    ):
        if number % 2:
            return [
                Problem(
                    "opposition",
                    number,
                    1,
                    f"{where} its tones repeat those of the line before, where they should oppose them (失對).",
                )
            ]
        return [
            Problem(
                "adhesion",
                number,
                1,
                f"{where} its second tone should agree with that of the line before, across the couplets (失粘).",
            )
        ]
    problems: list[Problem] = []
    for place, (wanted, tones) in enumerate(zip(template, heard, strict=True)):
        if wanted == "X" or wanted in tones:
            continue
        if place == len(line) - 1:
            ending = "end level, in the rhyme" if wanted == "L" else "end oblique, since it does not rhyme"
            problems.append(Problem("line end", number, place, f"{where} it should {ending}; {line[place]} does not."))
        else:
            message = f"{where} character {place + 1}, {line[place]}, should be {_TONE_WORDS[wanted]}."
            problems.append(Problem("tone", number, place, message))
    return problems


def rhyming_lines(pattern: str, num_lines: int) -> tuple[int, ...]:
    """The numbers, from 0, of the lines that rhyme."""
    return tuple(number for number, kind in enumerate(pattern_lines(pattern, num_lines)) if kind in RHYMING_TYPES)


def rhyme_groups_of(char: str, phonology: Phonology) -> tuple[str, ...]:
    """The groups a character may be heard to rhyme in: the sure ones, else the likeliest."""
    sure = phonology.sure_rhymes(char)
    likeliest = phonology.rhyme(char)
    return sure or ((likeliest,) if likeliest else ())


def _rhyme_problems(poem: Poem, pattern: str, phonology: Phonology) -> tuple[str | None, list[Problem]]:
    ends = {number: poem.lines[number][-1] for number in rhyming_lines(pattern, len(poem.lines))}
    votes = Counter(group for char in ends.values() for group in rhyme_groups_of(char, phonology))
    group = max(votes, key=lambda name: (votes[name], -RHYME_GROUPS.index(name))) if votes else None
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for number, char in ends.items():
        where = f"Line {number + 1}, {poem.lines[number]}:"
        if char in seen:
            problems.append(
                Problem(
                    "repeated rhyme",
                    number,
                    len(poem.lines[number]) - 1,
                    f"{where} the rhyme {char} is used twice (重韻).",
                )
            )
        seen[char] = number
        own = rhyme_groups_of(char, phonology)
        borrowed = number == 0 and any(group and group in near and set(near) & set(own) for near in _NEIGHBOURS)
        if group not in own and not borrowed:
            belongs = f"it belongs to {'/'.join(own)}" if own else "it is not known as a level rhyme"
            problems.append(
                Problem(
                    "rhyme",
                    number,
                    len(poem.lines[number]) - 1,
                    f"{where} {char} does not rhyme with the group {group or '?'} (出韻); {belongs}.",
                )
            )
    return group, problems


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
        raise RequestError(
            f"{text!r} is no level rhyme. Give one of {' '.join(RHYME_GROUPS)}, or a character that rhymes in one."
        )
    if len(groups) > 1:
        raise RequestError(f"{text} rhymes in several groups: {', '.join(groups)}. Give the one you mean.")
    return groups[0]
