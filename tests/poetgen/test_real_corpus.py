"""What can only be seen on the real corpus. Give its folder in CHINESE_POETRY; without it these tests skip."""

import os
from pathlib import Path

import pytest

from poetgen.dataset import Dataset, load_dataset
from poetgen.phonology import Phonology
from poetgen.prepare import Prepared, prepare

pytestmark = pytest.mark.skipif(
    "CHINESE_POETRY" not in os.environ, reason="CHINESE_POETRY does not name a chinese-poetry checkout"
)

# Well-known characters of one reading, and members of rhyme groups that are no seeds; typed from school knowledge.
LEVEL = "天山人花春秋風雲江流城樓舟門家心情愁香光煙霜寒飛歸來開紅青黃長深高低前年時明星"
OBLIQUE = "月日水雨雪夜夢酒客路樹草葉鳥白碧玉落暮晚曉遠近萬里一不有在到見入去上下久老"
RHYMES = {
    "東": "紅風同功窮", "支": "遲期悲池絲", "微": "扉機稀暉", "魚": "疏廬初", "虞": "湖孤壺圖", "齊": "棲泥蹄",
    "灰": "回杯苔哀", "真": "塵身貧親鄰", "文": "分紛軍", "元": "魂昏尊", "寒": "殘寬欄竿", "先": "煙船眠邊圓",
    "蕭": "簫橋條", "豪": "袍濤", "歌": "波過荷", "麻": "沙茶涯鴉", "陽": "光腸涼鄉", "庚": "城情行輕平",
    "青": "聽醒冥", "蒸": "層凝", "尤": "舟州遊休", "侵": "林音金陰", "鹽": "簷纖",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every second file of the checkout: enough to learn from, in half of the time."""
    source, half = Path(os.environ["CHINESE_POETRY"]), tmp_path_factory.mktemp("half")
    for path in sorted(source.rglob("*.json"))[::2]:
        link = half / path.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.resolve())
    return half


@pytest.fixture(scope="module")
def prepared(half: Path, folder: Path) -> Prepared:
    return prepare(half, folder, min_char_count=10, quiet=True)


@pytest.fixture(scope="module")
def dataset(prepared: Prepared, folder: Path) -> Dataset:
    return load_dataset(folder)


@pytest.fixture(scope="module")
def phonology(dataset: Dataset) -> Phonology:
    return dataset.phonology


def test_keeps_most_poems_of_the_four_forms(prepared: Prepared) -> None:
    assert prepared.summary.kept.total() > 100_000
    assert not prepared.summary.bad_files
    assert 0.02 < prepared.validation / prepared.summary.kept.total() < 0.06
    for form, regulated in prepared.regulated.items():
        total = sum(count for (name, _), count in prepared.summary.kept.items() if name == form)
        assert 0.4 < regulated / total < 0.9


def test_hears_the_tones_of_well_known_characters(phonology: Phonology) -> None:
    assert [char for char in LEVEL if "level" not in phonology.sure_tones(char)] == []
    assert [char for char in OBLIQUE if "oblique" not in phonology.sure_tones(char)] == []


def test_finds_both_readings_where_there_are_two(phonology: Phonology) -> None:
    for char in "看過思重教論為勝":
        assert phonology.sure_tones(char) == {"level", "oblique"}, char


def test_finds_the_rhyme_groups_of_well_known_characters(phonology: Phonology) -> None:
    found = {
        group: "".join(char for char in members if phonology.rhyme(char) == group) for group, members in RHYMES.items()
    }
    assert found == dict(RHYMES)


def test_few_characters_are_lost_to_doubt(dataset: Dataset) -> None:
    unsure = [char for char in dataset.vocabulary.chars if not dataset.phonology.sure_tones(char)]
    assert len(unsure) < 0.08 * len(dataset.vocabulary)


def test_no_line_stands_on_both_sides(dataset: Dataset) -> None:
    for data in dataset.validation.values():
        length = data.form.line_lengths[0]
        known = {line.tobytes() for line in dataset.learned_lines(length)}
        # Rare characters are one id, so a few different lines look alike; none of those is a line without any.
        shared = [line for line in data.ids.reshape(-1, length) if line.tobytes() in known and (line > 2).all()]
        assert shared == []
