"""A poem as a picture: vertical, right to left, on paper, with a title and a seal.

Knows no Discord. It takes a tenth of a second of work: call it in an executor.
"""

import functools
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFilter, ImageFont

from poetgen.poem import Poem, Script
from poetgen.script import is_hanzi, show

_log = logging.getLogger(__name__)
Shade = Literal["light", "dark"]
WIDTH, HEIGHT = 1080, 1350
# Debian's packages in the order in which their faces suit a poem: brush-like first, then song, then anything.
SYSTEM_FONTS: tuple[tuple[str, str], ...] = (
    ("fonts-lxgw-wenkai", "/usr/share/fonts/truetype/lxgw-wenkai/LXGWWenKai-Regular.ttf"),
    ("fonts-arphic-ukai", "/usr/share/fonts/truetype/arphic/ukai.ttc"),
    ("fonts-noto-cjk", "/usr/share/fonts/opentype/noto/NotoSerifCJK-Regular.ttc"),
    ("fonts-noto-cjk", "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"),
)
_MAX_ALT = 1024
_SEAL_SIDE = 104
_MISSING = "\U0010ffff"  # no font has it, so it shows what a font shows for what it has not


@dataclass(frozen=True, slots=True)
class _Ink:
    paper: tuple[int, int, int]
    text: tuple[int, int, int]
    faint: tuple[int, int, int]
    seal: tuple[int, int, int]
    carved: tuple[int, int, int]


_INKS: dict[Shade, _Ink] = {
    "light": _Ink((245, 238, 220), (42, 34, 28), (176, 160, 132), (176, 42, 34), (250, 243, 228)),
    "dark": _Ink((30, 27, 25), (232, 222, 200), (98, 88, 76), (158, 44, 36), (244, 234, 214)),
}


class Cards:
    """Draws cards with the first font that has every character.

    Args:
        configured: A font before the system's.
        system: The system's fonts, each after its package.
    """

    def __init__(self, configured: Path | None = None, system: Sequence[tuple[str, str]] = SYSTEM_FONTS) -> None:
        candidates = [*([configured] if configured else []), *(Path(path) for _, path in system)]
        self.fonts = [path for path in candidates if _usable(path)]
        if configured is not None and configured not in self.fonts:
            _log.warning("CARD_FONT %s is no font that can be read; the system's are used", configured)

    @property
    def available(self) -> bool:
        """Whether any font was found; without one there are no cards."""
        return bool(self.fonts)

    def draw(self, poem: Poem, script: Script, shade: Shade, seal: str) -> bytes | None:
        """A card as a PNG; None if no font has every character of the poem.

        Args:
            poem: The poem, in traditional characters.
            script: The characters to draw it in.
            shade: Dark ink on light paper, or the other way round.
            seal: Whose seal: the server's or the bot's name.
        """
        lines = [show(line, script) for line in poem.lines]
        title = "".join(char for char in show(poem.title, script) if is_hanzi(char))
        font = next((path for path in self.fonts if _covers(path, "".join(lines) + title)), None)
        if font is None:
            return None
        return _drawn(lines, title, _carved(seal, font), font, shade)


def alt_text(poem: Poem, script: Script) -> str:
    """The poem for who cannot see the picture."""
    lines = " ".join(show(line, script) for line in poem.lines)
    return f"{show(poem.title, script)}：{lines}"[:_MAX_ALT]


def _drawn(lines: Sequence[str], title: str, seal: str, font: Path, shade: Shade) -> bytes:
    ink = _INKS[shade]
    card = _paper(shade).copy()
    draw = ImageDraw.Draw(card)
    num_columns, length = len(lines), max(map(len, lines))
    # Eight columns stand closer than four; five characters a line may be larger than seven.
    pitch = min(150 if num_columns == 4 else 97, 1010 // (length + 1))
    size = round(pitch * 0.8)
    step = min(round(size * 1.1), 1010 // length)  # closer than the columns stand, so that they are seen as columns
    body = _font(font, size)
    top = (HEIGHT - step * length - _SEAL_SIDE + size // 2) // 2  # so columns and seal together stand in the middle
    # A long title goes on below the lines, as small as it must be to end above the frame.
    title_size = min(round(size * 0.62), round((HEIGHT - 90 - (top - size // 2)) / 1.25 / max(1, len(title))))
    whole = pitch * num_columns + round(title_size * 1.9)
    right = (WIDTH + whole) // 2
    _column(draw, title, _font(font, title_size), right - title_size // 2, top - size // 2 + title_size // 2,
            round(title_size * 1.25), ink.text)  # fmt: skip
    first = right - round(title_size * 1.9) - pitch // 2
    for number, line in enumerate(lines):
        _column(draw, line, body, first - number * pitch, top, step, ink.text)
    _seal(card, seal, font, ink, first - (num_columns - 1) * pitch, top + step * length)
    content = io.BytesIO()
    card.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _column(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont,
    x: int,
    y: int,
    step: int,
    color: tuple[int, int, int],
) -> None:
    for number, char in enumerate(text):
        draw.text((x, y + number * step), char, fill=color, font=font, anchor="mm")


def _seal(card: Image.Image, seal: str, font: Path, ink: _Ink, x: int, below: int) -> None:
    """A square of red at the left foot, characters carved into it from the right."""
    side = _SEAL_SIDE
    top = min(below, HEIGHT - 110 - side)
    left = max(90, x - side // 2)
    draw = ImageDraw.Draw(card)
    draw.rounded_rectangle((left, top, left + side, top + side), radius=12, fill=ink.seal)
    draw.rounded_rectangle((left + 6, top + 6, left + side - 6, top + side - 6), radius=8, outline=ink.carved, width=2)
    if len(seal) == 1:
        places, size = [(0.5, 0.5)], 68
    elif len(seal) == 2:
        places, size = [(0.5, 0.29), (0.5, 0.71)], 44
    else:
        places, size = [(0.71, 0.29), (0.71, 0.71), (0.29, 0.29), (0.29, 0.71)], 42
        if len(seal) == 3:
            places[2] = (0.29, 0.5)
    for char, (across, down) in zip(seal, places, strict=False):
        at = (left + across * side, top + down * side)
        draw.text(at, char, fill=ink.carved, font=_font(font, size), anchor="mm")


def _carved(name: str, font: Path) -> str:
    """What of a name goes on a seal: up to four Chinese characters, else its initials, else 吟."""
    hanzi = "".join(char for char in name if is_hanzi(char) and _covers(font, char))
    initials = "".join(word[0] for word in name.split() if word[0].isascii() and word[0].isalnum()).upper()
    return (hanzi or initials or "吟")[:4]


@functools.lru_cache(4)
def _paper(shade: Shade) -> Image.Image:
    """The empty card: a tone that is not quite even, as of paper, and a thin frame."""
    ink = _INKS[shade]
    clouds = Image.effect_noise((27, 34), 24).filter(ImageFilter.GaussianBlur(1.2))
    clouds = clouds.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    darker = tuple(round(tone * (0.955 if shade == "light" else 1.28)) for tone in ink.paper)
    paper = Image.composite(
        Image.new("RGB", (WIDTH, HEIGHT), ink.paper), Image.new("RGB", (WIDTH, HEIGHT), darker), clouds
    )
    draw = ImageDraw.Draw(paper)
    draw.rectangle((44, 44, WIDTH - 45, HEIGHT - 45), outline=ink.faint, width=3)
    draw.rectangle((56, 56, WIDTH - 57, HEIGHT - 57), outline=ink.faint, width=1)
    return paper


@functools.lru_cache(64)
def _font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _usable(path: Path) -> bool:
    try:
        return path.is_file() and _covers(path, "吟")
    except OSError:
        return False


def _covers(path: Path, text: str) -> bool:
    return all(_has(path, char) for char in set(text))


@functools.lru_cache(32768)
def _has(path: Path, char: str) -> bool:
    return _shape(path, char) != _shape(path, _MISSING)


def _shape(path: Path, char: str) -> bytes:
    font = _font(path, 24)
    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).text((16, 16), char, fill=255, font=font, anchor="mm")
    return image.tobytes()
