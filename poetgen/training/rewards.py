"""Rewards: what the generator is trained to raise. Pure functions of the discriminator's logits."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

LOGIT_LIMIT = 4.0


def probability_reward(logits: Tensor) -> Tensor:
    """[B] D(x) in (0, 1): raising it lowers L_G = E[1 - D(G(z))], the recipe as it stands."""
    return torch.sigmoid(logits)


def logit_reward(logits: Tensor) -> Tensor:
    """[B] the logit, clipped to ±`LOGIT_LIMIT`: our deviation, after Deng et al. 2020 (residual energy-based models).

    With a KL term of weight one to the generator that D was trained against, its optimum is the data's distribution.
    Where D is sure, its probability is flat and teaches nothing; the logit still slopes.
    """
    return logits.clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


REWARDS: Mapping[str, Callable[[Tensor], Tensor]] = {"probability": probability_reward, "logit": logit_reward}


def leave_one_out_advantage(rewards: Tensor) -> Tensor:
    """[B] each reward less the mean of the others (Kool et al. 2019): a free baseline without bias."""
    count = len(rewards)
    return (rewards - rewards.mean()) * (count / max(1, count - 1))
