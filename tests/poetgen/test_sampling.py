from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poetgen import prosody
from poetgen.dataset import RHYME_IDS, Dataset
from poetgen.drafting import Drafter
from poetgen.generator import Generator
from poetgen.likelihood import sequence_nll
from poetgen.phonology import RHYME_GROUPS, Phonology
from poetgen.poem import FORMS, Poem, PoemRequest
from poetgen.poet import Poet, constraints_of
from poetgen.sampling import MAX_ROWS, Constraints, Draft, _Decoder, sample, sure_rhymes
from poetgen.seeds import WAYS
from poetgen.tails import LENGTH, Tails
from poetgen.training.losses import masked_log_probs
from poetgen.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def drafter(poet: Poet) -> Drafter:
    return poet._drafter


@pytest.fixture(scope="module")
def generator(poet: Poet) -> Generator:
    return poet.model.generator


@pytest.fixture(scope="module")
def constraints(poet: Poet) -> Constraints:
    return constraints_of(poet.model)


def drafts_for(drafter: Drafter, form: str, seeds: range, **request: object) -> list[Draft]:
    asked = PoemRequest(FORMS[form], **request)  # type: ignore[arg-type]
    return drafter.drafts([asked] * len(seeds), list(seeds))


@pytest.mark.parametrize("form", FORMS)
def test_every_poem_keeps_form_rhyme_and_tones(
    poet: Poet, drafter: Drafter, generator: Generator, constraints: Constraints, form: str
) -> None:
    ids = sample(generator, constraints, drafts_for(drafter, form, range(60))).ids
    for row in ids.tolist():
        text = poet.model.vocabulary.decode(row)
        length = FORMS[form].line_lengths[0]
        lines = tuple(text[start : start + length] for start in range(0, len(text), length))
        assert prosody.check(Poem(lines), poet.model.phonology).problems == ()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**53 - 1), others=st.integers(0, 40), temperature=st.sampled_from([0.3, 1.0, 1.7]))
def test_a_draft_gives_the_same_poem_alone_and_in_any_batch(
    drafter: Drafter, generator: Generator, constraints: Constraints, seed: int, others: int, temperature: float
) -> None:
    asked = PoemRequest(FORMS["wulv"], temperature=temperature)
    alone = sample(generator, constraints, drafter.drafts([asked], [seed])).ids[0]
    together = drafter.drafts([asked] * (others + 1), [*range(others), seed])
    assert torch.equal(sample(generator, constraints, together).ids[-1], alone)


def test_no_character_comes_twice_but_for_doubled_ones(
    drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    for row in sample(generator, constraints, drafts_for(drafter, "qijue", range(100))).ids.tolist():
        for place, number in enumerate(row):
            again = [other for other in range(place + 1, len(row)) if row[other] == number]
            assert again in ([], [place + 1])
            assert not again or constraints.doubles[number], "only where people double it"


def test_a_character_that_people_double_comes_twice_in_a_row_and_no_third_time(
    poet: Poet, drafter: Drafter, generator: Generator
) -> None:
    level = next(iter(torch.nonzero(constraints_of(poet.model).tones[1])))
    lifts = torch.zeros(len(poet.model.vocabulary)).index_fill(0, level, 1e3)  # it comes wherever it may
    wanting = constraints_of(replace(poet.model, lifts=lifts))
    drafts = drafts_for(drafter, "qijue", range(12))
    for is_doubled, times in ((False, {1}), (True, {1, 2})):
        wanting.doubles[level] = is_doubled
        found = [torch.nonzero(row == level).T for row in sample(generator, wanting, drafts).ids.view(12, 4, 7)]
        assert {len(places) for _, places in found} <= times
        assert max(len(places) for _, places in found) == max(times)
        for line, places in found:
            assert len(line.unique()) == 1
            assert places[-1] - places[0] == len(places) - 1


@given(st.dictionaries(st.integers(0, 199), st.floats(-20, 20), min_size=1), st.sampled_from([0.0, 0.3, 1 - 2.0**-53]))
def test_what_is_drawn_is_where_the_number_falls_and_never_what_is_forbidden(
    allowed: dict[int, float], uniform: float
) -> None:
    tempered = torch.full((1, 200), -torch.inf)
    tempered[0, list(allowed)] = torch.tensor(list(allowed.values()))
    (drawn,) = _Decoder._draw(tempered, torch.tensor([[uniform]], dtype=torch.double)).tolist()
    assert drawn in allowed
    shares = tempered[0].double().softmax(dim=0).cumsum(dim=0)
    assert float(shares[drawn]) >= uniform - 1e-5
    assert drawn == 0 or float(shares[drawn - 1]) <= uniform + 1e-5


def test_forced_characters_stand_where_they_must(
    poet: Poet, drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    heads = poet.model.vocabulary.chars[5:9]
    for row in sample(generator, constraints, drafts_for(drafter, "qijue", range(20), acrostic=heads)).ids.tolist():
        text = poet.model.vocabulary.decode(row)
        assert text[::7] == heads
        assert all(text.count(char) == 1 for char in heads)


def test_masks_hold_what_was_drawn_and_its_likelihood_is_finite(
    drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    drawn = sample(generator, constraints, drafts_for(drafter, "wujue", range(12)), line_ends=False, keep_masks=True)
    assert drawn.masks is not None
    assert bool(drawn.masks.gather(2, drawn.ids[:, :, None]).all())
    with torch.no_grad():
        logits = generator(drawn.ids, drawn.conditions, drawn.noise)
    masked = masked_log_probs(logits, drawn.masks).gather(2, drawn.ids[:, :, None])[:, :, 0]
    assert bool(torch.isfinite(masked).all())
    assert bool((masked >= -sequence_nll(logits, drawn.ids) - 1e-4).all()), "a mask only removes rivals"


def test_the_step_by_step_decoder_agrees_with_teacher_forcing(
    drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    """At a temperature near zero each character must be the likeliest allowed one under the parallel pass."""
    drawn = sample(
        generator,
        constraints,
        drafts_for(drafter, "wujue", range(8), temperature=0.001),
        line_ends=False,
        keep_masks=True,
    )
    assert drawn.masks is not None
    with torch.no_grad():
        log_probs = masked_log_probs(generator(drawn.ids, drawn.conditions, drawn.noise), drawn.masks)
    best = log_probs.max(dim=2).values
    chosen = log_probs.gather(2, drawn.ids[:, :, None])[:, :, 0]
    assert float((best - chosen).max()) < 0.02


def test_batches_are_bounded_and_of_one_form(drafter: Drafter, generator: Generator, constraints: Constraints) -> None:
    one = drafts_for(drafter, "wujue", range(1))
    with pytest.raises(ValueError, match="drafts of one form"):
        sample(generator, constraints, [*one, *drafts_for(drafter, "qijue", range(1))])
    with pytest.raises(ValueError, match="drafts of one form"):
        sample(generator, constraints, one * (MAX_ROWS + 1))


def test_only_sure_characters_stand_where_the_form_constrains(poet: Poet, constraints: Constraints) -> None:
    phonology = poet.model.phonology
    for number, char in enumerate(poet.model.vocabulary.chars, start=3):
        free, level, oblique = constraints.tones[:, number].tolist()
        assert free
        assert level == ("level" in phonology.sure_tones(char))
        assert oblique == ("oblique" in phonology.sure_tones(char))
    assert not constraints.tones[:, :3].any()
    sizes = Counter(group for char in poet.model.vocabulary.chars for group in phonology.sure_rhymes(char))
    for least in {*sizes.values(), 10**6}:
        assert set(constraints.usable_rhymes(least)) == {group for group, size in sizes.items() if size >= least}


def test_the_worthiest_of_each_group_go_on_in_every_way(
    drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    drafts = drafts_for(drafter, "wulv", range(52))
    groups = [0] * 40 + [1] * 10 + [2] * 2
    found = sample(generator, constraints, drafts, groups=groups)
    rows = found.rows.tolist()
    assert [sum(groups[row] == group for row in rows) for group in (0, 1, 2)] == [32, 10, 2]
    assert {way for ways in found.ways[:32].tolist() for way in ways[1:]} == set(range(WAYS))
    assert not found.ways[:, 0].any(), "the first line is written once"
    # What was found is written again by the ways it went.
    again = [replace(drafts[row], ways=ways) for row, ways in zip(rows, found.ways.tolist(), strict=True)]
    replayed = sample(generator, constraints, again)
    assert torch.equal(replayed.ids, found.ids)
    assert torch.equal(replayed.log_probs, found.log_probs)
    # And it is better than what forty drafts give by themselves.
    whole = sample(generator, constraints, drafts)
    assert found.worths[:32].max() > whole.worths[:40].max()
    assert torch.equal(whole.ways, torch.zeros(52, 8, dtype=torch.long))


def test_drafts_that_are_not_open_keep_their_ways(
    drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    drafts = [replace(draft, is_open=False) for draft in drafts_for(drafter, "qijue", range(40))]
    whole = sample(generator, constraints, drafts)
    kept = sample(generator, constraints, drafts, groups=[0] * 40)
    assert len(set(kept.rows.tolist())) == 32
    assert torch.equal(kept.ids, whole.ids[kept.rows])
    # Those given up began worst, and were mostly not going to be chosen.
    assert kept.worths.max() >= whole.worths.quantile(0.9)
    with pytest.raises(ValueError, match="whole batches"):
        sample(generator, constraints, drafts[:8], groups=[0] * 8, line_ends=False, keep_masks=True)


def test_of_poems_that_are_alike_one_goes_on(drafter: Drafter, generator: Generator, constraints: Constraints) -> None:
    # Where nothing is left to chance, drafts that are alike and ways to go on with them give the same poem.
    drafts = [replace(draft, temperature=1e-3, is_open=True) for draft in drafts_for(drafter, "wujue", range(3))]
    for repeated in drafts:
        found = sample(generator, constraints, [*drafts, *[repeated] * 5], groups=[0] * 8)
        assert len(found.ids) == 8, "two go on, each in four ways"
        # More than two where a draw was a tie.
        assert len({tuple(ids) for ids in found.ids.tolist()}) >= 2, "and they are not alike"


def test_lines_that_cost_much_do_not_go_on(drafter: Drafter, generator: Generator, constraints: Constraints) -> None:
    drafts = drafts_for(drafter, "qijue", range(16))
    free = sample(generator, constraints, drafts, groups=[0] * 16)
    best = free.ids[free.worths.argmax()].tolist()
    lines = [best[start : start + 7] for start in range(0, 28, 7)]

    def chosen(is_copied: Callable[[Sequence[int]], bool]) -> list[int]:
        found = sample(generator, constraints, drafts, groups=[0] * 16, cost=lambda line: 1e3 * is_copied(line))
        ids: list[int] = found.ids[found.worths.argmax()].tolist()
        return ids

    for line in lines:
        other = chosen(line.__eq__)
        assert line not in [other[start : start + 7] for start in range(0, 28, 7)]
    assert chosen(lambda _: True) == best, "where all are copied, as if none were"


def test_log_probs_are_those_of_the_generator(drafter: Drafter, generator: Generator, constraints: Constraints) -> None:
    drawn = sample(generator, constraints, drafts_for(drafter, "qijue", range(9), temperature=0.4))
    with torch.no_grad():
        nll = sequence_nll(generator(drawn.ids, drawn.conditions, drawn.noise), drawn.ids)
    assert torch.allclose(drawn.log_probs, -nll.mean(dim=1), atol=1e-4)


def test_the_choice_counts_line_ends_twice_and_the_gains(
    drafter: Drafter, generator: Generator, constraints: Constraints, poet: Poet
) -> None:
    gains = torch.randn(1, len(poet.model.vocabulary), generator=torch.Generator().manual_seed(3))
    drawn = sample(generator, constraints, drafts_for(drafter, "qijue", range(9)), gains=gains)
    with torch.no_grad():
        nll = sequence_nll(generator(drawn.ids, drawn.conditions, drawn.noise), drawn.ids)
    expected = -(nll.sum(dim=1) + nll[:, 6::7].sum(dim=1)) / 28 + gains[0, drawn.ids].mean(dim=1)
    assert torch.allclose(drawn.worths, expected, atol=1e-4)


def test_each_group_has_gains_of_its_own(
    drafter: Drafter, generator: Generator, constraints: Constraints, poet: Poet
) -> None:
    gains = torch.randn(2, len(poet.model.vocabulary), generator=torch.Generator().manual_seed(3))
    groups = [0] * 4 + [1] * 4
    drawn = sample(generator, constraints, drafts_for(drafter, "qijue", range(8)), groups=groups, gains=gains)
    of = torch.tensor(groups)[drawn.rows]
    with torch.no_grad():
        nll = sequence_nll(generator(drawn.ids, drawn.conditions, drawn.noise), drawn.ids)
    expected = -(nll.sum(dim=1) + nll[:, 6::7].sum(dim=1)) / 28 + gains[of[:, None], drawn.ids].mean(dim=1)
    assert torch.allclose(drawn.worths, expected, atol=1e-4)


def _ends(ids: torch.Tensor, form: str) -> torch.Tensor:
    return ids.view(len(ids), -1, FORMS[form].line_lengths[0])[:, :, -LENGTH:]


@pytest.mark.parametrize("form", ["wulv", "qijue"])
def test_ends_of_people_s_lines_are_likelier(
    poet: Poet, drafter: Drafter, generator: Generator, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = drafts_for(drafter, form, range(200), rhyme="先")
    plain = sample(generator, constraints_of(replace(poet.model, tails=Tails.none())), drafts)
    # What half of the poems wrote, as if people had: so there is an end for every line, and nobody copies itself.
    known = Tails.of(_ends(plain.ids[::2], form).flatten(0, 1).numpy(), least=1)
    knowing = constraints_of(replace(poet.model, tails=known))
    led = sample(generator, knowing, drafts)
    trained = sample(generator, knowing, drafts, line_ends=False, keep_masks=True)
    monkeypatch.setattr("poetgen.sampling._TAIL_GAIN", 30.0)
    forced = sample(generator, knowing, drafts)
    rows = {tuple(row) for row in known.ids.tolist()}
    shares = [
        np.mean([tuple(end) in rows for poem in _ends(of.ids[1::2], form).tolist() for end in poem])
        for of in (plain, led, forced)
    ]
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.8  # not all: what a poem has used up it cannot end in again
    length = FORMS[form].line_lengths[0]
    assert torch.equal(led.ids[:, : length - LENGTH], plain.ids[:, : length - LENGTH]), "nothing else is changed"
    assert torch.equal(trained.ids, plain.ids), "training draws what the generator draws by itself"


def test_an_end_that_the_line_may_not_have_is_not_begun(
    poet: Poet, drafter: Drafter, generator: Generator, constraints: Constraints
) -> None:
    drafts = drafts_for(drafter, "qijue", range(40), rhyme="先")
    plain = sample(generator, constraints_of(replace(poet.model, tails=Tails.none())), drafts)
    # Level, and of other groups: no line may end so, whether it rhymes or not.
    others = constraints.rhymes.any(dim=0) & ~constraints.rhymes[RHYME_IDS["先"]] & ~constraints.tones[2]
    lasts = torch.nonzero(others)[:, 0].tolist()
    obliques = torch.nonzero(constraints.tones[2])[:, 0].tolist()
    rng = np.random.default_rng(0)
    useless = Tails.of(np.stack([rng.choice(of, 300) for of in (obliques, obliques, lasts)], axis=1), least=1)
    assert len(useless.ids) > 200
    drawn = sample(generator, constraints_of(replace(poet.model, tails=useless)), drafts)
    assert torch.equal(drawn.ids, plain.ids)


def test_sure_rhymes_are_the_phonology_s(dataset: Dataset) -> None:
    rhymes = sure_rhymes(dataset.vocabulary, dataset.phonology)
    for number, char in enumerate(dataset.vocabulary.chars[:50], start=3):
        named = {RHYME_GROUPS[group - 1] for group in np.flatnonzero(rhymes[:, number])}
        assert named == set(dataset.phonology.sure_rhymes(char))


def test_print_variants_of_an_older_vocabulary_rhyme_in_nothing() -> None:
    counts = np.zeros((2, len(RHYME_GROUPS)), np.float32)
    counts[:, RHYME_GROUPS.index("先")] = 100
    phonology = Phonology("煙烟", np.array([[100, 0], [100, 0]], np.float32), counts)
    rhymes = sure_rhymes(Vocabulary("煙烟"), phonology)
    assert rhymes[RHYME_IDS["先"]].tolist() == [False] * 3 + [True, False]


def test_lifted_characters_are_rarer(poet: Poet, drafter: Drafter, generator: Generator) -> None:
    drafts = drafts_for(drafter, "qijue", range(60))
    model = poet.model
    counts = torch.from_numpy(model.planner.char_counts)
    common = []
    for lift in (0.0, 0.5, 1.0):
        lifting = constraints_of(replace(model, lift=lift))
        common.append(float(counts[sample(generator, lifting, drafts).ids].log().mean()))
    assert common[0] > common[1] > common[2]
