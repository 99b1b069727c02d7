import pytest
import torch

from poetgen.dropout import Dropout


def test_a_share_is_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    layer = Dropout(0.1)
    found = layer(torch.ones(1000, 333))
    assert float((found == 0).float().mean()) == pytest.approx(0.1, abs=0.003)
    assert float(found.mean()) == pytest.approx(1, abs=0.003)
    assert found.unique().tolist() == pytest.approx([0, 1 / 0.9], rel=1e-3)
    # No row or column is dropped as a whole: all elements are drawn apart.
    kept = (found > 0).float()
    assert float(kept.mean(dim=0).min()) > 0.84
    assert float(kept.mean(dim=1).min()) > 0.84
    assert not torch.equal(found, layer(torch.ones(1000, 333)))


def test_what_is_dropped_learns_nothing() -> None:
    torch.manual_seed(0)
    inputs = torch.ones(5, 3, dtype=torch.bfloat16, requires_grad=True)
    found = Dropout(0.5)(inputs)
    found.sum().backward()
    assert found.dtype == torch.bfloat16
    assert inputs.grad is not None
    assert torch.equal(inputs.grad, found)


def test_nothing_is_dropped_where_nothing_is_learned() -> None:
    inputs = torch.randn(4, 5)
    assert torch.equal(Dropout(0.5).eval()(inputs), inputs)
    assert torch.equal(Dropout(0.0)(inputs), inputs)
