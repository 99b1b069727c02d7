"""`python -m bot`: reads the settings, builds what they ask for, runs it and closes it again.

Knows no command; with a token it is Discord that sends them, without one the console.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial

from bot.console import Console, has_input, typed_lines
from bot.errors import StartError
from bot.inference import Inference, load_poet
from bot.poems import Poems
from bot.settings import Settings, load_settings
from bot.store import Store
from poetgen.errors import PoetgenError

_NO_DOOR = (
    "There is no DISCORD_TOKEN and nobody to type: put a token into .env, "
    "or start me in a terminal to try the commands there."
)


class _Redacted(logging.Formatter):
    """Formats a record with the token left out, wherever it came from."""

    def __init__(self, token: str | None) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._token = token

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return line.replace(self._token, "[token]") if self._token else line


def set_up_logging(settings: Settings) -> None:
    """Log to standard error; what others say in detail only when all is asked for."""
    token = settings.discord_token
    handler = logging.StreamHandler()
    handler.setFormatter(_Redacted(token.get_secret_value() if token else None))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in ("alembic", "aiosqlite", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _discord(settings: Settings, token: str, poems: Poems, store: Store) -> None:
    import aiohttp
    import discord  # half a second, which the console need not wait for

    from bot.client import PoetBot

    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # it has no voice to warn of
    async with PoetBot(poems, store, settings.poetry_script) as bot:
        try:
            await bot.start(token)
        except discord.LoginFailure:
            raise StartError(
                "Discord refuses the DISCORD_TOKEN; copy the token anew from the developer portal."
            ) from None
        except (aiohttp.ClientError, OSError, discord.DiscordServerError, AttributeError) as error:
            # discord.py 2.7.1 stumbles over a websocket that is not there yet when the first connection fails.
            if isinstance(error, AttributeError) and bot.ws is not None:
                raise
            cause = error.__context__ if isinstance(error, AttributeError) else error
            raise StartError(f"Discord cannot be reached ({cause}); see that this machine has a network.") from None


async def _console(settings: Settings, poems: Poems) -> None:
    await Console(poems, settings.poetry_script, partial(print, flush=True)).run(typed_lines(sys.stdin))


async def _serve(settings: Settings) -> None:
    load = partial(load_poet, settings.poetgen_home, settings.torch_threads)
    inference = Inference(load, queue_size=settings.queue_size, max_batch=settings.max_batch)
    async with await Store.open(settings.database_url) as store, inference:
        poems = Poems(inference, store)
        if settings.discord_token is not None:
            await _discord(settings, settings.discord_token.get_secret_value(), poems, store)
        else:
            await _console(settings, poems)


async def _until_stopped(work: Coroutine[None, None, None]) -> None:
    """Run until the work ends or a signal asks for the end; a second signal does not disturb the closing."""
    task = asyncio.create_task(work)
    loop = asyncio.get_running_loop()
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:
            stopping = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopping:
            raise


def main() -> int:
    """Returns the exit code: 0, or 2 after one sentence on standard error."""
    try:
        settings = load_settings()
        if settings.discord_token is None and not has_input(sys.stdin):
            raise StartError(_NO_DOOR)
        set_up_logging(settings)
        asyncio.run(_until_stopped(_serve(settings)))
    except (StartError, PoetgenError) as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read our output has gone, which is an end like any other; flushing at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
