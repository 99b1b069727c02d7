"""How the log is written: as text for a terminal or as JSON, and never with the token or an interaction's in it.

Knows no handler but standard error, and one that counts. At INFO nothing names a person.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pythonjsonlogger.json import JsonFormatter

from bot.settings import Settings

# Libraries that tell at INFO what nobody asked for.
_QUIET = ("alembic", "aiosqlite", "sqlalchemy", "PIL", "aiohttp.access")
# Whoever has an interaction's token may answer it for fifteen minutes; discord.py logs the address on a rate limit.
_INTERACTION = re.compile(r"(/(?:webhooks|interactions)/\d+/)[\w.-]+")


class _Redacted(logging.Formatter):
    """Formats a record with tokens left out, wherever they came from."""

    def __init__(self, inner: logging.Formatter, token: str | None) -> None:
        super().__init__()
        self._inner = inner
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        line = _INTERACTION.sub(r"\1[token]", self._inner.format(record))
        return line.replace(self._token, "[token]") if self._token else line


class _Counter(logging.Handler):
    """Counts what is logged at ERROR, whoever logs it."""

    def __init__(self, count: Callable[[], None]) -> None:
        super().__init__(logging.ERROR)
        self._count = count

    def emit(self, record: logging.LogRecord) -> None:
        self._count()


@contextmanager
def errors_counted(count: Callable[[], None]) -> Iterator[None]:
    """Call `count` for each error that is logged meanwhile."""
    counter = _Counter(count)
    logging.getLogger().addHandler(counter)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(counter)


def set_up_logging(settings: Settings) -> None:
    """Log to standard error; what others say in detail only when all is asked for."""
    inner: logging.Formatter
    if settings.log_format == "json":
        inner = JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s", json_ensure_ascii=False)
    else:
        inner = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    token = settings.discord_token
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacted(inner, token.get_secret_value() if token else None))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
