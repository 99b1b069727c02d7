"""Poems made by rule from characters whose sounds are known."""

from dataclasses import dataclass

import numpy as np

from poetgen import prosody, script
from poetgen.phonology import RHYME_GROUPS
from poetgen.poem import Form


@dataclass(frozen=True)
class Sounds:
    """What the generated corpus's characters sound like."""

    level: dict[str, str]  # character -> rhyme group
    oblique: str

    def draw_line(self, template: str, rng: np.random.Generator, rhyme: str | None = None) -> str:
        chars = []
        for place, wanted in enumerate(template):
            if rhyme and place == len(template) - 1:
                pool = [char for char, group in self.level.items() if group == rhyme]
            elif wanted == "O" or (wanted == "X" and rng.random() < 0.5):
                pool = list(self.oblique)
            else:
                pool = list(self.level)
            chars.append(pool[int(rng.integers(len(pool)))])
        return "".join(chars)

    def draw_poem(self, form: Form, rng: np.random.Generator) -> list[str]:
        pattern = prosody.PATTERNS[int(rng.integers(4))]
        rhyme = RHYME_GROUPS[int(rng.integers(len(RHYME_GROUPS)))]
        while True:
            lines = []
            for kind, length in zip(prosody.pattern_lines(pattern, form.num_lines), form.line_lengths, strict=True):
                templates = prosody.line_templates(kind, length)
                template = templates[int(rng.integers(len(templates)))]
                lines.append(self.draw_line(template, rng, rhyme if kind in prosody.RHYMING_TYPES else None))
            rhymes = [lines[number][-1] for number in prosody.rhyming_lines(pattern, form.num_lines)]
            if len(set(rhymes)) == len(rhymes):
                return lines


def plain_chars(count: int, taken: str) -> str:
    """Characters that neither folding nor OpenCC changes."""
    found: list[str] = []
    for code in range(0x4E00, 0x9FFF, 7):
        char = chr(code)
        if char not in taken and script.to_traditional(char) == char == script.to_simplified(char):
            found.append(char)
        if len(found) == count:
            break
    return "".join(found)
