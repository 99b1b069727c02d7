"""What this machine can do at a model's own sizes: the peak of its matrix products, and how fast weights are read.

Knows no model; a speed is measured against these.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from poetgen.packing import linear

_ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Peaks:
    """Limits of this machine, with the number of threads that torch has now.

    Attributes:
        flops: Floating-point operations a second of large products.
        bytes: Bytes of weights a second that products with one row read.
    """

    flops: float
    bytes: float

    @classmethod
    def measure(cls, products: Sequence[tuple[int, int]], rows: int, dtype: torch.dtype = torch.float32) -> "Peaks":
        """The best of several rounds.

        Args:
            products: (inputs, outputs) of the model's matrix products.
            rows: Of the large products.
            dtype: Of weights and inputs.
        """
        weights = [torch.randn(outputs, inputs).to(dtype) for inputs, outputs in products]
        size = sum(weight.numel() for weight in weights)

        def multiply(rows: int) -> Callable[[], None]:
            inputs = [torch.randn(rows, weight.shape[1]).to(dtype) for weight in weights]

            @torch.no_grad()
            def once() -> None:
                for one, weight in zip(inputs, weights, strict=True):
                    linear(one, weight)

            return once

        return cls(
            2 * rows * size / best_seconds(multiply(rows)),
            size * weights[0].element_size() / best_seconds(multiply(1)),
        )

    def least_seconds(self, products: Sequence[tuple[int, int]], rows: int, bytes_each: int) -> float:
        """The least time that products with so many rows can take.

        Args:
            products: (inputs, outputs).
            rows: Of each product.
            bytes_each: Bytes a weight.
        """
        size = sum(inputs * outputs for inputs, outputs in products)
        return max(2 * rows * size / self.flops, bytes_each * size / self.bytes)


def best_seconds(work: Callable[[], object], rounds: int = _ROUNDS) -> float:
    """The shortest of several runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)
