"""One fine-tune as a child process: its JSON lines, its silence, its end.

Knows no job and no database. The command line is handed in, so that tests run a small script of their own.
"""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL
_LONGEST_LINE = 2**20
_MEMORY_SECONDS = 0.5  # how often its memory is looked at
_FIRST_TO_GO = 500  # of 1000: when memory runs out the kernel ends the child, and not the bot
_MAX_PLOT_BYTES = 8 * 2**20
_OF_VOTES = frozenset(("few", "alike", "fold"))  # some were taken back while it was queued, and nobody can mend that


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a fine-tune is: its stage, 0 to 1, and about how many seconds are left."""

    stage: str
    progress: float
    seconds_left: float
    reward: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a fine-tune ended.

    Attributes:
        verdict: promoted, refused or failed; cancelled, where it was stopped.
        version: The new version, if there is one.
        reasons: The gate's, or why it failed: keys of the catalogue below "reason.".
        before: Figures of the base by name.
        after: The same of the new version.
        plot: A PNG of the reward.
    """

    verdict: str
    version: str | None = None
    reasons: tuple[str, ...] = ()
    before: Mapping[str, float] | None = None
    after: Mapping[str, float] | None = None
    plot: bytes | None = None


class TrainingProcess:
    """A child in a session of its own; a fine-tune lowers its priority itself.

    Args:
        command: What to run.
        variables: Its variables.
        silence_seconds: Without a line for so long it is stopped.
        most_mb: With more resident memory it is stopped; where there is no /proc, nobody looks.
        heard: Told of each progress line.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        silence_seconds: float,
        most_mb: int,
        heard: Callable[[Progress], Awaitable[None]],
    ) -> None:
        self._command = command
        self._variables = variables
        self._silence_seconds = silence_seconds
        self._most_mb = most_mb
        self._too_large = False
        self._heard = heard
        self._process: asyncio.subprocess.Process | None = None

    async def run(self) -> Outcome:
        """Run to the end; being cancelled stops the child first."""
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=dict(self._variables),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                start_new_session=True,
            )
        except OSError as error:
            _log.error("the fine-tune cannot be started: %s", error)
            return Outcome("failed", reasons=("start",))
        _let_go_first(process.pid)
        complaints = asyncio.create_task(self._last_complaint(process), name="finetune-stderr")
        watch = asyncio.create_task(self._watch_memory(process.pid), name="finetune-memory")
        try:
            last, reason = await self._listen(process)
            await self.stop() if reason else await asyncio.wait_for(process.wait(), self._silence_seconds)
        except TimeoutError:  # it closed its output but does not end
            last, reason = None, "silent"
        finally:
            watch.cancel()
            await self.stop()
            complaint = await complaints
        if self._too_large:
            reason = "memory"
        # A child that says why it failed ends with a code of its own.
        if reason is None and last is not None and (process.returncode == 0 or last.get("verdict") == "failed"):
            return await asyncio.to_thread(_outcome, last)
        _log.error("the fine-tune failed (%s, exit code %s): %s", reason, process.returncode, complaint)
        return Outcome("failed", reasons=(reason or "crashed",))

    async def _watch_memory(self, pid: int) -> None:
        while (memory := _resident_mb(pid)) is not None:
            if memory > self._most_mb:
                self._too_large = True
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            await asyncio.sleep(_MEMORY_SECONDS)

    async def stop(self) -> None:
        """Ask the child to end, and after a grace period end it with all that it started."""
        process = self._process
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), seconds)
        with suppress(ProcessLookupError, PermissionError):  # what it may have left behind
            os.killpg(process.pid, signal.SIGKILL)

    async def _listen(self, process: asyncio.subprocess.Process) -> tuple[dict[str, Any] | None, str | None]:
        """The last line, and why it must be stopped, if so."""
        assert process.stdout is not None
        last: dict[str, Any] | None = None
        while True:
            try:
                line = await asyncio.wait_for(process.stdout.readline(), self._silence_seconds)
            except TimeoutError:
                return None, "silent"
            except ValueError:  # a line beyond all measure
                return None, "garbled"
            if not line:
                return last, None
            try:
                said = json.loads(line)
                if not isinstance(said, dict):
                    return None, "garbled"
                progress = _progress(said) if "stage" in said else None
            except (ValueError, TypeError, KeyError, AttributeError):
                return None, "garbled"
            last = said
            if progress is not None:
                await self._heard(progress)

    async def _last_complaint(self, process: asyncio.subprocess.Process) -> str:
        """Drain standard error, or the child would wait for ever; the last line is kept for the log."""
        assert process.stderr is not None
        tail = b""
        while piece := await process.stderr.read(65536):
            tail = (tail + piece)[-2000:]
        lines = tail.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""


def free_mb() -> int | None:
    """Memory and swap that nobody uses; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("MemAvailable:", "SwapFree:"))) // 1024
    except (OSError, ValueError, IndexError):
        return None


def _resident_mb(pid: int) -> int | None:
    """Resident memory; None where the system does not say, or the process has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
    except (OSError, ValueError, IndexError):
        return None


def _let_go_first(pid: int) -> None:
    with suppress(OSError):  # it has ended, or this is no Linux
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(_FIRST_TO_GO), encoding="ascii")


def _progress(said: Mapping[str, Any]) -> Progress:
    reward = said.get("reward")
    return Progress(
        str(said["stage"]),
        min(1.0, max(0.0, float(said["progress"]))),
        max(0.0, float(said.get("seconds_left") or 0)),
        None if reward is None else float(reward),
    )


def _outcome(said: Mapping[str, Any]) -> Outcome:
    try:
        verdict = said["verdict"]
        if verdict not in ("promoted", "refused", "failed"):
            raise ValueError(verdict)
        reasons = tuple(map(str, said.get("reasons") or ()))
        if verdict == "failed":
            # What the child says is English and may name paths; it is for the log.
            level = logging.WARNING if _OF_VOTES.intersection(reasons) else logging.ERROR
            _log.log(level, "the fine-tune failed: %s", said.get("error"))
            reasons = reasons or ("crashed",)
        return Outcome(
            verdict,
            None if said.get("version") is None else str(said["version"]),
            reasons,
            _figures(said.get("before")),
            _figures(said.get("after")),
            _plot(said.get("plot")),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return Outcome("failed", reasons=("garbled",))


def _figures(said: Mapping[str, Any] | None) -> dict[str, float]:
    return {str(name): float(value) for name, value in (said or {}).items() if value is not None}


def _plot(path: object) -> bytes | None:
    try:
        content = Path(str(path)).read_bytes() if path else b""
    except OSError:
        return None
    return content if content.startswith(b"\x89PNG") and len(content) <= _MAX_PLOT_BYTES else None
