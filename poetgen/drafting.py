"""A request and a seed -> a draft: everything about a poem that is decided before its first character.

Knows no networks. What is drawn from a seed is drawn in a fixed order (pattern, rhyme, plan; noise, characters) that
must not change, or no replay of an earlier poem would be true any more. Where there are outlines, the plan's first
number finds one, and those of pattern and rhyme wait for the requests that none fits. A variation of a poem is the same
draft with other noise near its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from poetgen import prosody
from poetgen.dataset import PATTERN_IDS, PATTERN_NAMES, RHYME_IDS, RHYME_NAMES, Shares
from poetgen.phonology import Phonology
from poetgen.planner import Ids, Outlines, Planner
from poetgen.poem import PoemRequest
from poetgen.sampling import Draft
from poetgen.seeds import WAYS, Seed
from poetgen.vocabulary import Vocabulary

# How common each pattern and rhyme group is among regulated poems: form -> "patterns" or "rhymes" -> name -> share.

# Plan, [L, 2]; names of pattern and rhyme group.
_Outline: TypeAlias = tuple[Ids, str, str]

# How far a variation's noise is from its poem's, radians: half a radian leaves 88 % of it.
_VARIATION_ANGLE = 0.5


@dataclass(frozen=True, slots=True)
class Drafter:
    """Turns requests into drafts.

    Attributes:
        vocabulary, phonology, planner: Of the model that will write.
        shares: How often to choose each pattern and rhyme group where the request leaves it open.
        rhymes: The rhyme groups with characters enough to choose from.
        noise_dim: Z.
        temperature: For requests that name none.
    """

    vocabulary: Vocabulary
    phonology: Phonology
    planner: Planner
    shares: Shares
    rhymes: Sequence[str]
    noise_dim: int
    temperature: float

    def drafts(self, requests: Sequence[PoemRequest], seeds: Sequence[int]) -> list[Draft]:
        """A draft for each pair of request (in traditional characters of the vocabulary, all of one form) and seed."""
        form = requests[0].form
        themes = [self.vocabulary.encode(request.theme) for request in requests]
        told = [Seed.of(seed) for seed in seeds]
        choices = {seed.outline: np.random.default_rng(seed.outline).random(2 + form.num_lines) for seed in told}
        found = self._outlines(requests, [choices[seed.outline][2] for seed in told])
        without = [row for row, outline in enumerate(found) if outline is None]
        if without:
            plans = self.planner.draw(
                [themes[row] for row in without], np.stack([choices[told[row].outline][2:] for row in without])
            )
            for row, plan in zip(without, plans, strict=True):
                found[row] = (plan, *self._pattern_and_rhyme(requests[row], choices[told[row].outline]))
        drafts = []
        for row, (request, outline, seed) in enumerate(zip(requests, found, told, strict=True)):
            assert outline is not None
            plan, pattern, rhyme = outline
            rng = np.random.default_rng([seed.outline, 1 + seed.start])
            noise = _varied(rng.standard_normal(self.noise_dim), seed).astype(np.float32)
            drafts.append(
                Draft(
                    form,
                    themes[row],
                    plan,
                    pattern,
                    rhyme,
                    noise,
                    rng.random((WAYS, form.num_chars)),
                    (0, *seed.ways[: form.num_lines - 1]),
                    request.seed is None and request.vary is None,
                    self._forced(request),
                    self.temperature if request.temperature is None else request.temperature,
                )
            )
        return drafts

    def _outlines(self, requests: Sequence[PoemRequest], uniforms: Sequence[float]) -> list[_Outline | None]:
        """For each request the outline that its number in [0, 1) chooses; None where no poem by people fits."""
        form = requests[0].form
        of = self.planner.outlines.get(form.name)
        if of is None:
            return [None] * len(requests)
        found: list[_Outline | None] = []
        sums: dict[tuple[str, str, str], npt.NDArray[np.float64]] = {}
        for request, uniform in zip(requests, uniforms, strict=True):
            asked = request.theme or request.first_line, request.rhyme, request.first_line
            if asked not in sums:
                chances = self.planner.outline_chances(form.name, self.vocabulary.encode(asked[0]))
                sums[asked] = (chances * self._fitting(request, of)).cumsum()
            total = sums[asked][-1]
            if total <= 0:
                found.append(None)
                continue
            number = min(int(np.searchsorted(sums[asked], uniform * total, side="right")), len(of) - 1)
            plan = self.planner.keywords[of.plans[number]]
            found.append((plan, PATTERN_NAMES[int(of.patterns[number])], RHYME_NAMES[int(of.rhymes[number])]))
        return found

    def _fitting(self, request: PoemRequest, of: Outlines) -> npt.NDArray[np.bool_]:
        """[N] which outlines have a pattern and a rhyme that the request leaves open."""
        open_ones = np.zeros((1 + len(PATTERN_IDS), 1 + len(RHYME_IDS)), np.bool_)
        for pattern in self._patterns(request):
            open_ones[PATTERN_IDS[pattern], [RHYME_IDS[rhyme] for rhyme in self._rhymes(request, pattern)]] = True
        fitting: npt.NDArray[np.bool_] = open_ones[of.patterns, of.rhymes]
        return fitting

    def _pattern_and_rhyme(self, request: PoemRequest, choices: npt.NDArray[np.float64]) -> tuple[str, str]:
        """Each as common as among people's poems; two numbers in [0, 1) choose them."""
        shares = self.shares[request.form.name]
        pattern = _weighted(shares["patterns"], self._patterns(request), choices[0])
        return pattern, _weighted(shares["rhymes"], self._rhymes(request, pattern), choices[1])

    def _forced(self, request: PoemRequest) -> dict[int, int]:
        forced = dict(enumerate(self.vocabulary.encode(request.first_line)))
        starts = np.cumsum([0, *request.form.line_lengths[:-1]])
        heads = self.vocabulary.encode(request.acrostic)
        return forced | {int(place): number for place, number in zip(starts, heads, strict=False)}

    def _patterns(self, request: PoemRequest) -> Sequence[str]:
        """The patterns that a request leaves open."""
        if not request.first_line:
            return prosody.PATTERNS
        fitting = prosody.patterns_for_first_line(request.first_line, self.phonology)
        own = prosody.rhyme_groups_of(request.first_line[-1], self.phonology)
        agreeing = [
            pattern for pattern in fitting if pattern[0] not in prosody.RHYMING_TYPES or request.rhyme in ("", *own)
        ]
        # A line that fits no pattern is kept all the same; `check` says so.
        return agreeing or fitting or prosody.PATTERNS

    def _rhymes(self, request: PoemRequest, pattern: str) -> Sequence[str]:
        """The rhyme groups that a request leaves open under a pattern."""
        if request.rhyme:
            return [request.rhyme]
        if request.first_line and pattern[0] in prosody.RHYMING_TYPES:
            own = prosody.rhyme_groups_of(request.first_line[-1], self.phonology)
            return [rhyme for rhyme in self.rhymes if rhyme in own] or self.rhymes
        return self.rhymes


def _varied(noise: npt.NDArray[np.float64], seed: Seed) -> npt.NDArray[np.float64]:
    """The noise of a seed's poem, or of a variation: on the arc from it to other noise, so that its length is kept."""
    if not seed.variation:
        return noise
    other = np.random.default_rng([seed.outline, 1 + seed.start, seed.variation]).standard_normal(len(noise))
    return math.cos(_VARIATION_ANGLE) * noise + math.sin(_VARIATION_ANGLE) * other


def _weighted(shares: Mapping[str, float], names: Sequence[str], draw: float) -> str:
    """One of `names`, as often as `shares` says; `draw` in [0, 1) decides."""
    weights = np.cumsum([shares.get(name, 0.0) + 1e-9 for name in names])
    return names[min(int(np.searchsorted(weights, draw * weights[-1], side="right")), len(names) - 1)]
