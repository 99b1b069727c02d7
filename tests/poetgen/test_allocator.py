"""Memory that is free goes back to the system; a process of its own, for the settings stay."""

import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
from pathlib import Path
from poetgen import allocator

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

allocator.give_memory_back()
blocks = [b"x" * 300_000 for _ in range(300)]
before = resident()
last = blocks.pop()
blocks.clear()
allocator.trim()
print(before - resident())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_trimming_gives_back_what_lies_below_something_in_use() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 60_000_000
