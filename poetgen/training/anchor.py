"""The anchor: poems by which it is measured how far a voice's language is from its base's.

Knows no votes. A voice's generator differs from its base's in the output's bias alone, so what the base knows before
each character is read once, and any change of the bias is then a matter of two products.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from poetgen.checkpoint import Model
from poetgen.dataset import Dataset
from poetgen.generator import Conditions
from poetgen.sampling import Sample

_POEMS = 32  # read together
_PLACES = 512  # whose distributions, V numbers each, are in memory together: the bot beside it wants that memory


class Anchor:
    """Poems as the base read them.

    Args:
        model: The base.
        ids: [N] the characters of all poems.
        features: [N, E] what the base knew before each.
        by_people: Whether people wrote them. If so, a voice loses what it predicts them worse; if the base did, the
            KL from the base to the voice.
    """

    def __init__(self, model: Model, ids: Tensor, features: Tensor, *, by_people: bool) -> None:
        self._generator = model.generator
        self._ids, self._features = ids, features
        self._by_people = by_people

    @classmethod
    @torch.no_grad()
    def of_samples(cls, model: Model, samples: Sequence[Sample]) -> "Anchor":
        """The base's own poems."""
        read = [model.generator.features(item.ids, item.conditions, item.noise) for item in samples]
        ids = torch.cat([item.ids.flatten() for item in samples])
        return cls(model, ids, torch.cat([features.flatten(0, 1) for features in read]), by_people=False)

    @classmethod
    @torch.no_grad()
    def of_corpus(cls, model: Model, dataset: Dataset, count: int) -> "Anchor":
        """The first `count` validation poems of each form; z as the encoder reads it out of them, else nothing told."""
        poems, read = [], []
        for data in dataset.validation.values():
            for ids in torch.from_numpy(data.ids[:count]).long().split(_POEMS):
                mean, _ = model.generator.encode(ids)
                poems.append(ids.flatten())
                read.append(model.generator.features(ids, Conditions.none(data.form, len(ids)), mean).flatten(0, 1))
        return cls(model, torch.cat(poems), torch.cat(read), by_people=True)

    @torch.no_grad()
    def share_lost(self, change: Tensor) -> float:
        """What a voice has lost of the base's language, as a share of the base's nats on these poems, unmasked.

        Args:
            change: [V] what the voice adds to the output's bias.
        """
        # With q proportional to p e^change: log p - log q = log E_p e^change - change, and its mean under p is the KL.
        highest = change.max()
        gains = torch.stack([change, (change - highest).exp()], dim=1)
        lost = total = 0.0
        for ids, features in zip(self._ids.split(_PLACES), self._features.split(_PLACES), strict=True):
            anchor = torch.log_softmax(self._generator.logits(features), dim=-1)
            total -= float(anchor.gather(1, ids[:, None]).sum())
            means, raised = (anchor.exp_() @ gains).unbind(dim=-1)
            lost += float((raised.log() + highest - (change[ids] if self._by_people else means)).sum())
        return lost / total
