"""Themes of classical verse, and the names they have in English, Japanese and Korean.

Knows no poet. The table is `texts/themes.tsv`: traditional characters, English (several names divided by "/"),
Japanese, Korean.
"""

import difflib
import functools
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from poetgen.poem import Script
from poetgen.script import show, to_traditional

_TABLE = Path(__file__).parent / "texts" / "themes.tsv"
_LANGUAGES = {"ja": 1, "ko": 2}
# Of 1, by difflib: of a longer word one letter in four may be another; of a shorter one that is another word ("hope",
# "home"), so a letter may be missing or too many, or all may be there in another order.
_LIKENESS, _SHORT, _LIKENESS_IF_SHORT = 0.75, 6, 0.85
_MAX_WORDS = 8  # of names without "and" between them
_AND = re.compile(r" (?:and|with) | ?[,&+、，] ?", re.IGNORECASE)  # between names, in a text of single blanks


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme in traditional characters, and its names."""

    hanzi: str
    english: tuple[str, ...]
    japanese: str
    korean: str


@functools.cache
def themes() -> tuple[Theme, ...]:
    """All of them, in the table's order: seasons and sky first."""
    rows = [line.split("\t") for line in _TABLE.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]
    return tuple(Theme(hanzi, tuple(english.split("/")), japanese, korean) for hanzi, english, japanese, korean in rows)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().replace("-", " ").split()).removeprefix("the ")


@functools.cache
def _by_name() -> dict[str, str]:
    return {
        _folded(name): theme.hanzi
        for theme in reversed(themes())  # of two with one name, the first stands
        for name in (*theme.english, theme.japanese, theme.korean)
    }


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
    """The theme of that name, which may be in the plural; "" if there is none."""
    folded = _folded(name)
    return _by_name().get(folded) or _by_name().get(folded.removesuffix("s")) or ""


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
    starting, holding = [], []
    for theme in themes():
        names = (theme.hanzi, show(theme.hanzi, "simplified"), *theme.english, theme.japanese, theme.korean)
        folded = [_folded(name) for name in names]
        if any(name.startswith(wanted) for name in folded):
            starting.append(theme)
        elif any(wanted in name for name in folded):
            holding.append(theme)
    found = starting + holding
    if not found:
        word, near = nearest(typed)
        meant_by = {theme.hanzi: theme for theme in themes()}
        found = [meant_by[_by_name()[_folded(name)]] for name in near if word == typed]
    return [(_shown(theme, script, locale), theme.hanzi) for theme in found[:limit]]


def _shown(theme: Theme, script: Script, locale: str) -> str:
    hanzi = show(theme.hanzi, script)
    if locale.startswith("zh"):
        return hanzi
    name = (theme.english[0], theme.japanese, theme.korean)[_LANGUAGES.get(locale, 0)]
    return hanzi if name == hanzi else f"{hanzi} {name}"
