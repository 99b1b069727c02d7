"""Poems as people type them and as they are set for reading. Knows no prosody and no model."""

import re
from collections.abc import Sequence

from poetgen import script
from poetgen.errors import RequestError
from poetgen.poem import FORMS_BY_LENGTHS, Poem, Script, punctuated

_LINE_END = re.compile(r"[，。！？；、,.!?;：:\s]+")


def split_lines(text: str) -> list[str]:
    """The lines of a poem: they end at punctuation or a line break."""
    return [line for line in _LINE_END.split(text) if line]


def parse_poem(text: str) -> Poem:
    """A poem as a person types it: lines end at punctuation or a line break; its form, if it has one of ours.

    Raises:
        RequestError: It is empty or holds something other than Chinese characters.
    """
    lines = tuple(script.to_traditional(line) for line in split_lines(text))
    if not lines:
        raise RequestError("poem_empty")
    for line in lines:
        if not script.is_hanzi(line):
            raise RequestError("poem_hanzi", line=line)
    return Poem(lines, FORMS_BY_LENGTHS.get(tuple(map(len, lines))))


def couplets(lines: Sequence[str], shown_in: Script) -> list[str]:
    """The poem as it is set: punctuated, a couplet to a row, in the script asked for."""
    shown = [script.show(line, shown_in) for line in punctuated(tuple(lines))]
    return ["".join(shown[start : start + 2]) for start in range(0, len(shown), 2)]
