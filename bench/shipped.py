"""The poet that is shipped, whatever version this machine's home has in use."""

from pathlib import Path
from tempfile import TemporaryDirectory

from poetgen.poet import Poet


def shipped_poet(num_threads: int | None = None) -> Poet:
    """It, loaded; `num_threads` as `Poet.load` has it."""
    with TemporaryDirectory() as empty:
        return Poet.load(Path(empty), num_threads=num_threads)
