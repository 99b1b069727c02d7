import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bench import feedback, members
from bench.members import HONEST, HOSTILE, NOISE, RING, vote
from bench.rivals import RIVALS
from bench.tastes import Taste, tastes
from bot.votes import Vote
from poetgen.adapter import load_version
from poetgen.poem import DEFAULT_FORM, Composition, Poem, PoemRequest
from poetgen.poet import Poet
from poetgen.registry import Registry
from poetgen.training.anchor import Anchor
from poetgen.training.finetune import FinetuneConfig, StandIns
from poetgen.training.ratings import read_ratings

WINE = Taste("wine", True, lambda text: text.count("酒"))


def served(count: int) -> list[Composition]:
    poems = [
        Poem((f"{'酒' if number % 2 else '茶'}一二三四五六", *["一二三四五六七"] * 3), DEFAULT_FORM)
        for number in range(count)
    ]
    return [
        Composition(poem, "", number, "v", "ABbA", "東", 0.0, (False,) * 4) for number, poem in enumerate(poems)
    ]  # fmt: skip


def weights(lines: str) -> Counter[str]:
    """What likes and dislikes of poems with and without wine weigh in a file."""
    found: Counter[str] = Counter()
    for row in map(json.loads, lines.splitlines()):
        wine = "wine" if row["traditional"][0].startswith("酒") else "tea"
        found[f"{wine} up"] += row["up"]
        found[f"{wine} down"] += row["down"]
    return found


def test_a_taste_prefers_more_of_what_it_likes() -> None:
    assert WINE.share_preferred(["酒", "茶", "酒"], ["茶", "茶", "酒"]) == pytest.approx(2 / 3)
    assert WINE.share_preferred(["茶"], ["酒"]) == 0
    assert WINE.threshold(["酒", "茶", "酒", "茶"]) == 1


def test_honest_members_mostly_vote_by_their_taste() -> None:
    ballot = vote(served(100), WINE, 300, HONEST, 0)
    found = weights(ballot.lines)
    assert 300 <= ballot.num_votes <= 308
    assert 37 <= ballot.num_poems <= 100
    right = found["wine up"] + found["tea down"]
    assert 0.8 < right / found.total() < 0.9


def test_noise_has_no_taste() -> None:
    found = weights(vote(served(400), WINE, 1500, NOISE, 0).lines)
    assert 0.45 < (found["wine up"] + found["tea down"]) / found.total() < 0.55


@pytest.mark.parametrize("crowd", [HOSTILE, RING])
def test_hostile_votes_count_little(crowd: str) -> None:
    found = weights(vote(served(200), WINE, 300, crowd, 0).lines)
    assert (found["wine up"] + found["tea down"]) / found.total() > 0.65


def test_one_hostile_member_casts_his_share(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    ballot = members._ballot

    def watched(poems: Sequence[Composition], cast: Sequence[Vote]) -> members.Ballot:
        seen.extend(item.voter for item in cast)
        return ballot(poems, cast)

    monkeypatch.setattr(members, "_ballot", watched)
    vote(served(200), WINE, 300, HOSTILE, 0)
    assert max(seen) == 12
    assert seen.count(12) / len(seen) == pytest.approx(0.3, abs=0.02)


def test_too_few_poems_for_the_votes() -> None:
    with pytest.raises(ValueError, match="too few"):
        vote(served(5), WINE, 300, HONEST, 0)


@pytest.mark.parametrize("rival", RIVALS)
def test_a_rival_learns_within_the_same_bounds(rival: str, tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    name, model = load_version(registry, registry.current())
    poet = Poet(name, model)
    likes_moon = Taste("moon", True, lambda text: text.count("月"))
    asked = [PoemRequest(theme=theme, seed=seed) for seed, theme in enumerate(["月", "酒"] * 30)]
    file = tmp_path / "ratings.jsonl"
    file.write_text(vote(poet.compose(asked), likes_moon, 150, HONEST, 0).lines, encoding="utf-8")
    ratings = read_ratings(file)
    stand_ins = StandIns(model, ratings.poems, 16, 0)
    adapter = RIVALS[rival](model, ratings, stand_ins)
    anchor = Anchor.of_samples(model, stand_ins.samples)
    assert anchor.share_lost(adapter.generator["output_bias"]) <= FinetuneConfig().most_lost
    assert any(bool(change.any()) for change in (*adapter.generator.values(), *adapter.discriminator.values()))


def test_the_table_means_over_tastes_of_a_kind() -> None:
    def trial(named: bool, served: float, promoted: bool | None, seed: int = 0) -> feedback.Trial:
        return feedback.Trial(HONEST, 300, "t", named, seed, feedback.OURS, served, 0.5, promoted, (), {}, 60.0)

    _, named, linear = feedback.table(
        [trial(True, 0.7, True), trial(True, 0.9, False, seed=1), trial(False, 0.6, True)]
    )
    assert named[3] == "named (1)", "one taste with two seeds"
    assert named[4].startswith("0.80 (0.")
    assert named[6:] == ["1 of 2", "1.0"]
    assert linear[3:5] == ["linear (1)", "0.60"]


def test_the_plan_covers_what_must_be_shown(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    _, model = load_version(registry, registry.current())
    found = tastes(model.vocabulary, model.planner, range(2))
    short, full = feedback.plan(False, found), feedback.plan(True, found)
    assert len({taste.name for _, _, taste, _, _ in short}) >= 5
    assert {crowd for crowd, *_ in full} == {HONEST, HOSTILE, RING, NOISE, feedback.ROUNDS}
    assert {votes for _, votes, *_ in full} == {50, 150, 210, 300, 1000}
    assert {method for *_, method in full} == {feedback.OURS, *RIVALS}
    assert np.isfinite([taste.score("酒醉") for taste in found]).all()


def test_in_the_picture_each_crowd_stands_beside_the_honest_ones() -> None:
    def trial(crowd: str) -> feedback.Trial:
        return feedback.Trial(crowd, 300, "t", True, 0, feedback.OURS, 0.7, 0.5, True, (), {}, 60.0)

    figure = feedback.draw([trial(crowd) for crowd in (HONEST, HOSTILE, RING, feedback.ROUNDS, NOISE)])
    (axes,) = figure.axes
    places = {str(marks.get_label()): np.asarray(marks.get_offsets())[:, 0].tolist() for marks in axes.collections}
    assert list(places) == [HOSTILE, RING, feedback.ROUNDS], "noise has no taste to prefer anything by"
    assert len({300.0, *(place for (place,) in places.values())}) == 4


def test_the_base_against_itself_wins_exactly_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feedback, "_SERVED", 8)
    monkeypatch.setattr(feedback, "_COMPARED", 5)
    bench = feedback.Bench(Registry(tmp_path))
    likes_one_of_any_two = Taste("order", False, lambda text: int.from_bytes(text.encode()))
    assert bench.preferred(bench.model, likes_one_of_any_two) == (0.5, 0.5)
