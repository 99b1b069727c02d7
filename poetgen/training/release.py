"""From trained networks to a registered version, with the figures of its making. Knows no losses."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from poetgen.checkpoint import Model, save_model
from poetgen.dataset import Dataset, shares_of
from poetgen.discriminator import Discriminator
from poetgen.generator import Generator
from poetgen.likelihood import IMPORTANCE_SAMPLES
from poetgen.metrics import NgramModel
from poetgen.poem import DEFAULT_TEMPERATURE
from poetgen.registry import Registry
from poetgen.training.pretrain import validation_nll


def assemble(
    dataset: Dataset, generator: Generator, discriminator: Discriminator, **about: Mapping[str, object]
) -> Model:
    """All parts of a version; `about` are the fields `figures` and `recipe` of `Model`."""
    return Model(
        dataset.vocabulary,
        dataset.phonology,
        dataset.planner,
        generator,
        discriminator,
        shares_of(dataset.train),
        DEFAULT_TEMPERATURE,
        **about,  # type: ignore[arg-type]  # a mapping of mappings; mypy cannot match it to the two fields
    )


def register(model: Model, registry: Registry) -> str:
    """Save and register a version; returns its name.

    Raises:
        CheckpointError: It cannot be written.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_model(model, Path(folder))
        return registry.register(Path(folder))


def likelihoods(dataset: Dataset, generator: Generator, limit: int = 250) -> dict[str, float]:
    """Nats per character on validation poems, beside n-grams that learned from all of the training poems.

    The generator's is a bound, unmasked, nothing told, on the first `limit` poems of each form, weighted as the forms
    are in the validation set. Characters too rare for the vocabulary are one kind to all models.
    """
    found = {"generator": validation_nll(generator, dataset.validation, samples=IMPORTANCE_SAMPLES, limit=limit)["all"]}
    held_out = [data.ids for data in dataset.validation.values() if len(data)]
    for order, name in ((1, "unigram"), (2, "bigram"), (3, "trigram")):
        model = NgramModel([data.ids for data in dataset.train.values()], order, len(dataset.vocabulary))
        nats = -sum(float(model.log_probs(ids).sum()) for ids in held_out)
        found[name] = nats / max(1, sum(ids.size for ids in held_out))
    return {name: round(value, 4) for name, value in found.items()}
