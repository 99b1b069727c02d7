"""Keywords: which characters tell what a poem is about, and a plan (a keyword for each line) drawn from a theme.

Knows the co-occurrence of characters in the corpus, by counts; no text, no torch.

A keyword is one or two characters ([2] ids, the second `PAD_ID` if there is none). Two characters that stand
together more often than chance would have them are taken as a word. The plan of a poem to be written is one of the
outlines of people's poems, found by its theme; where none fits, it is drawn word by word: how common the word is as a
keyword, times how much it likes the theme and the words drawn before it.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from poetgen.vocabulary import PAD_ID, UNKNOWN_ID

Ids: TypeAlias = npt.NDArray[np.int32]
Vectors: TypeAlias = npt.NDArray[np.float32]

VECTOR_DIM = 64
_MIN_WORD_COUNT = 15
_MIN_WORD_PMI = 2.0  # nats above chance
_FIRST_CONTENT_ID = UNKNOWN_ID + 1


def association_vectors(poems: Ids, num_chars: int, rng: np.random.Generator) -> Vectors:
    """[V, VECTOR_DIM] such that the product of two rows is near the characters' association.

    The association is positive pointwise mutual information of standing in one poem, in nats; the vectors are its
    truncated eigendecomposition (Levy and Goldberg 2014).

    Args:
        poems: [P, T] ids of poems, `PAD_ID` where there is none.
        num_chars: V.
        rng: Starts the decomposition.
    """
    # Presence in a poem, not counts: 花 three times over says no more of 春 than once.
    ordered = np.sort(poems, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = PAD_ID
    pair_counts = np.zeros(num_chars * num_chars, np.float32)
    for start in range(0, len(ordered), 8192):
        block = ordered[start : start + 8192].astype(np.int64)
        pairs = (block[:, :, None] * num_chars + block[:, None, :]).ravel()
        pair_counts += np.bincount(pairs, minlength=len(pair_counts))
    present = pair_counts.reshape(num_chars, num_chars)
    present[:_FIRST_CONTENT_ID] = 0
    present[:, :_FIRST_CONTENT_ID] = 0
    counts = np.diagonal(present)
    expected = np.outer(counts, counts) / max(1, len(poems))
    # The discount keeps pairs seen once or twice from looking like the strongest of all.
    ratio = present * (present / (present + 3)) / np.maximum(expected, 1e-9)
    ppmi = np.log(np.maximum(ratio, 1)).astype(np.float32)
    np.fill_diagonal(ppmi, 0)
    basis = rng.standard_normal((num_chars, VECTOR_DIM + 16)).astype(np.float32)
    for _ in range(8):
        basis, _ = np.linalg.qr(ppmi @ basis)
    values, rotation = np.linalg.eigh(basis.T @ ppmi @ basis)
    top = np.argsort(-values)[:VECTOR_DIM]
    vectors = np.zeros((num_chars, VECTOR_DIM), np.float32)
    vectors[:, : len(top)] = basis @ rotation[:, top] * np.sqrt(np.maximum(values[top], 0))
    return vectors


def telling(vectors: Vectors, poems: Ids, others: Ids) -> Vectors:
    """[P, K] how much each of `others` ([P, K] ids) has to do with its poem: mean association to its characters."""
    scores = np.zeros(others.shape, np.float32)
    squares = (vectors * vectors).sum(axis=1)
    for start in range(0, len(poems), 8192):
        here = slice(start, start + 8192)
        sums = vectors[poems[here]].sum(axis=1)
        scores[here] = np.einsum("pkd,pd->pk", vectors[others[here]], sums)
        # A character of the poem is no evidence for itself.
        own = (others[here][:, :, None] == poems[here][:, None, :]).sum(axis=2)
        scores[here] -= own * squares[others[here]]
    scores /= max(1, poems.shape[1])
    scores[others < _FIRST_CONTENT_ID] = -1
    return scores


def relevance(vectors: Vectors, poems: Ids, others: Ids) -> Vectors:
    """[P, K] cosine between each of `others` ([P, K] ids) and its poem as a whole, -1 to 1."""
    units = unit(vectors)
    scores = np.zeros(others.shape, np.float32)
    for start in range(0, len(poems), 8192):
        here = slice(start, start + 8192)
        scores[here] = np.einsum("pkd,pd->pk", units[others[here]], unit(units[poems[here]].sum(axis=1)))
    scores[others < _FIRST_CONTENT_ID] = -1
    return scores


def unit(vectors: Vectors) -> Vectors:
    """The vectors, each of length one (a zero stays zero)."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Vectors = (vectors / np.maximum(lengths, 1e-6)).astype(np.float32)
    return scaled


def word_codes(lines: Sequence[Ids], num_chars: int) -> npt.NDArray[np.int64]:
    """Pairs of characters that stand together more than chance would have them, sorted, as first × V + second.

    Args:
        lines: [*, T] ids of lines, in arrays of any width.
        num_chars: V.
    """
    codes = np.concatenate([_pair_codes(block, num_chars).ravel() for block in lines])
    singles = np.bincount(np.concatenate([block.ravel() for block in lines]), minlength=num_chars).astype(np.float64)
    pairs, counts = np.unique(codes, return_counts=True)
    first, second = pairs // num_chars, pairs % num_chars
    pmi = np.log(counts * singles.sum() / np.maximum(singles[first] * singles[second], 1))
    known = (first >= _FIRST_CONTENT_ID) & (second >= _FIRST_CONTENT_ID)
    words: npt.NDArray[np.int64] = pairs[known & (counts >= _MIN_WORD_COUNT) & (pmi >= _MIN_WORD_PMI)]
    return words


def _pair_codes(lines: Ids, num_chars: int) -> npt.NDArray[np.int64]:
    return lines[:, :-1].astype(np.int64) * num_chars + lines[:, 1:]


def line_keywords(poems: Ids, num_lines: int, scores: Vectors, words: npt.NDArray[np.int64], num_chars: int) -> Ids:
    """[P, L, 2] the most telling word of each line, or character where the line has no word.

    Args:
        poems: [P, T] ids of poems of one form.
        num_lines: L.
        scores: [P, T] how telling each character is.
        words: As `word_codes` makes them.
        num_chars: V.
    """
    length = poems.shape[1] // num_lines
    ids = poems.reshape(-1, length)
    scores = scores.reshape(-1, length)
    is_word = np.isin(_pair_codes(ids, num_chars), words)
    # Words stand on the beat: 2 + 2 + 3 or 2 + 3, the tail being 1 + 2 or 2 + 1.
    is_word[:, [place for place in range(length - 1) if place % 2 and place != length - 2]] = False
    pair_scores = np.where(is_word, scores[:, :-1] + scores[:, 1:], -2)
    best_pair = pair_scores.argmax(axis=1)
    rows = np.arange(len(ids))
    has_word = pair_scores[rows, best_pair] > -2
    best_char = scores.argmax(axis=1)
    result = np.stack(
        [
            np.where(has_word, ids[rows, best_pair], ids[rows, best_char]),
            np.where(has_word, ids[rows, np.minimum(best_pair + 1, length - 1)], PAD_ID),
        ],
        axis=1,
    )
    return result.reshape(-1, num_lines, 2).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Outlines:
    """What N of people's regulated poems of one form were to be: keywords, pattern and rhyme that went together.

    Attributes:
        plans: [N, L] numbers of keywords, one for each line.
        patterns: [N] ids of tonal patterns.
        rhymes: [N] ids of rhyme groups.
    """

    plans: Ids
    patterns: Ids
    rhymes: Ids

    def __len__(self) -> int:
        return len(self.plans)


_OUTLINES = "outlines."  # begins the name of an array of them: columns of keyword numbers, then pattern and rhyme


class Planner:
    """Finds outlines for a theme, or draws a keyword for each line from it.

    Args:
        vectors: [V, VECTOR_DIM] characters; products of rows are their associations in nats.
        keywords: [W, 2] ids of the words that lines were about.
        counts: [W] how often.
        char_counts: [V] how often each character stands in the training poems.
        outlines: Name of a form -> those of its poems; none of them empty. Versions of the first editions have none.
    """

    # Nats per unit of cosine. More than twice what is most likely for people's keywords, given their titles and the
    # keywords before: cosines know less than people do of what goes together, and readers miss a subject more than a
    # surprise. At 18 a poem's theme is guessed as often as people's is (docs/experiments.md).
    focus = 18.0
    # The same for outlines, whose keywords no cosine need hold together: so much, and so much more for each line, for
    # the more lines, the further they wander. So much that few others come than those nearest (docs/experiments.md).
    outline_focus = 80.0
    outline_focus_per_line = 3.0
    # The nearest so many to a theme (one in two hundred at most) are equally likely; else one or two outlines would
    # take most of a theme's poems.
    num_nearest = 40

    def __init__(
        self,
        vectors: Vectors,
        keywords: Ids,
        counts: Vectors,
        char_counts: Vectors,
        outlines: Mapping[str, Outlines] = MappingProxyType({}),
    ) -> None:
        self.vectors = vectors
        self.keywords = keywords
        self.counts = counts
        self.char_counts = char_counts
        self.outlines = outlines
        self._units = unit(vectors).astype(np.float64)
        self._units[PAD_ID] = 0
        self._keyword_units = self._units[keywords].sum(axis=1)
        self._keyword_units /= np.maximum(np.linalg.norm(self._keyword_units, axis=1, keepdims=True), 1e-6)
        # How long the sum of each outline's keywords is. Those sums themselves would take fifty megabytes.
        self._lengths = {name: np.maximum(self._summed_lengths(of.plans), 1e-6) for name, of in outlines.items()}
        self._log_counts = np.log(np.maximum(counts, 1e-9)).astype(np.float64)
        self._gains = np.zeros(len(keywords))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """What `from_arrays` makes the planner of again, small enough to store beside a model."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "vectors": self.vectors.astype(np.float16),
            "keywords": self.keywords.astype(np.int16),
            "counts": self.counts.astype(np.float32),
            "char_counts": self.char_counts.astype(np.float32),
        }
        for name, outlines in self.outlines.items():
            columns = [outlines.plans, outlines.patterns, outlines.rhymes]
            arrays[_OUTLINES + name] = np.column_stack(columns).astype(np.int16)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """The planner whose `arrays` were stored.

        Raises:
            KeyError: An array is missing.
        """
        outlines = {}
        for name, stored in arrays.items():
            if name.startswith(_OUTLINES):
                # Column by column, as the planner reads them: four times as fast.
                rows = stored.astype(np.int32, order="F")
                outlines[name.removeprefix(_OUTLINES)] = Outlines(rows[:, :-2], rows[:, -2], rows[:, -1])
        return cls(
            arrays["vectors"].astype(np.float32),
            arrays["keywords"].astype(np.int32),
            arrays["counts"].astype(np.float32),
            # Versions of the first editions lift no character, and were stored without.
            arrays.get("char_counts", np.ones(len(arrays["vectors"]))).astype(np.float32),
            outlines,
        )

    def _summed_lengths(self, plans: Ids) -> npt.NDArray[np.float64]:
        blocks = [plans[start : start + 4096] for start in range(0, len(plans), 4096)]
        return np.concatenate([np.linalg.norm(self._keyword_units[block].sum(axis=1), axis=1) for block in blocks])

    def leaning(self, char_gains: Vectors) -> "Planner":
        """A planner to which each keyword is as much likelier as its characters' gains ([V], nats) say together."""
        gains = char_gains.astype(np.float64)
        gains[PAD_ID] = 0
        leaning = copy.copy(self)
        leaning._gains = self._gains + gains[self.keywords].sum(axis=1)
        return leaning

    def divergence(self, other: "Planner") -> float:
        """KL(other ‖ self), nats, of what each draws first where there is no theme; ≥ 0.

        That is an outline, in the mean over the forms; or a keyword, if there are none.
        """
        if self.outlines:
            pairs = [[planner.outline_chances(form, []) for planner in (self, other)] for form in self.outlines]
        else:
            pairs = [[_chances(planner._log_counts + planner._gains) for planner in (self, other)]]
        return float(np.mean([(others * np.log(others / own)).sum() for own, others in pairs]))

    def outline_chances(self, form: str, theme: Sequence[int]) -> npt.NDArray[np.float64]:
        """[N] how likely each outline of a form is for a theme (ids of its characters; may be empty); they add up to 1.

        In double precision and for one theme at a time, so that a replay does not depend on a batch.
        """
        plans = self.outlines[form].plans
        likeness = self._keyword_units @ self._direction(theme)
        near = likeness[plans.T].sum(axis=0) / self._lengths[form]
        level = min(self.num_nearest, -(-len(near) // 200))
        near = np.minimum(near, np.partition(near, -level)[-level])
        focus = self.outline_focus + self.outline_focus_per_line * plans.shape[1]
        return _chances(focus * near + self._gains[plans.T].sum(axis=0))

    def likeness(self, theme: Sequence[int]) -> npt.NDArray[np.float64]:
        """[V] cosine of each character with a theme (ids of its characters; all 0 if it is empty)."""
        cosines: npt.NDArray[np.float64] = self._units @ self._direction(theme)
        return cosines

    def _direction(self, theme: Sequence[int]) -> npt.NDArray[np.float64]:
        wanted = self._units[[number for number in theme if number > UNKNOWN_ID]].sum(axis=0)
        direction: npt.NDArray[np.float64] = wanted / max(float(np.linalg.norm(wanted)), 1e-6)
        return direction

    def draw(self, themes: Sequence[Sequence[int]], uniforms: npt.NDArray[np.float64]) -> Ids:
        """[B, L, 2] a keyword for each line of each poem, none twice in a poem.

        In double precision: single rounds differently in batches of different sizes, and a replay could differ.

        Args:
            themes: The characters of each theme; may be empty.
            uniforms: [B, L] numbers in [0, 1) that decide the draws.
        """
        batch, num_lines = uniforms.shape
        sums = np.zeros((batch, self._units.shape[1]))
        sizes = np.zeros((batch, 1))
        for row, theme in enumerate(themes):
            known = [number for number in theme if number > UNKNOWN_ID]
            sums[row] = self._units[known].sum(axis=0)
            sizes[row] = len(known)
        logits = np.empty((batch, len(self.keywords)))
        drawn = np.zeros((batch, num_lines), np.intp)
        rows = np.arange(batch)
        for line in range(num_lines):
            # The theme and all the words so far count alike, so that the poem stays with one subject.
            np.matmul(self.focus * sums / np.maximum(sizes, 1), self._keyword_units.T, out=logits)
            logits += self._log_counts + self._gains
            logits[rows[:, None], drawn[:, :line]] = -np.inf
            logits -= logits.max(axis=1, keepdims=True)
            weights = np.exp(logits, out=logits).cumsum(axis=1)
            for row in range(batch):
                choice = int(np.searchsorted(weights[row], uniforms[row, line] * weights[row, -1], side="right"))
                drawn[row, line] = min(choice, len(self.keywords) - 1)
            sums += self._keyword_units[drawn[:, line]]
            sizes += 1
        return self.keywords[drawn]


def _chances(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N] probabilities, all of them above 0."""
    weights = np.exp(np.maximum(logits - logits.max(), -500))
    chances: npt.NDArray[np.float64] = weights / weights.sum()
    return chances
