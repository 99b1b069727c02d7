"""A request and a seed -> a draft: everything about a poem that is decided before its first character.

Knows no networks. What a seed holds below `FIRST_SEEDS` decides in a fixed order (noise, pattern, rhyme, plan,
characters) that must not change, or no replay of an earlier poem would be true any more. What it holds above says
which variation of that poem is meant: the same draft with other noise near its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from poetgen import prosody
from poetgen.phonology import Phonology
from poetgen.planner import Planner
from poetgen.poem import FIRST_SEEDS, PoemRequest
from poetgen.sampling import Draft
from poetgen.vocabulary import Vocabulary

# How common each pattern and rhyme group is among regulated poems: form -> "patterns" or "rhymes" -> name -> share.
Shares = Mapping[str, Mapping[str, Mapping[str, float]]]

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
        sources = [np.random.default_rng(seed % FIRST_SEEDS) for seed in seeds]
        noises = [
            _varied(rng.standard_normal(self.noise_dim), seed).astype(np.float32)
            for rng, seed in zip(sources, seeds, strict=True)
        ]
        choices = [rng.random(2).tolist() for rng in sources]
        plans = self.planner.draw(themes, np.stack([rng.random(form.num_lines) for rng in sources]))
        uniforms = [rng.random(form.num_chars) for rng in sources]
        drafts = []
        for row, request in enumerate(requests):
            pattern = self._pattern(request, choices[row][0])
            drafts.append(
                Draft(
                    form,
                    themes[row],
                    plans[row],
                    pattern,
                    self._rhyme(request, pattern, choices[row][1]),
                    noises[row],
                    uniforms[row],
                    self._forced(request),
                    self.temperature if request.temperature is None else request.temperature,
                )
            )
        return drafts

    def _forced(self, request: PoemRequest) -> dict[int, int]:
        forced = dict(enumerate(self.vocabulary.encode(request.first_line)))
        starts = np.cumsum([0, *request.form.line_lengths[:-1]])
        heads = self.vocabulary.encode(request.acrostic)
        return forced | {int(place): number for place, number in zip(starts, heads, strict=False)}

    def _pattern(self, request: PoemRequest, draw: float) -> str:
        patterns: Sequence[str] = prosody.PATTERNS
        if request.first_line:
            fitting = prosody.patterns_for_first_line(request.first_line, self.phonology)
            own = prosody.rhyme_groups_of(request.first_line[-1], self.phonology)
            agreeing = [
                pattern for pattern in fitting if pattern[0] not in prosody.RHYMING_TYPES or request.rhyme in ("", *own)
            ]
            # A line that fits no pattern is kept all the same; `check` says so.
            patterns = agreeing or fitting or patterns
        return _weighted(self.shares[request.form.name]["patterns"], patterns, draw)

    def _rhyme(self, request: PoemRequest, pattern: str, draw: float) -> str:
        if request.rhyme:
            return request.rhyme
        rhymes = self.rhymes
        if request.first_line and pattern[0] in prosody.RHYMING_TYPES:
            own = prosody.rhyme_groups_of(request.first_line[-1], self.phonology)
            rhymes = [rhyme for rhyme in rhymes if rhyme in own] or rhymes
        return _weighted(self.shares[request.form.name]["rhymes"], rhymes, draw)


def _varied(noise: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """The noise of a seed's poem, or of a variation: on the arc from it to other noise, so that its length is kept."""
    if seed < FIRST_SEEDS:
        return noise
    other = np.random.default_rng([seed % FIRST_SEEDS, seed // FIRST_SEEDS]).standard_normal(len(noise))
    return math.cos(_VARIATION_ANGLE) * noise + math.sin(_VARIATION_ANGLE) * other


def _weighted(shares: Mapping[str, float], names: Sequence[str], draw: float) -> str:
    """One of `names`, as often as `shares` says; `draw` in [0, 1) decides."""
    weights = np.cumsum([shares.get(name, 0.0) + 1e-9 for name in names])
    return names[min(int(np.searchsorted(weights, draw * weights[-1], side="right")), len(names) - 1)]
