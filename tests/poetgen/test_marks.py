import json
import lzma
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from poetgen import prosody
from poetgen.__main__ import main
from poetgen.checkpoint import load_model, save_model
from poetgen.dataset import Dataset
from poetgen.errors import TrainingError
from poetgen.poem import FORMS, Poem, PoemRequest
from poetgen.poet import Poet
from poetgen.sampling import sample
from poetgen.training.marks import LEAST_POEMS, MarkedPoem, _inputs, learn, read_marks
from poetgen.training.release import assemble
from poetgen.vocabulary import Vocabulary

SHIPPED = Path(__file__).parents[2] / "runs" / "marks.jsonl.xz"


def row_of(poem: MarkedPoem) -> dict[str, object]:
    fluency, coherence, chance = poem.marks
    said = {name: getattr(poem, name) for name in ("theme", "plan", "pattern", "rhyme", "lines", "sitting")}
    return {"form": poem.form.name, **said, "fluency": fluency, "coherence": coherence, "chance": chance}


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
                marks = float(rng.uniform(1, 5)), float(rng.uniform(1, 5)), 10.0
                found.append(MarkedPoem(FORMS[name], "", plan, draft.pattern, draft.rhyme, lines, sitting, marks))
    return found


def liked(poet: Poet, poems: list[MarkedPoem], head: torch.Tensor) -> list[MarkedPoem]:
    """The same poems, marked by a reader to whom states are worth `head`: what a value head can learn."""
    states = _inputs(poet.model.vocabulary, poet.model.generator, poems)[:, 1:]
    values = states @ head.numpy()[0]
    values = (values - values.mean()) / values.std()
    return [
        replace(poem, marks=(m := float(np.clip(3 + value / 2, 1, 5)), m, 50.0))
        for poem, value in zip(poems, values.tolist(), strict=True)
    ]


def test_marks_are_read_as_they_were_written(tmp_path: Path, marked: list[MarkedPoem]) -> None:
    assert read_marks(write(tmp_path / "marks.xz", list(map(row_of, marked)))) == marked


def test_what_is_no_file_of_marks_is_refused_in_a_sentence(tmp_path: Path, marked: list[MarkedPoem]) -> None:
    good = [row_of(poem) for poem in marked[:LEAST_POEMS]]
    with pytest.raises(TrainingError, match="no file of marks"):
        read_marks(tmp_path / "none.xz")
    (tmp_path / "plain").write_text("{}")
    with pytest.raises(TrainingError, match="no file of marks"):
        read_marks(tmp_path / "plain")
    bad: dict[str, object] = {
        "form": "sonnet", "lines": ["短"], "plan": [], "pattern": "none", "rhyme": "?", "fluency": 9, "chance": 101,
        "theme": "sea",
    }  # fmt: skip
    for name, value in bad.items():
        with pytest.raises(TrainingError, match="no file of marks"):
            read_marks(write(tmp_path / "bad.xz", [*good, {**good[0], name: value}]))
    with pytest.raises(TrainingError, match=f"marks {LEAST_POEMS - 1} poems"):
        read_marks(write(tmp_path / "few.xz", good[1:]))


def test_what_readers_like_is_learned(poet: Poet, marked: list[MarkedPoem]) -> None:
    source = torch.Generator().manual_seed(5)
    head = torch.randn(1, poet.model.generator.config.hidden_dim, generator=source)
    learned = learn(poet.model.vocabulary, poet.model.generator, liked(poet, marked, head))
    assert learned.figures["poems"] == len(marked)
    assert learned.figures["sittings"] == 6
    assert learned.figures["correlation"] > 0.5
    with pytest.raises(TrainingError, match="other characters"):
        learn(Vocabulary("一二三"), poet.model.generator, marked)
    assert abs(learn(poet.model.vocabulary, poet.model.generator, marked).figures["correlation"]) < 0.15, (
        "nothing of chance"
    )


def test_a_strict_reader_says_the_same_as_a_mild_one(poet: Poet, marked: list[MarkedPoem]) -> None:
    source = torch.Generator().manual_seed(6)
    poems = liked(poet, marked, torch.randn(1, poet.model.generator.config.hidden_dim, generator=source))
    strict = [
        replace(poem, marks=(poem.marks[0] / 2, poem.marks[1] / 2, poem.marks[2] / 2)) if poem.sitting == 1 else poem
        for poem in poems
    ]
    one, other = (learn(poet.model.vocabulary, poet.model.generator, some).value_head for some in (poems, strict))
    assert torch.nn.functional.cosine_similarity(one, other).item() > 0.98


def test_the_decoder_counts_what_the_head_says_of_whole_poems(poet: Poet) -> None:
    generator = poet.model.generator
    head = torch.randn(1, generator.config.hidden_dim, generator=torch.Generator().manual_seed(2))
    drafts = poet._drafter.drafts([PoemRequest(FORMS["wulv"])] * 12, list(range(12)))
    plain = sample(generator, poet._constraints, drafts)
    valued = sample(generator, poet._constraints, drafts, value_head=head)
    with torch.no_grad():
        states = generator.states(plain.ids, plain.conditions, plain.noise)
    assert torch.equal(plain.ids, valued.ids), "it chooses among poems and writes none"
    assert torch.allclose(valued.worths - plain.worths, (states @ head[0]).mean(dim=1), atol=1e-4)


def test_a_poet_with_a_head_chooses_by_it_and_replays_what_it_chose(poet: Poet) -> None:
    size = poet.model.generator.config.hidden_dim
    head = 50 * torch.randn(1, size, generator=torch.Generator().manual_seed(4))
    valuing = Poet("v", replace(poet.model, value_head=head))
    request = PoemRequest(FORMS["qijue"], candidates=8)
    seeds = [item.seed for item in poet.compose([request] * 20, source=random.Random(1))]
    others = valuing.compose([request] * 20, source=random.Random(1))
    assert [item.seed for item in others] != seeds
    again = valuing.compose([replace(request, seed=item.seed) for item in others])
    assert [item.poem for item in again] == [item.poem for item in others]


def test_a_version_keeps_its_head(poet: Poet, dataset: Dataset, marked: list[MarkedPoem], tmp_path: Path) -> None:
    model = assemble(dataset, poet.model.generator, poet.model.discriminator, {}, marked)
    assert model.value_head is not None
    save_model(model, tmp_path)
    _, loaded = load_model(tmp_path)
    assert loaded.value_head is not None
    assert torch.equal(loaded.value_head, model.value_head)
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
    assert main([*command, "--marks", str(tmp_path / "nowhere")]) == 2
    assert "no file of marks" in capsys.readouterr().err
    assert not (tmp_path / "run").exists(), "said before the work, not after"
    assert main([*command, "--marks", str(write(tmp_path / "marks.xz", list(map(row_of, marked))))]) == 0
    model = Poet.load(tmp_path / "home", num_threads=1).model
    assert model.value_head is not None
    assert model.recipe["marks"]["poems"] == len(marked)  # type: ignore[index]


def test_the_shipped_marks_are_of_regulated_poems_by_several_readers(tmp_path: Path) -> None:
    marks = read_marks(SHIPPED)
    phonology = Poet.load(tmp_path, num_threads=1).model.phonology
    assert len(marks) > 10_000
    assert len({poem.sitting for poem in marks}) > 50
    assert all(prosody.check(Poem(poem.lines), phonology).passed for poem in marks[::50])
