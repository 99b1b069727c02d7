"""The console's commands for a server's admin and the bot's owner: /settings, /daily, /voice, /finetune, /owner.

Knows no Discord and no model. `/owner` acts on the shared voice, the others on the console's own.
"""

from collections.abc import Awaitable, Callable, Mapping

from bot.asker import CONSOLE, Asker
from bot.beside import compose_beside
from bot.catalogue import text
from bot.daily import clock, minute_of
from bot.errors import BotError
from bot.job_pages import (
    confirm_page,
    finetune_page,
    history_page,
    progress_page,
    result_page,
    versions_page,
    voices_page,
)
from bot.pages import poem_page
from bot.services import Services
from bot.status import status_page
from bot.store.dailies import Daily
from bot.store.jobs import Job
from bot.store.poems import StoredPoem
from bot.training import Outcome, Progress
from poetgen.poem import form_named

_HISTORY = 10
_STEPS = 10  # progress is printed when it has grown by a tenth


class AdminCommands:
    """Commands that change things, and what happens by itself: the daily poem and a fine-tune's progress.

    Args:
        services: What the bot does.
        show: Prints a page.
        asker: The console's person.
    """

    def __init__(self, services: Services, show: Callable[[str], None], asker: Callable[[], Asker]) -> None:
        self._services = services
        self._show = show
        self._asker = asker
        self._printed: dict[int, tuple[str, int]] = {}
        services.finetuning.watcher = self
        self.commands: Mapping[str, Callable[[str], Awaitable[None]]] = {
            "settings": self._settings,
            "daily": self._daily,
            "voice": self._voice,
            "finetune": self._finetune,
            "owner": self._owner,
        }

    async def _settings(self, rest: str) -> None:
        preferences, asker = self._services.preferences, self._asker()
        name, _, value = rest.partition(" ")
        value = value.strip()
        match name:
            case "" | "show":
                pass
            case "language":
                await preferences.language(asker, None if value in ("auto", "automatic") else value)
            case "script":
                await preferences.script(asker, value)
            case "timezone":
                await preferences.time_zone(asker, value)
            case "words":
                sign, word = value[:1], value[1:]
                if sign not in ("+", "-"):
                    raise BotError("word_sign")
                await preferences.word(asker, word, sign == "+")
            case "limits":
                numbers = value.split()
                if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
                    raise BotError("two_numbers")
                await preferences.limits(asker, int(numbers[0]), int(numbers[1]))
            case _:
                words = "show, language, script, timezone, words, limits"
                raise BotError("one_of", command="settings", words=words)
        self._show(await preferences.page(self._asker()))

    async def _daily(self, rest: str) -> None:
        asker, store = self._asker(), self._services.store
        name, _, value = rest.partition(" ")
        if name == "off":
            stopped = await store.dailies.stop(CONSOLE)
            self._show(text("daily.off" if stopped else "daily.none", asker.language))
            return
        if name != "set":
            raise BotError("one_of", command="daily", words="set, off")
        time, _, form = value.strip().partition(" ")
        minute = minute_of(time.removeprefix("time:"))
        form = form.strip().removeprefix("form:")
        await store.dailies.set(CONSOLE, CONSOLE, minute, form_named(form).name if form else None)
        zone = store.servers.of(CONSOLE).time_zone
        shown = clock(minute)
        self._show(
            text("daily.set", asker.language, channel=text("console.here", asker.language), time=shown, zone=zone)
        )

    async def _voice(self, rest: str) -> None:
        await self._change_voice(rest, CONSOLE)

    async def _change_voice(self, rest: str, guild_id: int | None) -> None:
        language, voices = self._asker().language, self._services.voices
        name, _, version = rest.partition(" ")
        version = version.strip().removeprefix("version:")
        match name:
            case "list":
                heard, current = await voices.heard(guild_id), await voices.current(guild_id)
                votes = {} if guild_id is None else await self._services.store.votes.by_version(guild_id)
                self._show(versions_page(heard, current, language, votes))
            case "use":
                version = await self._services.comparing.named(guild_id, version)
                self._show(text("voice.used", language, version=await voices.use(guild_id, version)))
            case "rollback":
                self._show(text("voice.used", language, version=await voices.roll_back(guild_id)))
            case _:
                raise BotError("one_of", command="voice", words="list, use, rollback, compare")

    async def _finetune(self, rest: str) -> None:
        await self._change_finetune(rest, CONSOLE)

    async def _change_finetune(self, rest: str, guild_id: int | None) -> None:
        finetuning, asker = self._services.finetuning, self._asker()
        match rest:
            case "start":
                finetuning.refuse_here()
                ratings = await finetuning.ratings(guild_id)
                finetuning.refuse_too_few(ratings)
                self._show(confirm_page(ratings, finetuning.limits, asker.language))
                command = "/finetune start" if guild_id is not None else "/owner finetune start"
                self._show(text("console.confirm", asker.language, command=command))
            case "start yes":
                job, place = await finetuning.begin(asker, guild_id)
                self._show(progress_page(job, None, place))
            case "status":
                self._show(await finetune_page(finetuning, guild_id, asker.language))
            case "cancel":
                job = await finetuning.cancel(guild_id)
                self._show(text("finetune.cancelling", asker.language, id=job.id))
            case "history":
                self._show(history_page(await self._services.store.jobs.history(guild_id, _HISTORY), asker.language))
            case _:
                raise BotError("one_of", command="finetune", words="start, status, cancel, history")

    async def _owner(self, rest: str) -> None:
        name, _, more = rest.partition(" ")
        match name:
            case "status":
                self._show(await status_page(self._services, 1, self._asker().language))
            case "voice":
                await self._change_voice(more.strip(), None)
            case "finetune":
                await self._change_finetune(more.strip(), None)
            case _:
                raise BotError("one_of", command="owner", words="finetune, voice, status")

    async def progressed(self, job: Job, progress: Progress) -> None:
        """Print a fine-tune's progress now and then."""
        step = (progress.stage, int(progress.progress * _STEPS))
        if self._printed.get(job.id) != step:
            self._printed[job.id] = step
            shown = await self._services.store.jobs.get(job.id)
            self._show(progress_page(shown or job, progress, 0))

    async def finished(self, job: Job, outcome: Outcome) -> None:
        """Print how a fine-tune ended."""
        self._show(result_page(job))
        if job.version is not None:
            poems = self._services.poems
            pairs = await compose_beside(poems, job)
            self._show(voices_page(pairs, poems.script_in(job.guild_id, job.language), job.language))

    def home(self, daily: Daily) -> tuple[str, bool] | None:
        """The console's language; there are no reactions. Other servers are not here."""
        return (self._asker().language, False) if daily.guild_id == CONSOLE else None

    async def find(self, poem: StoredPoem) -> int | None:
        """What was printed cannot be looked up."""
        return None

    async def post(self, poem: StoredPoem) -> int | None:
        """Print the day's poem."""
        self._show("\n" + poem_page(poem))
        return None
