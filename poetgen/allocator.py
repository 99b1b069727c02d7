"""The C library's allocator, set for what the program does; where it is not glibc's, nothing happens.

Knows no model.
"""

import ctypes
from contextlib import suppress

# Numbers of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8
_MIB = 2**20


def keep_memory() -> None:
    """For training: large buffers come and go with each step, so none is given back to the system and zeroed anew."""
    _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 256 * _MIB})


def give_memory_back() -> None:
    """For serving beside others: few pools, and what is large goes back to the system as soon as it is free."""
    _set({_ARENA_MAX: 2, _MMAP_THRESHOLD: _MIB})


def trim() -> None:
    """Give back what is free now: buffers of many sizes leave holes, which would grow for hours."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(values: dict[int, int]) -> None:
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for name, value in values.items():
            mallopt(name, value)
