import json
import lzma
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from poetgen import prosody
from poetgen.__main__ import main
from poetgen.checkpoint import load_model, save_model, write_version
from poetgen.dataset import Dataset
from poetgen.errors import TrainingError
from poetgen.likelihood import sequence_nll
from poetgen.poem import FORMS, Poem, PoemRequest
from poetgen.poet import Poet
from poetgen.sampling import sample
from poetgen.training.marks import (
    LEAST_POEMS,
    MarkedPoem,
    _conditions,
    _Examples,
    _examples,
    _standardized,
    learn,
    read_marks,
)
from poetgen.training.release import assemble
from poetgen.value import ValueHead
from poetgen.vocabulary import Vocabulary

SHIPPED = Path(__file__).parents[2] / "runs" / "marks.jsonl.xz"


def row_of(poem: MarkedPoem) -> dict[str, object]:
    names = ("theme", "plan", "pattern", "rhyme", "lines", "sitting", "line_marks", "coherence", "chance")
    return {"form": poem.form.name, **{name: getattr(poem, name) for name in names}}


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


@pytest.fixture(scope="module")
def marked(poet: Poet) -> list[MarkedPoem]:
    """600 poems of the tiny poet, marked at random in 6 sittings."""
    vocabulary = poet.model.vocabulary
    rng = np.random.default_rng(0)
    found = []
    for name in ("wujue", "qijue"):
        asked = PoemRequest(FORMS[name])
        for start in range(0, 300, 100):
            drafts = poet._drafter.drafts([asked] * 100, list(range(start, start + 100)))
            drawn = sample(poet.model.generator, poet._constraints, drafts)
            for draft, ids in zip(drafts, drawn.ids.tolist(), strict=True):
                text, length = vocabulary.decode(ids), FORMS[name].line_lengths[0]
                lines = tuple(text[at : at + length] for at in range(0, len(text), length))
                plan = tuple(vocabulary.decode([char for char in keyword if char]) for keyword in draft.plan.tolist())
                sitting = start // 100 + 3 * (name == "qijue")
                marks = tuple(rng.uniform(1, 5, len(lines)).tolist())
                found.append(
                    MarkedPoem(FORMS[name], "", plan, draft.pattern, draft.rhyme, lines, sitting, marks, marks[0], 10.0)
                )
    return found


def known_of(poet: Poet, poems: list[MarkedPoem]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a head is told of poems of one form."""
    generator = poet.model.generator
    ids = torch.tensor([poet.model.vocabulary.encode("".join(poem.lines)) for poem in poems])
    with torch.no_grad():
        noise, _ = generator.encode(ids)
        states = generator.states(ids, _conditions(poet.model.vocabulary, poems), noise)
        log_probs = -sequence_nll(generator.logits(generator.narrowed(states)), ids)
        length = poems[0].form.line_lengths[0]
        return states, generator.embedding(ids), log_probs, torch.arange(ids.shape[1]) % length == length - 1


def expected_of(poet: Poet, poems: list[MarkedPoem], head: ValueHead) -> np.ndarray:
    """What a head says of poems of one form."""
    with torch.no_grad():
        found: np.ndarray = head(*known_of(poet, poems))[..., 0].mean(dim=1).numpy()
    return found


def liked(poet: Poet, poems: list[MarkedPoem]) -> list[MarkedPoem]:
    """The same poems, marked by a reader who likes what is likely: what a value head can learn."""
    found = []
    for name in ("wujue", "qijue"):
        some = [poem for poem in poems if poem.form.name == name]
        values = known_of(poet, some)[2].unflatten(1, (4, -1)).mean(dim=2)
        marks = (3 + (values - values.mean()) / values.std()).clamp(1, 5)
        for poem, row in zip(some, marks.tolist(), strict=True):
            found.append(replace(poem, line_marks=tuple(row), coherence=sum(row) / 4, chance=sum(row)))
    return found


def test_marks_are_read_as_they_were_written(tmp_path: Path, marked: list[MarkedPoem]) -> None:
    assert read_marks(write(tmp_path / "marks.xz", list(map(row_of, marked)))) == marked


def test_what_is_no_file_of_marks_is_refused_in_a_sentence(tmp_path: Path, marked: list[MarkedPoem]) -> None:
    good = [row_of(poem) for poem in marked[:LEAST_POEMS]]
    with pytest.raises(TrainingError, match="no file of marks"):
        read_marks(tmp_path / "none.xz")
    (tmp_path / "plain").write_text("{}")
    with pytest.raises(TrainingError, match="no file of marks"):
        read_marks(tmp_path / "plain")
    bad: list[tuple[str, object]] = [
        ("form", "sonnet"), ("lines", ["短"]), ("plan", []), ("pattern", "none"), ("rhyme", "?"), ("coherence", 9),
        ("coherence", 10**400), ("chance", 101), ("theme", "sea"), ("theme", None), ("line_marks", [3, 3, 3]),
    ]  # fmt: skip
    for name, value in bad:
        with pytest.raises(TrainingError, match="no file of marks"):
            read_marks(write(tmp_path / "bad.xz", [*good, {**good[0], name: value}]))
    with pytest.raises(TrainingError, match=f"marks {LEAST_POEMS - 1} poems"):
        read_marks(write(tmp_path / "few.xz", good[1:]))


def test_what_readers_like_is_learned(poet: Poet, marked: list[MarkedPoem]) -> None:
    learned = learn(poet.model.vocabulary, poet.model.generator, liked(poet, marked))
    assert learned.figures["poems"] == len(marked)
    assert learned.figures["sittings"] == 6
    assert learned.figures["correlation of lines"] > 0.5
    assert learned.figures["correlation of poems"] > 0.5
    with pytest.raises(TrainingError, match="other characters"):
        learn(Vocabulary("一二三"), poet.model.generator, marked)
    with pytest.raises(TrainingError, match="1 themes"):
        learn(poet.model.vocabulary, poet.model.generator, [replace(poem, theme="春") for poem in marked[:60]])
    by_chance = learn(poet.model.vocabulary, poet.model.generator, marked).figures
    assert abs(by_chance["correlation of lines"]) < 0.15, "nothing of chance"


def test_marks_are_told_from_their_sittings_mean_by_hand(marked: list[MarkedPoem]) -> None:
    first, second, other = (replace(marked[0], sitting=sitting) for sitting in (1, 1, 2))
    poems = [
        replace(first, line_marks=(1.0, 1.0, 1.0, 1.0), coherence=2.0, chance=20.0),
        replace(other, line_marks=(2.0, 4.0, 2.0, 4.0), coherence=5.0, chance=90.0),
        replace(second, line_marks=(3.0, 3.0, 3.0, 3.0), coherence=4.0, chance=40.0),
    ]
    lines, whole = _standardized(poems)
    one = 1 / 1.05  # a deviation of 1, and the least that is added
    assert np.array(lines) == pytest.approx(np.array([[-one] * 4, [-one, one, -one, one], [one] * 4]))
    assert whole == pytest.approx(np.array([[-one, -10 / 10.05], [0, 0], [one, 10 / 10.05]]))


def test_what_is_usual_at_a_place_is_no_praise(poet: Poet, marked: list[MarkedPoem]) -> None:
    poems = marked[:9]
    marks = [np.array(poem.line_marks) for poem in poems]
    whole = np.array([(poem.coherence, poem.chance) for poem in poems])
    found = _examples(poet.model.vocabulary, poet.model.generator, poems, marks, whole)
    assert found.lines.numpy() == pytest.approx(np.stack(marks) - np.mean(marks, axis=0), abs=1e-5)
    assert found.whole.numpy() == pytest.approx(whole - whole.mean(axis=0), abs=1e-5)


def test_what_is_measured_by_is_on_themes_that_were_not_learned_from(
    poet: Poet, marked: list[MarkedPoem], monkeypatch: pytest.MonkeyPatch
) -> None:
    themes, vocabulary = poet.model.vocabulary.chars[:10], poet.model.vocabulary
    poems = [replace(poem, theme=themes[row % 7 + row % 4]) for row, poem in enumerate(marked[:40] + marked[-40:])]
    of = {tuple(vocabulary.encode("".join(poem.lines))): poem.theme for poem in poems}
    seen: list[set[str]] = []

    def about(sets: Sequence[_Examples]) -> set[str]:
        return {of[tuple(ids)] for examples in sets for ids in examples.ids.tolist()}

    def fit(sets: Sequence[_Examples], embedding: torch.Tensor) -> ValueHead:
        seen.append(about(sets))
        return ValueHead(poet.model.generator.config.hidden_dim, embedding.shape[1], 4, num_outputs=3).eval()

    def correlations(head: ValueHead, sets: Sequence[_Examples], embedding: torch.Tensor) -> dict[str, float]:
        seen.append(about(sets))
        return {}

    monkeypatch.setattr("poetgen.training.marks._fit", fit)
    monkeypatch.setattr("poetgen.training.marks._correlations", correlations)
    learn(vocabulary, poet.model.generator, poems)
    known, left_out, everything = seen
    assert known
    assert left_out
    assert not known & left_out
    assert known | left_out == everything == set(themes)


def test_the_marks_of_lines_count_most(poet: Poet, marked: list[MarkedPoem]) -> None:
    poems, rng = liked(poet, marked), np.random.default_rng(0)
    whole = rng.uniform(1, 5, (len(poems), 2))
    torn = [replace(one, coherence=first, chance=second) for one, (first, second) in zip(poems, whole, strict=True)]
    head = learn(poet.model.vocabulary, poet.model.generator, torn).value_head
    some = [poem for poem in torn if poem.form.name == "qijue"]
    means = [np.mean(poem.line_marks) for poem in some]
    assert np.corrcoef(expected_of(poet, some, head), means)[0, 1] > 0.5


def test_a_strict_reader_says_the_same_as_a_mild_one(poet: Poet, marked: list[MarkedPoem]) -> None:
    poems = liked(poet, marked)
    strict = [
        replace(poem, line_marks=tuple(1 + (mark - 1) / 2 for mark in poem.line_marks)) if poem.sitting == 1 else poem
        for poem in poems
    ]
    one, other = (learn(poet.model.vocabulary, poet.model.generator, some).value_head for some in (poems, strict))
    some = [poem for poem in poems if poem.form.name == "qijue"]
    assert np.corrcoef(expected_of(poet, some, one), expected_of(poet, some, other))[0, 1] > 0.98


def some_head(poet: Poet, seed: int) -> ValueHead:
    config = poet.model.generator.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ValueHead(config.hidden_dim, config.embedding_dim, 8).eval()


def test_the_decoder_counts_what_the_head_says_of_whole_poems(poet: Poet) -> None:
    generator = poet.model.generator
    head = some_head(poet, 2)
    drafts = poet._drafter.drafts([PoemRequest(FORMS["wulv"])] * 12, list(range(12)))
    valued = sample(generator, poet._constraints, drafts, value_head=head)
    with torch.no_grad():
        states = generator.states(valued.ids, valued.conditions, valued.noise)
        log_probs = -sequence_nll(generator.logits(generator.narrowed(states)), valued.ids)
        last = torch.arange(40) % 5 == 4
        said = head(states, generator.embedding(valued.ids), log_probs, last)[..., 0].mean(dim=1)
    ratio = valued.worths / said
    assert torch.allclose(ratio, ratio[0].expand(12), rtol=1e-2)
    assert ratio[0] > 0


def test_a_poet_with_a_head_chooses_by_it_and_replays_what_it_chose(poet: Poet) -> None:
    valuing = Poet("v", replace(poet.model, value_head=some_head(poet, 4)))
    request = PoemRequest(FORMS["qijue"], candidates=8)
    seeds = [item.seed for item in poet.compose([request] * 20, source=random.Random(1))]
    others = valuing.compose([request] * 20, source=random.Random(1))
    assert [item.seed for item in others] != seeds
    again = valuing.compose([replace(request, seed=item.seed) for item in others])
    assert [item.poem for item in again] == [item.poem for item in others]


def test_a_linear_head_of_an_earlier_version_still_counts(poet: Poet, tmp_path: Path) -> None:
    save_model(poet.model, tmp_path / "none")
    tensors = load_file(tmp_path / "none" / "model.safetensors")
    linear = torch.randn(1, poet.model.generator.config.hidden_dim, generator=torch.Generator().manual_seed(2))
    record = json.loads((tmp_path / "none" / "version.json").read_text(encoding="utf-8"))
    said = {name: value for name, value in record.items() if name not in ("version", "format", "weights_sha256")}
    write_version(tmp_path / "old", {**tensors, "value_head": linear}, said)
    _, loaded = load_model(tmp_path / "old")
    assert loaded.value_head is not None
    states, embedded = torch.randn(5, linear.shape[1]), torch.randn(5, poet.model.generator.config.embedding_dim)
    with torch.no_grad():
        expected = states @ linear[0] + 2 / 3 * torch.tensor([-2.0, -2, -2, -2, -4])
        log_probs = torch.full((5,), -2.0)
        last = torch.tensor([False] * 4 + [True])
        assert torch.allclose(loaded.value_head(states, embedded, log_probs, last)[:, 0], expected, atol=1e-4)


def test_a_version_keeps_its_head(poet: Poet, dataset: Dataset, marked: list[MarkedPoem], tmp_path: Path) -> None:
    model = assemble(dataset, poet.model.generator, poet.model.discriminator, {}, marked)
    assert model.value_head is not None
    save_model(model, tmp_path)
    _, loaded = load_model(tmp_path)
    assert loaded.value_head is not None
    wujue = [poem for poem in marked if poem.form.name == "wujue"]
    assert expected_of(poet, wujue, loaded.value_head) == pytest.approx(
        expected_of(poet, wujue, model.value_head), abs=0.05
    )
    assert loaded.recipe["marks"] == model.recipe["marks"]
    assert poet.model.value_head is None, "a version that no reader marked has none"


def test_the_command_learns_from_marks(
    prepared: Path,
    pretraining: Path,
    marked: list[MarkedPoem],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POETGEN_HOME", str(tmp_path / "home"))
    command = ["adversarial", "--data", str(prepared), "--generator", str(pretraining), "--out", str(tmp_path / "run")]
    command += ["--preset", "tiny", "--minutes", "0.02", "--threads", "1", "--measured-poems", "8", "--promote"]
    command += ["--counted-chars", "0"]
    assert main([*command, "--marks", str(tmp_path / "nowhere")]) == 2
    assert "no file of marks" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "said before the work, not after"
    assert main([*command, "--marks", str(write(tmp_path / "marks.xz", list(map(row_of, marked))))]) == 0
    model = Poet.load(tmp_path / "home", num_threads=1).model
    assert model.value_head is not None
    assert model.recipe["marks"]["poems"] == len(marked)  # type: ignore[index]
    assert model.lifts is None, "nothing was counted"


def test_the_shipped_marks_are_of_regulated_poems_by_several_readers(tmp_path: Path) -> None:
    marks = read_marks(SHIPPED)
    phonology = Poet.load(tmp_path, num_threads=1).model.phonology
    assert len(marks) > 8_000
    assert len({poem.sitting for poem in marks}) > 50
    assert all(prosody.check(Poem(poem.lines), phonology).passed for poem in marks[::50])


def test_what_readers_are_expected_to_like_is_drawn_more_often(poet: Poet) -> None:
    generator = poet.model.generator
    drafts = poet._drafter.drafts([PoemRequest(FORMS["qijue"])] * 60, list(range(60)))
    head = ValueHead(generator.config.hidden_dim, generator.config.embedding_dim, 4).eval()
    for weights in head.parameters():
        torch.nn.init.zeros_(weights)
    indifferent = sample(generator, poet._constraints, drafts, value_head=head)
    with torch.no_grad():
        head.direct.weight[:, -2] = 20.0
    fond_of_the_likely = sample(generator, poet._constraints, drafts, value_head=head)
    assert fond_of_the_likely.log_probs.mean() > indifferent.log_probs.mean() + 0.1
