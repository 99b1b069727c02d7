"""The generator: an LSTM over the characters of a poem, fed with noise z, form, theme, plan and place.

Knows no masks and no sampling (see `sampling`) and no files. At each step the LSTM reads

- the character before, and the character above (the same place in the line before: without it an LSTM learns no
  parallelism, 對仗);
- the place: position, line, and what tone the pattern wants there, where a pattern is given;
- what the poem is to be: form, rhyme group, theme, the line's keyword (the plan) and z, summed into one vector.

An LSTM alone holds on to little of what it wrote two lines ago. So its states pass through blocks that look back at
all earlier ones (attention and a feed-forward layer, Vaswani et al. 2017; on top of an LSTM as in Merity 2019). A
block adds to what it is given, and a new one adds nothing, so that a trained generator can be given more of them.

z is also the initial state. It is learned as in a variational autoencoder (Bowman et al. 2016): a small encoder gives
q(z | poem), kept from collapsing by free bits (Kingma et al. 2016) and dropped words; see `training.pretrain`.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from poetgen import packing, prosody
from poetgen.dropout import Dropout
from poetgen.phonology import RHYME_GROUPS
from poetgen.poem import FORMS, Form
from poetgen.vocabulary import PAD_ID, START_ID, UNKNOWN_ID

FORM_IDS = {name: number for number, name in enumerate(FORMS)}
_MAX_LINES = 8
_POSITION_OFFSETS = {5: 0, 7: 5}  # a place in a line of five is not the same place in a line of seven
_NUM_POSITIONS = 12
_NUM_HEADS = 4
# What the pattern says of a place: nothing known, free, level, oblique.
_TONE_CODES = {"?": 0, "X": 1, "L": 2, "O": 3}


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """The generator's size.

    Attributes:
        num_chars: V, the vocabulary with its special ids.
        embedding_dim: E, of a character; the output layer shares the table.
        hidden_dim: H, of the LSTM.
        context_dim: C, of what the poem is to be.
        noise_dim: Z, of the noise z.
        dropout: Share of the LSTM's inputs and outputs dropped in training, 0 to 1.
        num_blocks: N, blocks of attention on top of the LSTM.
        attention_dim: A, of a block's queries, keys and values, over all heads.
        feedforward_dim: F, inside a block's feed-forward layer.
    """

    num_chars: int
    embedding_dim: int = 256
    hidden_dim: int = 640
    context_dim: int = 192
    noise_dim: int = 64
    dropout: float = 0.1
    num_blocks: int = 0
    attention_dim: int = 256
    feedforward_dim: int = 1280


@dataclass(frozen=True, slots=True)
class Conditions:
    """What B poems of one form are to be. Unknown is 0 (`PAD_ID`) throughout.

    Attributes:
        form: The form, of L lines and T characters.
        themes: [B, K] the theme's characters.
        plans: [B, L, 2] a keyword for each line.
        patterns: [B] pattern ids.
        rhymes: [B] rhyme group ids.
    """

    form: Form
    themes: Tensor
    plans: Tensor
    patterns: Tensor
    rhymes: Tensor

    def __len__(self) -> int:
        return len(self.patterns)

    def take(self, rows: Tensor | slice) -> "Conditions":
        return replace(
            self,
            themes=self.themes[rows],
            plans=self.plans[rows],
            patterns=self.patterns[rows],
            rhymes=self.rhymes[rows],
        )

    @classmethod
    def none(cls, form: Form, batch: int, device: torch.device | str = "cpu") -> "Conditions":
        """Nothing said of any of the poems."""
        zeros = torch.zeros(batch, dtype=torch.long, device=device)
        plans = torch.zeros(batch, form.num_lines, 2, dtype=torch.long, device=device)
        return cls(form, zeros[:, None], plans, zeros, zeros)


def _tone_codes() -> Tensor:
    """[4 forms, 5 patterns (0 unknown), 8 lines, 7 positions] what each pattern wants where."""
    codes = torch.zeros(len(FORMS), 1 + len(prosody.PATTERNS), _MAX_LINES, 7, dtype=torch.long)
    for name, form in FORMS.items():
        for number, pattern in enumerate(prosody.PATTERNS):
            for line, kind in enumerate(prosody.pattern_lines(pattern, form.num_lines)):
                for place, wanted in enumerate(
                    zip(*prosody.line_templates(kind, form.line_lengths[line]), strict=True)
                ):
                    # Where the templates of a line differ, either tone may come.
                    code = wanted[0] if len(set(wanted)) == 1 else "X"
                    codes[FORM_IDS[name], number + 1, line, place] = _TONE_CODES[code]
    return codes


def _through(layer: nn.Linear, inputs: Tensor) -> Tensor:
    return packing.linear(inputs, layer.weight, layer.bias)


class Block(nn.Module):
    """Attention to the places written so far, then a feed-forward layer; what comes out is added to what came in.

    Which place a head looks at depends on the states there and on a learned bias for each head, distance in lines and
    pair of positions: the character above is one line up, at the same position.

    Args:
        config: H, A, F and the dropout.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        h, a, f = config.hidden_dim, config.attention_dim, config.feedforward_dim
        self.look_norm, self.think_norm = nn.RMSNorm(h), nn.RMSNorm(h)
        self.look, self.look_output = nn.Linear(h, 3 * a, bias=False), nn.Linear(a, h, bias=False)
        self.think, self.think_output = nn.Linear(h, f), nn.Linear(f, h)
        self.bias = nn.Parameter(torch.zeros(_NUM_HEADS, _MAX_LINES, _NUM_POSITIONS, _NUM_POSITIONS))
        self.dropout = Dropout(config.dropout)
        for layer in (self.look_output, self.think_output):
            nn.init.zeros_(layer.weight)
        nn.init.zeros_(self.think_output.bias)

    def forward(self, states: Tensor, bias: Tensor, past: "Past | None" = None) -> Tensor:
        """[B, T, H] the states with what looking back added.

        Args:
            states: [B, T, H] of a form's places: all of them, or (T = 1) of the one that follows `past`.
            bias: [heads, T, places seen] as `place_bias` gives it, for these places.
            past: What the block saw of the places before; this one is added to it.
        """
        batch, places, _ = states.shape
        query, key, value = _through(self.look, self.look_norm(states)).chunk(3, dim=-1)
        if past is not None:
            key, value = past.add(key, value)
        query, key, value = (
            part.view(batch, part.shape[1], _NUM_HEADS, -1).transpose(1, 2) for part in (query, key, value)
        )
        looked = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        states = states + self.dropout(_through(self.look_output, looked.transpose(1, 2).reshape(batch, places, -1)))
        inner = nn.functional.gelu(_through(self.think, self.think_norm(states)))
        thought: Tensor = self.dropout(_through(self.think_output, inner))
        return states + thought

    def place_bias(self, form: Form) -> Tensor:
        """[heads, T, T] what is added to a head's scores; minus infinity for places that are still to come."""
        length = form.line_lengths[0]
        places = torch.arange(form.num_chars, device=self.bias.device)
        lines, positions = places // length, places % length + _POSITION_OFFSETS[length]
        distances = (lines[:, None] - lines).clamp(min=0)
        bias = self.bias[:, distances, positions[:, None], positions]
        return bias.masked_fill(places > places[:, None], -torch.inf)


@dataclass(slots=True)
class Past:
    """What a block has seen of B poems half written.

    Attributes:
        keys, values: [B, T, A], filled up to `length`.
        bias: [heads, T, T] as `Block.place_bias` gives it.
        length: Places seen.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor
    length: int = 0

    def add(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """(keys, values) of all places seen, with the [B, 1, A] of one more."""
        self.keys[:, self.length] = key[:, 0]
        self.values[:, self.length] = value[:, 0]
        self.length += 1
        return self.keys[:, : self.length], self.values[:, : self.length]


@dataclass(slots=True)
class State:
    """What the generator knows of B poems half written.

    Attributes:
        hidden, cell: [B, H], of the LSTM.
        pasts: Of each block.
    """

    hidden: Tensor
    cell: Tensor
    pasts: list[Past]

    def take(self, rows: Tensor) -> "State":
        pasts = [replace(past, keys=past.keys[rows], values=past.values[rows]) for past in self.pasts]
        return State(self.hidden[rows], self.cell[rows], pasts)


class Generator(nn.Module):
    """p(poem | z, conditions), and the encoder q(z | poem) that it was trained beside."""

    tone_codes: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        e, h, c, z = config.embedding_dim, config.hidden_dim, config.context_dim, config.noise_dim
        self.embedding = nn.Embedding(config.num_chars, e)
        nn.init.normal_(self.embedding.weight, std=1 / math.sqrt(e))
        self.position_embedding = nn.Embedding(_NUM_POSITIONS, c)
        self.line_embedding = nn.Embedding(_MAX_LINES, c)
        self.tone_embedding = nn.Embedding(len(_TONE_CODES), c)
        self.form_embedding = nn.Embedding(len(FORMS), c)
        self.rhyme_embedding = nn.Embedding(1 + len(RHYME_GROUPS), c)
        for table in (
            self.position_embedding,
            self.line_embedding,
            self.tone_embedding,
            self.form_embedding,
            self.rhyme_embedding,
        ):
            nn.init.normal_(table.weight, std=0.1)
        self.theme_projection = nn.Linear(e, c)
        self.plan_projection = nn.Linear(2 * e, c)
        self.noise_projection = nn.Linear(z, c, bias=False)
        self.initial_state = nn.Linear(z, 2 * h)
        self.lstm = nn.LSTM(2 * e + c, h)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_blocks))
        self.output = nn.Linear(h, e)
        self.output_bias = nn.Parameter(torch.zeros(config.num_chars))
        self.dropout = Dropout(config.dropout)
        self.encoder = nn.Conv1d(e, e, 3, padding=1)
        self.posterior = nn.Linear(2 * e, 2 * z)
        self.register_buffer("tone_codes", _tone_codes(), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.output_bias.device

    def context(self, conditions: Conditions, noise: Tensor) -> Tensor:
        """[B, L, P, C] what the poem is to be, for each place (P positions a line)."""
        form = conditions.form
        length = form.line_lengths[0]
        lines = torch.arange(form.num_lines, device=self.device)
        positions = torch.arange(length, device=self.device) + _POSITION_OFFSETS[length]
        theme_known = (conditions.themes != PAD_ID).unsqueeze(-1)
        theme = (self.embedding(conditions.themes) * theme_known).sum(1) / theme_known.sum(1).clamp(min=1)
        plan_known = (conditions.plans != PAD_ID).unsqueeze(-1)
        plan = (self.embedding(conditions.plans) * plan_known).flatten(2)
        poem = (
            self.form_embedding.weight[FORM_IDS[form.name]]
            + self.rhyme_embedding(conditions.rhymes)
            + _through(self.noise_projection, noise)
            # A theme or plan that is not given adds nothing, not even a bias.
            + _through(self.theme_projection, theme) * theme_known.any(1)
        )
        line = poem[:, None] + self.line_embedding(lines) + _through(self.plan_projection, plan) * plan_known.any(2)
        codes = self.tone_codes[FORM_IDS[form.name], conditions.patterns][:, : form.num_lines, :length]
        context: Tensor = line[:, :, None] + self.position_embedding(positions) + self.tone_embedding(codes)
        return context

    def start(self, noise: Tensor, form: Form) -> State:
        """What is known before the first character of B poems; noise is [B, Z]."""
        hidden, cell = self._initial_state(noise)
        shape = len(noise), form.num_chars, self.config.attention_dim
        pasts = [Past(noise.new_zeros(shape), noise.new_zeros(shape), block.place_bias(form)) for block in self._blocks]
        return State(hidden, cell, pasts)

    def step(self, inputs: Tensor, state: State) -> Tensor:
        """[B, H] what is known before the next character: `states`, one place a call.

        Args:
            inputs: [B, 2E + C] of this place.
            state: As `start` made it and the steps before left it; moves on.
        """
        # As torch.lstm_cell does it, with packed products.
        weight_ih, weight_hh, bias_ih, bias_hh = self.lstm.all_weights[0]
        gates = packing.linear(inputs, weight_ih, bias_ih) + packing.linear(state.hidden, weight_hh, bias_hh)
        admit, keep, new, show = gates.chunk(4, dim=-1)
        state.cell = torch.sigmoid(keep) * state.cell + torch.sigmoid(admit) * torch.tanh(new)
        state.hidden = torch.sigmoid(show) * torch.tanh(state.cell)
        states = state.hidden[:, None]
        for block, past in zip(self._blocks, state.pasts, strict=True):
            states = block(states, past.bias[:, past.length : past.length + 1, : past.length + 1], past)
        known: Tensor = states[:, 0]
        return known

    @property
    def products(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of the matrix products that one character takes, the large ones."""
        weights = [*self.lstm.parameters(), *self.blocks.parameters(), self.output.weight, self.embedding.weight]
        return [(weight.shape[1], weight.shape[0]) for weight in weights if weight.dim() == 2]

    def _initial_state(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        hidden, cell = _through(self.initial_state, noise).chunk(2, dim=-1)
        return torch.tanh(hidden), cell.contiguous()  # cuDNN takes no other

    @property
    def _blocks(self) -> Iterator[Block]:
        return (block for block in self.blocks if isinstance(block, Block))

    def states(self, ids: Tensor, conditions: Conditions, noise: Tensor, word_dropout: float = 0.0) -> Tensor:
        """[B, T, H] what is known before each character of the poems.

        Args:
            ids: [B, T] the poems.
            conditions: Of B poems.
            noise: [B, Z].
            word_dropout: Share of the characters before that are hidden, 0 to 1.
        """
        batch, num_chars = ids.shape
        length = conditions.form.line_lengths[0]
        before = torch.cat([ids.new_full((batch, 1), START_ID), ids[:, :-1]], dim=1)
        above = torch.cat([ids.new_full((batch, length), START_ID), ids[:, :-length]], dim=1)
        if word_dropout > 0:
            before = before.masked_fill(torch.rand_like(before, dtype=torch.float32) < word_dropout, UNKNOWN_ID)
        context = self.context(conditions, noise).reshape(batch, num_chars, -1)
        inputs = torch.cat([self.embedding(before), self.embedding(above), context], dim=-1)
        hidden, cell = self._initial_state(noise)
        read, _ = self.lstm(self.dropout(inputs).transpose(0, 1), (hidden[None], cell[None]))
        # What the blocks add is summed in full precision, autocast or not.
        states: Tensor = read.transpose(0, 1).float()
        for block in self._blocks:
            states = block(states, block.place_bias(conditions.form))
        return states

    def narrowed(self, states: Tensor) -> Tensor:
        """[..., E] of [..., H] states what the characters are compared with."""
        features: Tensor = self.dropout(_through(self.output, states))
        return features

    def features(self, ids: Tensor, conditions: Conditions, noise: Tensor, word_dropout: float = 0.0) -> Tensor:
        """[B, T, E] the `states`, narrowed."""
        return self.narrowed(self.states(ids, conditions, noise, word_dropout))

    def logits(self, features: Tensor) -> Tensor:
        """[..., V] of the next character."""
        return packing.linear(features, self.embedding.weight, self.output_bias)

    def forward(self, ids: Tensor, conditions: Conditions, noise: Tensor, word_dropout: float = 0.0) -> Tensor:
        """[B, T, V] logits of each character of the poems, given those before it."""
        return self.logits(self.features(ids, conditions, noise, word_dropout))

    def encode(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, log variance), each [B, Z], of q(z | poem)."""
        embedded = self.embedding(ids).detach()
        read = torch.relu(self.encoder(embedded.transpose(1, 2)))
        pooled = torch.cat([read.mean(dim=2), read.amax(dim=2)], dim=1)
        mean, log_variance = self.posterior(pooled).chunk(2, dim=-1)
        return mean, log_variance.clamp(-8, 2)


def pad_themes(themes: Sequence[Sequence[int]], device: torch.device | str = "cpu") -> Tensor:
    """[B, K] themes of any length, padded."""
    longest = max(1, max(map(len, themes), default=1))
    rows = [[*theme, *[PAD_ID] * (longest - len(theme))] for theme in themes]
    return torch.tensor(rows, dtype=torch.long, device=device)
