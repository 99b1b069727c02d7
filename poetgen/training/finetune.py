"""The stage `finetune`: a voice learns from ratings, liked poems as extra real ones, disliked ones as extra fake.

Knows no server and no users. As in `adversarial`, first the discriminator learns, then the generator follows it, held
near where it was by KL. Two things differ, for there are only some hundred votes:

- Of the discriminator only the last step moves: what characters as such count for. Beside the votes it sees stand-ins
  for the real and fake poems of its training, which no installed bot has: the base's own poems, each labelled with how
  real the base holds it. They keep its verdict where the votes say nothing.
- The generator follows in closed form. The change of the verdict is a sum over the poem's characters; of all
  distributions at a place, p(c) exp(strength x change(c)) raises it most for its KL from p (the Gibbs variational
  principle). So the change is added to the output's bias, as strongly as the KL allowed permits. What it leaves out:
  it does not plan ahead, as a generator trained step by step could learn to. But the plan is drawn apart, and it says
  what a poem is about: the planner's keywords follow the change in the same way, under a KL of their own.
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
from poetgen.poem import FIRST_SEEDS, PoemRequest
from poetgen.poet import constraints_of, drafter_of
from poetgen.registry import Registry
from poetgen.sampling import Sample, sample
from poetgen.training.gate import Verdict, judge
from poetgen.training.losses import soft_label_loss, vote_loss
from poetgen.training.ratings import RatedPoem, Ratings, Weights

# Told what is being done, the share done, and the mean change of the verdict if there is one.
Progress = Callable[[str, float, float | None], None]

# What of the strength that the KL allows is tried, where the gate finds that the poems lost something else by it.
_SHARES_TRIED = (1.0, 0.7, 0.5, 0.35, 0.25)


@dataclass(frozen=True, slots=True)
class FinetuneConfig:
    """How a voice learns.

    Attributes:
        vote_share: What the votes weigh in the discriminator's loss, 0 to 1; stand-ins weigh the rest.
        prior: How strongly the change is drawn to zero: nats, over all votes, at a length of one (a normal prior).
        stand_ins: How many poems of the base stand in.
        most_lost: The KL to the base that is allowed, as a share of the base's nats per character.
        most_replanned: The KL to the base's keywords that is allowed, in nats a keyword.
        measured_poems: How many poems the gate draws of each.
    """

    vote_share: float = 0.5
    prior: float = 2.0
    stand_ins: int = 192
    most_lost: float = 0.01
    most_replanned: float = 2.0
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
    """The base's own poems, drawn as it would serve them, and what the base holds of them.

    Args:
        model: The base.
        poems: Rated poems, whose forms and themes are taken.
        count: How many to draw.
        seed: Decides all.
    """

    def __init__(self, model: Model, poems: Sequence[RatedPoem], count: int, seed: int) -> None:
        self.model = model
        self._asked = [(poem.form, "".join(char for char in poem.theme if char in model.vocabulary)) for poem in poems]
        self._seed = seed
        self.samples = self.draw(model, count)
        with torch.no_grad():
            self.logits = torch.cat(
                [model.discriminator(item.ids, item.conditions.form, item.conditions.themes) for item in self.samples]
            )

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
            for start in range(0, len(rows), 64):
                chunk = rows[start : start + 64]
                drafts = drafter.drafts([requests[row] for row in chunk], [seeds[row] for row in chunk])
                samples.append(sample(model.generator, constraints, drafts))
        return samples

    def described(self) -> Tensor:
        """[S, F] as `describe` gives it."""
        return torch.cat([describe(self.model, item.ids) for item in self.samples])


def describe(model: Model, ids: Tensor) -> Tensor:
    """[B, F] what the discriminator's last step is told of poems of [B, T] ids: all their characters together."""
    described: Tensor = torch.nn.functional.embedding(ids, model.discriminator.table).sum(dim=1) / ids.shape[1] ** 0.5
    return described


def describe_rated(model: Model, poems: Sequence[RatedPoem]) -> Tensor:
    """[P, F] the same of rated poems of any form."""
    return torch.cat([describe(model, torch.tensor([model.vocabulary.encode("".join(poem.lines))])) for poem in poems])


def learn_votes(rated: Tensor, up: Weights, down: Weights, stand_ins: StandIns, config: FinetuneConfig) -> Tensor:
    """[F + 1] the change of the discriminator's last step, its bias last, that votes ask for.

    A convex problem, solved to its end: the same votes give the same change.

    Args:
        rated: [P, F] the rated poems.
        up: [P] what their likes weigh.
        down: [P] what their dislikes weigh.
        stand_ins: What keeps the verdict where the votes say nothing.
        config: How.
    """
    rated = _with_one(rated).double()
    others = _with_one(stand_ins.described()).double()
    logits = stand_ins.logits.double()
    labels = torch.sigmoid(logits)
    liked, disliked = torch.from_numpy(up), torch.from_numpy(down)
    change = torch.zeros(rated.shape[1], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([change], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        # What the base thought of a poem is no evidence of how people vote: the votes see the change alone.
        asked = vote_loss(rated @ change, liked, disliked)
        kept = soft_label_loss(logits + others @ change, labels)
        prior = config.prior * change[:-1].square().sum() / (liked + disliked).sum()
        total = config.vote_share * (asked + prior) + (1 - config.vote_share) * kept
        total.backward()
        return total

    optimizer.step(loss)
    return change.detach().float()


def _with_one(rows: Tensor) -> Tensor:
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1)


@dataclass(frozen=True, slots=True)
class Strength:
    """How strongly generator and planner follow the change of the verdict.

    Attributes:
        generator: Factor of a character's gain, in nats of its logit.
        planner: Factor of the same, in nats of a keyword's.
    """

    generator: float
    planner: float

    def __mul__(self, share: float) -> "Strength":
        return Strength(share * self.generator, share * self.planner)


def adapter_of(model: Model, change: Tensor, strength: Strength) -> Adapter:
    """The voice's change: to the discriminator as learned, to generator and planner as strong as said."""
    taste = model.discriminator.table @ change[:-1]
    return Adapter(
        {"output_bias": strength.generator * taste},
        {"chars.weight": change[None, :-1], "logit.bias": change[-1:]},
        taste,
        strength.planner,
    )


@torch.no_grad()
def share_lost(voice: Model, stand_ins: StandIns) -> float:
    """KL(base ‖ voice) on the base's own poems, unmasked, as a share of the base's nats there; ≥ 0."""
    lost = total = 0.0
    for item in stand_ins.samples:
        inputs = (item.ids, item.conditions, item.noise)
        anchor = torch.log_softmax(stand_ins.model.generator(*inputs), dim=-1)
        changed = torch.log_softmax(voice.generator(*inputs), dim=-1)
        lost += float((anchor.exp() * (anchor - changed)).sum())
        total -= float(anchor.gather(2, item.ids[:, :, None]).sum())
    return lost / total


def strongest(model: Model, change: Tensor, stand_ins: StandIns, config: FinetuneConfig) -> Strength:
    """How strongly generator and planner may follow a change before they are further from the base than allowed."""

    def lost(strength: float) -> float:
        return share_lost(adapter_of(model, change, Strength(strength, 0)).applied(model), stand_ins)

    def replanned(strength: float) -> float:
        taste = adapter_of(model, change, Strength(0, strength)).taste
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
        config: How.
        seed: Of the poems that stand in and that the gate compares.
        progress: Told how far it is.

    Raises:
        CheckpointError: The version cannot be written.
    """
    progress("discriminator", 0.0, None)
    stand_ins = StandIns(model, ratings.poems, config.stand_ins, seed)
    rated = describe_rated(model, ratings.poems)
    change = learn_votes(rated, ratings.up.sum(axis=1), ratings.down.sum(axis=1), stand_ins, config)
    # Every vote is also predicted by a discriminator that never saw its voter.
    held_out = np.zeros_like(ratings.up)
    num_folds = ratings.up.shape[1]
    for fold in range(num_folds):
        others = [number for number in range(num_folds) if number != fold]
        up, down = ratings.up[:, others].sum(axis=1), ratings.down[:, others].sum(axis=1)
        if up.sum() + down.sum() > 0:
            learned = learn_votes(rated, up, down, stand_ins, config)
            held_out[:, fold] = (rated @ learned[:-1]).numpy()
        progress("discriminator", (fold + 1) / num_folds, None)
    allowed = strongest(model, change, stand_ins, config)
    path = []
    num_steps = 6
    for number in range(num_steps):
        strength = allowed * (number / (num_steps - 1))
        changed = adapter_of(model, change, strength).applied(model)
        drawn = stand_ins.draw(changed, config.stand_ins // 2)
        reward = float(torch.cat([describe(model, item.ids) for item in drawn]).matmul(change[:-1]).mean())
        path.append((strength.generator, reward, share_lost(changed, stand_ins)))
        progress("generator", (number + 1) / num_steps, reward)
    reward = path[-1][1]
    progress("gate", 0.0, reward)
    for tried, share in enumerate(_SHARES_TRIED):
        adapter = adapter_of(model, change, allowed * share)
        candidate = adapter.applied(model)
        verdict = judge(
            model,
            candidate,
            ratings,
            held_out,
            lost=share_lost(candidate, stand_ins),
            most_lost=config.most_lost,
            poems=config.measured_poems,
            seed=seed,
            progress=lambda done, tried=tried: progress("gate", (tried + done) / len(_SHARES_TRIED), reward),  # type: ignore[misc]
        )
        if verdict.passed or not verdict.too_strong:
            break
    said = {
        "base": base,
        "parent": base,
        "voice": voice,
        "verdict": "promoted" if verdict.passed else "refused",
        "votes_sha256": ratings.sha256,
        "figures": {"before": verdict.before, "after": verdict.after},
        "recipe": {"finetune": asdict(config), "seed": seed, "strength": asdict(allowed * share)},
    }
    with tempfile.TemporaryDirectory() as folder:
        save_adapter(adapter, Path(folder), said)
        version = registry.register(Path(folder))
    if verdict.passed:
        registry.promote(version, voice)
    return Outcome(version, verdict, tuple(path))
