"""How does the whole bot do when many members ask at once, alone and beside a fine-tune?

    python -m bench.load [--seconds N] [--out FOLDER]

Runs the bot as a process of its own, with the shipped poet, against a small server that speaks Discord's protocol
over loopback. Members ask at random times (a Poisson process), each in a direct message of his own. Reports what
they wait for the acknowledgement and for the poem, the bot's memory and the lag of its event loop; when it is quiet,
the same beside a fine-tune, and in an overload, after which it must recover. Writes `load.json` and `load.png`.
"""

import argparse
import asyncio
import json
import math
import os
import random
import re
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import numpy as np
from matplotlib.figure import Figure

from poetgen.evaluation.samples import common_themes
from poetgen.poem import FORMS
from tests.bot.discord_server import Discord, running, start

QUIET, BESIDE, OVERLOAD = "5 a second", "5 a second beside a fine-tune", "50 a second"
_FIRST_USER = 1_000_000
_PATIENCE = 120.0  # seconds after which a request counts as never answered
_RECOVERED = 1.5  # a poem within so many seconds: the overload is over


@dataclass(slots=True)
class Phase:
    """What happened while members asked at one rate.

    Attributes:
        name: Of the phase.
        rate: Requests a second.
        asked: How many.
        poems, refused, unanswered: What became of them.
        acknowledged: Seconds until each acknowledgement.
        answered: Seconds until each poem.
        at: When each poem was asked for, seconds from the phase's beginning.
        last_at: When the last request came, by the monotonic clock.
        memory: Resident MB of the bot at its beginning and end, and the most of bot and fine-tune together.
        lag: Share of the event loop's wake-ups that came within 200 ms.
    """

    name: str
    rate: float
    asked: int = 0
    poems: int = 0
    refused: int = 0
    unanswered: int = 0
    acknowledged: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    last_at: float = 0.0
    memory: tuple[float, float, float] = (0.0, 0.0, 0.0)
    lag: float = 1.0

    def figures(self) -> dict[str, float]:
        """Counts, quantiles and memory by name."""
        return {
            "asked": self.asked, "poems": self.poems, "refused": self.refused, "unanswered": self.unanswered,
            "acknowledged p50": _quantile(self.acknowledged, 50), "acknowledged p99": _quantile(self.acknowledged, 99),
            "poem p50": _quantile(self.answered, 50), "poem p95": _quantile(self.answered, 95),
            "memory before, MB": self.memory[0], "memory after, MB": self.memory[1],
            "memory with the fine-tune, most, MB": self.memory[2],
            "loop's wake-ups within 200 ms": self.lag,
        }  # fmt: skip


class Load:
    """Members who ask a running bot.

    Args:
        discord: The server that they and the bot share.
        pid: The bot's process.
        health_port: Where its metrics are; None if they are not served.
        seed: Decides who asks what, and when.
    """

    def __init__(self, discord: Discord, pid: int, health_port: int | None = None, seed: int = 0) -> None:
        self._discord = discord
        self._pid = pid
        self._health_port = health_port
        self._random = random.Random(seed)
        self._next_user = _FIRST_USER

    async def phase(self, name: str, rate: float, seconds: float, beside: int | None = None) -> Phase:
        """Let members ask at a rate.

        Args:
            name: Of the phase.
            rate: Requests a second, on average.
            seconds: For how long new ones come; then all answers are waited for.
            beside: Another process whose memory counts.
        """
        phase = Phase(name, rate)
        before, lag_before = memory(self._pid), await self._wakeups()
        most = [before]
        watching = asyncio.create_task(self._watch(most, beside))
        started = time.monotonic()
        asking: list[asyncio.Task[None]] = []
        due = 0.0
        while (due := due + self._random.expovariate(rate)) < seconds:
            await asyncio.sleep(max(0.0, started + due - time.monotonic()))
            asking.append(asyncio.create_task(self._ask(phase, started)))
        phase.last_at = time.monotonic()
        await asyncio.gather(*asking)
        watching.cancel()
        phase.memory = before, memory(self._pid), max(most)
        within, wakeups = (now - then for now, then in zip(await self._wakeups(), lag_before, strict=True))
        phase.lag = within / wakeups if wakeups else 1.0
        return phase

    async def poem_seconds(self) -> float:
        """How long one request alone takes."""
        phase = Phase("one", 0)
        await self._ask(phase, time.monotonic())
        return phase.answered[0] if phase.answered else _PATIENCE

    async def _ask(self, phase: Phase, started: float) -> None:
        self._next_user += 1
        options = [
            {"name": "form", "type": 3, "value": self._random.choice(list(FORMS))},
            {"name": "theme", "type": 3, "value": self._random.choice(common_themes())},
        ]
        asked = time.monotonic()
        phase.asked += 1
        token = await self._discord.command("poem", *options, user_id=self._next_user)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._discord.answered[token].wait()
                phase.acknowledged.append(self._discord.times[token] - asked)
                data = self._discord.shown[token].get("data") or {}
                if not data.get("content"):
                    await self._discord.answered[f"{token} edited"].wait()
                    data = self._discord.shown[token]
        except TimeoutError:
            phase.unanswered += 1
            return
        if data.get("components"):
            phase.poems += 1
            phase.at.append(asked - started)
            phase.answered.append(self._discord.times[f"{token} edited"] - asked)
        else:
            phase.refused += 1

    async def _watch(self, most: list[float], beside: int | None) -> None:
        while True:
            most.append(memory(self._pid) + (memory(beside) if beside else 0.0))
            await asyncio.sleep(0.5)

    async def _wakeups(self) -> tuple[float, float]:
        """How many wake-ups of the bot's loop came within 200 ms, and how many there were."""
        if self._health_port is None:
            return 0.0, 0.0
        page = await asyncio.to_thread(_fetched, f"http://127.0.0.1:{self._health_port}/metrics")
        counts = dict(re.findall(r'yin_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', page))
        return float(counts["0.2"]), float(counts["+Inf"])


def _fetched(address: str) -> str:
    with urlopen(address) as page:  # noqa: S310 (our own, on loopback)
        return str(page.read().decode())


def memory(pid: int) -> float:
    """Resident memory of a process, MB; 0 if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    found = re.search(r"VmRSS:\s+(\d+)", status)
    return int(found[1]) / 1024 if found else 0.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quantile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")


async def measure(seconds: float, folder: Path) -> tuple[dict[str, dict[str, float]], list[Phase]]:
    """(figures by phase and name, phases); the first of the figures are of the start.

    Args:
        seconds: Of the quiet phases; the overload takes half of it.
        folder: An empty one, for the bot's files.
    """
    async with running() as discord:
        port = free_port()
        started = time.monotonic()
        bot = await start(folder, discord.address, discord.gateway, "real", level="WARNING", HEALTH_PORT=str(port))
        try:
            await asyncio.wait_for(discord.ready.wait(), 60)
            load = Load(discord, bot.pid, port)
            await load.poem_seconds()
            first = time.monotonic() - started
            quiet = await load.phase(QUIET, 5, seconds)
            async with _finetune(folder) as finetune:
                beside = await load.phase(BESIDE, 5, seconds, finetune)
            overload = await load.phase(OVERLOAD, 50, seconds / 2)
            recovered = False
            while not recovered and time.monotonic() - overload.last_at < _PATIENCE:
                recovered = await load.poem_seconds() <= _RECOVERED
            start_figures = {
                "first poem, s after the start": first,
                "recovered, s after the overload": time.monotonic() - overload.last_at if recovered else math.inf,
            }
        finally:
            bot.terminate()
            await bot.wait()
    phases = [quiet, beside, overload]
    return {"start": start_figures} | {phase.name: phase.figures() for phase in phases}, phases


class _finetune:  # noqa: N801 (used like a function)
    """A fine-tune as the bot starts it, as a context; gives the number of its process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> int:
        file = self._folder / "ratings.jsonl"
        await asyncio.to_thread(_write_ratings, file)
        command = [sys.executable, "-m", "poetgen", "finetune", "--ratings", str(file), "--voice", "bench", "--json"]
        # What it learns stays in the bench's folder; it is nice by itself.
        variables = os.environ | {"POETGEN_HOME": str(self._folder / "home")}
        self._process = await asyncio.create_subprocess_exec(*command, env=variables, stdout=asyncio.subprocess.DEVNULL)
        return self._process.pid

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        else:
            print("The fine-tune ended before the poems beside it did: their figures are too good.", file=sys.stderr)
        await self._process.wait()


def _write_ratings(file: Path) -> None:
    from bench.members import HONEST, vote
    from bench.shipped import shipped_poet
    from bench.tastes import Taste
    from poetgen.poem import PoemRequest

    poet = shipped_poet(2)
    served = poet.compose([PoemRequest(theme=theme, candidates=2) for theme in common_themes()[:80]])
    taste = Taste("moon", True, lambda text: float(text.count("月")))
    file.write_text(vote(served, taste, 300, HONEST, seed=0).lines, encoding="utf-8")


def draw(phases: Sequence[Phase]) -> Figure:
    """What each member waited, against when he asked."""
    figure = Figure(figsize=(8, 3.2), dpi=120, layout="constrained")
    for axes, phase in zip(figure.subplots(1, len(phases)), phases, strict=True):
        axes.plot(phase.at, phase.answered, ".", color="#2b5f75", markersize=4)
        axes.set_title(phase.name, fontsize=9)
        axes.set_xlabel("asked at, s", fontsize=8)
        axes.set_ylabel("poem after, s", fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.load", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=40, help="of each phase; the overload takes half of it")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        figures, phases = asyncio.run(measure(options.seconds, Path(folder)))
    rows = json.dumps({"figures": figures, "phases": [asdict(phase) for phase in phases]}, indent=1)
    (options.out / "load.json").write_text(rows + "\n", encoding="utf-8")
    draw(phases).savefig(options.out / "load.png")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
