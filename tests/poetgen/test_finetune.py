"""From ratings to a voice: taste is learned, noise is refused, and nothing bad is ever heard."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poetgen.__main__ import main
from poetgen.adapter import Adapter, load_version, save_adapter
from poetgen.checkpoint import Model, write_version
from poetgen.classics import Classics
from poetgen.dataset import Dataset
from poetgen.errors import CheckpointError, TrainingError
from poetgen.generator import Conditions
from poetgen.poem import FORMS, PoemRequest
from poetgen.poet import Poet
from poetgen.record import WEIGHTS_FILE
from poetgen.registry import Registry
from poetgen.sampling import Sample
from poetgen.training.anchor import Anchor
from poetgen.training.finetune import FinetuneConfig, StandIns, adapter_of, finetune, strongest
from poetgen.training.gate import REASONS, Gate, Verdict, _samples, vote_auc
from poetgen.training.losses import vote_loss
from poetgen.training.pretrain import validation_nll
from poetgen.training.ratings import NUM_FOLDS, RatedPoem, Ratings, read_ratings
from poetgen.training.taste import Electorate, TastePrior, bags
from poetgen.vocabulary import UNKNOWN_ID

CONFIG = FinetuneConfig(stand_ins=48, measured_poems=60, most_lost=0.05)


def served(poet: Poet, count: int) -> list[tuple[str, tuple[str, ...]]]:
    names = ["wujue", "qijue"]
    asked = [PoemRequest(FORMS[names[seed % 2]], seed=seed) for seed in range(count)]
    return [(request.form.name, item.poem.lines) for request, item in zip(asked, poet.compose(asked), strict=True)]


def liked_share(poet: Poet, lines: Sequence[str]) -> float:
    """A taste for common characters: the share among the commoner half of the vocabulary."""
    common = poet.model.vocabulary.chars[: len(poet.model.vocabulary.chars) // 2]
    text = "".join(lines)
    return sum(char in common for char in text) / len(text)


def rows(poet: Poet, count: int, *, noise: bool = False) -> list[dict[str, object]]:
    rng = np.random.default_rng(5)
    poems = served(poet, count)
    middle = float(np.median([liked_share(poet, lines) for _, lines in poems]))
    found: list[dict[str, object]] = []
    for form, lines in poems:
        for fold in range(NUM_FOLDS):
            likes = rng.random() < 0.5 if noise else liked_share(poet, lines) > middle
            row = {"form": form, "theme": None, "traditional": list(lines), "version": poet.version, "fold": fold}
            found.append(row | {"up": float(likes), "down": float(not likes)})
    return found


def write_rows(path: Path, found: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found), encoding="utf-8")
    return path


@pytest.fixture
def registry(home: Path, tmp_path: Path) -> Registry:
    """A registry of its own, which ships the trained version."""
    registry = Registry(home)
    return Registry(tmp_path / "home", release=registry.folder(registry.current()))


@pytest.fixture
def ratings(poet: Poet, tmp_path: Path) -> Ratings:
    return read_ratings(write_rows(tmp_path / "ratings.jsonl", rows(poet, 60)))


def fit(registry: Registry, ratings: Ratings, voice: str | None = "server-1") -> tuple[str, bool]:
    name, model = load_version(registry, registry.current())
    outcome = finetune(model, name, ratings, registry, voice=voice, config=CONFIG)
    return outcome.version, outcome.verdict.passed


def test_a_voice_learns_a_taste_and_is_heard(registry: Registry, ratings: Ratings) -> None:
    base = Poet(*load_version(registry, registry.current()))
    version, passed = fit(registry, ratings)
    assert passed, registry.show(version).figures
    assert registry.current("server-1") == version
    assert registry.current() == registry.current("server-2") == base.version
    voice = Poet(*load_version(registry, version))
    assert voice.model.base is base.model, "the voice's version shares all that it does not change"
    asked = [PoemRequest(FORMS["qijue"], seed=seed) for seed in range(1000, 1100)]
    old, new = base.compose(asked), voice.compose(asked)
    assert all(not item.problems for item in new)
    better = [
        (liked_share(base, after.poem.lines) - liked_share(base, before.poem.lines))
        for before, after in zip(old, new, strict=True)
    ]
    assert np.mean(np.sign(better)) > 0.1
    assert (registry.folder(version) / WEIGHTS_FILE).stat().st_size < 2**20
    shown = registry.show(version)
    assert (shown.base, shown.verdict, shown.votes_sha256) == (base.version, "promoted", ratings.sha256)


def test_the_same_votes_make_the_same_voice(
    registry: Registry, ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice, learned, judged = fit(registry, ratings), Electorate.learn, Gate.judge
    likes: list[np.ndarray] = []
    verdicts: list[bool] = []

    def learn(electorate: Electorate, liked: torch.Tensor, disliked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        likes.append(liked.numpy())
        return learned(electorate, liked, disliked)

    def judge(gate: Gate, candidate: Model, lost: float) -> Verdict:
        verdict = judged(gate, candidate, lost)
        verdicts.append(verdict.passed)
        return verdict

    monkeypatch.setattr(Electorate, "learn", learn)
    monkeypatch.setattr(Gate, "judge", judge)
    assert fit(registry, ratings) == voice
    assert np.array_equal(likes[0], ratings.up.sum(axis=1))
    for fold, others in enumerate(likes[1:]):
        assert np.array_equal(others, ratings.up.sum(axis=1) - ratings.up[:, fold]), (
            "each is judged without its own votes"
        )
    assert verdicts == [False] * (len(verdicts) - 1) + [True], "as strong as may be, and no weaker"


def test_votes_without_a_taste_are_refused_and_never_heard(registry: Registry, poet: Poet, tmp_path: Path) -> None:
    noise = read_ratings(write_rows(tmp_path / "noise.jsonl", rows(poet, 40, noise=True)))
    before = registry.current("server-1")
    version, passed = fit(registry, noise)
    assert not passed
    assert registry.current("server-1") == before
    with pytest.raises(CheckpointError, match="refused"):
        registry.promote(version, "server-1")
    assert Poet(*load_version(registry, version)).compose([PoemRequest(seed=1)])


def test_a_change_shares_what_it_does_not_change(poet: Poet) -> None:
    changed = Adapter({"output_bias": torch.ones_like(poet.model.generator.output_bias)}, {}).applied(poet.model)
    assert changed.generator.embedding.weight is poet.model.generator.embedding.weight
    assert changed.generator.lstm.weight_hh_l0 is poet.model.generator.lstm.weight_hh_l0
    assert torch.equal(changed.generator.output_bias, poet.model.generator.output_bias + 1)
    assert not torch.equal(changed.generator.output_bias, poet.model.generator.output_bias)


def test_a_voice_comes_back_as_it_was_and_one_of_an_earlier_edition_with_its_taste(
    registry: Registry, poet: Poet, tmp_path: Path
) -> None:
    base, size = registry.current(), len(poet.model.vocabulary)
    taste = torch.randn(size, generator=torch.Generator().manual_seed(1)).half().float()
    bias = torch.arange(size) / size
    said: dict[str, object] = {"base": base, "parent": base, "voice": "server-1", "verdict": "promoted"}
    said |= {"votes_sha256": None, "figures": {}, "recipe": {}}
    adapter = Adapter({"output_bias": bias}, {"taste": taste}, planning=0.5)
    save_adapter(adapter, tmp_path / "now", said)
    earlier = {"taste": taste, "discriminator.chars.weight": torch.ones(1, poet.model.discriminator.table.shape[1])}
    write_version(tmp_path / "then", earlier, said)
    plain = poet.model.planner.outline_chances("qijue", [])
    for name, added, planning in (("now", bias, 0.5), ("then", 0 * bias, 0.0)):
        model = load_version(registry, registry.register(tmp_path / name))[1]
        assert torch.equal(model.discriminator.taste, taste)
        assert torch.equal(model.discriminator.chars.weight, poet.model.discriminator.chars.weight)
        torch.testing.assert_close(
            model.generator.output_bias, poet.model.generator.output_bias + added, atol=1e-3, rtol=0
        )
        leaning = poet.model.planner.leaning((planning * taste).numpy()).outline_chances("qijue", [])
        assert model.planner.outline_chances("qijue", []) == pytest.approx(leaning)
        assert (leaning == plain).all() == (not planning)


def test_half_of_the_stand_ins_are_on_a_theme_that_was_rated(poet: Poet) -> None:
    rated = RatedPoem(FORMS["wujue"], poet.model.vocabulary.chars[:2] + "龘", ())
    (drawn,) = StandIns(poet.model, [rated], 32, seed=0).samples
    themes = drawn.conditions.themes
    assert {tuple(theme) for theme in themes.tolist()} == {(3, 4), (0, 0)}
    assert 8 <= int((themes[:, 0] == 3).sum()) <= 24


def test_generator_and_planner_follow_no_further_than_it_may(poet: Poet, ratings: Ratings) -> None:
    anchor = Anchor.of_samples(poet.model, StandIns(poet.model, ratings.poems, 32, seed=0).samples)
    taste = torch.randn(len(poet.model.vocabulary), generator=torch.Generator().manual_seed(1))
    assert anchor.share_lost(torch.zeros_like(taste)) == pytest.approx(0, abs=1e-7)
    for most in (0.01, 0.1):
        config = FinetuneConfig(most_lost=most, most_replanned=10 * most)
        strength = strongest(poet.model, taste, anchor, config)
        voice = adapter_of(taste, torch.zeros(1), strength).applied(poet.model)
        assert 0.5 * most < anchor.share_lost(strength.generator * taste) <= most
        assert 5 * most < poet.model.planner.divergence(voice.planner) <= 10 * most


def by_hand(poet: Poet, change: torch.Tensor, item: Sample, *, by_people: bool) -> tuple[float, float]:
    """(nats lost, nats of the base) of poems, from both whole generators."""
    voice = Adapter({"output_bias": change}, {}).applied(poet.model)
    with torch.no_grad():
        ours, theirs = (
            model.generator(item.ids, item.conditions, item.noise).double().log_softmax(dim=-1)
            for model in (poet.model, voice)
        )
    own = (ours - theirs).gather(2, item.ids[:, :, None])
    lost = own.sum() if by_people else (ours.exp() * (ours - theirs)).sum()
    return float(lost), -float(ours.gather(2, item.ids[:, :, None]).sum())


def test_the_share_lost_is_what_the_two_generators_say(poet: Poet, ratings: Ratings, dataset: Dataset) -> None:
    change = torch.randn(len(poet.model.vocabulary), generator=torch.Generator().manual_seed(2))
    drawn = StandIns(poet.model, ratings.poems, 8, seed=0).samples
    lost, total = np.sum([by_hand(poet, change, item, by_people=False) for item in drawn], axis=0)
    assert Anchor.of_samples(poet.model, drawn).share_lost(change) == pytest.approx(lost / total, rel=1e-4)
    peoples = []
    for data in dataset.validation.values():
        ids = torch.from_numpy(data.ids[:8]).long()
        mean, _ = poet.model.generator.encode(ids)
        peoples.append(Sample(ids, ids, ids, mean, mean, Conditions.none(data.form, len(ids)), mean, None))
    lost, total = np.sum([by_hand(poet, change, item, by_people=True) for item in peoples], axis=0)
    assert Anchor.of_corpus(poet.model, dataset, 8).share_lost(change) == pytest.approx(lost / total, rel=1e-4)


def test_a_voice_fitted_beside_a_corpus_keeps_peoples_poems(
    registry: Registry, ratings: Ratings, dataset: Dataset
) -> None:
    name, model = load_version(registry, registry.current())
    outcome = finetune(model, name, ratings, registry, voice="server-1", corpus=dataset, config=CONFIG)
    assert outcome.verdict.passed
    voice = load_version(registry, outcome.version)[1]
    before, after = (validation_nll(each.generator, dataset.validation, limit=12)["all"] for each in (model, voice))
    assert after / before - 1 < 2 * CONFIG.most_lost


def ruined(model: Model) -> Model:
    """A candidate that writes one character wherever it may."""
    change = torch.zeros_like(model.generator.output_bias)
    change[3:8] = 30
    return Adapter({"output_bias": change}, {}).applied(model)


def test_the_gate_says_what_was_lost(poet: Poet, ratings: Ratings) -> None:
    scores = np.repeat([[liked_share(poet, poem.lines)] for poem in ratings.poems], NUM_FOLDS, axis=1)
    gate = Gate(poet.model, ratings, scores, most_lost=0.01, poems=40, seed=0)
    verdict = gate.judge(ruined(poet.model), lost=0.2)
    assert {"language", "variety"} <= set(verdict.reasons) <= set(REASONS)
    assert verdict.too_strong
    assert not verdict.passed


@pytest.mark.parametrize(
    ("found", "lost", "reasons"),
    [
        ({}, 0.01, ()),
        ({}, 0.0101, ("language",)),
        ({"distinct pairs": 0.882}, 0.0, ()),
        ({"distinct pairs": 0.881}, 0.0, ("variety",)),
        ({"copied lines": 0.029}, 0.0, ()),
        ({"copied lines": 0.03}, 0.0, ("copied",)),
        ({"regulated": 0.99}, 0.0, ("rules",)),
    ],
)
def test_each_reason_against_a_candidate(
    poet: Poet, ratings: Ratings, monkeypatch: pytest.MonkeyPatch, found: dict[str, float], lost: float,
    reasons: tuple[str, ...],
) -> None:  # fmt: skip
    before = {"distinct pairs": 0.9, "copied lines": 0.01, "regulated": 1.0}
    figures = iter([before, before | found])
    monkeypatch.setattr("poetgen.training.gate._samples", lambda *_: next(figures))
    scores = np.repeat([[liked_share(poet, poem.lines)] for poem in ratings.poems], NUM_FOLDS, axis=1)
    verdict = Gate(poet.model, ratings, scores, most_lost=0.01, poems=1, seed=0).judge(poet.model, lost)
    assert verdict.reasons == reasons
    assert verdict.too_strong, "the votes are predicted"
    assert verdict.passed == (not reasons)


def test_votes_must_be_predicted_better_than_by_chance_and_than_before(
    poet: Poet, ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    even = dict.fromkeys(("distinct pairs", "copied lines", "regulated"), 0.0)
    monkeypatch.setattr("poetgen.training.gate._samples", lambda *_: even)
    likes = np.array([liked_share(poet, poem.lines) for poem in ratings.poems])[:, None]
    noise = np.random.default_rng(0).standard_normal(likes.shape)

    def judged(scores: np.ndarray, predicted_before: float) -> Verdict:
        gate = Gate(poet.model, ratings, np.repeat(scores, NUM_FOLDS, axis=1), most_lost=0.01, poems=1, seed=0)
        gate._before["votes predicted"] = predicted_before
        return gate.judge(poet.model, 0.0)

    for scores, before, reasons in (
        (likes, 0.99, ()),
        (likes, 1.0, ("no_better",)),
        (noise, 0.0, ("chance",)),
        (-likes, 0.5, ("chance", "no_better")),
    ):
        verdict = judged(scores, before)
        assert verdict.reasons == reasons
        assert verdict.too_strong == (not reasons), "changed less, it would predict no better"
    after = judged(likes + likes.std() * noise, 0.5).after
    assert 0.5 < after["votes predicted, at least"] < after["votes predicted"] < 1


def test_copied_lines_are_counted(poet: Poet, ratings: Ratings) -> None:
    everything = replace(poet.model, classics=Classics(np.full(9, 255, np.uint8)))
    assert _samples(everything, ratings, 4, 0)["copied lines"] == 1
    assert _samples(poet.model, ratings, 4, 0)["copied lines"] == 0


def test_the_chance_that_a_like_is_above_a_dislike() -> None:
    scores = np.array([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    up = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    down = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    # First fold: 3 above 2 (twice won), 1 below it (twice lost); second: one pair, a tie.
    assert vote_auc(scores, up, down) == pytest.approx((2 + 0.5) / 5)
    assert vote_auc(scores, up, np.zeros_like(up)) == 0.5


def test_poems_of_the_same_characters_can_be_learned_from(poet: Poet) -> None:
    size = len(poet.model.vocabulary)
    poems = [torch.randint(3, size, (28,), generator=torch.Generator().manual_seed(number)) for number in range(40)]
    prior = TastePrior(torch.from_numpy(poet.model.planner.vectors), bags(poems, size))
    electorate = Electorate(prior, bags([*poems, *[poem.flip(0) for poem in poems]], size))
    likes = (torch.arange(80) % 2).float()
    taste, bias = electorate.learn(likes, 1 - likes)
    assert taste.isfinite().all()
    assert bias.isfinite().all()


def test_bags_by_hand() -> None:
    assert bags([torch.tensor([3, 3, 4, 5])], 6).tolist() == [[0, 0, 0, 1, 0.5, 0.5]]


def test_before_any_vote_the_verdict_spreads_by_one_nat_over_the_base_s_poems(poet: Poet) -> None:
    size = len(poet.model.vocabulary)
    poems = [torch.randint(0, size, (28,), generator=torch.Generator().manual_seed(number)) for number in range(40)]
    some = bags(poems, size)
    covariance = TastePrior(torch.from_numpy(poet.model.planner.vectors), some).covariance(some)
    assert not covariance[: UNKNOWN_ID + 1].any(), "nobody likes or dislikes what is no character"
    between = some @ covariance
    assert float((between.diagonal() - between.mean(dim=0)).mean()) == pytest.approx(1, rel=1e-4)


def test_what_is_learned_is_where_prior_and_votes_hold_each_other(poet: Poet) -> None:
    size = len(poet.model.vocabulary)
    poems = [torch.randint(3, size, (28,), generator=torch.Generator().manual_seed(number)) for number in range(40)]
    some = bags(poems, size)
    prior = TastePrior(torch.from_numpy(poet.model.planner.vectors), some)
    liked, disliked = torch.rand(2, 40, generator=torch.Generator().manual_seed(0)) * torch.tensor([[3.0], [1.0]])
    taste, bias = Electorate(prior, some).learn(liked, disliked)
    verdicts = some @ taste + bias
    pulls = liked * torch.sigmoid(-verdicts) - disliked * torch.sigmoid(verdicts)  # of the votes, less the prior's
    torch.testing.assert_close(taste, prior.covariance(some) @ pulls, atol=2e-3, rtol=1e-2)
    assert float(bias) == pytest.approx(2**2 * float(pulls.sum()), rel=0.01)
    assert bias > 0, "more was liked than not"


def test_losses_of_votes_by_hand() -> None:
    logits = torch.tensor([0.0, 0.0])
    liked, disliked = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 1.0])
    assert float(vote_loss(logits, liked, disliked)) == pytest.approx(4 * np.log(2))
    sure = torch.tensor([100.0, -100.0])
    assert float(vote_loss(sure, liked, disliked)) == pytest.approx(0, abs=1e-6)


def test_all_that_is_said_of_a_poem_is_added_up(poet: Poet, tmp_path: Path) -> None:
    found = rows(poet, 15)
    own = found[0]["traditional"]
    more = [found[0] | {"fold": 2, "up": 0.5, "down": 0.25}] * 3
    unvoted = [found[0] | {"traditional": ["月" * len(line) for line in own], "up": 0.0, "down": 0.0}]  # type: ignore[attr-defined]
    ratings = read_ratings(write_rows(tmp_path / "ratings.jsonl", [*found, *more, *unvoted]))
    assert len(ratings.poems) == 15, "fifteen are enough, and one that nobody voted on is none"
    likes = float(found[2]["up"])  # type: ignore[arg-type]
    assert (ratings.up[0, 2], ratings.down[0, 2]) == (likes + 1.5, 1 - likes + 0.75)
    assert ratings.up[0, 1] == found[1]["up"]


@pytest.mark.parametrize(
    ("damage", "message", "code"),
    [
        ("few", "needs 15", "few"),
        ("one way", "likes only", "alike"),
        ("one fold", "one fold", "fold"),
        ("cut", "no row of ratings", None),
        ("foreign", "no row of ratings", None),
        ("nan", "no row of ratings", None),
        ("huge", "no row of ratings", None),
        ("latin", "no row of ratings", None),
        ("negative", "no row of ratings", None),
        ("no fold", "no row of ratings", None),
        ("missing", "cannot be read", None),
        ("binary", "cannot be read", None),
    ],
)
def test_a_bad_file_is_refused_in_one_sentence(
    poet: Poet, tmp_path: Path, damage: str, message: str, code: str | None
) -> None:
    found = rows(poet, 20)
    path = tmp_path / "ratings.jsonl"
    if damage == "few":
        found = found[: 5 * NUM_FOLDS]
    elif damage == "one way":
        found = [row | {"up": 1.0, "down": 0.0} for row in found]
    elif damage == "one fold":
        found = [row | {"fold": 0} for row in found]
    elif damage == "foreign":
        found = [{"user": 1}]
    elif damage == "nan":
        found[0]["up"] = float("nan")
    elif damage == "huge":
        found[0]["up"] = 10**400
    elif damage == "negative":
        found[0]["down"] = -1.0
    elif damage == "no fold":
        found[0]["fold"] = -1
    elif damage == "latin":
        found[0]["traditional"] = ["abcde"] * 4
    write_rows(path, found)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    elif damage == "missing":
        path.unlink()
    with pytest.raises(TrainingError, match=message) as caught:
        read_ratings(path)
    assert "\n" not in str(caught.value)
    assert caught.value.code == code


def test_the_command_tells_its_progress_and_draws_it(
    registry: Registry, poet: Poet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.register(registry.folder(registry.current()))
    monkeypatch.setenv("POETGEN_HOME", str(registry.home))
    monkeypatch.setattr("os.nice", lambda _: 0)  # the tests that follow should not be slower
    path = write_rows(tmp_path / "ratings.jsonl", rows(poet, 30))
    command = ["finetune", "--ratings", str(path), "--voice", "server-1", "--base", poet.version, "--json"]
    assert main(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shares = [line["progress"] for line in lines[:-1]]
    assert shares == sorted(shares)
    assert {line["stage"] for line in lines[:-1]} == {"discriminator", "generator", "gate"}
    last = lines[-1]
    assert last["verdict"] in ("promoted", "refused")
    assert (last["verdict"] == "refused") == bool(last["reasons"])
    assert last["after"].keys() >= last["before"].keys() > {"distinct pairs", "votes predicted"}
    assert Path(last["plot"]).read_bytes().startswith(b"\x89PNG")
    assert main(["write", "--version", last["version"], "--seed", "1"]) == 0
    # A shared voice changes a whole version, and whoever is fitted next changes that one too.
    shared, _ = fit(registry, read_ratings(path), voice=None)
    registry.promote(shared)
    assert main(["finetune", "--ratings", str(path), "--voice", "server-2", "--json"]) == 0
    other = json.loads(capsys.readouterr().out.splitlines()[-1])["version"]
    assert registry.show(other).base == registry.show(shared).base == poet.version
    assert main([*command, "--minutes", "0.0001"]) == 2
    told = capsys.readouterr()
    assert "minutes" in told.err
    failed = json.loads(told.out.splitlines()[-1])
    assert (failed["verdict"], failed["reasons"]) == ("failed", ["time"])
    few = write_rows(tmp_path / "few.jsonl", rows(poet, 3))
    assert main(["finetune", "--ratings", str(few), "--json"]) == 2
    failed = json.loads(capsys.readouterr().out)
    assert failed["reasons"] == ["few"]
    assert "rates 3 poems" in failed["error"]
    assert main(["finetune", "--ratings", str(path), "--base", last["version"]]) == 2
    assert main(["finetune", "--ratings", str(path), "--base", poet.version, "--voice", "../x"]) == 2
    assert "matplotlib.pyplot" not in sys.modules


@pytest.mark.parametrize(
    ("stage", "ended_by"),
    [
        ("discriminator", signal.SIGKILL),
        ("generator", signal.SIGKILL),
        ("gate", signal.SIGKILL),
        ("gate", signal.SIGTERM),
    ],
)
def test_ended_at_any_stage_it_leaves_the_old_voice_and_the_votes(
    registry: Registry, ratings: Ratings, poet: Poet, tmp_path: Path, stage: str, ended_by: signal.Signals
) -> None:
    registry.register(registry.folder(registry.current()))
    registry.promote(poet.version)
    old, _ = fit(registry, ratings)
    assert registry.current("server-1") == old
    path = write_rows(tmp_path / "ratings.jsonl", rows(poet, 30))
    votes, names = path.read_bytes(), registry.names()
    command = [sys.executable, "-m", "poetgen", "finetune", "--ratings", str(path), "--voice", "server-1", "--json"]
    environment = {**os.environ, "POETGEN_HOME": str(registry.home)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line).get("stage") == stage:
                child.send_signal(ended_by)
                break
        assert child.wait(30) == -ended_by
    again = Registry(registry.home, release=tmp_path / "none")
    assert (again.current("server-1"), again.names(), path.read_bytes()) == (old, names, votes)
    assert Poet(*load_version(again, old)).compose([PoemRequest(seed=1)])
    version, _ = fit(again, read_ratings(path))
    assert version in again.names()


def test_a_full_disk_leaves_the_old_voice(
    registry: Registry, ratings: Ratings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = registry.current("server-1")
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(CheckpointError, match="Make room and try again"):
        fit(registry, ratings)
    monkeypatch.undo()
    assert registry.current("server-1") == before
    assert fit(registry, ratings)[0] in registry.names()


def test_a_damaged_voice_is_refused(registry: Registry, ratings: Ratings) -> None:
    version, _ = fit(registry, ratings)
    weights = registry.folder(version) / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        load_version(registry, version)
