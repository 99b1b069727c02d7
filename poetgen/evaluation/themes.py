"""Whether a poem is about its theme: its characters near the theme's, and a classifier that must guess the theme."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from poetgen import planner
from poetgen.dataset import FormData
from poetgen.evaluation.figures import Floats
from poetgen.evaluation.samples import Poems
from poetgen.planner import Ids, Vectors
from poetgen.vocabulary import PAD_ID, UNKNOWN_ID, Vocabulary

# Common in titles, each a subject of its own.
GUESSED_THEMES = tuple("春秋雪月梅竹柳酒寺舟邊雨菊荷茶琴雁松別夢")
_NEIGHBOURS = 10


def touches_theme(poems: Poems, vectors: Vectors, vocabulary: Vocabulary) -> Floats:
    """[P] 1 for each poem that holds a character of its theme, or one of the ten nearest to one; else 0."""
    units = planner.unit(vectors)
    near: dict[int, set[int]] = {}
    found = np.zeros(len(poems))
    for row, theme in enumerate(poems.themes):
        for number in vocabulary.encode(theme):
            if number not in near:
                near[number] = {number, *np.argsort(-(units @ units[number]))[:_NEIGHBOURS].tolist()}
            if near[number].intersection(poems.ids[row].tolist()):
                found[row] = 1
    return found


def titled(data: FormData, vocabulary: Vocabulary) -> tuple[Ids, npt.NDArray[np.intp]]:
    """([P, T] ids, [P] theme) of people's poems whose title holds just one of the `GUESSED_THEMES`."""
    wanted = vocabulary.encode("".join(GUESSED_THEMES))
    holds = (data.titles[:, :, None] == np.array(wanted)).any(axis=1)
    rows = holds.sum(axis=1) == 1
    return data.ids[rows], holds[rows].argmax(axis=1)


class ThemeGuesser:
    """Naive Bayes over a poem's characters: which of the `GUESSED_THEMES` it is about.

    Args:
        train: People's poems, all forms.
        vocabulary: Theirs.
    """

    _PRIOR = 300.0  # how many characters of other poems each theme's own stand against

    def __init__(self, train: Mapping[str, FormData], vocabulary: Vocabulary) -> None:
        size = len(vocabulary)
        counts = np.zeros((len(GUESSED_THEMES), size))
        everywhere = np.ones(size)
        for data in train.values():
            everywhere += np.bincount(data.ids.ravel(), minlength=size)
            ids, themes = titled(data, vocabulary)
            for theme in range(len(GUESSED_THEMES)):
                counts[theme] += np.bincount(ids[themes == theme].ravel(), minlength=size)
        shares = everywhere / everywhere.sum()
        likely = (counts + self._PRIOR * shares) / (counts.sum(axis=1, keepdims=True) + self._PRIOR)
        self._evidence = np.log(likely / shares)
        self._evidence[:, [PAD_ID, UNKNOWN_ID]] = 0

    def guess(self, ids: Ids) -> npt.NDArray[np.intp]:
        """[P] the likeliest theme of each of the [P, T] poems."""
        best: npt.NDArray[np.intp] = self._evidence[:, ids].sum(axis=2).argmax(axis=0)
        return best
