"""The nouns that all code shares: Form, Poem, PoemRequest, Composition.

Knows no torch, no files, no prosody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from poetgen.errors import RequestError

Script = Literal["simplified", "traditional"]
SCRIPTS: tuple[Script, ...] = ("simplified", "traditional")

MAX_THEME_LENGTH = 20
MAX_CANDIDATES = 128
DEFAULT_CANDIDATES = 64
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class Form:
    """A form of verse: how many lines, and how many characters in each.

    Attributes:
        name: The identifier used in commands and files, in pinyin.
        hanzi: The Chinese name, in traditional characters.
        line_lengths: Characters in each line; they may differ (词 has such forms).
    """

    name: str
    hanzi: str
    line_lengths: tuple[int, ...]

    @property
    def num_lines(self) -> int:
        return len(self.line_lengths)

    @property
    def num_chars(self) -> int:
        return sum(self.line_lengths)


FORMS: Mapping[str, Form] = MappingProxyType(
    {
        form.name: form
        for form in (
            Form("wujue", "五絕", (5,) * 4),
            Form("qijue", "七絕", (7,) * 4),
            Form("wulv", "五律", (5,) * 8),
            Form("qilv", "七律", (7,) * 8),
        )
    }
)
FORMS_BY_LENGTHS: Mapping[tuple[int, ...], Form] = MappingProxyType(
    {form.line_lengths: form for form in FORMS.values()}
)
DEFAULT_FORM = FORMS["qijue"]


def form_named(name: str) -> Form:
    """The form of that name, in pinyin or in either script's characters.

    Raises:
        RequestError: No such form; the message lists those there are.
    """
    wanted = name.strip().lower().replace("绝", "絕")
    for form in FORMS.values():
        if wanted in (form.name, form.hanzi):
            return form
    raise RequestError("form", name=name, forms=", ".join(FORMS))


@dataclass(frozen=True, slots=True)
class Poem:
    """A poem, whoever wrote it, in traditional characters without punctuation."""

    lines: tuple[str, ...]
    form: Form | None = None
    title: str = ""
    author: str = ""
    dynasty: str = ""

    @property
    def text(self) -> str:
        return "".join(self.lines)


@dataclass(frozen=True, slots=True)
class PoemRequest:
    """What somebody asks the poet for.

    Attributes:
        form: The form to write in.
        theme: What the poem is about, "" for anything; at most `MAX_THEME_LENGTH` characters.
        acrostic: First characters of the lines (藏頭), at most one a line.
        first_line: The whole first line.
        rhyme: A rhyme group, or a character that belongs to just one.
        seed: Replays one candidate; None draws `candidates` of them and picks one.
        vary: The seed of a poem; the candidates are drawn near it: its pattern, rhyme and plan, and noise like its own.
        candidates: How many to choose among, 1 to `MAX_CANDIDATES`; ignored with a seed.
        temperature: Of the characters' distribution; None for the version's own default.
    """

    form: Form = DEFAULT_FORM
    theme: str = ""
    acrostic: str = ""
    first_line: str = ""
    rhyme: str = ""
    seed: int | None = None
    vary: int | None = None
    candidates: int = DEFAULT_CANDIDATES
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class Composition:
    """A poem that the poet wrote, and all it takes to write it again.

    Attributes:
        poem: The poem as written, in traditional characters.
        theme: The theme as asked for, "" if none was.
        seed: The seed that replays this very poem with the same request and version.
        version: The version that wrote it.
        pattern: The tonal pattern's name, such as "ABbA".
        rhyme: The rhyme group's name, such as "東".
        realness: The discriminator's logit; higher is more like a person's.
        in_classics: Of each line, whether it stands in the corpus the poet read, as far as a fingerprint tells.
        problems: What breaks the form, in words; empty for a regular poem.
    """

    poem: Poem
    theme: str
    seed: int
    version: str
    pattern: str
    rhyme: str
    realness: float
    in_classics: tuple[bool, ...]
    problems: tuple[str, ...] = field(default=())


def punctuated(lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines as a person would set them: a comma after the first of a couplet, a full stop after the second."""
    return tuple(line + ("。" if number % 2 or number == len(lines) - 1 else "，") for number, line in enumerate(lines))
