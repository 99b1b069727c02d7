"""The bot's own errors, and the one place that turns any error into a sentence to show.

Knows no Discord, no database and no model.

BotError              what was asked cannot be done; shown in the reader's language
├── BusyError         too many poems are waiting
├── ClosingError      the bot is stopping
└── MistypedError     what was typed is not known; the text repeats it
StartError            the program cannot start until somebody mends it: one sentence, exit code 2
└── NotNowError       the program cannot start now, but may later: one sentence, exit code 75
"""

import logging
import secrets
from dataclasses import dataclass

from bot.catalogue import DEFAULT_LANGUAGE, refusal, text
from poetgen.errors import PoetgenError, RequestError

_log = logging.getLogger(__name__)


class BotError(Exception):
    """What was asked cannot be done, and a text of the catalogue says why.

    Args:
        key: The text's key below "error.".
        values: What stands in it.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(text(f"error.{key}", DEFAULT_LANGUAGE, **values))
        self.key = key
        self.values = values


class BusyError(BotError):
    """Too many poems are waiting.

    Args:
        seconds: About how long until there is room.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__("busy", seconds=seconds)


class ClosingError(BotError):
    """The bot is stopping and takes nothing new."""

    def __init__(self) -> None:
        super().__init__("closing")


class MistypedError(BotError):
    """What was typed is not known; the text repeats it, so whoever shows it must escape markup in it."""


class StartError(Exception):
    """The program cannot start; the message is one sentence that says what to do."""

    exit_code = 2


class NotNowError(StartError):
    """The program cannot start now, but what is in its way may go by itself: whoever starts it may try again."""

    exit_code = 75  # EX_TEMPFAIL in sysexits.h


@dataclass(frozen=True, slots=True)
class Explanation:
    """What to tell the person whose request failed.

    Attributes:
        text: One sentence or two.
        error_id: What the log carries too, if nobody expected the error; then trying again may help.
    """

    text: str
    error_id: str | None = None


def explain(error: BaseException, language: str = DEFAULT_LANGUAGE, *, operator: bool = False) -> Explanation:
    """What to tell; an error that nobody expected is logged with its traceback under a short id.

    Args:
        error: What happened.
        language: Of the text.
        operator: Whether it is told to who runs the bot, and can mend what no member can.
    """
    if isinstance(error, BotError):
        return Explanation(text(f"error.{error.key}", language, **error.values))
    if isinstance(error, RequestError):
        return Explanation(refusal(error, language))
    if operator and isinstance(error, PoetgenError):
        return Explanation(str(error))
    error_id = secrets.token_hex(4)
    _log.error("error %s", error_id, exc_info=error)
    return Explanation(text("error.unexpected", language, error_id=error_id), error_id)
