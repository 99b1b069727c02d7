"""A generated corpus whose sounds are known, and a tiny poet trained on it in seconds."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from poetgen.dataset import Dataset, load_dataset
from poetgen.phonology import RHYME_GROUPS, RHYME_SEEDS, Phonology
from poetgen.poem import FORMS
from poetgen.poet import Poet
from poetgen.prepare import prepare
from poetgen.registry import Registry
from poetgen.training import adversarial, pretrain, release
from poetgen.training.run import Run
from tests.poetgen.generated import Sounds, plain_chars


@pytest.fixture(scope="session")
def sounds() -> Sounds:
    seeds = "".join(RHYME_SEEDS.values())
    others = plain_chars(330, seeds)
    level = {char: group for group, members in RHYME_SEEDS.items() for char in members}
    level |= {char: RHYME_GROUPS[number % len(RHYME_GROUPS)] for number, char in enumerate(others[:90])}
    return Sounds(level, others[90:])


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Path:
    """A folder in the layout of the chinese-poetry collection."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "全唐诗").mkdir()
    rng = np.random.default_rng(7)
    entries = []
    for form in FORMS.values():
        for number in range(500):
            lines = sounds.draw_poem(form, rng)
            couplets = [f"{first}，{second}。" for first, second in zip(lines[::2], lines[1::2], strict=True)]
            entries.append({"author": "某", "paragraphs": couplets, "title": lines[0][:2] + "其一", "id": str(number)})
    for _ in range(20):  # longer ones, which are learned from as excerpts
        lines = [line for _ in range(3) for line in sounds.draw_poem(FORMS["wujue"], rng)]
        entries.append({"author": "某", "paragraphs": ["，".join(lines)], "title": "長句", "id": "long"})
    for dynasty, part in (("tang", entries[::2]), ("song", entries[1::2])):
        path = folder / "全唐诗" / f"poet.{dynasty}.0.json"
        path.write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    prepare(corpus, folder, min_char_count=5, quiet=True)
    return folder


@pytest.fixture(scope="session")
def dataset(prepared: Path) -> Dataset:
    return load_dataset(prepared)


@pytest.fixture(scope="session")
def phonology(dataset: Dataset) -> Phonology:
    return dataset.phonology


@pytest.fixture(scope="session")
def pretraining(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "pretrain"
    torch.set_num_threads(1)  # several at so small a size wait for each other more than they compute
    run = Run(folder, "pretrain", resume=False, max_steps=250)
    pretrain.pretrain(dataset, run, pretrain.PRESETS["tiny"], minutes=60, quiet=True)
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset, pretraining: Path) -> Path:
    """A registry with one trained version, promoted."""
    folder = tmp_path_factory.mktemp("home")
    generator, recipe = pretrain.load_pretrained(pretraining, dataset)
    run = Run(tmp_path_factory.mktemp("runs") / "adversarial", "adversarial", resume=False, max_steps=20)
    discriminator = adversarial.adversarial(
        dataset, generator, run, adversarial.PRESETS["tiny"], minutes=60, quiet=True
    )
    registry = Registry(folder)
    model = release.assemble(dataset, generator, discriminator, {"pretrain": recipe})
    registry.promote(release.register(release.with_figures(model, dataset, poems=8), registry))
    return folder


@pytest.fixture(scope="session")
def poet(home: Path) -> Poet:
    return Poet.load(home, num_threads=1)
