"""Data-parallel training: several processes with the same weights, each with batches of its own. torchrun starts them.

    torchrun --nproc-per-node 2 -m poetgen pretrain ...

Knows no stage. Without torchrun there is one worker, which agrees with itself.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist

# Imported before a process group begins: its functions have the group of that moment as a default, and torch imports it
# by itself later, with an optimizer. They would keep the group and its threads alive until the interpreter ends, where
# such a thread now and then aborts the process.
import torch.distributed.nn.functional
from torch import nn


@dataclass(frozen=True, slots=True)
class Workers:
    """The processes that train together, seen from one of them.

    Attributes:
        rank: Which one this is; the first, 0, speaks, measures and saves.
        size: How many there are.
        device: Where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, value: float) -> float:
        """The highest of all workers' values: clocks and signals differ, and all must stop at the same step."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, op=dist.ReduceOp.MAX)
        return float(shared)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every worker the mean of all gradients, sent in one piece."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


@contextmanager
def working(device: str) -> Iterator[Workers]:
    """The workers that torchrun started, or one alone, until the context ends.

    Args:
        device: "cpu", or "cuda" for a GPU of its own for each worker.
    """
    if not dist.is_torchelastic_launched():
        yield Workers(device=device)
        return
    on_gpu = device.startswith("cuda")
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        own = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else device
        yield Workers(dist.get_rank(), dist.get_world_size(), own)
    finally:
        dist.destroy_process_group()
