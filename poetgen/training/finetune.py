"""The stage `finetune`: a voice learns from ratings, liked poems as extra real ones, disliked ones as extra fake.

Knows no server and no users. As in `adversarial`, first the discriminator learns, then the generator follows it, held
near where it was by KL. Two things differ, for there are only some hundred votes:

- Of the discriminator only what characters as such count for moves, with a prior in the place of the real and fake
  poems of its training, which no installed bot has: what the votes say nothing of stays (`training.taste`).
- The generator follows in closed form. The change of the verdict is a sum over the poem's characters; of all
  distributions at a place, p(c) exp(strength x change(c)) raises it most for its KL from p (the Gibbs variational
  principle). So the change is added to the output's bias, as strongly as the KL allowed permits. What it leaves out:
  it does not plan ahead, as a generator trained step by step could learn to. But the plan is drawn apart, and it says
  what a poem is about: the planner's outlines follow the change in the same way, under a KL of their own.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poetgen.adapter import Adapter, save_adapter
from poetgen.checkpoint import Model
from poetgen.dataset import Dataset
from poetgen.poem import FORMS, PoemRequest
from poetgen.poet import constraints_of, drafter_of
from poetgen.registry import Registry
from poetgen.sampling import Sample, sample
from poetgen.seeds import FIRST_SEEDS
from poetgen.training.anchor import Anchor
from poetgen.training.gate import Gate, Verdict
from poetgen.training.ratings import RatedPoem, Ratings
from poetgen.training.taste import Electorate, TastePrior, bags

# Told what is being done, the share done, and the mean change of the verdict if there is one.
Progress = Callable[[str, float, float | None], None]

# What of the strength that the KL allows generator and planner is tried, one after another, where the gate finds that
# the poems lost something else by it. The planner's costs more variety for what it gains.
_SHARES_TRIED = ((1.0, 1.0), (1.0, 0.7), (1.0, 0.5), (1.0, 0.3), (0.7, 0.2), (0.5, 0.1), (0.25, 0.0))
_BATCH = 32  # poems; more would take memory that the bot beside it wants


@dataclass(frozen=True, slots=True)
class FinetuneConfig:
    """How a voice learns.

    Attributes:
        stand_ins: How many of the base's own poems stand in for people's: they say how far poems differ, and how far
            the voice is from the base.
        most_lost: What may be lost of the base's language, as a share of its nats per character (see `Anchor`).
            Where the KL stands for it, people's poems lose a little more, and no more than 1 % in all.
        most_replanned: The KL to the base's outlines that is allowed, in nats a poem (see `Planner.divergence`).
        measured_poems: How many poems the gate draws of each.
    """

    stand_ins: int = 192
    most_lost: float = 0.009
    most_replanned: float = 3.0
    measured_poems: int = 160


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a fine-tune.

    Attributes:
        version: The candidate, registered, promoted or not.
        verdict: Of the gate.
        path: (strength, mean change of the verdict, share of nats lost) on the way.
    """

    version: str
    verdict: Verdict
    path: tuple[tuple[float, float, float], ...]


class StandIns:
    """The base's own poems: single drafts, of the forms and themes that it would serve, without search and value head.

    Args:
        model: The base.
        poems: Rated poems, whose forms and themes are taken.
        count: How many to draw.
        seed: Decides all.
    """

    def __init__(self, model: Model, poems: Sequence[RatedPoem], count: int, seed: int) -> None:
        self.model = model
        self._asked = [(poem.form, poem.known_theme(model.vocabulary)) for poem in poems]
        self._seed = seed
        self.samples = self.draw(model, count)

    def draw(self, model: Model, count: int) -> list[Sample]:
        """Poems of the base or of a voice, of the forms that were rated; half of them on a theme that was."""
        constraints = constraints_of(model)
        drafter = drafter_of(model, constraints)
        rng = np.random.default_rng(self._seed)
        picked = [self._asked[int(number)] for number in rng.integers(0, len(self._asked), count)]
        requests = [PoemRequest(form, theme=theme if rng.random() < 0.5 else "") for form, theme in picked]
        seeds = rng.integers(0, FIRST_SEEDS, count).tolist()
        samples = []
        for form in dict.fromkeys(form for form, _ in picked):
            rows = [number for number, request in enumerate(requests) if request.form == form]
            for start in range(0, len(rows), _BATCH):
                chunk = rows[start : start + _BATCH]
                drafts = drafter.drafts([requests[row] for row in chunk], [seeds[row] for row in chunk])
                samples.append(sample(model.generator, constraints, drafts))
        return samples


def electorate_of(model: Model, ratings: Ratings, stand_ins: StandIns) -> Electorate:
    """The rated poems, ready to learn from."""
    size = len(model.vocabulary)
    rated = bags([torch.tensor(poem.ids(model.vocabulary)) for poem in ratings.poems], size)
    base_poems = bags([ids for item in stand_ins.samples for ids in item.ids], size)
    return Electorate(TastePrior(torch.from_numpy(model.planner.vectors), base_poems), rated)


@dataclass(frozen=True, slots=True)
class Strength:
    """How strongly generator and planner follow the change of the verdict.

    Attributes:
        generator: Factor of a character's gain, in nats of its logit.
        planner: Factor of the same, in nats of a keyword's.
    """

    generator: float
    planner: float

    def scaled(self, generator: float, planner: float) -> "Strength":
        """These shares of it."""
        return Strength(generator * self.generator, planner * self.planner)


def adapter_of(taste: Tensor, bias: Tensor, strength: Strength) -> Adapter:
    """The voice's change: to the discriminator as learned, to generator and planner as strong as said."""
    return Adapter({"output_bias": strength.generator * taste}, {"taste": taste, "logit.bias": bias}, strength.planner)


def strongest(model: Model, taste: Tensor, anchor: Anchor, config: FinetuneConfig) -> Strength:
    """How strongly generator and planner may follow a taste, [V], and lose no more than is allowed."""

    def lost(strength: float) -> float:
        return anchor.share_lost(strength * taste)

    def replanned(strength: float) -> float:
        return model.planner.divergence(model.planner.leaning((strength * taste).numpy()))

    return Strength(_largest(lost, config.most_lost), _largest(replanned, config.most_replanned))


def _largest(cost: Callable[[float], float], most: float) -> float:
    """The largest number, 64 at most, whose cost, which rises with it, is at most `most`."""
    low, high = 0.0, 1.0
    while high < 64 and cost(high) < most:
        low, high = high, 2 * high
    for _ in range(6):
        middle = (low + high) / 2
        if cost(middle) <= most:
            low = middle
        else:
            high = middle
    return low


def finetune(
    model: Model,
    base: str,
    ratings: Ratings,
    registry: Registry,
    *,
    voice: str | None,
    corpus: Dataset | None = None,
    config: FinetuneConfig = FinetuneConfig(),
    seed: int = 0,
    progress: Progress = lambda stage, share, reward: None,
) -> Outcome:
    """Fit a voice to ratings, let the gate judge it, register it, and promote it if it passed.

    Args:
        model: The base.
        base: Its name.
        ratings: Of one server, or of all.
        registry: Where the version goes.
        voice: Whose; None for all that have none of their own.
        corpus: A prepared one, if there is one: then people's poems, not the base's own, say what the voice has lost.
        config: How.
        seed: Of the poems that stand in and that the gate compares.
        progress: Told how far it is.

    Raises:
        CheckpointError: The version cannot be written.
    """
    progress("discriminator", 0.0, None)
    stand_ins = StandIns(model, ratings.poems, config.stand_ins, seed)
    if corpus is None:
        anchor = Anchor.of_samples(model, stand_ins.samples)
    else:
        anchor = Anchor.of_corpus(model, corpus, config.stand_ins // len(FORMS))
    electorate = electorate_of(model, ratings, stand_ins)
    up, down = torch.from_numpy(ratings.up), torch.from_numpy(ratings.down)
    taste, bias = electorate.learn(up.sum(dim=1), down.sum(dim=1))
    # Every vote is also predicted by a discriminator that never saw its voter.
    held_out = np.zeros_like(ratings.up)
    num_folds = ratings.up.shape[1]
    for fold in range(num_folds):
        others = [number for number in range(num_folds) if number != fold]
        if (up + down)[:, others].sum() > 0:
            learned, _ = electorate.learn(up[:, others].sum(dim=1), down[:, others].sum(dim=1))
            held_out[:, fold] = electorate.poems @ learned
        progress("discriminator", (fold + 1) / num_folds, None)
    allowed = strongest(model, taste, anchor, config)
    path = []
    num_steps = 6
    for number in range(num_steps):
        share = number / (num_steps - 1)
        strength = allowed.scaled(share, share)
        changed = adapter_of(taste, bias, strength).applied(model)
        drawn = stand_ins.draw(changed, config.stand_ins // 2)
        reward = float(torch.cat([changed.discriminator.liking(item.ids) for item in drawn]).mean())
        path.append((strength.generator, reward, anchor.share_lost(strength.generator * taste)))
        progress("generator", (number + 1) / num_steps, reward)
    reward = path[-1][1]
    progress("gate", 0.0, reward)
    gate = Gate(model, ratings, held_out, most_lost=config.most_lost, poems=config.measured_poems, seed=seed)
    for tried, shares in enumerate(_SHARES_TRIED, start=1):
        progress("gate", tried / (1 + len(_SHARES_TRIED)), reward)
        strength = allowed.scaled(*shares)
        adapter = adapter_of(taste, bias, strength)
        verdict = gate.judge(adapter.applied(model), anchor.share_lost(strength.generator * taste))
        if verdict.passed or not verdict.too_strong:
            break
    said = {
        "base": base,
        "parent": base,
        "voice": voice,
        "verdict": "promoted" if verdict.passed else "refused",
        "votes_sha256": ratings.sha256,
        "figures": {"before": verdict.before, "after": verdict.after},
        "recipe": {"finetune": asdict(config), "seed": seed, "strength": asdict(strength)},
    }
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(adapter, Path(folder), said)
        version = registry.register(Path(folder))
    if verdict.passed:
        registry.promote(version, voice)
    return Outcome(version, verdict, tuple(path))
