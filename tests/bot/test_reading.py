"""How lines are spelt, divided and glossed."""

import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.reading import RHYMES_SPELT, Word, dictionary, fitted, reading, words_of
from bot.themes import themes
from poetgen import prosody
from poetgen.phonology import RHYME_GROUPS
from poetgen.poem import FORMS, Poem
from poetgen.prosody import Report
from poetgen.record import load_phonology
from poetgen.registry import RELEASE
from poetgen.script import fold
from tests.bot.conftest import LINES

TABLE = Path(__file__).parents[2] / "bot" / "texts" / "glosses.tsv"
MARKED = Path(__file__).parents[2] / "runs" / "marks.jsonl.xz"
# Oblique in verse, and of the readings that they have today the level one: nothing is to be settled here.
ENTERING = "曲拂食拾榼績卒亟啅藉脊肋竺磕沓殼暍擿撒帖喝嗒剌刷倔拽槭切"


def glosses(line: str, tones: str = "") -> dict[str, str]:
    return {word.chars: word.gloss for word in words_of(line, tones)}


def pinyin_of(line: str, tones: str = "") -> list[str]:
    return [syllable for word in words_of(line, tones) for syllable in word.pinyin]


def own_rows() -> Iterator[tuple[str, str, str]]:
    for row in TABLE.read_text(encoding="utf-8").splitlines():
        if not row.startswith("#"):
            word, pinyin, gloss = row.split("\t")
            yield word, pinyin, gloss


def test_every_character_is_spelt_as_it_is_read_in_its_phrase() -> None:
    assert pinyin_of("白髮三千丈") == ["bái", "fà", "sān", "qiān", "zhàng"], "髮, not 發, although both are 发"
    assert pinyin_of("龘") == ["dá"]
    assert pinyin_of("一日不見") == ["yī", "rì", "bù", "jiàn"], "as each is alone"


@pytest.mark.parametrize(
    ("line", "place", "syllable"),
    [("千里江陵一日還", 6, "huán"), ("似曾相識", 0, "sì"), ("夜泊秦淮", 1, "bó"), ("淚始乾", 2, "gān"),
     ("乾坤", 0, "qián"), ("稚子", 1, "zǐ"), ("塞下秋來", 0, "sài"), ("江干", 1, "gān"),
     ("乘興迷行道路長", 3, "xíng")],
)  # fmt: skip
def test_verse_is_not_read_as_speech(line: str, place: int, syllable: str) -> None:
    assert pinyin_of(line)[place] == syllable


@pytest.mark.parametrize(
    ("word", "pinyin", "meaning"),
    [("無處", "wú chù", "nowhere"), ("卷簾", "juǎn lián", "to roll up the blind"),
     ("仙樂", "xiān yuè", "heavenly music"), ("朝臣", "cháo chén", "courtier"),
     ("更漏", "gēng lòu", "water clock of the watches"),
     ("更闌", "gēng lán", "night is ending"), ("王朝", "wáng cháo", "dynasty"), ("重來", "chóng lái", "to come again"),
     ("彈指", "tán zhǐ", "to snap one's fingers; in a flash"), ("葡萄", "pú táo", "grape"),
     ("睡覺", "shuì jué", "to wake from sleep"), ("不勝", "bù shēng", "cannot bear"),
     ("少陵", "shào líng", "Shaoling, that is Du Fu"), ("太行", "tài háng", "Taihang Mountains"),
     ("夫差", "fū chāi", "Fuchai, last king of Wu"), ("降旗", "xiáng qí", "flag of surrender"),
     ("校書", "jiào shū", "to collate books; collator"), ("侯鯖", "hóu zhēng", "dainty stew"),
     ("成蹊", "chéng xī", "to wear a path"), ("欹枕", "qī zhěn", "to lean on the pillow"),
     ("強飲", "qiǎng yǐn", "to drink against one's will"), ("此曲", "cǐ qǔ", "this song"),
     ("朝玉闕", "cháo yù què", "to attend at the jade palace"), ("那堪", "nǎ kān", "how can one bear"),
     ("床頭", "chuáng tóu", "bedhead; bedside"), ("牀頭", "chuáng tóu", "bedhead; bedside"),
     ("升平", "shēng píng", "peace and prosperity"), ("荒荒", "huāng huāng", "dim; wild")],
)  # fmt: skip
def test_a_word_is_read_as_the_dictionary_or_our_own_table_says(word: str, pinyin: str, meaning: str) -> None:
    assert words_of(fold(word)) == [Word(fold(word), tuple(pinyin.split()), meaning)]


@pytest.mark.parametrize(
    ("line", "tones", "place", "syllable"),
    [("萬重山", "OLL", 1, "chóng"), ("自為榮", "OLL", 1, "wéi"), ("與誰論", "OLL", 2, "lún"),
     ("無限興", "LOO", 2, "xìng"), ("虜騎", "OO", 1, "jì"), ("白日", "O?", 0, "bái"),
     ("阿誰", "OL", 0, "ā"), ("秋思", "LO", 1, "sì"), ("秋思", "LL", 1, "sī"), ("鄉思", "LO", 1, "sì"),
     ("晚更深", "OOL", 1, "gèng"), ("論文", "LL", 0, "lún"), ("論文", "OL", 0, "lùn"), ("便覺", "LO", 0, "biàn"),
     ("強醉", "OO", 0, "qiǎng"), ("戰場", "OL", 1, "cháng")],
)  # fmt: skip
def test_the_tones_of_a_poem_decide_between_readings(line: str, tones: str, place: int, syllable: str) -> None:
    assert pinyin_of(line, tones)[place] == syllable


def test_a_word_whose_reading_the_tones_contradict_is_none() -> None:
    assert glosses("重疊", "?O") == {"重疊": "layer on layer"}
    assert list(glosses("更生", "OL")) == ["更", "生"], "again alive, not born anew (gēng shēng)"
    assert glosses("論文", "OL") == {"論文": "to talk of writing"}, "one meaning in both tones"
    assert pinyin_of("長者", "LO") == ["zhǎng", "zhě"], "all that ours says"


def marked() -> Iterator[tuple[Poem, Report]]:
    """Every twentieth of our own poems that readers have marked."""
    phonology = load_phonology(RELEASE)
    with lzma.open(MARKED, "rt", encoding="utf-8") as file:
        for number, row in enumerate(file):
            if number % 20 == 0:
                poem = json.loads(row)
                found = Poem(tuple(poem["lines"]), FORMS[poem["form"]], poem["theme"])
                yield found, prosody.check(found, phonology)


def test_no_pinyin_contradicts_a_tone_that_is_settled() -> None:
    ours = {word for word, *_ in own_rows() if len(word) > 1}
    seen, wrong = 0, []
    for poem, report in marked():
        for line, heard, decided in zip(poem.lines, report.heard, report.decided, strict=True):
            tones = [tone or ("L" if one == "L" else "") for tone, one in zip(decided, heard, strict=True)]
            of_words = [(char, syllable, word) for word in words_of(line, tones) for char, syllable in each(word)]
            for (char, syllable, word), tone in zip(of_words, heard, strict=True):
                known = {tone_of(said) for said, _ in dictionary().get(char, ())}
                if char in ENTERING or word.chars in ours or tone not in known:
                    continue
                seen += 1
                if tone_of(syllable) != tone:
                    wrong.append((line, char, syllable))
    assert seen > 10_000
    assert wrong == []


def each(word: Word) -> Iterator[tuple[str, str]]:
    yield from zip(word.chars, word.pinyin, strict=True)


def tone_of(syllable: str) -> str:
    """Of "yue4" or "yuè"."""
    marks = dict.fromkeys("āēīōūǖáéíóúǘ12", "L") | dict.fromkeys("ǎěǐǒǔǚàèìòùǜ34", "O")
    return next((marks[char] for char in syllable if char in marks), "")


@pytest.mark.parametrize(
    ("line", "divided"),
    [("風定水中秋", "風 定 水中 秋"), ("緩轡便能驅我去", "緩 轡 便 能 驅 我 去"),
     ("夕陽橫笛背斜暉", "夕陽 橫 笛 背 斜暉"), ("惟有清樽對白頭", "惟有 清 樽 對 白頭"),
     ("却望并州是故鄉", "却 望 并州 是 故鄉"), ("凍雲猶在嶺頭家", "凍 雲 猶 在 嶺頭 家"),
     ("萬里月中央", "萬里 月中央"), ("莫向樽前自相隨", "莫 向 樽 前 自 相隨"),
     ("空見兩相思", "空 見 兩 相思"), ("漆桶聖賢多少年", "漆 桶 聖賢 多少 年"),
     ("秋來空寂寞", "秋 來 空 寂寞"), ("此地無遺恨", "此地 無 遺恨"),
     ("更有無窮意", "更 有 無窮 意"), ("一徑水溶溶", "一徑 水 溶溶"), ("江城上月明", "江 城 上 月 明")],
)  # fmt: skip
def test_the_end_of_a_line_is_divided_as_verse_is(line: str, divided: str) -> None:
    assert [word.chars for word in words_of(line)] == divided.split()


def test_words_mean_what_they_mean_when_read_so() -> None:
    assert len(dictionary()) > 80_000
    assert glosses("林靜鳥成歸")["鳥"] == "bird"
    assert glosses("陰合")["合"].startswith("to join")
    assert "fall" in glosses("落紅何處去")["落"]
    assert glosses("萬重山", "OLL")["重"].startswith("again")
    assert glosses("舉頭望明月")["明月"].startswith("bright moon")
    assert all(glosses(char)[char] for char in "却裏巖歎簷挂荆籞甆譍奈"), "or by what they are other forms of"


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("明月", "bright moon"), ("雷", "thunder"), ("犬", "dog"), ("玄", "black; mysterious"),
     ("聽", "to listen to; to hear"), ("刺史", "provincial governor"), ("茂", "luxuriant")],
)  # fmt: skip
def test_no_radical_and_no_reference_is_a_meaning(word: str, meaning: str) -> None:
    assert glosses(word)[word] == meaning


@pytest.mark.parametrize("word", ["我去", "背斜", "沙發", "對白", "是故", "頭家", "多雲"])
def test_no_word_of_today_stands_in_a_poem(word: str) -> None:
    assert word not in glosses(word)


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


def test_our_own_table_is_well_formed() -> None:
    rows = list(own_rows())
    assert [word for word, pinyin, gloss in rows if gloss and len(pinyin.split()) != len(word)] == []
    assert [word for word, _, gloss in rows if not gloss and len(word) == 1] == []
    named = [(fold(word), pinyin) for word, pinyin, _ in rows]
    assert len(set(named)) == len(named)


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
    assert "小人" not in glosses("船小人爭渡")
    assert "小人" in glosses("小人"), "it is a word, elsewhere"
    assert "".join(glosses("龘舉頭望明月")) == "龘舉頭望明月"


def test_doubled_words_stay_whole_and_what_is_no_word_in_verse_is_none() -> None:
    assert list(glosses("水溶溶")) == ["水", "溶溶"]
    assert list(glosses("轉悠悠")) == ["轉", "悠悠"]
    assert "弄清" not in glosses("映水弄清泚")


@pytest.mark.parametrize(
    ("word", "meaning"),
    [("相親", "close to each other"), ("論文", "to talk of writing"), ("小橋", "little bridge"),
     ("松下", "under the pines"), ("雙峰", "two peaks"), ("江北", "north of the river"),
     ("被", "to be … by; quilt; to cover"), ("臺", "terrace; tower"), ("危", "high; perilous"),
     ("疾", "swift; illness"), ("倩", "pretty; to ask to"), ("渾", "quite; wholly; muddy"),
     ("安得", "how could one get"), ("爭得", "how could one"), ("弔", "to mourn; to hang"), ("午", "noon"),
     ("篷", "awning of a boat"), ("三間", "three rooms"), ("白玉", "white jade"), ("上帝", "Lord on High")],
)  # fmt: skip
def test_words_have_the_meaning_of_verse_and_not_of_today(word: str, meaning: str) -> None:
    assert glosses(word)[word] == meaning


def test_every_theme_of_ours_is_one_word_with_a_meaning() -> None:
    found = {theme.hanzi: glosses(theme.hanzi) for theme in themes()}
    assert [theme for theme, words in found.items() if list(words) != [theme] or not words[theme]] == []
    assert "Yangzhou" in found["揚州"]["揚州"]
    assert found["秋聲"]["秋聲"] == "sounds of autumn"
    assert found["獨坐"]["獨坐"] == "sitting alone"
    assert found["田家"]["田家"] == "farm"
    assert pinyin_of("漁父") == ["yú", "fǔ"]


def test_no_modern_place_or_person_stands_in_a_poem() -> None:
    found = [glosses(line) for line in ("平野入青徐", "山下何人在", "莫言花落盡")]
    assert all(gloss for words in found for gloss in words.values())
    said = " ".join(gloss for words in found for gloss in words.values())
    assert not any(name in said for name in ("Hirano", "Yamashita", "Nobel"))
    assert "river" in glosses("黃河入海流")["黃河"].lower(), "old names stay"
    assert glosses("江陵") == {"江陵": "Jiangling on the Yangtze"}, "which has a county of today's beside it"
    assert glosses("王母") == {"王母": "Queen Mother of the West"}


@pytest.mark.parametrize("most", [2000, 1000, 600])
def test_reading_fits_by_shorter_glosses(most: int) -> None:
    poem = Poem(LINES + LINES, None, "暮江吟")
    page = reading(poem, prosody.check(poem, load_phonology(RELEASE)), "simplified", most)
    assert len(page) <= most
    assert page.startswith("**暮江吟**\nmù jiāng yín")
    assert page.count("yī dào") == 2
