"""The errors of the model; every message may be shown to a user.

Knows no torch and no Discord.

PoetgenError
├── CorpusError        the corpus is missing, empty, or a file of it is broken
├── RequestError       what a person asked for cannot be written
├── UsageError         a command line that cannot be done
├── CheckpointError    a version or checkpoint is missing, damaged or foreign
│   ├── NothingPromotedError   there is nothing to roll back
│   └── UnwrittenError         a version cannot be stored
└── TrainingError      a training stage cannot start or go on
"""

from collections.abc import Mapping
from types import MappingProxyType

# What people are told who asked for something that cannot be written; a caller with other languages has the same keys.
REQUEST_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "form": "There is no form “{name}”. The forms are: {forms}.",
        "theme_length": "The theme has {length} characters; {most} are the most.",
        "acrostic_length": (
            "The acrostic has {length} characters, but {form} has {lines} lines: give at most one a line."
        ),
        "first_line_length": "The first line has {length} characters; a line of {form} has {wanted}.",
        "first_line_acrostic": "The first line begins with {first}, the acrostic with {head}: make them agree.",
        "first_line_rhyme": (
            "The first line ends in {char}, which does not rhyme in {group}. Leave out the rhyme, or end it otherwise."
        ),
        "seed": "A seed is a number from 0 to {most}.",
        "seed_and_vary": "A seed is one poem, and vary asks for others near one: give only one of them.",
        "candidates": "Choose among 1 to {most} candidates.",
        "temperature": "A temperature is a number from {least} to {most}.",
        "unknown_theme": (
            "The theme may hold only Chinese characters that the poet has read, such as 秋夜; it does not know: {chars}"
        ),
        "unknown_acrostic": (
            "The acrostic may hold only Chinese characters that the poet has read, such as 春江花月; "
            "it does not know: {chars}"
        ),
        "unknown_first_line": (
            "The first line may hold only Chinese characters that the poet has read; it does not know: {chars}"
        ),
        "rhyme": "“{text}” is no rhyme group of level tones, nor a character that rhymes in one. Give one of {groups}.",
        "rhyme_several": "{text} rhymes in several groups: {groups}. Give the one you mean.",
        "rhyme_small": "The group {group} has too few sure characters to rhyme in. Choose one of {groups}.",
        "poem_empty": "Give a poem: its lines, with punctuation or line breaks between them.",
        "poem_hanzi": "“{line}” is not Chinese characters only. Give the poem's lines and nothing else.",
    }
)


def one_line(error: BaseException) -> str:
    """What an error says, without the line breaks that torch puts into some of its own."""
    return " ".join(str(error).split())


class PoetgenError(Exception):
    """Base of all errors that are somebody's to mend; the message says how.

    Attributes:
        code: A word for what is wrong, for a caller with texts of its own; None where nobody has needed one.
    """

    code: str | None = None


class CorpusError(PoetgenError):
    """The corpus is missing, empty, or a file of it is broken."""


class RequestError(PoetgenError):
    """What a person asked for cannot be written.

    Args:
        code: A key of `REQUEST_TEXTS`.
        values: What fills its places.
    """

    code: str

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(REQUEST_TEXTS[code].format(**values))
        self.code = code
        self.values = values


class UsageError(PoetgenError):
    """A command line that cannot be done."""


class CheckpointError(PoetgenError):
    """A version or checkpoint is missing, damaged, or made by something else."""

    code = "damaged"


class NothingPromotedError(CheckpointError):
    """There is nothing to roll back."""

    def __init__(self) -> None:
        super().__init__("Nothing was promoted, so there is nothing to roll back.")


class UnwrittenError(CheckpointError):
    """A version cannot be stored, or not be promoted; the disk is full, say."""

    code = "unwritten"


class TrainingError(PoetgenError):
    """A training stage cannot start or go on.

    Args:
        message: What to do.
        code: Of a fine-tune: "time" for one that took too long; "few", "alike" or "fold" for votes that say too little.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code
