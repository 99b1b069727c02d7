"""The referee: a language model that reads from right to left and judges fluency.

Another kind of model than any that chooses or rewards our poems: other direction, no z, no theme, no plan, no line
above, learned apart from the generator. So what the generator likes about its own poems, it need not like.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from poetgen.dataset import Dataset, minibatches
from poetgen.errors import CorpusError
from poetgen.generator import FORM_IDS
from poetgen.likelihood import sequence_nll
from poetgen.poem import FORMS, Form
from poetgen.training.pretrain import learning_rate
from poetgen.training.run import Run
from poetgen.vocabulary import START_ID

_MAX_CHARS = max(form.num_chars for form in FORMS.values())


@dataclass(frozen=True, slots=True)
class RefereeConfig:
    """Size and training of the referee."""

    embedding_dim: int = 192
    hidden_dim: int = 512
    dropout: float = 0.1
    chars_per_batch: int = 3000
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    clip_norm: float = 1.0


PRESETS = {
    "base": RefereeConfig(),
    "tiny": RefereeConfig(embedding_dim=24, hidden_dim=32, chars_per_batch=800, learning_rate=1e-2, warmup_steps=5),
}


class Referee(nn.Module):
    """One LSTM over a poem's characters from the last to the first, told form and place.

    Args:
        num_chars: V.
        config: Its size.
    """

    def __init__(self, num_chars: int, config: RefereeConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_chars, config.embedding_dim)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(config.embedding_dim))
        self.place = nn.Embedding(len(FORMS) * _MAX_CHARS, config.embedding_dim)
        nn.init.normal_(self.place.weight, std=0.1)
        self.lstm = nn.LSTM(config.embedding_dim, config.hidden_dim, batch_first=True)
        self.output = nn.Linear(config.hidden_dim, config.embedding_dim)
        self.bias = nn.Parameter(torch.zeros(num_chars))
        self.dropout = nn.Dropout(config.dropout)

    def states(self, ids: Tensor, form: Form) -> Tensor:
        """[B, T, hidden_dim] what is known before each of the [B, T] characters, from those to its right."""
        reversed_ids = ids.flip(1)
        after = torch.cat([ids.new_full((len(ids), 1), START_ID), reversed_ids[:, :-1]], dim=1)
        places = FORM_IDS[form.name] * _MAX_CHARS + torch.arange(ids.shape[1], device=ids.device)
        states, _ = self.lstm(self.dropout(self.embedding(after) + self.place(places)))
        flipped: Tensor = states.flip(1)
        return flipped

    def forward(self, ids: Tensor, form: Form) -> Tensor:
        """[B, T] −log p of each character given those to its right, nats."""
        features = self.dropout(self.output(self.states(ids, form)))
        return sequence_nll(nn.functional.linear(features, self.embedding.weight, self.bias), ids)

    @torch.no_grad()
    def nats(self, ids: npt.NDArray[np.int32], form: Form) -> npt.NDArray[np.float64]:
        """[P, T] the same of any number of poems."""
        blocks = [
            self(torch.from_numpy(ids[start : start + 256]).long(), form).double().numpy()
            for start in range(0, len(ids), 256)
        ]
        return np.concatenate(blocks) if blocks else np.zeros(ids.shape)


def train_referee(
    dataset: Dataset,
    run: Run,
    config: RefereeConfig,
    *,
    minutes: float,
    seed: int = 0,
    resume: bool = False,
    quiet: bool = False,
) -> Referee:
    """Train a referee on the training poems until the budget is used up; returns it.

    Raises:
        CheckpointError: The checkpoint is damaged, or the run was begun with other settings.
        KeyboardInterrupt: Stopped by the user, after saving.
    """
    torch.manual_seed(seed)
    referee = Referee(len(dataset.vocabulary), config)
    optimizer = torch.optim.AdamW(referee.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    modules, optimizers = {"referee": referee}, {"referee": optimizer}
    settings = {"config": asdict(config), "seed": seed, "vocabulary": dataset.vocabulary.fingerprint}
    if resume:
        run.load(modules, optimizers, settings)
    torch.manual_seed(seed + run.progress.step)
    batches = minibatches(dataset.train, config.chars_per_batch, np.random.default_rng([seed, run.progress.step]))
    average = 0.0
    referee.train()
    for used, bar in run.steps(minutes, lambda: run.save(modules, optimizers, settings), quiet=quiet):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.learning_rate, config.warmup_steps, run.progress.step, used)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            nll = referee(torch.from_numpy(batch.ids).long(), batch.form).mean()
        optimizer.zero_grad(set_to_none=True)
        nll.backward()
        torch.nn.utils.clip_grad_norm_(referee.parameters(), config.clip_norm)
        optimizer.step()
        run.progress.chars += batch.ids.size
        average += (float(nll.detach()) - average) * (0.02 if average else 1.0)
        if run.progress.step % 20 == 0:
            bar.set_postfix_str(f"nll {average:.3f}", refresh=False)
    referee.eval()
    held_out = [referee.nats(data.ids[:400], data.form) for data in dataset.validation.values() if len(data)]
    run.log({"validation": sum(float(nats.sum()) for nats in held_out) / sum(nats.size for nats in held_out)})
    return referee


def load_referee(run: Run, dataset: Dataset) -> Referee:
    """The referee that a run trained.

    Raises:
        CheckpointError: The run is of another stage, damaged, or of another corpus.
        CorpusError: It was trained too little to judge anything.
    """
    referee = Referee(len(dataset.vocabulary), run.config(RefereeConfig))
    run.load({"referee": referee}, {}, {"vocabulary": dataset.vocabulary.fingerprint})
    if run.progress.step == 0:
        raise CorpusError(f"The referee in {run.folder} has learned nothing yet. Go on with poetgen referee --resume.")
    return referee.eval()
