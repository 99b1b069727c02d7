"""Pictures of training, for people. Knows no training; draws what it is handed."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from poetgen import files


def draw_path(path: Sequence[tuple[float, float, float]], target: Path) -> None:
    """Draw how a voice's reward rose, and what of the base's language it cost, as a PNG.

    Args:
        path: (strength, mean change of the verdict, share of nats lost), as `finetune` gives it.
        target: The file to write.

    Raises:
        OSError: It cannot be written.
    """
    figure = Figure(figsize=(6, 3.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot([100 * lost for _, _, lost in path], [reward for _, reward, _ in path], "o-", color="#8a3324")
    axes.set_xlabel("KL to the base, % of its nats")
    axes.set_ylabel("mean reward of its poems, nats")
    axes.grid(alpha=0.3)
    target.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(target, lambda temporary: figure.savefig(temporary, format="png"))
