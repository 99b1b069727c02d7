"""The value head: what readers are expected to make of a poem, a character at a time, from what the generator knows.

Knows no marks and no decoding. A reward model (Stiennon et al. 2020) on the generator's states with one hidden layer,
and with a deviation: a poem's value is a mean over its characters, so that a line, or a poem half written, has one.
"""

import torch
from torch import Tensor, nn

from poetgen import packing

_NUM_TOLD = 2  # beside states and characters: how likely the character was, and the same where it ends a line


class ValueHead(nn.Module):
    """A function of one place in a poem.

    Args:
        state_dim: H, of the generator's states.
        embedding_dim: E, of its characters.
        hidden_dim: K.
        num_outputs: O; more than one is for training only.
        dropout: Share of states and hidden units dropped in training, 0 to 1.
    """

    def __init__(
        self, state_dim: int, embedding_dim: int, hidden_dim: int, num_outputs: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self._dims = state_dim, embedding_dim
        inputs = state_dim + embedding_dim + _NUM_TOLD
        self.hidden = nn.Linear(inputs, hidden_dim)
        self.output = nn.Linear(hidden_dim, num_outputs, bias=False)
        self.direct = nn.Linear(inputs, num_outputs, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, embedded: Tensor, log_probs: Tensor, last: Tensor | bool) -> Tensor:
        """[..., O] in standard deviations of readers' marks; only differences mean something.

        Args:
            states: [..., H] what the generator knew before each character.
            embedded: [..., E] the characters that came.
            log_probs: [...] how likely each was, nats.
            last: [...] or for all, whether it ends its line.
        """
        told = torch.stack([log_probs, log_probs * last], dim=-1)
        inputs = torch.cat([self.dropout(states), embedded, told], dim=-1)
        hidden = nn.functional.gelu(packing.linear(inputs, self.hidden.weight, self.hidden.bias))
        found: Tensor = packing.linear(self.dropout(hidden), self.output.weight)
        return found + packing.linear(inputs, self.direct.weight)

    def table(self, embedding: Tensor) -> Tensor:
        """[V, K + O] what each character of [V, E] adds in the hidden layer, and directly: for `of_each`."""
        start, stop = self._dims[0], sum(self._dims)
        return embedding @ self._columns(start, stop).T

    def of_each(self, states: Tensor, table: Tensor, chars: Tensor, log_probs: Tensor, last: bool) -> Tensor:
        """[B, N, O] what `forward` says of each of N characters that may come, for a fraction of the work.

        Args:
            states: [B, H].
            table: As `table` gives it.
            chars: [B, N] ids.
            log_probs: [B, N].
            last: Whether they end their lines.
        """
        known = nn.functional.pad(states, (0, self.hidden.in_features - states.shape[1]))
        known = torch.cat([packing.linear(known, layer.weight, layer.bias) for layer in (self.hidden, self.direct)], -1)
        likely, likely_last = self._columns(-_NUM_TOLD, None).unbind(dim=1)
        told = likely + last * likely_last
        found = known[:, None] + table[chars] + log_probs[..., None] * told
        hidden, direct = found.split([self.hidden.out_features, self.direct.out_features], dim=-1)
        # Not a product of matrices, whose bits would depend on how many rows there are.
        each: Tensor = (nn.functional.gelu(hidden)[..., None, :] * self.output.weight).sum(dim=-1) + direct
        return each

    def _columns(self, start: int, stop: int | None) -> Tensor:
        """[K + O, ...] what both layers make of some of the inputs."""
        return torch.cat([layer.weight[:, start:stop] for layer in (self.hidden, self.direct)])

    def weighted(self, shares: Tensor) -> "ValueHead":
        """A head of one output, the sum of this one's outputs times [O] shares."""
        head = ValueHead(*self._dims, self.hidden.out_features)
        with torch.no_grad():
            head.hidden.load_state_dict(self.hidden.state_dict())
            head.output.weight.copy_(shares[None] @ self.output.weight)
            head.direct.weight.copy_(shares[None] @ self.direct.weight)
        return head
