"""Words that no acrostic, theme or line may spell. Ours are in `texts/words.txt`; the owner and each server add theirs.

Knows no poet: what a person typed and the heads of lines are strings to it.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.errors import BotError, StartError
from poetgen.script import show, to_traditional

MAX_WORDS, MAX_WORD_LENGTH = 200, 20
_OURS = Path(__file__).parent / "texts" / "words.txt"
_BETWEEN = re.compile(r"[\W_]+")


def folded(typed: str) -> str:
    """A text as it is compared: one width, one case, one script, nothing between the characters."""
    return to_traditional(_BETWEEN.sub("", unicodedata.normalize("NFKC", typed).casefold()))


class WordList:
    """The words that may not be spelt anywhere.

    Args:
        path: The owner's list, a word a line; None for none.

    Raises:
        StartError: It cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        try:
            typed = _OURS.read_text(encoding="utf-8") + ("\n" + path.read_text(encoding="utf-8") if path else "")
        except (OSError, UnicodeDecodeError) as error:
            raise StartError(f"WORD_LIST {path} cannot be read ({type(error).__name__}).") from None
        self._words = _folded_words(tuple(line for line in typed.splitlines() if not line.startswith("#")))

    def found_in(self, spelt: str, more: tuple[str, ...] = ()) -> bool:
        """Whether a text holds one of the words, or of the server's own, which are `more`."""
        typed, shown = _forms(spelt)
        listed = self._words | _folded_words(more)
        return any(word in typed or as_shown in shown for word, as_shown in listed)

    def found_in_heads(self, heads: str, more: tuple[str, ...] = ()) -> bool:
        """Whether the first characters of lines spell one of the words, downwards or upwards.

        Only heads are read upwards: backwards many a line holds words that nobody sees in it.
        """
        return self.found_in(heads, more) or self.found_in(heads[::-1], more)

    def found_in_lines(self, lines: Sequence[str], more: tuple[str, ...] = ()) -> bool:
        """Whether a poem spells one of the words: in a line, or with the heads of its lines."""
        heads = "".join(line[:1] for line in lines)
        return any(self.found_in(line, more) for line in lines) or self.found_in_heads(heads, more)

    def refuse(self, typed: Iterable[str], acrostic: str = "", more: tuple[str, ...] = ()) -> None:
        """Refuse what spells a word of the list, without repeating it.

        Args:
            typed: What a person typed.
            acrostic: What lines are to begin with.
            more: The server's own words.

        Raises:
            BotError: One does.
        """
        if any(self.found_in(piece, more) for piece in typed) or self.found_in_heads(acrostic, more):
            raise BotError("word")


def _forms(spelt: str) -> tuple[str, str]:
    """A text as it is compared, and as it looks in simplified characters, where several are one (乾, 幹 and 干)."""
    text = folded(spelt)
    return text, show(text, "simplified")


@functools.lru_cache(256)
def _folded_words(words: tuple[str, ...]) -> frozenset[tuple[str, str]]:
    return frozenset((word, shown) for word, shown in map(_forms, words) if word)
