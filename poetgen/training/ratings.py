"""People's ratings as a fine-tune reads them: JSON lines, one row for each poem and fold of voters.

Knows no voters and no database: whoever exports the file has weighed the votes and left out who cast them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from poetgen import script
from poetgen.errors import TrainingError
from poetgen.poem import FORMS, Form
from poetgen.vocabulary import Vocabulary

NUM_FOLDS = 5
_GIVE = "Give a file of ratings, as docs/learning.md has them."
LEAST_POEMS = 15
_MOST_BYTES = 200 * 2**20

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RatedPoem:
    """A poem that was voted on.

    Attributes:
        form: Its form, of L lines and T characters.
        theme: What was asked for, in traditional characters; "" if nothing or not told.
        lines: The poem, in traditional characters.
    """

    form: Form
    theme: str
    lines: tuple[str, ...]

    def ids(self, vocabulary: Vocabulary) -> list[int]:
        """[T] its characters."""
        return vocabulary.encode("".join(self.lines))

    def known_theme(self, vocabulary: Vocabulary) -> str:
        """Its theme without the characters that a vocabulary lacks."""
        return "".join(char for char in self.theme if char in vocabulary)


@dataclass(frozen=True, slots=True)
class Ratings:
    """All rated poems of a voice.

    Attributes:
        poems: P poems, each once.
        up: [P, NUM_FOLDS] weight of the likes that each fold of voters gave; 0 and more.
        down: [P, NUM_FOLDS] of the dislikes.
        sha256: Of the file.
    """

    poems: tuple[RatedPoem, ...]
    up: Weights
    down: Weights
    sha256: str


def read_ratings(path: Path) -> Ratings:
    """The ratings in a file, found to be enough to learn from.

    Raises:
        TrainingError: The file is missing, cut or foreign, or says too little; the message says what is missing.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise TrainingError(f"{path} is larger than any server's ratings. {_GIVE}")
        content = path.read_bytes()
        rows = content.decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} cannot be read ({error}). {_GIVE}") from None
    weights: dict[RatedPoem, Weights] = {}
    for number, row in enumerate(rows, start=1):
        if not row.strip():
            continue
        try:
            poem, fold, up, down = _parse(json.loads(row))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise TrainingError(f"{path}, line {number}, is no row of ratings ({error}). {_GIVE}") from None
        own = weights.setdefault(poem, np.zeros((2, NUM_FOLDS)))
        own[0, fold] += up
        own[1, fold] += down
    rated = {poem: own for poem, own in weights.items() if own.sum() > 0}
    if len(rated) < LEAST_POEMS:
        missing = LEAST_POEMS - len(rated)
        raise TrainingError(
            f"{path} rates {len(rated)} poems; a fine-tune needs {LEAST_POEMS}. Wait for votes on {missing} more.",
            "few",
        )
    stacked = np.stack(list(rated.values()))
    ratings = Ratings(tuple(rated), stacked[:, 0], stacked[:, 1], hashlib.sha256(content).hexdigest())
    if not ratings.up.sum() or not ratings.down.sum():
        way = "likes" if ratings.up.sum() else "dislikes"
        raise TrainingError(
            f"{path} holds {way} only, and taste shows in the difference. Wait for other votes.", "alike"
        )
    if ((ratings.up + ratings.down).sum(axis=0) > 0).sum() < 2:
        raise TrainingError(f"{path} holds one fold of voters only. Wait for votes of other members.", "fold")
    return ratings


def _parse(row: Any) -> tuple[RatedPoem, int, float, float]:
    """(poem, fold, up, down) of a row.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: It is none.
    """
    form = FORMS[row["form"]]
    lines, theme, fold = row["traditional"], row["theme"] or "", row["fold"]
    up, down = float(row["up"]), float(row["down"])
    if not isinstance(fold, int) or not 0 <= fold < NUM_FOLDS:
        raise ValueError(f"fold {fold!r}")
    if not (0 <= up < 1e6 and 0 <= down < 1e6):
        raise ValueError("a weight that is none")
    if not isinstance(lines, list) or not all(isinstance(line, str) and script.is_hanzi(line) for line in lines):
        raise ValueError("lines that are none")
    if tuple(map(len, lines)) != form.line_lengths:
        raise ValueError(f"lines that do not make {form.name}")
    if not isinstance(theme, str) or (theme and not script.is_hanzi(theme)):
        raise ValueError("a theme that is none")
    return RatedPoem(form, theme, tuple(lines)), fold, up, down
