"""What readers think of the poet's poems, and what it learns from that: which of its candidates to go on with.

Knows no decoding. Readers rated poems, blind, line by line. What they would say of a new one is learned as a value
head on the generator (`poetgen.value`), in three outputs that share a hidden layer: a line's mark is the mean over its
characters, coherence and the chance of a person are means over the poem's. The head that is kept is their weighted sum.
"""

import json
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from poetgen import script
from poetgen.dataset import PATTERN_IDS, RHYME_IDS
from poetgen.errors import TrainingError
from poetgen.generator import Conditions, Generator
from poetgen.likelihood import sequence_nll
from poetgen.poem import FORMS, Form
from poetgen.sampling import named_conditions
from poetgen.value import ValueHead
from poetgen.vocabulary import PAD_ID, Vocabulary

LEAST_POEMS = 50
# Of a line's mark, coherence and chance in the whole.
_SHARES = torch.tensor([1, 0.5, 0.3]) / 1.8
# Chosen by the correlation with marks left out (docs/experiments.md).
_HIDDEN_DIM = 64
_DROPOUT = 0.3
_EPOCHS = 12
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.1
_POEMS_A_STEP = 48
_BATCH = 128
_LEAST_SPREAD = 0.05  # of a sitting's marks
_LEFT_OUT = 5  # one request in so many, to measure by


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
        line_marks: L of them, 1 to 5: how good each line is.
        coherence: 1 to 5.
        chance: That a person wrote it, in percent.
    """

    form: Form
    theme: str
    plan: tuple[str, ...]
    pattern: str
    rhyme: str
    lines: tuple[str, ...]
    sitting: int
    line_marks: tuple[float, ...]
    coherence: float
    chance: float


def read_marks(path: Path) -> list[MarkedPoem]:
    """The marked poems in a file: JSON lines, packed by xz.

    Raises:
        TrainingError: The file is missing or foreign, or holds too few; the message says what to do.
    """
    try:
        with lzma.open(path, "rt", encoding="utf-8") as file:
            rows = [_parse(json.loads(row)) for row in file]
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise TrainingError(
            f"{path} is no file of marks ({error}). Give runs/marks.jsonl.xz, or one like it."
        ) from None
    if len(rows) < LEAST_POEMS:
        raise TrainingError(f"{path} marks {len(rows)} poems; {LEAST_POEMS} are needed to learn from. Mark more.")
    return rows


def _parse(row: Any) -> MarkedPoem:
    """The marked poem that a row holds.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: It holds none.
    """
    form = FORMS[row["form"]]
    lines, plan, line_marks = tuple(row["lines"]), tuple(row["plan"]), tuple(map(float, row["line_marks"]))
    if tuple(map(len, lines)) != form.line_lengths or not len(plan) == len(line_marks) == form.num_lines:
        raise ValueError(f"lines that do not make {form.name}")
    said = [*lines, *plan, *([row["theme"]] if row["theme"] != "" else [])]
    if not all(isinstance(text, str) and script.is_hanzi(text) for text in said) or not all(
        len(keyword) <= 2 for keyword in plan
    ):
        raise ValueError("a line, a plan or a theme that is none")
    if row["pattern"] not in PATTERN_IDS or row["rhyme"] not in RHYME_IDS:
        raise ValueError("a pattern or rhyme that is none")
    coherence, chance = float(row["coherence"]), float(row["chance"])
    if not (all(1 <= mark <= 5 for mark in (*line_marks, coherence)) and 0 <= chance <= 100):
        raise ValueError("marks out of range")
    sitting = int(row["sitting"])
    return MarkedPoem(
        form, row["theme"], plan, row["pattern"], row["rhyme"], lines, sitting, line_marks, coherence, chance
    )


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of it.

    Attributes:
        value_head: Its mean over a poem's characters is the mark expected, in standard deviations of a sitting's marks,
            up to a constant of the form.
        figures: How many poems and sittings, and the correlation of marks of requests left out with what is expected of
            their lines and of whole poems.
    """

    value_head: ValueHead
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class _Examples:
    """Marked poems of one form: states [P, T, H], ids [P, T], log p [P, T], last [T], marks [P, L] and [P, 2]."""

    states: Tensor
    ids: Tensor
    log_probs: Tensor
    last: Tensor
    lines: Tensor
    whole: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Tensor) -> "_Examples":
        return _Examples(
            self.states[rows], self.ids[rows], self.log_probs[rows], self.last, self.lines[rows], self.whole[rows]
        )

    def shuffled(self) -> list["_Examples"]:
        """Once through them all, in batches."""
        return [self.take(rows) for rows in torch.randperm(len(self)).split(_POEMS_A_STEP)]

    def expected(self, head: ValueHead, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """([P, L] of the lines, [P, 2] of the poems) what a head with three outputs says."""
        found = head(self.states.float(), embedding[self.ids], self.log_probs, self.last)
        return found[..., 0].unflatten(1, (self.lines.shape[1], -1)).mean(dim=2), found[..., 1:].mean(dim=1)


def learn(vocabulary: Vocabulary, generator: Generator, marked: Sequence[MarkedPoem]) -> Learned:
    """The value head of a generator that predicts readers' marks best.

    Marks are taken in standard deviations from their sitting's mean, and from what is usual at that place of the form:
    readers are strict and mild, and last lines are the worst.

    Raises:
        TrainingError: Hardly one of the poems is in characters of the vocabulary, or all are on the same few themes.
    """
    poems = [poem for poem in marked if all(char in vocabulary for line in poem.lines for char in line)]
    if len(poems) < LEAST_POEMS:
        raise TrainingError("The marks are of poems in other characters than this corpus has. Leave out --marks.")
    embedding = generator.embedding.weight.detach()
    line_marks, whole_marks = _standardized(poems)
    # Poems on one theme are on one side, whatever their form: to know them is not to know others.
    abouts = [poem.theme or poem.plan for poem in poems]
    numbers = {about: number for number, about in enumerate(dict.fromkeys(abouts))}
    if len(numbers) < _LEFT_OUT:
        raise TrainingError(f"The marks are of poems on {len(numbers)} themes; mark some on {_LEFT_OUT} at least.")
    everything, known, left_out = [], [], []
    for form in {poem.form.name: poem.form for poem in poems}.values():
        rows = [row for row, poem in enumerate(poems) if poem.form == form]
        examples = _examples(
            vocabulary, generator, [poems[row] for row in rows], [line_marks[row] for row in rows], whole_marks[rows]
        )
        out = torch.tensor([numbers[abouts[row]] % _LEFT_OUT == 0 for row in rows])
        everything.append(examples)
        known.append(examples.take((~out).nonzero()[:, 0]))
        left_out.append(examples.take(out.nonzero()[:, 0]))
    figures = {
        "poems": len(poems),
        "sittings": len({poem.sitting for poem in poems}),
        **_correlations(_fit(known, embedding), left_out, embedding),
    }
    return Learned(_fit(everything, embedding).weighted(_SHARES).eval(), figures)


def _fit(sets: Sequence[_Examples], embedding: Tensor) -> ValueHead:
    """A head with an output for lines, one for coherence and one for chance."""
    sets = [examples for examples in sets if len(examples)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = ValueHead(sets[0].states.shape[2], embedding.shape[1], _HIDDEN_DIM, num_outputs=3, dropout=_DROPOUT)
        for layer in (head.output, head.direct):
            nn.init.zeros_(layer.weight)
        optimizer = torch.optim.AdamW(head.parameters(), _LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        steps = _EPOCHS * sum(-(-len(examples) // _POEMS_A_STEP) for examples in sets)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for _ in range(_EPOCHS):
            batches = [batch for examples in sets for batch in examples.shuffled()]
            for number in torch.randperm(len(batches)).tolist():
                lines, whole = batches[number].expected(head, embedding)
                errors = lines - batches[number].lines, whole - batches[number].whole
                loss = torch.stack([error.square().mean() for error in errors]).sum()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return head.eval()


@torch.no_grad()
def _correlations(head: ValueHead, sets: Sequence[_Examples], embedding: Tensor) -> dict[str, float]:
    """Of what the head says with marks, over forms together: of lines, of their means, and of coherence."""
    said, true = zip(*[(examples.expected(head, embedding), (examples.lines, examples.whole)) for examples in sets],
                     strict=True)  # fmt: skip
    pairs = {
        "correlation of lines": [[lines.flatten() for lines, _ in side] for side in (said, true)],
        "correlation of poems": [[lines.mean(dim=1) for lines, _ in side] for side in (said, true)],
        "correlation of coherence": [[whole[:, 0] for _, whole in side] for side in (said, true)],
    }
    return {
        name: round(float(torch.corrcoef(torch.stack([torch.cat(side) for side in pair]))[0, 1]), 3)
        for name, pair in pairs.items()
    }


def _standardized(poems: Sequence[MarkedPoem]) -> tuple[list[np.ndarray], np.ndarray]:
    """(each poem's [L] line marks, [P, 2] coherence and chance) in standard deviations from their sitting's mean."""
    sittings = np.array([poem.sitting for poem in poems])
    lines = [np.array(poem.line_marks) for poem in poems]
    whole = np.array([(poem.coherence, poem.chance) for poem in poems])
    for sitting in np.unique(sittings):
        own = np.flatnonzero(sittings == sitting)
        marks = np.concatenate([lines[row] for row in own])
        for row in own:
            lines[row] = (lines[row] - marks.mean()) / (marks.std() + _LEAST_SPREAD)
        whole[own] = (whole[own] - whole[own].mean(axis=0)) / (whole[own].std(axis=0) + _LEAST_SPREAD)
    return lines, whole


@torch.no_grad()
def _examples(
    vocabulary: Vocabulary,
    generator: Generator,
    poems: Sequence[MarkedPoem],
    line_marks: Sequence[np.ndarray],
    whole_marks: np.ndarray,
) -> _Examples:
    """Poems of one form, with their marks beside what is usual at that place; z is what the encoder reads in them."""
    form = poems[0].form
    ids = torch.tensor([vocabulary.encode("".join(poem.lines)) for poem in poems])
    states, log_probs = [], []
    for start in range(0, len(poems), _BATCH):
        some, own = poems[start : start + _BATCH], ids[start : start + _BATCH]
        noise, _ = generator.encode(own)
        states.append(generator.states(own, _conditions(vocabulary, some), noise))
        log_probs.append(-sequence_nll(generator.logits(generator.narrowed(states[-1])), own))
        states[-1] = states[-1].half()  # some thousand poems' take gigabytes otherwise
    last = torch.arange(form.num_chars) % form.line_lengths[0] == form.line_lengths[0] - 1
    lines, whole = np.stack(line_marks), whole_marks
    return _Examples(
        torch.cat(states),
        ids,
        torch.cat(log_probs),
        last,
        torch.from_numpy(lines - lines.mean(axis=0)).float(),
        torch.from_numpy(whole - whole.mean(axis=0)).float(),
    )


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
