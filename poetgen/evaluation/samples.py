"""Samples of poems to be measured: people's, chance's, a chain's, and a version's own. All drawn from seeds."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np

from poetgen.dataset import FormData
from poetgen.planner import Ids
from poetgen.poem import Form, PoemRequest
from poetgen.poet import REQUESTS_TOGETHER, Poet
from poetgen.vocabulary import UNKNOWN_ID, Vocabulary


@dataclass(frozen=True, slots=True)
class Poems:
    """Poems of one form.

    Attributes:
        form: The form, of T characters.
        ids: [P, T] characters.
        themes: The theme of each, "" for none.
    """

    form: Form
    ids: Ids
    themes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lines(self) -> Ids:
        """[P, L, length] the same, line by line."""
        return self.ids.reshape(len(self.ids), self.form.num_lines, -1)

    def take(self, rows: slice) -> "Poems":
        return replace(self, ids=self.ids[rows], themes=self.themes[rows])

    def texts(self, vocabulary: Vocabulary) -> list[tuple[str, ...]]:
        """The lines of each poem."""
        return [tuple(vocabulary.decode(line) for line in poem) for poem in self.lines.tolist()]


def common_themes() -> tuple[str, ...]:
    """The hundred themes on which versions are compared."""
    text = resources.files("poetgen.evaluation").joinpath("themes.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def known(themes: Sequence[str], vocabulary: Vocabulary) -> tuple[str, ...]:
    """Those in characters that a corpus holds, which may be small."""
    return tuple(theme for theme in themes if all(char in vocabulary for char in theme))


def peoples(data: FormData, count: int, seed: int) -> Poems:
    """People's regulated poems without characters too rare for the vocabulary, as ours are; `count` at most."""
    rows = np.flatnonzero(data.are_regular)
    rows = np.random.default_rng(seed).permutation(rows)[:count]
    return Poems(data.form, data.ids[rows], ("",) * len(rows))


def random_characters(data: FormData, count: int, seed: int) -> Poems:
    """Each character drawn by itself, as often as it is in people's poems."""
    pool = data.ids[data.ids > UNKNOWN_ID]
    drawn = np.random.default_rng(seed).choice(pool, (count, data.form.num_chars))
    return Poems(data.form, drawn, ("",) * count)


def bigram_chain(data: FormData, count: int, seed: int) -> Poems:
    """Each character drawn by what follows the one before it in people's lines: a Markov random field on a chain."""
    rng = np.random.default_rng(seed)
    length = data.form.line_lengths[0]
    grid = data.ids.reshape(-1, length)
    grid = grid[(grid > UNKNOWN_ID).all(axis=1)]
    first, second = grid[:, :-1].ravel(), grid[:, 1:].ravel()
    order = np.argsort(first, kind="stable")
    followers = second[order]
    starts = np.searchsorted(first[order], np.arange(int(grid.max()) + 2))
    drawn = np.zeros((count * data.form.num_lines, length), np.int32)
    drawn[:, 0] = rng.choice(grid[:, 0], len(drawn))
    for place in range(1, length):
        low, high = starts[drawn[:, place - 1]], starts[drawn[:, place - 1] + 1]
        # A character seen at ends of lines only is followed by what begins a line.
        chosen = followers[
            np.minimum(low + (rng.random(len(drawn)) * (high - low)).astype(np.intp), len(followers) - 1)
        ]
        drawn[:, place] = np.where(high > low, chosen, rng.choice(grid[:, 0], len(drawn)))
    return Poems(data.form, drawn.reshape(count, -1), ("",) * count)


def written(
    poet: Poet,
    requests: Sequence[PoemRequest],
    seed: int,
    progress: Callable[[int], object] | None = None,
) -> Poems:
    """A version's poems for requests of one form, with the candidates and the choice drawn from `seed`.

    They are what a poet writes that remembers these poems and no others.
    """
    poet, source = Poet(poet.version, poet.model), random.Random(seed)
    lines = []
    for start in range(0, len(requests), REQUESTS_TOGETHER):
        page = [poet.check(request) for request in requests[start : start + REQUESTS_TOGETHER]]
        lines += [composition.poem.text for composition in poet.compose(page, source=source)]
        if progress:
            progress(len(page))
    ids = np.array([poet.model.vocabulary.encode(text) for text in lines], np.int32)
    return Poems(requests[0].form, ids, tuple(request.theme for request in requests))
