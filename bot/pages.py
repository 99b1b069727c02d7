"""How poems are shown: under a command, in detail, checked, ranked, side by side. Markup is Discord's.

Knows no Discord objects, no database and no model; a terminal shows the same pages by `typed.plain`.
"""

import math
from collections.abc import Mapping, Sequence

from bot.catalogue import DEFAULT_LANGUAGE, catalogue, text
from bot.reading import rhyme_label
from bot.store.people import UNTITLED
from bot.store.poems import StoredPoem
from bot.typed import escaped, shortened
from poetgen.poem import FORMS, Poem, Script
from poetgen.prosody import PROBLEM_TEXTS, RHYMING_TYPES, Problem, Report, line_templates
from poetgen.script import show
from poetgen.text import couplets

MAX_PAGE = 2000  # characters of a message
_MAX_THEME_SHOWN = 60
_OF_THE_RHYME = frozenset(("rhyme", "no rhyme", "repeated rhyme"))  # faults in any quatrain
TONE_MARKS: Mapping[str, str] = {"L": "○", "O": "●", "LO": "◐"}


def form_label(name: str, script: Script, language: str = DEFAULT_LANGUAGE) -> str:
    """A form as people choose it, such as "七绝 seven-character quatrain"."""
    hanzi = show(FORMS[name].hanzi, script)
    return hanzi if language.startswith("zh") else f"{hanzi} {text(f'form.{name}', language)}"


def poem_page(poem: StoredPoem) -> str:
    """A poem as a message: title, couplets, and small below them what it is and how to have it again."""
    language, script = poem.language, poem.script
    if poem.hidden:
        return text("poem.hidden", language)
    title = escaped(shortened(show(poem.title, script), _MAX_THEME_SHOWN))
    about = text(
        "poem.about",
        language,
        form=_form_about(poem.form, script, language),
        rhyme=_rhyme(poem.rhyme, script, language),
        seed=poem.seed,
    )
    above = [text("poem.daily", language)] if poem.purpose == "daily" else []
    return "\n".join((*above, f"**{title}**", *couplets(poem.lines, script), f"-# {about}"))


def _form_about(name: str, script: Script, language: str) -> str:
    hanzi = show(FORMS[name].hanzi, script)
    return hanzi if language.startswith("zh") else f"{text(f'form.{name}', language)} {hanzi}"


def _rhyme(group: str, script: Script, language: str) -> str:
    return show(group, script) if language.startswith("zh") else rhyme_label(group, script)


def toned(line: str, tones: Sequence[str], script: Script) -> str:
    """Each character of a line with the mark of its tone."""
    shown = show(line, script)
    return " ".join(f"{char}{TONE_MARKS.get(tone, '·')}" for char, tone in zip(shown, tones, strict=True))


def _pattern_name(pattern: str, length: int, language: str) -> str:
    """A tonal pattern as people call it: by the second tone of the first line, and whether that line rhymes."""
    begins = "level" if line_templates(pattern[0], length)[0][1] == "L" else "oblique"
    name = f"{begins}_{'rhymed' if pattern[0] in RHYMING_TYPES else 'unrhymed'}"
    return text(f"pattern.{name}", language)


def info_page(poem: StoredPoem, report: Report, voted: bool, language: str) -> str:
    """What is known of a poem; which version wrote it only to who has voted."""
    given = 1 if poem.first_line else 0  # of which nothing is said: who gave it knows whose it is
    known = [number + 1 for number, mark in enumerate(poem.in_classics) if mark == "1" and number >= given]
    unknown = text("info.no_other_classics" if given else "info.no_classics", language)
    forgotten = poem.title == UNTITLED and not poem.theme
    likely = 1 / (1 + math.exp(-max(-50.0, min(50.0, poem.realness))))
    rows = [
        f"**{escaped(show(poem.title, poem.script))}** · {form_label(poem.form, poem.script, language)}",
        *(toned(line, tones, poem.script) for line, tones in zip(poem.lines, report.heard, strict=True)),
        text("info.marks", language),
        *[f"• {problem_text(problem, poem.script, language)}" for problem in report.problems],
        text(
            "info.pattern",
            language,
            pattern=_pattern_name(poem.pattern, len(poem.lines[0]), language),
            rhyme=_rhyme(poem.rhyme, poem.script, language),
        ),
        text("info.realness", language, mark=round(100 * likely)),
        text("info.classics", language, lines=", ".join(map(str, known))) if known else unknown,
        # Whose theme was forgotten on request cannot be asked for again.
        *([] if forgotten else [text("info.replay", language, command=replay_command(poem))]),
        text("info.again", language, number=poem.id),
        text("info.version", language, version=poem.version) if voted else text("info.vote_first", language),
    ]
    if not poem.ranked:
        rows.insert(-1, text("info.unranked", language))
    return shortened("\n".join(rows), MAX_PAGE)


def replay_command(poem: StoredPoem) -> str:
    """The command that writes a poem again, bit for bit."""
    asked = {
        "form": poem.form,
        "theme": poem.theme,
        "acrostic": poem.acrostic,
        "first_line": poem.first_line,
        "rhyme": poem.asked_rhyme,
        "seed": poem.seed,
        "script": poem.script,
    }
    return "/poem " + " ".join(f"{name}:{value}" for name, value in asked.items() if value != "")


def check_page(poem: Poem, report: Report, script: Script, language: str) -> str:
    """A person's poem with its tones, and every fault in words, each kind explained once."""
    rows = [toned(line, tones, script) for line, tones in zip(poem.lines, report.heard, strict=False)]
    rows += [text("info.marks", language)] if rows else []
    unknown = [
        char
        for line, tones in zip(poem.lines, report.tones, strict=False)
        for char, tone in zip(line, tones, strict=True)
        if not tone
    ]
    if unknown and report.pattern:
        rows.append(text("check.unknown", language, chars=show(" ".join(dict.fromkeys(unknown)), script)))
    if report.borrowed:
        rows.append(text("check.borrowed", language, rhyme=_rhyme(report.borrowed, script, language)))
    if report.passed:
        name = _pattern_name(report.pattern, len(poem.lines[0]), language)
        rows.append(text("check.passed", language, pattern=name, rhyme=_rhyme(report.rhyme or "", script, language)))
        return "\n".join(rows)
    faults = [f"• {problem_text(problem, script, language)}" for problem in report.problems]
    kinds = [problem.kind for problem in report.problems]
    meanings = [f"-# {meaning}" for meaning in dict.fromkeys(text(f"explain.{kind}", language) for kind in kinds)]
    # Verse of another kind breaks nothing.
    heading = "check.old_style" if "oblique rhyme" in kinds else "check.faults"
    rows.append(text(heading, language, count=len(faults)))
    if report.pattern and len(poem.lines) == 4 and not set(kinds) <= _OF_THE_RHYME:
        meanings.append(text("check.quatrain", language))
    page = "\n".join(rows + faults + meanings)
    left_out = 0
    while len(page) > MAX_PAGE and faults:
        faults.pop()
        left_out += 1
        page = "\n".join([*rows, *faults, text("check.more", language, count=left_out), *meanings])
    return shortened(page, MAX_PAGE)


def problem_text(problem: Problem, script: Script, language: str) -> str:
    """A fault in words."""
    shown = {name: show(value, script) for name, value in problem.values.items()}
    in_english = language == DEFAULT_LANGUAGE
    said = PROBLEM_TEXTS[problem.kind] if in_english else catalogue(language)[f"problem.{problem.kind}"]
    return escaped(said.format(**shown))


def link_to(poem: StoredPoem) -> str | None:
    """Where a poem's message is."""
    if poem.message_id is None or not poem.channel_id:
        return None
    return f"https://discord.com/channels/{poem.guild_id or '@me'}/{poem.channel_id}/{poem.message_id}"


def again_page(poem: StoredPoem, language: str) -> str:
    """An earlier poem, and where its message is, for reactions count there alone."""
    link = link_to(poem)
    return poem_page(poem) + ("" if link is None else f"\n{text('show.original', language, link=link)}")


def top_page(
    entries: Sequence[tuple[StoredPoem, int, int]],
    period: str,
    language: str,
    script: Script,
    *,
    numbered: bool = False,
) -> str:
    """The best loved poems, each with its first couplet and a link, or where there are no links with its number."""
    if not entries:
        return text("top.none", language)
    rows = [f"**{text('top.title', language, period=text(f'choice.{period}', language))}**"]
    for place, (poem, up, down) in enumerate(entries, 1):
        title = escaped(shortened(show(poem.title, script), _MAX_THEME_SHOWN))
        link = link_to(poem)
        shown = f"[{title}](<{link}>)" if link else title
        number = f" · /show {poem.id}" if numbered else ""
        rows.append(f"{place}\\. **{shown}** · {up} 👍 {down} 👎{number}\n-# {couplets(poem.lines, script)[0]}")
    return "\n".join(rows)


def compare_page(first: StoredPoem, second: StoredPoem, language: str, picked: int | None = None) -> str:
    """Two poems side by side; who wrote which only when the asker has picked."""
    rows = [text("compare.title", language, title=escaped(show(first.title, first.script)))]
    for number, poem in ((1, first), (2, second)):
        rows += ["", f"**{number}**", *couplets(poem.lines, poem.script)]
        if picked is not None:
            rows.append(text("compare.by", language, version=poem.version))
    rows += ["", text("compare.picked", language, picked=picked) if picked else text("compare.ask", language)]
    return "\n".join(rows)
