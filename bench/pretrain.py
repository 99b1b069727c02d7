"""How near is pretraining to what this machine can do?

    python -m bench.pretrain [--threads N] [--seconds N]

Trains the shipped sizes for a minute on poems of random characters (the speed is that of any poems; nothing is
learned) and says the speed, and its share of the bound that the machine's matrix products set.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from bench.shipped import shipped_poet
from poetgen.checkpoint import Model
from poetgen.dataset import MAX_KEYWORDS, MAX_TITLE, Dataset, FormData
from poetgen.phonology import RHYME_GROUPS
from poetgen.poem import FORMS, Form
from poetgen.prosody import PATTERNS
from poetgen.training.pretrain import PRESETS, pretrain, share_of_bound
from poetgen.training.run import Run, use_device
from poetgen.vocabulary import UNKNOWN_ID

_POEMS = 2000


def random_poems(form: Form, count: int, num_chars: int, rng: np.random.Generator) -> FormData:
    """Poems of random characters, about which all is told."""

    def chars(*shape: int) -> np.ndarray:
        return rng.integers(UNKNOWN_ID + 1, num_chars, (count, *shape), dtype=np.int32)

    return FormData(
        form,
        chars(form.num_chars),
        chars(MAX_TITLE),
        chars(MAX_KEYWORDS),
        chars(form.num_lines, 2),
        rng.integers(0, 1 + len(PATTERNS), count, dtype=np.int32),
        rng.integers(0, 1 + len(RHYME_GROUPS), count, dtype=np.int32),
    )


def measure(model: Model, seconds: float) -> dict[str, float]:
    """Figures by name: characters a second, and the share of the bound."""
    rng = np.random.default_rng(0)
    size = len(model.vocabulary)
    train = {name: random_poems(form, _POEMS, size, rng) for name, form in FORMS.items()}
    few, none = ({name: data.take(slice(count)) for name, data in train.items()} for count in (4, 0))
    dataset = Dataset(model.vocabulary, model.phonology, model.planner, model.classics, train, few, none)
    config = PRESETS["base"]
    with TemporaryDirectory() as folder:
        run = Run(Path(folder) / "run", "pretrain", resume=False)
        generator = pretrain(dataset, run, config, minutes=seconds / 60, quiet=True)
        share = share_of_bound(generator, config, run.speed)
    return {"threads": torch.get_num_threads(), "chars_a_second": run.speed, "share_of_bound": share}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.pretrain", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--threads", type=int, default=2, help="threads that compute")
    parser.add_argument("--seconds", type=float, default=60, help="how long to train")
    options = parser.parse_args()
    use_device("cpu", options.threads)
    figures = measure(shipped_poet(options.threads).model, options.seconds)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
