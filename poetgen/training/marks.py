"""What readers think of the poet's poems, and what it learns from that: which of its candidates to choose.

Knows no decoding. Readers rated poems of a release, blind. How good a poem is to them is learned as a value head on
the generator: the mean, over a poem's places, of a linear function of what the generator knows there. That is a
reward model (Stiennon et al. 2020, who choose the best of N by it) with two deviations: only its last layer is
learned, in closed form, for some thousand marks are too few for more; and it is a sum over places, so that a poem
half written has a value already, and the decoder adds it up at the price of one product a place.
"""

import json
import lzma
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from poetgen import script
from poetgen.dataset import PATTERN_IDS, RHYME_IDS
from poetgen.errors import TrainingError
from poetgen.generator import Conditions, Generator
from poetgen.likelihood import sequence_nll
from poetgen.poem import FORMS, Form
from poetgen.sampling import named_conditions
from poetgen.vocabulary import PAD_ID, Vocabulary

LEAST_POEMS = 50
_MARKS = ("fluency", "coherence", "chance")
_SHARES = np.array([1, 1, 0.7]) / 2.7  # of each mark in the whole
# Of the ridge regression, in marks; where the correlation with marks left out was highest (docs/experiments.md).
_PENALTY = 1000.0
_NUM_FOLDS = 5
_BATCH = 128


@dataclass(frozen=True, slots=True)
class MarkedPoem:
    """A poem that a reader rated.

    Attributes:
        form: Its form, of L lines and T characters.
        theme: What was asked for, in traditional characters; "" if nothing.
        plan: L keywords, of one or two characters, that it was written by.
        pattern, rhyme: Names of the tonal pattern and the rhyme group.
        lines: The poem, in traditional characters.
        sitting: In which it was read: marks are compared with others of the same sitting only.
        marks: Fluency and coherence, 1 to 5, and the chance that a person wrote it, in percent.
    """

    form: Form
    theme: str
    plan: tuple[str, ...]
    pattern: str
    rhyme: str
    lines: tuple[str, ...]
    sitting: int
    marks: tuple[float, float, float]


def read_marks(path: Path) -> list[MarkedPoem]:
    """The marked poems in a file: JSON lines, packed by xz.

    Raises:
        TrainingError: The file is missing or foreign, or holds too few; the message says what to do.
    """
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            rows = [_parse(json.loads(row)) for row in file]
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path} is no file of marks ({error}). Give runs/marks.jsonl.xz, or one like it."
        ) from None
    if len(rows) < LEAST_POEMS:
        raise TrainingError(f"{path} marks {len(rows)} poems; {LEAST_POEMS} are needed to learn from. Mark more.")
    return rows


def _parse(row: Any) -> MarkedPoem:
    """The marked poem that a row holds.

    Raises:
        ValueError, KeyError, TypeError: It holds none.
    """
    form = FORMS[row["form"]]
    lines, plan = tuple(row["lines"]), tuple(row["plan"])
    if tuple(map(len, lines)) != form.line_lengths or len(plan) != form.num_lines:
        raise ValueError(f"lines that do not make {form.name}")
    said = [*lines, *plan, *([row["theme"]] if row["theme"] else [])]
    if not all(map(script.is_hanzi, said)) or not all(len(keyword) <= 2 for keyword in plan):
        raise ValueError("a line, a plan or a theme that is none")
    if row["pattern"] not in PATTERN_IDS or row["rhyme"] not in RHYME_IDS:
        raise ValueError("a pattern or rhyme that is none")
    fluency, coherence, chance = (float(row[name]) for name in _MARKS)
    if not (1 <= fluency <= 5 and 1 <= coherence <= 5 and 0 <= chance <= 100):
        raise ValueError("marks out of range")
    marks = fluency, coherence, chance
    return MarkedPoem(form, row["theme"], plan, row["pattern"], row["rhyme"], lines, int(row["sitting"]), marks)


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it.

    Attributes:
        value_head: [1, H] float32. Over a poem's T places, the mean of states times it is the mark expected, in
            standard deviations of a sitting's marks, up to a constant of the form.
        figures: How many poems and sittings, and the correlation with marks of requests left out.
    """

    value_head: Tensor
    figures: dict[str, float]


def learn(vocabulary: Vocabulary, generator: Generator, marked: Sequence[MarkedPoem]) -> Learned:
    """The value head of a generator that predicts readers' marks best, by ridge regression.

    Each sitting's marks are centred and scaled; each form has a constant of its own. How likely the generator finds the
    poem is told beside its states, so that the head says what likelihood does not, and left out of what is returned.

    Raises:
        TrainingError: Hardly one of the poems is in characters of the vocabulary.
    """
    poems = [poem for poem in marked if all(char in vocabulary for line in poem.lines for char in line)]
    if len(poems) < LEAST_POEMS:
        raise TrainingError("The marks are of poems in other characters than this corpus has. Leave out --marks.")
    inputs, wanted = _inputs(vocabulary, generator, poems), _wanted(poems)
    for form in FORMS.values():
        own = np.array([poem.form == form for poem in poems])
        if own.any():
            inputs[own] -= inputs[own].mean(axis=0)
    scales = inputs.std(axis=0) + 1e-6
    inputs /= scales
    weights = _ridge(inputs, wanted)
    # Poems on one theme are on one side: to know them is not to know others.
    abouts = [(poem.form.name, poem.theme or poem.plan) for poem in poems]
    numbers = {about: number for number, about in enumerate(dict.fromkeys(abouts))}
    folds = np.array([numbers[about] % _NUM_FOLDS for about in abouts])
    predicted = np.zeros(len(poems))
    for fold in range(_NUM_FOLDS):
        out = folds == fold
        predicted[out] = inputs[out] @ _ridge(inputs[~out], wanted[~out])
    figures = {
        "poems": len(poems),
        "sittings": len({poem.sitting for poem in poems}),
        "correlation": round(float(np.corrcoef(predicted, wanted)[0, 1]), 4),
    }
    head = torch.from_numpy(weights[1:] / scales[1:]).float()
    return Learned(head[None].contiguous(), figures)


def _ridge(inputs: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    gram = inputs.T @ inputs + _PENALTY * np.eye(inputs.shape[1])
    found: np.ndarray = np.linalg.solve(gram, inputs.T @ wanted)
    return found


def _wanted(poems: Sequence[MarkedPoem]) -> np.ndarray:
    """[P] each poem's marks in one number, in standard deviations from its sitting's mean."""
    marks = np.array([poem.marks for poem in poems])
    sittings = np.array([poem.sitting for poem in poems])
    for sitting in np.unique(sittings):
        own = sittings == sitting
        marks[own] = (marks[own] - marks[own].mean(axis=0)) / (marks[own].std(axis=0) + 0.05)
    return marks @ _SHARES


@torch.no_grad()
def _inputs(vocabulary: Vocabulary, generator: Generator, poems: Sequence[MarkedPoem]) -> np.ndarray:
    """[P, 1 + H] mean log p of each poem's characters, and mean state; z is what the encoder reads out of it."""
    found = np.zeros((len(poems), 1 + generator.config.hidden_dim))
    by_form: dict[str, list[int]] = defaultdict(list)
    for number, poem in enumerate(poems):
        by_form[poem.form.name].append(number)
    for numbers in by_form.values():
        for start in range(0, len(numbers), _BATCH):
            chunk = numbers[start : start + _BATCH]
            some = [poems[number] for number in chunk]
            ids = torch.tensor([vocabulary.encode("".join(poem.lines)) for poem in some])
            noise, _ = generator.encode(ids)
            states = generator.states(ids, _conditions(vocabulary, some), noise)
            nats = sequence_nll(generator.logits(generator.narrowed(states)), ids).mean(dim=1)
            found[chunk] = torch.cat([-nats[:, None], states.mean(dim=1)], dim=1).numpy()
    return found


def _conditions(vocabulary: Vocabulary, poems: Sequence[MarkedPoem]) -> Conditions:
    # A keyword of one character is written as that character and nothing, as a plan has it.
    plans = [[[*vocabulary.encode(keyword), PAD_ID][:2] for keyword in poem.plan] for poem in poems]
    return named_conditions(
        poems[0].form,
        [vocabulary.encode(poem.theme) for poem in poems],
        plans,
        [poem.pattern for poem in poems],
        [poem.rhyme for poem in poems],
    )
