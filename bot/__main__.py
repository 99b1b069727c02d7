"""`python -m bot`: reads the settings, builds what they ask for, runs it and closes it again.

Knows no command; with a token it is Discord that sends them, without one the console. `python -m bot doctor` only
looks whether all is there; its other verbs do for the operator what members and servers can ask for (`operator`).
"""

import asyncio
import io
import logging
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from bot.card import Cards
from bot.comparing import Comparing
from bot.console import Console
from bot.doctor import examine
from bot.errors import NotNowError, StartError
from bot.finetuning import FinetuneLimits, Finetuning
from bot.health import Health
from bot.inference import REMEMBERED, THREAD_NAME, Inference, load_poet
from bot.lines import has_input, typed_lines
from bot.logs import errors_counted, set_up_logging
from bot.metrics import Metrics
from bot.operator import VERBS, is_id, oblige
from bot.poems import Limits, Poems
from bot.preferences import Preferences
from bot.rating import Rating
from bot.services import Services
from bot.settings import Settings, child_variables, load_settings, unknown_settings
from bot.store import Store
from bot.voices import Voices
from bot.words import WordList
from poetgen import allocator
from poetgen.errors import PoetgenError
from poetgen.registry import Registry

_log = logging.getLogger(__name__)
_NO_DOOR = (
    "There is no DISCORD_TOKEN and nobody to type: put a token into .env, "
    "or start me in a terminal to try the commands there."
)
_USAGE = (
    "I am started with nothing behind my name, or with `doctor`, `forget USER_ID`, `export USER_ID` "
    "or `erase-server SERVER_ID`."
)
_HELP = """python -m bot                          the bot; without a token in .env, its commands in this terminal
python -m bot doctor                   is everything as it should be? one line each, and the invitation
python -m bot forget USER_ID           as /privacy delete; at once, and only while the bot is stopped
python -m bot export USER_ID           as /privacy export; likewise
python -m bot erase-server SERVER_ID   all of a server: poems, votes, settings, history and voice; likewise"""
_TRIM_SECONDS = 60.0
_PRIVACY_FILE = Path(__file__).parents[1] / "PRIVACY.md"


def finetune_command(ratings: Path, voice: str | None, minutes: int, seed: int) -> list[str]:
    """The command line of a fine-tune."""
    whose = [] if voice is None else ["--voice", voice]
    return [
        sys.executable, "-m", "poetgen", "finetune", "--ratings", str(ratings), *whose,
        "--minutes", str(minutes), "--seed", str(seed), "--json",
    ]  # fmt: skip


@asynccontextmanager
async def built(settings: Settings) -> AsyncIterator[Services]:
    """Everything the commands need, open until the context ends."""
    words, metrics = WordList(settings.word_list), Metrics()
    limits = Limits(settings.daily_quota, settings.cooldown_seconds, settings.poetry_script)
    finetune_limits = FinetuneLimits(
        settings.finetune_minutes, settings.finetune_min_poems, settings.finetune_min_voters,
        settings.finetune_min_votes, settings.finetune_silence_minutes * 60, settings.finetune_memory_mb,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(await Store.open(settings.database_url))
        await store.servers.load()
        inference = Inference(
            partial(load_poet, settings.poetgen_home, settings.torch_threads),
            queue_size=settings.queue_size,
            max_batch=settings.max_batch,
            max_voices=settings.max_voices,
            composed=metrics.composed.observe,
            lately=await store.poems.lately(REMEMBERED),
        )
        await stack.enter_async_context(inference)
        metrics.count_queue(lambda: inference.num_waiting)
        voices = Voices(Registry(settings.poetgen_home))
        poems = Poems(inference, store, voices, words, limits, metrics)
        finetuning = Finetuning(store, voices, finetune_command, child_variables(settings), finetune_limits)
        try:
            yield Services(
                poems=poems,
                rating=Rating(store, metrics),
                store=store,
                voices=voices,
                preferences=Preferences(store, limits),
                finetuning=finetuning,
                comparing=Comparing(poems),
                cards=Cards(settings.card_font),
                metrics=metrics,
                owner_guild_id=settings.owner_guild_id,
                privacy_url=settings.privacy_url,
                privacy_file=_PRIVACY_FILE,
            )
        finally:
            await finetuning.close()


def _health(port: int, services: Services, ready: Callable[[], bool]) -> Health:
    return Health(port, services.metrics, ready, lambda: services.voices.current(None))


async def _discord(settings: Settings, token: str, services: Services) -> None:
    import aiohttp
    import discord  # half a second, which the console need not wait for

    from bot.client import PoetBot

    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # it has no voice to warn of
    async with AsyncExitStack() as stack:
        bot = await stack.enter_async_context(PoetBot(services))
        if settings.health_port is not None:
            await stack.enter_async_context(_health(settings.health_port, services, bot.is_answering))
        try:
            await bot.start(token)
        except discord.LoginFailure:
            raise StartError(
                "Discord refuses the DISCORD_TOKEN; copy the token anew from the developer portal."
            ) from None
        except discord.PrivilegedIntentsRequired:
            raise NotNowError("Discord refuses the intents, although none is privileged; try again later.") from None
        except (aiohttp.ClientError, OSError, discord.DiscordServerError, AttributeError) as error:
            # discord.py 2.7.1 stumbles over a websocket that is not there yet when the first connection fails.
            if isinstance(error, AttributeError) and bot.ws is not None:
                raise
            cause = error.__context__ if isinstance(error, AttributeError) else error
            raise NotNowError(f"Discord cannot be reached ({cause}); see that this machine has a network.") from None


async def _console(settings: Settings, services: Services) -> None:
    from bot.daily import DailyPoems

    console = Console(services, partial(print, flush=True), Path("cards"))
    async with AsyncExitStack() as stack:
        if settings.health_port is not None:
            await stack.enter_async_context(_health(settings.health_port, services, lambda: True))
        await services.finetuning.start()
        daily = asyncio.create_task(DailyPoems(services.poems, console.admin).run(), name="daily-poems")
        try:
            await console.run(typed_lines(sys.stdin))
        finally:
            daily.cancel()
            await asyncio.gather(daily, return_exceptions=True)


async def _serve(settings: Settings) -> None:
    async with built(settings) as services:
        trimming = asyncio.create_task(_trim_now_and_then(), name="trim-memory")
        try:
            with errors_counted(services.metrics.errors.inc):
                if settings.discord_token is not None:
                    await _discord(settings, settings.discord_token.get_secret_value(), services)
                else:
                    await _console(settings, services)
        finally:
            trimming.cancel()


async def _trim_now_and_then() -> None:
    while True:
        await asyncio.sleep(_TRIM_SECONDS)
        await asyncio.to_thread(allocator.trim)


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


async def _doctor(settings: Settings) -> int:
    findings = await examine(settings)
    for finding in findings:
        print(finding.line())
    return 1 if any(finding.well is False for finding in findings) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0; 1 from a doctor who found something; after one sentence on standard error 2, or 75.

    75 is for what may mend itself: Discord that cannot be reached, a database or a port in use, a full disk.
    """
    typed = list(sys.argv[1:] if arguments is None else arguments)
    settings = None
    try:
        if typed and typed[-1] in ("--help", "-h"):
            print(_HELP)
            return 0
        asked = len(typed) == 2 and typed[0] in VERBS
        if typed not in ([], ["doctor"]) and not asked:
            raise StartError(_USAGE)
        if asked and not is_id(typed[1]):
            raise StartError(f"{typed[0]} takes an id, a number: Developer Mode in Discord, right-click, Copy ID.")
        settings = load_settings()
        if asked:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # what is stored is Chinese, and becomes a file
            print(asyncio.run(oblige(settings, typed[0], int(typed[1]))))
            return 0
        if typed:
            return asyncio.run(_doctor(settings))
        if settings.discord_token is None and not has_input(sys.stdin):
            raise StartError(_NO_DOOR)
        set_up_logging(settings)
        for said in unknown_settings():
            _log.warning(said)
        allocator.give_memory_back()
        asyncio.run(_until_stopped(_serve(settings)))
    except (StartError, PoetgenError) as error:
        if settings is not None and settings.log_format == "json" and not typed:
            set_up_logging(settings)
            _log.critical(error)
        else:
            print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, StartError) else StartError.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone, which is an end like any other; flushing at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def leave(code: int) -> None:
    """End the program, even if the poet's thread is still composing what nobody waits for any more."""
    if any(thread.name.startswith(THREAD_NAME) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    leave(main())
