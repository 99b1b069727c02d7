"""How much each character must be lifted for the poet to use it as often as people do.

Knows no losses. What a cool temperature and the choice among candidates prefer is scenery; what they pass over are the
small words by which people say something. A rule (lift what is rare) cannot know which is which, but it can be found
out: write, count, lift what came too seldom, write again. That is fitting an exponential tilting whose moments are
people's (Khalifa et al. 2021), with two deviations: only a character's frequency is a moment, and what is tilted is the
poet as it is used, search and all, so that nothing but writing tells what a step does.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from poetgen.checkpoint import Model
from poetgen.dataset import Dataset, FormData
from poetgen.poem import PoemRequest
from poetgen.poet import REQUESTS_TOGETHER, Poet, constraints_of
from poetgen.vocabulary import UNKNOWN_ID

_ROUNDS = 4
_NO_THEME = 0.2  # share of the poems
_AS_PEOPLES = 4000  # characters' worth of people's frequencies, added to what was counted
_RATE = 0.8  # of what is missing, in nats, made up for in a round
_LARGEST_STEP = 1.0


def lifted(
    model: Model, dataset: Dataset, chars: int, *, seed: int = 0, progress: Callable[[int], object] | None = None
) -> Model:
    """The model with lifts; its recipe says how far its characters were from people's before each round's step.

    The distance is the total variation between frequencies of characters, 0 to 1, in the mean over forms; a sample of
    people's of that size is not at 0 either.

    Args:
        model: A version.
        dataset: Whose training poems say how often people use a character, and on which themes people write.
        chars: How many characters to write of each form in each of four rounds, about.
        seed: Of themes and poems.
        progress: Told after each few poems how many more were written.
    """
    source = random.Random(seed)
    themes = _themes(dataset)
    forms = _regulated(dataset)
    lifts, distances = constraints_of(model).lifts.clone(), []
    for _ in range(_ROUNDS):
        poet = Poet("", replace(model, lifts=lifts))
        missing, distance = np.zeros(len(lifts)), 0.0
        for data in forms.values():
            own = _written(poet, data, _count(data, chars), themes, source, progress)
            people = np.bincount(data.ids[data.patterns > 0].ravel(), minlength=len(lifts))
            people[: UNKNOWN_ID + 1] = 0
            frequencies = people / people.sum()
            expected = frequencies * (own.sum() + _AS_PEOPLES) + 0.5
            missing += np.log(expected / (own + frequencies * _AS_PEOPLES + 0.5)) / len(forms)
            distance += 0.5 * np.abs(own / own.sum() - frequencies).sum() / len(forms)
        distances.append(round(float(distance), 3))
        lifts = lifts + _RATE * torch.from_numpy(missing).float().clamp(-_LARGEST_STEP, _LARGEST_STEP)
    return replace(model, lifts=lifts, recipe={**model.recipe, "lifts": distances})


def num_poems(dataset: Dataset, chars: int) -> int:
    """How many poems `lifted` writes."""
    return _ROUNDS * sum(_count(data, chars) for data in _regulated(dataset).values())


def _regulated(dataset: Dataset) -> Mapping[str, FormData]:
    """The forms that there are regulated poems of."""
    return {name: data for name, data in dataset.train.items() if (data.patterns > 0).any()}


def _count(data: FormData, chars: int) -> int:
    return REQUESTS_TOGETHER * max(1, round(chars / data.form.num_chars / REQUESTS_TOGETHER))


def _written(
    poet: Poet,
    data: FormData,
    count: int,
    themes: Mapping[str, int],
    source: random.Random,
    progress: Callable[[int], object] | None,
) -> npt.NDArray[np.int64]:
    """[V] how often each character stands in poems written as members would ask for them."""
    vocabulary = poet.model.vocabulary
    found = np.zeros(len(vocabulary), np.int64)
    names, weights = list(themes), list(themes.values())
    for _ in range(0, count, REQUESTS_TOGETHER):
        asked = [
            "" if not names or source.random() < _NO_THEME else source.choices(names, weights)[0]
            for _ in range(REQUESTS_TOGETHER)
        ]
        requests = [PoemRequest(data.form, theme=theme) for theme in asked]
        for composition in poet.compose(requests, source=source):
            found += np.bincount(vocabulary.encode(composition.poem.text), minlength=len(found))
        if progress:
            progress(REQUESTS_TOGETHER)
    return found


def _themes(dataset: Dataset) -> Mapping[str, int]:
    """What people write about: the two most telling characters of their titles, and how many poems have them."""
    counts: Counter[tuple[int, int]] = Counter()
    for data in dataset.train.values():
        counts.update((first, second) for first, second in data.titles[:, :2].tolist())
    return {
        dataset.vocabulary.decode(pair): count for pair, count in counts.most_common(1500) if min(pair) > UNKNOWN_ID
    }
