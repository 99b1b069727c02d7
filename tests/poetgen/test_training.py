import itertools
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file
from torch import nn

from poetgen import prosody
from poetgen.dataset import Dataset, FormData, load_dataset, minibatches, shares_of, tails_of
from poetgen.discriminator import Discriminator, DiscriminatorConfig, character_table
from poetgen.drafting import Drafter
from poetgen.errors import CheckpointError, CorpusError, TrainingError
from poetgen.generator import Conditions, Generator
from poetgen.likelihood import gaussian_log_ratio, importance_bound, poem_nll, sequence_nll
from poetgen.poem import FORMS, Poem
from poetgen.sampling import MIN_RHYME_CHARS, Constraints, Sample
from poetgen.training import adversarial, pretrain
from poetgen.training.adversarial import AdversarialConfig
from poetgen.training.losses import (
    discriminator_loss,
    distillation_loss,
    gaussian_kl,
    masked_kl,
    masked_log_probs,
    policy_loss,
)
from poetgen.training.pretrain import PretrainConfig
from poetgen.training.release import noise_figures
from poetgen.training.rewards import REWARDS, leave_one_out_advantage
from poetgen.training.run import CHECKPOINT_FILE, Run, use_device
from poetgen.vocabulary import Vocabulary

TINY = pretrain.PRESETS["tiny"]
ROOT = Path(__file__).parents[2]


def test_losses_by_hand() -> None:
    zero = torch.zeros(2, 3)
    assert gaussian_kl(zero, zero).tolist() == [0, 0]
    assert gaussian_kl(torch.tensor([[1.0]]), torch.tensor([[0.0]])).item() == pytest.approx(0.5)
    assert discriminator_loss(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(2 * math.log(2))
    assert discriminator_loss(torch.full((2,), 30.0), torch.full((2,), -30.0)).item() == pytest.approx(0, abs=1e-6)
    nine_in_ten = discriminator_loss(torch.full((2,), math.log(9)), torch.full((2,), -30.0), label=0.9)
    assert nine_in_ten.item() == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    mask = torch.tensor([[[True, True, False]]])
    log_probs = masked_log_probs(torch.tensor([[[1.0, 1.0, 9.0]]]), mask)
    assert log_probs[0, 0, :2].exp().tolist() == pytest.approx([0.5, 0.5])
    other = masked_log_probs(torch.tensor([[[0.0, math.log(3), 9.0]]]), mask)
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert masked_kl(log_probs, other).item() == pytest.approx(expected, abs=1e-6)
    assert masked_kl(log_probs, log_probs).item() == 0
    even, taught = torch.zeros(1, 1, 2), torch.tensor([[[0.0, math.log(3)]]])
    assert distillation_loss(even, taught).item() == pytest.approx(math.log(2))
    assert distillation_loss(taught, even).item() == pytest.approx(-0.5 * math.log(0.25) - 0.5 * math.log(0.75))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_nats_and_their_gradient_are_those_of_torch(precision: torch.dtype) -> None:
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 50, (70, 9), generator=source)
    weights = torch.rand(70, 9, generator=source)
    logits = torch.randn(70, 9, 50, generator=source).to(precision).requires_grad_()
    plain = logits.detach().clone().requires_grad_()
    nats = sequence_nll(logits, ids)
    (nats * weights).sum().backward()
    expected = torch.nn.functional.cross_entropy(plain.float().flatten(0, 1), ids.flatten(), reduction="none")
    (expected.view(70, 9) * weights).sum().backward()
    assert torch.allclose(nats, expected.view(70, 9), atol=1e-5)
    assert logits.grad is not None
    assert plain.grad is not None
    assert torch.allclose(logits.grad.float(), plain.grad.float(), atol=1e-6 if precision == torch.float32 else 4e-3)


def test_policy_loss_raises_what_was_rewarded() -> None:
    log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
    policy_loss(log_probs, leave_one_out_advantage(torch.tensor([1.0, 0.0]))).backward()
    assert log_probs.grad is not None
    assert log_probs.grad[0] < 0 < log_probs.grad[1]


def test_advantages_leave_oneself_out() -> None:
    rewards = torch.tensor([1.0, 2.0, 6.0])
    assert leave_one_out_advantage(rewards).tolist() == pytest.approx([1 - 4, 2 - 3.5, 6 - 1.5])


def test_rewards_rise_with_the_logit_and_are_bounded() -> None:
    logits = torch.linspace(-20, 20, 41)
    for reward in REWARDS.values():
        values = reward(logits)
        assert bool((values.diff() >= 0).all())
        assert float(values.abs().max()) <= 4


def test_importance_bound_is_the_log_of_the_mean() -> None:
    weights = torch.log(torch.tensor([[1.0], [3.0]]))
    assert importance_bound(weights).item() == pytest.approx(math.log(2))
    assert gaussian_log_ratio(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2)).item() == 0
    noise, mean, log_variance = torch.tensor([[[1.0, 2.0]], [[0.0, 1.0]], [[0.0, math.log(4)]]])
    # Squares 1 and 4 under the standard normal; 1 and 1/4 under the other, whose deviations are 1 and 2.
    expected = -(1 + 4) / 2 + (1 + 1 / 4) / 2 + math.log(2)
    assert gaussian_log_ratio(noise, mean, log_variance).item() == pytest.approx(expected)


class _Coin(nn.Module):
    """Writes 1 rather than 0 where z is above 0, and its encoder reads out of any poem what it likes."""

    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.full((len(ids), 1), 0.7), torch.full((len(ids), 1), 0.6)

    def forward(self, ids: torch.Tensor, conditions: Conditions, noise: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.zeros_like(noise), noise], dim=2)


def test_a_poem_is_as_likely_whatever_the_encoder_reads_out_of_it() -> None:
    ids = torch.ones(20_000, 1, dtype=torch.long)
    conditions = Conditions.none(FORMS["wujue"], len(ids))
    nats = poem_nll(_Coin(), ids, conditions, 1, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert (-nats).exp().mean().item() == pytest.approx(0.5, abs=0.01), "z is as often above 0 as below"


class _Reader(nn.Module):
    """Reads z out of a poem's first character, and writes what it must the worse, the farther z is from that."""

    def encode(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return ids[:, :1].float(), torch.full((len(ids), 1), -30.0)

    def forward(self, ids: torch.Tensor, conditions: Conditions, noise: torch.Tensor) -> torch.Tensor:
        far = -(noise - ids[:, :1]).square().expand(-1, ids.shape[1])
        return torch.zeros(*ids.shape, 100).scatter(2, ids[:, :, None], far[:, :, None])


def test_noise_of_the_poem_itself_and_of_another_by_hand(dataset: Dataset) -> None:
    data = dataset.train["wujue"].take(slice(3))
    ids = np.full_like(data.ids, 50)
    ids[:, 0] = 10, 20, 30  # of the other poems z is 10, 10 and 20 away
    few = replace(dataset, validation={"wujue": replace(data, ids=ids)})
    found = noise_figures(few, _Reader(), 3)  # type: ignore[arg-type]
    assert found["own"] == pytest.approx(math.log(100), abs=1e-3)
    assert found["another's"] == pytest.approx((100 + 100 + 400) / 3 + math.log(99), abs=1e-3)
    assert found["prior"] > found["another's"], "it is not as it was read"


def test_what_is_known_of_a_poem_is_hidden_as_the_settings_say(dataset: Dataset) -> None:
    data = dataset.train["qijue"]
    data = data.take(np.flatnonzero((data.patterns > 0) & (data.rhymes > 0)))
    full = pretrain.conditions_of(data)
    nothing = replace(TINY, hide_all=0, hide_theme=0, hide_plan=0, hide_line=0, hide_pattern=0)

    def hidden(**shares: Any) -> Conditions:
        config = replace(nothing, **shares)
        return pretrain.hidden_conditions(data, config, np.random.default_rng(0), torch.device("cpu"))

    def told(found: Conditions) -> list[bool]:
        return [bool(part.any()) for part in (found.themes, found.plans, found.patterns, found.rhymes)]

    shown = hidden()
    for name in ("plans", "patterns", "rhymes"):
        assert torch.equal(getattr(shown, name), getattr(full, name))
    assert told(shown) == [True] * 4
    assert told(hidden(hide_all=1)) == [False] * 4
    assert told(hidden(hide_theme=1)) == [False, True, True, True]
    assert told(hidden(hide_plan=1)) == told(hidden(hide_line=1)) == [True, False, True, True]
    assert told(hidden(hide_pattern=1)) == [True, True, False, False]
    some = hidden(hide_all=0.5)
    alone = some.patterns == 0
    assert 0.4 < float(alone.float().mean()) < 0.6
    assert torch.equal(alone, some.rhymes == 0)
    assert torch.equal(alone, ~some.plans.flatten(1).any(dim=1)), "all is hidden, or nothing"
    assert not some.themes[alone].any()
    lines = (hidden(hide_line=0.5).plans == 0).all(dim=2).float()
    assert ((lines.mean(dim=1) > 0) & (lines.mean(dim=1) < 1)).any(), "each line by itself"


def test_the_theme_of_a_poem_is_its_title_or_else_its_keywords(dataset: Dataset) -> None:
    data = dataset.train["qijue"].take(slice(2))
    titles = data.titles.copy()
    titles[0], titles[1] = 0, [7, 8, *[0] * (titles.shape[1] - 2)]
    themes = pretrain.conditions_of(replace(data, titles=titles)).themes
    assert [number for number in themes[0].tolist() if number] == [number for number in data.keywords[0] if number]
    assert themes[1].tolist() == titles[1].tolist()


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [
        pretrain.learning_rate(2.0, 10, step, used) for step, used in ((4, 0), (9, 0), (99, 0.5), (99, 1), (99, 2))
    ]
    assert rates == pytest.approx([1, 2, 2 * (0.03 + 0.97 / 2), 0.06, 0.06])


def test_the_average_of_the_weights_follows_fast_at_first_and_slowly_then(dataset: Dataset) -> None:
    ones, average = (Generator(pretrain.generator_config(TINY, dataset)) for _ in range(2))
    for step, share in ((0, 0.9), (10**6, 0.001)):
        with torch.no_grad():
            for one, weights in zip(ones.parameters(), average.parameters(), strict=True):
                one.fill_(1)
                weights.fill_(0)
        pretrain._follow(average, ones, 0.999, step)
        for weights in average.state_dict().values():
            torch.testing.assert_close(weights, torch.full_like(weights, share))


def test_what_z_says_beyond_what_is_free_costs(dataset: Dataset, tmp_path: Path) -> None:
    said = []
    for free in (0.0, 9.0):
        run = Run(tmp_path / str(free), "pretrain", resume=False, max_steps=25)
        pretrain.pretrain(dataset, run, replace(TINY, free_nats=free), minutes=60, quiet=True)
        said.append(json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])["kl"])
    assert said[0] < 0.9 * said[1]


def test_forms_count_in_the_nats_by_all_their_characters_however_few_are_read(dataset: Dataset) -> None:
    torch.manual_seed(0)
    generator = Generator(pretrain.generator_config(TINY, dataset))
    data = {"wujue": dataset.train["wujue"].take(slice(9)), "qilv": dataset.train["qilv"].take(slice(3))}
    found = pretrain.validation_nll(generator, data, limit=2)
    expected = (found["wujue"] * 9 * 20 + found["qilv"] * 3 * 56) / (9 * 20 + 3 * 56)
    assert found["all"] == pytest.approx(expected)
    assert found["wujue"] == pytest.approx(
        pretrain.validation_nll(generator, {"wujue": data["wujue"].take(slice(2))})["all"]
    )
    assert generator.training, "it is left as it was"


def test_a_corpus_that_another_edition_prepared_is_refused(prepared: Path, tmp_path: Path) -> None:
    name = "dataset.safetensors"
    with safe_open(prepared / name, framework="numpy") as file:
        metadata = file.metadata() | {"format": "1"}
        save_file({key: file.get_tensor(key) for key in file.keys()}, tmp_path / name, metadata)  # noqa: SIM118
    with pytest.raises(CorpusError, match=r"another edition\. Make it again: poetgen prepare"):
        load_dataset(tmp_path)


def test_a_generator_goes_on_from_one_of_its_size(dataset: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    base = Generator(pretrain.generator_config(TINY, dataset)).eval()
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=1)
    still = replace(TINY, learning_rate=0.0, dropout=0.3)
    further = pretrain.pretrain(dataset, run, still, minutes=60, base=("abc", base), quiet=True)
    assert all(torch.allclose(further.state_dict()[name], value) for name, value in base.state_dict().items())
    _, recipe = pretrain.load_pretrained(tmp_path / "run", dataset)
    assert recipe["base"] == "abc"
    larger = replace(TINY, hidden_dim=2 * TINY.hidden_dim)
    run = Run(tmp_path / "larger", "pretrain", resume=False, max_steps=1)
    with pytest.raises(TrainingError, match="another size"):
        pretrain.pretrain(dataset, run, larger, minutes=60, base=("abc", base), quiet=True)


def test_only_regulated_poems_are_read_at_the_end(dataset: Dataset, tmp_path: Path) -> None:
    def spoil(data: FormData) -> FormData:
        free = np.arange(len(data)) % 2 > 0  # every second poem keeps no pattern, and cannot be read
        ids = np.where(free[:, None], len(dataset.vocabulary), data.ids)
        return replace(data, ids=ids, patterns=np.where(free, 0, data.patterns))

    # Where all is read, an id beyond the vocabulary is found out.
    spoilt = replace(dataset, train={name: spoil(data) for name, data in dataset.train.items()})
    base = "abc", Generator(pretrain.generator_config(TINY, dataset))
    for share, name in ((1.0, "regulated"), (0.0, "all")):
        run = Run(tmp_path / name, "pretrain", resume=False, max_steps=5)
        with nullcontext() if share else pytest.raises(IndexError):
            config = replace(TINY, regulated_share=share)
            pretrain.pretrain(spoilt, run, config, minutes=60, base=base, quiet=True)


def test_a_pupil_comes_to_say_what_its_teacher_says(dataset: Dataset, pretraining: Path, tmp_path: Path) -> None:
    teacher = pretrain.load_pretrained(pretraining, dataset)

    def trained(share: float) -> Generator:
        run = Run(tmp_path / str(share), "pretrain", resume=False, max_steps=60)
        config = replace(TINY, hidden_dim=32, teacher_share=share)
        pupil = pretrain.pretrain(dataset, run, config, minutes=5, teacher=teacher, quiet=True)
        assert run.state()["extra"]["teacher"]["stage"] == "pretrain"
        return pupil

    poems = dataset.validation["qijue"]
    ids = torch.from_numpy(poems.ids).long()
    conditions = pretrain.conditions_of(poems)
    noise = torch.zeros(len(ids), TINY.noise_dim)
    alone, pupil = trained(0), trained(1)
    with torch.no_grad():
        taught = teacher[0](ids, conditions, noise)
        nats = [distillation_loss(one(ids, conditions, noise), taught).mean() for one in (alone, pupil)]
    assert nats[1] < nats[0] - 0.005


@pytest.mark.parametrize(
    "small", [replace(TINY, hidden_dim=64), replace(TINY, num_blocks=2), replace(TINY, noise_dim=9)],
    ids=["wider", "more blocks", "other noise"],
)  # fmt: skip
def test_a_base_that_does_not_fit_is_refused(dataset: Dataset, tmp_path: Path, small: PretrainConfig) -> None:
    base = Generator(pretrain.generator_config(small, dataset))
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=1)
    with pytest.raises(TrainingError, match="another size"):
        pretrain.pretrain(dataset, run, TINY, minutes=60, base=("abc", base), quiet=True)


def test_more_importance_samples_tighten_the_bound(dataset: Dataset, pretraining: Path) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    data = dataset.train["wujue"].take(slice(60))
    ids = torch.from_numpy(data.ids).long()
    conditions = Conditions.none(data.form, len(ids))
    one, many = (
        float(poem_nll(generator, ids, conditions, samples, torch.Generator().manual_seed(1)).mean())
        for samples in (1, 16)
    )
    assert many < one


def test_pretraining_beats_the_unigram_it_starts_from(dataset: Dataset, pretraining: Path) -> None:
    torch.manual_seed(0)
    untrained = Generator(pretrain.generator_config(TINY, dataset))
    pretrain._start_from_unigrams(untrained, dataset)
    trained, _ = pretrain.load_pretrained(pretraining, dataset)
    before, after = (pretrain.validation_nll(model, dataset.train, limit=50)["all"] for model in (untrained, trained))
    assert after < before - 0.1


def test_what_is_told_is_seen(dataset: Dataset, pretraining: Path) -> None:
    """Pattern and rhyme given, the right tones become likelier."""
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    told = pretrain.validation_nll(generator, dataset.train, limit=50, known=True)["all"]
    assert told < pretrain.validation_nll(generator, dataset.train, limit=50)["all"] - 0.1


def test_excerpts_of_longer_poems_have_no_pattern_and_count_as_learned(dataset: Dataset) -> None:
    assert {name: len(data) for name, data in dataset.excerpts.items()} == {
        "wujue": 20, "qijue": 0, "wulv": 20, "qilv": 0,
    }  # fmt: skip
    assert not any(data.patterns.any() or data.rhymes.any() for data in dataset.excerpts.values())
    lines = [dataset.vocabulary.decode(line) for line in dataset.excerpts["wujue"].ids.reshape(-1, 5)]
    assert all(map(dataset.classics.hold, lines)), "what is copied from them is copied from the corpus"
    learned = len(dataset.learned_lines(5))
    assert learned == 4 * len(dataset.train["wujue"]) + 8 * len(dataset.train["wulv"]) + 20 * 4 + 20 * 8


def test_excerpts_alone_are_enough_to_pretrain_on(tmp_path: Path, dataset: Dataset) -> None:
    nothing = {name: data.take(slice(0)) for name, data in dataset.train.items()}
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=2)
    pretrain.pretrain(replace(dataset, train=nothing), run, TINY, minutes=60, quiet=True)
    assert run.progress.chars > 0


def test_minibatches_come_again_by_seed_and_hold_one_form(dataset: Dataset) -> None:
    def first(seed: int) -> list[list[int]]:
        batches = minibatches(dataset.train, 600, np.random.default_rng(seed))
        return [next(batches).ids.ravel().tolist() for _ in range(4)]

    assert first(1) == first(1)
    assert first(1) != first(2)
    with pytest.raises(CorpusError, match="no poem to train on"):
        next(minibatches({}, 600, np.random.default_rng(0)))


def test_a_run_goes_on_where_it_stopped(tmp_path: Path, dataset: Dataset) -> None:
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=6)
    pretrain.pretrain(dataset, run, TINY, minutes=60, quiet=True)
    assert run.progress.step == 6
    with pytest.raises(TrainingError, match="--resume"):
        Run(tmp_path / "run", "pretrain", resume=False)
    again = Run(tmp_path / "run", "pretrain", resume=True, max_steps=9)
    pretrain.pretrain(dataset, again, TINY, minutes=60, resume=True, quiet=True)
    assert again.progress.step == 9
    assert again.progress.seconds > run.progress.seconds
    rows = [json.loads(row) for row in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == sorted(row["step"] for row in rows)
    # Asked for no more steps than were taken, it writes back what it read: weights, their average, the optimiser.
    before = load_file(tmp_path / "run" / CHECKPOINT_FILE)
    same = Run(tmp_path / "run", "pretrain", resume=True, max_steps=9)
    pretrain.pretrain(dataset, same, TINY, minutes=60, resume=True, quiet=True)
    after = load_file(tmp_path / "run" / CHECKPOINT_FILE)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert any(name.startswith("generator.optimizer.") for name in after)


def test_a_run_saves_every_few_minutes_and_ends_when_its_time_is_used_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("poetgen.training.run.time.monotonic", lambda: now)
    run = Run(tmp_path, "pretrain", resume=False)
    saved: list[int] = []
    used = []
    steps = run.steps(10, lambda: saved.append(run.progress.step), quiet=True)
    for (share, _), _ in zip(steps, range(20), strict=False):
        used.append(share)
        now += 50
    assert used == pytest.approx([step / 12 for step in range(12)])
    assert saved == [4, 8, 12, 12], "every three minutes, and at the end"


def test_ctrl_c_saves_and_stops(tmp_path: Path, dataset: Dataset) -> None:
    run = Run(tmp_path / "run", "pretrain", resume=False)
    original = run.log

    def interrupt(record: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        original(record)  # type: ignore[arg-type]

    run.log = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        pretrain.pretrain(dataset, run, replace(TINY, validate_every=3), minutes=60, quiet=True)
    assert Run(tmp_path / "run", "pretrain", resume=True).state()["progress"]["step"] == run.progress.step > 0
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_full_disk_while_saving_is_one_sentence(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from poetgen.training import run as run_module

    def full(tensors: object, path: Path, header: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_module, "save_file", full)
    with pytest.raises(TrainingError, match="Make room, then go on with --resume"):
        pretrain.pretrain(dataset, Run(tmp_path / "run", "pretrain", resume=False), TINY, minutes=0.005, quiet=True)
    assert not (tmp_path / "run" / CHECKPOINT_FILE).exists()


def test_runs_of_another_stage_or_damaged_are_refused(tmp_path: Path, dataset: Dataset, pretraining: Path) -> None:
    with pytest.raises(CheckpointError, match="a run of pretrain, not of adversarial"):
        Run(pretraining, "adversarial", resume=True).state()
    with pytest.raises(TrainingError, match="no run to resume"):
        Run(tmp_path, "pretrain", resume=True)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / CHECKPOINT_FILE).write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="no checkpoint that can be read"):
        pretrain.load_pretrained(broken, dataset)
    other = replace(dataset, vocabulary=Vocabulary(dataset.vocabulary.chars[::-1]))
    with pytest.raises(CheckpointError, match="begun with another vocabulary"):
        pretrain.load_pretrained(pretraining, other)
    shutil.copytree(pretraining, tmp_path / "older")
    run = Run(tmp_path / "older", "pretrain", resume=True)
    run.save({"average": nn.Linear(1, 1)}, {}, {"config": asdict(TINY) | {"gone": 1}})
    with pytest.raises(CheckpointError, match="another edition"):
        pretrain.load_pretrained(tmp_path / "older", dataset)


@pytest.mark.parametrize(
    ("changed", "seed", "said"),
    [({"learning_rate": 1e-4, "dropout": 0.3}, 0, "another dropout, learning_rate"), ({}, 7, "another seed")],
)
def test_a_run_goes_on_with_its_own_settings_only(
    tmp_path: Path, dataset: Dataset, changed: dict[str, Any], seed: int, said: str
) -> None:
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=2)
    pretrain.pretrain(dataset, run, TINY, minutes=60, quiet=True)
    again, config = Run(tmp_path / "run", "pretrain", resume=True, max_steps=4), replace(TINY, **changed)
    with pytest.raises(CheckpointError, match=said):
        pretrain.pretrain(dataset, again, config, minutes=60, resume=True, quiet=True, seed=seed)


def test_adversarial_goes_on_with_both_networks_and_their_optimizers(
    tmp_path: Path, dataset: Dataset, pretraining: Path
) -> None:
    def trained(folder: Path, *, resume: bool, steps: int) -> Run:
        run = Run(folder, "adversarial", resume=resume, max_steps=steps)
        generator = pretrain.load_pretrained(pretraining, dataset)[0]
        preset = adversarial.PRESETS["tiny"]
        adversarial.adversarial(dataset, generator, run, preset, minutes=60, resume=resume, quiet=True)
        return run

    def tensors(folder: Path) -> dict[str, torch.Tensor]:
        return load_file(folder / CHECKPOINT_FILE)

    before = trained(tmp_path / "run", resume=False, steps=6)
    stopped = tensors(before.folder)
    # Asked for no more steps than were taken, a run writes back what it read.
    trained(before.folder, resume=True, steps=6)
    again = tensors(before.folder)
    assert {name: value.tolist() for name, value in again.items()} == {
        name: value.tolist() for name, value in stopped.items()
    }
    assert any(name.startswith("generator.optimizer.") for name in again)
    trained(before.folder, resume=True, steps=9)
    later = tensors(before.folder)
    moved = {name.split(".")[0] for name, value in later.items() if not torch.equal(value, stopped[name])}
    assert moved == {"generator", "discriminator"}


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(TrainingError, match="--device cpu"):
        use_device("abacus")


def test_the_generator_follows_the_discriminator_but_stays_near(
    tmp_path: Path, dataset: Dataset, pretraining: Path
) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    run = Run(tmp_path / "run", "adversarial", resume=False, max_steps=16)
    adversarial.adversarial(dataset, generator, run, adversarial.PRESETS["tiny"], minutes=60, quiet=True)
    changed = {name for name, value in generator.state_dict().items() if not torch.equal(value, before[name])}
    assert "lstm.weight_hh_l0" in changed
    assert "embedding.weight" not in changed, "the discriminator reads through the same table"
    last = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])
    assert 0 <= last["kl"] < 20
    assert set(last["auc"]) <= set(FORMS)


def test_rounding_alone_is_no_distance_from_the_anchor(tmp_path: Path, dataset: Dataset, pretraining: Path) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    config = replace(adversarial.PRESETS["tiny"], warmup_share=0, validate_every=1)
    run = Run(tmp_path / "run", "adversarial", resume=False, max_steps=2)
    adversarial.adversarial(dataset, generator, run, config, minutes=5, quiet=True)
    first, second = (json.loads(line)["kl"] for line in (run.folder / "metrics.jsonl").read_text().splitlines()[:2])
    assert first == pytest.approx(0, abs=1e-6)
    assert second > 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_pretrains_with_a_teacher(tmp_path: Path, dataset: Dataset, pretraining: Path) -> None:
    run = Run(tmp_path / "run", "pretrain", resume=False, max_steps=20)
    teacher = pretrain.load_pretrained(pretraining, dataset, "cuda")
    generator = pretrain.pretrain(dataset, run, TINY, minutes=5, teacher=teacher, device="cuda", quiet=True)
    assert all(bool(torch.isfinite(value).all()) for value in generator.parameters())


def follow(dataset: Dataset, pretraining: Path, config: AdversarialConfig) -> list[dict[str, float]]:
    """What the generator's steps said when it followed a discriminator that likes some characters and nothing else."""
    torch.manual_seed(0)
    generator, reference = (pretrain.load_pretrained(pretraining, dataset)[0] for _ in range(2))
    table = character_table(generator.embedding.weight, torch.from_numpy(dataset.planner.vectors))
    discriminator = Discriminator(DiscriminatorConfig(8, 4, 8), table)
    for weights in discriminator.parameters():
        nn.init.zeros_(weights)
    discriminator.taste[3::2] = 1.0
    constraints, rng = constraints_on(dataset), np.random.default_rng(0)
    shares, rhymes = shares_of(dataset.train), constraints.usable_rhymes(MIN_RHYME_CHARS)
    drafter = Drafter(dataset.vocabulary, dataset.phonology, dataset.planner, shares, rhymes, TINY.noise_dim, 1.0)
    fakes, batch = adversarial.Fakes(drafter, constraints), dataset.train["wujue"].take(slice(32))
    optimizer = torch.optim.AdamW(generator.parameters(), lr=3e-3)
    found = []
    for _ in range(5):
        drawn = fakes.draw(generator.eval(), batch, rng, line_ends=False, keep_masks=True)
        found.append(
            adversarial._generator_step(
                generator, optimizer, reference, discriminator, batch, drawn, constraints.lifts, config, rng
            )
        )
    assert not discriminator.training, "nothing of what it judges is dropped"
    return found


def test_a_generator_raises_the_reward_and_weights_hold_it_near_its_anchor_and_people(
    dataset: Dataset, pretraining: Path
) -> None:
    free = AdversarialConfig(kl_weight=0.0, real_weight=0.0, temperature=1.0)
    alone, held, beside = (
        follow(dataset, pretraining, config)
        for config in (free, replace(free, kl_weight=10.0), replace(free, real_weight=10.0))
    )
    assert alone[-1]["reward"] > alone[0]["reward"] + 0.1
    assert held[-1]["kl"] < 0.5 * alone[-1]["kl"]
    assert beside[-1]["real_nll"] < alone[-1]["real_nll"] - 0.01


def test_half_of_all_that_the_discriminator_reads_is_told_a_theme(dataset: Dataset, pretraining: Path) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    constraints, rng = constraints_on(dataset), np.random.default_rng(0)
    shares, rhymes = shares_of(dataset.train), constraints.usable_rhymes(MIN_RHYME_CHARS)
    drafter = Drafter(dataset.vocabulary, dataset.phonology, dataset.planner, shares, rhymes, TINY.noise_dim, 1.0)
    batch = adversarial.writable(dataset.train["wujue"], constraints).take(slice(200))
    drawn = adversarial.Fakes(drafter, constraints).draw(generator, batch, rng, line_ends=False)
    table = character_table(generator.embedding.weight, torch.from_numpy(dataset.planner.vectors))
    discriminator = Discriminator(DiscriminatorConfig(8, 4, 8), table)
    told: list[float] = []
    discriminator.register_forward_hook(lambda _, given, __: told.append(float(given[2].any(dim=1).float().mean())))
    adversarial._discriminator_step(
        discriminator,
        torch.optim.SGD(discriminator.parameters(), lr=0.0),
        batch,
        adversarial._Batch(batch.form, drawn.ids, drawn.conditions.themes),
        adversarial.Senseless(batch),
        AdversarialConfig(),
        rng,
    )
    assert told == pytest.approx([0.5, 0.5], abs=0.1), "real poems as well as fakes"


def test_a_discriminator_comes_to_hold_people_s_poems_for_the_realer(dataset: Dataset, pretraining: Path) -> None:
    torch.manual_seed(0)
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    table = character_table(generator.embedding.weight, torch.from_numpy(dataset.planner.vectors))
    discriminator = Discriminator(DiscriminatorConfig(8, 4, 8), table)
    optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-2)
    batch = adversarial.writable(dataset.train["wujue"], constraints_on(dataset)).take(slice(64))
    same = torch.full((64, 20), 3)  # what is easily told
    senseless, config, rng = (
        adversarial.Senseless(batch),
        AdversarialConfig(composed_share=0.0),
        np.random.default_rng(0),
    )
    fakes = adversarial._Batch(batch.form, same, torch.zeros(64, 1, dtype=torch.long))
    for _ in range(20):
        found = adversarial._discriminator_step(discriminator, optimizer, batch, fakes, senseless, config, rng)
    assert found["d_right"] > 0.9
    themes = torch.zeros(64, 1, dtype=torch.long)
    with torch.no_grad():
        real, fake = (
            discriminator.eval()(ids, batch.form, themes) for ids in (torch.from_numpy(batch.ids).long(), same)
        )
    assert real.min() > fake.max()


def test_only_the_discriminator_learns_if_asked(tmp_path: Path, dataset: Dataset, pretraining: Path) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    run = Run(tmp_path / "run", "adversarial", resume=False, max_steps=4)
    adversarial.adversarial(
        dataset, generator, run, adversarial.PRESETS["tiny"], minutes=60, discriminator_only=True, quiet=True
    )
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


def constraints_on(dataset: Dataset) -> Constraints:
    return Constraints(dataset.vocabulary, dataset.phonology, dataset.planner, tails_of(dataset))


def test_real_poems_are_ones_we_could_have_written(dataset: Dataset) -> None:
    data = adversarial.writable(dataset.train["qijue"], constraints_on(dataset))
    assert 0 < len(data) < len(dataset.train["qijue"])
    assert (data.patterns > 0).all()
    for row in data.ids.tolist():
        for place, number in enumerate(row):
            assert [other for other in range(place + 1, len(row)) if row[other] == number] in ([], [place + 1])


def test_real_poems_hold_no_sound_that_we_would_not_write(dataset: Dataset) -> None:
    constraints = constraints_on(dataset)
    data = adversarial.writable(dataset.train["qijue"], constraints)
    last, second = int(data.ids[0, -1]), int(data.ids[0, 1])
    for table in (constraints.rhymes[:, last], constraints.tones[1:, second]):
        before = table.clone()
        table[:] = False  # as if its sound were unsure
        assert data.ids[0].tolist() not in adversarial.writable(data, constraints).ids.tolist()
        table.copy_(before)
    assert len(adversarial.writable(data, constraints)) == len(data)


def test_the_discriminator_meets_line_ends_as_the_poet_writes_them_in_the_end_only(
    dataset: Dataset, pretraining: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bool, bool]] = []
    draw = adversarial.Fakes.draw

    def watched(fakes: adversarial.Fakes, *given: Any, line_ends: bool, keep_masks: bool = False) -> Sample:
        asked.append((line_ends, keep_masks))
        return draw(fakes, *given, line_ends=line_ends, keep_masks=keep_masks)

    monkeypatch.setattr(adversarial.Fakes, "draw", watched)
    generator, _ = pretrain.load_pretrained(pretraining, dataset)
    run = Run(tmp_path, "adversarial", resume=False, max_steps=20)
    adversarial.adversarial(dataset, generator, run, adversarial.PRESETS["tiny"], minutes=60, quiet=True)
    drawn = [way for way, _ in itertools.groupby(way for way in asked if way != (True, False))]
    assert drawn == [(False, False), (False, True)], "before it follows, then while it does"
    assert asked[-5:] == [(True, False)] * 5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_generator_follows_on_a_gpu(dataset: Dataset, pretraining: Path, tmp_path: Path) -> None:
    generator, _ = pretrain.load_pretrained(pretraining, dataset, "cuda")
    before = generator.output_bias.detach().clone()
    run = Run(tmp_path, "adversarial", resume=False, max_steps=20)
    adversarial.adversarial(dataset, generator, run, adversarial.PRESETS["tiny"], minutes=60, quiet=True)
    assert not torch.equal(generator.output_bias, before)


@pytest.mark.parametrize("name", ["qijue", "wulv"])
def test_senseless_poems_lack_nothing_but_sense(dataset: Dataset, name: str) -> None:
    data = adversarial.writable(dataset.train[name], constraints_on(dataset))
    ids, themes = adversarial.Senseless(data).draw(200, np.random.default_rng(0))
    assert 100 < len(ids) == len(themes)
    own_themes = {
        row.tobytes(): theme
        for row, theme in zip(data.ids, pretrain.conditions_of(data).themes.tolist(), strict=True)
    }  # fmt: skip
    length, num_regulated, num_on_another = data.form.line_lengths[0], 0, 0
    for row, theme in zip(ids.numpy().astype(np.int32), themes.tolist(), strict=True):
        text = dataset.vocabulary.decode(row)
        lines = tuple(text[start : start + length] for start in range(0, len(text), length))
        num_regulated += prosody.check(Poem(lines, data.form, ""), dataset.phonology).passed
        if row.tobytes() in own_themes:
            num_on_another += 1
            assert theme != own_themes[row.tobytes()], "neither its text nor its theme is another"
    # A first line may rhyme in a neighbouring group, and a last one then not.
    assert num_regulated >= 0.9 * len(ids)
    assert 0.2 * len(ids) < num_on_another < 0.8 * len(ids)
    told = float((themes != 0).any(dim=1).float().mean())
    assert told == pytest.approx(max(0.5, num_on_another / len(ids)), abs=0.12), "being told a theme says nothing"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_of_one_or_two_poems_as_many_senseless_ones_are_drawn_at_most(dataset: Dataset, count: int) -> None:
    data = adversarial.writable(dataset.train["qijue"], constraints_on(dataset))
    for poems in (1, 2):
        ids, themes = adversarial.Senseless(data.take(slice(poems))).draw(count, np.random.default_rng(0))
        assert ids.shape[1] == data.form.num_chars
        assert len(ids) == len(themes) <= count


def test_two_workers_learn_what_one_learns(tmp_path: Path, prepared: Path, dataset: Dataset) -> None:
    """The real command under torchrun: as many characters a step, so about the same loss after as many steps."""
    one = [sys.executable, "-m", "poetgen"]
    two = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "poetgen"]
    reached: dict[str, float] = {}
    said: dict[str, str] = {}
    for name, start in (("one", one), ("two", two)):
        command = [*start, "pretrain", "--data", str(prepared), "--out", str(tmp_path / name), "--preset", "tiny"]
        options = ["--minutes", "5", "--steps", "300", "--threads", "1", "--profile"]
        done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        rows = [json.loads(row) for row in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows] == [49, 99, 149, 199, 249, 299, 300], "one of them speaks"
        reached[name], said[name] = rows[-1]["validation"]["all"], done.stdout
        assert "characters a second" in done.stderr
        assert "of what this machine's matrix products alone allow" in done.stdout
        state = Run(tmp_path / name, "pretrain", resume=True).state()
        assert state["progress"]["chars"] == pytest.approx(300 * TINY.chars_per_batch, rel=0.1)
    assert said["two"].count("Pretrained in") == 1
    assert reached["two"] == pytest.approx(reached["one"], abs=0.1)


def test_gradients_are_those_of_all_workers_together(tmp_path: Path) -> None:
    """Each worker's own data, one gradient: the mean. No thread of the group outlives it (one could abort the exit)."""
    program = tmp_path / "worker.py"
    program.write_text(
        "from pathlib import Path\n"
        "import torch\n"
        "from poetgen.training.parallel import working\n"
        "with working('cpu') as workers:\n"
        "    weights = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]\n"
        "    sum((one * (workers.rank + 1)).sum() for one in weights).backward()\n"
        "    workers.average_gradients(weights)\n"
        "    torch.optim.AdamW(weights).step()\n"
        "    assert all((one.grad == 1.5).all() for one in weights), weights\n"
        "    assert workers.agree(workers.rank) == 1\n"
        "threads = [task.read_text() for task in Path('/proc/self/task').glob('*/comm')]\n"
        "assert not any('gloo' in name for name in threads), threads\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    variables = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=variables, capture_output=True, check=True)
