"""The commands' own parts; the figures themselves are made by `make bench`."""

import json

import pytest

from bench import __main__ as bench
from bench import pretrain, soak
from poetgen.poet import Poet


def test_the_readme_shows_the_kept_results() -> None:
    results = json.loads(bench.RESULTS.read_text(encoding="utf-8"))
    assert set(bench.PARTS) <= results.keys()
    readme = bench.README.read_text(encoding="utf-8")
    assert bench.with_table(readme, bench.readme_table(results)) == readme, "run `make bench`"


def test_the_table_goes_between_its_marks() -> None:
    text = f"a\n{bench.BEGIN}\nold\n{bench.END}\nb\n"
    assert bench.with_table(text, ["| new |"]) == f"a\n{bench.BEGIN}\n| new |\n{bench.END}\nb\n"


def test_an_unknown_part_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "sleep"])
    assert bench.main() == 2
    assert "the parts are decode" in capsys.readouterr().err


def test_slopes_leave_out_the_warm_up() -> None:
    assert soak.slope([0, 900, 1800, 2700, 3600], [100, 5, 6, 7, 8]) == pytest.approx(4)


def test_pretraining_is_measured_against_the_bound() -> None:
    figures = pretrain.measure(Poet.load(num_threads=1).model, 2)
    assert figures["chars_a_second"] > 10
    assert 0 < figures["share_of_bound"] < 1.5
