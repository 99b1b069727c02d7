"""The texts in each language: one TOML file a language in `texts/`, read when first asked for.

Knows no Discord; what a text says and what stands in its places is the caller's.
"""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path

from poetgen.errors import REQUEST_TEXTS, PoetgenError, RequestError
from poetgen.poem import FORMS
from poetgen.script import show

# Each by its own name in itself, for who can read no other.
LANGUAGE_NAMES: Mapping[str, str] = {"en": "English", "zh-CN": "简体中文", "zh-TW": "繁體中文"}
LANGUAGES = tuple(LANGUAGE_NAMES)
DEFAULT_LANGUAGE = "en"
# Names and descriptions of commands are there in two more.
COMMAND_LANGUAGES = ("zh-CN", "zh-TW", "ja", "ko")
_TEXTS = Path(__file__).parent / "texts"


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """Every text of a language, by keys such as "error.busy"."""
    with (_TEXTS / f"{language}.toml").open("rb") as file:
        return dict(_flat(tomllib.load(file), ""))


def _flat(table: Mapping[str, object], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, str(value)))
    return found


def text(key: str, language: str = DEFAULT_LANGUAGE, **values: object) -> str:
    """A text, its places filled."""
    return catalogue(language)[key].format(**values)


def language_of(locale: str | None) -> str:
    """The language for somebody whose Discord has this locale."""
    return locale if locale in LANGUAGES else DEFAULT_LANGUAGE


def refusal(error: PoetgenError, language: str) -> str:
    """What the poet's error says, in a language; those that are not a person's mistake are in English only.

    In English the poet's own words serve, but where the bot takes more than the poet (themes by their English names) or
    names things otherwise (forms).
    """
    if not isinstance(error, RequestError):
        return str(error)
    texts, values = catalogue(language), dict(error.values)
    if "form" in values:
        values["form"] = texts.get(f"form.{values['form']}", values["form"])
    if "forms" in values:
        named = [(name, texts[f"form.{name}"]) for name in FORMS]
        if language == DEFAULT_LANGUAGE:
            values["forms"] = ", ".join(f"{name} ({form})" for name, form in named)
        else:
            values["forms"] = "、".join(f"{name}（{form}）" for name, form in named)
    shown = texts.get(f"request.{error.code}", REQUEST_TEXTS[error.code]).format(**values)
    return show(shown, "simplified") if language == "zh-CN" else shown
