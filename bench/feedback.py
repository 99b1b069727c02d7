"""Does a voice learn what its server likes? Simulated members vote, the fine-tune learns, new poems are compared.

    python -m bench.feedback [--full] [--out FOLDER]

By default 300 votes of honest and dishonest crowds, one seed: some forty minutes. `--full` is every
number of votes, three seeds, the rival methods and three rounds of serving and voting: a night. Writes
`feedback.json`, `feedback.md` and `feedback.png`.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from bench.members import CROWDS, HONEST, HOSTILE, NOISE, vote
from bench.rivals import RIVALS
from bench.tastes import Taste, tastes
from poetgen.adapter import load_version
from poetgen.checkpoint import Model
from poetgen.errors import TrainingError
from poetgen.evaluation.samples import common_themes
from poetgen.metrics import interval
from poetgen.poem import FORMS, Composition, PoemRequest
from poetgen.poet import Poet
from poetgen.registry import Registry
from poetgen.seeds import FIRST_SEEDS
from poetgen.training.finetune import FinetuneConfig, StandIns, finetune
from poetgen.training.ratings import read_ratings

OURS = "ours"
ROUNDS = "three rounds"
_COMPARED = 100  # pairs of poems
_SERVED = 240
_MARKS, _BESIDE = "x^s", 1.13  # of crowds in the picture: their marks, and how far apart they stand
_UNRANKED_SHARE = 0.1  # of the poems served, as the bot does


@dataclass(frozen=True, slots=True)
class Trial:
    """One simulation.

    Attributes:
        crowd: One of `members.CROWDS`, or `ROUNDS` (honest, in three rounds).
        votes: How many.
        taste: Its name.
        named: Whether it is a named one.
        seed: Of votes and fine-tune.
        method: `OURS`, or one of `rivals.RIVALS`.
        served: Share of pairs, as the bot would serve them, in which the taste prefers the voice's poem; 0.5 if the
            gate refused it, for the base goes on then.
        drawn: The same of single drafts from equal seeds, whatever the gate says.
        promoted: The gate's verdict; None for rivals, which it does not judge.
        reasons: Why not.
        figures: Of the gate, of the voice.
        seconds: Of the fine-tune.
    """

    crowd: str
    votes: int
    taste: str
    named: bool
    seed: int
    method: str
    served: float
    drawn: float
    promoted: bool | None
    reasons: tuple[str, ...]
    figures: dict[str, float]
    seconds: float


class Bench:
    """The base, what it serves, and the poems to compare.

    Args:
        registry: Where voices go; its shipped version is the base.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.name, self.model = load_version(registry, registry.current())
        rng = random.Random(0)
        forms = list(FORMS.values())
        self._asked = [PoemRequest(rng.choice(forms), rng.choice(common_themes())) for _ in range(_SERVED)]
        compared = [(rng.choice(forms), rng.choice(common_themes())) for _ in range(_COMPARED)]
        self._compared = [PoemRequest(form, theme) for form, theme in compared]
        self._drawn = [PoemRequest(form, theme, seed=rng.randrange(FIRST_SEEDS)) for form, theme in compared]
        self.served = self.serve(Poet(self.name, self.model), _SERVED, seed=1)
        # By a poet of its own: what is compared must remember as little as the voice will.
        self._before = self._texts(Poet(self.name, self.model))

    def serve(self, poet: Poet, count: int, seed: int) -> list[Composition]:
        """Poems as the bot serves them: most chosen among candidates, some not."""
        source = random.Random(seed)
        asked = [
            request if source.random() > _UNRANKED_SHARE else PoemRequest(request.form, request.theme, candidates=1)
            for request in self._asked[:count]
        ]
        return _composed(poet, asked, source)

    def _texts(self, poet: Poet) -> tuple[list[str], list[str]]:
        served = _composed(poet, self._compared, random.Random(2))
        drawn = _composed(poet, self._drawn, random.Random(2))
        return [item.poem.text for item in served], [item.poem.text for item in drawn]

    def preferred(self, model: Model, taste: Taste) -> tuple[float, float]:
        """(served, drawn) shares of pairs in which the taste prefers this model's poem to the base's."""
        after = self._texts(Poet("voice", model))
        served, drawn = (taste.share_preferred(own, old) for own, old in zip(after, self._before, strict=True))
        return served, drawn

    def trial(self, crowd: str, votes: int, taste: Taste, seed: int, method: str, folder: Path) -> Trial:
        """Vote, learn, compare."""
        if crowd == ROUNDS:
            return self._rounds(votes, taste, seed, folder)
        file = folder / "ratings.jsonl"
        file.write_text(vote(self.served, taste, votes, crowd, seed).lines, encoding="utf-8")
        started = time.monotonic()
        if method != OURS:
            ratings = read_ratings(file)
            adapter = RIVALS[method](
                self.model, ratings, StandIns(self.model, ratings.poems, FinetuneConfig().stand_ins, seed)
            )
            seconds = time.monotonic() - started
            served, drawn = self.preferred(adapter.applied(self.model), taste)
            return Trial(crowd, votes, taste.name, taste.named, seed, method, served, drawn, None, (), {}, seconds)
        try:
            return self._learned(crowd, votes, taste, seed, file, started)[0]
        except TrainingError as error:
            # So few poems that no fine-tune begins: the base goes on, and every pair is a tie.
            reasons = (str(error).replace(str(file), file.name),)
            return Trial(crowd, votes, taste.name, taste.named, seed, OURS, 0.5, 0.5, False, reasons, {}, 0.0)

    def _learned(
        self, crowd: str, votes: int, taste: Taste, seed: int, file: Path, started: float
    ) -> tuple[Trial, Model]:
        outcome = finetune(self.model, self.name, read_ratings(file), self.registry, voice="bench", seed=seed)
        seconds = time.monotonic() - started
        model = load_version(self.registry, outcome.version)[1]
        served, drawn = self.preferred(model, taste)
        verdict = outcome.verdict
        said = (verdict.passed, verdict.reasons, dict(verdict.after), seconds)
        served = served if verdict.passed else 0.5
        return Trial(crowd, votes, taste.name, taste.named, seed, OURS, served, drawn, *said), model

    def _rounds(self, votes: int, taste: Taste, seed: int, folder: Path) -> Trial:
        """A third of the votes on the base's poems, a third on those of the voice these made, and again."""
        model, rows = self.model, ""
        for number in range(3):
            served = self.serve(Poet("voice", model), _SERVED // 3, seed=10 + number)
            rows += vote(served, taste, votes // 3, HONEST, 10 * seed + number).lines
            file = folder / "ratings.jsonl"
            file.write_text(rows, encoding="utf-8")
            trial, made = self._learned(ROUNDS, votes, taste, seed, file, time.monotonic())
            model = made if trial.promoted else model
        return trial


def _composed(poet: Poet, requests: Sequence[PoemRequest], source: random.Random) -> list[Composition]:
    return poet.compose([poet.check(request) for request in requests], source=source)


def plan(full: bool, all_tastes: Sequence[Taste]) -> list[tuple[str, int, Taste, int, str]]:
    """(crowd, votes, taste, seed, method) of each trial."""
    few = [taste for taste in all_tastes if taste.name != "autumn"]  # as the must names them
    if not full:
        trials = [(crowd, 300, taste, 0, OURS) for crowd in (HONEST, HOSTILE) for taste in few]
        return trials + [(NOISE, 300, few[0], seed, OURS) for seed in range(6)]
    # 210 are what is left of 300 without the hostile member's.
    counts = (50, 150, 210, 300, 1000)
    trials = [(HONEST, votes, taste, seed, OURS) for votes in counts for taste in all_tastes for seed in range(3)]
    trials += [(crowd, 300, taste, 0, OURS) for crowd in (*CROWDS[1:3], ROUNDS) for taste in all_tastes]
    trials += [(HONEST, 300, taste, 0, method) for method in RIVALS for taste in all_tastes]
    trials += [(NOISE, 300, all_tastes[0], seed, OURS) for seed in range(80)]
    return trials + [(HOSTILE, 300, taste, seed, OURS) for taste in all_tastes for seed in (1, 2)]


def table(trials: Sequence[Trial]) -> list[list[str]]:
    """Means over tastes and seeds with 95 % intervals; the head first."""
    rows = [["crowd", "votes", "method", "tastes", "served", "single drafts", "promoted", "minutes"]]
    rng = np.random.default_rng(0)
    for crowd, votes, method in dict.fromkeys((trial.crowd, trial.votes, trial.method) for trial in trials):
        for named in (True, False):
            found = [
                trial
                for trial in trials
                if (trial.crowd, trial.votes, trial.method, trial.named) == (crowd, votes, method, named)
            ]
            if not found:
                continue
            promoted = [trial.promoted for trial in found if trial.promoted is not None]
            rows.append(
                [
                    *(crowd, str(votes), method),
                    f"{'named' if named else 'linear'} ({len({trial.taste for trial in found})})",
                    _share([trial.served for trial in found], rng),
                    _share([trial.drawn for trial in found], rng),
                    f"{sum(promoted)} of {len(promoted)}" if promoted else "",
                    f"{sum(trial.seconds for trial in found) / len(found) / 60:.1f}",
                ]
            )
    return rows


def _share(values: Sequence[float], rng: np.random.Generator) -> str:
    numbers = np.array(values)
    mean: Callable[[np.ndarray], float] = lambda rows: float(numbers[rows].mean())  # noqa: E731
    if len(numbers) == 1:
        return f"{numbers[0]:.2f}"
    low, high = interval(mean, len(numbers), rng, 400)
    return f"{numbers.mean():.2f} ({low:.2f} to {high:.2f})"


def draw(trials: Sequence[Trial]) -> Figure:
    """The share of pairs preferred, against the number of votes, for each taste; marks beside are other crowds."""
    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(trial.taste for trial in trials))
    for number, name in enumerate(names):
        honest = [trial for trial in trials if (trial.taste, trial.crowd, trial.method) == (name, HONEST, OURS)]
        counts = sorted({trial.votes for trial in honest})
        means = [np.mean([trial.served for trial in honest if trial.votes == count]) for count in counts]
        axes.plot(counts, means, "o-", color=f"C{number}", label=name)
    crowds = [crowd for crowd in dict.fromkeys(trial.crowd for trial in trials) if crowd not in (HONEST, NOISE)]
    for number, crowd in enumerate(crowds):
        found = [trial for trial in trials if trial.crowd == crowd and trial.method == OURS]
        # Side by side, each crowd a little further from the honest ones, whose number of votes it has.
        places = [trial.votes * _BESIDE ** (number + 1) for trial in found]
        colours = [f"C{names.index(trial.taste)}" for trial in found]
        axes.scatter(places, [trial.served for trial in found], 16, colours, marker=_MARKS[number], label=crowd)
    axes.axhline(0.5, color="black", linewidth=0.8)
    axes.set_xscale("log")
    shown = sorted({trial.votes for trial in trials})
    axes.set_xticks(shown, [str(count) for count in shown])
    axes.minorticks_off()
    axes.set_xlabel("votes")
    axes.set_ylabel("pairs in which the voice's poem is preferred")
    axes.legend(fontsize=8)
    return figure


def run(full: bool, home: Path, keep: Callable[[Sequence[Trial]], None] = lambda trials: None) -> list[Trial]:
    """All trials.

    Args:
        full: The whole table instead of the default one.
        home: An empty folder for the voices.
        keep: Told of the trials after each, so that a night cut short is not lost.
    """
    trials: list[Trial] = []
    bench = Bench(Registry(home))
    all_tastes = tastes(bench.model.vocabulary, bench.model.planner, range(2))
    for crowd, votes, taste, seed, method in tqdm(plan(full, all_tastes), unit="trial"):
        trials.append(bench.trial(crowd, votes, taste, seed, method, home))
        keep(trials)
    return trials


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.feedback", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--full", action="store_true", help="the whole table, over night")
    parser.add_argument("--out", type=Path, default=Path("bench/results"), help="folder to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    def keep(trials: Sequence[Trial]) -> None:
        rows = json.dumps([asdict(trial) for trial in trials], ensure_ascii=False, indent=1)
        (options.out / "feedback.json").write_text(rows + "\n", encoding="utf-8")

    with TemporaryDirectory() as home:
        trials = run(options.full, Path(home), keep)
    lines = [f"| {' | '.join(row)} |" for row in table(trials)]
    lines.insert(1, "| --- | --- | --- | --- | --- | --- | --- | --- |")
    (options.out / "feedback.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    draw(trials).savefig(options.out / "feedback.png")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
