"""Other ways to learn from the same ratings, under the same KL to the base: what our fine-tune must beat.

All of them change the base by an `Adapter`, so that they are served as a voice is.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from poetgen.adapter import Adapter
from poetgen.checkpoint import Model
from poetgen.generator import Conditions, pad_themes
from poetgen.likelihood import sequence_nll
from poetgen.training.anchor import Anchor
from poetgen.training.finetune import (
    FinetuneConfig,
    StandIns,
    Strength,
    adapter_of,
    electorate_of,
)
from poetgen.training.ratings import Ratings

_STEPS = 40
_RATE = 0.02
_DESIRED, _UNDESIRED = 1.0, 1.0  # weights of KTO's two sides
_BETA = 0.1


def discriminator_alone(model: Model, ratings: Ratings, stand_ins: StandIns) -> Adapter:
    """A reward model for the choice among candidates; generator and plan stay."""
    votes = (torch.from_numpy(side.sum(axis=1)) for side in (ratings.up, ratings.down))
    taste, bias = electorate_of(model, ratings, stand_ins).learn(*votes)
    return adapter_of(taste, bias, Strength(0, 0))


def liked_only(model: Model, ratings: Ratings, stand_ins: StandIns) -> Adapter:
    """Maximum likelihood of liked poems, by their share of likes."""
    up, down = (torch.from_numpy(side.sum(axis=1)).float() for side in (ratings.up, ratings.down))
    return _fitted(model, ratings, stand_ins, lambda gain: -(up / (up + down + 1) * gain).mean())


def kto(model: Model, ratings: Ratings, stand_ins: StandIns) -> Adapter:
    """KTO (Ethayarajh et al. 2024): liked poems up, disliked ones down, each less the further it has come."""
    up, down = (torch.from_numpy(side.sum(axis=1)).float() for side in (ratings.up, ratings.down))

    def loss(gain: Tensor) -> Tensor:
        reference = gain.mean().detach().clamp(min=0)
        liked = 1 - torch.sigmoid(_BETA * (gain - reference))
        disliked = 1 - torch.sigmoid(_BETA * (reference - gain))
        return (_DESIRED * up * liked + _UNDESIRED * down * disliked).mean()

    return _fitted(model, ratings, stand_ins, loss)


RIVALS: Mapping[str, Callable[[Model, Ratings, StandIns], Adapter]] = {
    "discriminator alone": discriminator_alone,
    "liked only": liked_only,
    "KTO": kto,
}


def _fitted(model: Model, ratings: Ratings, stand_ins: StandIns, loss: Callable[[Tensor], Tensor]) -> Adapter:
    """Gradient steps on the output's bias, as far as the allowed KL goes.

    Args:
        model: The base.
        ratings: P rated poems.
        stand_ins: Measure the KL.
        loss: Of [P] how much likelier than to the base each rated poem is, nats.
    """
    change = torch.zeros_like(model.generator.output_bias, requires_grad=True)
    optimizer = torch.optim.Adam([change], lr=_RATE)
    batches = _batches(model, ratings)
    anchor = Anchor.of_samples(model, stand_ins.samples)
    best = torch.zeros_like(change)
    for _ in range(_STEPS):
        gain = torch.zeros(len(ratings.poems))
        for rows, features, ids, before in batches:
            logits = torch.nn.functional.linear(
                features, model.generator.embedding.weight, model.generator.output_bias + change
            )
            gain = gain.index_add(0, rows, before - sequence_nll(logits, ids).sum(dim=1))
        optimizer.zero_grad()
        loss(gain).backward()
        optimizer.step()
        if anchor.share_lost(change.detach()) > FinetuneConfig().most_lost:
            break
        best = change.detach().clone()
    return Adapter({"output_bias": best}, {})


@torch.no_grad()
def _batches(model: Model, ratings: Ratings) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(rows, features, ids, nats of the base) of the rated poems, form by form, told their themes."""
    found = []
    for form in dict.fromkeys(poem.form for poem in ratings.poems):
        rows = [number for number, poem in enumerate(ratings.poems) if poem.form == form]
        poems = [ratings.poems[row] for row in rows]
        ids = torch.tensor([poem.ids(model.vocabulary) for poem in poems])
        themes = pad_themes([model.vocabulary.encode(poem.theme) for poem in poems])
        plain = Conditions.none(form, len(rows))
        conditions = Conditions(form, themes, plain.plans, plain.patterns, plain.rhymes)
        mean, _ = model.generator.encode(ids)
        features = model.generator.features(ids, conditions, mean)
        nats = sequence_nll(model.generator.logits(features), ids).sum(dim=1)
        found.append((torch.tensor(rows), features, ids, nats))
    return found
