"""The discriminator: one CNN over the grid of lines and positions, pooled, then fully connected layers, one logit.

Knows no training. It reads characters through the generator's embedding table, which has seen the whole corpus and is
held fixed, so that a few thousand fakes cannot be learned by heart character by character.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from poetgen.generator import FORM_IDS
from poetgen.poem import FORMS, Form
from poetgen.vocabulary import PAD_ID

# (lines, positions) that a filter sees at once: words, and what stands above one another.
_KERNELS = ((1, 1), (1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3))
_MAX_LINES, _MAX_POSITIONS = 8, 7


@dataclass(frozen=True, slots=True)
class DiscriminatorConfig:
    """The discriminator's size.

    Attributes:
        embedding_dim: E, of the generator's table.
        input_dim: What a character is reduced to.
        num_filters: Of each kernel.
        hidden_dim: Of the fully connected layer.
        dropout: In training, 0 to 1.
    """

    embedding_dim: int
    input_dim: int = 96
    num_filters: int = 64
    hidden_dim: int = 192
    dropout: float = 0.25


class Discriminator(nn.Module):
    """log D(x) / (1 - D(x)), how much more like a person's than the generator's a poem is, given its theme."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        self.reduce = nn.Linear(config.embedding_dim, config.input_dim)
        self.position_embedding = nn.Parameter(torch.zeros(_MAX_POSITIONS, config.input_dim))
        self.line_embedding = nn.Parameter(torch.zeros(_MAX_LINES, config.input_dim))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(config.input_dim, config.num_filters, kernel) for kernel in _KERNELS
        )
        pooled = 2 * len(_KERNELS) * config.num_filters
        self.theme = nn.Linear(config.embedding_dim, config.hidden_dim, bias=False)
        self.form = nn.Embedding(len(FORMS), config.hidden_dim)
        self.hidden = nn.Linear(pooled, config.hidden_dim)
        self.logit = nn.Linear(2 * config.hidden_dim, 1)
        self.dropout = nn.Dropout(config.dropout)

    def features(self, ids: Tensor, form: Form, table: Tensor) -> Tensor:
        """[B, hidden_dim] what the CNN sees in the poems.

        Args:
            ids: [B, T].
            form: Of all of them.
            table: [V, E] the generator's embedding.
        """
        length = form.line_lengths[0]
        grid = self.reduce(nn.functional.embedding(ids, table)).view(len(ids), form.num_lines, length, -1)
        grid = grid + self.position_embedding[:length] + self.line_embedding[: form.num_lines, None]
        grid = self.dropout(grid).permute(0, 3, 1, 2)
        pooled: list[Tensor] = []
        for convolution in self.convolutions:
            seen = nn.functional.leaky_relu(convolution(grid), 0.1).flatten(2)
            pooled += [seen.amax(dim=2), seen.mean(dim=2)]
        hidden = self.hidden(self.dropout(torch.cat(pooled, dim=1))) + self.form.weight[FORM_IDS[form.name]]
        return nn.functional.leaky_relu(hidden, 0.1)

    def forward(self, ids: Tensor, form: Form, themes: Tensor, table: Tensor) -> Tensor:
        """[B] logits.

        Args:
            ids: [B, T].
            form: Of all of them.
            themes: [B, K] the themes' characters, `PAD_ID` where there is none.
            table: [V, E] the generator's embedding.
        """
        features = self.dropout(self.features(ids, form, table))
        known = (themes != PAD_ID).unsqueeze(-1)
        theme = (nn.functional.embedding(themes, table) * known).sum(1) / known.sum(1).clamp(min=1)
        logits: Tensor = self.logit(torch.cat([features, features * self.theme(theme)], dim=1))
        return logits[:, 0]
