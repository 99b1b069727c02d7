"""The command line: one verb per stage, and what a person asks of the poet.

Knows no stage's insides. What needs no torch imports none.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tqdm import tqdm

from poetgen import prosody, script
from poetgen.errors import CheckpointError, CorpusError, PoetgenError, RequestError, TrainingError, UsageError
from poetgen.phonology import Phonology
from poetgen.poem import (
    DEFAULT_CANDIDATES,
    FORMS,
    SCRIPTS,
    Composition,
    PoemRequest,
    Script,
    form_named,
    punctuated,
)
from poetgen.record import load_phonology
from poetgen.registry import PLOTS, Registry
from poetgen.text import couplets, parse_poem

if TYPE_CHECKING:
    from poetgen.checkpoint import Model
    from poetgen.dataset import Dataset

_EXIT_INPUT = 2
_EXIT_INTERRUPTED = 130
REFEREE_FOLDER = "referee"  # within the prepared data
_MOST_MINUTES = 1_000_000  # two years
_FINETUNE_STAGES = ("discriminator", "generator", "gate")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    # A stream that the caller closed is one to nowhere.
    sys.stdin, sys.stdout, sys.stderr = (
        stream or open(os.devnull, mode)  # noqa: SIM115 (it is open as long as we are)
        for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
    )
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except PoetgenError as error:
        print(f"poetgen: {error}", file=sys.stderr)
        return _EXIT_INPUT
    except KeyboardInterrupt:
        _say_how_to_go_on(options)
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        _write_no_more()  # whoever read our output has had enough; that is no failure of ours
        return 0
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        mend = (
            "what was given is no text in UTF-8. Give it in that encoding."
            if isinstance(error, UnicodeDecodeError) or error.encoding == "utf-8"
            else f"Chinese cannot be written in {error.encoding}. Set PYTHONIOENCODING=utf-8."
        )
        print(f"poetgen: {mend}", file=sys.stderr)
        return _EXIT_INPUT
    except OSError as error:
        _write_no_more()
        print(f"poetgen: what was to be written or read cannot be ({error}).", file=sys.stderr)
        return _EXIT_INPUT
    return code


def _write_no_more() -> None:
    """Let nothing be flushed at exit, which would complain again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say_how_to_go_on(options: argparse.Namespace) -> None:
    runs = {"pretrain": "out", "adversarial": "out", "referee": "data"}
    if options.command not in runs:
        return
    from poetgen.training.run import CHECKPOINT_FILE

    option = runs[options.command]
    named = getattr(options, option)
    folder = named / REFEREE_FOLDER if option == "data" else named
    if (folder / CHECKPOINT_FILE).exists():
        print(f"\nSaved. Go on with: poetgen {options.command} ... --{option} {named} --resume", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_EXIT_INPUT, f"{self.prog}: {message}; see {self.prog} --help.\n")


def _minutes(text: str) -> float:
    with suppress(ValueError):
        if 0 < (minutes := float(text)) <= _MOST_MINUTES:
            return minutes
    raise argparse.ArgumentTypeError(f"give a number of minutes above 0, {_MOST_MINUTES:,} at most, not {text!r}")


def _whole(text: str) -> int:
    return _at_least(1, text)


def _from_zero(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    with suppress(ValueError):
        if least <= (number := int(text)) < 2**63:  # which is what torch takes for a seed
            return number
    raise argparse.ArgumentTypeError(f"give a whole number, {least} or more, not {text!r}")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="poetgen", description="Writes classical Chinese poems with its own GAN.")
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    prepare = verbs.add_parser("prepare", help="clean a chinese-poetry checkout and learn its phonology")
    prepare.add_argument("corpus", type=Path, help="folder of the checkout")
    prepare.add_argument("--out", type=Path, required=True, help="folder to write")
    prepare.add_argument("--skip-bad", action="store_true", help="go on without broken files, and count them")
    prepare.add_argument(
        "--min-char-count", type=_whole, default=10, help="characters rarer than this are not learned (default 10)"
    )
    prepare.set_defaults(run=_prepare)

    for name, run, presets, text in (
        (
            "pretrain", _pretrain, ("tiny", "base", "more", "gpu", "teacher"),
            "train the generator by maximum likelihood",
        ),
        (
            "adversarial", _adversarial, ("tiny", "base"),
            "train discriminator and generator in turn, and register the version",
        ),
    ):  # fmt: skip
        stage = verbs.add_parser(name, help=text)
        stage.add_argument("--data", type=Path, required=True, help="a folder that `prepare` wrote")
        stage.add_argument("--out", type=Path, required=True, help="folder of the run")
        stage.add_argument("--preset", choices=presets, default="base")
        stage.add_argument(
            "--minutes", type=_minutes, required=True, help="whole budget, earlier parts of a resumed run included"
        )
        stage.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
        stage.add_argument("--seed", type=_from_zero, default=0)
        stage.add_argument("--device", default="cpu", help="cpu or cuda")
        stage.add_argument("--threads", type=_whole, default=None, help="CPU threads to compute with")
        stage.set_defaults(run=run)
        if name == "pretrain":
            stage.add_argument("--base", help="a version to start from, whose generator is of the preset's size")
            stage.add_argument(
                "--teacher", type=Path, help="folder of a pretraining run to learn from, beside the poems"
            )
            stage.add_argument(
                "--steps", type=_whole, help="stop after so many steps, if the minutes are not over before"
            )
            stage.add_argument("--profile", action="store_true", help="say how near it is to the machine's bound")
        if name == "adversarial":
            stage.add_argument("--generator", type=Path, required=True, help="folder of the pretraining run")
            stage.add_argument("--reward", choices=("probability", "logit"), default="logit")
            stage.add_argument("--marks", type=Path, help="poems that readers rated: what to choose candidates by")
            stage.add_argument("--discriminator-only", action="store_true", help="leave the generator as pretrained")
            stage.add_argument(
                "--counted-chars", type=_from_zero, default=5000,
                help="of each form, in four rounds, to find out which characters to lift; 0: lift what is rare",
            )  # fmt: skip
            stage.add_argument("--measured-poems", type=_whole, default=250, help="of each form, for the figures")
            stage.add_argument("--promote", action="store_true", help="use the new version from now on")

    referee = verbs.add_parser("referee", help="train the language model that judges fluency in `evaluate`")
    referee.add_argument("--data", type=Path, required=True, help="a folder that `prepare` wrote; it is put there")
    referee.add_argument("--preset", choices=("tiny", "base"), default="base")
    referee.add_argument("--minutes", type=_minutes, default=25.0, help="whole budget (default 25)")
    referee.add_argument("--resume", action="store_true", help="go on from its checkpoint")
    referee.add_argument("--seed", type=_from_zero, default=0)
    referee.add_argument("--threads", type=_whole, default=None, help="CPU threads to compute with")
    referee.set_defaults(run=_referee)

    evaluate = verbs.add_parser("evaluate", help="measure a version in one form, beside people and simple models")
    evaluate.add_argument("--version", help="which (default: the one in use)")
    evaluate.add_argument("--form", default="qijue", help=f"one of {', '.join(FORMS)} (default qijue)")
    evaluate.add_argument("--data", type=Path, required=True, help="a folder that `prepare` wrote, with a referee")
    evaluate.add_argument("--preset", choices=("tiny", "base"), default="base", help="how much is measured")
    evaluate.add_argument("--json", action="store_true", help="all figures as one JSON object")
    evaluate.add_argument("--plots", type=Path, help="folder for pictures")
    evaluate.add_argument("--seed", type=_from_zero, default=0)
    evaluate.add_argument("--threads", type=_whole, default=None, help="CPU threads to compute with")
    evaluate.set_defaults(run=_evaluate)

    blind = verbs.add_parser("blind", help="let people read a version's poems beside people's, without knowing whose")
    steps = blind.add_subparsers(dest="action", required=True, metavar="ACTION")
    sheets = steps.add_parser("sheets", help="write a sheet for each reader, and the key")
    sheets.add_argument("versions", nargs="*", metavar="VERSION", help="whose poems (default: the one in use)")
    sheets.add_argument("--data", type=Path, required=True, help="a folder that `prepare` wrote")
    sheets.add_argument("--out", type=Path, required=True, help="a new folder")
    sheets.add_argument("--form", action="append", help=f"one or more of {', '.join(FORMS)} (default: qijue, wulv)")
    sheets.add_argument("--poems", type=_whole, default=60, help="of each version and of people, a form (default 60)")
    sheets.add_argument(
        "--before", type=_from_zero, action="append", help="poems to write before, and remember (default 0)"
    )
    sheets.add_argument("--readers", type=_whole, default=8, help="each poem is on one's sheet (default 8)")
    sheets.add_argument("--seed", type=_from_zero, default=0)
    sheets.set_defaults(run=_blind_sheets)
    tally = steps.add_parser("tally", help="a table of the ratings that lie beside the sheets")
    tally.add_argument("folder", type=Path)
    tally.set_defaults(run=_blind_tally)

    finetune = verbs.add_parser(
        "finetune", help="fit a voice to people's ratings; the gate decides whether it is heard"
    )
    finetune.add_argument("--ratings", type=Path, required=True, help="a file of ratings, as docs/learning.md has them")
    finetune.add_argument("--voice", help="whose voice; all that have none of their own if left out")
    finetune.add_argument("--base", help="the version to start from (default: the shared one in use)")
    finetune.add_argument("--data", type=Path, help="a prepared corpus, if there is one, to measure what is lost")
    finetune.add_argument("--minutes", type=_minutes, default=10.0, help="give up after this long (default 10)")
    finetune.add_argument("--seed", type=_from_zero, default=0)
    finetune.add_argument("--json", action="store_true", help="progress and outcome as JSON lines")
    finetune.set_defaults(run=_finetune)

    write = verbs.add_parser("write", help="write poems")
    write.add_argument("--form", default="qijue", help=f"one of {', '.join(FORMS)} (default qijue)")
    write.add_argument("--theme", default="", help="what it is about")
    write.add_argument("--acrostic", default="", help="first characters of the lines")
    write.add_argument("--first-line", default="", help="the whole first line")
    write.add_argument("--rhyme", default="", help="a rhyme group, or a character of one")
    write.add_argument("--seed", type=int, help="replay the poem with this seed")
    write.add_argument("--vary", type=int, help="write near the poem with this seed")
    write.add_argument("--count", type=int, default=1, help="how many poems (default 1)")
    write.add_argument(
        "--candidates", type=int, default=DEFAULT_CANDIDATES, help=f"to choose among (default {DEFAULT_CANDIDATES})"
    )
    write.add_argument("--temperature", type=float)
    write.add_argument("--script", choices=SCRIPTS, default="simplified")
    write.add_argument("--version", help="write with this version")
    write.add_argument("--voice", help="write with the version that this voice is in")
    write.add_argument("--json", action="store_true", help="one object a line")
    write.set_defaults(run=_write)

    check = verbs.add_parser("check", help="form, rhyme and tones of a poem, and what is broken")
    check.add_argument("text", help="the poem, or - for standard input")
    check.add_argument("--json", action="store_true")
    check.set_defaults(run=_check)

    score = verbs.add_parser("score", help="add nll_per_char and realness to poems in a file")
    score.add_argument("file", type=Path, help='JSON lines with "traditional" or "lines"')
    score.add_argument("--version")
    score.set_defaults(run=_score)

    phonology = verbs.add_parser("phonology", help="tone, rhyme and readings of characters")
    phonology.add_argument("chars")
    phonology.add_argument("--json", action="store_true", help="one object a line")
    phonology.add_argument("--version")
    phonology.set_defaults(run=_phonology)

    versions = verbs.add_parser("versions", help="the versions there are")
    actions = versions.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="all of them").set_defaults(run=_versions_list)
    for action, handler, text in (
        ("show", _versions_show, "how one was made, and its figures"),
        ("promote", _versions_promote, "use one from now on"),
    ):
        one = actions.add_parser(action, help=text)
        one.add_argument("name")
        one.set_defaults(run=handler)
    actions.add_parser("rollback", help="go back to the one before").set_defaults(run=_versions_rollback)
    return parser


def _home() -> Path | None:
    home = os.environ.get("POETGEN_HOME")
    return Path(home) if home else None


def _registry() -> Registry:
    return Registry(_home())


def _require_same(data: Path, dataset: "Dataset", version: str, model: "Model") -> None:
    if dataset.vocabulary.chars != model.vocabulary.chars:
        raise CorpusError(f"{data} was prepared otherwise than the corpus of {version}; prepare it anew.")


def _prepare(options: argparse.Namespace) -> int:
    from poetgen.prepare import prepare

    print(prepare(options.corpus, options.out, min_char_count=options.min_char_count, skip_bad=options.skip_bad))
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from poetgen.adapter import load_version
    from poetgen.dataset import load_dataset
    from poetgen.training import pretrain
    from poetgen.training.parallel import working
    from poetgen.training.run import Run, use_device

    if options.profile and options.device != "cpu":
        raise UsageError("--profile compares with the bound of this machine's CPU. Leave it out, or use --device cpu.")
    with working(use_device(options.device, options.threads)) as workers:
        dataset = load_dataset(options.data)
        teacher = pretrain.load_pretrained(options.teacher, dataset, workers.device) if options.teacher else None
        run = Run(options.out, "pretrain", resume=options.resume, max_steps=options.steps, workers=workers)
        config = pretrain.PRESETS[options.preset]
        base = None
        if options.base:
            name, model = load_version(_registry(), options.base)
            _require_same(options.data, dataset, name, model)
            base = name, model.generator
        generator = pretrain.pretrain(
            dataset,
            run,
            config,
            minutes=options.minutes,
            base=base,
            teacher=teacher,
            seed=options.seed,
            device=workers.device,
            resume=options.resume,
        )
        if not workers.first:
            return 0
    if options.profile:
        share = pretrain.share_of_bound(generator, config, run.speed / workers.size)
        print(f"That is {share:.0%} of what this machine's matrix products alone allow, in bfloat16.")
    print(f"Pretrained in {options.out}. Next: poetgen adversarial --generator {options.out} --data {options.data} ...")
    return 0


def _adversarial(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from poetgen.dataset import load_dataset
    from poetgen.training import adversarial, lifts, pretrain, release
    from poetgen.training.marks import read_marks
    from poetgen.training.run import Run, use_device

    device = use_device(options.device, options.threads)
    dataset = load_dataset(options.data)
    marked = read_marks(options.marks) if options.marks else None
    generator, recipe = pretrain.load_pretrained(options.generator, dataset, device)
    config = replace(adversarial.PRESETS[options.preset], reward=options.reward)
    run = Run(options.out, "adversarial", resume=options.resume)
    discriminator = adversarial.adversarial(
        dataset,
        generator,
        run,
        config,
        minutes=options.minutes,
        seed=options.seed,
        resume=options.resume,
        discriminator_only=options.discriminator_only,
    )
    recipes = {"pretrain": recipe, "adversarial": run.state()}
    registry = _registry()
    if marked:
        print("Learning from the marks ...", file=sys.stderr)
    model = release.assemble(dataset, generator.cpu(), discriminator.cpu(), recipes, marked)
    if options.counted_chars:
        with tqdm(total=lifts.num_poems(dataset, options.counted_chars), unit="poem", desc="lifts") as bar:
            model = lifts.lifted(model, dataset, options.counted_chars, seed=options.seed, progress=bar.update)
    print("Measuring ...", file=sys.stderr)
    name = release.register(release.with_figures(model, dataset, options.measured_poems, options.seed), registry)
    if options.promote:
        registry.promote(name)
    print(
        f"Registered as {name}{' and promoted' if options.promote else f'. Use it: poetgen versions promote {name}'}."
    )
    return 0


def _referee(options: argparse.Namespace) -> int:
    from poetgen.dataset import load_dataset
    from poetgen.evaluation import referee
    from poetgen.training.run import Run, use_device

    use_device("cpu", options.threads)
    dataset = load_dataset(options.data)
    run = Run(options.data / REFEREE_FOLDER, "referee", resume=options.resume)
    config = referee.PRESETS[options.preset]
    referee.train_referee(dataset, run, config, minutes=options.minutes, seed=options.seed, resume=options.resume)
    print(f"The referee is in {run.folder}. Next: poetgen evaluate --data {options.data}")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    form = form_named(options.form)
    from poetgen.dataset import load_dataset
    from poetgen.evaluation import evaluate, plots, tables
    from poetgen.evaluation.referee import load_referee
    from poetgen.poet import Poet
    from poetgen.training.run import Run, use_device

    use_device("cpu", options.threads)
    poet = Poet.load(_home(), options.version)
    dataset = load_dataset(options.data)
    folder = options.data / REFEREE_FOLDER
    if not folder.exists():
        raise CorpusError(f"{options.data} has no referee yet. Train one: poetgen referee --data {options.data}")
    _require_same(options.data, dataset, poet.version, poet.model)
    referee = load_referee(Run(folder, "referee", resume=True), dataset)
    with tqdm(total=len(evaluate.STEPS), unit="step", desc="evaluate") as bar:

        def done(step: str) -> None:
            bar.set_postfix_str(step, refresh=False)
            bar.update()

        config = evaluate.PRESETS[options.preset]
        found = evaluate.Evaluation(poet, dataset, referee, form, config, options.seed, done).run()
    if options.plots:
        plots.draw(found, options.plots)
    print(json.dumps(found, ensure_ascii=False, indent=1) if options.json else tables.as_text(found))
    return 0


def _blind_sheets(options: argparse.Namespace) -> int:
    forms = [form_named(name) for name in dict.fromkeys(options.form or ("qijue", "wulv"))]
    from poetgen.dataset import load_dataset
    from poetgen.evaluation import blind
    from poetgen.poet import Poet

    poets = [Poet.load(_home(), version) for version in dict.fromkeys(options.versions or [None])]
    dataset = load_dataset(options.data)
    for poet in poets:
        _require_same(options.data, dataset, poet.version, poet.model)
    blind.make_folder(options.out)
    befores = list(dict.fromkeys(options.before or [0]))
    total = len(forms) * len(poets) * (sum(befores) + len(befores) * options.poems)
    with tqdm(total=total, unit="poem", desc="writing", disable=not sys.stderr.isatty()) as bar:
        poems = blind.sources(poets, dataset, forms, options.poems, befores, options.seed, bar.update)
    blind.write_sheets(options.out, poems, options.readers, options.seed)
    print(
        f"{options.out} holds {options.readers} sheets. Give each reader one of them, but not {blind.KEY_FILE}; "
        f"save their rows beside them as ratings-1.csv and so on, then: poetgen blind tally {options.out}"
    )
    return 0


def _blind_tally(options: argparse.Namespace) -> int:
    from poetgen.evaluation import blind

    print(blind.as_markdown(blind.tallied(*blind.read_ratings(options.folder))))
    return 0


def _finetune(options: argparse.Namespace) -> int:
    try:
        return _fit(options)
    except PoetgenError as error:
        if options.json:  # whoever reads the lines is told why, too
            reasons = [error.code] if error.code else []
            failed = {"version": None, "verdict": "failed", "reasons": reasons, "error": str(error)}
            print(json.dumps(failed), flush=True)
        raise


def _fit(options: argparse.Namespace) -> int:
    # A voice is fitted beside a bot that people are waiting for.
    os.nice(10)
    import time

    import torch

    from poetgen.adapter import load_version
    from poetgen.dataset import load_dataset
    from poetgen.training.finetune import finetune
    from poetgen.training.gate import REASONS
    from poetgen.training.plots import draw_path
    from poetgen.training.ratings import read_ratings

    torch.set_num_threads(1)
    started = time.monotonic()
    ratings = read_ratings(options.ratings)
    registry = _registry()
    shared = registry.show(registry.current())
    # A shared voice is one, too: whoever fits another begins at the whole version that it changes.
    base = options.base or shared.base or shared.name
    if registry.show(base).base is not None:
        raise UsageError(f"The version {base} is a voice's. Start from a whole one; a fine-tune learns all votes anew.")
    registry.current(options.voice)  # a voice of an impossible name is refused before the work
    name, model = load_version(registry, base)
    corpus = load_dataset(options.data) if options.data else None
    if corpus:
        _require_same(options.data, corpus, name, model)
    with tqdm(total=len(_FINETUNE_STAGES), unit="stage", desc="finetune", disable=options.json) as bar:

        def progress(stage: str, share: float, reward: float | None) -> None:
            elapsed = time.monotonic() - started
            if elapsed > 60 * options.minutes:
                raise TrainingError(f"The fine-tune was not done in {options.minutes:g} minutes. Give it more.", "time")
            done = _FINETUNE_STAGES.index(stage) + share
            bar.n = done
            bar.set_postfix_str(stage)
            if options.json:
                whole = done / len(_FINETUNE_STAGES)
                left = elapsed * (1 - whole) / whole if whole else 60 * options.minutes
                line = {"stage": stage, "progress": round(whole, 4), "seconds_left": round(left, 1), "reward": reward}
                print(json.dumps(line), flush=True)

        outcome = finetune(
            model,
            name,
            ratings,
            registry,
            voice=options.voice,
            corpus=corpus,
            seed=options.seed,
            progress=progress,
        )
    picture = registry.home / PLOTS / f"{outcome.version}.png"
    plot: str | None = str(picture)
    try:
        draw_path(outcome.path, picture)
    except OSError as error:  # the voice may be heard by now, and a picture less changes nothing
        print(f"poetgen: the picture cannot be written ({error}).", file=sys.stderr)
        plot = None
    verdict = outcome.verdict
    said = "promoted" if verdict.passed else "refused"
    if options.json:
        record = {"version": outcome.version, "verdict": said, "reasons": list(verdict.reasons)}
        figures = {"before": dict(verdict.before), "after": dict(verdict.after), "plot": plot}
        print(json.dumps({**record, **figures}), flush=True)
        return 0
    print(f"{outcome.version} is {said}." + "".join(f"\n  {REASONS[reason]}" for reason in verdict.reasons))
    for figure, after in verdict.after.items():
        before = verdict.before.get(figure)
        print(f"  {figure}: {'' if before is None else f'{before:.4f} -> '}{after:.4f}")
    heard_by = f"--voice {options.voice}" if options.voice and verdict.passed else f"--version {outcome.version}"
    print(f"Hear it: poetgen write {heard_by}")
    return 0


def _write(options: argparse.Namespace) -> int:
    if options.count < 1:
        raise UsageError("Ask for at least one poem: --count 1 or more.")
    if options.seed is not None and options.count > 1:
        raise UsageError("A seed is one poem: leave out --count, or leave out --seed.")
    request = PoemRequest(
        form_named(options.form),
        options.theme,
        options.acrostic,
        options.first_line,
        options.rhyme,
        options.seed,
        options.vary,
        options.candidates,
        options.temperature,
    )
    from poetgen.poet import Poet

    _registry().current(options.voice)  # which refuses a name that is none
    if options.voice and all(version.voice != options.voice for version in _registry().versions_of(options.voice)):
        raise UsageError(
            f"The voice {options.voice!r} has no version of its own yet. Leave out --voice for the shared one, or fit "
            f"it: poetgen finetune --voice {options.voice} --ratings FILE"
        )
    poet = Poet.load(_home(), options.version, voice=options.voice)
    request = poet.check(request)
    total = options.count * (1 if options.seed is not None else options.candidates)
    with tqdm(total=total, unit="draft", desc="writing", disable=options.count == 1 or not sys.stderr.isatty()) as bar:
        compositions = poet.compose([request] * options.count, progress=bar.update)
    for number, composition in enumerate(compositions):
        if options.json:
            print(json.dumps(_as_json(composition, options.script), ensure_ascii=False))
        else:
            print(("\n" if number else "") + _as_text(composition, options.script))
    return 0


def _as_json(composition: Composition, shown_in: Script) -> dict[str, object]:
    poem = composition.poem
    assert poem.form is not None
    return {
        "form": poem.form.name,
        "theme": composition.theme,
        "title": script.show(poem.title, shown_in),
        "seed": composition.seed,
        "version": composition.version,
        "lines": [script.show(line, shown_in) for line in poem.lines],
        "traditional": list(poem.lines),
        "pattern": composition.pattern,
        "rhyme": composition.rhyme,
        "realness": round(composition.realness, 4),
        "in_classics": list(composition.in_classics),
        "check": {"passed": not composition.problems, "problems": list(composition.problems)},
    }


def _as_text(composition: Composition, shown_in: Script) -> str:
    poem = composition.poem
    assert poem.form is not None
    heading = script.show(f"《{poem.title}》  {poem.form.hanzi} · {composition.rhyme}韻", shown_in)
    notes = [f"  ! {problem}" for problem in composition.problems]
    return "\n".join(
        [heading, *couplets(poem.lines, shown_in), f"seed {composition.seed} · version {composition.version}", *notes]
    )


def _current_phonology(version: str | None = None) -> Phonology:
    registry = _registry()
    return load_phonology(registry.root(version or registry.current()))


def _check(options: argparse.Namespace) -> int:
    typed = sys.stdin.read() if options.text == "-" else options.text
    poem = parse_poem(typed)
    phonology = _current_phonology()
    poem = prosody.restored(poem, typed, phonology)
    report = prosody.check(poem, phonology)
    tones = ["".join("X" if len(heard) > 1 else heard for heard in line) for line in report.heard]
    if options.json:
        record = {
            "form": poem.form.name if poem.form else None,
            "lines": list(poem.lines),
            "tones": tones,
            "pattern": report.pattern,
            "rhyme": report.rhyme,
            "passed": report.passed,
            "problems": [problem.message for problem in report.problems],
        }
        print(json.dumps(record, ensure_ascii=False))
        return 0
    for line, heard in zip(punctuated(poem.lines), tones, strict=True):
        print(f"{line}  {heard.translate(str.maketrans('LOX', '○●◐'))}")
    print("○ level 平  ● oblique 仄  ◐ either")
    if report.pattern:
        print(f"Pattern {report.pattern}, rhyme group {report.rhyme or 'none'}.")
    for problem in report.problems:
        print(f"! {problem.message}")
    if report.passed:
        print("A regulated poem: form, rhyme and tones are in order.")
    return 0


def _score(options: argparse.Namespace) -> int:
    rows = _read_rows(options.file)
    from poetgen.poet import Poet

    poet = Poet.load(_home(), options.version)
    poems = []
    for number, row in enumerate(rows, start=1):
        lines = row.get("traditional") or row.get("lines")
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise UsageError(
                f'{options.file}, line {number}: a poem needs "traditional" or "lines", a list of its lines.'
            )
        try:
            poem = parse_poem("\n".join(lines))
        except RequestError as error:
            raise UsageError(f"{options.file}, line {number}: {error}") from None
        if poem.form is None:
            raise UsageError(f"{options.file}, line {number}: the lines fit no form; there are {', '.join(FORMS)}.")
        poems.append(poem)
    with tqdm(total=len(poems), unit="poem", desc="scoring", disable=not sys.stderr.isatty()) as bar:
        scores = poet.score(poems, progress=bar.update)
    for row, (nll, realness) in zip(rows, scores, strict=True):
        print(json.dumps({**row, "nll_per_char": round(nll, 4), "realness": round(realness, 4)}, ensure_ascii=False))
    return 0


def _read_rows(path: Path) -> list[dict[str, object]]:
    try:
        # A mark of the byte order may stand before it, and a line of JSON may hold what else divides lines.
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} cannot be read as JSON lines ({error}).") from None
    if not all(isinstance(row, dict) for row in rows):
        raise CorpusError(f"{path} must hold one JSON object a line.")
    return rows


def _phonology(options: argparse.Namespace) -> int:
    phonology = _current_phonology(options.version)
    for char in options.chars:
        folded = script.fold(char) if script.fold(char) in phonology else script.to_traditional(char)
        readings = phonology.readings(folded)
        if options.json:
            record = {
                "char": char,
                "tone": phonology.tone(folded),
                "rhyme": phonology.rhyme(folded),
                "readings": [
                    {"tone": r.tone, "rhyme": r.rhyme, "share": round(r.share, 4), "sure": r.sure} for r in readings
                ],
            }
            print(json.dumps(record, ensure_ascii=False))
        else:
            shown = "; ".join(
                f"{r.tone}{f' {r.rhyme}' if r.rhyme else ''} {r.share:.0%}{'' if r.sure else ' (unsure)'}"
                for r in readings
            )
            print(f"{char}  {shown or 'not in the corpus'}")
    return 0


def _versions_list(_: argparse.Namespace) -> int:
    registry = _registry()
    current = registry.current()
    for name in registry.names():
        mark = "*" if name == current else " "
        try:
            version = registry.show(name)
        except CheckpointError as error:
            print(f"{mark} {name}  damaged: {error}")
            continue
        print(f"{mark} {name}  {'shipped' if version.shipped else 'from ' + (version.parent or 'scratch')}")
    return 0


def _versions_show(options: argparse.Namespace) -> int:
    from poetgen.record import load_record

    record = load_record(_registry().folder(options.name))
    hidden = ("vocabulary", "phonology", "shares")
    print(json.dumps({key: value for key, value in record.items() if key not in hidden}, ensure_ascii=False, indent=1))
    return 0


def _versions_promote(options: argparse.Namespace) -> int:
    print(f"{_registry().promote(options.name)} is in use now.")
    return 0


def _versions_rollback(_: argparse.Namespace) -> int:
    print(f"{_registry().rollback()} is in use now.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
