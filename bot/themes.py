"""Themes of classical verse, and the names they have in English, Japanese and Korean.

Knows no poet. The table is `texts/themes.tsv`: traditional characters, pinyin, English, Japanese, Korean; several names
of one theme are divided by "/". How a theme is spelt in pinyin is a name too.
"""

import difflib
import functools
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from bot.typed import unmarked
from poetgen.poem import Script
from poetgen.script import show, to_traditional

_TABLE = Path(__file__).parent / "texts" / "themes.tsv"
# Of 1, by difflib: of a longer word one letter in four may be another; of a shorter one that is another word ("hope",
# "home"), so a letter may be missing or too many, or all may be there in another order.
_LIKENESS, _SHORT, _LIKENESS_IF_SHORT = 0.75, 6, 0.85
_MAX_WORDS = 8  # of names without "and" between them
# Between names, in a text of single blanks.
_AND = re.compile(r" (?:and|with) | ?[,&+、，と] ?|[와과] ", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme in traditional characters, and its names: of each language one or more, the usual one first.

    Its pinyin is without tones, the syllables divided by blanks.
    """

    hanzi: str
    pinyin: str
    english: tuple[str, ...]
    japanese: tuple[str, ...]
    korean: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.english, *self.japanese, *self.korean)


@functools.cache
def themes() -> tuple[Theme, ...]:
    """All of them, in the table's order: seasons and sky first."""
    found = []
    for row in _TABLE.read_text(encoding="utf-8").splitlines():
        if row and row[0] != "#":
            hanzi, pinyin, *languages = row.split("\t")
            english, japanese, korean = (tuple(names.split("/")) for names in languages)
            found.append(Theme(hanzi, pinyin, english, japanese, korean))
    return tuple(found)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("-", " ").split()).removeprefix("the ")


@functools.cache
def _by_name() -> dict[str, str]:
    """Of two themes with one name the first stands. Names count without their blanks too, and so does pinyin.

    Not that of one character: "he", "long" and "die" are words.
    """
    names: dict[str, str] = {}
    for theme in themes():
        for name in theme.names:
            names.setdefault(_folded(name), theme.hanzi)
    for theme in themes():
        for name in (*theme.names, *([theme.pinyin] if len(theme.hanzi) > 1 else [])):
            names.setdefault(_unspaced(_folded(name)), theme.hanzi)
    return names


def _unspaced(name: str) -> str:
    return name.replace(" ", "")


@functools.cache
def own_themes() -> frozenset[str]:
    """The themes of the table: those that are nobody's own words."""
    return frozenset(theme.hanzi for theme in themes())


def meant(typed: str) -> str:
    """The theme that is meant by one of its names, or by several of them together; anything else as it was typed."""
    if to_traditional(typed) in own_themes():
        return to_traditional(typed)
    named = [_joined(part) for part in (typed, *_parts(typed))]
    return named[0] or ("".join(named[1:]) if all(named[1:]) else typed)


def _parts(names: str) -> list[str]:
    """What stands between "and", commas and the like."""
    return _AND.split(" ".join(names.split()))


def _named(name: str) -> str:
    """The theme of that name, which may be in the plural, with other blanks, with marks of tones; "" if it is none."""
    folded = _folded(name)
    ways = (folded, folded.removesuffix("s"), _unspaced(folded), _unspaced(unmarked(folded)))
    return next((_by_name()[way] for way in ways if way in _by_name()), "")


def _joined(names: str) -> str:
    """The themes whose names stand one after another ("mountain temple"), long names first; "" if a word is none."""
    words = names.split()
    if len(words) > _MAX_WORDS:  # a sentence, of which each way to divide it need not be tried
        return ""
    for size in range(len(words), 0, -1):
        if head := _named(" ".join(words[:size])):
            tail = _joined(" ".join(words[size:]))
            if tail or size == len(words):
                return head + tail
    return ""


def nearest(typed: str, limit: int = 3) -> tuple[str, list[str]]:
    """The English names that are nearest to what somebody typed, and that piece of it which is no name itself.

    Of several themes together only the first unknown one is looked at; a theme is named once. ("", []) if none is near.
    """
    unknown = next((part for part in _parts(typed) if not _joined(part)), typed)
    names = {_folded(name): name for theme in themes() for name in theme.english}
    for piece in dict.fromkeys((typed, unknown)):
        # More than are wanted, for two of them may be names of one theme.
        near = [
            name
            for name in difflib.get_close_matches(_folded(piece), names, 3 * limit, _LIKENESS)
            if _is_like(_folded(piece), name)
        ]
        found: dict[str, str] = {}
        for name in near:
            found.setdefault(_by_name()[name], names[name])
        if found:
            return piece, list(found.values())[:limit]
    return "", []


def _is_like(typed: str, name: str) -> bool:
    if len(typed) >= _SHORT or sorted(typed) == sorted(name):
        return True
    return difflib.SequenceMatcher(None, name, typed).ratio() >= _LIKENESS_IF_SHORT


def suggestions(typed: str, script: Script, locale: str, limit: int = 25) -> list[tuple[str, str]]:
    """(what is shown, the theme) for what somebody has typed so far, in any language; else for what is near it."""
    wanted = _folded(typed)
    starting, spelt, holding = [], [], []
    for theme in themes():
        folded = [_folded(name) for name in (theme.hanzi, show(theme.hanzi, "simplified"), *theme.names)]
        if any(name.startswith(wanted) for name in folded):
            starting.append(theme)
        elif _unspaced(theme.pinyin).startswith(_unspaced(unmarked(wanted))):
            spelt.append(theme)
        elif any(wanted in name for name in folded):
            holding.append(theme)
    found = starting + spelt + holding
    if not found:
        word, near = nearest(typed)
        meant_by = {theme.hanzi: theme for theme in themes()}
        found = [meant_by[_by_name()[_folded(name)]] for name in near if word == typed]
    return [(_shown(theme, script, locale), theme.hanzi) for theme in found[:limit]]


def _shown(theme: Theme, script: Script, locale: str) -> str:
    hanzi = show(theme.hanzi, script)
    if locale.startswith("zh"):
        return hanzi
    name = {"ja": theme.japanese, "ko": theme.korean}.get(locale, theme.english)[0]
    return hanzi if name == hanzi else f"{hanzi} {name}"
