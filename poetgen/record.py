"""What can be read of a version without torch: the JSON beside its weights, and its phonology."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from poetgen.errors import CheckpointError
from poetgen.phonology import Phonology

WEIGHTS_FILE, JSON_FILE = "model.safetensors", "version.json"
FORMAT = 2
# What the record of a voice's version says beside; null in that of a whole version.
VOICE_KEYS = ("base", "voice", "verdict", "votes_sha256")
# What every record says, and as what; its hash tells that nobody changed it since, but not who made it.
_SAID: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("parent", *VOICE_KEYS), (str, type(None))), "weights_sha256": str, "figures": dict
}  # fmt: skip


def version_name(record: Mapping[str, object]) -> str:
    """The name of a version: a hash of its JSON, which holds the hash of the weights."""
    content = {key: value for key, value in record.items() if key != "version"}
    text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_record(folder: Path) -> dict[str, Any]:
    """A version's JSON, found to be whole.

    Raises:
        CheckpointError: There is none, or it was made by something else or changed since.
    """
    path = folder / JSON_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} holds no version of the poet ({JSON_FILE} is missing).") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged ({error}). Register the version again, or roll back.") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise CheckpointError(f"{path} was made by something else, or by another edition of this program.")
    if record.get("version") != version_name(record):
        raise CheckpointError(f"{path} was changed after it was made. Register the version again, or roll back.")
    if not all(key in record and isinstance(record[key], kinds) for key, kinds in _SAID.items()):
        raise CheckpointError(f"{path} was made by something else: it does not say all that a version does.")
    return record


def weights_hash(folder: Path) -> str:
    """The SHA-256 of the weights in a version's folder, in hex, by which its record speaks of them.

    Raises:
        OSError: They cannot be read.
    """
    with (folder / WEIGHTS_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_phonology(folder: Path) -> Phonology:
    """The phonology alone of the version in `folder`, without loading its networks.

    Raises:
        CheckpointError: It is missing, damaged or foreign.
    """
    record = load_record(folder)
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="numpy") as file:
            arrays = {
                name.removeprefix("phonology."): file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118 (not a dict)
                if name.startswith("phonology.")
            }
        return Phonology.from_arrays(record["phonology"], arrays)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"The version in {folder} is damaged ({error}). Register it again, or roll back."
        ) from None
