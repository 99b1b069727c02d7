"""Dropout that draws its chance sixty-four bits at a time, as a CPU wants it. Knows no model."""

import torch
from torch import Tensor, nn

_KINDS = 1 << 16  # of the numbers that decide, one for each element
_PER_DRAW = 4  # of them in one number that torch draws


class Dropout(nn.Module):
    """What `nn.Dropout` does, five times as fast on a CPU, where that draws elements one after another.

    It took a tenth of the time of pretraining.

    Args:
        share: Of the elements to drop in training, 0 to 1 (not 1 itself), to the nearest of 65,536 steps.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs; in training with a share of them 0, and the others larger by what keeps the mean."""
        if not self.training or not self.share:
            return inputs
        if inputs.device.type != "cpu":
            return nn.functional.dropout(inputs, self.share)
        dropped = round(self.share * _KINDS)
        draws = torch.empty(-(-inputs.numel() // _PER_DRAW), dtype=torch.int64).random_(-(1 << 63), None)
        kept = draws.view(torch.int16)[: inputs.numel()].view(inputs.shape) >= dropped - _KINDS // 2
        return inputs * kept.to(inputs.dtype).mul_(_KINDS / (_KINDS - dropped))
