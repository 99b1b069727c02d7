"""Blind reading: sheets of poems shuffled with people's, and a table of what readers make of them.

A reader is given one sheet and nothing else; the key says whose the poems are. What a reader finds goes into a file of
ratings, a row a poem: number, fluency, coherence, chance that a person wrote it.
"""

import csv
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice, product
from pathlib import Path
from typing import TypeAlias

import numpy as np

from poetgen import files
from poetgen.dataset import Dataset
from poetgen.errors import UsageError
from poetgen.evaluation.figures import Floats
from poetgen.evaluation.samples import common_themes, known, peoples, written
from poetgen.poem import FORMS, Form, PoemRequest
from poetgen.poet import Poet
from poetgen.text import couplets

PEOPLE = "people"
_LEAST, _MOST = (1.0, 1.0, 0.0), (5.0, 5.0, 100.0)  # of fluency, coherence, chance
KEY_FILE = "key.json"
_INSTRUCTIONS = """Classical Chinese poems, some by people, some by programs. Judge each by reading it, line by line:
- fluency, 1 to 5, halves allowed: do words and lines parse and make sense as classical Chinese?
- coherence, 1 to 5: is it one poem, a subject carried through, lines following from one another?
- chance, 0 to 100: how likely is it that a person wrote it?
Write a row for each poem, divided by commas, without a heading: number,fluency,coherence,chance
"""

# Whose a poem is, and of which form.
Source: TypeAlias = tuple[str, str]
Lines: TypeAlias = Sequence[str]


@dataclass(frozen=True, slots=True)
class Row:
    """What readers made of one source's poems.

    Attributes:
        source: Whose they are.
        poems: How many were rated.
        means: Of fluency, coherence and chance.
        errors: Their standard errors, readers' own severity left out: each mark is compared with its reader's mean.
        fluency_of_forms: The mean of fluency for each form.
    """

    source: str
    poems: int
    means: tuple[float, ...]
    errors: tuple[float, ...]
    fluency_of_forms: Mapping[str, float]


def deal(poems: Mapping[Source, Sequence[Lines]], readers: int, seed: int) -> list[list[tuple[Source, Lines]]]:
    """A shuffled sheet for each reader; each poem is on one sheet, those of each source dealt out in turn."""
    sheets: list[list[tuple[Source, Lines]]] = [[] for _ in range(readers)]
    turns = cycle(sheets)
    for source, own in poems.items():
        for lines in own:
            next(turns).append((source, lines))
    for number, sheet in enumerate(sheets):
        random.Random(f"{seed} {number}").shuffle(sheet)
    return sheets


def tallied(keys: Sequence[Sequence[Source]], ratings: Sequence[Mapping[int, Sequence[float]]]) -> list[Row]:
    """A row for each source, in the order of the keys.

    Args:
        keys: For each reader, whose the poems of the sheet are.
        ratings: For each reader, by the poem's number from 1 on: fluency, coherence, chance. A reader may have none.
    """
    marks: dict[str, list[tuple[str, Floats, Floats]]] = {}
    for key, own in zip(keys, ratings, strict=True):
        mean = np.mean(list(own.values()), axis=0)
        for number, found in own.items():
            source, form = key[number - 1]
            marks.setdefault(source, []).append((form, np.array(found), np.array(found) - mean))
    rows = []
    for source, all_of_it in marks.items():
        forms, found, beside = zip(*all_of_it, strict=True)
        errors = np.std(beside, axis=0) / len(found) ** 0.5
        fluency = {
            form: float(np.mean([mark[0] for own, mark in zip(forms, found, strict=True) if own == form]))
            for form in FORMS
            if form in forms
        }
        rows.append(Row(source, len(found), tuple(np.mean(found, axis=0).tolist()), tuple(errors.tolist()), fluency))
    return rows


def as_markdown(rows: Sequence[Row]) -> str:
    """A table of them, standard errors in brackets."""
    forms = list(dict.fromkeys(form for row in rows for form in row.fluency_of_forms))
    names = ["", "poems", "fluency", "coherence", "a person's", *(FORMS[form].hanzi for form in forms)]
    table = [names, ["---"] * len(names)]
    for row in rows:
        (fluency, coherence, chance), (fluency_error, coherence_error, chance_error) = row.means, row.errors
        table.append(
            [
                row.source,
                str(row.poems),
                f"{fluency:.2f} (.{fluency_error * 100:02.0f})",
                f"{coherence:.2f} (.{coherence_error * 100:02.0f})",
                f"{chance:.1f} % ({chance_error:.1f})",
                *(f"{row.fluency_of_forms[form]:.2f}" if form in row.fluency_of_forms else "" for form in forms),
            ]
        )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def sources(
    poets: Sequence[Poet],
    dataset: Dataset,
    forms: Sequence[Form],
    count: int,
    befores: Sequence[int],
    seed: int,
    progress: Callable[[int], object],
) -> dict[Source, Sequence[Lines]]:
    """Poems of each poet on the hundred themes in turn, and as many by people, in each form.

    Args:
        poets: Under their versions' names.
        dataset: People's poems are those for validation.
        forms: Which.
        count: Of each source in each form; of people as many as there are, at most.
        befores: How many a poet writes before, to remember; a source for each.
        seed: Draws all of it.
        progress: Told the number of poems written, now and then.
    """
    poems: dict[Source, Sequence[Lines]] = {}
    themes = known(common_themes(), dataset.vocabulary) or ("",)
    for form in forms:
        for poet, before in product(poets, befores):
            asked = [PoemRequest(form, theme=theme) for theme in islice(cycle(themes), before + count)]
            last = written(poet, asked, seed, progress).take(slice(before, None))
            name = f"{poet.version}, after {before} others" if before else poet.version
            poems[name, form.name] = last.texts(dataset.vocabulary)
        people = peoples(dataset.validation[form.name], count, seed)
        poems[PEOPLE, form.name] = people.texts(dataset.vocabulary)
    return poems


def make_folder(folder: Path) -> None:
    """A folder for sheets.

    Raises:
        UsageError: It holds something.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty. Name another folder: ratings belong to the sheets beside them.")


def write_sheets(folder: Path, poems: Mapping[Source, Sequence[Lines]], readers: int, seed: int) -> None:
    """A sheet for each reader, and the key."""
    sheets = deal(poems, readers, seed)
    for number, sheet in enumerate(sheets, start=1):
        pages = [
            "\n".join([f"[{place}] {FORMS[form].hanzi}", *couplets(lines, "traditional")])
            for place, ((_, form), lines) in enumerate(sheet, start=1)
        ]
        files.write_text(folder / f"sheet-{number}.txt", "\n\n".join([_INSTRUCTIONS, *pages]) + "\n")
    files.write_text(folder / KEY_FILE, json.dumps([[source for source, _ in sheet] for sheet in sheets]))


def read_ratings(folder: Path) -> tuple[list[list[Source]], list[dict[int, tuple[float, ...]]]]:
    """(keys, ratings) of a folder of sheets, as `tallied` wants them; of those readers who have written theirs.

    Raises:
        UsageError: There are no sheets or no ratings, or a row of ratings is none.
    """
    try:
        keys = json.loads((folder / KEY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} holds no {KEY_FILE} ({error}). Make sheets first: poetgen blind sheets.") from None
    found = []
    for number, key in enumerate(keys, start=1):
        path = folder / f"ratings-{number}.csv"
        if path.exists():
            found.append(([(source, form) for source, form in key], _ratings(path, len(key))))
    read = [(key, ratings) for key, ratings in found if ratings]
    if not read:
        raise UsageError(f"{folder} holds no ratings yet; those of sheet-1.txt belong in ratings-1.csv.")
    return [key for key, _ in read], [ratings for _, ratings in read]


def _ratings(path: Path, poems: int) -> dict[int, tuple[float, ...]]:
    """What a reader found, by the poem's number.

    Raises:
        UsageError: A row is none, or a poem is rated twice.
    """
    found: dict[int, tuple[float, ...]] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row, cells in enumerate(csv.reader(file), start=1):
            if not cells:
                continue
            try:
                number, marks = int(cells[0]), tuple(map(float, cells[1:]))
                fits = all(low <= mark <= high for low, mark, high in zip(_LEAST, marks, _MOST, strict=True))
            except ValueError:
                fits, number, marks = False, 0, ()
            if not fits or not 1 <= number <= poems or number in found:
                raise UsageError(
                    f"{path}, row {row}: write number (1 to {poems}, each once), fluency and coherence (1 to 5) and "
                    "chance (0 to 100), divided by commas."
                )
            found[number] = marks
    return found
