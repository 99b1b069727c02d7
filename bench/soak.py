"""Does the bot grow? Twenty minutes of members who ask and vote; the slopes of memory and file handles.

    python -m bench.soak [--minutes N]

The first quarter is left out of the slopes: caches fill.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tqdm import tqdm

from bench.load import Load, memory
from tests.bot.discord_server import running, start

_PIECE_SECONDS = 15.0
_RATE = 2.0
_WARM = 0.25  # share of the time that counts as warming up


def handles(pid: int) -> int:
    """Open file handles of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def slope(seconds: Sequence[float], values: Sequence[float]) -> float:
    """How much the values rise in an hour, by least squares, the warm-up left out."""
    first = int(len(seconds) * _WARM)
    return float(np.polyfit(seconds[first:], values[first:], 1)[0]) * 3600


async def soak(minutes: float, folder: Path) -> dict[str, float]:
    """Figures by name.

    Args:
        minutes: How long.
        folder: An empty one, for the bot's files.
    """
    source = random.Random(0)
    at: list[float] = []
    sizes: list[float] = []
    counts: list[float] = []
    written = 0
    poems: list[str] = []
    async with running() as discord:
        bot = await start(folder, discord.address, discord.gateway, "real", level="WARNING", COOLDOWN_SECONDS="0")
        try:
            await asyncio.wait_for(discord.ready.wait(), 60)
            load = Load(discord, bot.pid)
            started = time.monotonic()
            with tqdm(total=round(minutes * 60), unit="s", desc="soak") as bar:
                while (now := time.monotonic() - started) < minutes * 60:
                    phase = await load.phase("soak", _RATE, _PIECE_SECONDS)
                    written += phase.poems
                    poems += [poem for token in list(discord.shown) if (poem := discord.poem_of(token))]
                    for poem in source.sample(poems, min(len(poems), 20)):
                        value = source.choice(("up", "down"))
                        await discord.press(f"yin1:{value}:{poem}", source.randrange(10**6, 10**9))
                    at.append(now)
                    sizes.append(memory(bot.pid))
                    counts.append(handles(bot.pid))
                    discord.forget()
                    bar.update(round(min(time.monotonic() - started, minutes * 60)) - bar.n)
        finally:
            bot.terminate()
            await bot.wait()
    return {
        "minutes": minutes,
        "poems": written,
        "memory, MB": sizes[-1],
        "memory, MB an hour": slope(at, sizes),
        "file handles": counts[-1],
        "file handles an hour": slope(at, counts),
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.soak", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=20, help="how long (default 20)")
    minutes = parser.parse_args().minutes
    with TemporaryDirectory() as folder:
        for name, value in asyncio.run(soak(minutes, Path(folder))).items():
            print(f"{name}: {value:,.1f}")


if __name__ == "__main__":
    main()
