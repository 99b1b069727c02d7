"""The errors of the model; every message may be shown to a user.

Knows no torch and no Discord.

PoetgenError
├── CorpusError        the corpus is missing, empty, or a file of it is broken
├── RequestError       what a person asked for cannot be written
├── CheckpointError    a version or checkpoint is missing, damaged or foreign
└── TrainingError      a training stage cannot start or go on
"""


class PoetgenError(Exception):
    """Base of all errors that are somebody's to mend; the message says how."""


class CorpusError(PoetgenError):
    """The corpus is missing, empty, or a file of it is broken."""


class RequestError(PoetgenError):
    """What a person asked for cannot be written."""


class CheckpointError(PoetgenError):
    """A version or checkpoint is missing, damaged, or made by something else."""


class TrainingError(PoetgenError):
    """A training stage cannot start or go on."""
