"""From trained networks to a registered version, with the figures of its making. Knows no losses."""

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from poetgen.checkpoint import Model, save_model
from poetgen.dataset import Dataset, shares_of, tails_of
from poetgen.discriminator import Discriminator
from poetgen.generator import Conditions, Generator
from poetgen.likelihood import IMPORTANCE_SAMPLES, sequence_nll
from poetgen.metrics import NgramModel, distinct_pairs
from poetgen.poem import PoemRequest
from poetgen.poet import Poet
from poetgen.quantization import keep
from poetgen.registry import Registry
from poetgen.training.marks import MarkedPoem, learn
from poetgen.training.pretrain import validation_nll

# Of a new version. Cool, for what theme, outline and z decide needs no chance any more; and rare characters lifted by
# more than coolness takes from them, which readers do not mind, while they do mind warmth (docs/experiments.md). Where
# lifts are counted (`training.lifts`) that is only what they begin with.
DEFAULT_TEMPERATURE = 0.55
DEFAULT_LIFT = 1.2


def assemble(
    dataset: Dataset,
    generator: Generator,
    discriminator: Discriminator,
    recipe: Mapping[str, object],
    marked: Sequence[MarkedPoem] | None = None,
) -> Model:
    """All parts of a version.

    The generator's largest matrices become what will be kept of them, so that what is measured is what is shipped; all
    else is kept to some parts in ten thousand.

    Args:
        dataset: What it was trained on.
        generator: Trained.
        discriminator: Trained.
        recipe: How the networks were trained.
        marked: Poems that readers rated, to choose candidates by; None if there are none.
    """
    keep(generator)
    learned = learn(dataset.vocabulary, generator.eval(), marked) if marked else None
    return Model(
        dataset.vocabulary,
        dataset.phonology,
        dataset.planner,
        dataset.classics,
        tails_of(dataset),
        generator,
        discriminator,
        shares_of(dataset.train),
        DEFAULT_TEMPERATURE,
        DEFAULT_LIFT,
        value_head=learned.value_head if learned else None,
        recipe={**recipe, "marks": learned.figures} if learned else recipe,
    )


def register(model: Model, registry: Registry) -> str:
    """Save and register a version; returns its name.

    Raises:
        CheckpointError: It cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        return registry.register(Path(folder))


def with_figures(model: Model, dataset: Dataset, poems: int = 250, seed: int = 0) -> Model:
    """The model, measured.

    Args:
        model: A version.
        dataset: What it was trained on, and the validation poems.
        poems: How many poems of each form to read, people's and its own.
        seed: Of its own. They are part of the version, whose name is a hash of it.
    """
    figures = {
        "nats_per_char": likelihoods(dataset, model.generator, poems),
        "noise": noise_figures(dataset, model.generator, poems),
        "samples": sample_figures(model, dataset, poems, seed),
    }
    return replace(model, figures=figures)


def likelihoods(dataset: Dataset, generator: Generator, poems: int) -> dict[str, float]:
    """Nats per character on validation poems, beside n-grams that learned from all of the training poems.

    The generator's is a bound, unmasked, nothing told, on the first `poems` poems of each form, weighted as the forms
    are in the validation set. Characters too rare for the vocabulary are one kind to all models.
    """
    found = {
        "generator": validation_nll(generator, dataset.validation, samples=IMPORTANCE_SAMPLES, limit=poems)["all"],
        "generator, told theme, plan, pattern and rhyme": validation_nll(
            generator, dataset.validation, samples=IMPORTANCE_SAMPLES, limit=poems, known=True
        )["all"],
    }
    held_out = [data.ids for data in dataset.validation.values() if len(data)]
    for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram")):
        model = NgramModel([data.ids for data in dataset.train.values()], order, len(dataset.vocabulary))
        nats = -sum(float(model.log_probs(ids).sum()) for ids in held_out)
        found[name] = nats / max(1, sum(ids.size for ids in held_out))
    return _rounded(found)


@torch.no_grad()
def noise_figures(dataset: Dataset, generator: Generator, poems: int) -> dict[str, float]:
    """Nats per character on validation poems with z drawn for the poem itself, for another poem, and from the prior."""
    generator.eval()
    totals = {"own": 0.0, "another's": 0.0, "prior": 0.0}
    chars = 0
    source = torch.Generator().manual_seed(0)
    for data in dataset.validation.values():
        ids = torch.from_numpy(data.ids[:poems]).long()
        if not len(ids):
            continue
        mean, log_variance = generator.encode(ids)
        own = mean + torch.randn(mean.shape, generator=source) * (0.5 * log_variance).exp()
        conditions = Conditions.none(data.form, len(ids))
        for name, noise in (
            ("own", own),
            ("another's", own.roll(1, 0)),
            ("prior", torch.randn(own.shape, generator=source)),
        ):
            totals[name] += float(sequence_nll(generator(ids, conditions, noise), ids).sum())
        chars += ids.numel()
    return _rounded({name: nats / max(1, chars) for name, nats in totals.items()})


def sample_figures(model: Model, dataset: Dataset, poems: int, seed: int = 0) -> dict[str, dict[str, float]]:
    """Of poems written by default settings without a theme: rules kept, distinct pairs and copied lines, by form.

    Pairs and lines stand beside those of as many validation poems by people.
    """
    poet, source = Poet("", model), random.Random(seed)
    found: dict[str, dict[str, float]] = {}
    for name, data in dataset.validation.items():
        written = poet.compose([PoemRequest(data.form)] * poems, source=source)
        ours = [composition.poem.lines for composition in written]
        length = data.form.line_lengths[0]
        texts = [dataset.vocabulary.decode(row) for row in data.ids[:poems]]
        theirs = [[text[start : start + length] for start in range(0, len(text), length)] for text in texts]
        our_ids = np.array([dataset.vocabulary.encode(composition.poem.text) for composition in written], np.int32)
        known = {line.tobytes() for line in dataset.learned_lines(length)}
        found[name] = _rounded(
            {
                "regulated": sum(not composition.problems for composition in written) / poems,
                "distinct pairs": distinct_pairs(ours),
                "distinct pairs, people": distinct_pairs(theirs),
                "copied lines": _copied(our_ids, length, known),
                "copied lines, people": _copied(data.ids[:poems], length, known),
            }
        )
    return found


def _copied(ids: npt.NDArray[np.int32], length: int, known: set[bytes]) -> float:
    lines = ids.reshape(-1, length)
    return sum(line.tobytes() in known for line in lines) / max(1, len(lines))


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in figures.items()}
