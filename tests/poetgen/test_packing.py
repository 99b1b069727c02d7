import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from poetgen import packing
from poetgen.peaks import Peaks

WEIGHT, BIAS = torch.randn(300, 70), torch.randn(300)
INPUTS = torch.randn(256, 70)


@torch.no_grad()
@given(st.integers(packing.MIN_ROWS, 256), st.integers(0, 253))
@settings(max_examples=40, deadline=None)
def test_a_row_has_the_same_bits_in_any_batch(rows: int, first: int) -> None:
    whole = packing.linear(INPUTS, WEIGHT, BIAS)
    part = INPUTS[first : first + rows]
    if len(part) >= packing.MIN_ROWS:
        assert torch.equal(packing.linear(part, WEIGHT, BIAS), whole[first : first + rows])


@torch.no_grad()
def test_a_row_among_more_than_fit_a_block_has_the_bits_it_has_alone() -> None:
    weight, inputs = torch.randn(300, 600), torch.randn(520, 600)
    whole = packing.linear(inputs.view(2, 260, 600), weight, BIAS).view(520, -1)
    for row in range(0, 520, 7):
        assert torch.equal(packing.linear(inputs[[row, row]], weight, BIAS)[0], whole[row])


@torch.no_grad()
def test_it_is_a_linear_layer_of_any_shape_and_sees_what_training_does() -> None:
    weight = WEIGHT.clone()
    for shape in ((3, 5, 70), (400, 70), (1, 70)):
        inputs = torch.randn(shape)
        torch.testing.assert_close(packing.linear(inputs, weight, BIAS), nn.functional.linear(inputs, weight, BIAS))
    weight.mul_(2)
    torch.testing.assert_close(packing.linear(INPUTS, weight), nn.functional.linear(INPUTS, weight))
    with packing.switched_off():
        assert torch.equal(packing.linear(INPUTS, weight), nn.functional.linear(INPUTS, weight))


def test_gradients_go_through() -> None:
    weight = WEIGHT.clone().requires_grad_()
    packing.linear(INPUTS, weight).sum().backward()
    assert weight.grad is not None


def test_the_least_time_is_that_of_the_narrower_limit() -> None:
    peaks = Peaks(flops=1000.0, bytes=100.0)
    assert peaks.least_seconds([(5, 10)], rows=1, bytes_each=4) == 2.0
    assert peaks.least_seconds([(5, 10)], rows=100, bytes_each=4) == 10.0
    measured = Peaks.measure([(32, 64)], 16)
    assert measured.flops > 0
    assert measured.bytes > 0
