"""The two-sample test: fresh classifiers that try to tell a model's poems from people's.

Other architectures, weights and seeds than our discriminator's; each learns from poems of both kinds and is tested on
fresh ones. AUC 0.5: it cannot tell (Lopez-Paz and Oquab 2017). The best of them counts.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from poetgen.evaluation.figures import Floats
from poetgen.evaluation.referee import Referee
from poetgen.metrics import auc
from poetgen.planner import Ids
from poetgen.poem import Form

_BUCKETS = 1 << 17
_HELD_BACK = 0.15  # of the poems to learn from, to know when to stop
_PATIENCE = 4


class PairLogistic(nn.Module):
    """Logistic regression on hashed pairs of neighbouring characters, in lines and across aligned lines.

    Args:
        form: Of the poems.
    """

    def __init__(self, form: Form) -> None:
        super().__init__()
        self._length = form.line_lengths[0]
        self.weights = nn.EmbeddingBag(_BUCKETS, 1, mode="mean")
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor) -> Tensor:
        """[B] logits of [B, T] ids."""
        grid = ids.view(len(ids), -1, self._length)
        within = grid[:, :, :-1] * 7919 + grid[:, :, 1:] * 104_729
        across = grid[:, :-1] * 611_953 + grid[:, 1:] * 15_485_863 + 1
        hashed = torch.cat([within.flatten(1), across.flatten(1)], dim=1) % _BUCKETS
        logits: Tensor = 20 * self.weights(hashed)[:, 0] + self.bias
        return logits


class CoupletNet(nn.Module):
    """A CNN over the grid of lines and places whose filters see two whole lines at a time.

    Args:
        form: Of the poems.
        num_chars: V.
    """

    def __init__(self, form: Form, num_chars: int) -> None:
        super().__init__()
        self._length = form.line_lengths[0]
        self.embedding = nn.Embedding(num_chars, 48)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.words = nn.Conv2d(48, 64, (1, 2))
        self.couplets = nn.Conv2d(64, 96, (2, self._length - 1))
        self.logit = nn.Linear(64 + 96, 1)
        self.dropout = nn.Dropout(0.3)

    def forward(self, ids: Tensor) -> Tensor:
        """[B] logits of [B, T] ids."""
        grid = self.embedding(ids.view(len(ids), -1, self._length)).permute(0, 3, 1, 2)
        words = torch.relu(self.words(self.dropout(grid)))
        couplets = torch.relu(self.couplets(self.dropout(words)))
        pooled = torch.cat([words.mean(dim=(2, 3)), couplets.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.logit(self.dropout(pooled))[:, 0]
        return logits


class Probe(nn.Module):
    """A small network on what a language model makes of a poem.

    Args:
        width: F, of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(width, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1))

    def forward(self, features: Tensor) -> Tensor:
        """[B] logits of [B, F] features."""
        logits: Tensor = self.layers(features)[:, 0]
        return logits


@torch.no_grad()
def referee_features(referee: Referee, ids: Ids, form: Form) -> npt.NDArray[np.float32]:
    """[P, F] the referee's mean state, and what it finds of each line: mean and greatest nats."""
    blocks = []
    for start in range(0, len(ids), 256):
        chunk = torch.from_numpy(ids[start : start + 256]).long()
        nats = referee(chunk, form).view(len(chunk), form.num_lines, -1)
        states = referee.states(chunk, form).mean(dim=1)
        blocks.append(torch.cat([states, nats.mean(dim=2), nats.amax(dim=2)], dim=1).numpy())
    features = np.concatenate(blocks)
    scaled: npt.NDArray[np.float32] = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    return scaled


def _learn(
    make: Callable[[], nn.Module], inputs: Tensor, labels: Tensor, seed: int, rate: float, decay: float
) -> nn.Module:
    """A classifier trained until it stops improving on poems held back."""
    torch.manual_seed(seed)
    model = make()
    # As many of each kind are held back: `_pairs` puts the other kind a half further on.
    half = len(labels) // 2
    order = torch.from_numpy(np.random.default_rng(seed).permutation(half))
    few, rest = order.split([math.ceil(half * _HELD_BACK), half - math.ceil(half * _HELD_BACK)])
    held_back, own = torch.cat([few, few + half]), torch.cat([rest, rest + half])
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    best, best_state, waited = 0.0, {name: value.clone() for name, value in model.state_dict().items()}, 0
    while waited < _PATIENCE:
        model.train()
        for rows in own[torch.randperm(len(own))].split(64):
            loss = nn.functional.binary_cross_entropy_with_logits(model(inputs[rows]), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        found = _auc(model, inputs[held_back], labels[held_back])
        waited += 1
        if found > best:
            best, waited = found, 0
            best_state = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best_state)
    return model


@torch.no_grad()
def _auc(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    model.eval()
    logits = torch.cat([model(block) for block in inputs.split(256)])
    return auc(logits[labels == 1].tolist(), logits[labels == 0].tolist())


def two_sample(
    ours: Ids,
    peoples: Ids,
    unseen: Ids,
    form: Form,
    num_chars: int,
    referee: Referee,
    judges: Mapping[str, Callable[[Ids], Floats]],
    seed: int,
) -> dict[str, float]:
    """AUC of each fresh classifier on fresh poems: how well it tells ours from people's.

    Args:
        ours: [A, T] a model's poems; a third is kept for the test.
        peoples: [B, T] people's, for the classifiers that read only poems; any.
        unseen: [C, T] people's that no language model here was trained on; half of them is kept for the test.
        form: Of all of them.
        num_chars: V.
        referee: Whose states and nats one classifier reads.
        judges: Name -> [P] mean nats of [P, T] poems; these alone may tell, too, in either direction.
        seed: Of weights and orders.
    """
    for_test, for_training = ours[: len(ours) // 3], ours[len(ours) // 3 :]
    test_people, train_people = unseen[: len(unseen) // 2], unseen[len(unseen) // 2 :]
    tested = _pairs(for_test, test_people)
    found: dict[str, float] = {}
    reading: Sequence[tuple[str, Callable[[], nn.Module], float, float]] = (
        ("pairs, logistic", lambda: PairLogistic(form), 0.05, 1e-3),
        ("CNN over couplets", lambda: CoupletNet(form, num_chars), 1e-3, 1e-2),
    )
    learned = _pairs(for_training, peoples)
    for name, make, rate, decay in reading:
        model = _learn(make, torch.from_numpy(learned[0]).long(), torch.from_numpy(learned[1]), seed, rate, decay)
        found[name] = _auc(model, torch.from_numpy(tested[0]).long(), torch.from_numpy(tested[1]))
    learned = _pairs(for_training, train_people)
    features = torch.from_numpy(referee_features(referee, np.concatenate([learned[0], tested[0]]), form))
    count = len(learned[0])
    probe = _learn(lambda: Probe(features.shape[1]), features[:count], torch.from_numpy(learned[1]), seed, 1e-3, 1e-2)
    found["referee as classifier"] = _auc(probe, features[count:], torch.from_numpy(tested[1]))
    for name, judge in judges.items():
        alone = auc(judge(for_test).tolist(), judge(test_people).tolist())
        found[f"{name} alone"] = max(alone, 1 - alone)
    return found


def _pairs(ours: Ids, peoples: Ids) -> tuple[Ids, npt.NDArray[np.float32]]:
    """As many of ours as of people's, and labels: 1 for people's."""
    count = min(len(ours), len(peoples))
    ids = np.concatenate([ours[:count], peoples[:count]])
    return ids, np.repeat(np.array([0, 1], np.float32), count)
