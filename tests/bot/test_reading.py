"""How lines are spelt, divided and glossed."""

import pytest

from bot.reading import RHYMES_SPELT, dictionary, fitted, pinyin_of, reading, words_of
from bot.themes import themes
from poetgen import prosody
from poetgen.phonology import RHYME_GROUPS
from poetgen.poem import Poem
from poetgen.record import load_phonology
from poetgen.registry import RELEASE
from tests.bot.conftest import LINES


def glosses(line: str, tones: str = "") -> dict[str, str]:
    return dict(words_of(line, pinyin_of(line, tones)))


def test_every_character_is_spelt_as_it_is_read_in_its_phrase() -> None:
    assert pinyin_of("白髮三千丈") == ["bái", "fà", "sān", "qiān", "zhàng"], "髮, not 發, although both are 发"
    assert pinyin_of("龘") == ["dá"]
    assert pinyin_of("一日不見") == ["yī", "rì", "bù", "jiàn"], "as each is alone"


@pytest.mark.parametrize(
    ("line", "place", "reading"),
    [("千里江陵一日還", 6, "huán"), ("似曾相識", 0, "sì"), ("夜泊秦淮", 1, "bó"), ("淚始乾", 2, "gān"),
     ("乾坤", 0, "qián"), ("稚子", 1, "zǐ"), ("塞下秋來", 0, "sài"), ("江干", 1, "gān"),
     ("乘興迷行道路長", 3, "xíng")],
)  # fmt: skip
def test_verse_is_not_read_as_speech(line: str, place: int, reading: str) -> None:
    assert pinyin_of(line)[place] == reading


@pytest.mark.parametrize(
    ("line", "tones", "place", "reading"),
    [("萬重山", "OLL", 1, "chóng"), ("自為榮", "OLL", 1, "wéi"), ("與誰論", "OLL", 2, "lún"),
     ("無限興", "LOO", 2, "xìng"), ("虜騎", "OO", 1, "jì"), ("白日", "O?", 0, "bái"),
     ("阿誰", "OL", 0, "ā")],
)  # fmt: skip
def test_the_tones_of_a_poem_decide_between_readings(line: str, tones: str, place: int, reading: str) -> None:
    assert pinyin_of(line, tones)[place] == reading


def test_words_mean_what_they_mean_when_read_so() -> None:
    assert len(dictionary()) > 80_000
    assert glosses("林靜鳥成歸")["鳥"] == "bird"
    assert glosses("陰合")["合"].startswith("to join")
    assert "fall" in glosses("落紅何處去")["落"]
    assert glosses("萬重山", "OLL")["重"].startswith("again")
    assert glosses("舉頭望明月")["明月"].startswith("bright moon")
    assert all(glosses(char)[char] for char in "却裏巖歎簷挂"), "by what they are other forms of"


@pytest.mark.parametrize(
    ("word", "meaning"), [("明月", "bright moon"), ("雷", "thunder"), ("犬", "dog"), ("玄", "black; mysterious")]
)
def test_no_radical_and_no_reference_is_a_meaning(word: str, meaning: str) -> None:
    assert glosses(word)[word] == meaning


@pytest.mark.parametrize(
    ("longest", "shown"),
    [(40, "to gaze afar, to hope; full moon"), (31, "to gaze afar, to hope"), (20, "to gaze afar…"), (9, "to gaze…"),
     (5, "to…"), (2, "")],
)  # fmt: skip
def test_meanings_are_cut_at_a_sense_or_a_word(longest: int, shown: str) -> None:
    assert fitted("to gaze afar, to hope; full moon", longest) == shown


def test_our_own_words_say_how_they_are_read() -> None:
    assert pinyin_of("長者")[0] == "zhǎng"
    assert pinyin_of("兩行見我")[:2] == ["liǎng", "háng"]
    assert pinyin_of("夜旅")[1] == "lǚ"
    assert glosses("笳聲咽峽")["咽"].startswith("to sob")


def test_doubled_characters_and_syllables_without_a_tone_are_words() -> None:
    assert glosses("漠漠水田")["漠漠"] == "vast and hazy", "not a desert"
    assert glosses("歷歷晴川")["歷歷"] == "clear, one by one"
    assert glosses("窗窗月明中")["窗窗"] == "", "none rather than what the character means alone elsewhere"
    assert glosses("樹樹皆秋色")["樹樹"] == "tree"
    assert "peony" in glosses("牡丹")["牡丹"]
    assert "grape" in glosses("葡萄美酒")["葡萄"]


def test_rhymes_are_spelt_as_they_are_read() -> None:
    assert {group: pinyin_of(group)[0] for group in RHYME_GROUPS} == RHYMES_SPELT


def test_no_word_lies_across_the_place_where_the_voice_rests() -> None:
    assert "上月" not in glosses("江上月明斜")
    assert "小人" not in glosses("船小人爭渡")
    assert "上月" in glosses("上月"), "it is a word, elsewhere"
    assert "".join(glosses("龘舉頭望明月")) == "龘舉頭望明月"


def test_doubled_words_stay_whole_and_what_is_no_word_in_verse_is_none() -> None:
    assert list(glosses("水溶溶")) == ["水", "溶溶"]
    assert list(glosses("轉悠悠")) == ["轉", "悠悠"]
    assert "弄清" not in glosses("映水弄清泚")


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("相親", "close to each other"), ("論文", "to talk of writing"), ("小橋", "little bridge"),
     ("松下", "under the pines"), ("雙峰", "two peaks"), ("江北", "north of the river")],
)  # fmt: skip
def test_words_have_the_meaning_of_verse_and_not_of_today(word: str, meaning: str) -> None:
    assert glosses(word)[word] == meaning


def test_every_theme_of_ours_is_one_word_with_a_meaning() -> None:
    found = {theme.hanzi: glosses(theme.hanzi) for theme in themes()}
    assert [theme for theme, words in found.items() if list(words) != [theme] or not words[theme]] == []
    assert "Yangzhou" in found["揚州"]["揚州"]
    assert found["秋聲"]["秋聲"] == "sounds of autumn"
    assert pinyin_of("漁父") == ["yú", "fǔ"]


def test_no_modern_place_or_person_stands_in_a_poem() -> None:
    found = [glosses(line) for line in ("平野入青徐", "山下何人在", "莫言花落盡")]
    assert all(gloss for words in found for gloss in words.values())
    said = " ".join(gloss for words in found for gloss in words.values())
    assert not any(name in said for name in ("Hirano", "Yamashita", "Nobel"))
    assert "river" in glosses("黃河入海流")["黃河"].lower(), "old names stay"


@pytest.mark.parametrize("most", [2000, 1000, 600])
def test_reading_fits_by_shorter_glosses(most: int) -> None:
    poem = Poem(LINES + LINES, None, "暮江吟")
    page = reading(poem, prosody.check(poem, load_phonology(RELEASE)), "simplified", most)
    assert len(page) <= most
    assert page.startswith("**暮江吟**\nmù jiāng yín")
    assert page.count("yī dào") == 2
