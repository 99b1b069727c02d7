"""Tables of what `evaluate` found, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

_SOURCES = {
    "people": "people",
    "as it writes": "the poet",
    "generator alone": "generator alone",
    "chain": "bigram chain",
    "chance": "random characters",
}


def _cell(figure: Sequence[float | None] | float | None) -> str:
    if figure is None:
        return ""
    if not isinstance(figure, Sequence):
        return f"{figure:.3g}"
    value, low, high = figure
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


def rows(found: Mapping[str, Any]) -> list[list[str]]:
    """The sources side by side, a figure a row; the head first."""
    sources = {name: found["sources"][key] for key, name in _SOURCES.items()}
    names: dict[str, None] = {}
    for figures in sources.values():
        for name, value in figures.items():
            names |= dict.fromkeys([f"{name}: {part}" for part in value] if isinstance(value, Mapping) else [name])
    table = [["figure", *sources]]
    for name in names:
        own, _, part = name.partition(": ")
        table.append(
            [
                name,
                *(_cell(figures.get(own, {}).get(part) if part else figures.get(own)) for figures in sources.values()),
            ]
        )
    return table


def others(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(figure, value) of all that is measured of the version alone."""
    named: list[tuple[str, str]] = [
        (f"nats a character, {name}", f"{value:.3f}") for name, value in found["nats per character"].items()
    ]
    named += [(f"theme: {name}", _cell(value)) for name, value in found["theme"].items()]
    named += [(f"z: {name}", _cell(value)) for name, value in found["noise"].items()]
    return named


def as_text(found: Mapping[str, Any]) -> str:
    """All figures, in columns for a terminal."""
    table = rows(found)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    rest = [f"{name.ljust(widths[0])}  {value}" for name, value in others(found)]
    return "\n".join([f"{found['version']}, {found['form']}", "", *lines, "", *rest])


def as_markdown(found: Mapping[str, Any]) -> str:
    """The same as two tables of a page."""
    head, *body = rows(found)
    lines = [_line(head), _line(["---"] * len(head)), *map(_line, body), ""]
    return "\n".join(
        [*lines, _line(["figure of the version", "value"]), _line(["---"] * 2), *map(_line, others(found))]
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
