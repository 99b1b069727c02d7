"""The stage `prepare`: a corpus checkout -> clean poems, their phonology, the encoded dataset, in one folder."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from poetgen import corpus, dataset, prosody
from poetgen.corpus import Summary
from poetgen.errors import CorpusError
from poetgen.phonology import learn_phonology
from poetgen.poem import FORMS


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was made, in figures."""

    summary: Summary
    regulated: Counter[str]
    validation: int
    excerpts: int
    num_chars: int

    def __str__(self) -> str:
        kept = self.summary.kept
        dynasties = sorted({dynasty for _, dynasty in kept})
        lines = ["poems".ljust(10) + "".join(name.rjust(10) for name in [*dynasties, "regulated"])]
        for name, form in FORMS.items():
            counts = [kept[name, dynasty] for dynasty in dynasties]
            share = self.regulated[name] / max(1, sum(counts))
            lines.append(f"{name} {form.hanzi}".ljust(8) + "".join(f"{n:>11,}" for n in counts) + f"{share:>10.0%}")
        lines.append(
            f"{kept.total():,} poems, {self.validation:,} of them validation; "
            f"{self.excerpts:,} excerpts of longer ones; {self.num_chars:,} characters known."
        )
        lines.append(
            "Dropped: " + ("; ".join(f"{n:,} {why}" for why, n in self.summary.dropped.most_common()) or "none") + "."
        )
        if self.summary.bad_files:
            lines.append(f"Broken files skipped: {len(self.summary.bad_files)} ({', '.join(self.summary.bad_files)}).")
        return "\n".join(lines)


def prepare(source: Path, out: Path, *, min_char_count: int, skip_bad: bool = False, quiet: bool = False) -> Prepared:
    """Read a chinese-poetry checkout and write the prepared corpus.

    Args:
        source: The checkout.
        out: The folder to write.
        min_char_count: Characters rarer than this are not learned.
        skip_bad: Go on without files that are broken.
        quiet: No progress bars.

    Raises:
        CorpusError: The checkout is missing or empty, or holds a broken file.
    """
    summary = Summary()
    read = list(corpus.read_corpus(source, summary, skip_bad=skip_bad, quiet=quiet))
    poems = corpus.split(corpus.without_duplicates((poem for poem in read if poem.form is not None), summary))
    excerpts = corpus.excerpts((poem for poem in read if poem.form is None), poems)
    if not poems:
        raise CorpusError(
            f"{source} holds no poem of 4 or 8 lines of 5 or 7 characters. Give a chinese-poetry checkout."
        )
    phonology = learn_phonology([item.poem for item in poems if not item.validation])
    reports = [prosody.check(item.poem, phonology) for item in tqdm(poems, desc="checking", unit="poem", disable=quiet)]
    poems = [replace(item, regulated=report.passed) for item, report in zip(poems, reports, strict=True)]
    regulated: Counter[str] = Counter()
    for item in poems:
        assert item.poem.form is not None
        summary.kept[item.poem.form.name, item.poem.dynasty] += 1
        regulated[item.poem.form.name] += item.regulated
    encoded = dataset.encode(poems, reports, excerpts, phonology, min_char_count)
    out.mkdir(parents=True, exist_ok=True)
    dataset.save_dataset(encoded, out)
    return Prepared(summary, regulated, sum(item.validation for item in poems), len(excerpts), len(encoded.vocabulary))
