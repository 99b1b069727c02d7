"""Words that no acrostic, theme or line may spell. Ours are in `texts/words.txt`; the owner and each server add theirs.

Knows no poet: what a person typed and the heads of lines are strings to it.
"""

import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.errors import BotError, StartError
from poetgen.script import to_traditional

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

    def found_in(self, spelt: str, more: Iterable[str] = ()) -> bool:
        """Whether a text spells one of the words, forwards or backwards.

        Args:
            spelt: What a person typed, or the heads of the lines joined.
            more: The server's own words.
        """
        forwards = folded(spelt)
        backwards = forwards[::-1]
        return any(word in forwards or word in backwards for word in self._words | _folded_words(tuple(more)))

    def found_in_lines(self, lines: Sequence[str], more: Iterable[str] = ()) -> bool:
        """Whether a poem spells one of the words: in a line, or with the heads of its lines."""
        words = tuple(more)
        listed, spelt = self._words | _folded_words(words), [folded(line) for line in lines]
        # Only heads are read upwards, too: backwards many a line holds words that nobody sees in it.
        return any(word in line for line in spelt for word in listed) or self.found_in(
            "".join(line[:1] for line in lines), words
        )

    def refuse(self, typed: Iterable[str], more: Iterable[str] = ()) -> None:
        """Refuse what spells a word of the list, without repeating it.

        Raises:
            BotError: One does.
        """
        words = tuple(more)
        if any(piece and self.found_in(piece, words) for piece in typed):
            raise BotError("word")


@functools.lru_cache(256)
def _folded_words(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(word for word in map(folded, words) if word)
