"""What votes on poems say of each character: a Gaussian process (Rasmussen and Williams 2006, chapter 3).

Knows no voices and no files. The change that votes make in the verdict on a poem is a sum over its characters,

    change(x) = bias + sum of taste(c) over the poem's T characters / sqrt(T),

and before any vote is seen the taste is a Gaussian process over characters: it varies together for characters that
stand in the same poems (a few votes on 月 say something of 蟾), and together for all that is rare or common. Few votes
leave it near zero; what they say nothing of stays there.
"""

import torch
from torch import Tensor, nn

from poetgen.training.losses import vote_loss
from poetgen.vocabulary import UNKNOWN_ID

# How the prior is made up; each part alone lets the base's poems differ as much (docs/experiments.md).
_FIELD_SHARE, _RARITY_SHARE = 0.9, 0.1
_WIDTH = 0.2  # of the cosine of two association vectors by which the likeness of characters falls to 1/e
_SPREAD = 1.0  # standard deviation of the change over the base's poems before any vote, nats
_BIAS_SPREAD = 2.0
_JITTER = 1e-4  # more than the rounding of what it is added to: poems of the same characters make that singular
_BLOCK = 512


def bags(poems: list[Tensor], num_chars: int) -> Tensor:
    """[P, V] how often each character stands in each poem, over the root of its length.

    Args:
        poems: P of [T] ids.
        num_chars: V.
    """
    found = torch.zeros(len(poems), num_chars)
    for row, ids in enumerate(poems):
        found[row].index_add_(0, ids, torch.full((len(ids),), len(ids) ** -0.5))
    return found


class TastePrior:
    """How tastes vary from character to character before any vote is seen.

    Args:
        vectors: [V, D] association vectors; the vocabulary is sorted, the commonest character first.
        reference: [S, V] bags of the base's poems, over which the change is to spread as said.
    """

    def __init__(self, vectors: Tensor, reference: Tensor) -> None:
        known = (torch.arange(len(vectors)) > UNKNOWN_ID).float()[:, None]
        self._units = nn.functional.normalize(vectors.float(), dim=1)
        self._known = known
        self._rarity = torch.arange(1, len(vectors) + 1).log()[:, None] * known
        self._scales = [1.0, 1.0]
        parts = [reference @ part for part in self._parts(reference)]
        self._scales = [
            share * _SPREAD**2 / max(float((part.diagonal() - part.mean(dim=0)).mean()), 1e-6)
            for share, part in zip((_FIELD_SHARE, _RARITY_SHARE), parts, strict=True)
        ]

    def covariance(self, poems: Tensor) -> Tensor:
        """[V, P] of each character's taste with the change (without its bias) of each poem, given as [P, V] bags."""
        return torch.stack(self._parts(poems)).sum(dim=0)

    def _parts(self, poems: Tensor) -> list[Tensor]:
        counts = poems.T * self._known
        field = torch.cat(
            [torch.exp((rows @ self._units.T - 1) / _WIDTH) @ counts for rows in self._units.split(_BLOCK)]
        )
        parts = (field * self._known, self._rarity @ (self._rarity.T @ counts))
        return [scale * part for scale, part in zip(self._scales, parts, strict=True)]


class Electorate:
    """Rated poems, ready to learn from any of the votes on them.

    Args:
        prior: Of tastes.
        poems: [P, V] bags of the rated poems.
    """

    def __init__(self, prior: TastePrior, poems: Tensor) -> None:
        self.poems = poems
        self._covariance = prior.covariance(poems)
        gram = (poems @ self._covariance).double()
        gram += _BIAS_SPREAD**2 + _JITTER * torch.eye(len(poems))
        self._factor = torch.linalg.cholesky(gram)

    def learn(self, liked: Tensor, disliked: Tensor) -> tuple[Tensor, Tensor]:
        """([V] taste, [1] bias) that are likeliest after these votes.

        A convex problem, solved to its end: the same votes give the same taste.

        Args:
            liked: [P] what each poem's likes weigh, votes.
            disliked: [P] the same of its dislikes.
        """
        liked, disliked = liked.double(), disliked.double()
        # In these coordinates the prior is a standard normal one, and the problem well conditioned.
        white = torch.zeros(len(liked), dtype=torch.double, requires_grad=True)
        optimizer = torch.optim.LBFGS([white], max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            nats = vote_loss(self._factor @ white, liked, disliked) + white.square().sum() / 2
            nats.backward()
            return nats

        optimizer.step(loss)
        weights = torch.linalg.solve_triangular(self._factor.T, white.detach()[:, None], upper=True).float()
        return (self._covariance @ weights)[:, 0], _BIAS_SPREAD**2 * weights.sum(dim=0)
