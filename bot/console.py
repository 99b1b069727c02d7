"""The same commands, typed in a terminal or sent through a pipe, for trying the bot without a token.

Knows no Discord and no model. Its one person owns the bot and manages the one server there is. Reading lines is
`lines.py`'s.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from bot.asker import CONSOLE, Asker
from bot.card import alt_text
from bot.catalogue import text
from bot.console_admin import AdminCommands
from bot.errors import BotError, explain
from bot.leaderboard import leaderboard
from bot.pages import check_page, compare_page, info_page, poem_page, top_page
from bot.poems import Composing, Wish
from bot.privacy import Privacy
from bot.rating import DOWN, UP, VOTES
from bot.reading import reading
from bot.services import Services
from bot.store.poems import StoredPoem
from bot.typed import plain
from poetgen.poem import SCRIPTS
from poetgen.script import show

_ASKER = Asker(CONSOLE, guild_id=CONSOLE, admin=True, moderator=True, owner=True)
_RATINGS = {"up": VOTES[UP], "down": VOTES[DOWN], "clear": None}
_MAX_READING = 10_000
_WORDLESS = ("another", "vary", "info", "delete", "report", "about", "quit")
_OF_SEVERAL_WORDS = ("theme", "acrostic", "first_line")
_EXPORT_FILE = "yin-privacy.json"

Command = Callable[[str], Awaitable[None]]


class Console:
    """Reads commands and prints answers until the lines end or one is /quit.

    Args:
        services: What the bot does.
        write: Prints a line or several.
        folder: Where cards and exports are written.
    """

    def __init__(self, services: Services, write: Callable[[str], None], folder: Path) -> None:
        self._services = services
        self._poems = services.poems
        self._write = write
        self._folder = folder
        self._last: int | None = None
        self._compared: int | None = None
        admin = self.admin = AdminCommands(services, self._show, self._asker)
        self._commands: Mapping[str, Command] = {
            "poem": self._poem, "another": self._another, "vary": self._vary, "read": self._read, "card": self._card,
            "info": self._info, "show": self._show_again, "rate": self._rate, "check": self._check, "top": self._top,
            "compare": self._compare, "pick": self._pick, "delete": self._delete, "report": self._report,
            "privacy": self._privacy, "help": self._help, "about": self._about, **admin.commands,
        }  # fmt: skip

    def _asker(self) -> Asker:
        language = self._services.preferences.home_language(CONSOLE, "en")
        return replace(_ASKER, language=language, home_language=language)

    def _show(self, page: str) -> None:
        self._write(plain(page))

    async def run(self, lines: AsyncIterator[str]) -> None:
        """Answer each line; what fails is told, and the next line is read."""
        self._last = await self._services.store.poems.newest(CONSOLE)
        self._write(text("console.welcome", self._asker().language))
        async for line in lines:
            if line.strip() == "/quit":
                return
            if line.strip():
                try:
                    await self._answer(line.strip())
                except BrokenPipeError:
                    raise  # whoever read the answers has gone
                except Exception as error:
                    self._show(explain(error, self._asker().language, operator=True).text)

    async def _answer(self, line: str) -> None:
        if not line.startswith("/"):
            raise BotError("no_slash")
        name, _, rest = line[1:].partition(" ")
        name = name.lower()
        if rest.strip() and name in _WORDLESS:
            raise BotError("surplus", name=name)
        if name not in self._commands:
            raise BotError("unknown_command", name=name)
        if name == "voice" and rest.startswith("compare"):
            name, rest = "compare", rest.removeprefix("compare")
        await self._commands[name](rest.strip())

    async def _poem(self, rest: str) -> None:
        options = typed_options("poem", rest, ("form", "theme", "acrostic", "first_line", "rhyme", "seed", "script"))
        seed, script = options.pop("seed", None), options.pop("script", None)
        if seed is not None and not re.fullmatch(r"-?\d{1,30}", seed):
            raise BotError("seed_number", seed=seed)
        chosen = next((known for known in SCRIPTS if known == (script or "").lower()), None)
        if script is not None and chosen is None:
            raise BotError("script", scripts=", ".join(SCRIPTS))
        wish = Wish(**options, seed=None if seed is None else int(seed), script=chosen)
        await self._compose(await self._poems.begin(self._asker(), wish))

    async def _compose(self, begun: Composing) -> None:
        async with begun as composing:
            poem = await composing.poem()
        self._last = poem.id
        self._show("\n" + poem_page(poem))

    async def _again(self, how: Literal["another", "vary"]) -> None:
        await self._compose(await self._poems.again(self._asker(), (await self._last_poem()).id, how))

    async def _another(self, _: str) -> None:
        await self._again("another")

    async def _vary(self, _: str) -> None:
        await self._again("vary")

    async def _last_poem(self) -> StoredPoem:
        if self._last is None:
            raise BotError("no_last_poem")
        return await self._poems.get(self._asker(), self._last)

    async def _read(self, rest: str) -> None:
        asker = self._asker()
        if rest:
            poem, report, script = self._poems.inspected(asker, rest)
        else:
            last = await self._last_poem()
            poem, report, script = last.poem, self._poems.inference.poet.inspect(last.poem), last.script
        page = reading(poem, report, script, _MAX_READING)
        self._show(f"{page}\n{text('read.source', asker.language)}")

    async def _card(self, rest: str) -> None:
        if rest not in ("", "light", "dark"):
            raise BotError("one_of", command="card", words="light, dark")
        poem = await self._last_poem()
        if not self._services.cards.available:
            raise BotError("no_font")
        shade: Literal["light", "dark"] = "dark" if rest == "dark" else "light"
        drawn = self._services.cards.draw(poem.poem, poem.script, shade, "吟")
        if drawn is None:
            raise BotError("no_glyph")
        path = self._kept(f"poem-{poem.id}-{shade}.png", drawn)
        self._write(f"{path}\n{alt_text(poem.poem, poem.script)}")

    def _kept(self, name: str, content: bytes) -> Path:
        """The file that now holds this.

        Raises:
            BotError: The folder cannot be written.
        """
        path = self._folder / name
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        except OSError:
            raise BotError("console_folder", folder=self._folder.absolute()) from None
        path.chmod(0o600)
        return path

    async def _info(self, _: str) -> None:
        poem = await self._last_poem()
        voted = await self._poems.store.votes.of(poem.id, CONSOLE) is not None
        report = self._poems.inference.poet.inspect(poem.poem)
        self._show(info_page(poem, report, voted, self._asker().language))

    async def _rate(self, rest: str) -> None:
        if rest not in _RATINGS:
            raise BotError("rating")
        poem, value = await self._last_poem(), _RATINGS[rest]
        if value is None:
            await self._services.rating.take_back(poem.id, CONSOLE)
            self._write(text("console.unrated", self._asker().language))
            return
        await self._services.rating.vote(poem.id, CONSOLE, value)
        up, down = await self._services.rating.tally(poem.id)
        self._write(text("console.rated", self._asker().language, up=up, down=down))

    async def _show_again(self, rest: str) -> None:
        number = rest.removeprefix("poem:").strip()
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise BotError("poem_number")
        poem = await self._poems.get(self._asker(), int(number))
        self._last = poem.id
        self._show("\n" + poem_page(poem))

    async def _check(self, rest: str) -> None:
        asker = self._asker()
        self._show(check_page(*self._poems.inspected(asker, rest), asker.language))

    async def _top(self, rest: str) -> None:
        asker, period = self._asker(), rest.removeprefix("period:").strip() or "month"
        entries = await leaderboard(self._services.store, asker, period)
        self._show(top_page(entries, period, asker.language, self._poems.script_for(asker), numbered=True))

    async def _compare(self, rest: str) -> None:
        options = typed_options("compare", rest, ("theme", "first", "second"))
        asker, comparing = self._asker(), self._services.comparing
        versions = await comparing.versions(CONSOLE, options.get("first", ""), options.get("second", ""))
        async with comparing.asked(asker, options.get("theme", ""), versions) as composing:
            self._compared, first, second = await composing
        self._show(compare_page(first, second, asker.language))

    async def _pick(self, rest: str) -> None:
        if self._compared is None or rest not in ("1", "2"):
            raise BotError("nothing_to_pick")
        found, first, second = await self._services.comparing.pick(self._asker(), self._compared, int(rest))
        self._show(compare_page(first, second, self._asker().language, found.picked))

    async def _delete(self, _: str) -> None:
        poem = await self._last_poem()
        await self._poems.delete(self._asker(), poem)
        self._last = await self._services.store.poems.newest(CONSOLE)
        # The one before is the last one now, and may not be on the screen any more.
        self._write(text("console.deleted", self._asker().language, title=show(poem.title, poem.script)))

    async def _report(self, _: str) -> None:
        await self._poems.report(self._asker(), await self._last_poem())
        self._write(text("moderation.reported", self._asker().language))

    async def _privacy(self, rest: str) -> None:
        privacy, asker = Privacy(self._services.store), self._asker()
        match rest:
            case "show":
                self._show(await privacy.page(asker))
            case "export":
                path = self._kept(_EXPORT_FILE, await privacy.export(asker))
                self._write(f"{text('privacy.export', asker.language)}\n{path}")
            case "delete":
                self._write(text("privacy.confirm", asker.language))
                self._write(text("console.confirm", asker.language, command="/privacy delete"))
            case "delete yes":
                self._show(await privacy.delete(asker))
                self._last = await self._services.store.poems.newest(CONSOLE)
            case _:
                raise BotError("one_of", command="privacy", words="show, export, delete")

    async def _help(self, _: str) -> None:
        self._write(text("console.help", self._asker().language))

    async def _about(self, _: str) -> None:
        language, url = self._asker().language, self._services.privacy_url
        page = text("about.page", language)
        self._show(page if url is None else f"{page}\n{text('about.privacy', language, url=url)}")


def typed_options(command: str, rest: str, names: tuple[str, ...]) -> dict[str, str]:
    """`form:qijue theme:秋夜` as a dict; a value goes on until the next option.

    What stands before them is the theme, and so is what stands behind an option that is one word (`form:qijue 秋夜`).

    Raises:
        BotError: Something is none of the options, or is given twice.
    """
    before, *pieces = re.split(rf"(?:^|\s)({'|'.join(names)})[:：]", rest, flags=re.IGNORECASE)
    before = before.strip()
    if re.search(r"\w[:：]", before):
        raise BotError("options", command=command, names=", ".join(f"{name}:" for name in names), rest=before)
    found = [name.lower() for name in pieces[::2]]
    if before:
        found, pieces = ["theme", *found], ["theme:", before, *pieces]
    if doubled := next((name for name in found if found.count(name) > 1), None):
        raise BotError("twice", name=doubled)
    options = {name: value.strip() for name, value in zip(found, pieces[1::2], strict=True)}
    for name, value in options.items():
        if name not in _OF_SEVERAL_WORDS and " " in value and "theme" not in options:
            options[name], options["theme"] = value.split(maxsplit=1)
            break
    return options
