"""The bot's own errors, and the one place that turns any error into a sentence to show.

Knows no Discord, no database and no model.

BotError              what was asked cannot be done; shown in the reader's language
├── BusyError         too many poems are waiting
├── ClosingError      the bot is stopping
└── TypedError        a line in the console that is no command
StartError            the program cannot start: one sentence, exit code 2
"""

import logging
import secrets

from bot.messages import DEFAULT_LANGUAGE, text
from poetgen.errors import PoetgenError

_log = logging.getLogger(__name__)


class BotError(Exception):
    """What was asked cannot be done, and a text of the catalogue says why.

    Args:
        key: The text's key.
        values: What stands in it.
    """

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(text(key, DEFAULT_LANGUAGE, **values))
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


class TypedError(BotError):
    """A line in the console that is no command."""


class StartError(Exception):
    """The program cannot start; the message is one sentence that says what to do."""


def explain(error: BaseException, language: str = DEFAULT_LANGUAGE) -> str:
    """What to tell the person whose request failed.

    An error that nobody expected is logged with its traceback under a short id, and the id is what is told.
    """
    if isinstance(error, BotError):
        return text(error.key, language, **error.values)
    if isinstance(error, PoetgenError):
        return str(error)
    error_id = secrets.token_hex(4)
    _log.error("error %s", error_id, exc_info=error)
    return text("unexpected", language, error_id=error_id)
