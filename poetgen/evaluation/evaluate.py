"""All figures of one version in one form, beside people's poems and simple models.

The rows ("sources"): people's poems against others of theirs; characters by chance; a bigram chain; the version's
generator alone (one candidate, its characters drawn as ever, guided and lifted); and the version as it writes. Why an
RBM is not among them, docs/quality.md says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from poetgen.dataset import Dataset
from poetgen.errors import CorpusError
from poetgen.evaluation import figures, noise
from poetgen.evaluation.classifiers import two_sample
from poetgen.evaluation.figures import Corpus, Floats
from poetgen.evaluation.masked import masked_nats
from poetgen.evaluation.referee import Referee
from poetgen.evaluation.samples import Poems, bigram_chain, common_themes, known, peoples, random_characters, written
from poetgen.evaluation.themes import GUESSED_THEMES, ThemeGuesser, titled, touches_theme
from poetgen.likelihood import IMPORTANCE_SAMPLES
from poetgen.metrics import NgramModel, bleu2, frechet_distance, interval, ms_jaccard
from poetgen.planner import Ids, unit
from poetgen.poem import Form, Poem, PoemRequest
from poetgen.poet import Poet
from poetgen.training.pretrain import validation_nll
from poetgen.training.release import noise_figures

# (figure, low, high): a figure and its bootstrap interval of 95 %; the ends are None where there is none.
Figure = tuple[float, float | None, float | None]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How much is measured.

    Attributes:
        poems: Of the version as it writes; what all sample figures are of.
        classified: Of each source, for the classifiers to learn from and be tested on.
        curve_poems: At each temperature of the curve.
        temperatures: Of the curve.
        guessed: Poems on each of the `GUESSED_THEMES`.
        noises: Values of z.
        arcs: Ways from one z to another.
        held_out: Validation poems for nats.
    """

    poems: int = 1500
    classified: int = 1500
    curve_poems: int = 100
    temperatures: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
    guessed: int = 20
    noises: int = 100
    arcs: int = 60
    held_out: int = 400


PRESETS = {
    "base": EvaluationConfig(),
    "tiny": EvaluationConfig(40, 60, 20, (0.5, 1.0), 2, 10, 2, 40),
}
_LEAST_UNSEEN = 12  # poems by people, below which nothing can be divided into what is learned from and what is tested
STEPS = ("nats", "people", "chance", "chain", "generator alone", "as it writes", "curve", "theme", "noise")


class Evaluation:
    """One version, one form, and all that judges it.

    Args:
        poet: The version.
        dataset: The prepared corpus; its validation poems no model here has read.
        referee: The judge of fluency, trained on the same corpus.
        form: The form.
        config: How much.
        seed: Decides every draw.
        progress: Told each of `STEPS` when it is done, and nothing else.
    """

    def __init__(
        self,
        poet: Poet,
        dataset: Dataset,
        referee: Referee,
        form: Form,
        config: EvaluationConfig,
        seed: int = 0,
        progress: Progress = lambda step: None,
    ) -> None:
        self._poet, self._dataset, self._referee, self._form = poet, dataset, referee, form
        self._config, self._seed, self._progress = config, seed, progress
        self._train, self._held_out = dataset.train[form.name], dataset.validation[form.name]
        self._rng = np.random.default_rng(seed)
        self._themes = known(common_themes(), dataset.vocabulary) or ("",)
        self._guessed = known(GUESSED_THEMES, dataset.vocabulary)
        trigram = NgramModel([data.ids for data in dataset.train.values()], 3, len(dataset.vocabulary))
        self._judges: dict[str, Callable[[Ids], Floats]] = {
            "referee": lambda ids: referee.nats(ids, form),
            "trigram": lambda ids: -trigram.log_probs(ids),
        }
        self._corpus = Corpus(dataset.learned_lines(form.line_lengths[0]))
        self._unseen = peoples(self._held_out, len(self._held_out), seed)
        if len(self._unseen) < _LEAST_UNSEEN:
            raise CorpusError(
                f"The corpus has {len(self._unseen)} regulated {form.hanzi} for validation, and {_LEAST_UNSEEN} are "
                "needed to compare with. Prepare a larger one."
            )
        self._reference = {
            name: figures.worst_lines(judge(self._unseen.ids), form.num_lines) for name, judge in self._judges.items()
        }

    def run(self) -> dict[str, Any]:
        """Everything, as it goes into a JSON file."""
        config = self._config
        found: dict[str, Any] = {"version": self._poet.version, "form": self._form.name, "seed": self._seed}
        found["settings"] = {
            "poems": config.poems, "classified": config.classified, "themes": len(self._themes),
            "unseen": len(self._unseen),
        }  # fmt: skip
        found["nats per character"] = self._done("nats", self._nats())
        count = max(config.poems, config.classified)
        sources: dict[str, Any] = {}
        drawn: list[tuple[str, Callable[[], Poems]]] = [
            ("people", lambda: peoples(self._train, count, self._seed + 1)),
            ("chance", lambda: random_characters(self._train, count, self._seed)),
            ("chain", lambda: bigram_chain(self._train, count, self._seed)),
            ("generator alone", lambda: self.write(count, candidates=1)),
            ("as it writes", lambda: self.write(count)),
        ]
        for step, draw in drawn:
            sources[step] = self._done(step, self.sample_figures(draw(), peoples_own=step == "people"))
        found["sources"] = sources
        found["curve"] = self._done("curve", {"generator alone": self._curve(1), "as it writes": self._curve(None)})
        found["theme"] = self._done("theme", self._theme() if self._guessed else {})
        found["noise"] = self._done("noise", self._noise())
        return found

    def _done(self, step: str, found: dict[str, Any]) -> dict[str, Any]:
        self._progress(step)
        return found

    def write(self, count: int, *, candidates: int | None = None, temperature: float | None = None) -> Poems:
        """The version's poems on the common themes in turn."""
        themes = self._themes
        asked = PoemRequest(self._form, temperature=temperature)
        if candidates is not None:
            asked = replace(asked, candidates=candidates)
        requests = [replace(asked, theme=themes[number % len(themes)]) for number in range(count)]
        return written(self._poet, requests, self._seed)

    def _nats(self) -> dict[str, float]:
        model, data, limit = self._poet.model, self._held_out, self._config.held_out
        name = self._form.name
        bound = partial(validation_nll, model.generator, {name: data}, samples=IMPORTANCE_SAMPLES, limit=limit)
        rows = data.take(data.are_regular).take(slice(limit))
        return {
            "unmasked, nothing told": bound()["all"],
            "unmasked, told": bound(known=True)["all"],
            "under the masks, told pattern and rhyme": masked_nats(self._poet.model, rows),
            **{
                f"{judge} alone": float(nats(data.ids[:limit]).mean()) for judge, nats in self._judges.items()
            },
        }  # fmt: skip

    def sample_figures(self, poems: Poems, *, peoples_own: bool = False) -> dict[str, Any]:
        """All figures of a sample; `peoples_own` if it is of training poems, of which lines cannot be said copied."""
        config, dataset, seed = self._config, self._dataset, self._seed
        few = poems.take(slice(config.poems))
        others = peoples(self._train, len(few), seed + 2)
        found: dict[str, Any] = {}

        def share(name: str, values: Floats) -> None:
            found[name] = self._interval(lambda rows: float(values[rows].mean()), len(values))

        ratio = figures.distinct_share(others.lines)
        found["distinct pairs, of people's"] = self._interval(
            lambda rows: figures.distinct_share(few.lines[rows]) / ratio, len(few)
        )
        for name, judge in self._judges.items():
            # The judges have read people's training poems; the threshold, too, is set by those that they have not.
            nats = judge(self._unseen.ids if peoples_own else few.ids)
            share(f"nats by {name}", nats.mean(axis=1))
            if not peoples_own:
                share(f"broken by {name}", figures.broken(
                    figures.worst_lines(nats, self._form.num_lines), self._reference[name]
                ))  # fmt: skip
        share("poems with a character in two lines", figures.repeats(few))
        if self._form.num_lines == 8:
            share("parallelism", figures.parallelism(few, dataset.planner.vectors))
        own = self._unseen if peoples_own else few
        runs = self._corpus.longest_runs(own)
        share("lines copied", (runs == self._form.line_lengths[0]).mean(axis=1).astype(np.float64))
        found["longest run"] = (float(runs.max()), None, None)
        texts = few.texts(dataset.vocabulary)
        theirs = self._unseen.texts(dataset.vocabulary)
        found["BLEU-2"] = (bleu2(texts[: config.poems // 3], theirs), None, None)
        size = min(len(texts), len(theirs))
        found["MS-Jaccard"] = (ms_jaccard(texts[:size], theirs[:size]), None, None)
        vectors = unit(dataset.planner.vectors)
        means = [vectors[sample.ids].mean(axis=1).astype(np.float64) for sample in (few, self._unseen)]
        found["Fréchet distance, x 1000"] = self._interval(
            lambda rows: 1000 * frechet_distance(means[0][rows], means[1]), len(few)
        )
        found["reverse nats, above people's"] = (self._reverse(few) - self._reverse(others), None, None)
        classified = poems.take(slice(config.classified))
        unread = self._unseen.ids
        if peoples_own:
            # Against people the probe and the judges must see on both sides what they have not read.
            classified = Poems(self._form, unread[::2], ("",) * len(unread[::2]))
            unread = unread[1::2]
        auc = two_sample(
            classified.ids,
            peoples(self._train, 2 * len(classified), seed + 3).ids,
            unread,
            self._form,
            len(dataset.vocabulary),
            self._referee,
            {name: partial(_mean, judge) for name, judge in self._judges.items()},
            seed,
        )
        found["AUC"] = {name: (value, None, None) for name, value in auc.items()}
        found["AUC, best"] = (max(auc.values()), None, None)
        checked = [self._poet.inspect(Poem(text, self._form)).passed for text in texts]
        found["regulated"] = (sum(checked) / len(checked), None, None)
        return found

    def _reverse(self, poems: Poems) -> float:
        """Nats a character of people's unseen poems under a trigram learned from these."""
        model = NgramModel([poems.ids], 3, len(self._dataset.vocabulary))
        return -float(model.log_probs(self._unseen.ids).mean())

    def _curve(self, candidates: int | None) -> list[dict[str, float]]:
        points = []
        for temperature in self._config.temperatures:
            poems = self.write(self._config.curve_poems, candidates=candidates, temperature=temperature)
            people = peoples(self._train, len(poems), self._seed + 2)
            point = {
                "temperature": temperature,
                "distinct pairs, of people's": figures.distinct_share(poems.lines)
                / figures.distinct_share(people.lines),
            }
            for name, judge in self._judges.items():
                worst = figures.worst_lines(judge(poems.ids), self._form.num_lines)
                point[f"broken by {name}"] = float(figures.broken(worst, self._reference[name]).mean())
            points.append(point)
        return points

    def _theme(self) -> dict[str, Any]:
        dataset = self._dataset
        guesser = ThemeGuesser(dataset.train, dataset.vocabulary)
        asked = [PoemRequest(self._form, theme=theme) for theme in self._guessed for _ in range(self._config.guessed)]
        ours = written(self._poet, asked, self._seed)
        wanted = np.repeat([GUESSED_THEMES.index(theme) for theme in self._guessed], self._config.guessed)
        right = (guesser.guess(ours.ids) == wanted).astype(float)
        ids, themes = titled(self._held_out, dataset.vocabulary)
        theirs = (guesser.guess(ids) == themes).astype(float)
        touched = touches_theme(ours, dataset.planner.vectors, dataset.vocabulary)
        found = {}
        for name, values in (
            ("guessed among 20", right),
            ("guessed among 20, people's titled poems", theirs),
            ("touches its theme", touched),
        ):
            if len(values):
                found[name] = self._interval(lambda rows, of=values: float(of[rows].mean()), len(values))  # type: ignore[misc]
        return found

    def _noise(self) -> dict[str, Any]:
        config, form, seed = self._config, self._form, self._seed
        scored = noise_figures(
            replace(self._dataset, validation={form.name: self._held_out}), self._poet.model.generator, config.held_out
        )
        with_start, without = noise.way_and_distance(self._poet, form, self._themes[0], config.arcs, seed)
        return {
            f"different of {config.noises}": noise.different_poems(
                self._poet, form, self._themes[0], config.noises, seed
            ),
            "nats lost with another's z": scored["another's"] - scored["own"],
            "rank correlation of way and distance": self._interval(
                lambda rows: float(with_start[rows].mean()), config.arcs
            ),
            "rank correlation of way and distance, without z1": self._interval(
                lambda rows: float(without[rows].mean()), config.arcs
            ),
        }

    def _interval(self, statistic: Callable[[Any], float], count: int) -> Figure:
        low, high = interval(statistic, count, self._rng)
        return statistic(np.arange(count)), low, high


def _mean(judge: Callable[[Ids], Floats], ids: Ids) -> Floats:
    means: Floats = judge(ids).mean(axis=1)
    return means
