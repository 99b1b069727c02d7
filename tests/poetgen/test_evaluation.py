import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from poetgen import prosody
from poetgen.__main__ import main
from poetgen.dataset import Dataset
from poetgen.errors import CorpusError, UsageError
from poetgen.evaluation import blind, figures, noise, page, plots
from poetgen.evaluation.classifiers import two_sample
from poetgen.evaluation.evaluate import PRESETS, Evaluation
from poetgen.evaluation.figures import Corpus, Floats
from poetgen.evaluation.masked import masked_nats
from poetgen.evaluation.referee import PRESETS as REFEREES
from poetgen.evaluation.referee import Referee, load_referee, train_referee
from poetgen.evaluation.samples import Poems, bigram_chain, common_themes, peoples, random_characters, written
from poetgen.evaluation.themes import GUESSED_THEMES, ThemeGuesser, titled, touches_theme
from poetgen.phonology import RHYME_GROUPS
from poetgen.planner import Ids
from poetgen.poem import FORMS, Form, PoemRequest
from poetgen.poet import Poet, constraints_of
from poetgen.training.adversarial import writable
from poetgen.training.pretrain import validation_nll
from poetgen.training.run import Run
from poetgen.vocabulary import UNKNOWN_ID, Vocabulary

QIJUE = FORMS["qijue"]


@pytest.fixture(scope="module")
def referee(prepared: Path, dataset: Dataset) -> Referee:
    run = Run(prepared / "referee", "referee", resume=False, max_steps=60)
    train_referee(dataset, run, REFEREES["tiny"], minutes=60, quiet=True)
    return load_referee(Run(prepared / "referee", "referee", resume=True), dataset)


def poems(*rows: list[int], length: int = 2, name: str = "wujue") -> Poems:
    """Poems of no real form: lines of `length`, as figures see them."""
    ids = np.array(rows, np.int32)
    form = type(QIJUE)(name, name, (length,) * (ids.shape[1] // length))
    return Poems(form, ids, ("",) * len(rows))


def test_the_worst_line_and_what_is_broken_by_hand() -> None:
    nats = np.array([[1.0, 3.0, 5.0, 5.0], [9.0, 9.0, 0.0, 0.0]])
    assert figures.worst_lines(nats, 2).tolist() == [5, 9]
    people = np.arange(1.0, 101.0)
    assert figures.broken(people, people).mean() == pytest.approx(0.05)
    assert figures.broken(np.array([95.0, 96.0]), people).tolist() == [0, 1]


def test_distinct_pairs_by_hand() -> None:
    # lines 5 6 7 | 5 6 8: pairs 56 67 56 68
    assert figures.distinct_share(np.array([[5, 6, 7], [5, 6, 8]], np.int32)) == 3 / 4


def test_a_repeat_is_a_character_in_two_lines() -> None:
    found = figures.repeats(poems([5, 6, 7, 5], [5, 5, 6, 7], [5, 6, 7, 8]))
    assert found.tolist() == [1, 0, 0]


def test_parallel_couplets_are_more_alike_place_by_place() -> None:
    vectors = np.eye(10, dtype=np.float32)[[0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 6, 7]]
    eight = [3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 3, 3, 3, 3]
    # Lines 3 and 4 are 4 5 / 6 7, which vectors 4 5 / 4 5 say are alike place by place; likewise lines 5 and 6.
    assert figures.parallelism(poems(eight), vectors).tolist() == [1.0]
    crossed = [3, 3, 3, 3, 4, 5, 7, 6, 8, 9, 11, 10, 3, 3, 3, 3]
    assert figures.parallelism(poems(crossed), vectors).tolist() == [-1.0]


def test_the_longest_run_in_common_with_the_corpus() -> None:
    corpus = Corpus(np.array([[1, 2, 3, 4, 5, 6, 7], [9, 9, 9, 9, 9, 9, 9]], np.int32))
    ours = poems([1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 4, 8, 8, 8, 6, 5, 4, 3, 2, 1, 8], length=7)
    assert corpus.longest_runs(ours).tolist() == [[7, 3, 1]]
    hashed = poems([3, 1, 2, 3, 4, 5, 6], length=7)
    assert corpus.longest_runs(hashed).tolist() == [[6]]


def test_chance_and_chain_use_peoples_characters_and_pairs(dataset: Dataset) -> None:
    data = dataset.train["qijue"]
    chain = bigram_chain(data, 50, 0)
    known = {tuple(pair) for line in data.ids.reshape(-1, 7).tolist() for pair in pairwise(line)}
    pairs = [tuple(pair) for line in chain.lines.reshape(-1, 7).tolist() for pair in pairwise(line)]
    assert sum(pair in known for pair in pairs) > 0.95 * len(pairs)
    assert set(random_characters(data, 50, 0).ids.ravel().tolist()) <= set(data.ids.ravel().tolist())
    assert (peoples(data, 50, 0).ids > UNKNOWN_ID).all()


def test_a_sample_is_drawn_from_its_seed(poet: Poet) -> None:
    asked = [PoemRequest(QIJUE, candidates=2)] * 3
    first, again, other = (written(poet, asked, seed) for seed in (1, 1, 2))
    assert first.ids.tolist() == again.ids.tolist() != other.ids.tolist()
    assert len(common_themes()) == len(set(common_themes())) == 100


def test_classifiers_tell_poor_poems_from_peoples_but_not_people_from_people(
    dataset: Dataset, referee: Referee
) -> None:
    train, held_out = dataset.train["qijue"], dataset.validation["qijue"]
    people = peoples(train, 400, 0).ids
    unseen = np.concatenate([people[300:], held_out.ids[(held_out.ids > UNKNOWN_ID).all(axis=1)]])

    def tell(ours: Poems | np.ndarray) -> dict[str, float]:
        ids = ours.ids if isinstance(ours, Poems) else ours
        judges: dict[str, Callable[[Ids], Floats]] = {
            "referee": lambda rows: referee.nats(rows, QIJUE).mean(axis=1),
            "opposite": lambda rows: -referee.nats(rows, QIJUE).mean(axis=1),
        }
        return two_sample(ids, people[:200], unseen, QIJUE, len(dataset.vocabulary), referee, judges, 0)

    # A generated corpus has tones and rhymes, but no words: what is to be told must be plain to see.
    poor = np.random.default_rng(0).choice(people[0], (300, QIJUE.num_chars)).astype(np.int32)
    told = tell(poor)
    assert set(told) == {
        "pairs, logistic",
        "CNN over couplets",
        "referee as classifier",
        "referee alone",
        "opposite alone",
    }
    assert told["referee alone"] == pytest.approx(told["opposite alone"]), "in either direction it tells as much"
    assert told["referee alone"] >= 0.5
    assert min(value for name, value in told.items() if "alone" not in name) > 0.8
    same = tell(people[200:300])
    assert all(0.2 < value < 0.8 for value in same.values())


def test_the_way_of_z_goes_with_the_distance_with_z1_and_without(poet: Poet, monkeypatch: pytest.MonkeyPatch) -> None:
    distances = [[0, *[5] * 10], list(range(11)), [0, *range(10, 0, -1)]]

    def greedy(poet: Poet, form: Form, theme: str, noises: Floats, seed: int) -> Ids:
        return np.array([[place < distance for place in range(28)] for distance in distances[seed]], np.int32)

    monkeypatch.setattr(noise, "_greedy", greedy)
    with_start, without = noise.way_and_distance(poet, QIJUE, "", len(distances), 0)
    assert without == pytest.approx([0, 1, -1])
    assert with_start == pytest.approx([0.5, 1, -0.5])


@torch.no_grad()
def test_the_referee_knows_of_a_place_what_stands_to_its_right(dataset: Dataset) -> None:
    torch.manual_seed(0)
    referee = Referee(len(dataset.vocabulary), REFEREES["tiny"]).eval()
    ids = torch.arange(3, 31)[None]
    for place in (0, 9, 27):
        other = ids.index_fill(1, torch.tensor(place), 50)
        known, changed = (referee.states(each, QIJUE)[0] for each in (ids, other))
        assert torch.equal(known[place:], changed[place:])
        assert not place or not torch.allclose(known[place - 1], changed[place - 1])


def test_too_few_unseen_poems_to_compare_with_are_named(poet: Poet, dataset: Dataset, referee: Referee) -> None:
    data = dataset.validation["qijue"]
    regulated = data.take((data.patterns > 0) & (data.ids > UNKNOWN_ID).all(axis=1))
    for count in (0, 11):
        few = replace(dataset, validation={"qijue": regulated.take(slice(count))})
        with pytest.raises(CorpusError, match=f"has {count} regulated 七絕"):
            Evaluation(poet, few, referee, QIJUE, PRESETS["tiny"])


@pytest.mark.parametrize(
    ("figure", "missed", "met"),
    [("AUC, best", 0.66, 0.65), ("distinct pairs, of people's", 0.9, 0.92), ("broken by referee", 0.09, 0.05),
     ("regulated", 0.98, 1.0)],
)  # fmt: skip
def test_the_page_marks_what_misses_its_limit(figure: str, missed: float, met: float) -> None:
    def marks(value: float) -> int:
        return page.asked_for({"qijue": {"sources": {"as it writes": {figure: [value, None, None]}}}}, {}).count("✗")

    assert (marks(missed), marks(met)) == (1, 0)


def test_masks_make_peoples_poems_likelier(poet: Poet, dataset: Dataset) -> None:
    data = dataset.validation["qijue"]
    regulated = data.take((data.patterns > 0) & (data.ids > UNKNOWN_ID).all(axis=1))
    free = validation_nll(poet.model.generator, {"qijue": regulated}, samples=4)["all"]
    assert 0 < masked_nats(poet.model, regulated) < free


def test_among_what_pattern_and_rhyme_allow_by_hand(poet: Poet, dataset: Dataset) -> None:
    generator = deepcopy(poet.model.generator)
    with torch.no_grad():
        for weights in generator.parameters():
            weights.zero_()  # every character is as likely as any other
    data = writable(dataset.train["wujue"], constraints_of(poet.model)).take(slice(5))
    known = poet.model.phonology
    sounds = [(known.sure_tones(char), known.sure_rhymes(char)) for char in poet.model.vocabulary.chars]
    nats = []
    for pattern, rhyme in zip(data.patterns, data.rhymes, strict=True):
        for kind in prosody.pattern_lines(prosody.PATTERNS[pattern - 1], 4):
            for place, wanted in enumerate(zip(*prosody.line_templates(kind, 5), strict=True)):
                names = {"L": {"level"}, "O": {"oblique"}, "X": {"level", "oblique"}}
                tones = set().union(*(names[code] for code in wanted))
                rhymes = kind in "AB" and place == 4
                group = RHYME_GROUPS[rhyme - 1]
                fitting = [
                    ("X" in wanted or tones & sure) and (not rhymes or group in groups) for sure, groups in sounds
                ]
                nats.append(np.log(sum(map(bool, fitting))))
    model = replace(poet.model, generator=generator)
    assert masked_nats(model, data) == pytest.approx(np.mean(nats), rel=1e-4)
    # A poem of which one sound is not sure is left out.
    spoilt = data.ids.copy()
    spoilt[0, 4] = spoilt[0, 9]
    unsure = replace(data, ids=spoilt, rhymes=np.where(np.arange(5) == 0, data.rhymes % 30 + 1, data.rhymes))
    assert masked_nats(model, unsure) == pytest.approx(masked_nats(model, data.take(slice(1, 5))))


def test_a_theme_is_guessed_from_the_characters_that_go_with_it() -> None:
    vocabulary = Vocabulary("".join(GUESSED_THEMES) + "甲乙丙")
    rows = []
    for theme in GUESSED_THEMES:
        own = vocabulary.encode(theme)[0]
        rows += [([own, own, own, own] * 7, own)] * 3
    from poetgen.dataset import FormData

    count = len(rows)
    data = FormData(
        QIJUE,
        np.array([ids for ids, _ in rows], np.int32),
        np.array([[own, 0, 0, 0] for _, own in rows], np.int32),
        *(np.zeros((count, 3), np.int32), np.zeros((count, 4, 2), np.int32)),
        *(np.zeros(count, np.int32), np.zeros(count, np.int32)),
    )
    ids, themes = titled(data, vocabulary)
    assert themes.tolist() == np.repeat(np.arange(20), 3).tolist()
    assert ThemeGuesser({"qijue": data}, vocabulary).guess(ids).tolist() == themes.tolist()
    vectors = np.eye(len(vocabulary), dtype=np.float32)
    about_spring = Poems(QIJUE, ids[:1], ("春",))
    assert touches_theme(about_spring, vectors, vocabulary).tolist() == [1]


def test_a_poem_touches_its_theme_by_one_of_ten_characters_the_theme_s_own_the_first() -> None:
    vocabulary = Vocabulary("春" + "".join(map(chr, range(0x4E00, 0x4E00 + 20))))
    angles = np.linspace(0, np.pi, 21)  # the higher the number, the farther from the theme
    vectors = np.pad(np.stack([np.cos(angles), np.sin(angles)], axis=1), ((3, 0), (0, 0))).astype(np.float32)
    touching = [
        bool(touches_theme(Poems(QIJUE, np.array([[number] * 28], np.int32), ("春",)), vectors, vocabulary)[0])
        for number in range(3, 24)
    ]
    assert touching == [True] * 10 + [False] * 11


def test_a_title_with_two_themes_says_neither(dataset: Dataset) -> None:
    vocabulary, data = Vocabulary("".join(GUESSED_THEMES)), dataset.train["qijue"].take(slice(4))
    titles = np.array([[3, 4, 0, 0], [4, 0, 0, 0], [1, 1, 0, 0], [5, 5, 0, 0]], np.int32)
    ids, themes = titled(replace(data, titles=titles), vocabulary)
    assert themes.tolist() == [1, 2]
    assert np.array_equal(ids, data.ids[[1, 3]])


def test_people_s_poems_to_compare_with_are_regulated_and_of_known_characters(dataset: Dataset) -> None:
    data = dataset.train["qijue"]
    data = data.take(np.flatnonzero((data.patterns > 0) & (data.ids > UNKNOWN_ID).all(axis=1))[:9])
    spoilt = replace(data, ids=data.ids.copy(), patterns=data.patterns.copy())
    spoilt.ids[2, 5], spoilt.patterns[4] = UNKNOWN_ID, 0
    found = peoples(spoilt, 100, 0)
    expected = np.delete(data.ids, [2, 4], axis=0)
    assert sorted(found.ids.tolist()) == sorted(expected.tolist())
    assert len(peoples(data, 3, 0)) == 3


def test_evaluate_measures_everything_and_draws_it(
    home: Path, prepared: Path, referee: Referee, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("POETGEN_HOME", str(home))
    plots_folder = tmp_path / "plots"
    words = ["evaluate", "--data", str(prepared), "--form", "wulv", "--preset", "tiny", "--json"]
    assert main([*words, "--plots", str(plots_folder)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["sources"]) == {"people", "chance", "chain", "generator alone", "as it writes"}
    ours = found["sources"]["as it writes"]
    assert ours["regulated"][0] == 1
    assert 0 <= ours["broken by referee"][0] <= 1
    assert ours["parallelism"][1] <= ours["parallelism"][0] <= ours["parallelism"][2]
    assert "broken by referee" not in found["sources"]["people"]
    assert len(found["curve"]["as it writes"]) == len(PRESETS["tiny"].temperatures)
    assert 1 <= found["noise"]["different of 10"] <= 10
    assert {path.name for path in plots_folder.iterdir()} == {"fluency-wulv.png", "classifiers-wulv.png"}
    assert plots.fluency({"": found["curve"]}).axes


def test_evaluate_says_what_is_missing(
    home: Path, tmp_path: Path, prepared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POETGEN_HOME", str(home))
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "dataset.safetensors").write_bytes((prepared / "dataset.safetensors").read_bytes())
    assert main(["evaluate", "--data", str(bare)]) == 2
    assert "Train one: poetgen referee" in capsys.readouterr().err


def test_the_page_tells_whose_poems_they_are_only_in_its_key(
    home: Path, prepared: Path, referee: Referee, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("POETGEN_HOME", str(home))
    monkeypatch.setattr(page, "_THEMES", ("",))
    poet = Poet.load(home)
    assert main(["evaluate", "--data", str(prepared), "--form", "wulv", "--preset", "tiny", "--json"]) == 0
    measured = json.loads(capsys.readouterr().out)
    for form in FORMS:  # the page is about where figures stand, not what they are
        found = json.dumps(measured | {"form": form})
        (tmp_path / f"{poet.version}-{form}.json").write_text(found, encoding="utf-8")
    page.write_page([poet.version], prepared, tmp_path, tmp_path / "docs")
    text = (tmp_path / "docs" / "quality.md").read_text(encoding="utf-8")
    poems, _, key = text.partition("### Key")
    assert "seed" not in poems.partition("## Whose is it?")[2]
    assert key.count("ours:") == 4
    assert key.count("a person's") == 20
    for item in key.split("; "):
        if "ours" in item:
            number, form, seed = item.split()[0], item.split()[2].rstrip(","), int(item.split()[-1])
            [again] = poet.compose([PoemRequest(FORMS[form], seed=seed)])
            [shown] = [line for line in poems.splitlines() if line.startswith(f"{number}. ")]
            assert again.poem.lines[0] in shown
    assert {path.name for path in (tmp_path / "docs" / "images").iterdir()} == {
        f"{kind}-{form}.png" for kind in ("fluency", "classifiers") for form in FORMS
    }
    before = json.loads((tmp_path / f"{poet.version}-wulv.json").read_text(encoding="utf-8"))
    before["sources"]["as it writes"]["regulated"] = [0.25, 0.2, 0.3]
    (tmp_path / "before-wulv.json").write_text(json.dumps(before), encoding="utf-8")
    page.write_page([poet.version, "before"], prepared, tmp_path, tmp_path / "docs")
    text = (tmp_path / "docs" / "quality.md").read_text(encoding="utf-8")
    assert "| form, rhyme and tone, by our checker | ≥ 1 | 1 | 1 | 1 (0.25) | 1 |" in text
    with pytest.raises(FileNotFoundError):
        page.write_page(["none"], prepared, tmp_path, tmp_path / "docs")


def test_readers_severity_is_no_error_of_a_source_by_hand() -> None:
    ours, people = ("ours", "qijue"), ("people", "qijue")
    strict = {1: (2.0, 2.0, 10.0), 2: (4.0, 4.0, 70.0)}
    mild = {1: (5.0, 4.0, 90.0), 2: (3.0, 2.0, 30.0)}
    rows = {row.source: row for row in blind.tallied([[ours, people], [people, ours]], [strict, mild])}
    assert rows["ours"].means == (2.5, 2.0, 20.0)
    assert rows["people"].means == (4.5, 4.0, 80.0)
    # Each reader gives ours a point of fluency and 30 % less than the mean of the sheet.
    assert rows["ours"].errors == rows["people"].errors == (0, 0, 0)
    rows = {row.source: row for row in blind.tallied([[ours, people]], [strict])}
    assert rows["ours"].fluency_of_forms == {"qijue": 2.0}
    assert "| ours | 1 | 2.00 (.00) | 2.00 (.00) | 10.0 % (0.0) | 2.00 |" in blind.as_markdown(list(rows.values()))
    uneven = {1: (1.0, 1.0, 0.0), 2: (3.0, 3.0, 0.0), 3: (5.0, 5.0, 0.0)}
    (ours_row, _) = blind.tallied([[ours, ours, people]], [uneven])
    assert ours_row.errors[0] == pytest.approx(1 / 2**0.5)  # 1 and 3: a spread of 1, of two poems


def test_each_poem_is_on_one_sheet_and_no_sheet_says_whose(tmp_path: Path) -> None:
    own = {("ours", "wujue"): [("甲" * 5, *["乙" * 5] * 3)] * 5, ("people", "wujue"): [("丙" * 5, *["丁" * 5] * 3)] * 4}
    blind.write_sheets(tmp_path, own, readers=3, seed=0)
    key = json.loads((tmp_path / blind.KEY_FILE).read_text())
    assert sorted(map(len, key)) == [3, 3, 3]
    for number, sheet in enumerate(key, start=1):
        text = (tmp_path / f"sheet-{number}.txt").read_text()
        assert "ours" not in text
        assert [("丙" in poem) for poem in text.split("[")[1:]] == [source == "people" for source, _ in sheet]


def test_sheets_are_written_rated_and_tallied(
    home: Path, prepared: Path, poet: Poet, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("POETGEN_HOME", str(home))
    sheets = ["blind", "sheets", "--data", str(prepared), "--out", str(tmp_path / "sheets"), "--form", "wujue"]
    assert main([*sheets, "--poems", "4", "--before", "0", "--before", "2", "--readers", "2"]) == 0
    assert main(sheets) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["blind", "tally", str(tmp_path / "sheets")]) == 2
    assert "ratings-1.csv" in capsys.readouterr().err
    ratings = tmp_path / "sheets" / "ratings-1.csv"
    ratings.write_text("\ufeff1,3.5,3,10\n\n2, 4, 4, 80\n3,3,3,5\n4,5,5,90\n", encoding="utf-8")
    assert main(["blind", "tally", str(tmp_path / "sheets")]) == 0
    shown = capsys.readouterr().out
    rows = {row.split(" | ")[0].removeprefix("| "): row.split(" | ")[1] for row in shown.splitlines()[2:]}
    named = {poet.version, f"{poet.version}, after 2 others", "people"}
    assert set(rows) <= named
    assert sum(map(int, rows.values())) == 4


@pytest.mark.parametrize(
    "row", ["5,3,3,10", "0,3,3,10", "1,6,3,10", "1,3,3", "1,nan,3,1", "一,3,3,10", "1,3,3,1\n1,3,3,1"]
)
def test_a_row_that_is_no_rating_is_named(row: str, tmp_path: Path) -> None:
    (tmp_path / blind.KEY_FILE).write_text(json.dumps([[["ours", "wujue"]] * 4]))
    (tmp_path / "ratings-1.csv").write_text(row + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"row {1 + row.count(chr(10))}: write number"):
        blind.read_ratings(tmp_path)
