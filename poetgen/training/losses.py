"""Losses as pure functions; nats throughout."""

import torch
from torch import Tensor, nn


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """[B] KL(N(mean, variance) ‖ N(0, I)), nats, ≥ 0; the arguments are [B, Z]."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1)


def distillation_loss(logits: Tensor, taught: Tensor) -> Tensor:
    """[B, T] cross entropy of a teacher's characters under a model, nats, ≥ 0 (Hinton et al. 2015, temperature 1).

    Args:
        logits: [B, T, V] of the model.
        taught: [B, T, V] of the teacher, detached.
    """
    return -(taught.float().softmax(dim=-1) * logits.float().log_softmax(dim=-1)).sum(dim=-1)


def masked_log_probs(logits: Tensor, masks: Tensor) -> Tensor:
    """[B, T, V] log probabilities among the allowed characters; −inf elsewhere.

    Args:
        logits: [B, T, V].
        masks: [B, T, V] which characters were allowed.
    """
    return torch.log_softmax(logits.float().masked_fill(~masks, -torch.inf), dim=-1)


def masked_kl(log_probs: Tensor, reference: Tensor) -> Tensor:
    """[B] KL(model ‖ reference) summed over the places of each poem, nats, ≥ 0.

    Args:
        log_probs: [B, T, V] as `masked_log_probs` gives them.
        reference: The same of the other model, under the same masks.
    """
    allowed = ~torch.isinf(log_probs)
    difference = torch.where(allowed, log_probs - reference, torch.zeros_like(log_probs))
    return (log_probs.exp() * difference).sum(dim=(1, 2))


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor, label: float = 1.0) -> Tensor:
    """L_D = −E[log D(x)] − E[log(1 − D(G(z)))], nats, ≥ 0.

    Args:
        real_logits: [B].
        fake_logits: [B'], of any number.
        label: What D(x) is drawn to on the real side; under 1 it stays less sure (one-sided smoothing).
    """
    targets = torch.full_like(real_logits, label)
    real = nn.functional.binary_cross_entropy_with_logits(real_logits, targets)
    return real + nn.functional.softplus(fake_logits).mean()


def policy_loss(log_probs: Tensor, advantages: Tensor) -> Tensor:
    """REINFORCE (Williams 1992): its gradient is that of −E[reward].

    Args:
        log_probs: [B] of the poems drawn, under the masks they were drawn under.
        advantages: [B], detached.
    """
    return -(advantages * log_probs).mean()


def vote_loss(logits: Tensor, liked: Tensor, disliked: Tensor) -> Tensor:
    """L_D of votes: liked poems are extra real, disliked ones extra fake; nats over all votes, ≥ 0.

    Args:
        logits: [P] of the rated poems.
        liked: [P] what their likes weigh, ≥ 0.
        disliked: [P] what their dislikes weigh.
    """
    nats = liked * nn.functional.softplus(-logits) + disliked * nn.functional.softplus(logits)
    return nats.sum()
