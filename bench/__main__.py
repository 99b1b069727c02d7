"""`python -m bench [PART ...]`: measures, keeps the figures in `bench/results.json`, and puts them into the README.

The parts are decode, pretrain, load, kills and feedback; all of them if none is named, which takes an hour on two
cores, most of it for feedback. `make bench` is that. Measure with nothing else running.
"""

import asyncio
import json
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tqdm import tqdm

from bench import decode, feedback, load, pretrain
from bench.shipped import shipped_poet
from poetgen.poem import DEFAULT_CANDIDATES, FORMS
from poetgen.training.run import use_device

_HERE = Path(__file__).parent
RESULTS, README = _HERE / "results.json", _HERE.parent / "README.md"
PLOTS = _HERE.parent / "docs" / "images"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
_THREADS = 2
_KILLS = 50


def _decode() -> dict[str, Any]:
    return decode.measure(shipped_poet(_THREADS))


def _pretrain() -> dict[str, Any]:
    use_device("cpu", _THREADS)
    return pretrain.measure(shipped_poet().model, 60)


def _load() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        figures, phases = asyncio.run(load.measure(40, Path(folder)))
    load.draw(phases).savefig(PLOTS / "load.png")
    return figures


def _kills() -> dict[str, Any]:
    return asyncio.run(_kill_often())


async def _kill_often() -> dict[str, Any]:
    from tests.bot.discord_server import running
    from tests.faults.busy import kill_once

    found = {"kills": 0, "answered": 0, "lost": 0, "stuck": 0, "damaged": 0}
    with TemporaryDirectory() as folder:
        for seed in tqdm(range(_KILLS), unit="kill"):
            async with running() as discord:
                loss = await kill_once(discord, Path(folder), seed)
            found["kills"] += 1
            found["answered"] += loss.num_poems + loss.num_votes
            found["lost"] += len(loss.poems) + len(loss.votes)
            found["stuck"] += loss.jobs
            found["damaged"] += loss.integrity != "ok"
    return found


def _feedback() -> dict[str, Any]:
    with TemporaryDirectory() as home:
        trials = feedback.run(False, Path(home))
    return {"table": feedback.table(trials)}


PARTS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "decode": _decode,
    "pretrain": _pretrain,
    "load": _load,
    "kills": _kills,
    "feedback": _feedback,
}


def readme_table(results: Mapping[str, Any]) -> list[str]:
    """The lines of the README's table, of the parts that there are."""
    rows: list[tuple[str, str]] = []
    if found := results.get("decode"):
        times = " ".join(f"{found[f'request_seconds_{name}']:.2f}" for name in FORMS)
        rows += [
            (
                f"a poem alone, best of {DEFAULT_CANDIDATES} ({' '.join(form.hanzi for form in FORMS.values())})",
                f"{times} s",
            ),
            (
                "decoding, against the machine's bound at 1, 16, 128 poems",
                " ".join(f"{found[f'times_bound_{batch}']:.1f}" for batch in decode.BATCHES) + " times its time",
            ),
            (
                "drafts a second, without a choice, a batch of 128; against one after another in plain PyTorch; "
                "against a public loop",
                f"{found['poems_a_second']:.0f}; {found['times_plain']:.0f} times; {found['times_public']:.0f} times",
            ),
        ]
    if found := results.get("pretrain"):
        speed = f"{found['chars_a_second']:,.0f} characters a second; {found['share_of_bound']:.0%} of the bound"
        rows.append(("pretraining", speed))
    if found := results.get("load"):
        for name in (load.QUIET, load.BESIDE, load.OVERLOAD):
            phase = found[name]
            rows.append((f"{name}: acknowledged p99, poem p95; answered; refused", (
                f"{phase['acknowledged p99']:.2f} s, {phase['poem p95']:.1f} s; "
                f"{phase['poems']} of {phase['asked']}; {phase['refused']}"
            )))  # fmt: skip
        start = found["start"]
        rows += [
            ("first poem after the start; recovered after the overload",
             f"{start['first poem, s after the start']:.1f} s; {start['recovered, s after the overload']:.1f} s"),
            ("memory: serving; after the overload; with a fine-tune beside it", " MB; ".join((
                f"{found[load.QUIET]['memory after, MB']:.0f}", f"{found[load.OVERLOAD]['memory after, MB']:.0f}",
                f"{found[load.BESIDE]['memory with the fine-tune, most, MB']:.0f} MB"))),
        ]  # fmt: skip
    if found := results.get("kills"):
        rows.append((
            f"killed {found['kills']} times under load: of {found['answered']} answers lost, jobs stuck, files damaged",
            f"{found['lost']}, {found['stuck']}, {found['damaged']}",
        ))  # fmt: skip
    if found := results.get("feedback"):
        head, *table = found["table"]
        named = dict(zip(head, zip(*table, strict=True), strict=True))
        for place, crowd in enumerate(named["crowd"]):
            what = f"voice from {named['votes'][place]} votes ({crowd}), tastes {named['tastes'][place]}"
            rows.append((f"{what}: pairs won; promoted", f"{named['served'][place]}; {named['promoted'][place]}"))
    return ["| | |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]


def with_table(readme: str, lines: Sequence[str]) -> str:
    """The README with the table between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n".join([before + BEGIN, *lines, END + after])


def main() -> int:
    """The command; returns the exit code."""
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := [name for name in wanted if name not in PARTS]:
        print(f"There is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        results[name] = PARTS[name]()
        results["machine"] = f"{platform.machine()}, {_THREADS} threads, torch {torch.__version__}"
        RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    lines = readme_table(results)
    README.write_text(with_table(README.read_text(encoding="utf-8"), lines), encoding="utf-8")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
