"""Writes docs/quality.md from what `evaluate` found: tables, pictures, and unpicked poems shuffled with people's.

python -m poetgen.evaluation.page --data DATA --found FOLDER --out DOCS VERSION [OTHER_VERSION ...]
"""

import argparse
import json
import os
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from poetgen import files
from poetgen.dataset import Dataset, load_dataset
from poetgen.errors import PoetgenError
from poetgen.evaluation import plots, tables
from poetgen.evaluation.samples import peoples
from poetgen.poem import FORMS, PoemRequest
from poetgen.poet import Poet
from poetgen.text import couplets

_SHOWN = 5  # poems of each kind and form
_THEMES = ("秋夜", "春江", "邊塞", "送別", "梅花")
# What issue and readers ask of the release: (figure, how to find it, what it must be).
_ASKED: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("nats a character, nothing told", ("nats per character", "unmasked, nothing told"), "≤ 5.10"),
    ("distinct pairs, of people's", ("sources", "as it writes", "distinct pairs, of people's"), "≥ .92"),
    (
        "broken poems, by the referee (people's: .05)",
        ("sources", "as it writes", "broken by referee"),
        "≤ .08, 七絕 .06",
    ),
    ("two-sample AUC, best classifier", ("sources", "as it writes", "AUC, best"), "≤ .65"),
    ("the same, generator alone", ("sources", "generator alone", "AUC, best"), ""),
    ("the same, people against people", ("sources", "people", "AUC, best"), "≤ .53"),
    ("people's poems that no model has read", ("settings", "unseen"), ""),
    ("poems with a character in two lines", ("sources", "as it writes", "poems with a character in two lines"), ""),
    ("the same, people's", ("sources", "people", "poems with a character in two lines"), ""),
    ("reverse nats, above people's", ("sources", "as it writes", "reverse nats, above people's"), "≤ .12"),
    ("lines copied", ("sources", "as it writes", "lines copied"), "≤ people's"),
    ("the same, people's", ("sources", "people", "lines copied"), ""),
    ("form, rhyme and tone, by our checker", ("sources", "as it writes", "regulated"), "≥ 1"),
    ("theme guessed among 20", ("theme", "guessed among 20"), "≥ .60"),
    ("the same, people's titled poems", ("theme", "guessed among 20, people's titled poems"), ""),
    ("z: different poems of 100", ("noise", "different of 100"), "≥ 95"),
    ("z: nats lost with another's", ("noise", "nats lost with another's z"), "≥ 0.10"),
    ("z: rank correlation of way and distance", ("noise", "rank correlation of way and distance"), "≥ 0.8"),
    ("the same, without z1 itself", ("noise", "rank correlation of way and distance, without z1"), ""),
    ("BLEU-2, as papers report it", ("sources", "as it writes", "BLEU-2"), ""),
    ("the same, bigram chain", ("sources", "chain", "BLEU-2"), ""),
    ("the same, people's", ("sources", "people", "BLEU-2"), ""),
)


_LIMIT = re.compile(r"([≤≥]) ([\d.]+)(?:, (\S+) ([\d.]+))?")  # of all forms, and of one by itself
_Found: TypeAlias = Mapping[str, Mapping[str, Any]]  # by form


def _value(found: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    """A figure, without its interval; None if it was not measured."""
    value: Any = found
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    own: float | None = value[0] if isinstance(value, list) else value
    return own


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, int) else f"{value:.3g}"


def _misses(value: float | None, must: str, form: str) -> bool:
    limit = _LIMIT.fullmatch(must)
    if value is None or not limit:
        return False
    wanted = float(limit[4] if limit[3] == FORMS[form].hanzi else limit[2])
    return value > wanted if limit[1] == "≤" else value < wanted


def asked_for(by_form: _Found, earlier: _Found) -> str:
    """What is asked of the release beside what was measured, a column a form, in Markdown; ✗ is what misses it.

    Args:
        by_form: What `evaluate` found of the release.
        earlier: What it found of another version, shown in brackets; of any forms.
    """
    lines = [f"| figure | must | {' | '.join(by_form)} |", f"| --- | --- |{' --- |' * len(by_form)}"]
    for name, keys, must in _ASKED:
        cells = []
        for form, found in by_form.items():
            value, before = _value(found, keys), _shown(_value(earlier.get(form, {}), keys))
            cells.append(_shown(value) + " ✗" * _misses(value, must, form) + (f" ({before})" if before else ""))
        lines.append(f"| {name} | {must} | {' | '.join(cells)} |")
    return "\n".join(lines)


def shuffled_poems(poet: Poet, dataset: Dataset) -> tuple[list[str], list[str]]:
    """(numbered poems in Markdown, key): the first ones that the version writes, among unseen ones by people."""
    rng = random.Random(0)
    shown: list[tuple[str, str, tuple[str, ...]]] = []
    for form in FORMS.values():
        asked = [poet.check(PoemRequest(form, theme=theme)) for theme in _THEMES[:_SHOWN]]
        for item in poet.compose(asked, source=rng):
            shown.append((form.hanzi, f"ours: {form.name}, theme {item.theme}, seed {item.seed}", item.poem.lines))
        people = peoples(dataset.validation[form.name], _SHOWN, 0)
        for lines in people.texts(dataset.vocabulary):
            shown.append((form.hanzi, "a person's", lines))
    rng.shuffle(shown)
    poems, key = [], []
    for number, (form_name, whose, lines) in enumerate(shown, start=1):
        poems.append(f"{number}. {form_name}：{'<br>'.join(couplets(lines, 'traditional'))}")
        key.append(f"{number} {whose}")
    return poems, key


def _read(found: Path, version: str) -> dict[str, Any]:
    """What `evaluate` found of a version, by form; only the forms that there are."""
    files_of = {form: found / f"{version}-{form}.json" for form in FORMS}
    return {form: json.loads(file.read_text(encoding="utf-8")) for form, file in files_of.items() if file.exists()}


def write_page(versions: Sequence[str], data: Path, found: Path, out: Path) -> None:
    """Write `quality.md` and its pictures into `out`.

    Args:
        versions: The one the page is about, then others beside it.
        data: The prepared corpus.
        found: Folder with VERSION-FORM.json for each; forms that are missing are left out.
        out: The folder of documents.

    Raises:
        OSError: A file is missing or cannot be written.
    """
    own, *others = versions
    by_version = {version: _read(found, version) for version in versions}
    by_form = by_version[own]
    if not by_form:
        raise FileNotFoundError(f"{found} holds no figures of {own}; make them: runs/quality.sh")
    images = out / "images"
    sections = []
    for form, figures in by_form.items():
        curves = {version: of[form]["curve"] for version, of in by_version.items() if form in of}
        plots.draw(figures, images, curves)
        sections += [
            f"## {FORMS[form].hanzi}\n",
            f"![Broken poems against distinct pairs](images/fluency-{form}.png)",
            f"![What fresh classifiers can tell](images/classifiers-{form}.png)\n",
            tables.as_markdown(figures) + "\n",
        ]
    poet = Poet.load(Path(home) if (home := os.environ.get("POETGEN_HOME")) else None, own)
    poems, key = shuffled_poems(poet, load_dataset(data))
    text = _PAGE.format(
        version=own,
        measured=" ".join([own, *others]),
        asked=asked_for(by_form, by_version[others[0]] if others else {}),
        beside=f", in brackets the same of `{others[0]}`" if others else "",
        sections="\n".join(sections),
        poems="\n".join(poems),
        key="; ".join(key),
        classified=next(iter(by_form.values()))["settings"]["classified"],
        poems_measured=next(iter(by_form.values()))["settings"]["poems"],
    )
    files.write_text(out / "quality.md", text)


_PAGE = """# How good it is

Figures of `{version}` at its default settings, {poems_measured} poems of each form on a hundred themes in turn,
beside people's poems and simple models. All of this page is made by

    poetgen referee --data DATA
    runs/quality.sh DATA {measured}

and any part of it by `poetgen evaluate --version VERSION --form FORM --data DATA`. First what is asked of
it, and what misses that (✗){beside}; further down, in brackets, bootstrap intervals of 95 %.

{asked}

How to read it:

- *People's* poems are regulated ones without characters too rare for the vocabulary, as ours are. What is
  learned from people (trigram, referee, generator, classifiers) is learned from training poems; what is
  compared, with validation poems, but for distinct pairs and reverse nats, whose samples are of training poems.
- *As it writes*: one poet wrote all these poems, one after another, and remembered its earlier ones, as the bot does.
- *Broken*: a poem whose worst line is less likely, to a judge, than the worst line of 95 % of people's poems.
  The referee is an LSTM that reads from right to left, has no part in choosing or rewarding, and was trained
  apart; beside it a trigram.
- *Lines copied*: people's are none because the corpus is split so that no line of a validation poem stands in a
  training poem.
- *AUC*: fresh classifiers learn from two thirds of {classified} poems of ours and as many of people's, and are tested
  on the rest and on people's poems that no model has read; 0.5 means they cannot tell. One takes the hashed pairs, one
  is a CNN over couplets, one a network on the referee's states; the judges' mean nats tell some by themselves. Since
  the referee has read all training poems, the network learns from half of the unread ones and is tested on the other
  half: the fewer there are, the less it learns, so forms are not to be compared with each other in this.
- *z*: the way from one z1 to another is an arc in ten steps; the correlation, in the mean of many arcs, is with the
  edit distance from z1's poem. z1 itself, at distance 0, is one of the eleven points, by which a little is given:
  shuffled distances would have a quarter in the mean.
- *Reverse nats*: what a trigram learned from our poems loses on people's, against one learned from as many
  poems by people.
- *Parallelism*: how much more alike the aligned characters of the middle couplets are than those one place
  aside.
- *Theme guessed*: of 20 poems on each of 20 other themes.
- *BLEU-2* of a third of the poems against all validation poems says how common the pairs are and nothing else: a
  bigram chain comes as near to people's figure as a poem does, so do not believe it.
- A restricted Boltzmann machine is not among the simple models: with six thousand kinds of characters at 28
  places and as many hidden units as our LSTM has, it would be twenty times our generator, and what it could
  learn over a chain, the bigram chain has.

{sections}
## Whose is it?

The first five poems that it wrote in each form on five themes, shuffled with five by people of Tang and Song
from the validation poems; none was left out or drawn again. The key is at the end.

{poems}

### Key

{key}
"""


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="poetgen.evaluation.page")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("versions", nargs="+")
    options = parser.parse_args()
    try:
        write_page(options.versions, options.data, options.found, options.out)
    except (PoetgenError, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")


if __name__ == "__main__":
    main()
