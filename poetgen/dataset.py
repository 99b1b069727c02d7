"""The encoded corpus and its seeded minibatches.

Knows what a poem is made of (form, title, keywords, pattern, rhyme) as arrays of ids; no model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from poetgen import files, planner, prosody
from poetgen.classics import Classics
from poetgen.corpus import SplitPoem
from poetgen.errors import CorpusError
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.planner import Ids, Outlines, Planner, Vectors
from poetgen.poem import FORMS, Form, Poem
from poetgen.tails import LENGTH, Tails
from poetgen.vocabulary import PAD_ID, UNKNOWN_ID, Vocabulary, count_vocabulary

MAX_TITLE = 4  # characters of a title that have most to do with the poem
MAX_KEYWORDS = 3
_MAX_PLAN_WORDS = 16384
_MIN_TITLE_RELEVANCE = 0.45  # cosine; below it a title character says too little of the poem (次韻, 其二 ...)
# Counting words and formulas of titles, relevant to everything and telling of nothing.
_TITLE_FORMULAS = frozenset("首其一二三四五六七八九十和次韻")
_DATASET_FILE = "dataset.safetensors"
_FORMAT = "2"  # of that file; to be raised when something is added that training would miss

# Pattern and rhyme ids: 0 is unknown, so that a model can be asked without them.
PATTERN_IDS: Mapping[str, int] = {name: number + 1 for number, name in enumerate(prosody.PATTERNS)}
RHYME_IDS: Mapping[str, int] = {name: number + 1 for number, name in enumerate(RHYME_GROUPS)}
PATTERN_NAMES: Mapping[int, str] = {number: name for name, number in PATTERN_IDS.items()}
RHYME_NAMES: Mapping[int, str] = {number: name for name, number in RHYME_IDS.items()}
# How often people wrote what: form -> "patterns" or "rhymes" -> name -> share, 0 to 1.
Shares: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class FormData:
    """Poems of one form, as arrays over poems.

    Attributes:
        form: The form, of L lines and T characters.
        ids: [P, T] characters.
        titles: [P, MAX_TITLE] telling characters of the title, `PAD_ID` where there are fewer.
        keywords: [P, MAX_KEYWORDS] the poem's own most telling characters.
        plans: [P, L, 2] a keyword for each line.
        patterns: [P] pattern id; 0 for a poem that is not regulated.
        rhymes: [P] rhyme group id; 0 likewise.
    """

    form: Form
    ids: Ids
    titles: Ids
    keywords: Ids
    plans: Ids
    patterns: Ids
    rhymes: Ids

    def __len__(self) -> int:
        return len(self.ids)

    def and_also(self, other: "FormData") -> "FormData":
        """These poems and others of the same form."""
        return FormData(self.form, *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ARRAYS))

    @property
    def are_regular(self) -> npt.NDArray[np.bool_]:
        """[P] which are regulated and without characters too rare for the vocabulary, as all that a model writes is."""
        regular: npt.NDArray[np.bool_] = (self.patterns > 0) & (self.ids > UNKNOWN_ID).all(axis=1)
        return regular

    def take(self, rows: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> "FormData":
        return FormData(self.form, *(getattr(self, name)[rows] for name in _ARRAYS))


@dataclass(frozen=True, slots=True)
class Dataset:
    """All that training reads, and what is stored beside every model.

    Attributes:
        train, validation: Poems by form, of the two splits.
        excerpts: Of longer poems, by form: for pretraining, where nothing is counted or judged by them.
    """

    vocabulary: Vocabulary
    phonology: Phonology
    planner: Planner
    classics: Classics
    train: Mapping[str, FormData]
    validation: Mapping[str, FormData]
    excerpts: Mapping[str, FormData]

    def learned_lines(self, length: int) -> Ids:
        """[N, length] every line of that length that a model was trained on, to find what it copied."""
        read = [*self.train.values(), *self.excerpts.values()]
        return np.concatenate([data.ids.reshape(-1, length) for data in read if data.form.line_lengths[0] == length])


def encode(
    poems: Sequence[SplitPoem],
    reports: Sequence[prosody.Report],
    excerpts: Sequence[Poem],
    phonology: Phonology,
    min_count: int,
) -> Dataset:
    """The dataset of cleaned poems.

    Args:
        poems: The poems.
        reports: What `prosody.check` found of each.
        excerpts: Of longer poems, in the four forms. Nothing is counted in them: they change no vocabulary and no plan.
            Their lines are lines of the corpus as the others are.
        phonology: Learned from the same corpus.
        min_count: Characters rarer than this in the training poems are one unknown character.
    """
    vocabulary = count_vocabulary((item.poem.text for item in poems if not item.validation), min_count)
    if not vocabulary.chars:
        raise CorpusError(
            f"No character stands {min_count} times in these poems. Give more of them, or a smaller --min-char-count."
        )
    train = _by_form((item.poem for item in poems if not item.validation), vocabulary)
    longest = max(form.num_chars for form in FORMS.values())
    train_ids = [
        np.pad(ids, ((0, 0), (0, longest - ids.shape[1])), constant_values=PAD_ID) for ids, _ in train.values()
    ]
    vectors = planner.association_vectors(np.concatenate(train_ids), len(vocabulary), np.random.default_rng(0))
    words = planner.word_codes(
        [ids.reshape(-1, FORMS[name].line_lengths[0]) for name, (ids, _) in train.items() if len(ids)],
        len(vocabulary),
    )
    known = {item.poem: report for item, report in zip(poems, reports, strict=True) if report.passed}

    def described(name: str, ids: Ids, of: Sequence[Poem]) -> FormData:
        titles = np.full((len(of), 12), PAD_ID, np.int32)
        for row, poem in enumerate(of):
            text = "".join(char for char in poem.title if char not in _TITLE_FORMULAS)
            title = [number for number in dict.fromkeys(vocabulary.encode(text)) if number > UNKNOWN_ID][:12]
            titles[row, : len(title)] = title
        telling = planner.telling(vectors, ids, ids)
        regulated = [known.get(poem) for poem in of]
        return FormData(
            FORMS[name],
            ids,
            _most_telling(titles, planner.relevance(vectors, ids, titles), MAX_TITLE, _MIN_TITLE_RELEVANCE),
            _most_telling(ids, telling, MAX_KEYWORDS, 0.0),
            planner.line_keywords(ids, FORMS[name].num_lines, telling, words, len(vocabulary)),
            np.array([PATTERN_IDS[report.pattern] if report else 0 for report in regulated], np.int32),
            np.array([RHYME_IDS.get(report.rhyme or "", 0) if report else 0 for report in regulated], np.int32),
        )

    def split(encoded: Mapping[str, tuple[Ids, Sequence[Poem]]]) -> dict[str, FormData]:
        return {name: described(name, ids, of) for name, (ids, of) in encoded.items()}

    training = split(train)
    return Dataset(
        vocabulary,
        phonology,
        _planner(vectors, training),
        Classics.of(line for poem in (*(item.poem for item in poems), *excerpts) for line in poem.lines),
        training,
        split(_by_form((item.poem for item in poems if item.validation), vocabulary)),
        split(_by_form(excerpts, vocabulary)),
    )


def _by_form(poems: Iterable[Poem], vocabulary: Vocabulary) -> dict[str, tuple[Ids, list[Poem]]]:
    """([P, T] the characters' ids, poems) for each form."""
    by_form: dict[str, list[Poem]] = {name: [] for name in FORMS}
    for poem in poems:
        assert poem.form is not None
        by_form[poem.form.name].append(poem)
    return {
        name: (
            np.array([vocabulary.encode(poem.text) for poem in of], np.int32).reshape(len(of), FORMS[name].num_chars),
            of,
        )
        for name, of in by_form.items()
    }


def _most_telling(ids: Ids, telling: npt.NDArray[np.float32], count: int, least: float) -> Ids:
    """[P, count] the ids of the highest scores, `PAD_ID` below `least`; a repeated character counts once."""
    scores = telling.copy()
    for place in range(1, ids.shape[1]):
        scores[(ids[:, :place] == ids[:, place : place + 1]).any(axis=1), place] = -1
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    chosen = np.take_along_axis(ids, order, axis=1)
    chosen[np.take_along_axis(scores, order, axis=1) < least] = PAD_ID
    return chosen.astype(np.int32)


def _planner(vectors: Vectors, train: Mapping[str, FormData]) -> Planner:
    plans = np.concatenate([data.plans.reshape(-1, 2) for data in train.values()])
    keywords, counts = np.unique(plans, axis=0, return_counts=True)
    known = keywords[:, 0] > UNKNOWN_ID
    keywords, counts = keywords[known], counts[known]
    commonest = np.sort(np.argsort(-counts, kind="stable")[:_MAX_PLAN_WORDS])
    chars = sum(np.bincount(data.ids.ravel(), minlength=len(vectors)) for data in train.values())
    keywords = keywords[commonest]
    outlines = {name: _outlines(data, keywords) for name, data in train.items()}
    outlines = {name: of for name, of in outlines.items() if len(of)}
    return Planner(vectors, keywords, counts[commonest].astype(np.float32), np.asarray(chars, np.float32), outlines)


def _outlines(data: FormData, keywords: Ids) -> Outlines:
    """Of the regulated poems whose keywords are all known."""
    width = int(keywords.max()) + 1
    codes = keywords[:, 0].astype(np.int64) * width + keywords[:, 1]  # sorted, as `np.unique` left the keywords
    wanted = data.plans[:, :, 0].astype(np.int64) * width + data.plans[:, :, 1]
    numbers = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    known = (codes[numbers] == wanted).all(axis=1) & (data.patterns > 0) & (data.rhymes > 0)
    return Outlines(numbers[known].astype(np.int32), data.patterns[known], data.rhymes[known])


_ARRAYS = ("ids", "titles", "keywords", "plans", "patterns", "rhymes")


def save_dataset(dataset: Dataset, folder: Path) -> None:
    """Write the dataset into a prepared folder, whole or not at all."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for side, split in (("train", dataset.train), ("validation", dataset.validation), ("excerpts", dataset.excerpts)):
        for name, data in split.items():
            for field in _ARRAYS:
                arrays[f"{side}.{name}.{field}"] = getattr(data, field).astype(np.int16)
    arrays |= {f"phonology.{name}": array for name, array in dataset.phonology.arrays().items()}
    arrays |= {f"planner.{name}": array for name, array in dataset.planner.arrays().items()}
    arrays["classics.bits"] = dataset.classics.bits
    metadata = {"format": _FORMAT, "vocabulary": dataset.vocabulary.chars, "phonology": dataset.phonology.chars}
    files.write_whole(folder / _DATASET_FILE, lambda path: save_file(arrays, path, metadata=metadata))


def load_dataset(folder: Path) -> Dataset:
    """The dataset that `poetgen prepare` wrote into a folder.

    Raises:
        CorpusError: There is none, or it is damaged or of another edition.
    """
    path = folder / _DATASET_FILE
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if metadata.get("format") != _FORMAT:
            raise CorpusError(
                f"{folder} was prepared by another edition. Make it again: poetgen prepare CORPUS --out {folder}"
            )
        vocabulary = Vocabulary(metadata["vocabulary"])
        return Dataset(
            vocabulary,
            Phonology.from_arrays(metadata["phonology"], files.under("phonology", arrays)),
            Planner.from_arrays(files.under("planner", arrays)),
            Classics(arrays["classics.bits"].astype(np.uint8)),
            _split("train", arrays),
            _split("validation", arrays),
            _split("excerpts", arrays),
        )
    except FileNotFoundError:
        raise CorpusError(
            f"{folder} holds no prepared corpus. Make one: poetgen prepare CORPUS --out {folder}"
        ) from None
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CorpusError(
            f"{path} is damaged ({error}). Make it again: poetgen prepare CORPUS --out {folder}"
        ) from None


def _split(side: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, FormData]:
    return {
        name: FormData(form, *(arrays[f"{side}.{name}.{field}"].astype(np.int32) for field in _ARRAYS))
        for name, form in FORMS.items()
    }


def shares_of(train: Mapping[str, FormData]) -> dict[str, dict[str, dict[str, float]]]:
    """How common each pattern and rhyme group is among the regulated poems: form -> kind -> name -> share."""

    def shares(numbers: Ids, names: Mapping[str, int]) -> dict[str, float]:
        counts = np.bincount(numbers[numbers > 0], minlength=len(names) + 1)
        return {name: round(float(counts[number] / max(1, counts[1:].sum())), 5) for name, number in names.items()}

    return {
        name: {"patterns": shares(data.patterns, PATTERN_IDS), "rhymes": shares(data.rhymes, RHYME_IDS)}
        for name, data in train.items()
    }


def tails_of(dataset: Dataset) -> Tails:
    """How people's lines end: all lines of the training poems."""
    lines = (data.ids.reshape(-1, data.form.line_lengths[0]) for data in dataset.train.values())
    return Tails.of(np.concatenate([of[:, -LENGTH:] for of in lines]))


def minibatches(
    data: Mapping[str, FormData], chars_per_batch: int, rng: np.random.Generator, *, regulated: bool = False
) -> Iterator[FormData]:
    """Batches of one form each, without end; forms come as often as they have characters.

    Args:
        data: Poems by form.
        chars_per_batch: About how many characters to a batch.
        rng: Decides everything.
        regulated: Only poems that keep a pattern.
    """
    pools = {
        name: np.flatnonzero(forms.patterns > 0) if regulated else np.arange(len(forms)) for name, forms in data.items()
    }
    names = [name for name, pool in pools.items() if len(pool)]
    if not names:
        raise CorpusError("The prepared corpus holds no poem to train on. Prepare a larger one.")
    weights = np.array([len(pools[name]) * FORMS[name].num_chars for name in names], np.float64)
    orders = {name: rng.permutation(pools[name]) for name in names}
    starts = dict.fromkeys(names, 0)
    while True:
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        size = min(len(pools[name]), max(1, chars_per_batch // FORMS[name].num_chars))
        if starts[name] + size > len(orders[name]):
            orders[name], starts[name] = rng.permutation(pools[name]), 0
        yield data[name].take(orders[name][starts[name] : starts[name] + size])
        starts[name] += size
