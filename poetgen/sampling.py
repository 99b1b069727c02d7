"""The one decoder, batched, for training and inference: form, tones, rhyme and forced characters by masks.

Knows no requests, no files and no discriminator. All chance comes in with the drafts, drawn from their seeds, and
nothing a row computes depends on the other rows, so a draft gives the same poem in any batch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from poetgen import packing, prosody, script
from poetgen.dataset import PATTERN_IDS, RHYME_IDS
from poetgen.generator import Conditions, Generator, pad_themes
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.planner import Ids, Planner
from poetgen.poem import Form
from poetgen.seeds import WAYS
from poetgen.tails import LENGTH as TAIL_LENGTH
from poetgen.tails import Tails
from poetgen.value import ValueHead
from poetgen.vocabulary import START_ID, UNKNOWN_ID, Vocabulary

MAX_ROWS = 256
# After each line the best so many of a group of candidates go on, each in every way there is.
_KEPT = 8
# What a standard deviation of readers' marks counts for in that.
_MARK_WEIGHT = 1.5
# What it counts for, in nats, in the drawing of each of so many likeliest characters; others do not come.
_GUIDANCE, _NUM_GUIDED = 1.0, 48
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
        uniforms: [W, T] numbers in [0, 1), one for each character and each of W ways to write a line.
        ways: [L] which way each line is written: a row of `uniforms`.
        is_open: Whether a search may choose other ways.
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
    ways: Sequence[int]
    is_open: bool = False
    forced: Mapping[int, int] = field(default_factory=dict)
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Poems that the generator drew.

    Attributes:
        rows: [B] which of the drafts they are.
        ways: [B, L] which way each line was written.
        ids: [B, T] the characters.
        log_probs: [B] mean log p of a character, nats, under the generator itself: no mask, no temperature.
        worths: [B] what the choice among candidates goes by, mean of a character: the gains, and what readers are
            expected to make of it. Without a value head, log p counts instead, with each line's last character twice
            (there rhyme and tone leave least choice, and lines go wrong).
        conditions: What they were to be.
        noise: [B, Z].
        masks: [B, T, V] which characters were allowed where; only if asked for.
    """

    rows: Tensor
    ways: Tensor
    ids: Tensor
    log_probs: Tensor
    worths: Tensor
    conditions: Conditions
    noise: Tensor
    masks: Tensor | None


class Constraints:
    """Which characters may stand where, by what the phonology is sure of.

    Args:
        vocabulary: V characters, special ids included.
        phonology: What they sound like.
        planner: Whose keywords say which characters people double, and whose counts how common each is.
        tails: How people's lines end. Such ends are made likelier.
        device: Where the tables live.
        lift: How much rare characters are lifted: p(c) becomes proportional to p(c)^(1/temperature) / share(c)^lift.
            What a low temperature makes likelier is also, everywhere, what is common; this takes that part back
            (as Li et al. 2016 do, who subtract the log probability that a reply has without its question).
        lifts: [V] how much each character is lifted instead, nats.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        phonology: Phonology,
        planner: Planner,
        tails: Tails,
        device: torch.device | str = "cpu",
        *,
        lift: float = 0.0,
        lifts: Tensor | None = None,
    ) -> None:
        size = len(vocabulary)
        counts = torch.from_numpy(planner.char_counts).clamp(min=1)
        self.lifts = (-lift * (counts / counts.sum()).log() if lifts is None else lifts).to(device)
        # Rows: free, level, oblique; the special ids are never allowed.
        tones = torch.zeros(3, size, dtype=torch.bool)
        for number, char in _writable(vocabulary):
            sure = phonology.sure_tones(char)
            tones[:, number] = torch.tensor([True, "level" in sure, "oblique" in sure])
        self.tones = tones.to(device)
        self.rhymes = torch.from_numpy(sure_rhymes(vocabulary, phonology)).to(device)
        # What is added to the logits, for each set of tones that a place may take; the last: either, but a sure one.
        allowed = torch.cat([tones, tones[1:].any(dim=0, keepdim=True)])
        self.biases = self.lifts.expand(len(allowed), -1).masked_fill(~allowed.to(device), -torch.inf)
        doubled = planner.keywords[planner.keywords[:, 0] == planner.keywords[:, 1], 0]
        self.doubles = torch.zeros(size, dtype=torch.bool, device=device)
        self.doubles[torch.from_numpy(doubled).long()] = True
        # Which characters may end a line: those of a set of tones, or those of a rhyme group.
        self.ends = torch.cat([allowed.to(device), self.rhymes])
        self.tails = torch.from_numpy(tails.ids).to(device)
        self.tail_starts = torch.searchsorted(self.tails[:, 0].contiguous(), torch.arange(size + 1, device=device))
        # [tones of the second, ends, V] whether a tail so made begins with the character.
        self.tail_firsts = torch.zeros(len(allowed), len(self.ends), size, dtype=torch.bool, device=device)
        for end, lasts in enumerate(self.ends):
            ending = self.tails[lasts[self.tails[:, 2]]]
            for tones_allowed, seconds in enumerate(allowed.to(device)):
                self.tail_firsts[tones_allowed, end, ending[seconds[ending[:, 1]], 0]] = True

    def usable_rhymes(self, least: int) -> tuple[str, ...]:
        """The rhyme groups with at least `least` sure characters."""
        sizes = self.rhymes.sum(dim=1).tolist()
        return tuple(group for group in RHYME_GROUPS if sizes[RHYME_IDS[group]] >= least)


def _writable(vocabulary: Vocabulary) -> Iterator[tuple[int, str]]:
    """(id, character) of all but print variants, which a vocabulary older than the table that folds them may hold."""
    for number, char in enumerate(vocabulary.chars, start=UNKNOWN_ID + 1):
        if script.fold(char) == char:
            yield number, char


def sure_rhymes(vocabulary: Vocabulary, phonology: Phonology) -> npt.NDArray[np.bool_]:
    """[1 + groups, V] which characters surely rhyme in which group (numbered as rhyme ids are: from 1)."""
    rhymes = np.zeros((1 + len(RHYME_GROUPS), len(vocabulary)), np.bool_)
    for number, char in _writable(vocabulary):
        for group in phonology.sure_rhymes(char):
            rhymes[RHYME_IDS[group], number] = True
    return rhymes


_TEMPLATE_ROWS = {"X": 0, "L": 1, "O": 2}
# Rows of `Constraints.biases`: which set of tones two templates allow together.
_UNIONS = torch.tensor([[0, 0, 0], [0, 1, 3], [0, 3, 2]])
_SETS_OF_TONES = 4  # of them; after these come the rhyme groups, in `Constraints.ends`
# How much likelier, in nats, a line's end becomes by being one of people's: then people wrote three in five of ours.
_TAIL_GAIN = 3.0
_AGAIN = -1e6  # added to the logit of what is used up; its weight beside anything else is 0
_BLOCK = 64
_JUST_BELOW = 1 - 2.0**-52  # of a sum: what is drawn has some weight, however numbers are rounded


def _either(codes: Tensor) -> Tensor:
    """[...] rows of `Constraints.biases`, for [..., 2] templates' tones either of which may come."""
    return _UNIONS.to(codes.device)[codes[..., 0], codes[..., 1]]


def template_codes(form: Form, patterns: Sequence[str]) -> Tensor:
    """[B, L, 2, P] rows of `Constraints.tones`: the two templates of each line (one of them twice, if it has one)."""
    rows = []
    for pattern in patterns:
        kinds = prosody.pattern_lines(pattern, form.num_lines)
        templates = [prosody.line_templates(kind, form.line_lengths[line]) for line, kind in enumerate(kinds)]
        rows.append(
            [[[_TEMPLATE_ROWS[code] for code in pair[number % len(pair)]] for number in range(2)] for pair in templates]
        )
    return torch.tensor(rows, dtype=torch.long).reshape(len(rows), form.num_lines, 2, form.line_lengths[0])


def is_sure(form: Form, ids: Ids, patterns: Ids, rhymes: Ids, constraints: Constraints) -> npt.NDArray[np.bool_]:
    """[P] of poems [P, T] in numbered patterns and rhyme groups: whether all their sounds are sure where it matters."""
    length = form.line_lengths[0]
    codes = template_codes(form, list(PATTERN_IDS))[torch.from_numpy(patterns).long() - 1]
    rows = torch.from_numpy(ids).long().to(constraints.tones.device)
    lines = rows.reshape(len(ids), form.num_lines, 1, length).expand(-1, -1, 2, -1)
    sure = constraints.tones[codes.to(rows.device), lines].any(dim=2).all(dim=(1, 2)).cpu().numpy()
    for name, number in PATTERN_IDS.items():
        own = np.flatnonzero(patterns == number)
        for line in prosody.rhyming_lines(name, form.num_lines):
            groups = torch.from_numpy(rhymes[own]).long().to(rows.device)
            sure[own] &= constraints.rhymes[groups, rows[own, (line + 1) * length - 1]].cpu().numpy()
    return sure


def conditions_of_drafts(drafts: Sequence[Draft], device: torch.device) -> Conditions:
    """The conditions of drafts that share one form."""
    return named_conditions(
        drafts[0].form,
        [draft.theme for draft in drafts],
        [draft.plan.tolist() for draft in drafts],
        [draft.pattern for draft in drafts],
        [draft.rhyme for draft in drafts],
        device,
    )


def named_conditions(
    form: Form,
    themes: Sequence[Sequence[int]],
    plans: Sequence[Sequence[Sequence[int]]],
    patterns: Sequence[str],
    rhymes: Sequence[str],
    device: torch.device | str = "cpu",
) -> Conditions:
    """The conditions of B poems of one form, said as drafts say them.

    Args:
        form: Of L lines.
        themes: B of them, ids of any number of characters.
        plans: [B, L, 2] ids of a keyword for each line.
        patterns: B names of tonal patterns.
        rhymes: B names of rhyme groups.
        device: Where the tensors go.
    """
    return Conditions(
        form,
        pad_themes(themes, device),
        torch.tensor(plans, dtype=torch.long, device=device),
        torch.tensor([PATTERN_IDS[pattern] for pattern in patterns], device=device),
        torch.tensor([RHYME_IDS[rhyme] for rhyme in rhymes], device=device),
    )


@torch.no_grad()
def sample(
    generator: Generator,
    constraints: Constraints,
    drafts: Sequence[Draft],
    *,
    groups: Sequence[int] | None = None,
    gains: Tensor | None = None,
    value_head: ValueHead | None = None,
    cost: Callable[[Sequence[int]], float] | None = None,
    line_ends: bool = True,
    keep_masks: bool = False,
) -> Sample:
    """Draw one poem for each draft, or for the better ones of each group.

    Args:
        generator: The model, in evaluation mode for inference.
        constraints: Made for its vocabulary.
        drafts: At most `MAX_ROWS`, all of one form.
        groups: Which drafts compete, equal numbers from 0 on for those that do. After each line the eight worthiest of
            a group go on, each in every way that its uniforms hold if it is open: a search as in Mudgal et al. 2024,
            whose blocks are lines here, and whose value is `worths`. Of others 32 go on.
        gains: [G, V] what each character counts for in that, for each group (one, if there are none).
        value_head: Says what readers are expected to make of each character: in that, and before one is drawn.
        cost: What a line of these ids takes from the worth of its poem.
        line_ends: Make people's line ends likelier.
        keep_masks: Return the masks, to train under them; not together with groups, nor with line ends.
    """
    count = len(drafts)
    if not 0 < count <= MAX_ROWS or len({draft.form.name for draft in drafts}) != 1:
        raise ValueError(f"sample needs 1 to {MAX_ROWS} drafts of one form")
    if keep_masks and (groups is not None or line_ends):
        raise ValueError("sample keeps masks of whole batches only, and of plain draws")
    drafts = [*drafts, *[drafts[-1]] * (packing.MIN_ROWS - count)]
    device = generator.device
    form = drafts[0].form
    conditions = conditions_of_drafts(drafts, device)
    noise = torch.from_numpy(np.stack([draft.noise for draft in drafts])).float().to(device)
    competing = [*groups, *[groups[-1]] * (len(drafts) - count)] if groups is not None else [0] * len(drafts)
    decoder = _Decoder(generator, constraints, conditions, noise, drafts, competing, gains, value_head)
    masks = []
    rows = torch.arange(len(drafts), device=device)
    for line in range(form.num_lines):
        if groups is not None and line:
            own = rows[:count].tolist()
            places, ways = _continued(
                decoder.worths[:count].tolist(),
                decoder.ids[:count].tolist(),
                [groups[row] for row in own],
                [drafts[row].is_open for row in own],
            )
            count = len(places)
            kept = torch.tensor([*places, *[places[-1]] * (packing.MIN_ROWS - count)], device=device)
            decoder.keep(kept)
            decoder.turn(line, ways)
            rows, conditions, noise = rows[kept], conditions.take(kept), noise[kept]
        for position in range(form.line_lengths[line]):
            mask = decoder.step(line, position, line_ends=line_ends, want_mask=keep_masks)
            if mask is not None:
                masks.append(mask[:count])
        if cost is not None:
            decoder.charge(line, cost)
    return Sample(
        rows[:count],
        decoder.ways[:count],
        decoder.ids[:count],
        decoder.log_probs[:count] / form.num_chars,
        decoder.worths[:count] / form.num_chars,
        conditions.take(slice(count)),
        noise[:count],
        torch.stack(masks, dim=1) if masks else None,
    )


def _continued(
    worths: Sequence[float], texts: Sequence[Sequence[int]], groups: Sequence[int], are_open: Sequence[bool]
) -> tuple[list[int], list[int | None]]:
    """Which poems go on, and which way each; None for its own.

    Args:
        worths: B of them, so far.
        texts: B of them, so far. Of poems of a group that are alike one goes on: the others would be written alike too.
        groups: B of them.
        are_open: B of them; all of a group are open, or none.
    """
    members: dict[int, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    going: list[int] = []
    ways: list[int | None] = []
    for places in members.values():
        width = min(len(places), _KEPT * WAYS)
        ranked = sorted(places, key=lambda place: -worths[place])
        if not are_open[places[0]]:
            going += ranked[:width]
            ways += [None] * width
            continue
        best: dict[tuple[int, ...], int] = {}
        for place in ranked:
            best.setdefault(tuple(texts[place]), place)
        kept = list(best.values())[: -(-width // WAYS)]
        width = min(width, len(kept) * WAYS)
        going += [kept[number % len(kept)] for number in range(width)]
        ways += [number // len(kept) for number in range(width)]
    return going, ways


class _Decoder:
    """The state of a batch half written; all that is told per poem can be narrowed to some of them.

    What may stand where is said in numbers that are added to the logits: minus infinity for what may not, and
    `_AGAIN` for what is used up, so that it comes only where nothing else is left.
    """

    _PER_POEM = (
        "_context", "_codes", "_rhyme_biases", "_rhyming", "_uniforms", "_temperatures", "_forced", "_alive", "_used",
        "_ends", "_groups", "ways", "ids", "log_probs", "worths",
    )  # fmt: skip

    def __init__(
        self,
        generator: Generator,
        constraints: Constraints,
        conditions: Conditions,
        noise: Tensor,
        drafts: Sequence[Draft],
        groups: Sequence[int],
        gains: Tensor | None,
        value_head: ValueHead | None,
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
        self._rhyme_biases = torch.zeros(constraints.rhymes.shape, device=device).masked_fill_(
            ~constraints.rhymes, -torch.inf
        )[conditions.rhymes]
        self._groups, self._gains, self._value_head = torch.tensor(groups, device=device), gains, value_head
        self._table = None if value_head is None else value_head.table(generator.embedding.weight)
        self._rhyming = self._is_rhyming(form, drafts).to(device)
        self._ends = torch.where(
            self._rhyming, _SETS_OF_TONES + conditions.rhymes[:, None], _either(self._codes[:, :, :, -1])
        )
        self._uniforms = torch.from_numpy(np.stack([draft.uniforms for draft in drafts])).to(device)
        self.ways = torch.tensor([draft.ways for draft in drafts], device=device)
        self._temperatures = torch.tensor([draft.temperature for draft in drafts], device=device)[:, None]
        forced = torch.full((batch, num_chars), -1, dtype=torch.long)
        for row, draft in enumerate(drafts):
            for place, number in draft.forced.items():
                forced[row, place] = number
        self._forced = forced.to(device)
        self._alive = torch.ones(batch, 2, dtype=torch.bool, device=device)
        vocabulary_size = generator.config.num_chars
        self._used = torch.zeros(batch, vocabulary_size, device=device)
        # Characters forced further on are spoken for.
        for place in range(num_chars):
            known = self._forced[:, place] > UNKNOWN_ID
            self._used[self._rows[known], self._forced[known, place]] = _AGAIN
        self.ids = torch.zeros(batch, num_chars, dtype=torch.long, device=device)
        self.log_probs, self.worths = torch.zeros(2, batch, device=device)

    def keep(self, places: Tensor) -> None:
        """Go on with the poems at these places only."""
        for name in self._PER_POEM:
            setattr(self, name, getattr(self, name)[places])
        self._state = self._state.take(places)
        self._rows = torch.arange(len(places), device=places.device)

    def turn(self, line: int, ways: Sequence[int | None]) -> None:
        """Write a line of the first poems in these ways; None leaves a poem its own."""
        for row, way in enumerate(ways):
            if way is not None:
                self.ways[row, line] = way

    def charge(self, line: int, cost: Callable[[Sequence[int]], float]) -> None:
        """Take from the worth of each poem what its line costs."""
        start = line * self._length
        self.worths -= torch.tensor(
            [cost(ids) for ids in self.ids[:, start : start + self._length].tolist()], device=self.worths.device
        )

    @staticmethod
    def _is_rhyming(form: Form, drafts: Sequence[Draft]) -> Tensor:
        """[B, L] whether the line rhymes."""
        rows = [prosody.rhyming_lines(draft.pattern, form.num_lines) for draft in drafts]
        return torch.tensor([[line in rhyming for line in range(form.num_lines)] for rhyming in rows])

    def step(self, line: int, position: int, *, line_ends: bool, want_mask: bool) -> Tensor | None:
        """Write the next character of every poem; returns the [B, V] mask it was drawn under, if wanted."""
        place, last = line * self._length + position, position == self._length - 1
        generator = self._generator
        before = self.ids[:, place - 1] if place else torch.full_like(self._rows, START_ID)
        above = self.ids[:, place - self._length] if line else torch.full_like(self._rows, START_ID)
        inputs = torch.cat(
            [generator.embedding(before), generator.embedding(above), self._context[:, line, position]], dim=-1
        )
        known = generator.step(inputs, self._state)
        logits = generator.logits(generator.narrowed(known))
        if position == 0:
            self._alive.fill_(True)
        codes = self._codes[:, line, :, position]
        one = torch.where(self._alive[:, 0], codes[:, 0], codes[:, 1])
        wanted = torch.where(self._alive.all(dim=1), _either(codes), one)
        tempered = torch.addcdiv(self._used, logits, self._temperatures).add_(self._constraints.biases[wanted])
        if line_ends and position >= self._length - TAIL_LENGTH:
            tempered += _TAIL_GAIN * self._fits_tail(line, position)
        if last:
            tempered += torch.where(self._rhyming[:, line, None], self._rhyme_biases, 0.0)
        totals = torch.logsumexp(logits, dim=-1, keepdim=True)
        uniforms = self._uniforms[self._rows, self.ways[:, line], place][:, None]
        if self._table is None:
            chosen = self._draw(tempered, uniforms)
        else:
            # In the order of their ids, as among all, so that hardly a draw depends on how many are compared.
            chars = tempered.topk(_NUM_GUIDED).indices.sort().values
            guided = tempered.gather(1, chars) + self._guidance(chars, logits.gather(1, chars) - totals, known, last)
            chosen = chars.gather(1, self._draw(guided, uniforms)[:, None])[:, 0]
        forced = self._forced[:, place]
        chosen = torch.where(forced >= 0, forced, chosen)
        self.ids[:, place] = chosen
        log_probs = (logits.gather(1, chosen[:, None]) - totals)[:, 0]
        self.log_probs += log_probs
        if self._gains is not None:
            self.worths += self._gains[self._groups, chosen]
        if self._value_head is None:
            self.worths += (1 + last) * log_probs
        else:
            marks = self._value_head(known, generator.embedding(chosen), log_probs, last)
            self.worths += _MARK_WEIGHT * marks[:, 0]
        alive = self._alive & self._constraints.tones[codes, chosen[:, None]]
        # A forced character may fit neither template; then the line goes on as if it had not been looked at.
        self._alive = torch.where(alive.any(dim=1, keepdim=True), alive, self._alive)
        mask = _allowed(tempered) if want_mask else None
        # Only a character just written may come again, once, in its own line, if people double it.
        if place:
            self._used.scatter_(1, self.ids[:, place - 1 : place], _AGAIN)
        if last:
            self._used.scatter_(1, chosen[:, None], _AGAIN)
            self._rhyme_biases.scatter_(1, chosen[:, None], -torch.inf)
        else:
            once = torch.where(self._constraints.doubles[chosen] & (chosen != before), 0.0, _AGAIN)
            self._used.scatter_reduce_(1, chosen[:, None], once[:, None], "amin")
        return mask

    def _guidance(self, chars: Tensor, log_probs: Tensor, known: Tensor, last: bool) -> Tensor:
        """[B, N] what readers are expected to make of each of [B, N] characters with these log p, in nats."""
        assert self._value_head is not None
        assert self._table is not None
        return _GUIDANCE * self._value_head.of_each(known, self._table, chars, log_probs, last)[..., 0]

    def _fits_tail(self, line: int, position: int) -> Tensor:
        """[B, V] 1 for characters that begin, or go on with, an end that people's lines have and this one may have."""
        constraints, ends = self._constraints, self._ends[:, line]
        written = position - (self._length - TAIL_LENGTH)
        if not written:
            return constraints.tail_firsts[_either(self._codes[:, line, :, position + 1]), ends].float()
        place = line * self._length + position
        before = self.ids[:, place - written : place]
        # The tails that begin as each poem's line does, one after another.
        starts, stops = constraints.tail_starts[before[:, 0]], constraints.tail_starts[before[:, 0] + 1]
        counts = stops - starts
        rows = self._rows.repeat_interleave(counts)
        tails = constraints.tails[torch.arange(len(rows), device=rows.device) + (stops - counts.cumsum(0))[rows]]
        fits = constraints.ends[ends[rows], tails[:, 2]] & (self._used[rows, tails[:, 2]] == 0)
        if written > 1:
            fits &= tails[:, 1] == before[rows, 1]
        found = torch.zeros_like(self._used)
        found[rows[fits], tails[fits, written]] = 1
        return found

    @staticmethod
    def _draw(tempered: Tensor, uniforms: Tensor) -> Tensor:
        """[B] columns, each by the inverse of its row's distribution function: one number decides, in any batch.

        Args:
            tempered: [B, N] log probabilities, up to a constant for each row.
            uniforms: [B, 1] in [0, 1).
        """
        weights = nn.functional.pad(
            tempered - tempered.amax(dim=1, keepdim=True), (0, -tempered.shape[1] % _BLOCK), value=-torch.inf
        ).exp_()
        # First which block of characters, then which of the block: a running sum over all of them takes far longer.
        blocks = weights.view(len(tempered), -1, _BLOCK)
        ends = blocks.sum(dim=2).double().cumsum(dim=1)
        targets = torch.minimum(uniforms * ends[:, -1:], ends[:, -1:] * _JUST_BELOW)
        block = torch.searchsorted(ends, targets, right=True)
        before = ends.gather(1, (block - 1).clamp(min=0)) * (block > 0)
        within = blocks[torch.arange(len(blocks), device=blocks.device), block[:, 0]].double().cumsum(dim=1)
        rest = torch.minimum(targets - before, within[:, -1:] * _JUST_BELOW)
        return (block * _BLOCK + torch.searchsorted(within, rest, right=True))[:, 0]


def _allowed(tempered: Tensor) -> Tensor:
    """[B, V] what could be drawn: what is not used up, or if nothing is left, what may stand there at all."""
    possible = tempered > -torch.inf
    fresh = tempered > _AGAIN / 2
    return torch.where((possible & fresh).any(dim=1, keepdim=True), possible & fresh, possible)
