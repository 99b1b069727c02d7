"""Everything shown: the texts, one table a language, and how a poem is set.

Knows no Discord, no database and no model.
"""

import re
import unicodedata
from collections.abc import Mapping

from poetgen.poem import FORMS, Composition, Script
from poetgen.script import show
from poetgen.text import couplets

DEFAULT_LANGUAGE = "en"

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "form.wujue": "five-character quatrain",
        "form.qijue": "seven-character quatrain",
        "form.wulv": "five-character regulated verse",
        "form.qilv": "seven-character regulated verse",
        "poem.about": "{form} {hanzi} · rhyme {rhyme} · seed {seed}",
        "command.poem": "Write a classical Chinese poem",
        "option.form": "The form; a seven-character quatrain if none is chosen",
        "option.theme": "What it is about, in Chinese, at most {length} characters",
        "option.seed": "A seed shown under a poem, to have that one again",
        "busy": "Many poems are being written just now. Please ask again in about {seconds} s.",
        "closing": "I am about to restart. Please ask again in a minute.",
        "unexpected": "Something went wrong on my side, and it is in my log as {error_id}. Please try again.",
        "console.welcome": "Yin 吟. Type /poem, or /help for the commands.",
        "console.help": (
            "/poem [form:{forms}] [theme:秋夜] [seed:1]   write a poem; all options may be left out\n"
            "/rate up | down | clear   what you think of the last poem\n"
            "/help   these lines\n"
            "/quit   the end"
        ),
        "console.no_slash": "Commands begin with a slash; /help lists them.",
        "console.unknown": "There is no command /{name}; /help lists those there are.",
        "console.options": "/poem takes form:, theme: and seed:, each at most once; {rest} is none of them.",
        "console.seed": "A seed is a whole number; {seed} is none.",
        "console.rate": "/rate takes one word: up, down or clear.",
        "console.no_poem": "There is no poem to rate yet; /poem writes one.",
        "console.rated": "Kept: this poem has {up} 👍 and {down} 👎.",
    }
}

# What Discord would read as markup, a mention or a link with another text.
_MARKDOWN = re.compile(r"([\\*_~`|<>\[\]])")
# Control (Cc), format (Cf: bidi marks, zero-width), private use, surrogates, line and paragraph separators.
_INVISIBLE = frozenset(("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"))


def text(key: str, language: str = DEFAULT_LANGUAGE, **values: object) -> str:
    """A text of the catalogue, its places filled."""
    return TEXTS[language][key].format(**values)


def clean(typed: str) -> str:
    """What a person typed without control, bidi and other invisible characters, blanks made single."""
    spaced = (" " if char.isspace() else char for char in typed)
    return " ".join("".join(char for char in spaced if unicodedata.category(char) not in _INVISIBLE).split())


def escaped(shown: str) -> str:
    """A text of one line that Discord shows as it stands, whatever markup it holds."""
    return _MARKDOWN.sub(r"\\\1", clean(shown))


def form_label(name: str, script: Script, language: str = DEFAULT_LANGUAGE) -> str:
    """A form as people choose it, such as "七绝 seven-character quatrain"."""
    return f"{show(FORMS[name].hanzi, script)} {text(f'form.{name}', language)}"


def poem_card(composition: Composition, script: Script, language: str = DEFAULT_LANGUAGE) -> str:
    """A poem as a Discord message: title, couplets, and small below them what it is and how to have it again."""
    title = escaped(show(composition.poem.title, script))
    about = escaped(_about(composition, script, language))
    return "\n".join((f"**{title}**", *couplets(composition.poem.lines, script), f"-# {about}"))


def poem_page(composition: Composition, script: Script, language: str = DEFAULT_LANGUAGE) -> str:
    """A poem as a terminal shows it."""
    title = show(composition.poem.title, script)
    return "\n".join(
        ("", title, "", *couplets(composition.poem.lines, script), "", _about(composition, script, language))
    )


def _about(composition: Composition, script: Script, language: str) -> str:
    form = composition.poem.form
    assert form is not None, "the poet writes in forms only"
    return text(
        "poem.about",
        language,
        form=text(f"form.{form.name}", language),
        hanzi=show(form.hanzi, script),
        rhyme=show(composition.rhyme, script),
        seed=composition.seed,
    )
