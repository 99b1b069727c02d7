"""The discriminator: one CNN over the grid of lines and positions, pooled, then fully connected layers, one logit.

Knows no training. It reads characters through a fixed table of what is known of them: the generator's embedding,
which has seen the whole corpus, their association vectors, and how common they are. So a few thousand fakes cannot
be learned by heart character by character. Past the network there is room for what a voice holds of each character.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poetgen.generator import FORM_IDS
from poetgen.poem import FORMS, Form
from poetgen.vocabulary import PAD_ID, UNKNOWN_ID

# (lines, positions) that a filter sees at once: words, and what stands above one another.
_KERNELS = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3))
_MAX_LINES, _MAX_POSITIONS = 8, 7
# oneDNN makes and keeps code for each number of poems that a convolution has met, so a poet's come so many at a time.
_JUDGED_TOGETHER = 8
# How much of a character's description is its association vector and its frequency, where its embedding counts as 1.
_VECTOR_WEIGHT, _FREQUENCY_WEIGHT = 0.75, 0.5


@dataclass(frozen=True, slots=True)
class DiscriminatorConfig:
    """The discriminator's size.

    Attributes:
        input_dim: What a character is reduced to.
        num_filters: Of each kernel.
        hidden_dim: Of the fully connected layer.
        dropout: In training, 0 to 1.
    """

    input_dim: int = 96
    num_filters: int = 64
    hidden_dim: int = 192
    dropout: float = 0.25


def character_table(embedding: Tensor, vectors: Tensor) -> Tensor:
    """[V, F] what the discriminator is told of each character.

    Args:
        embedding: [V, E] the generator's.
        vectors: [V, D] association vectors, products of rows being associations.
    """
    # The vocabulary is sorted by frequency, which falls about as one over the rank (Zipf).
    ranks = torch.arange(1, len(embedding) + 1, device=embedding.device)
    shares = (ranks > UNKNOWN_ID + 1) / ranks
    shares = (shares / shares.sum())[:, None]

    def centred(rows: Tensor) -> Tensor:
        return rows - (shares * rows).sum(dim=0)

    rarity = centred(ranks.log()[:, None])
    rarity = rarity / (shares * rarity.square()).sum().sqrt()
    parts = (
        nn.functional.normalize(centred(embedding), dim=1),
        _VECTOR_WEIGHT * centred(nn.functional.normalize(vectors, dim=1)),
        _FREQUENCY_WEIGHT * rarity,
    )
    table = torch.cat(parts, dim=1).detach()
    table[: UNKNOWN_ID + 1] = 0
    return table


class Discriminator(nn.Module):
    """log D(x) / (1 - D(x)), how much more like a person's than the generator's a poem is, given its theme.

    Args:
        config: Its size.
        table: [V, F] as `character_table` makes it.
    """

    table: Tensor
    taste: Tensor

    def __init__(self, config: DiscriminatorConfig, table: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", table, persistent=False)
        num_features = table.shape[1]
        self.reduce = nn.Linear(num_features, config.input_dim)
        self.position_embedding = nn.Parameter(torch.zeros(_MAX_POSITIONS, config.input_dim))
        self.line_embedding = nn.Parameter(torch.zeros(_MAX_LINES, config.input_dim))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(config.input_dim, config.num_filters, kernel) for kernel in _KERNELS
        )
        pooled = 2 * len(_KERNELS) * config.num_filters
        self.theme = nn.Linear(num_features, config.hidden_dim, bias=False)
        self.form = nn.Embedding(len(FORMS), config.hidden_dim)
        self.hidden = nn.Linear(pooled, config.hidden_dim)
        self.logit = nn.Linear(2 * config.hidden_dim, 1)
        # Past all layers: what characters as such count for.
        self.chars = nn.Linear(num_features, 1, bias=False)
        nn.init.zeros_(self.chars.weight)
        # [V] the same as votes have it, in nats (see `training.taste`); a whole version has none.
        self.register_buffer("taste", torch.zeros(len(table)), persistent=False)
        self.dropout = nn.Dropout(config.dropout)

    def features(self, described: Tensor, form: Form) -> Tensor:
        """[B, hidden_dim] what the CNN sees in the poems.

        Args:
            described: [B, T, F] rows of the table.
            form: Of all poems.
        """
        length = form.line_lengths[0]
        grid = self.reduce(described).view(len(described), form.num_lines, length, -1)
        grid = grid + self.position_embedding[:length] + self.line_embedding[: form.num_lines, None]
        grid = self.dropout(grid).permute(0, 3, 1, 2)
        pooled: list[Tensor] = []
        for convolution in self.convolutions:
            seen = nn.functional.leaky_relu(convolution(grid), 0.1).flatten(2)
            pooled += [seen.amax(dim=2), seen.mean(dim=2)]
        hidden = self.hidden(self.dropout(torch.cat(pooled, dim=1))) + self.form.weight[FORM_IDS[form.name]]
        return nn.functional.leaky_relu(hidden, 0.1)

    def forward(self, ids: Tensor, form: Form, themes: Tensor) -> Tensor:
        """[B] logits.

        Args:
            ids: [B, T].
            form: Of all poems.
            themes: [B, K] the themes' characters, `PAD_ID` where there is none.
        """
        described = nn.functional.embedding(ids, self.table)
        features = self.dropout(self.features(described, form))
        known = (themes != PAD_ID).unsqueeze(-1)
        theme = (nn.functional.embedding(themes, self.table) * known).sum(1) / known.sum(1).clamp(min=1)
        logits = self.logit(torch.cat([features, features * self.theme(theme)], dim=1))
        # Over the root of the length: the sum of that many independent characters spreads alike in every form.
        chars = self.chars(described.sum(dim=1) / ids.shape[1] ** 0.5)
        verdicts: Tensor = (logits + chars)[:, 0] + self.liking(ids)
        return verdicts

    @torch.no_grad()
    def judge(self, ids: Tensor, form: Form, themes: Tensor) -> Tensor:
        """[B] the logits of `forward` on a CPU, of as many poems as may come, in bounded memory."""
        rows = len(ids)
        more = -rows % _JUDGED_TOGETHER
        padded = [nn.functional.pad(each, (0, 0, 0, more)).split(_JUDGED_TOGETHER) for each in (ids, themes)]
        return torch.cat([self(some, form, about) for some, about in zip(*padded, strict=True)])[:rows]

    def liking(self, ids: Tensor) -> Tensor:
        """[B] how much a voice's server likes the characters of poems, [B, T] ids: nats of the logit."""
        liked: Tensor = self.taste[ids].sum(dim=1) / ids.shape[1] ** 0.5
        return liked
