"""The C library's allocator, set for what the program does; where it is not glibc's, nothing happens.

Knows no model.
"""

import ctypes

# Numbers of malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -2, -3, -4, -8
_MIB = 2**20


def keep_memory() -> None:
    """For training: large buffers come and go with each step, so none is given back to the system and zeroed anew."""
    _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 256 * _MIB})


def give_memory_back() -> None:
    """For serving beside others: few pools, and what is large goes back to the system as soon as it is free."""
    _set({_ARENA_MAX: 2, _MMAP_THRESHOLD: _MIB})


def _set(values: dict[int, int]) -> None:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    for name, value in values.items():
        mallopt(name, value)
