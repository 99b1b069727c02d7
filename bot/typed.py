"""What people type, and what is shown to them, made harmless: control and bidi characters, markup, mentions.

Knows no language.
"""

import re
import unicodedata

# What Discord would read as markup, a mention or a link with another text.
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]])")
# At the start of a line only: headings, lists, quotes, small print.
_LINE_MARKDOWN = re.compile(r"^(#|-|>|\d+\.)", re.MULTILINE)
# Control (Cc), format (Cf: bidi marks, zero-width), private use, surrogates, line and paragraph separators.
_INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"))
_LINK = re.compile(r"(?i)\b(?:https?://|discord\.gg/|www\.)\S*")
_MARKS = re.compile(r"\*\*|(?m:^-# )|(?<!\\)`|(?<!\\)\|\|")


def clean(typed: str) -> str:
    """What a person typed without control, bidi and other invisible characters, blanks made single."""
    spaced = (" " if char.isspace() else char for char in typed)
    return " ".join("".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE).split())


def escaped(shown: str) -> str:
    """A text of one line that Discord shows as it stands, whatever markup, mention or link it holds."""
    return _LINE_MARKDOWN.sub(r"\\\1", _MARKDOWN.sub(r"\\\1", _LINK.sub("…", clean(shown))))


def plain(page: str) -> str:
    """A page made for Discord as a terminal shows it: without bold, small print, code marks and backslashes."""
    return re.sub(r"\\(.)", r"\1", _MARKS.sub("", page))


def shortened(shown: str, length: int) -> str:
    """At most `length` characters of a text, the last one telling that there was more."""
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def unmarked(pinyin: str) -> str:
    """Pinyin as people type it: without the marks of its tones."""
    return "".join(char for char in unicodedata.normalize("NFD", pinyin) if not unicodedata.combining(char))
