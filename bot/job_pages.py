"""How fine-tunes and versions are shown. Markup is Discord's.

Knows no process and no registry.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType

from bot.catalogue import catalogue, text
from bot.errors import BotError
from bot.finetuning import FinetuneLimits, Finetuning
from bot.pages import MAX_PAGE
from bot.ranking import wilson
from bot.ratings import Ratings
from bot.store.jobs import Job
from bot.training import Progress
from bot.typed import escaped, shortened
from poetgen.poem import Composition, Script
from poetgen.registry import Version
from poetgen.text import couplets

_BAR = 20
_MAX_FIGURES = 12
_MAX_VERSIONS = 10


def confirm_page(ratings: Ratings, limits: FinetuneLimits, language: str) -> str:
    """What would be learned from, before it is."""
    values = {"poems": ratings.num_poems, "voters": ratings.num_voters, "votes": ratings.num_votes}
    return text("finetune.confirm", language, minutes=limits.minutes, **values)


async def finetune_page(finetuning: Finetuning, voice: int | None, language: str) -> str:
    """How a voice's fine-tune goes on, or how the last one ended.

    Raises:
        BotError: There was none.
    """
    found = await finetuning.status(voice)
    if found is None:
        last = await finetuning.last(voice)
        if last is None:
            raise BotError("no_finetune")
        return result_page(replace(last, language=language))
    job, place = found
    return progress_page(replace(job, language=language), finetuning.last_progress.get(job.id), place)


def progress_page(job: Job, progress: Progress | None, place: int) -> str:
    """How a job is going on."""
    language = job.language
    head = text("finetune.title", language, id=job.id)
    if job.state == "queued":
        return f"{head}\n{text('finetune.queued', language, place=place)}"
    if job.state not in ("running", "evaluating"):
        return f"{head}\n{text(f'state.{job.state}', language)}"
    if progress is None:
        return f"{head}\n{text('finetune.starting', language)}"
    done = round(progress.progress * _BAR)
    stage = catalogue(language).get(f"stage.{progress.stage}", escaped(progress.stage))
    rows = [
        head,
        f"{'▓' * done}{'░' * (_BAR - done)} {round(progress.progress * 100)} %",
        text("finetune.stage", language, stage=stage, left=duration(progress.seconds_left, language)),
    ]
    if progress.reward is not None:
        rows.append(text("finetune.reward", language, reward=f"{progress.reward:.3f}"))
    return "\n".join(rows)


def duration(seconds: float, language: str) -> str:
    """About how long, in minutes or seconds."""
    if seconds >= 90:
        return text("finetune.minutes", language, minutes=round(seconds / 60))
    return text("finetune.seconds", language, seconds=round(seconds))


def result_page(job: Job) -> str:
    """How a job ended: the verdict, its reasons, the figures before and after."""
    language, outcome = job.language, job.outcome
    rows = [text("finetune.title", language, id=job.id), text(f"state.{job.state}", language)]
    for reason in outcome.get("reasons") or ():
        rows.append(f"• {catalogue(language).get(f'reason.{reason}') or escaped(str(reason))}")
    before, after = outcome.get("before") or {}, outcome.get("after") or {}
    names = [name for name in after if name in before][:_MAX_FIGURES]
    if names:
        rows.append(text("finetune.figures", language))
        shown = {name: catalogue(language).get(f"figure.{name}", name) for name in names}
        rows += [f"`{shown[name]:<24} {before[name]:>9.3f} → {after[name]:>9.3f}`" for name in names]
    if job.version:
        rows.append(text("finetune.version", language, version=job.version))
    return shortened("\n".join(rows), MAX_PAGE)


def voices_page(pairs: Sequence[tuple[Composition, Composition]], script: Script, language: str) -> str:
    """Poems of the new voice beside those of the old on the same themes."""
    rows = [text("finetune.beside", language)]
    for old, new in pairs:
        for name, written in (("finetune.old", old), ("finetune.new", new)):
            rows += [text(name, language), *couplets(written.poem.lines, script)]
        rows.append("")
    return shortened("\n".join(rows).strip(), MAX_PAGE)


def history_page(jobs: Sequence[Job], language: str) -> str:
    """A voice's jobs, the latest first."""
    if not jobs:
        return text("finetune.none", language)
    rows = [text("finetune.history", language)]
    for job in jobs:
        day = datetime.fromtimestamp(job.created_at / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        counted = text("finetune.counted", language, poems=job.num_poems, voters=job.num_voters, votes=job.num_votes)
        version = f" · {job.version}" if job.version else ""
        rows.append(f"**#{job.id}** {day} UTC · {text(f'state.{job.state}', language)}{version}\n-# {counted}")
    return shortened("\n".join(rows), MAX_PAGE)


def versions_page(
    versions: Sequence[Version],
    current: str,
    language: str,
    votes: Mapping[str, tuple[int, int]] = MappingProxyType({}),
) -> str:
    """The versions that a server can hear, and which it hears now.

    Args:
        versions: The oldest first.
        current: The name of the one heard.
        language: Of the page.
        votes: For and against what each wrote there, by its name.
    """
    rows = [text("voice.list", language)]
    for version in versions[-_MAX_VERSIONS:]:
        kind = "voice.shared" if version.voice is None else "voice.own"
        mark = "◉" if version.name == current else "○"
        rows.append(f"{mark} `{version.name}` · {text(kind, language)} · {version.created_at[:10]}")
        up, down = votes.get(version.name, (0, 0))
        if up + down:
            low, high = (round(100 * bound) for bound in (wilson(up, down), 1 - wilson(down, up)))
            rows.append(text("voice.liked", language, up=up, down=down, low=low, high=high))
    return shortened("\n".join(rows), MAX_PAGE)
