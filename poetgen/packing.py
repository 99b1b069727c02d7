"""Linear layers for inference on a CPU: weights laid out once, as oneDNN wants them.

Knows no model. What torch does by itself with a few rows is two to three times slower on many CPUs; and oneDNN gives
a row the same bits in any batch of two rows or more, so that a poem is the same alone and among others.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

MIN_ROWS = 2  # from which on a row's bits do not depend on the others
_ROWS_HINT = 8  # for how many rows the layout is chosen
# oneDNN makes and keeps half a megabyte of code for each number of rows that a layer has seen, so there are few.
_ROWS = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# Weight -> (its version when it was packed, the packed copy); gone with the weight, made anew when training moves it.
_packed = WeakTensorKeyDictionary()
_in_use = True


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """[..., O] inputs times weight, transposed, plus bias; packed where nothing is learned and the device is a CPU.

    Args:
        inputs: [..., I].
        weight: [O, I].
        bias: [O].
    """
    rows = inputs.numel() // inputs.shape[-1]
    if not _in_use or not rows or torch.is_grad_enabled() or not _fits(inputs, weight):
        return nn.functional.linear(inputs, weight, bias)
    if rows > _ROWS[-1]:
        blocks = inputs.reshape(rows, -1).split(_ROWS[-1])
        return torch.cat([linear(block, weight, bias) for block in blocks]).view(*inputs.shape[:-1], -1)
    version, packed = _packed.get(weight, (-1, None))
    if version != weight._version:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), _ROWS_HINT)
        _packed[weight] = weight._version, packed
    padded = next(size for size in _ROWS if size >= rows)
    full = nn.functional.pad(inputs.reshape(rows, -1), (0, 0, 0, padded - rows))
    product: Tensor = torch.ops.mkldnn._linear_pointwise(full, packed, bias, "none", [], "")
    return product[:rows].view(*inputs.shape[:-1], -1)


def _fits(inputs: Tensor, weight: Tensor) -> bool:
    return (
        inputs.dtype == weight.dtype == torch.float32
        and inputs.device.type == "cpu"
        and torch.backends.mkldnn.is_available()
        and not torch.is_autocast_enabled("cpu")
    )


@contextmanager
def switched_off() -> Iterator[None]:
    """Within, `linear` is torch's own: to measure or test against."""
    global _in_use
    _in_use = False
    try:
        yield
    finally:
        _in_use = True
