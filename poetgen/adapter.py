"""An adapter: the small changes by which a voice differs from its base version.

Knows no training and no votes. It holds what is added to a few vectors of generator and discriminator, some
thirty kilobytes in all, so that few votes move few numbers and a thousand voices fit on a disk.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from poetgen import files
from poetgen.checkpoint import Model, load_model, load_tensors, write_version
from poetgen.errors import CheckpointError, one_line
from poetgen.record import load_record
from poetgen.registry import Registry

Network = TypeVar("Network", bound=nn.Module)
# Whole versions in use, by name (a hash of all they are), so that all voices share one base in memory.
_bases: WeakValueDictionary[str, Model] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Adapter:
    """Changes to a model.

    Attributes:
        generator: Name of a tensor of the generator -> what is added to it.
        discriminator: The same of the discriminator.
        planning: By how many nats a nat of the discriminator's taste makes a character likelier as a keyword.
    """

    generator: Mapping[str, Tensor]
    discriminator: Mapping[str, Tensor]
    planning: float = 0.0

    def applied(self, model: Model) -> Model:
        """A model with the changes, in evaluation mode; all that is not changed is shared with `model`.

        Raises:
            KeyError, IndexError, RuntimeError: The changes are those of another model.
        """
        discriminator = _changed(model.discriminator, self.discriminator)
        return replace(
            model,
            generator=_changed(model.generator, self.generator),
            discriminator=discriminator,
            planner=model.planner.leaning((self.planning * discriminator.taste).numpy()),
            base=model,
        )


def _changed(network: Network, changes: Mapping[str, Tensor]) -> Network:
    # Told to the copier as copied already, the unchanged tensors are shared.
    shared = {id(tensor): tensor for name, tensor in _tensors(network).items() if name not in changes}
    changed = copy.deepcopy(network, shared)
    with torch.no_grad():
        for name, change in changes.items():
            _tensors(changed)[name].add_(change)
    return changed.eval()


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def save_adapter(adapter: Adapter, folder: Path, said: Mapping[str, object]) -> str:
    """Write a voice's version into `folder`; returns its name.

    Args:
        adapter: The changes.
        folder: Where; made if missing.
        said: The rest of its record: base, parent, voice, verdict, votes_sha256, figures, recipe.

    Raises:
        UnwrittenError: It cannot be written, on a full disk say.
    """
    tensors = {f"generator.{name}": change.half().contiguous() for name, change in adapter.generator.items()}
    tensors |= {f"discriminator.{name}": change.half().contiguous() for name, change in adapter.discriminator.items()}
    tensors["planning"] = torch.tensor(adapter.planning)
    return write_version(folder, tensors, said)


def load_version(registry: Registry, name: str) -> tuple[str, Model]:
    """(full name, model) of any version: a whole one, or a voice's on top of its base.

    Raises:
        CheckpointError: It or its base is missing, damaged or foreign.
    """
    folder = registry.folder(name)
    record = load_record(folder)
    root = registry.root(name)
    base = str(load_record(root)["version"])
    model = _bases.get(base)
    if model is None:
        _, model = load_model(root)
        _bases[base] = model
    if record["base"] is None:
        return str(record["version"]), model
    tensors = {key: value.float() for key, value in load_tensors(folder, record["weights_sha256"]).items()}
    if "taste" in tensors:  # voices of earlier editions say it twice: so, and as features' weights
        tensors["discriminator.taste"] = tensors.pop("taste")
        tensors.pop("discriminator.chars.weight", None)
    try:
        planning = float(tensors.pop("planning", torch.zeros(())))  # those of the first leave the plan as it is
        adapter = Adapter(files.under("generator", tensors), files.under("discriminator", tensors), planning)
        return str(record["version"]), adapter.applied(model)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"The version in {folder} is damaged ({one_line(error)}). Fit the voice anew.") from None
