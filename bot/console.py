"""The same commands, typed in a terminal or sent through a pipe, for trying the bot without a token.

Knows no Discord and no model.
"""

import asyncio
import os
import re
import stat
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import TextIO

from bot.errors import TypedError, explain
from bot.messages import poem_page, text
from bot.poems import DOWN, UP, VOTES, Poems
from bot.store import Asker
from poetgen.poem import FORMS, Script

# In the console there is one person, who is nobody on Discord.
_ASKER = Asker(requester_id=0)
_OPTION = re.compile(r"(?:^|\s)(form|theme|seed)[:：]")
_RATINGS = {"up": VOTES[UP], "down": VOTES[DOWN], "clear": None}


class Console:
    """Reads commands and prints answers until the lines end or one is /quit.

    Args:
        poems: What the bot does.
        script: The characters that poems are shown in.
        write: Prints a line or several.
    """

    def __init__(self, poems: Poems, script: Script, write: Callable[[str], None]) -> None:
        self._poems = poems
        self._script = script
        self._write = write
        self._last_poem: int | None = None
        self._commands = {"poem": self._poem, "rate": self._rate, "help": self._help}

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Answer each line; what fails is told, and the next line is read."""
        self._write(text("console.welcome"))
        async for line in lines:
            if line.strip() == "/quit":
                return
            if line.strip():
                try:
                    await self._answer(line.strip())
                except BrokenPipeError:
                    raise  # whoever read the answers has gone
                except Exception as error:
                    self._write(explain(error))

    async def _answer(self, line: str) -> None:
        if not line.startswith("/"):
            raise TypedError("console.no_slash")
        name, _, rest = line[1:].partition(" ")
        if name not in self._commands:
            raise TypedError("console.unknown", name=name)
        await self._commands[name](rest.strip())

    async def _poem(self, rest: str) -> None:
        options = _options(rest)
        seed = options.pop("seed", None)
        try:
            number = None if seed is None else int(seed)
        except ValueError:
            raise TypedError("console.seed", seed=seed) from None
        poem = await self._poems.finish(self._poems.begin(**options, seed=number), _ASKER)
        self._last_poem = poem.id
        self._write(poem_page(poem.composition, self._script))

    async def _rate(self, rest: str) -> None:
        if rest not in _RATINGS:
            raise TypedError("console.rate")
        if self._last_poem is None:
            raise TypedError("console.no_poem")
        value = _RATINGS[rest]
        if value is None:
            await self._poems.take_back(self._last_poem, _ASKER.requester_id)
        else:
            await self._poems.vote(self._last_poem, _ASKER.requester_id, value)
        up, down = await self._poems.tally(self._last_poem)
        self._write(text("console.rated", up=up, down=down))

    async def _help(self, _: str) -> None:
        self._write(text("console.help", forms="|".join(FORMS)))


def _options(rest: str) -> dict[str, str]:
    """`form:qijue theme:秋夜` as a dict; a value goes on until the next option."""
    before, *pieces = _OPTION.split(rest)
    names = pieces[::2]
    if before.strip() or len(set(names)) < len(names):
        raise TypedError("console.options", rest=before.strip() or rest)
    return {name: value.strip() for name, value in zip(names, pieces[1::2], strict=True)}


def has_input(stream: TextIO | None) -> bool:
    """Whether anybody can type: a terminal, a pipe or a file, but not /dev/null and not a closed input."""
    try:
        return stream is not None and (stream.isatty() or not stat.S_ISCHR(os.fstat(stream.fileno()).st_mode))
    except (OSError, ValueError):
        return False


async def typed_lines(stream: TextIO) -> AsyncIterator[str]:
    """The lines of standard input as they come.

    They are read by a daemon thread, and past Python's own buffer: a thread that waits within the buffer holds its
    lock, and the interpreter could not end until a line is typed.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    prompt = "> " if stream.isatty() else ""

    def read() -> None:
        while True:
            try:
                piece = os.read(stream.fileno(), 65536)
            except OSError:
                piece = b""
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, piece)
            except RuntimeError:  # the loop is closed: nobody listens any more
                return
            if not piece:
                return

    threading.Thread(target=read, name="console-input", daemon=True).start()
    pending = b""
    while True:
        print(prompt, end="", file=sys.stdout, flush=True)
        while b"\n" not in pending:
            piece = await arrived.get()
            if not piece:
                if pending:
                    yield pending.decode("utf-8", "replace")
                return
            pending += piece
        line, _, pending = pending.partition(b"\n")
        yield line.decode("utf-8", "replace")
