"""The chinese-poetry collection -> clean, deduplicated Poems with a stable split.

Knows no torch and no phonology: whether a poem is regulated is found out later, by `prosody`.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from poetgen import script
from poetgen.errors import CorpusError
from poetgen.poem import FORMS_BY_LENGTHS, Poem
from poetgen.text import split_lines

# In this order: of two versions of one poem the earlier file's is kept.
_SOURCES = (("唐", "全唐詩", "poet.tang.*.json"), ("宋", "全宋詩", "poet.song.*.json"), ("唐", "補錄", "唐诗补录.json"))
_FOLDER = "全唐诗"

# Editors' notes, innermost brackets first; what is left of a nest goes in the next round.
_NOTE = re.compile(r"（[^（）]*）|\([^()]*\)|〔[^〔〕]*〕|〖[^〖〗]*〗|《[^《》]*》|〈[^〈〉]*〉")
_QUOTES = re.compile("[「」『』“”\u2018\u2019\"'·]")
_BRACKETS = re.compile(r"[\[\]{}（）()〔〕〖〗《》〈〉]")
_LACUNA = re.compile(r"[□○●〇◇…]")

VALIDATION_SHARE = 0.04
# Stock lines chain poems into one huge cluster; a cluster above this size is training, whatever its hash says.
_MAX_VALIDATION_CLUSTER = 20


@dataclass(slots=True)
class Summary:
    """What preparing the corpus kept and dropped, and why (counts of poems, but for bad files)."""

    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    bad_files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SplitPoem:
    """A poem of the prepared corpus."""

    poem: Poem
    validation: bool
    regulated: bool = False


def _corpus_files(corpus: Path) -> list[tuple[str, Path]]:
    folder = corpus / _FOLDER
    if not corpus.is_dir():
        raise CorpusError(f"There is no corpus at {corpus}. Give the folder of a chinese-poetry checkout.")
    files = [
        (dynasty, path) for dynasty, _, pattern in _SOURCES for path in sorted(folder.glob(pattern), key=_by_number)
    ]
    if not files:
        raise CorpusError(
            f"{corpus} holds no {_FOLDER}/poet.tang.*.json or poet.song.*.json. Give a chinese-poetry checkout."
        )
    return files


def _by_number(path: Path) -> tuple[int, str]:
    digits = re.sub(r"\D", "", path.stem)
    return (int(digits) if digits else 0, path.name)


def _read_file(path: Path) -> list[dict[str, object]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CorpusError(
            f"{path} cannot be read as JSON ({error}). Mend it, or go on without it by --skip-bad."
        ) from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CorpusError(f"{path} is not a list of poems. Mend it, or go on without it by --skip-bad.")
    return entries


def without_notes(text: str) -> str:
    """`text` without what editors put in brackets."""
    before = None
    while before != text:
        before, text = text, _NOTE.sub("", text)
    return text


def _clean_title(raw: object) -> str:
    title = script.fold(without_notes(raw)) if isinstance(raw, str) else ""
    return re.sub(r"[^㐀-鿿\U00020000-\U0003ffff ]+", "", title).strip()


def _clean_poem(entry: dict[str, object], dynasty: str) -> Poem | str:
    """The poem in an entry of the collection, or the reason why it is none of ours."""
    paragraphs = entry.get("paragraphs")
    if not isinstance(paragraphs, list) or not all(isinstance(text, str) for text in paragraphs):
        return "malformed entry"
    text = _QUOTES.sub("", without_notes("".join(paragraphs)))
    if not text:
        return "empty"
    if _LACUNA.search(text):
        return "lacuna"
    if _BRACKETS.search(text):
        return "broken brackets or composed character"
    lines = tuple(split_lines(script.fold(text)))
    form = FORMS_BY_LENGTHS.get(tuple(map(len, lines)))
    if form is None and not _excerpt_lengths(lines):
        return "another form"
    if not all(map(script.is_hanzi, lines)):
        return "stray script"
    author = entry.get("author")
    return Poem(lines, form, _clean_title(entry.get("title")), author if isinstance(author, str) else "", dynasty)


def _excerpt_lengths(lines: Sequence[str]) -> list[int]:
    """How many lines each excerpt of a longer poem has: eights, and a last four; [] if its lines are none of ours."""
    longer = len(lines) > 4 and len(lines) % 2 == 0 and len(set(map(len, lines))) == 1 and len(lines[0]) in (5, 7)
    return [8] * (len(lines) // 8) + [4] * (len(lines) % 8 // 4) if longer else []


def read_corpus(corpus: Path, summary: Summary, *, skip_bad: bool = False, quiet: bool = False) -> Iterator[Poem]:
    """Every poem of the four forms in a chinese-poetry checkout, cleaned; longer ones of such lines have no form.

    Args:
        corpus: The folder of the checkout.
        summary: Counts what is dropped, and why.
        skip_bad: Count a broken file and go on, rather than stop.
        quiet: No progress bar.

    Raises:
        CorpusError: The folder is missing or holds no poems, or a file is broken.
    """
    for dynasty, path in tqdm(_corpus_files(corpus), desc="reading", unit="file", disable=quiet):
        try:
            entries = _read_file(path)
        except CorpusError:
            if not skip_bad:
                raise
            summary.bad_files.append(str(path))
            continue
        for entry in entries:
            poem = _clean_poem(entry, dynasty)
            if isinstance(poem, str):
                summary.dropped[poem] += 1
            else:
                yield poem


def without_duplicates(poems: Iterable[Poem], summary: Summary) -> list[Poem]:
    """The poems that share less than half of their lines with one kept before them."""
    kept: list[Poem] = []
    poems_with_line: dict[str, list[int]] = defaultdict(list)
    for poem in poems:
        shared = Counter(index for line in set(poem.lines) for index in poems_with_line.get(line, ()))
        if shared and 2 * max(shared.values()) >= len(poem.lines):
            summary.dropped["shares half of its lines with another"] += 1
            continue
        for line in set(poem.lines):
            poems_with_line[line].append(len(kept))
        kept.append(poem)
    return kept


def excerpts(longer: Iterable[Poem], poems: Sequence[SplitPoem]) -> list[Poem]:
    """Longer poems cut into the four forms: more to learn from, for training alone.

    No excerpt has a line of a validation poem, and of none half the lines stand in a poem or an excerpt before it.

    Args:
        longer: Poems without a form.
        poems: Those of the four forms.
    """
    held_out = {line for item in poems if item.validation for line in item.poem.lines}
    seen = {line for item in poems for line in item.poem.lines}
    kept: list[Poem] = []
    for poem in longer:
        start = 0
        for length in _excerpt_lengths(poem.lines):
            lines = poem.lines[start : start + length]
            start += length
            if held_out.isdisjoint(lines) and 2 * sum(line in seen for line in lines) < length:
                kept.append(replace(poem, lines=lines, form=FORMS_BY_LENGTHS[tuple(map(len, lines))]))
                seen.update(lines)
    return kept


def split(poems: Sequence[Poem]) -> list[SplitPoem]:
    """Training or validation for each poem: a stable hash, poems that share a line on one side.

    The side depends on the smallest hash of any line in the cluster, so it stays when poems are added or reordered
    unless they join clusters.
    """
    parents = list(range(len(poems)))

    def root(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    first_with_line: dict[str, int] = {}
    for index, poem in enumerate(poems):
        for line in poem.lines:
            other = first_with_line.setdefault(line, index)
            if other != index:
                parents[root(index)] = root(other)

    sizes: Counter[int] = Counter()
    smallest: dict[int, int] = {}
    for index, poem in enumerate(poems):
        cluster = root(index)
        sizes[cluster] += 1
        line_hash = min(
            int.from_bytes(hashlib.blake2b(line.encode(), digest_size=8).digest(), "big") for line in poem.lines
        )
        smallest[cluster] = min(smallest.get(cluster, line_hash), line_hash)

    # The minimum of n uniform hashes is small by nature; hash it again to get a uniform number.
    def is_validation(cluster: int) -> bool:
        digest = hashlib.blake2b(smallest[cluster].to_bytes(8, "big"), digest_size=8).digest()
        return sizes[cluster] <= _MAX_VALIDATION_CLUSTER and int.from_bytes(digest, "big") < VALIDATION_SHARE * 2**64

    return [SplitPoem(poem, is_validation(root(index))) for index, poem in enumerate(poems)]
