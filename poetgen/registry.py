"""The versions there are, which a voice is in, and their lineage. Files only; knows no torch and no model.

The release shipped inside the package is always there. Others live in the home folder (POETGEN_HOME, or the user's
data folder): `versions/NAME/` each, and `current.json`, which says what was promoted, the latest last. Beside this
shared line of versions each voice has its own, `voices/VOICE/current.json`; a voice without one hears the shared one.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import platformdirs
from filelock import FileLock

from poetgen import files
from poetgen.errors import CheckpointError, NothingPromotedError, UnwrittenError
from poetgen.record import JSON_FILE, VOICE_KEYS, WEIGHTS_FILE, load_record, weights_hash

RELEASE = Path(__file__).parent / "release"
PLOTS = "plots"  # folder of the home; a picture of how each voice's version was fitted
_CURRENT_FILE = "current.json"
_ABANDONED_SECONDS = 3600.0
_LOCK_SECONDS = 10.0  # a change takes milliseconds; who holds the lock for longer does not let go of it
_VOICE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


@dataclass(frozen=True, slots=True)
class Version:
    """One version that can be heard.

    Attributes:
        name: A hash of its content.
        folder: Where its files are.
        parent: The version that it was made from, if any.
        shipped: Whether it is the release inside the package.
        figures: What was measured of it when it was made.
        created_at: When it was registered, in UTC, as ISO 8601.
        base: The version whose networks it changes, if it is a voice's.
        voice: The voice it was made for; None for a shared one.
        verdict: Of the gate, "promoted" or "refused"; None for a version that no gate has seen.
        votes_sha256: The hash of the ratings it learned from, if any.
    """

    name: str
    folder: Path
    parent: str | None
    shipped: bool
    figures: dict[str, object]
    created_at: str
    base: str | None
    voice: str | None
    verdict: str | None
    votes_sha256: str | None


def default_home() -> Path:
    """Where versions live unless the caller says otherwise."""
    return Path(platformdirs.user_data_dir("poetgen"))


class Registry:
    """The versions in a home folder, and the shipped one.

    Args:
        home: The folder; None for the default.
        release: The shipped release's folder (tests give their own).
    """

    def __init__(self, home: Path | None = None, release: Path = RELEASE) -> None:
        self.home = home or default_home()
        self._release = release

    def _versions(self) -> Path:
        return self.home / "versions"

    def names(self) -> list[str]:
        """All versions: the shipped one first, then by when they were registered."""
        return list(self._folders())

    def _folders(self) -> dict[str, Path]:
        """Where all versions are, in the order of `names`."""
        shipped = {self._shipped_name: self._release} if self._shipped_name else {}
        # What begins with a point is still coming in.
        folders = [path for path in self._versions().glob("[!.]*") if (path / JSON_FILE).exists()]
        registered = sorted(folders, key=lambda path: ((path / JSON_FILE).stat().st_mtime_ns, path.name))
        return shipped | {path.name: path for path in registered}

    @cached_property
    def _shipped_name(self) -> str | None:
        return str(load_record(self._release)["version"]) if (self._release / JSON_FILE).exists() else None

    def folder(self, name: str) -> Path:
        """Where a version's files are; a beginning of the name is enough if it is the only one.

        Raises:
            CheckpointError: No such version, or several.
        """
        folders = self._folders()
        matches = [known for known in folders if known.startswith(name)] if name else []
        if not matches:
            raise CheckpointError(f"There is no version {name!r}. The versions are: {', '.join(folders) or 'none'}.")
        if len(matches) > 1 and name not in matches:
            raise CheckpointError(f"Several versions begin with {name!r}: {', '.join(matches)}. Give more of the name.")
        return folders[name if name in matches else matches[0]]

    def root(self, name: str) -> Path:
        """The folder of the whole version that `name` is, or that it changes if it is a voice's.

        Raises:
            CheckpointError: No such version, or its base is gone.
        """
        record = load_record(self.folder(name))
        try:
            return self.folder(record["base"] or record["version"])
        except CheckpointError:
            raise CheckpointError(
                f"The version {record['version']} changes {record['base']}, which is gone. Fit the voice anew."
            ) from None

    def require_whole(self, name: str) -> None:
        """Find out whether a version, and what it changes, can be loaded; all of both is read.

        Raises:
            CheckpointError: No such version, or something of it is damaged.
        """
        for folder in dict.fromkeys((self.folder(name), self.root(name))):
            if not _is_whole(folder):
                raise CheckpointError(f"The version in {folder} is damaged. Register it again, or roll back.")

    def show(self, name: str) -> Version:
        """What is known of a version.

        Raises:
            CheckpointError: No such version, or it is damaged.
        """
        return self._read(self.folder(name))

    def _read(self, folder: Path) -> Version:
        record = load_record(folder)
        return Version(
            str(record["version"]),
            folder,
            record["parent"],
            record["version"] == self._shipped_name,
            record["figures"],
            datetime.fromtimestamp((folder / JSON_FILE).stat().st_mtime, UTC).isoformat(timespec="seconds"),
            *(record[key] for key in VOICE_KEYS),
        )

    def versions_of(self, voice: str | None) -> list[Version]:
        """The versions that a voice can hear: the shared ones that were in use, then its own that the gate let pass."""
        shared = set(self._promotions(None))
        return [
            version
            for version in self._whole()
            if (version.voice is None and (version.shipped or version.name in shared))
            or (version.voice is not None and version.voice == voice and version.verdict == "promoted")
        ]

    def _whole(self) -> Iterator[Version]:
        """All versions but damaged ones: one server's must not be in the way of another's."""
        for folder in self._folders().values():
            with suppress(CheckpointError):
                yield self._read(folder)

    def register(self, folder: Path) -> str:
        """Take a version in: its files are moved from `folder`; returns its name.

        Raises:
            CheckpointError: `folder` holds no whole version, or the home cannot be written.
        """
        record = load_record(folder)
        name = str(record["version"])
        if record["base"] and self.folder(record["base"]) == self._release:
            # The next release of the package takes the shipped one's place; its voices still need it.
            self.register(self._release)
        target = self._versions() / name
        if _is_whole(target):
            return name
        incoming = self._versions() / f".{uuid4().hex}"  # two processes may register the same version at once
        try:
            incoming.mkdir(parents=True)
            for other in self._versions().glob(".*"):  # of a process that was killed
                if time.time() - other.stat().st_mtime > _ABANDONED_SECONDS:
                    shutil.rmtree(other, ignore_errors=True)
            for file in (WEIGHTS_FILE, JSON_FILE):
                shutil.copyfile(folder / file, incoming / file)
            if target.exists() and not _is_whole(target):
                shutil.rmtree(target)
            incoming.replace(target)
        except OSError as error:
            if not _is_whole(target):
                raise UnwrittenError(
                    f"The version cannot be registered in {self.home} ({error}). Make room and try again."
                ) from None
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
        return name

    def _current_path(self, voice: str | None) -> Path:
        if voice is None:
            return self.home / _CURRENT_FILE
        if not _VOICE_NAME.fullmatch(voice):
            raise CheckpointError(f"{voice!r} is no voice's name: use lower-case letters, digits and hyphens.")
        return self.home / "voices" / voice / _CURRENT_FILE

    def _promotions(self, voice: str | None) -> list[str]:
        path = self._current_path(voice)
        try:
            history = json.loads(path.read_text(encoding="utf-8"))["promoted"]
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise CheckpointError(f"{self.home} is no folder. Set POETGEN_HOME to one, or leave it out.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path} is damaged ({error!r}). Delete it to go back to the shipped release."
            ) from None
        if not isinstance(history, list) or not all(isinstance(name, str) for name in history):
            raise CheckpointError(f"{path} is damaged. Delete it to go back to the shipped release.")
        return history

    def current(self, voice: str | None = None) -> str:
        """The version that a voice is in: the last promoted for it, else the last shared one, else the shipped one.

        Raises:
            CheckpointError: There is no version at all.
        """
        promoted = (voice is not None and self._promotions(voice)) or self._promotions(None)
        if promoted:
            return promoted[-1]
        names = self.names()
        if not names:
            raise CheckpointError(
                "There is no version of the poet: train one (runs/tiny.sh makes a small one in minutes)."
            )
        return names[0]

    def promote(self, name: str, voice: str | None = None) -> str:
        """Make a version the one that a voice (None: all without their own) is in, in one step; returns its full name.

        Raises:
            CheckpointError: No such version, or it is damaged, another voice's, or was refused by the gate.
        """
        self._current_path(voice)  # which refuses what is no voice's name
        if name and (self._shipped_name or "").startswith(name):
            # It stays in use when the next release of the package takes the shipped one's place.
            self.register(self._release)
        version = self.show(name)
        if version.voice not in (None, voice):
            raise CheckpointError(f"The version {version.name} belongs to another voice. Choose one of this voice's.")
        if version.verdict == "refused":
            raise CheckpointError(f"The gate refused the version {version.name}. Choose one that passed.")
        if not _is_whole(version.folder):
            raise CheckpointError(f"The version {version.name} is damaged. Register it again, or choose another.")
        with self._changing(voice) as promoted:
            if promoted[-1:] != [version.name]:
                self._write([*promoted, version.name], voice)
        return version.name

    def rollback(self, voice: str | None = None) -> str:
        """Go back to what a voice was in before the last promotion; returns its name.

        Raises:
            NothingPromotedError: Nothing was promoted.
        """
        with self._changing(voice) as promoted:
            if not promoted:
                raise NothingPromotedError
            self._write(promoted[:-1], voice)
        return self.current(voice)

    @contextmanager
    def _changing(self, voice: str | None) -> Iterator[list[str]]:
        """What was promoted for a voice, while no other process changes it."""
        path = self._current_path(voice)
        lock = FileLock(path.with_suffix(".lock"), mode=0o666)  # the operator's or the bot's, whoever comes first
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=_LOCK_SECONDS)
        except OSError as error:
            raise UnwrittenError(f"{self.home} cannot be written ({error}).") from None
        try:
            yield self._promotions(voice)
        finally:
            lock.release()

    def erase(self, voice: str) -> None:
        """Delete a voice: its versions, their pictures, and which of them it was in.

        Raises:
            CheckpointError: `voice` is no voice's name, or the home cannot be written.
        """
        current = self._current_path(voice)
        try:
            for folder in self._versions().glob("[!.]*"):
                if _voice_in(folder) == voice:
                    shutil.rmtree(folder)
                    (self.home / PLOTS / f"{folder.name}.png").unlink(missing_ok=True)
            if current.parent.exists():
                shutil.rmtree(current.parent)
        except OSError as error:
            raise UnwrittenError(f"{self.home} cannot be written ({error}).") from None

    def _write(self, promoted: list[str], voice: str | None) -> None:
        try:
            path = self._current_path(voice)
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, json.dumps({"promoted": promoted}) + "\n")
        except OSError as error:
            raise UnwrittenError(f"{self.home} cannot be written ({error}).") from None


def _is_whole(folder: Path) -> bool:
    """Whether a folder holds a version and nothing of it was changed since."""
    try:
        return weights_hash(folder) == str(load_record(folder)["weights_sha256"])
    except (CheckpointError, OSError):
        return False


def _voice_in(folder: Path) -> object:
    """Whose version a folder holds by its own words, even if it is damaged otherwise."""
    try:
        record = json.loads((folder / JSON_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record.get("voice") if isinstance(record, dict) else None
