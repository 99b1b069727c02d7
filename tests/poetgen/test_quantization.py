"""What is kept of a matrix: near to it, exactly the same from then on, and learned through."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from poetgen.quantization import as_kept, keep, packed, unpacked

_ROWS = st.lists(st.lists(st.floats(-1e4, 1e4, width=32), min_size=3, max_size=3), min_size=1, max_size=4)
_PARTS = st.lists(st.floats(-1e4, 1e4, width=32), min_size=64, max_size=64)


@given(_ROWS)
def test_a_matrix_is_kept_within_half_a_step_and_exactly_from_then_on(rows: list[list[float]]) -> None:
    matrix = torch.tensor(rows)
    stored = packed("matrix", matrix)
    kept = unpacked(stored)["matrix"]
    # Half a step of 1/127 of the row's largest; a tenth of it more for the scale's own half precision.
    assert ((kept - matrix).abs() <= 0.55 / 127 * matrix.abs().amax(dim=1, keepdim=True) + 1e-4).all()
    again = packed("matrix", kept)
    assert all(torch.equal(again[name], stored[name]) for name in stored)


@given(st.lists(_PARTS, min_size=1, max_size=3))
def test_a_large_matrix_is_kept_in_half_a_byte(rows: list[list[float]]) -> None:
    matrix = torch.tensor(rows)
    stored = packed("lstm.weight_hh_l0", matrix)
    assert stored["lstm.weight_hh_l0"].dtype == torch.uint8
    assert stored["lstm.weight_hh_l0"].shape == (len(rows), 32)
    kept = unpacked(stored)["lstm.weight_hh_l0"]
    for part in (slice(0, 32), slice(32, 64)):
        largest = matrix[:, part].abs().amax(dim=1, keepdim=True)
        assert ((kept - matrix)[:, part].abs() <= 0.55 / 7 * largest + 1e-4).all()
    again = packed("lstm.weight_hh_l0", kept)
    assert all(torch.equal(again[name], stored[name]) for name in stored)


def test_what_half_a_byte_holds_by_hand() -> None:
    row = torch.zeros(1, 32)
    row[0, :4] = torch.tensor([-7.0, 7.0, 2.4, -2.6])
    stored = packed("blocks.0.look.weight", row)
    # A step is 1; a number and the next share a byte, the first in the lower half; 8 stands for none.
    assert stored["blocks.0.look.weight"][0, :3].tolist() == [1 + 16 * 15, 10 + 16 * 5, 8 + 16 * 8]
    assert stored["blocks.0.look.weight.scale"].tolist() == [[1.0]]


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 32)
        self.output = nn.Linear(32, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.output(self.lstm(inputs)[0])
        return found


def test_a_network_learns_through_what_will_be_kept() -> None:
    torch.manual_seed(0)
    network = _Network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    inputs = torch.randn(5, 2, 32)

    def loss() -> torch.Tensor:
        squares: torch.Tensor = network(inputs).square().sum()
        return squares

    plain = loss().item()
    with as_kept(network):
        within = {name: value.detach().clone() for name, value in network.named_parameters()}
        found = loss()
        found.backward()
    changed = {name for name in before if not torch.equal(before[name], within[name])}
    assert changed == {"lstm.weight_ih_l0", "lstm.weight_hh_l0"}
    assert all(torch.equal(before[name], value) for name, value in network.named_parameters())
    assert network.lstm.weight_hh_l0.grad is not None
    keep(network)
    assert all(torch.equal(within[name], value) for name, value in network.named_parameters())
    assert loss().item() == pytest.approx(found.item())
    assert loss().item() != pytest.approx(plain, rel=1e-6)


def test_weights_come_back_even_from_a_failure() -> None:
    network = _Network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    with pytest.raises(RuntimeError), as_kept(network):
        raise RuntimeError
    assert all(torch.equal(before[name], value) for name, value in network.named_parameters())
