"""The versions there are, which is in use, and their lineage. Files only; knows no torch and no model.

The release shipped inside the package is always there. Others live in the home folder (POETGEN_HOME, or the user's
data folder): `versions/NAME/` each, and `current.json`, which says what was promoted, the latest last.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from poetgen import files
from poetgen.errors import CheckpointError
from poetgen.record import JSON_FILE, WEIGHTS_FILE, load_record

_RELEASE = Path(__file__).parent / "release"
_CURRENT_FILE = "current.json"


@dataclass(frozen=True, slots=True)
class Version:
    """One version that can be heard.

    Attributes:
        name: A hash of its content.
        folder: Where its files are.
        parent: The version that it was made from, if any.
        shipped: Whether it is the release inside the package.
        figures: What was measured of it when it was made.
    """

    name: str
    folder: Path
    parent: str | None
    shipped: bool
    figures: dict[str, object]


def default_home() -> Path:
    """Where versions live unless the caller says otherwise."""
    return Path(platformdirs.user_data_dir("poetgen"))


class Registry:
    """The versions in a home folder, and the shipped one.

    Args:
        home: The folder; None for the default.
        release: The shipped release's folder (tests give their own).
    """

    def __init__(self, home: Path | None = None, release: Path = _RELEASE) -> None:
        self.home = home or default_home()
        self._release = release

    def _versions(self) -> Path:
        return self.home / "versions"

    def names(self) -> list[str]:
        """All versions: the shipped one first, then by when they were registered."""
        shipped = [self._shipped_name()] if (self._release / JSON_FILE).exists() else []
        folders = (
            [path for path in self._versions().glob("*") if (path / JSON_FILE).exists()]
            if self._versions().is_dir()
            else []
        )
        registered = sorted(folders, key=lambda path: ((path / JSON_FILE).stat().st_mtime_ns, path.name))
        return shipped + [path.name for path in registered if path.name not in shipped]

    def _shipped_name(self) -> str:
        return str(load_record(self._release)["version"])

    def folder(self, name: str) -> Path:
        """Where a version's files are; a beginning of the name is enough if it is the only one.

        Raises:
            CheckpointError: No such version, or several.
        """
        matches = [known for known in self.names() if known.startswith(name)] if name else []
        if not matches:
            raise CheckpointError(
                f"There is no version {name!r}. The versions are: {', '.join(self.names()) or 'none'}."
            )
        if len(matches) > 1 and name not in matches:
            raise CheckpointError(f"Several versions begin with {name!r}: {', '.join(matches)}. Give more of the name.")
        found = name if name in matches else matches[0]
        registered = self._versions() / found
        return registered if (registered / JSON_FILE).exists() else self._release

    def show(self, name: str) -> Version:
        """What is known of a version.

        Raises:
            CheckpointError: No such version, or it is damaged.
        """
        folder = self.folder(name)
        record = load_record(folder)
        return Version(str(record["version"]), folder, record["parent"], folder == self._release, record["figures"])

    def register(self, folder: Path) -> str:
        """Take a version in: its files are moved from `folder`; returns its name.

        Raises:
            CheckpointError: `folder` holds no whole version, or the home cannot be written.
        """
        name = str(load_record(folder)["version"])
        target = self._versions() / name
        if (target / JSON_FILE).exists():
            return name
        try:
            self._versions().mkdir(parents=True, exist_ok=True)
            incoming = self._versions() / f".{name}.incoming"
            shutil.rmtree(incoming, ignore_errors=True)
            incoming.mkdir()
            for file in (WEIGHTS_FILE, JSON_FILE):
                shutil.copyfile(folder / file, incoming / file)
            incoming.replace(target)
        except OSError as error:
            raise CheckpointError(
                f"The version cannot be registered in {self.home} ({error}). Make room and try again."
            ) from None
        return name

    def _promotions(self) -> list[str]:
        path = self.home / _CURRENT_FILE
        try:
            history = json.loads(path.read_text(encoding="utf-8"))["promoted"]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error!r}). Delete it to go back to the shipped release."
            ) from None
        if not isinstance(history, list) or not all(isinstance(name, str) for name in history):
            raise CheckpointError(f"{path} is damaged. Delete it to go back to the shipped release.")
        return history

    def current(self) -> str:
        """The version in use: the last promoted, else the shipped one.

        Raises:
            CheckpointError: There is no version at all.
        """
        promoted = self._promotions()
        if promoted:
            return promoted[-1]
        names = self.names()
        if not names:
            raise CheckpointError(
                "There is no version of the poet: train one (runs/tiny.sh makes a small one in minutes)."
            )
        return names[0]

    def promote(self, name: str) -> str:
        """Make a version the one in use, in one step; returns its full name.

        Raises:
            CheckpointError: No such version, or it is damaged.
        """
        full = self.show(name).name
        self._write([*self._promotions(), full] if self.current() != full else self._promotions())
        return full

    def rollback(self) -> str:
        """Go back to what was in use before the last promotion; returns its name.

        Raises:
            CheckpointError: Nothing was promoted.
        """
        promoted = self._promotions()
        if not promoted:
            raise CheckpointError("Nothing was promoted, so there is nothing to roll back.")
        self._write(promoted[:-1])
        return self.current()

    def _write(self, promoted: list[str]) -> None:
        try:
            files.write_text(self.home / _CURRENT_FILE, json.dumps({"promoted": promoted}) + "\n")
        except OSError as error:
            raise CheckpointError(f"{self.home} cannot be written ({error}).") from None
