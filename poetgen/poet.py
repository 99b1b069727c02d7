"""Poet: a version of the model, ready to write. The façade that the bot and the command line call.

Knows no users, no Discord and no training. A request becomes N drafts, each drawn from a seed of its own; all drafts
of all requests are written together, the better ones going on after each line, and of what a request has in the end the
best is chosen: by how well readers are expected to think of it, how near to the theme and how rare its characters are,
how real the discriminator holds it, and how little of it the poet wrote lately, or oftener than people do. The seed
shown is the chosen one's: given as `seed`, it is drawn alone, and what the poet remembers changes nothing.
"""

import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch

from poetgen import planner, prosody, script
from poetgen.adapter import load_version
from poetgen.checkpoint import Model
from poetgen.drafting import Drafter
from poetgen.errors import RequestError
from poetgen.generator import Conditions
from poetgen.likelihood import IMPORTANCE_SAMPLES, poem_nll
from poetgen.memory import Memory
from poetgen.poem import (
    DEFAULT_CANDIDATES,
    FORMS,
    MAX_CANDIDATES,
    MAX_TEMPERATURE,
    MAX_THEME_LENGTH,
    MIN_TEMPERATURE,
    Composition,
    Form,
    Poem,
    PoemRequest,
)
from poetgen.registry import Registry
from poetgen.sampling import MAX_ROWS, MIN_RHYME_CHARS, Constraints, Draft, sample
from poetgen.seeds import MAX_SEED, MAX_VARIATION, OUTLINES, STARTS, Seed
from poetgen.text import split_lines
from poetgen.vocabulary import UNKNOWN_ID

_SCORE_ROWS = 128
REQUESTS_TOGETHER = MAX_ROWS // DEFAULT_CANDIDATES  # that fill a batch; each knows the poems of batches before it
# So many candidates share an outline. If each had its own, the few outlines nearest to a theme would be among them
# every time, and one of those would win.
_SHARING = 4
_CHANCE = random.SystemRandom()
# In the choice among candidates: what a unit of the discriminator's logit counts for, and of what of it is a voice's
# taste; a nat of a character's lift; and its cosine with the theme.
_LOGIT_WEIGHT, _TASTE_WEIGHT, _LIFT_WEIGHT, _THEME_WEIGHT = 0.05, 0.8, 0.3, 2.0
# What a pair of characters takes from a line for having come once lately, over the cube root of the poem's length
# (found: forms are then equally various), and a character for each nat that it came too often.
_STALENESS_WEIGHT, _EXCESS_WEIGHT = 4.5, 0.9
_COPYING = 1e3  # more than any line is worth
# Characters of grammar: in words of theirs (若使, 謂之) nobody sees what a poem is about.
_TITLE_NO_POEM = "之若使謂不無未莫已欲將可何誰其而以於為是亦又猶更相與所則即便卻雖須應須還惟唯只但"


@dataclass(frozen=True, slots=True)
class _Written:
    seed: int
    draft: Draft
    ids: list[int]
    realness: float
    worth: float


class Poet:
    """One version of the poet.

    Args:
        version: Its name.
        model: Its parts.
    """

    def __init__(self, version: str, model: Model) -> None:
        self.version = version
        self.model = model
        self._constraints = constraints_of(model)
        self._drafter = drafter_of(model, self._constraints)
        self._memory = Memory(_shares_of(model))

    @classmethod
    def load(
        cls,
        home: Path | None = None,
        version: str | None = None,
        num_threads: int | None = None,
        voice: str | None = None,
    ) -> "Poet":
        """The poet of a version, or of what a voice is in.

        Args:
            home: The registry's home; None for the default.
            version: Its name, or a beginning of it; None for the one that the voice is in.
            num_threads: How many threads compute when this thread asks; None leaves it.
            voice: Whose version in use is meant; None for the shared one.

        Raises:
            CheckpointError: There is no such version, or it is damaged.
        """
        if num_threads is not None:
            torch.set_num_threads(num_threads)
        registry = Registry(home)
        return cls(*load_version(registry, version or registry.current(voice)))

    @cached_property
    def _words(self) -> frozenset[tuple[int, int]]:
        """The keywords of two different characters, for titles; a voice that is asked for themes needs none."""
        empty = {0, *self.model.vocabulary.encode(_TITLE_NO_POEM)}
        pairs = map(tuple, self.model.planner.keywords.tolist())
        return frozenset((first, second) for first, second in pairs if first != second and not empty & {first, second})

    @property
    def rhymes(self) -> Sequence[str]:
        """The rhyme groups it can write in."""
        return self._drafter.rhymes

    def restored(self, poem: Poem, typed: str) -> Poem:
        """A poem typed in simplified characters in those that it was written in, as far as its form tells."""
        return prosody.restored(poem, typed, self.model.phonology)

    def inspect(self, poem: Poem) -> prosody.Report:
        """Form, rhyme and tones of any poem, by what this version knows of sounds."""
        return prosody.check(poem, self.model.phonology)

    def check(self, request: PoemRequest) -> PoemRequest:
        """The request as it will be written: in traditional characters that the poet knows.

        Raises:
            RequestError: It cannot be written; the message says what to change.
        """
        form = request.form
        if (length := sum(map(len, split_lines(request.theme)))) > MAX_THEME_LENGTH:
            raise RequestError("theme_length", length=length, most=MAX_THEME_LENGTH)
        theme = self._known(request.theme, "unknown_theme")
        acrostic = self._known(request.acrostic, "unknown_acrostic")
        if len(acrostic) > form.num_lines:
            raise RequestError("acrostic_length", length=len(acrostic), form=form.name, lines=form.num_lines)
        first_line = self._known(request.first_line, "unknown_first_line")
        if first_line and len(first_line) != form.line_lengths[0]:
            raise RequestError("first_line_length", length=len(first_line), form=form.name, wanted=form.line_lengths[0])
        if acrostic and first_line and acrostic[0] != first_line[0]:
            raise RequestError("first_line_acrostic", first=first_line[0], head=acrostic[0])
        if request.seed is not None and request.vary is not None:
            raise RequestError("seed_and_vary")
        if any(seed is not None and not 0 <= seed <= MAX_SEED for seed in (request.seed, request.vary)):
            raise RequestError("seed", most=MAX_SEED)
        if not 1 <= request.candidates <= MAX_CANDIDATES:
            raise RequestError("candidates", most=MAX_CANDIDATES)
        if request.temperature is not None and not MIN_TEMPERATURE <= request.temperature <= MAX_TEMPERATURE:
            raise RequestError("temperature", least=MIN_TEMPERATURE, most=MAX_TEMPERATURE)
        rhyme = (
            prosody.resolve_rhyme(script.to_traditional(request.rhyme.strip()), self.model.phonology)
            if request.rhyme.strip()
            else ""
        )
        if rhyme and rhyme not in self.rhymes:
            raise RequestError("rhyme_small", group=rhyme, groups=" ".join(self.rhymes))
        if first_line and rhyme:
            end, phonology = first_line[-1], self.model.phonology
            own = prosody.rhyme_groups_of(end, phonology)
            if phonology.possible_tones(end) == "L" and rhyme not in own and not prosody.is_neighbour(rhyme, own):
                raise RequestError("first_line_rhyme", char=end, group=rhyme)
        return replace(request, theme=theme, acrostic=acrostic, first_line=first_line, rhyme=rhyme)

    def _known(self, text: str, code: str) -> str:
        """`text` in traditional characters of the vocabulary, without blanks and punctuation.

        Raises:
            RequestError: It holds something else; the message (of that code) names it.
        """
        vocabulary = self.model.vocabulary
        parts = [script.to_traditional(part) for part in split_lines(text)]
        folded = "".join(parts)
        if text.strip() and not folded:
            raise RequestError(code, chars=text.strip())
        if any(char not in vocabulary for char in folded):
            # Words of letters are named whole: nobody is helped by a list of their letters.
            words = dict.fromkeys(re.findall(r"[a-z]+|\S", " ".join(parts), re.IGNORECASE))
            raise RequestError(code, chars=" ".join([word for word in words if word not in vocabulary][:5]))
        return folded

    def compose(
        self,
        requests: Sequence[PoemRequest],
        *,
        source: random.Random = _CHANCE,
        progress: Callable[[int], object] | None = None,
    ) -> list[Composition]:
        """A poem for each request (that `check` has passed), all of them written in full batches.

        Args:
            requests: What is asked for.
            source: Draws the seeds of the candidates.
            progress: Told the number of candidates written, after each batch.
        """
        seeds = [_seeds(request, source) for request in requests]
        composed: dict[int, Composition] = {}
        for numbers in _together(requests, [len(own) for own in seeds]):
            asked = [(number, seed) for number in numbers for seed in seeds[number]]
            drafts = self._drafter.drafts([requests[number] for number, _ in asked], [seed for _, seed in asked])
            written: dict[int, list[_Written]] = defaultdict(list)
            for number, result in self._write(drafts, asked):
                written[number].append(result)
            for number in numbers:
                composed[number] = self._composition(requests[number], self._chosen(requests[number], written[number]))
            if progress:
                progress(len(asked))
        return [composed[number] for number in range(len(requests))]

    def remember(self, poems: Iterable[Sequence[str]]) -> None:
        """Take poems for its own last ones, of an earlier run say; their lines, the oldest poem first."""
        for lines in poems:
            self._memory.keep([self.model.vocabulary.encode(line) for line in lines])

    def _chosen(self, request: PoemRequest, candidates: list[_Written]) -> _Written:
        """The worthiest; it is remembered, unless it is a poem written again."""
        if request.vary is not None:
            candidates = self._others(request, candidates)
        chosen = max(candidates, key=lambda one: one.worth)
        if request.seed is None:
            self._memory.keep(np.reshape(chosen.ids, (request.form.num_lines, -1)).tolist())
        return chosen

    def _cost(self, form: Form, line: Sequence[int]) -> float:
        """What a line takes from the worth of its poem, for having been written by people, or lately by the poet."""
        copied = self.model.classics.hold(self.model.vocabulary.decode(line))
        staleness = _STALENESS_WEIGHT / math.cbrt(form.num_chars) * self._memory.staleness(line)
        return _COPYING * copied + staleness + _EXCESS_WEIGHT * self._memory.excess(line)

    def _others(self, request: PoemRequest, variations: list[_Written]) -> list[_Written]:
        """Those that are not, word for word, the poem they vary; all, if none is another."""
        (own,) = self.compose([replace(request, vary=None, seed=request.vary)])
        ids = self.model.vocabulary.encode(own.poem.text)
        return [one for one in variations if one.ids != ids] or variations

    def _lines(self, ids: Sequence[int], form: Form) -> tuple[str, ...]:
        text, length = self.model.vocabulary.decode(ids), form.line_lengths[0]
        return tuple(text[start : start + length] for start in range(0, form.num_chars, length))

    @torch.no_grad()
    def _write(self, drafts: Sequence[Draft], asked: Sequence[tuple[int, int]]) -> list[tuple[int, _Written]]:
        """(number of the request, candidate) of the drafts that were written to the end.

        Args:
            drafts: Of one form.
            asked: (number of the request, seed) of each.
        """
        form, discriminator = drafts[0].form, self.model.discriminator
        # A character's share in a poem's taste, times T, is its share in T characters' mean; and the longer poems are,
        # the more alike they are in the mean.
        gains = _TASTE_WEIGHT * form.num_chars**0.5 * discriminator.taste + _LIFT_WEIGHT * self._constraints.lifts
        # Of outlines that are all near to the theme, those whose poems keep to it.
        numbers = list(dict.fromkeys(number for number, _ in asked))
        themes = {number: draft.theme for (number, _), draft in zip(asked, drafts, strict=True)}
        likeness = np.stack([self.model.planner.likeness(themes[number]) for number in numbers])
        drawn = sample(
            self.model.generator,
            self._constraints,
            drafts,
            groups=[numbers.index(number) for number, _ in asked],
            gains=gains + _THEME_WEIGHT * torch.from_numpy(likeness).float(),
            value_head=self.model.value_head,
            cost=partial(self._cost, form),
        )
        logits = discriminator.judge(drawn.ids, form, drawn.conditions.themes)
        worths = drawn.worths + _LOGIT_WEIGHT * logits
        columns = (drawn.rows, drawn.ways, drawn.ids, logits, worths)
        return [
            (asked[row][0], _Written(_went(asked[row][1], ways), drafts[row], ids, realness, worth))
            for row, ways, ids, realness, worth in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def score(
        self, poems: Sequence[Poem], *, progress: Callable[[int], object] | None = None
    ) -> list[tuple[float, float]]:
        """(−log p of a character, nats; the discriminator's logit) of poems of our forms, in traditional characters.

        The first is a bound by importance samples of z, unmasked, nothing told; which samples, and so its last digits,
        depends on the poems before. The second is told no theme. A character too rare for the
        vocabulary costs what the unknown character costs, and the choice among all such characters of the corpus.
        """
        model = self.model
        rare_kinds = max(1, len(model.phonology.chars) - len(model.vocabulary.chars))
        by_form: dict[str, list[int]] = defaultdict(list)
        for number, poem in enumerate(poems):
            assert poem.form is not None
            by_form[poem.form.name].append(number)
        scores: dict[int, tuple[float, float]] = {}
        noise_source = torch.Generator().manual_seed(0)
        for name, numbers in by_form.items():
            form = FORMS[name]
            for start in range(0, len(numbers), _SCORE_ROWS):
                chunk = numbers[start : start + _SCORE_ROWS]
                ids = torch.tensor([model.vocabulary.encode(poems[number].text) for number in chunk])
                conditions = Conditions.none(form, len(chunk))
                with torch.no_grad():
                    nll = poem_nll(model.generator, ids, conditions, IMPORTANCE_SAMPLES, noise_source)
                    realness = model.discriminator.judge(ids, form, conditions.themes)
                nll = nll + (ids == UNKNOWN_ID).sum(1) * math.log(rare_kinds)
                for number, nats, logit in zip(chunk, nll.tolist(), realness.tolist(), strict=True):
                    scores[number] = (nats / form.num_chars, logit)
                if progress:
                    progress(len(chunk))
        return [scores[number] for number in range(len(poems))]

    def _composition(self, request: PoemRequest, chosen: _Written) -> Composition:
        form = request.form
        lines = self._lines(chosen.ids, form)
        poem = Poem(lines, form, request.theme or self._title(chosen.ids, form))
        report = self.inspect(poem)
        return Composition(
            poem,
            request.theme,
            chosen.seed,
            self.version,
            chosen.draft.pattern,
            chosen.draft.rhyme,
            chosen.realness,
            tuple(self.model.classics.hold(line) for line in lines),
            tuple(problem.message for problem in report.problems),
        )

    def _title(self, ids: Sequence[int], form: Form) -> str:
        """The word of a poem without a theme that tells most of it; what begins it, if it holds no word of people's."""
        row = np.array([ids], np.int32)
        telling = planner.telling(self.model.planner.vectors, row, row)[0]
        length = form.line_lengths[0]
        words = {
            (ids[place], ids[place + 1]): float(telling[place] + telling[place + 1])
            for place in range(form.num_chars - 1)
            if (place + 1) % length and (ids[place], ids[place + 1]) in self._words
        }
        return self.model.vocabulary.decode(max(words, key=lambda word: words[word], default=(ids[0], ids[1])))


def _together(requests: Sequence[PoemRequest], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of requests that are written together: of one form, with no more candidates than there is room for."""
    by_form: dict[str, list[int]] = defaultdict(list)
    for number, request in enumerate(requests):
        by_form[request.form.name].append(number)
    for numbers in by_form.values():
        some: list[int] = []
        size = 0
        for number in numbers:
            if some and size + sizes[number] > MAX_ROWS:
                yield some
                some, size = [], 0
            some.append(number)
            size += sizes[number]
        yield some


def _seeds(request: PoemRequest, source: random.Random) -> list[int]:
    """The seeds of a request's candidates."""
    if request.seed is not None:
        return [request.seed]
    if request.vary is not None:
        seed = Seed.of(request.vary)
        others = [number for number in range(1, MAX_VARIATION + 1) if number != seed.variation]
        return [replace(seed, variation=number).number for number in source.sample(others, request.candidates)]
    seeds = []
    for start in range(0, request.candidates, _SHARING):
        outline = source.randrange(OUTLINES)
        size = min(_SHARING, request.candidates - start)
        seeds += [Seed(outline, number).number for number in source.sample(range(STARTS), size)]
    return seeds


def _went(number: int, ways: Sequence[int]) -> int:
    """The seed of a candidate that went on in these ways (one for each line)."""
    return replace(Seed.of(number), ways=tuple(ways[1:])).number


def constraints_of(model: Model) -> Constraints:
    """What keeps a model's poems to form, tone and rhyme, and its rare characters in use."""
    return Constraints(
        model.vocabulary,
        model.phonology,
        model.planner,
        model.tails,
        model.generator.device,
        lift=model.lift,
        lifts=model.lifts,
    )


def _shares_of(model: Model) -> list[float]:
    """[V] how much of what people write each character is; of a voice, as it would be if they wrote as it does."""
    weights = torch.from_numpy(model.planner.char_counts).clamp(min=1)
    if model.base is not None:
        weights = weights * (model.generator.output_bias - model.base.generator.output_bias).detach().exp()
    return (weights / weights.sum()).tolist()


def drafter_of(model: Model, constraints: Constraints) -> Drafter:
    """The drafter of a model; `constraints` made for it."""
    return Drafter(
        model.vocabulary,
        model.phonology,
        model.planner,
        model.shares,
        constraints.usable_rhymes(MIN_RHYME_CHARS),
        model.generator.config.noise_dim,
        model.temperature,
    )
