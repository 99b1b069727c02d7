"""Pictures of what `evaluate` found."""

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from poetgen import files

_COLOURS = ("#8a3324", "#2b5f75", "#8f9779", "#c08a3e")


def draw(found: Mapping[str, Any], folder: Path, curves: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """Draw fluency at variety, and the classifiers' success, as PNG files.

    Args:
        found: What `evaluate` found of a version in a form.
        folder: Where they go; it is made.
        curves: The curves of several versions, by their names, to be drawn in place of its own.

    Raises:
        OSError: They cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (
        ("fluency", fluency(curves or {"": found["curve"]})),
        ("classifiers", classifiers(found["sources"])),
    ):
        target = folder / f"{name}-{found['form']}.png"
        files.write_whole(target, lambda temporary, figure=figure: figure.savefig(temporary, format="png"))  # type: ignore[misc]


def fluency(curves: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Broken poems against distinct pairs, over temperatures; a line for each row of each version named."""
    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    colours = cycle(_COLOURS)
    for version, rows in curves.items():
        for row, points in rows.items():
            across = [point["distinct pairs, of people's"] for point in points]
            up = [100 * point["broken by referee"] for point in points]
            axes.plot(across, up, "o-", color=next(colours), label=f"{version} {row}".strip())
            for point, x, y in zip(points, across, up, strict=True):
                axes.annotate(
                    f"{point['temperature']:g}", (x, y), xytext=(3, 4), textcoords="offset points", fontsize=7
                )
    axes.plot([1], [5], "*", color="black", markersize=12, label="people")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_xlabel("distinct pairs, as a share of people's")
    axes.set_ylabel("broken poems, % (by the referee)")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def classifiers(sources: Mapping[str, Any]) -> Figure:
    """AUC of each fresh classifier on each source."""
    figure = Figure(figsize=(6.4, 3.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    names = list(next(iter(sources.values()))["AUC"])
    width = 0.8 / len(sources)
    for number, (source, found) in enumerate(sources.items()):
        places = [place + (number - len(sources) / 2) * width for place in range(len(names))]
        axes.bar(places, [found["AUC"][name][0] for name in names], width, label=source)
    axes.axhline(0.5, color="black", linewidth=0.8)
    axes.set_ylim(0.4, 1.02)
    axes.set_xticks(range(len(names)), names, rotation=15, fontsize=8)
    axes.set_ylabel("AUC (0.5: cannot tell from people's)")
    figure.legend(loc="outside upper center", fontsize=8, ncols=5)
    return figure
