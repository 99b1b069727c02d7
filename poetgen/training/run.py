"""What every training run has: a folder, a budget, a progress bar, metrics, checkpoints, a way to stop and go on.

Knows no losses. A run folder holds `checkpoint.safetensors` (weights, optimisers and, in its header, how far the run
has come and its settings, so that all of them are always of one moment) and `metrics.jsonl`.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Never, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from poetgen import files
from poetgen.allocator import keep_memory
from poetgen.errors import CheckpointError, TrainingError, one_line
from poetgen.training.parallel import Workers

CHECKPOINT_SECONDS = 180.0
CHECKPOINT_FILE = "checkpoint.safetensors"
_METRICS_FILE = "metrics.jsonl"
_STATE = "state"  # key of the checkpoint's header
_Config = TypeVar("_Config")


@dataclass(slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: Steps taken.
        seconds: Time spent training, over all resumptions.
        chars: Characters seen.
    """

    step: int = 0
    seconds: float = 0.0
    chars: int = 0


class Run:
    """A folder in which a stage trains.

    Args:
        folder: Where; made if missing.
        stage: "pretrain", "adversarial" or "referee"; a checkpoint of another stage is refused.
        resume: Whether to go on from the checkpoint there.
        max_steps: Steps at most, whatever the time; tests must not depend on a machine's speed.
        workers: Those that train together; only the first writes into the folder.

    Raises:
        TrainingError: There is a checkpoint and `resume` is false, or none and it is true.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        *,
        resume: bool,
        max_steps: int | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.folder = folder
        self.workers = workers or Workers()
        self.stage = stage
        self.progress = Progress()
        self.speed = 0.0  # characters a second, of `steps` when it has ended
        self._max_steps = max_steps
        exists = (folder / CHECKPOINT_FILE).exists()
        if exists and not resume:
            raise TrainingError(f"{folder} already holds a run. Go on with --resume, or name another folder by --out.")
        if resume and not exists:
            raise TrainingError(f"{folder} holds no run to resume. Start one without --resume.")
        folder.mkdir(parents=True, exist_ok=True)
        self._interrupted = False

    def state(self) -> dict[str, Any]:
        """What the checkpoint's header says: stage, progress and settings ("extra").

        Raises:
            CheckpointError: It is damaged, or of another stage.
        """
        try:
            with safe_open(self.folder / CHECKPOINT_FILE, framework="pt") as file:
                state: dict[str, Any] = json.loads(file.metadata()[_STATE])
            if state["stage"] == self.stage:
                return state
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise CheckpointError(
                f"{self.folder} holds no checkpoint that can be read ({one_line(error)}). Start anew in another folder."
            ) from None
        raise CheckpointError(
            f"{self.folder} holds a run of {state['stage']}, not of {self.stage}. Name another folder."
        )

    def config(self, kind: type[_Config]) -> _Config:
        """The configuration that the run was begun with.

        Raises:
            CheckpointError: The checkpoint is damaged, of another stage, or of an edition with other settings.
        """
        try:
            return kind(**self.state()["extra"]["config"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"The run in {self.folder} is of another edition of this program ({error}). Train anew."
            ) from None

    def load(
        self,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        settings: Mapping[str, object],
    ) -> None:
        """Put the checkpoint's state into modules and optimisers.

        Args:
            modules: By the names they were saved under.
            optimizers: Likewise.
            settings: Those of the run that must be as they were.

        Raises:
            CheckpointError: It is damaged, or of another stage or size, or was made with other settings.
        """
        state = self.state()
        others = _differing(json.loads(json.dumps(settings)), state["extra"])
        if others:
            raise CheckpointError(
                f"The run in {self.folder} was begun with another {', '.join(others)}. Give the same, or start anew "
                "in another folder."
            )
        try:
            with safe_open(self.folder / CHECKPOINT_FILE, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            for prefix, module in modules.items():
                module.load_state_dict(_under(prefix, tensors))
            for prefix, optimizer in optimizers.items():
                _load_optimizer(optimizer, _under(f"{prefix}.optimizer", tensors))
            self.progress = Progress(**state["progress"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(
                f"The checkpoint in {self.folder} is damaged or of another size ({one_line(error)}). "
                "Start anew elsewhere."
            ) from None

    def save(
        self,
        modules: Mapping[str, nn.Module],
        optimizers: Mapping[str, torch.optim.Optimizer],
        settings: Mapping[str, object],
    ) -> None:
        """Write the checkpoint, in one step."""
        if not self.workers.first:
            return
        tensors: dict[str, Tensor] = {}
        for prefix, module in modules.items():
            tensors |= {f"{prefix}.{name}": tensor.contiguous() for name, tensor in module.state_dict().items()}
        for prefix, optimizer in optimizers.items():
            for number, values in optimizer.state_dict()["state"].items():
                tensors |= {f"{prefix}.optimizer.{number}.{name}": value for name, value in values.items()}
        state = {"stage": self.stage, "progress": asdict(self.progress), "extra": dict(settings)}
        header = {_STATE: json.dumps(state)}
        try:
            files.write_whole(self.folder / CHECKPOINT_FILE, lambda path: save_file(tensors, path, header))
        except (OSError, SafetensorError) as error:
            raise TrainingError(
                f"The checkpoint cannot be written to {self.folder} ({error}). Make room, then go on with --resume."
            ) from None

    def log(self, record: Mapping[str, object]) -> None:
        """Append a line to `metrics.jsonl`."""
        if not self.workers.first:
            return
        row = {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), **record}
        with (self.folder / _METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _used(self, budget: float) -> float:
        """Share of the budget used, by time (seconds) or by steps, whichever is more; 1 once it was interrupted."""
        by_steps = self.progress.step / self._max_steps if self._max_steps else 0.0
        return self.workers.agree(max(self.progress.seconds / budget, by_steps, float(self._interrupted)))

    def steps(
        self, minutes: float, save: Callable[[], None], *, quiet: bool = False
    ) -> Iterator[tuple[float, "tqdm[Never]"]]:
        """(share of the budget used, progress bar) for each step, until the budget is used up or Ctrl-C.

        Saves every few minutes and at the end. The caller takes a step between two of these and counts it.
        """
        budget = minutes * 60
        last_save = started = time.monotonic()
        before, chars_before = self.progress.seconds, self.progress.chars
        bar = tqdm(
            total=round(budget),
            initial=round(min(before, budget)),
            unit="s",
            desc=self.stage,
            disable=quiet or not self.workers.first,
        )
        with _interruptible(self), bar:
            while (used := self._used(budget)) < 1:
                yield used, bar
                now = time.monotonic()
                self.progress.step += 1
                self.progress.seconds = before + now - started
                bar.update(round(min(self.progress.seconds, budget)) - bar.n)
                if now - last_save > CHECKPOINT_SECONDS:
                    save()
                    last_save = time.monotonic()
            self.speed = (self.progress.chars - chars_before) / max(1e-9, self.progress.seconds - before)
            if not bar.disable:
                tqdm.write(f"{self.stage}: {self.speed:,.0f} characters a second", file=sys.stderr)
        save()
        if self._interrupted:
            raise KeyboardInterrupt


def _differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Names of what is not as it is wanted; of a configuration those of its fields."""
    one, other = ({**side, **(side.get("config") or {}), "config": None} for side in (wanted, found))
    return [name for name, value in one.items() if value != other.get(name)]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(f"{prefix}."): tensor
        for name, tensor in tensors.items()
        if name.startswith(f"{prefix}.") and f"{prefix}.optimizer." not in name
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, field = name.split(".", 1)
        state.setdefault(int(number), {})[field] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def use_device(name: str, threads: int | None = None) -> str:
    """The device to train on, found to be there; on the CPU also how many threads compute, and memory kept for them.

    Raises:
        TrainingError: There is no such device here.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    keep_memory()
    if name == "cpu" or (name.startswith("cuda") and torch.cuda.is_available()):
        return name
    raise TrainingError(f"There is no device {name!r} here. Train with --device cpu.")


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the run after the step under way, with a checkpoint; a second one ends it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if run._interrupted:
            raise KeyboardInterrupt
        run._interrupted = True

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
