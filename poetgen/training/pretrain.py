"""The stage `pretrain`: maximum likelihood for the generator, as a conditional variational autoencoder.

Knows no adversary. Each batch hides parts of what a poem is to be (theme, plan, pattern and rhyme), each at random
and now and then all of it, so that the model can be asked with whatever is known.

The corpus is small for what a GPU reads in minutes. There a larger generator with more dropout is trained before, and
is the teacher: told and shown the same, it says how likely *every* character is (Hinton et al. 2015; for a small corpus
Timiryasov and Tastet 2023, with one teacher instead of two and temperature 1).
"""

import copy
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poetgen.dataset import Dataset, FormData, minibatches
from poetgen.errors import TrainingError
from poetgen.generator import Conditions, Generator, GeneratorConfig
from poetgen.likelihood import poem_nll, sequence_nll
from poetgen.peaks import Peaks
from poetgen.quantization import as_kept
from poetgen.training.losses import distillation_loss, gaussian_kl
from poetgen.training.run import Run
from poetgen.vocabulary import UNKNOWN_ID


@dataclass(frozen=True, slots=True)
class PretrainConfig:
    """How to pretrain.

    Attributes:
        chars_per_batch: About how many characters a step sees, when the run is fully under way; it starts at
            `first_chars_per_batch` (small batches early learn faster for the time).
        learning_rate: The highest, after `warmup_steps`; it falls as a cosine of the budget used.
        average_decay: What a step leaves of the running average of the weights, 0 to 1; the average is what is kept
            (Polyak and Juditsky 1992).
        free_nats: Of KL per character that cost nothing, so that z is used.
        word_dropout: Share of the characters before that are hidden from the LSTM.
        hide_all: Share of the poems of which nothing is said.
        hide_theme, hide_plan, hide_line, hide_pattern: Shares hidden of the rest; `hide_line` of each keyword.
        regulated_share: The last part of the budget, in which only regulated poems are read (if there are any), as only
            such are written.
        teacher_share: Of the loss that is the teacher's to say, where there is one, 0 to 1; the rest is the poems'.
        kept_share: The last part of the budget, in which the weights compute as they will be kept on disk.
    """

    hidden_dim: int = 1024
    num_blocks: int = 2
    attention_dim: int = 256
    feedforward_dim: int = 1024
    embedding_dim: int = 256
    context_dim: int = 192
    noise_dim: int = 64
    dropout: float = 0.1
    first_chars_per_batch: int = 2000
    chars_per_batch: int = 8000
    learning_rate: float = 2e-3
    warmup_steps: int = 200
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    average_decay: float = 0.999
    free_nats: float = 0.15
    word_dropout: float = 0.1
    hide_all: float = 0.1
    hide_theme: float = 0.2
    hide_plan: float = 0.1
    hide_line: float = 0.1
    hide_pattern: float = 0.1
    regulated_share: float = 0.4
    teacher_share: float = 0.8
    kept_share: float = 0.3
    validate_every: int = 2000


PRESETS: Mapping[str, PretrainConfig] = {
    "base": PretrainConfig(),
    # A trained one further, at a lower rate.
    "more": PretrainConfig(learning_rate=1e-3, first_chars_per_batch=4000),
    # The same in batches for a GPU, which reads the corpus twenty times in eight minutes, and its teacher.
    "gpu": PretrainConfig(
        first_chars_per_batch=8000, chars_per_batch=24000, warmup_steps=500, weight_decay=0.05, regulated_share=0.2,
    ),
    "teacher": PretrainConfig(
        hidden_dim=1536, num_blocks=3, attention_dim=512, feedforward_dim=2048, embedding_dim=512, context_dim=256,
        dropout=0.25, word_dropout=0.15, first_chars_per_batch=16000, chars_per_batch=24000, warmup_steps=500,
        learning_rate=1.5e-3, weight_decay=0.05, regulated_share=0.0, kept_share=0.0,
    ),
    "tiny": PretrainConfig(
        hidden_dim=48, num_blocks=1, attention_dim=32, feedforward_dim=64, embedding_dim=32, context_dim=32,
        noise_dim=8, first_chars_per_batch=800, chars_per_batch=800, warmup_steps=10, learning_rate=1e-2,
        validate_every=50,
    ),
}  # fmt: skip


def conditions_of(data: FormData, device: torch.device | str = "cpu") -> Conditions:
    """Everything that is known of real poems; the title's characters are the theme, else the keywords."""
    titles = torch.from_numpy(data.titles).long()
    has_title = (titles != 0).any(1, keepdim=True)
    themes = torch.where(has_title, titles, _keywords(data))
    return Conditions(
        data.form,
        themes.to(device),
        torch.from_numpy(data.plans).long().to(device),
        torch.from_numpy(data.patterns).long().to(device),
        torch.from_numpy(data.rhymes).long().to(device),
    )


def _keywords(data: FormData) -> Tensor:
    """[B, K] the poems' keywords, in as many columns as titles have."""
    width = data.titles.shape[1] - data.keywords.shape[1]
    return torch.nn.functional.pad(torch.from_numpy(data.keywords).long(), (0, width))


def hidden_conditions(
    data: FormData, config: PretrainConfig, rng: np.random.Generator, device: torch.device
) -> Conditions:
    """The conditions of real poems with parts hidden at random."""
    full = conditions_of(data)
    batch = len(data)

    def draw(share: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.random((batch, *shape)) < share)

    nothing = draw(config.hide_all)
    themes = torch.where(draw(0.5)[:, None], _keywords(data), full.themes)
    # A theme of one character must do as well as one of four.
    themes = themes.masked_fill(draw(0.3, themes.shape[1]), 0)
    hide_plan = nothing | draw(config.hide_plan)
    hide_pattern = nothing | draw(config.hide_pattern)
    return Conditions(
        full.form,
        themes.masked_fill((nothing | draw(config.hide_theme))[:, None], 0).to(device),
        full.plans.masked_fill((hide_plan[:, None] | draw(config.hide_line, full.form.num_lines))[:, :, None], 0).to(
            device
        ),
        full.patterns.masked_fill(hide_pattern, 0).to(device),
        full.rhymes.masked_fill(hide_pattern, 0).to(device),
    )


def validation_nll(
    generator: Generator, data: Mapping[str, FormData], *, samples: int = 1, limit: int = 400, known: bool = False
) -> dict[str, float]:
    """Nats per character on validation poems, unmasked, by form and over all ("all"): an upper bound.

    Args:
        generator: The model.
        data: Poems by form.
        samples: Importance samples of z; the more, the tighter the bound.
        limit: Poems of each form.
        known: Tell the model all that is known of each poem, instead of nothing.
    """
    result: dict[str, float] = {}
    total = chars = 0.0
    was_training = generator.training
    generator.eval()
    noise_source = torch.Generator(device="cpu").manual_seed(0)
    for name, poems in data.items():
        if not len(poems):
            continue
        nats: list[Tensor] = []
        for start in range(0, min(limit, len(poems)), 100):
            batch = poems.take(slice(start, min(start + 100, limit)))
            ids = torch.from_numpy(batch.ids).long().to(generator.device)
            conditions = (
                conditions_of(batch, generator.device)
                if known
                else Conditions.none(batch.form, len(batch), generator.device)
            )
            nats.append(poem_nll(generator, ids, conditions, samples, noise_source))
        per_poem = torch.cat(nats)
        result[name] = float(per_poem.mean()) / poems.form.num_chars
        total += float(per_poem.mean()) * len(poems)
        chars += len(poems) * poems.form.num_chars
    result["all"] = total / max(1.0, chars)
    generator.train(was_training)
    return result


@torch.no_grad()
def _follow(average: Generator, generator: Generator, decay: float, step: int) -> None:
    """Move the running average of the weights by one step."""
    # Early on, when a thousand steps have not been taken, the average is over a tenth of those that were.
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(generator.parameters()), share)


def learning_rate(highest: float, warmup_steps: int, step: int, used: float) -> float:
    """Rising for the first steps, then falling as a cosine of the share of the budget that is used."""
    warmup = min(1.0, (step + 1) / warmup_steps)
    return highest * warmup * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * min(1.0, used))))


def pretrain(
    dataset: Dataset,
    run: Run,
    config: PretrainConfig,
    *,
    minutes: float,
    base: tuple[str, Generator] | None = None,
    teacher: tuple[Generator, Mapping[str, object]] | None = None,
    seed: int = 0,
    device: str = "cpu",
    resume: bool = False,
    quiet: bool = False,
) -> Generator:
    """Train a generator until the budget is used up; returns it.

    Args:
        dataset: The prepared corpus.
        run: Where checkpoints and metrics go.
        config: How.
        minutes: The whole budget, earlier parts of a resumed run included.
        base: Name and generator of a version to start from, of the same size.
        teacher: A generator of any size to learn from beside the poems, and how it was trained, as `load_pretrained`
            gives them.
        seed: Of weights, batches and noise.
        device: A torch device.
        resume: Go on from the run's checkpoint.
        quiet: No progress bar.

    Raises:
        TrainingError: The base is of another size.
        CheckpointError: The checkpoint is damaged, or the run was begun with other settings.
        KeyboardInterrupt: Stopped by the user, after saving.
    """
    torch.manual_seed(seed)
    generator = Generator(generator_config(config, dataset)).to(device)
    if base is None:
        _start_from_unigrams(generator, dataset)
    else:
        _start_from(generator, base[1])
    optimizer = torch.optim.AdamW(
        generator.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99), fused=True
    )
    averaged = copy.deepcopy(generator)
    averaged.lstm.flatten_parameters()  # a copy's weights lie apart, and cuDNN would move them together at each call
    modules = {"generator": generator, "average": averaged}
    optimizers = {"generator": optimizer}
    settings = {
        "config": asdict(config), "base": base and base[0], "teacher": teacher and teacher[1], "seed": seed,
        "vocabulary": dataset.vocabulary.fingerprint,
    }  # fmt: skip
    if resume:
        run.load(modules, optimizers, settings)
    # A resumed run must not see its first batches again, nor two workers the same ones.
    workers = run.workers
    rng = np.random.default_rng([seed, run.progress.step, workers.rank])
    torch.manual_seed(seed + run.progress.step + 1_000_003 * workers.rank)
    pools = {name: data.and_also(dataset.excerpts[name]) for name, data in dataset.train.items()}
    some_regulated = any(bool((data.patterns > 0).any()) for data in pools.values())
    early, middle, late = (
        minibatches(pools, size // workers.size, rng, regulated=regulated)
        for size, regulated in (
            (config.first_chars_per_batch, False),
            (config.chars_per_batch, False),
            (config.chars_per_batch, some_regulated),
        )
    )
    smooth: Tensor | None = None  # [2] nats a character and KL, lately
    generator.train()
    target = generator.device
    # Whatever autocast is told, cuDNN's LSTM computes in float16, in which small gradients vanish unless scaled.
    scaler = torch.amp.GradScaler(target.type, enabled=target.type == "cuda")
    for used, bar in run.steps(minutes, lambda: run.save(modules, optimizers, settings), quiet=quiet):
        batch = next(late if used >= 1 - config.regulated_share else early if used < 0.3 else middle)
        ids = torch.from_numpy(batch.ids).long().to(target)
        conditions = hidden_conditions(batch, config, rng, target)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.learning_rate, config.warmup_steps, run.progress.step, used)
        with as_kept(generator) if used >= 1 - config.kept_share else nullcontext():
            with torch.autocast(target.type, dtype=torch.bfloat16):
                mean, log_variance = generator.encode(ids)
                mean, log_variance = mean.float(), log_variance.float()
                noise = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
                logits = generator(ids, conditions, noise, config.word_dropout)
            nll = sequence_nll(logits, ids).mean()
            kl = gaussian_kl(mean, log_variance).mean() / ids.shape[1]
            loss = nll
            if teacher is not None:
                taught = distillation_loss(logits, _lesson(teacher[0], ids, conditions)).mean()
                loss = torch.lerp(nll, taught, config.teacher_share)
            loss = loss + kl.clamp(min=config.free_nats)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
        workers.average_gradients(generator.parameters())
        scaler.unscale_(optimizer)  # now, for all workers must find an overflow, or none
        torch.nn.utils.clip_grad_norm_(generator.parameters(), config.clip_norm)
        scaler.step(optimizer)
        scaler.update()
        _follow(averaged, generator, config.average_decay, run.progress.step)
        run.progress.chars += ids.numel() * workers.size
        found = torch.stack([nll, kl]).detach()
        smooth = found if smooth is None else smooth.lerp_(found, 0.02)
        if run.progress.step % 20 == 0:
            bar.set_postfix_str("nll {:.3f} kl {:.3f}".format(*smooth.tolist()), refresh=False)
        if workers.first and run.progress.step % config.validate_every == config.validate_every - 1:
            _log(run, averaged, dataset, smooth)
    if workers.first:
        _log(run, averaged, dataset, smooth)
    return averaged.eval()


def _log(run: Run, generator: Generator, dataset: Dataset, smooth: Tensor | None) -> None:
    nll, kl = (None, None) if smooth is None else smooth.tolist()
    with as_kept(generator):
        told, untold = (validation_nll(generator, dataset.validation, known=known) for known in (True, False))
    run.log({"chars": run.progress.chars, "nll": nll, "kl": kl, "validation": untold, "validation, told all": told})


@torch.no_grad()
def _lesson(teacher: Generator, ids: Tensor, conditions: Conditions) -> Tensor:
    """[B, T, V] the teacher's logits of poems, told the same, with z its own encoder's mean."""
    with torch.autocast(teacher.device.type, dtype=torch.bfloat16):
        mean, _ = teacher.encode(ids)
        logits: Tensor = teacher(ids, conditions, mean.float())
    return logits


def share_of_bound(generator: Generator, config: PretrainConfig, chars_per_second: float) -> float:
    """How near a speed is to what this machine could do at most: to the products alone, at their peak in bfloat16.

    Forward once, backward twice; the products are the generator's, at the sizes of a whole batch.
    """
    products = generator.products
    peaks = Peaks.measure(products, config.chars_per_batch, torch.bfloat16)
    return 3 * peaks.least_seconds(products, 1, 0) * chars_per_second


def generator_config(config: PretrainConfig, dataset: Dataset) -> GeneratorConfig:
    """The size of the generator that `config` trains on `dataset`."""
    return GeneratorConfig(
        len(dataset.vocabulary),
        config.embedding_dim,
        config.hidden_dim,
        config.context_dim,
        config.noise_dim,
        config.dropout,
        config.num_blocks,
        config.attention_dim,
        config.feedforward_dim,
    )


def _start_from_unigrams(generator: Generator, dataset: Dataset) -> None:
    """Set the output bias to the characters' log frequencies: the first thousand steps need not learn them."""
    counts = np.ones(len(dataset.vocabulary))
    for data in dataset.train.values():
        counts += np.bincount(data.ids.ravel(), minlength=len(counts))
    counts[:UNKNOWN_ID] = 1e-3
    with torch.no_grad():
        generator.output_bias.copy_(torch.from_numpy(np.log(counts / counts.sum())))


def _start_from(generator: Generator, base: Generator) -> None:
    """Give a generator the weights of another one of its size."""
    if generator.config != replace(base.config, dropout=generator.config.dropout):
        raise TrainingError("The base version is of another size than this preset. Name another by --base or --preset.")
    generator.load_state_dict(base.state_dict())


def load_pretrained(folder: Path, dataset: Dataset, device: str = "cpu") -> tuple[Generator, dict[str, object]]:
    """(generator, how it was trained) of the finished or halted run of this stage in `folder`.

    Raises:
        TrainingError: There is none.
        CheckpointError: The run is of another stage, damaged, or of another corpus.
    """
    try:
        run = Run(folder, "pretrain", resume=True)
    except TrainingError:
        raise TrainingError(
            f"{folder} holds no pretrained generator. Make one: poetgen pretrain --data DATA --out {folder} ..."
        ) from None
    state = run.state()
    config = run.config(PretrainConfig)
    generator = Generator(generator_config(config, dataset)).to(device)
    run.load({"average": generator}, {}, {"vocabulary": dataset.vocabulary.fingerprint})
    return generator.eval(), {"stage": "pretrain", **state["progress"], **state["extra"]}
