"""One version on disk: weights in safetensors, beside a JSON that a person can read.

Knows the parts of a model, not how they are used, nor how their numbers are rounded (see `quantization`). A version is
named by a hash of both files.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from poetgen import files
from poetgen.classics import Classics
from poetgen.dataset import Shares
from poetgen.discriminator import Discriminator, DiscriminatorConfig, character_table
from poetgen.errors import CheckpointError, UnwrittenError, one_line
from poetgen.generator import Generator, GeneratorConfig
from poetgen.phonology import Phonology
from poetgen.planner import Planner
from poetgen.quantization import packed, unpacked
from poetgen.record import FORMAT, JSON_FILE, VOICE_KEYS, WEIGHTS_FILE, load_record, version_name, weights_hash
from poetgen.tails import Tails
from poetgen.value import ValueHead
from poetgen.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Model:
    """All parts of a version.

    Attributes:
        shares: How common each pattern and rhyme group is, as `drafting` wants it.
        temperature: The default for writing.
        lift: How much the decoder lifts rare characters, as `sampling.Constraints` wants it, without `lifts`.
        lifts: [V] how much it lifts each (see `training.lifts`); None if that was not found out.
        value_head: What readers are expected to make of its poems (see `training.marks`); None if none were asked.
        base: What a voice changes, and shares all the rest with; None for a whole version.
    """

    vocabulary: Vocabulary
    phonology: Phonology
    planner: Planner
    classics: Classics
    tails: Tails
    generator: Generator
    discriminator: Discriminator
    shares: Shares
    temperature: float = 1.0
    lift: float = 0.0
    lifts: Tensor | None = None
    value_head: ValueHead | None = None
    base: "Model | None" = None
    parent: str | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    recipe: Mapping[str, object] = field(default_factory=dict)


def save_model(model: Model, folder: Path) -> str:
    """Write a version into `folder`; returns its name.

    Raises:
        UnwrittenError: It cannot be written, on a full disk say.
    """
    tensors: dict[str, Tensor] = {}
    networks = {"generator": model.generator, "discriminator": model.discriminator, "value_head": model.value_head}
    for prefix, network in networks.items():
        for name, value in network.state_dict().items() if network else ():
            tensors |= packed(f"{prefix}.{name}", value.detach().cpu().float())
    arrays: dict[str, npt.NDArray[Any]] = {
        f"phonology.{name}": array for name, array in model.phonology.arrays().items()
    }
    arrays |= {f"planner.{name}": array for name, array in model.planner.arrays().items()}
    arrays |= {"classics.bits": model.classics.bits, "tails": model.tails.ids.astype(np.int16)}
    tensors |= {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    if model.lifts is not None:
        tensors["lifts"] = model.lifts.half()
    return write_version(
        folder,
        tensors,
        {
            "parent": model.parent,
            **dict.fromkeys(VOICE_KEYS),
            "temperature": model.temperature,
            "lift": model.lift,
            "generator": asdict(model.generator.config),
            "discriminator": asdict(model.discriminator.config),
            "figures": dict(model.figures),
            "recipe": dict(model.recipe),
            "shares": model.shares,
            "vocabulary": model.vocabulary.chars,
            "phonology": model.phonology.chars,
        },
    )


def write_version(folder: Path, tensors: Mapping[str, Tensor], said: Mapping[str, object]) -> str:
    """Write tensors and record of a version into `folder`; returns its name.

    Raises:
        UnwrittenError: It cannot be written, on a full disk say.
    """
    try:
        files.write_whole(folder / WEIGHTS_FILE, lambda path: save_file(dict(tensors), path))
        record = {"format": FORMAT, **said, "weights_sha256": weights_hash(folder)}
        name = version_name(record)
        text = json.dumps({"version": name, **record}, ensure_ascii=False, indent=1) + "\n"
        files.write_text(folder / JSON_FILE, text)
    except (OSError, SafetensorError) as error:
        raise UnwrittenError(f"The version cannot be written to {folder} ({error}). Make room and try again.") from None
    return name


def load_model(folder: Path) -> tuple[str, Model]:
    """(name, model) of the version in `folder`, in evaluation mode.

    Raises:
        CheckpointError: It is missing, damaged or foreign.
    """
    record = load_record(folder)
    tensors = load_tensors(folder, str(record["weights_sha256"]))
    try:
        generator = Generator(GeneratorConfig(**record["generator"]))
        generator.load_state_dict(unpacked(files.under("generator", tensors)))
        planner = Planner.from_arrays({k: v.numpy() for k, v in files.under("planner", tensors).items()})
        table = character_table(generator.embedding.weight, torch.from_numpy(planner.vectors))
        discriminator = Discriminator(DiscriminatorConfig(**record["discriminator"]), table)
        discriminator.load_state_dict(unpacked(files.under("discriminator", tensors)))
        model = Model(
            Vocabulary(record["vocabulary"]),
            Phonology.from_arrays(
                record["phonology"], {k: v.numpy() for k, v in files.under("phonology", tensors).items()}
            ),
            planner,
            Classics(tensors["classics.bits"].numpy()),
            # Versions of the first editions were stored without.
            Tails(tensors["tails"].long().numpy()) if "tails" in tensors else Tails.none(),
            generator.eval(),
            discriminator.eval(),
            record["shares"],
            float(record["temperature"]),
            float(record.get("lift", 0)),  # versions of the first editions have none
            tensors["lifts"].float() if "lifts" in tensors else None,  # versions until the tenth release have none
            _value_head(tensors, generator.config),
            parent=record["parent"],
            figures=record["figures"],
            recipe=record["recipe"],
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"The version in {folder} is damaged ({one_line(error)}). Register it again, or roll back."
        ) from None
    return str(record["version"]), model


def _value_head(tensors: Mapping[str, Tensor], config: GeneratorConfig) -> ValueHead | None:
    """The value head among the tensors of a version, if it has one."""
    own = unpacked(files.under("value_head", tensors))
    linear = tensors.get("value_head")  # versions of the ninth release's time have [1, H] of the states alone
    if not own and linear is None:
        return None
    head = ValueHead(config.hidden_dim, config.embedding_dim, len(own["hidden.bias"]) if own else 1)
    if linear is not None:
        own = {name: torch.zeros_like(weights) for name, weights in head.state_dict().items()}
        own["direct.weight"][:, : config.hidden_dim] = linear
        own["direct.weight"][:, -2:] = 2 / 3  # likelihood counted beside it, then
    head.load_state_dict(own)
    return head.eval()


def load_tensors(folder: Path, sha256: str) -> dict[str, Tensor]:
    """The tensors of the version in `folder`, found to be those that its record speaks of.

    Raises:
        CheckpointError: They are missing or damaged.
    """
    path = folder / WEIGHTS_FILE
    try:
        if weights_hash(folder) != sha256:
            raise CheckpointError(
                f"{path} is damaged: its hash is not the one in {JSON_FILE}. Register it again, or roll back."
            )
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}). Register the version again, or roll back.") from None
