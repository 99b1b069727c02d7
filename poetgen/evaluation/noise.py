"""What z does: how many poems it gives, and whether near z gives near poems. Greedy, all else fixed."""

import math
from collections.abc import Sequence

import numpy as np

from poetgen.evaluation.figures import Floats
from poetgen.metrics import edit_distance, rank_correlation
from poetgen.planner import Ids
from poetgen.poem import Form, PoemRequest
from poetgen.poet import Poet, constraints_of, drafter_of
from poetgen.sampling import Draft, sample

_GREEDY = 1e-3  # a temperature at which chance decides nothing
_STEPS = 10


def different_poems(poet: Poet, form: Form, theme: str, count: int, seed: int) -> int:
    """How many different poems `count` values of z give; pattern, rhyme and theme fixed, no plan."""
    rng = np.random.default_rng(seed)
    noises = rng.standard_normal((count, poet.model.generator.config.noise_dim))
    return len({row.tobytes() for row in _greedy(poet, form, theme, noises, seed)})


def way_and_distance(poet: Poet, form: Form, theme: str, arcs: int, seed: int) -> tuple[Floats, Floats]:
    """[arcs] rank correlations between the way from z1 to z2 and the edit distance to z1's poem, -1 to 1.

    The way is an arc, so that every z on it is as likely as its ends. Once with z1 itself, whose distance is 0 whatever
    z does, and once without.
    """
    rng = np.random.default_rng(seed)
    found = []
    for arc in range(arcs):
        first, second = rng.standard_normal((2, poet.model.generator.config.noise_dim))
        angles = np.linspace(0, math.pi / 2, _STEPS + 1)[:, None]
        poems = _greedy(poet, form, theme, np.cos(angles) * first + np.sin(angles) * second, seed + arc)
        distances = [edit_distance(poems[0].tolist(), poem.tolist()) for poem in poems]
        found.append((_correlation(distances), _correlation(distances[1:])))
    with_start, without = np.array(found).reshape(arcs, 2).T
    return with_start, without


def _correlation(distances: Sequence[int]) -> float:
    """Of the way with distances along it; 0 if z changes nothing, for then there are no ranks."""
    return rank_correlation(range(len(distances)), distances) if len(set(distances)) > 1 else 0.0


def _greedy(poet: Poet, form: Form, theme: str, noises: Floats, seed: int) -> Ids:
    model = poet.model
    constraints = constraints_of(model)
    [draft] = drafter_of(model, constraints).drafts([PoemRequest(form, theme=theme)], [seed])
    drafts = [
        Draft(form, draft.theme, np.zeros_like(draft.plan), draft.pattern, draft.rhyme, noise.astype(np.float32),
              draft.uniforms, draft.ways, temperature=_GREEDY)
        for noise in noises
    ]  # fmt: skip
    return sample(model.generator, constraints, drafts).ids.numpy().astype(np.int32)
