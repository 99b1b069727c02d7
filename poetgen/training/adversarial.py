"""The stage `adversarial`: discriminator and generator in turn, each against the other.

Knows no ratings. First the discriminator learns from real poems against the generator's; then, with it fixed, the
generator by policy gradient; and so on. Three parts of the budget: the discriminator alone (a generator must not
follow one that knows nothing), both in turn, and the discriminator alone again, so that it knows the generator as it
will be used.

What keeps the generator honest: a KL term to the pretrained one, and real poems by maximum likelihood beside the
reward. What keeps the discriminator honest: only regulated poems without characters too rare to write on the real
side, fakes that are always fresh with some old ones among them, and fakes made of real lines (`Senseless`), which only
sense can tell.
"""

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poetgen import prosody
from poetgen.dataset import Dataset, FormData, minibatches, shares_of, tails_of
from poetgen.discriminator import Discriminator, DiscriminatorConfig, character_table
from poetgen.drafting import Drafter
from poetgen.errors import TrainingError
from poetgen.generator import Generator
from poetgen.likelihood import sequence_nll
from poetgen.metrics import auc
from poetgen.poem import FORMS, Form, PoemRequest
from poetgen.quantization import as_kept, keep
from poetgen.sampling import MIN_RHYME_CHARS, Constraints, Sample, is_sure, sample
from poetgen.training.losses import discriminator_loss, masked_kl, masked_log_probs, policy_loss
from poetgen.training.pretrain import PretrainConfig, conditions_of, hidden_conditions, validation_nll
from poetgen.training.rewards import REWARDS, leave_one_out_advantage
from poetgen.training.run import Run
from poetgen.vocabulary import UNKNOWN_ID


@dataclass(frozen=True, slots=True)
class AdversarialConfig:
    """How to train the two in turn.

    Attributes:
        reward: A name in `rewards.REWARDS`.
        poems_per_batch: Fakes drawn each step, and as many real poems.
        warmup_share, settle_share: Parts of the budget in which only the discriminator learns, before and after.
        kl_weight: Of the KL to the pretrained generator, in nats of reward.
        real_weight: Of the likelihood of real poems beside the reward.
        replayed_batches: Steps of the discriminator on old fakes, before each on fresh ones.
        composed_share: How many real poems made senseless join a batch's fakes, as a share of it.
        temperature, lift: With which fakes are drawn: as warm as the generator will write.
    """

    reward: str = "logit"
    poems_per_batch: int = 64
    warmup_share: float = 0.25
    settle_share: float = 0.15
    discriminator_rate: float = 5e-4
    generator_rate: float = 1e-4
    kl_weight: float = 0.1
    real_weight: float = 0.2
    replayed_batches: int = 2
    composed_share: float = 0.25
    label: float = 0.9
    clip_norm: float = 1.0
    temperature: float = 0.55
    lift: float = 1.0
    input_dim: int = 96
    num_filters: int = 64
    hidden_dim: int = 192
    validate_every: int = 200


PRESETS: Mapping[str, AdversarialConfig] = {
    "base": AdversarialConfig(),
    "tiny": AdversarialConfig(poems_per_batch=8, input_dim=16, num_filters=8, hidden_dim=16, validate_every=10),
}

_REPLAY_BATCHES = 64


def writable(data: FormData, constraints: Constraints) -> FormData:
    """The poems that our decoder could have written: what no fake can hold must tell no real poem from one."""
    kept = data.take(is_writable(data))
    return kept.take(is_sure(kept.form, kept.ids, kept.patterns, kept.rhymes, constraints))


def is_writable(data: FormData) -> npt.NDArray[np.bool_]:
    """[P] whether it is regulated, without rare characters, and repeats none but doubled ones."""
    length, num_chars = data.form.line_lengths[0], data.form.num_chars
    keep = data.are_regular
    for distance in range(1, num_chars):
        repeated = data.ids[:, distance:] == data.ids[:, :-distance]
        if distance == 1:
            repeated = repeated[:, length - 1 :: length]
        keep &= ~repeated.any(axis=1)
    return keep


class Fakes:
    """The generator's poems, drawn as a user's request would be.

    Args:
        drafter: Turns a request into a draft.
        constraints: The decoder's.
    """

    def __init__(self, drafter: Drafter, constraints: Constraints) -> None:
        self._drafter = drafter
        self._constraints = constraints

    def draw(
        self,
        generator: Generator,
        like: FormData,
        rng: np.random.Generator,
        *,
        line_ends: bool,
        keep_masks: bool = False,
    ) -> Sample:
        """One poem for each poem of `like`, half of them on its theme, half without; the rest as `sample` has it."""
        vocabulary = self._drafter.vocabulary
        themes = conditions_of(like).themes.tolist()
        seeds = rng.integers(0, 2**53, len(like)).tolist()
        known = [[number for number in theme if number > UNKNOWN_ID][:2] for theme in themes]
        texts = [vocabulary.decode(theme) if seed % 2 else "" for theme, seed in zip(known, seeds, strict=True)]
        drafts = self._drafter.drafts([PoemRequest(like.form, theme=text) for text in texts], seeds)
        return sample(generator, self._constraints, drafts, line_ends=line_ends, keep_masks=keep_masks)


class Senseless:
    """People's poems made senseless, so that only sense can tell: form, tones and rhyme stay as they are.

    One of three ways each, if the poem allows it: two lines of one tonal kind exchanged, a line taken from another poem
    of the same pattern and rhyme, or the poem as it is on another one's theme.

    Args:
        data: Regulated poems, as `writable` gives them.
    """

    def __init__(self, data: FormData) -> None:
        self._data = data
        kinds = [prosody.pattern_lines(name, data.form.num_lines) for name in prosody.PATTERNS]
        self._alike = [
            [pair for pair in combinations(range(data.form.num_lines), 2) if own[pair[0]] == own[pair[1]]]
            for own in kinds
        ]
        # Poems of one pattern and rhyme stand together.
        self._keys = data.patterns.astype(np.int64) * (1 + data.rhymes.max(initial=0)) + data.rhymes
        self._order = np.argsort(self._keys, kind="stable")
        self._sorted_keys = self._keys[self._order]

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(ids [B, T], themes [B, K]) of `count` poems, less those that the decoder could not have written.

        As many are told a theme as are not, as it is with what is drawn and what is real.
        """
        rows = rng.integers(0, len(self._data), count)
        some, shape = self._data.take(rows), (self._data.form.num_lines, self._data.form.line_lengths[0])
        grid = some.ids.reshape(len(some), *shape).copy()
        elsewhere = (rows + rng.integers(1, max(2, len(self._data)), count)) % len(self._data)
        on_another = np.zeros(count, np.bool_)
        for place, (row, other, way) in enumerate(zip(rows, elsewhere, rng.permutation(count) % 3, strict=True)):
            alike = self._alike[self._data.patterns[row] - 1]
            if way == 0 and alike:
                pair = list(alike[int(rng.integers(len(alike)))])
                grid[place, pair] = grid[place, pair[::-1]]
            elif way < 2 and (donor := self._like(int(row), rng)) is not None:
                line = int(rng.integers(shape[0]))
                grid[place, line] = self._data.ids[donor].reshape(shape)[line]
            else:
                on_another[place] = True
                some.titles[place], some.keywords[place] = self._data.titles[other], self._data.keywords[other]
        composed = replace(some, ids=grid.reshape(some.ids.shape))
        kept = is_writable(composed)
        composed, on_another = composed.take(kept), on_another[kept]
        told = on_another | (rng.random(len(composed)) < _share_told(on_another))
        themes = conditions_of(composed).themes.masked_fill(~torch.from_numpy(told)[:, None], 0)
        return torch.from_numpy(composed.ids).long(), themes

    def _like(self, row: int, rng: np.random.Generator) -> int | None:
        """Another poem of the same pattern and rhyme, if there is one."""
        start, stop = np.searchsorted(self._sorted_keys, [self._keys[row], self._keys[row] + 1])
        others = self._order[start:stop][self._order[start:stop] != row]
        return int(rng.choice(others)) if len(others) else None


def _share_told(need: npt.NDArray[np.bool_]) -> float:
    """Of the poems that need no theme, how many are told one for half of all to be."""
    rest = len(need) - int(need.sum())
    return max(0.0, rest - len(need) / 2) / max(1, rest)


def adversarial(
    dataset: Dataset,
    generator: Generator,
    run: Run,
    config: AdversarialConfig,
    *,
    minutes: float,
    seed: int = 0,
    resume: bool = False,
    discriminator_only: bool = False,
    quiet: bool = False,
) -> Discriminator:
    """Train a new discriminator and the generator (in place) until the budget is used up; returns the discriminator.

    Args:
        dataset: The prepared corpus.
        generator: Pretrained; its embedding table stays fixed, the discriminator reads through it too.
        run: Where checkpoints and metrics go.
        config: How.
        minutes: The whole budget, earlier parts of a resumed run included.
        seed: Of weights, batches and noise.
        resume: Go on from the run's checkpoint.
        discriminator_only: Leave the generator as it is (the row "MLE + D").
        quiet: No progress bar.

    Raises:
        TrainingError: There is no regulated poem to train against.
        CheckpointError: The checkpoint is damaged, or the run was begun with other settings or another generator.
        KeyboardInterrupt: Stopped by the user, after saving.
    """
    torch.manual_seed(seed)
    device = generator.device
    generator.embedding.weight.requires_grad_(False)
    reference = copy.deepcopy(generator).eval().requires_grad_(False)
    keep(reference)  # the generator is compared with it as it will be kept, and what rounding changes is no distance
    discriminator = Discriminator(
        DiscriminatorConfig(config.input_dim, config.num_filters, config.hidden_dim),
        character_table(generator.embedding.weight, torch.from_numpy(dataset.planner.vectors).to(device)),
    ).to(device)
    trained = [parameter for parameter in generator.parameters() if parameter.requires_grad]
    generator_optimizer = torch.optim.AdamW(trained, lr=config.generator_rate, weight_decay=0.0)
    discriminator_optimizer = torch.optim.AdamW(
        discriminator.parameters(), lr=config.discriminator_rate, betas=(0.5, 0.99), weight_decay=1e-2
    )
    modules = {"generator": generator, "discriminator": discriminator}
    optimizers = {"generator": generator_optimizer, "discriminator": discriminator_optimizer}
    settings = {
        "config": asdict(config), "seed": seed, "discriminator_only": discriminator_only,
        "generator": _fingerprint(reference), "vocabulary": dataset.vocabulary.fingerprint,
    }  # fmt: skip
    if resume:
        run.load(modules, optimizers, settings)
    rng = np.random.default_rng([seed, run.progress.step])
    torch.manual_seed(seed + run.progress.step)
    constraints = Constraints(
        dataset.vocabulary, dataset.phonology, dataset.planner, tails_of(dataset), device, lift=config.lift
    )
    real = {name: writable(data, constraints) for name, data in dataset.train.items()}
    held_out = {name: writable(data, constraints) for name, data in dataset.validation.items()}
    drafter = Drafter(
        dataset.vocabulary,
        dataset.phonology,
        dataset.planner,
        shares_of(dataset.train),
        constraints.usable_rhymes(MIN_RHYME_CHARS),
        generator.config.noise_dim,
        config.temperature,
    )
    fakes = Fakes(drafter, constraints)
    names = [name for name, data in real.items() if len(data)]
    if not names:
        raise TrainingError("The prepared corpus holds no regulated poem to train against. Prepare a larger one.")
    weights = np.array([len(real[name]) * FORMS[name].num_chars for name in names], np.float64)
    size = config.poems_per_batch
    batches = {name: minibatches({name: real[name]}, size * FORMS[name].num_chars, rng) for name in names}
    senseless = {name: Senseless(real[name]) for name in names}
    replay: list[_Batch] = []
    average: dict[str, float] = {}
    for used, bar in run.steps(minutes, lambda: run.save(modules, optimizers, settings), quiet=quiet):
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        batch = next(batches[name])
        settles = discriminator_only or used >= 1 - config.settle_share
        follows = not settles and used >= config.warmup_share
        generator.eval()
        with as_kept(generator):
            # The generator shall learn from what it drew by itself, and so shall the discriminator before it follows;
            # in the end what is judged is what the poet writes.
            drawn = fakes.draw(generator, batch, rng, line_ends=settles, keep_masks=follows)
        fresh = _Batch(batch.form, drawn.ids, drawn.conditions.themes)
        values: dict[str, float] = {}
        # Old fakes are cheap, and keep the discriminator from forgetting what the generator used to do wrong.
        old = [replay[int(rng.integers(len(replay)))] for _ in range(config.replayed_batches if replay else 0)]
        for item in [*old, fresh]:
            rivals = next(batches[item.form.name])
            values = _discriminator_step(
                discriminator, discriminator_optimizer, rivals, item, senseless[item.form.name], config, rng
            )
        replay = [*replay[-_REPLAY_BATCHES + 1 :], fresh]
        if follows:
            values |= _generator_step(
                generator, generator_optimizer, reference, discriminator, batch, drawn, constraints.lifts, config, rng
            )
        run.progress.chars += drawn.ids.numel()
        for name, value in values.items():
            average[name] = 0.95 * average.get(name, value) + 0.05 * value
        bar.set_postfix_str(" ".join(f"{name} {value:.3f}" for name, value in average.items()), refresh=False)
        if run.progress.step % config.validate_every == config.validate_every - 1:
            run.log(
                {"used": round(used, 3), **average, **_validate(dataset, held_out, generator, discriminator, fakes)}
            )
    run.log({"used": 1.0, **average, **_validate(dataset, held_out, generator, discriminator, fakes)})
    generator.eval()
    return discriminator.eval()


def _fingerprint(generator: Generator) -> str:
    digest = hashlib.sha256()
    for weights in generator.state_dict().values():
        digest.update(weights.cpu().numpy().tobytes())
    return digest.hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Fakes of one form: [B, T] ids, [B, K] themes."""

    form: Form
    ids: Tensor
    themes: Tensor


def _discriminator_step(
    discriminator: Discriminator,
    optimizer: torch.optim.Optimizer,
    real: FormData,
    fakes: _Batch,
    senseless: Senseless,
    config: AdversarialConfig,
    rng: np.random.Generator,
) -> dict[str, float]:
    device = fakes.ids.device
    known = conditions_of(real, device)
    # Half of the fakes have no theme; so have half of the real poems.
    real_themes = known.themes.masked_fill(torch.from_numpy(rng.random(len(real)) < 0.5)[:, None].to(device), 0)
    composed_ids, composed_themes = senseless.draw(round(len(real) * config.composed_share), rng)
    fake_ids = torch.cat([fakes.ids, composed_ids.to(device)])
    fake_themes = _stack_themes([fakes.themes, composed_themes.to(device)])
    discriminator.train()
    real_ids = torch.from_numpy(real.ids).long().to(device)
    real_logits = discriminator(real_ids, real.form, real_themes)
    fake_logits = discriminator(fake_ids, real.form, fake_themes)
    loss = discriminator_loss(real_logits, fake_logits, config.label)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(discriminator.parameters(), config.clip_norm)
    optimizer.step()
    right = torch.cat([real_logits > 0, fake_logits[: len(fakes.ids)] < 0]).float().mean()
    return {"d_loss": float(loss.detach()), "d_right": float(right)}


def _stack_themes(themes: Sequence[Tensor]) -> Tensor:
    longest = max(block.shape[1] for block in themes)
    return torch.cat([torch.nn.functional.pad(block, (0, longest - block.shape[1])) for block in themes])


def _generator_step(
    generator: Generator,
    optimizer: torch.optim.Optimizer,
    reference: Generator,
    discriminator: Discriminator,
    batch: FormData,
    drawn: Sample,
    lifts: Tensor,
    config: AdversarialConfig,
    rng: np.random.Generator,
) -> dict[str, float]:
    assert drawn.masks is not None
    discriminator.eval()
    generator.lstm.train()  # it drops nothing out; without this cuDNN keeps nothing for the way back
    device = generator.device
    real_ids = torch.from_numpy(batch.ids).long().to(device)
    conditions = hidden_conditions(batch, PretrainConfig(), rng, device)
    with torch.no_grad():
        rewards = REWARDS[config.reward](discriminator(drawn.ids, batch.form, drawn.conditions.themes))
        mean, log_variance = generator.encode(real_ids)
        noise = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    with as_kept(generator):
        with torch.autocast(device.type, dtype=torch.bfloat16):
            with torch.no_grad():
                anchor_logits = reference(drawn.ids, drawn.conditions, drawn.noise)
            logits = generator(drawn.ids, drawn.conditions, drawn.noise)
            # Real poems beside the reward, so that what the discriminator does not look at is not forgotten.
            real_logits = generator(real_ids, conditions, noise)
        anchor = masked_log_probs(anchor_logits.float() / config.temperature + lifts, drawn.masks)
        log_probs = masked_log_probs(logits.float() / config.temperature + lifts, drawn.masks)
        chosen = log_probs.gather(2, drawn.ids[:, :, None])[:, :, 0].sum(dim=1)
        divergence = masked_kl(log_probs, anchor).mean()
        loss = policy_loss(chosen, leave_one_out_advantage(rewards)) + config.kl_weight * divergence
        real_nll = sequence_nll(real_logits, real_ids).sum(dim=1).mean()
        (loss + config.real_weight * real_nll).backward()
    norm = torch.nn.utils.clip_grad_norm_([p for p in generator.parameters() if p.requires_grad], config.clip_norm)
    if torch.isfinite(norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {
        "reward": float(rewards.mean()),
        "kl": float(divergence.detach()),
        "real_nll": float(real_nll.detach()) / real_ids.shape[1],
    }


@torch.no_grad()
def _validate(
    dataset: Dataset, held_out: Mapping[str, FormData], generator: Generator, discriminator: Discriminator, fakes: Fakes
) -> dict[str, object]:
    """AUC of the discriminator on poems it never saw, and nats per character, by fixed seeds."""
    generator.eval()
    discriminator.eval()
    rng = np.random.default_rng(1)
    device = generator.device
    found: dict[str, float] = {}
    with as_kept(generator):
        for name, data in held_out.items():
            poems = data.take(slice(128))
            if not len(poems):
                continue
            drawn = fakes.draw(generator, poems, rng, line_ends=True)
            no_theme = torch.zeros(len(poems), 1, dtype=torch.long, device=device)
            real = discriminator(torch.from_numpy(poems.ids).long().to(device), poems.form, no_theme)
            fake = discriminator(drawn.ids, poems.form, no_theme)
            found[name] = auc(real.tolist(), fake.tolist())
        nll = validation_nll(generator, dataset.validation, limit=200)
    return {"auc": found, "validation": nll}
