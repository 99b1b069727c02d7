"""Poems as people type them and as they are set for reading. Knows no prosody and no model."""

import re
import unicodedata
from collections.abc import Sequence

from poetgen import script
from poetgen.errors import RequestError
from poetgen.poem import FORMS, FORMS_BY_LENGTHS, Poem, Script, punctuated

_LINE_END = re.compile(
    r"[，。！？；、,.!?;：:\s《》〈〉「」『』“”\u2018\u2019\"'（）()【】\[\]…—·/|~\-\uff0e\uff0f\uff5c]+"
)

_FORMS_BY_NUM_CHARS = {form.num_chars: form for form in FORMS.values()}


def split_lines(text: str) -> list[str]:
    """The lines of a poem: they end at punctuation or a line break. What nobody sees (marks of order, joiners) goes."""
    seen = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return [line for line in _LINE_END.split(seen) if line]


def parse_poem(text: str) -> Poem:
    """A poem as a person types it: lines end at punctuation or a line break; its form, if it has one of ours.

    Title and author may stand before it, if what follows them has one of our forms. Without any punctuation it
    is cut into equal lines, if its length is that of one form.

    Raises:
        RequestError: It is empty or holds something other than Chinese characters.
    """
    pieces = _cut(split_lines(text))
    lines = tuple(script.to_traditional("\n".join(pieces[_num_before(pieces) :])).split())
    if not lines:
        raise RequestError("poem_empty")
    for line in lines:
        if not script.is_hanzi(line):
            raise RequestError("poem_hanzi", line=line)
    return Poem(lines, FORMS_BY_LENGTHS.get(tuple(map(len, lines))))


def _cut(pieces: list[str]) -> list[str]:
    """The pieces, the last one cut into lines if it is a whole poem; a title and an author may stand before it."""
    *before, last = pieces or [""]
    form = _FORMS_BY_NUM_CHARS.get(len(last))
    if form is None or len(before) > 3 or not script.is_hanzi(last):
        return pieces
    length = form.line_lengths[0]
    return [*before, *(last[start : start + length] for start in range(0, len(last), length))]


def _num_before(pieces: Sequence[str]) -> int:
    """How many pieces, three at most, stand before a poem of one of our forms."""
    lengths = tuple(map(len, pieces))
    for before in range(min(4, len(pieces))):
        # If all that stands before is as long as a line, it may be lines of a poem that has too many or too few.
        is_of_the_poem = before > 0 and set(lengths[:before]) == {lengths[before]}
        if lengths[before:] in FORMS_BY_LENGTHS and not is_of_the_poem:
            return before
    return 0


def couplets(lines: Sequence[str], shown_in: Script) -> list[str]:
    """The poem as it is set: punctuated, a couplet to a row, in the script asked for."""
    shown = [script.show(line, shown_in) for line in punctuated(tuple(lines))]
    return ["".join(shown[start : start + 2]) for start in range(0, len(shown), 2)]
