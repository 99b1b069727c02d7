import random
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest
import torch

from poetgen import prosody
from poetgen.adapter import Adapter
from poetgen.classics import Classics
from poetgen.dataset import PATTERN_IDS, RHYME_IDS, Dataset
from poetgen.drafting import _weighted
from poetgen.errors import RequestError
from poetgen.phonology import Phonology
from poetgen.planner import Planner
from poetgen.poem import FORMS, Composition, PoemRequest
from poetgen.poet import Poet, _seeds, constraints_of, drafter_of
from poetgen.sampling import Draft
from poetgen.seeds import FIRST_SEEDS, MAX_SEED, Seed
from poetgen.vocabulary import Vocabulary

from tests.poetgen.generated import Sounds  # isort: skip


def known(poet: Poet, number: int = 4) -> str:
    return poet.model.vocabulary.chars[:number]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (PoemRequest(theme="🌙"), "does not know: 🌙"),
        (PoemRequest(theme="rain and wind, rain"), "does not know: rain and wind$"),
        (PoemRequest(theme="autumn"), "does not know: autumn$"),
        (PoemRequest(first_line="，，"), "does not know: ，，$"),
        (PoemRequest(seed=-1), "A seed is a number"),
        (PoemRequest(seed=MAX_SEED + 1), "A seed is a number"),
        (PoemRequest(vary=MAX_SEED + 1), "A seed is a number"),
        (PoemRequest(vary=1, seed=1), "only one of them"),
        (PoemRequest(candidates=0), "Choose among 1 to"),
        (PoemRequest(temperature=9.0), "A temperature is a number"),
        (PoemRequest(rhyme="x"), "no rhyme group"),
    ],
)
def test_bad_requests_are_refused_by_name(poet: Poet, request_: PoemRequest, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        poet.check(request_)


def test_lengths_are_checked_against_the_form(poet: Poet) -> None:
    chars = poet.model.vocabulary.chars
    assert poet.check(PoemRequest(theme="，".join(chars[:12]))).theme == chars[:12], "punctuation does not count"
    with pytest.raises(RequestError, match="500 characters; 20 are the most"):
        poet.check(PoemRequest(theme=chars[0] * 500))
    with pytest.raises(RequestError, match="The acrostic has 5 characters, but qijue has 4 lines"):
        poet.check(PoemRequest(acrostic=chars[:5]))
    with pytest.raises(RequestError, match="The first line has 5 characters; a line of qijue has 7"):
        poet.check(PoemRequest(first_line=chars[:5]))
    with pytest.raises(RequestError, match="make them agree"):
        poet.check(PoemRequest(first_line=chars[:7], acrostic=chars[8]))


def test_what_is_just_within_a_limit_is_taken(poet: Poet) -> None:
    chars = poet.model.vocabulary.chars
    for asked in (
        PoemRequest(theme=chars[:20], acrostic=chars[:4], candidates=128, temperature=2.0),
        PoemRequest(seed=0, candidates=1, temperature=0.1),
        PoemRequest(seed=MAX_SEED),
        PoemRequest(vary=MAX_SEED, first_line=chars[:7], acrostic=chars[0]),
    ):
        assert poet.check(asked) == asked
    for beyond in (PoemRequest(theme=chars[:21]), PoemRequest(candidates=129), PoemRequest(temperature=2.01)):
        with pytest.raises(RequestError):
            poet.check(beyond)


def test_a_first_line_must_rhyme_with_the_rhyme_asked_for(poet: Poet, sounds: Sounds) -> None:
    of = {group: char for char, group in sounds.level.items() if poet.model.phonology.sure_rhymes(char) == (group,)}
    line = known(poet, 6) + of["先"]
    for rhyme in ("先", "寒"):
        assert poet.check(PoemRequest(first_line=line, rhyme=rhyme)).rhyme == rhyme, "a neighbour may be borrowed from"
    with pytest.raises(RequestError, match="does not rhyme"):
        poet.check(PoemRequest(first_line=line, rhyme="東"))


def test_a_rhyme_of_too_few_characters_is_refused(poet: Poet) -> None:
    few = Poet("", poet.model)
    few._drafter = replace(few._drafter, rhymes=["先"])
    assert few.check(PoemRequest(rhyme="先")).rhyme == "先"
    with pytest.raises(RequestError, match="too few"):
        few.check(PoemRequest(rhyme="東"))


def test_the_seed_shown_replays_the_poem_whatever_else_is_written(poet: Poet) -> None:
    asked = poet.check(PoemRequest(FORMS["qilv"], theme=known(poet, 2), candidates=6))
    first, *_ = poet.compose([asked, PoemRequest(FORMS["wujue"]), asked])
    replay = poet.check(PoemRequest(FORMS["qilv"], theme=known(poet, 2), seed=first.seed))
    for batch in ([replay], [PoemRequest(FORMS["qilv"]), replay]):
        again = poet.compose(batch)[-1]
        assert replace(again, realness=0.0) == replace(first, realness=0.0)
        assert again.realness == pytest.approx(first.realness, abs=1e-4)


def test_blanks_in_a_theme_do_not_matter(poet: Poet) -> None:
    first, second = [*known(poet, 2)]
    assert poet.check(PoemRequest(theme=f" {first} {second}\u3000")).theme == first + second


def test_different_seeds_give_different_poems(poet: Poet) -> None:
    poems = poet.compose([PoemRequest(seed=seed) for seed in range(30)])
    assert len({item.poem.lines for item in poems}) == 30


def test_requests_are_answered_in_order_across_forms(poet: Poet) -> None:
    names = ["qilv", "wujue", "qijue", "wulv", "wujue"]
    found = poet.compose([PoemRequest(FORMS[name], candidates=2) for name in names])
    assert [item.poem.form.name for item in found if item.poem.form] == names
    assert all(not item.problems for item in found)


def test_the_title_is_the_theme_or_two_characters_of_the_poem(poet: Poet) -> None:
    themed, free = poet.compose([poet.check(PoemRequest(theme=known(poet, 2), seed=1)), PoemRequest(seed=1)])
    assert themed.poem.title == known(poet, 2)
    assert len(free.poem.title) == 2
    assert set(free.poem.title) <= set(free.poem.text)


def test_the_title_is_the_most_telling_word_within_a_line(poet: Poet) -> None:
    chars = poet.model.vocabulary.chars[:-1] + "不"  # a character of grammar
    a, b, c, d, e, *filler = range(3, 28)
    no = len(chars) + 2
    vectors = np.zeros((len(chars) + 3, 64), np.float32)
    vectors[[a, b], 0], vectors[[c, d], 1], vectors[[e, no], 2] = 1, 2, 3
    keywords = np.array([[a, b], [c, d], [e, e], [no, e]], np.int32)
    planner = Planner(vectors, keywords, np.ones(4, np.float32), np.ones(len(vectors), np.float32))
    writer = Poet("", replace(poet.model, vocabulary=Vocabulary(chars), planner=planner))

    def title(**words: list[int]) -> list[int]:
        ids = filler[:20]
        for place, word in words.items():
            ids[int(place[1:]) : int(place[1:]) + 2] = word
        return writer.model.vocabulary.encode(writer._title(ids, FORMS["wujue"]))

    assert title(_0=[a, b], _7=[c, d]) == title(_1=[c, d], _8=[a, b]) == [c, d]
    assert title(_4=[c, d], _8=[a, b]) == [a, b], "what two lines make together is no word"
    assert title(_1=[e, e], _5=[no, e], _8=[a, b]) == [a, b], "nor is what tells nothing by itself"
    assert title() == filler[:2]


def test_the_rhyme_asked_for_is_kept(poet: Poet) -> None:
    group = poet._drafter.rhymes[0]
    for item in poet.compose([poet.check(PoemRequest(rhyme=group, seed=seed)) for seed in range(10)]):
        assert item.rhyme == group
        for number in prosody.rhyming_lines(item.pattern, 4):
            assert group in poet.model.phonology.sure_rhymes(item.poem.lines[number][-1])


def outline_of(draft: Draft) -> tuple[object, ...]:
    return (*map(tuple, draft.plan.tolist()), draft.pattern, draft.rhyme)


def test_plan_pattern_and_rhyme_come_from_one_poem_by_people(poet: Poet, dataset: Dataset) -> None:
    patterns = {number: name for name, number in PATTERN_IDS.items()}
    rhymes = {number: name for name, number in RHYME_IDS.items()}
    data = dataset.train["qijue"]
    peoples = {
        (*map(tuple, plan), patterns[pattern], rhymes[rhyme])
        for plan, pattern, rhyme in zip(data.plans.tolist(), data.patterns.tolist(), data.rhymes.tolist(), strict=True)
        if pattern and rhyme
    }
    drafter = drafter_of(poet.model, constraints_of(poet.model))
    group = drafter.rhymes[0]
    asked = [PoemRequest(), PoemRequest(theme=known(poet, 2)), PoemRequest(rhyme=group)] * 20
    drafts = drafter.drafts(asked, range(60))
    assert {outline_of(draft) for draft in drafts} <= peoples
    assert {draft.rhyme for draft in drafts[2::3]} == {group}
    assert len({outline_of(draft) for draft in drafts[::3]}) > 10
    for number, request in enumerate(asked):
        (alone,) = drafter.drafts([request], [number])
        assert outline_of(alone) == outline_of(drafts[number])


def test_candidates_share_outlines_and_no_two_are_the_same(poet: Poet) -> None:
    request = PoemRequest(FORMS["qijue"])
    seeds = _seeds(request, random.Random(5))
    assert len(set(seeds)) == request.candidates
    assert set(Counter(Seed.of(seed).outline for seed in seeds).values()) == {4}
    drafts = poet._drafter.drafts([request] * 8, seeds[:8])
    assert outline_of(drafts[0]) == outline_of(drafts[3])
    assert (drafts[0].noise != drafts[3].noise).all()
    assert len(_seeds(replace(request, candidates=3), random.Random(5))) == 3


def test_of_the_candidates_those_near_to_the_theme_are_preferred(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    planner, vocabulary = poet.model.planner, poet.model.vocabulary
    asked = [poet.check(PoemRequest(FORMS["wujue"], theme=known(poet, 2)))] * 10

    def nearness(weight: float) -> float:
        monkeypatch.setattr("poetgen.poet._THEME_WEIGHT", weight)
        likeness = planner.likeness(vocabulary.encode(asked[0].theme))
        poems = poet.compose(asked, source=random.Random(2))
        return float(np.mean([likeness[vocabulary.encode("".join(item.poem.lines))].mean() for item in poems]))

    assert nearness(100) > nearness(0)


def test_each_request_of_a_batch_is_written_near_its_own_theme(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poetgen.poet._THEME_WEIGHT", 100)
    vocabulary, themes = poet.model.vocabulary, (known(poet, 2), poet.model.vocabulary.chars[-2:])
    written = poet.compose(
        [PoemRequest(FORMS["wujue"], theme=themes[n % 2]) for n in range(4)], source=random.Random(2)
    )
    near, other = (poet.model.planner.likeness(vocabulary.encode(theme)) for theme in themes)
    for item in written[1::2]:
        ids = vocabulary.encode(item.poem.text)
        assert other[ids].mean() > near[ids].mean()


@pytest.mark.parametrize("weight", ["_LOGIT_WEIGHT", "_LIFT_WEIGHT", "_TASTE_WEIGHT"])
def test_candidates_are_chosen_by_what_they_seem_and_lift_and_what_is_liked(
    poet: Poet, monkeypatch: pytest.MonkeyPatch, weight: str
) -> None:
    taste = torch.randn(len(poet.model.vocabulary), generator=torch.Generator().manual_seed(1))
    model = Adapter({}, {"taste": taste}).applied(poet.model) if weight == "_TASTE_WEIGHT" else poet.model
    lifts = constraints_of(model).lifts
    asked = [PoemRequest(FORMS["wujue"], candidates=16)] * 6

    def worth(value: float) -> float:
        monkeypatch.setattr(f"poetgen.poet.{weight}", value)
        written = Poet("", model).compose(asked, source=random.Random(4))
        ids = torch.tensor([model.vocabulary.encode(item.poem.text) for item in written])
        found = {
            "_LOGIT_WEIGHT": [item.realness for item in written],
            "_LIFT_WEIGHT": lifts[ids].mean(dim=1).tolist(),
            "_TASTE_WEIGHT": taste[ids].mean(dim=1).tolist(),
        }
        return float(np.mean(found[weight]))

    assert worth(100.0) > worth(0.0)


def test_where_nobody_wrote_such_a_poem_the_plan_is_drawn_word_by_word(poet: Poet) -> None:
    drafter = drafter_of(poet.model, constraints_of(poet.model))
    planner = poet.model.planner
    kept = {name: of for name, of in planner.outlines.items() if name != "wulv"}
    words = Planner(planner.vectors, planner.keywords, planner.counts, planner.char_counts, kept)
    without = replace(drafter, planner=words)
    asked = [PoemRequest(FORMS["wulv"], theme=known(poet, 2))] * 20
    drafts = without.drafts(asked, range(20))
    assert {len(set(map(tuple, draft.plan.tolist()))) for draft in drafts} == {8}, "no keyword twice"
    assert len({draft.rhyme for draft in drafts}) > 3
    assert (
        drafter.drafts([PoemRequest()], [3])[0].plan.tolist() == without.drafts([PoemRequest()], [3])[0].plan.tolist()
    )


def test_a_first_line_decides_the_pattern(poet: Poet, sounds: Sounds) -> None:
    level, oblique = "".join(sounds.level)[5:], sounds.oblique
    line = oblique[0] + oblique[1] + level[0] + level[1] + oblique[2]
    for item in poet.compose(
        [poet.check(PoemRequest(FORMS["wujue"], first_line=line, seed=seed)) for seed in range(5)]
    ):
        assert item.poem.lines[0] == line
        assert item.pattern[0] == "a"
        assert item.problems == ()


def test_a_first_line_decides_the_rhyme_and_stands_for_the_theme(poet: Poet, sounds: Sounds) -> None:
    drafter, level, oblique = poet._drafter, "".join(sounds.level), sounds.oblique
    end = next(char for char in level if len(poet.model.phonology.sure_rhymes(char)) == 1)
    (group,) = poet.model.phonology.sure_rhymes(end)
    line = oblique[0] + oblique[1] + oblique[2] + level[5] + end  # of type A, which rhymes
    first, theme = PoemRequest(FORMS["wujue"], first_line=line), PoemRequest(FORMS["wujue"], theme=line)
    drafts, on_theme = (drafter.drafts([asked] * 20, range(20)) for asked in (first, replace(theme, first_line=line)))
    assert {(draft.pattern[0], draft.rhyme) for draft in drafts} == {("A", group)}
    assert list(map(outline_of, drafts)) == list(map(outline_of, on_theme))
    # With the same theme, each line has its own outlines.
    other = replace(theme, first_line=oblique[0] + oblique[1] + level[5] + level[6] + oblique[2])
    together = drafter.drafts([theme, other, replace(theme, first_line=line)], [1, 1, 1])
    assert [draft.pattern[0] for draft in together[1:]] == ["a", "A"]


def test_a_first_line_that_may_rhyme_does_so_only_in_the_rhyme_asked_for(poet: Poet, sounds: Sounds) -> None:
    known = poet.model.phonology
    end = next(char for char in sounds.level if len(known.sure_rhymes(char)) == 1)
    tones = known.tone_counts.copy()
    tones[known.chars.index(end)] = (600, 400)  # heard level or oblique, so of type A or a
    drafter = replace(poet._drafter, phonology=Phonology(known.chars, tones, known.rhyme_counts))
    asked = PoemRequest(FORMS["wujue"], first_line=sounds.oblique[:3] + "".join(sounds.level)[5] + end)
    (group,) = known.sure_rhymes(end)
    another = next(rhyme for rhyme in drafter.rhymes if rhyme != group)
    for rhyme, patterns in (("", "Aa"), (group, "Aa"), (another, "a")):
        assert {pattern[0] for pattern in drafter._patterns(replace(asked, rhyme=rhyme))} == set(patterns)


def test_of_patterns_and_rhymes_each_is_chosen_as_often_as_people_do() -> None:
    shares = {"東": 0.1, "先": 0.3, "尤": 0.6}
    drawn = [_weighted(shares, ["先", "東", "江"], draw) for draw in (0, 0.74, 0.76, 0.999999)]
    assert drawn == ["先", "先", "東", "東"], "three times as often, and nobody rhymes in 江"


def test_a_first_line_that_fits_no_pattern_is_kept_and_said_to_be_so(poet: Poet, sounds: Sounds) -> None:
    line = "".join(sounds.level)[:5]  # five oblique ones people do write, and right it in the line after
    (item,) = poet.compose([poet.check(PoemRequest(FORMS["wujue"], first_line=line, seed=3))])
    assert item.poem.lines[0] == line
    assert item.problems
    assert all(line in problem for problem in item.problems)


def test_scores_are_nats_and_a_logit(poet: Poet) -> None:
    poems = [item.poem for item in poet.compose([PoemRequest(FORMS[name], seed=5) for name in FORMS])]
    scores = poet.score(poems)
    assert len(scores) == 4
    assert all(0 < nll < 12 for nll, _ in scores)
    assert scores == poet.score(poems)


def test_a_character_too_rare_costs_the_choice_among_all_that_are(poet: Poet) -> None:
    (item,) = poet.compose([PoemRequest(FORMS["wujue"], seed=5)])
    rare = replace(item.poem, lines=("龘龘" + item.poem.lines[0][2:], *item.poem.lines[1:]))
    known = poet.model.phonology
    more = known.chars + "".join(map(chr, range(0x3400, 0x3400 + 1000)))
    counts = [np.resize(rows, (len(more), rows.shape[1])) for rows in (known.tone_counts, known.rhyme_counts)]
    larger = Poet("", replace(poet.model, phonology=Phonology(more, *counts)))
    kinds, more_kinds = (max(1, len(chars) - len(poet.model.vocabulary.chars)) for chars in (known.chars, more))
    for poem, times in ((item.poem, 0), (rare, 2)):
        (((nats, _),), ((more_nats, _),)) = poet.score([poem]), larger.score([poem])
        assert more_nats - nats == pytest.approx(times * np.log(more_kinds / kinds) / 20, abs=1e-5)


def test_progress_counts_every_candidate(poet: Poet) -> None:
    told: list[int] = []
    poet.compose([PoemRequest(candidates=3)] * 5, progress=told.append)
    assert sum(told) == 15


def test_all_candidates_of_a_request_are_written_together(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poetgen.poet.MAX_ROWS", 8)
    asked = [PoemRequest(FORMS[name], candidates=3) for name in ("qijue", "wulv", "qijue", "qijue")]
    told: list[int] = []
    poems = poet.compose(asked, progress=told.append)
    assert told == [6, 3, 3]
    assert [item.poem.form for item in poems] == [request.form for request in asked]


def test_a_variation_is_near_its_poem_and_replays_by_its_seed_alone(poet: Poet) -> None:
    (first,) = poet.compose([PoemRequest(FORMS["wulv"], seed=7)])
    varied = poet.compose([PoemRequest(FORMS["wulv"], vary=first.seed)] * 3)
    assert {(item.pattern, item.rhyme) for item in varied} == {(first.pattern, first.rhyme)}
    (again,) = poet.compose([PoemRequest(FORMS["wulv"], seed=varied[0].seed)])
    assert again.poem == varied[0].poem
    (second,) = poet.compose([PoemRequest(FORMS["wulv"], vary=varied[0].seed)])
    assert second.seed != varied[0].seed
    assert second.seed % FIRST_SEEDS == first.seed


def test_variations_are_neither_the_poem_nor_the_variation_they_are_of() -> None:
    seed = Seed(9, 8, variation=7)
    for number in range(10):
        found = [Seed.of(one) for one in _seeds(PoemRequest(vary=seed.number, candidates=128), random.Random(number))]
        assert len({one.variation for one in found} - {0, 7}) == 128
        assert {replace(one, variation=7) for one in found} == {Seed.of(seed.number)}


def test_a_variation_is_another_poem_where_there_is_one(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    # So near that most variations are the poem itself.
    monkeypatch.setattr("poetgen.drafting._VARIATION_ANGLE", 0.02)
    num_others = 0
    for seed in range(4):
        asked = PoemRequest(FORMS["wulv"], vary=seed, candidates=32)
        (first,) = poet.compose([replace(asked, vary=None, seed=seed)])
        each = poet.compose([replace(asked, candidates=1)] * 32, source=random.Random(seed))
        (varied,) = poet.compose([asked], source=random.Random(seed))
        if any(item.poem != first.poem for item in each):
            num_others += 1
            assert varied.poem != first.poem
    assert num_others > 0
    monkeypatch.setattr("poetgen.drafting._VARIATION_ANGLE", 0.0)
    (same,) = poet.compose([asked])
    assert same.poem == first.poem, "where there is none, the poem itself"


def test_a_variation_keeps_most_of_the_noise(poet: Poet) -> None:
    drafter = drafter_of(poet.model, constraints_of(poet.model))
    requests = [PoemRequest()] * 200
    first = drafter.drafts(requests, range(200))
    varied = drafter.drafts(requests, [seed + (1 + seed) * FIRST_SEEDS for seed in range(200)])
    others = drafter.drafts(requests, range(200, 400))

    def likeness(one: list[Draft], other: list[Draft]) -> float:
        return float(np.mean([a.noise @ b.noise / (a.noise @ a.noise) for a, b in zip(one, other, strict=True)]))

    assert likeness(first, varied) == pytest.approx(np.cos(0.5), abs=0.05)
    assert likeness(first, others) == pytest.approx(0, abs=0.1)
    for one, other in zip(first, varied, strict=True):
        assert (one.plan == other.plan).all()
        assert (one.uniforms == other.uniforms).all()
    # The noise of variations is as long as any: the model has never seen shorter.
    assert np.mean([d.noise @ d.noise for d in varied]) == pytest.approx(
        np.mean([d.noise @ d.noise for d in first]), rel=0.1
    )


def test_lines_of_the_corpus_are_known_again(poet: Poet, dataset: Dataset) -> None:
    line = dataset.vocabulary.decode(dataset.train["wujue"].ids[0, :5])
    (item,) = poet.compose([poet.check(PoemRequest(FORMS["wujue"], first_line=line, seed=1))])
    assert item.in_classics[0]
    assert not all(item.in_classics)


def test_any_poem_can_be_inspected(poet: Poet) -> None:
    (item,) = poet.compose([PoemRequest(seed=4)])
    report = poet.inspect(item.poem)
    assert report.passed
    assert [len(line) for line in report.tones] == [7] * 4
    assert set().union(*report.tones) <= {"L", "O", "LO"}
    assert item.rhyme in poet.rhymes


def test_a_candidate_that_copies_is_chosen_only_where_all_do(poet: Poet) -> None:
    filling = [f"line {number}" for number in range(2000)]  # few lines make a filter that holds everything

    def write(held: Collection[str]) -> Composition:
        model = replace(poet.model, classics=Classics.of([*held, *filling]))
        asked = [PoemRequest(FORMS["qijue"], candidates=8)]
        return Poet("copying", model).compose(asked, source=random.Random(3))[0]

    best = write([])
    second = write(best.poem.lines[1:2])
    assert second.poem.lines != best.poem.lines
    assert not any(second.in_classics)
    replayed = [PoemRequest(FORMS["qijue"], seed=best.seed)]
    copying = Poet("copying", replace(poet.model, classics=Classics.of([best.poem.lines[1], *filling])))
    assert copying.compose(replayed)[0].in_classics == (False, True, False, False)
