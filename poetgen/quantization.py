"""How a network's numbers are kept on disk: matrices as whole numbers of few bits, with scales.

Knows no network and no files. A matrix takes one byte a number and a scale for each row. The largest, the LSTM's and
the blocks', take half a byte and a scale for each 32 numbers of a row; that changes what a network says, so it is
trained, at last, with the numbers that will be kept.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_MOST_8_BIT = 127
_MOST_4_BIT = 7
_GROUP = 32  # numbers of a row of 4 bits that share a scale
_LARGE = ("lstm.weight", "blocks.")  # in the name of a matrix
_SCALE = ".scale"  # ends the name of a matrix's scales


def packed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """A network's tensor as it is kept; vectors are in half precision."""
    if tensor.dim() < 2:
        return {name: tensor.half()}
    if _in_4_bits(name, tensor):
        groups = tensor.unflatten(1, (-1, _GROUP))
        scale = _scale(groups.abs().amax(dim=2), _MOST_4_BIT)
        numbers = _rounded(groups / scale[:, :, None].float(), _MOST_4_BIT).flatten(1) + (_MOST_4_BIT + 1)
        return {name: (numbers[:, ::2] + 16 * numbers[:, 1::2]).to(torch.uint8), name + _SCALE: scale}
    scale = _scale(tensor.abs().amax(dim=tuple(range(1, tensor.dim())), keepdim=True), _MOST_8_BIT)
    return {name: _rounded(tensor / scale.float(), _MOST_8_BIT).to(torch.int8), name + _SCALE: scale}


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network that were made by `packed`, or are in half precision."""
    return {
        name: _numbers(tensor, tensors.get(name + _SCALE))
        for name, tensor in tensors.items()
        if not name.endswith(_SCALE)
    }


def keep(network: nn.Module) -> None:
    """Make the largest matrices what will be kept of them."""
    with torch.no_grad():
        for name, matrix in _large(network).items():
            matrix.copy_(unpacked(packed(name, matrix.detach()))[name])


@contextmanager
def as_kept(network: nn.Module) -> Iterator[None]:
    """Within, the largest matrices are what will be kept of them; afterwards they are as they were.

    Gradients found within hold for the matrices as they were (the straight-through estimator, Bengio et al. 2013).
    """
    before = {name: matrix.detach().clone() for name, matrix in _large(network).items()}
    keep(network)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, matrix in _large(network).items():
                matrix.copy_(before[name])


def _large(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: matrix for name, matrix in network.named_parameters() if _in_4_bits(name, matrix)}


def _in_4_bits(name: str, tensor: Tensor) -> bool:
    return tensor.dim() == 2 and tensor.shape[1] % _GROUP == 0 and any(part in name for part in _LARGE)


def _scale(largest: Tensor, most: int) -> Tensor:
    return (largest / most).half().clamp(min=torch.finfo(torch.half).tiny)


def _rounded(tensor: Tensor, most: int) -> Tensor:
    return tensor.round().clamp(-most, most)


def _numbers(tensor: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None:
        return tensor.float()
    if tensor.dtype == torch.uint8:
        numbers = torch.stack([tensor & 15, tensor >> 4], dim=2).flatten(1).float() - (_MOST_4_BIT + 1)
        scaled: Tensor = numbers.unflatten(1, (-1, _GROUP)) * scale[:, :, None].float()
        return scaled.flatten(1)
    return tensor.float() * scale.float()
