"""The lines that somebody types: whether there can be any, and each as it comes.

Knows no command.
"""

import asyncio
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator
from typing import TextIO


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
