"""The one decoder, batched, for training and inference: form, tones, rhyme and forced characters by masks.

Knows no requests, no files and no discriminator. All chance comes in with the drafts, drawn from their seeds, and
nothing a row computes depends on the other rows, so a draft gives the same poem in any batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from poetgen import prosody, script
from poetgen.dataset import PATTERN_IDS, RHYME_IDS
from poetgen.generator import Conditions, Generator, pad_themes
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.planner import Ids, Planner
from poetgen.poem import Form
from poetgen.vocabulary import START_ID, UNKNOWN_ID, Vocabulary

# Matrix products give a row the same bits in any batch of at least four rows; smaller ones take another path.
_MIN_ROWS = 8
MAX_ROWS = 256
# Of each group of candidates so many are written to the end, at least.
_LEAST_KEPT = 8
# Five rhymes at most in eight lines, none twice, and one to spare.
MIN_RHYME_CHARS = 6


@dataclass(frozen=True, slots=True)
class Draft:
    """All that decides one poem.

    Attributes:
        form: The form, of L lines and T characters.
        theme: Ids of the theme's characters; may be empty.
        plan: [L, 2] a keyword for each line.
        pattern: The tonal pattern's name.
        rhyme: The rhyme group's name.
        noise: [Z] z.
        uniforms: [T] numbers in [0, 1), one for each character.
        forced: Place in the poem (0 to T - 1) -> id of the character that must stand there.
        temperature: Of the characters' distribution, > 0.
    """

    form: Form
    theme: Sequence[int]
    plan: Ids
    pattern: str
    rhyme: str
    noise: npt.NDArray[np.float32]
    uniforms: npt.NDArray[np.float64]
    forced: Mapping[int, int] = field(default_factory=dict)
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Poems that the generator drew.

    Attributes:
        rows: [B] which of the drafts they are, in order.
        ids: [B, T] the characters.
        log_probs: [B] mean log p of a character, nats, under the generator itself: no mask, no temperature.
        conditions: What they were to be.
        noise: [B, Z].
        masks: [B, T, V] which characters were allowed where; only if asked for.
    """

    rows: Tensor
    ids: Tensor
    log_probs: Tensor
    conditions: Conditions
    noise: Tensor
    masks: Tensor | None


class Constraints:
    """Which characters may stand where, by what the phonology is sure of.

    Args:
        vocabulary: V characters, special ids included.
        phonology: What they sound like.
        planner: Whose keywords say which characters people double, and whose counts how common each is.
        device: Where the tables live.
        lift: How much rare characters are lifted: p(c) becomes proportional to p(c)^(1/temperature) / share(c)^lift.
            What a low temperature makes likelier is also, everywhere, what is common; this takes that part back
            (as Li et al. 2016 do, who subtract the log probability that a reply has without its question).
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        phonology: Phonology,
        planner: Planner,
        device: torch.device | str = "cpu",
        *,
        lift: float = 0.0,
    ) -> None:
        size = len(vocabulary)
        counts = torch.from_numpy(planner.char_counts).clamp(min=1)
        self.log_shares = (counts / counts.sum()).log().to(device)
        self.lifts = -lift * self.log_shares
        # Rows: free, level, oblique; the special ids are never allowed.
        tones = torch.zeros(3, size, dtype=torch.bool)
        rhymes = torch.zeros(1 + len(RHYME_GROUPS), size, dtype=torch.bool)
        for number, char in enumerate(vocabulary.chars, start=UNKNOWN_ID + 1):
            if script.fold(char) != char:
                continue  # a print variant, in a vocabulary older than the table that folds it
            sure = phonology.sure_tones(char)
            tones[:, number] = torch.tensor([True, "level" in sure, "oblique" in sure])
            for group in phonology.sure_rhymes(char):
                rhymes[RHYME_IDS[group], number] = True
        self.tones = tones.to(device)
        self.rhymes = rhymes.to(device)
        doubled = planner.keywords[planner.keywords[:, 0] == planner.keywords[:, 1], 0]
        self.doubles = torch.zeros(size, dtype=torch.bool, device=device)
        self.doubles[torch.from_numpy(doubled).long()] = True

    def usable_rhymes(self, least: int) -> tuple[str, ...]:
        """The rhyme groups with at least `least` sure characters."""
        sizes = self.rhymes.sum(dim=1).tolist()
        return tuple(group for group in RHYME_GROUPS if sizes[RHYME_IDS[group]] >= least)


_TEMPLATE_ROWS = {"X": 0, "L": 1, "O": 2}


def template_codes(form: Form, patterns: Sequence[str]) -> Tensor:
    """[B, L, 2, P] rows of `Constraints.tones`: the two templates of each line (one of them twice, if it has one)."""
    rows = []
    for pattern in patterns:
        kinds = prosody.pattern_lines(pattern, form.num_lines)
        templates = [prosody.line_templates(kind, form.line_lengths[line]) for line, kind in enumerate(kinds)]
        rows.append(
            [[[_TEMPLATE_ROWS[code] for code in pair[number % len(pair)]] for number in range(2)] for pair in templates]
        )
    return torch.tensor(rows)


def conditions_of_drafts(drafts: Sequence[Draft], device: torch.device) -> Conditions:
    """The conditions of drafts that share one form."""
    return Conditions(
        drafts[0].form,
        pad_themes([draft.theme for draft in drafts], device),
        torch.from_numpy(np.stack([draft.plan for draft in drafts])).long().to(device),
        torch.tensor([PATTERN_IDS[draft.pattern] for draft in drafts], device=device),
        torch.tensor([RHYME_IDS[draft.rhyme] for draft in drafts], device=device),
    )


@torch.no_grad()
def sample(
    generator: Generator,
    constraints: Constraints,
    drafts: Sequence[Draft],
    *,
    groups: Sequence[int] | None = None,
    keep_masks: bool = False,
) -> Sample:
    """Draw one poem for each draft, or for the likelier ones of each group.

    Args:
        generator: The model, in evaluation mode for inference.
        constraints: Made for its vocabulary.
        drafts: At most `MAX_ROWS`, all of one form.
        groups: Which drafts compete, equal numbers for those that do. After each couplet the less likely half of a
            group is given up, down to eight: what begins badly is not chosen in the end, and need not be written.
        keep_masks: Return the masks, to train under them; not together with groups.
    """
    count = len(drafts)
    if not 0 < count <= MAX_ROWS or len({draft.form.name for draft in drafts}) != 1:
        raise ValueError(f"sample needs 1 to {MAX_ROWS} drafts of one form")
    if groups is not None and keep_masks:
        raise ValueError("sample keeps masks of whole batches only")
    drafts = [*drafts, *[drafts[-1]] * (_MIN_ROWS - count)]
    device = generator.device
    form = drafts[0].form
    conditions = conditions_of_drafts(drafts, device)
    noise = torch.from_numpy(np.stack([draft.noise for draft in drafts])).float().to(device)
    decoder = _Decoder(generator, constraints, conditions, noise, drafts)
    masks = []
    rows = torch.arange(len(drafts), device=device)
    for line in range(form.num_lines):
        if groups is not None and line and line % 2 == 0 and len(rows) > _MIN_ROWS:
            kept = _better_halves(decoder.log_probs, [groups[row] for row in rows.tolist()])
            decoder.keep(kept)
            rows, conditions, noise = rows[kept], conditions.take(kept), noise[kept]
        for position in range(form.line_lengths[line]):
            mask = decoder.step(line, position)
            if keep_masks:
                masks.append(mask[:count])
    count = min(count, len(rows))
    return Sample(
        rows[:count],
        decoder.ids[:count],
        decoder.log_probs[:count] / form.num_chars,
        conditions.take(slice(count)),
        noise[:count],
        torch.stack(masks, dim=1) if masks else None,
    )


def _better_halves(log_probs: Tensor, groups: Sequence[int]) -> Tensor:
    """The places of each group's likelier half, `_LEAST_KEPT` at least, in order.

    Args:
        log_probs: [B] so far.
        groups: B of them.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    scores = log_probs.tolist()
    kept: list[int] = []
    for places in members.values():
        ranked = sorted(places, key=lambda place: -scores[place])
        kept += ranked[: max(len(places) // 2, _LEAST_KEPT)]
    return torch.tensor(sorted(kept), device=log_probs.device)


class _Decoder:
    """The state of a batch half written; all that is told per poem can be narrowed to some of them."""

    _PER_POEM = (
        "_context", "_codes", "_rhymes", "_rhyming", "_uniforms", "_temperatures", "_forced", "_alive", "_used_rhymes",
        "_used", "ids", "log_probs",
    )  # fmt: skip

    def __init__(
        self,
        generator: Generator,
        constraints: Constraints,
        conditions: Conditions,
        noise: Tensor,
        drafts: Sequence[Draft],
    ) -> None:
        form = conditions.form
        device = generator.device
        batch, num_chars = len(drafts), form.num_chars
        self._generator = generator
        self._constraints = constraints
        self._length = form.line_lengths[0]
        self._rows = torch.arange(batch, device=device)
        self._context = generator.context(conditions, noise)
        self._state = generator.start(noise, form)
        self._codes = template_codes(form, [draft.pattern for draft in drafts]).to(device)
        self._rhymes = conditions.rhymes
        self._rhyming = self._is_rhyming(form, drafts).to(device)
        self._uniforms = torch.from_numpy(np.stack([draft.uniforms for draft in drafts])).to(device)
        self._temperatures = torch.tensor([draft.temperature for draft in drafts], device=device)[:, None]
        forced = torch.full((batch, num_chars), -1, dtype=torch.long)
        for row, draft in enumerate(drafts):
            for place, number in draft.forced.items():
                forced[row, place] = number
        self._forced = forced.to(device)
        self._alive = torch.ones(batch, 2, dtype=torch.bool, device=device)
        vocabulary_size = generator.config.num_chars
        self._used_rhymes = torch.zeros(batch, vocabulary_size, dtype=torch.bool, device=device)
        self._used = torch.zeros(batch, vocabulary_size, dtype=torch.bool, device=device)
        # Characters forced further on are spoken for.
        for place in range(num_chars):
            known = self._forced[:, place] > UNKNOWN_ID
            self._used[self._rows[known], self._forced[known, place]] = True
        self.ids = torch.zeros(batch, num_chars, dtype=torch.long, device=device)
        self.log_probs = torch.zeros(batch, device=device)

    def keep(self, places: Tensor) -> None:
        """Go on with the poems at these places only."""
        for name in self._PER_POEM:
            setattr(self, name, getattr(self, name)[places])
        self._state = self._state.take(places)
        self._rows = torch.arange(len(places), device=places.device)

    @staticmethod
    def _is_rhyming(form: Form, drafts: Sequence[Draft]) -> Tensor:
        """[B, L] whether the line rhymes."""
        rows = [prosody.rhyming_lines(draft.pattern, form.num_lines) for draft in drafts]
        return torch.tensor([[line in rhyming for line in range(form.num_lines)] for rhyming in rows])

    def _mask(self, line: int, position: int) -> Tensor:
        """[B, V] what may stand here."""
        tones = self._constraints.tones
        if position == 0:
            self._alive.fill_(True)
        codes = self._codes[:, line, :, position]
        allowed = (tones[codes[:, 0]] & self._alive[:, :1]) | (tones[codes[:, 1]] & self._alive[:, 1:])
        if position == self._length - 1:
            rhyming = self._rhyming[:, line]
            unused = self._constraints.rhymes[self._rhymes] & ~self._used_rhymes
            allowed = torch.where(rhyming[:, None], allowed & unused, allowed)
        # No character twice, but for a doubled one (悠悠). If nothing else is left, rather twice; but never as a rhyme.
        fresh = allowed & ~self._used
        return torch.where(fresh.any(dim=1, keepdim=True), fresh, allowed)

    def step(self, line: int, position: int) -> Tensor:
        """Write the next character of every poem; returns the [B, V] mask it was drawn under."""
        place = line * self._length + position
        generator = self._generator
        before = self.ids[:, place - 1] if place else torch.full_like(self._rows, START_ID)
        above = self.ids[:, place - self._length] if line else torch.full_like(self._rows, START_ID)
        inputs = torch.cat(
            [generator.embedding(before), generator.embedding(above), self._context[:, line, position]], dim=-1
        )
        logits = generator.logits(generator.step(inputs, self._state))
        mask = self._mask(line, position)
        tempered = (logits / self._temperatures + self._constraints.lifts).masked_fill(~mask, -torch.inf)
        # The inverse of the distribution function: one number a character decides, whatever the batch.
        cumulative = torch.softmax(tempered, dim=-1).double().cumsum(dim=-1)
        targets = self._uniforms[:, place : place + 1] * cumulative[:, -1:]
        chosen = torch.searchsorted(cumulative, targets, right=True)[:, 0].clamp(max=cumulative.shape[1] - 1)
        forced = self._forced[:, place]
        chosen = torch.where(forced >= 0, forced, chosen)
        self.ids[:, place] = chosen
        self.log_probs += logits.gather(1, chosen[:, None])[:, 0] - torch.logsumexp(logits, dim=-1)
        codes = self._codes[:, line, :, position]
        fits = torch.stack([self._constraints.tones[codes[:, number], chosen] for number in range(2)], dim=1)
        alive = self._alive & fits
        # A forced character may fit neither template; then the line goes on as if it had not been looked at.
        self._alive = torch.where(alive.any(dim=1, keepdim=True), alive, self._alive)
        # Only a character just written may come again, once, in its own line, if people double it.
        if place:
            self._used.scatter_(1, self.ids[:, place - 1 : place], True)
        may_double = self._constraints.doubles[chosen] & (chosen != before) & (position < self._length - 1)
        self._used[self._rows, chosen] |= ~may_double
        if position == self._length - 1:
            self._used_rhymes[self._rows, chosen] = True
        return mask
