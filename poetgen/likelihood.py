"""How likely a poem is under the generator, in nats. Knows no training and no files."""

import math
from typing import Any

import torch
from torch import Tensor

from poetgen.generator import Conditions, Generator

IMPORTANCE_SAMPLES = 16
_BLOCK = 256  # rows of logits, few enough to stay in a processor's cache; a GPU takes all at once


def sequence_nll(logits: Tensor, ids: Tensor) -> Tensor:
    """[B, T] −log p of each character, nats, ≥ 0.

    Args:
        logits: [B, T, V].
        ids: [B, T].
    """
    nats: Tensor = _CrossEntropy.apply(logits.flatten(0, 1), ids.flatten())  # type: ignore[no-untyped-call]
    return nats.view(ids.shape)


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy in single precision, some rows at a time.

    torch's own passes a dozen times over all logits, a hundred megabytes each, and with thousands of characters in the
    vocabulary that took a third of the time of pretraining.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, ids: Tensor) -> Tensor:
        """[N] nats of ids, [N], under [N, V] logits of any precision."""
        totals = torch.cat([block.float().logsumexp(dim=1) for block in logits.split(_rows_together(logits))])
        ctx.save_for_backward(logits, ids, totals)
        return totals - logits.gather(1, ids[:, None])[:, 0].float()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """The softmax, less 1 at the id, times the gradient of the row's nats."""
        logits, ids, totals = ctx.saved_tensors
        found = torch.empty_like(logits)
        together = _rows_together(logits)
        for start in range(0, len(logits), together):
            rows = slice(start, start + together)
            share = (logits[rows].float() - totals[rows, None]).exp_()
            share.scatter_add_(1, ids[rows, None], torch.full_like(share[:, :1], -1.0))
            found[rows] = share.mul_(gradient[rows, None])
        return found, None


def _rows_together(logits: Tensor) -> int:
    return _BLOCK if logits.device.type == "cpu" else len(logits)


def gaussian_log_ratio(noise: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """[B] log p(z) − log q(z), p standard normal and q = N(mean, variance); the arguments are [B, Z]."""
    standard = (noise - mean).square() / log_variance.exp()
    return 0.5 * (standard + log_variance - noise.square()).sum(dim=1)


def importance_bound(log_weights: Tensor) -> Tensor:
    """[B] log of the mean importance weight (Burda et al. 2016), a lower bound of log p(x) that rises with K.

    Args:
        log_weights: [K, B] log p(x, z) − log q(z | x) of K samples.
    """
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


@torch.no_grad()
def poem_nll(
    generator: Generator,
    ids: Tensor,
    conditions: Conditions,
    samples: int,
    noise_source: torch.Generator,
    masks: Tensor | None = None,
) -> Tensor:
    """[B] −log p(poem), nats: an upper bound by importance samples from the encoder.

    Args:
        generator: The model, in evaluation mode.
        ids: [B, T] the poems.
        conditions: What is told of them.
        samples: How many; the more, the tighter the bound.
        noise_source: Draws z.
        masks: [B, T, V] which characters may stand where; all, if left out.
    """
    mean, log_variance = generator.encode(ids)
    weights: list[Tensor] = []
    for _ in range(samples):
        epsilon = torch.randn(mean.shape, generator=noise_source).to(mean.device)
        noise = mean + epsilon * (0.5 * log_variance).exp()
        logits = generator(ids, conditions, noise)
        if masks is not None:
            logits = logits.masked_fill(~masks, -torch.inf)
        nll = sequence_nll(logits, ids).sum(1)
        weights.append(gaussian_log_ratio(noise, mean, log_variance) - nll)
    return -importance_bound(torch.stack(weights))
