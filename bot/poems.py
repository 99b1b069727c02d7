"""What the bot does, whoever asks: a poem is checked, composed, kept and shown, deleted and reported.

Knows no Discord and no terminal; both call this. `begin` is quick and refuses at once, `Composing.poem` takes its time.
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self

from bot.asker import CONSOLE, Asker
from bot.errors import BotError, ClosingError, MistypedError
from bot.inference import Inference
from bot.metrics import Metrics
from bot.reading import rhyme_label, rhymes_spelt
from bot.store import Store
from bot.store.poems import Setting, StoredPoem
from bot.store.usage import Taken
from bot.themes import meant, nearest
from bot.typed import clean, shortened
from bot.voices import Voices
from bot.words import WordList
from poetgen.errors import RequestError
from poetgen.poem import (
    DEFAULT_FORM,
    FORMS,
    FORMS_BY_LENGTHS,
    Composition,
    Form,
    Poem,
    PoemRequest,
    Script,
    form_named,
)
from poetgen.prosody import Report
from poetgen.script import is_hanzi, script_of
from poetgen.text import parse_poem, split_lines

# Of the poems served, this share is drawn without the discriminator's choice, so that a fine-tune sees such too.
UNRANKED_SHARE = 0.1
_TRIES = 3  # how often to compose while a poem spells a word of the list
REPORTS_TO_HIDE = 3
# Several names together, one of them misspelt, are also longer than a theme in characters may be.
_OF_THE_THEME = ("unknown_theme", "theme_length")
_LATIN = re.compile(r"[A-Za-z]")
_MAX_WORDS = 3  # of a theme in English that is taken for one
_MAX_THEME_TOLD = 60
# Of a field; far more than any that can be written on, and little enough that looking it up keeps nobody waiting.
_MAX_TYPED = 500


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person typed after /poem; everything may be left out. Without a form it is the one that fits the rest."""

    form: str = ""
    theme: str = ""
    acrostic: str = ""
    first_line: str = ""
    rhyme: str = ""
    seed: int | None = None
    script: Script | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds where a server chose nothing.

    Attributes:
        quota: Poems of a member a day, in each server.
        cooldown: Seconds between two of them.
        script: The characters of poems.
    """

    quota: int = 200
    cooldown: int = 5
    script: Script = "simplified"

    def script_where(self, language: str) -> Script:
        """The characters of poems in a place that chose none, by what it reads."""
        return "traditional" if language == "zh-TW" else self.script


def _cleaned(typed: str) -> str:
    """What was typed into a field, without what nobody sees, and not more than is looked at."""
    return clean(typed)[:_MAX_TYPED]


def _fitting(acrostic: str, first_line: str) -> Form:
    """The form that has room for an acrostic and whose lines are as long as the first one.

    Raises:
        BotError: No line is as long as that.
    """
    heads, first = ("".join(split_lines(typed)) for typed in (acrostic, first_line))
    lines = DEFAULT_FORM.line_lengths
    lengths = sorted({form.line_lengths[0] for form in FORMS.values()})
    if is_hanzi(first) and len(first) not in lengths:
        raise BotError("first_line_length", length=len(first), lengths=" / ".join(map(str, lengths)))
    # What is no Chinese the poet refuses, whatever the form.
    length = len(first) if len(first) in lengths else lines[0]
    return FORMS_BY_LENGTHS[(length,) * (8 if len(heads) > len(lines) else len(lines))]


class Composing:
    """A poem under way. As a context: what fails within gives the member's quota back.

    Args:
        poems: Whose it is.
        request: As it was queued.
        setting: How it will be kept.
        version: Who writes it.
        answer: The composition to come.
        taken: What to give back.
    """

    def __init__(
        self,
        poems: "Poems",
        request: PoemRequest,
        setting: Setting,
        version: str,
        answer: asyncio.Future[Composition],
        taken: Taken | None,
    ) -> None:
        self._poems = poems
        self._request = request
        self._setting = setting
        self._version = version
        self._answer = answer
        self._taken = taken

    async def poem(self) -> StoredPoem:
        """Wait for the poem, and keep it before anybody sees it."""
        composition = await self._poems.composed(self._answer, self._request, self._version, self._setting.guild_id)
        return await self._poems.store.poems.add(self._setting, self._request, composition)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer.cancel()
        await self._poems.release(self._setting.requester_id, self._taken if error is not None else None)


class Poems:
    """Poems from request to vote.

    Args:
        inference: Composes.
        store: Keeps.
        voices: Which version a server hears.
        words: What may not be spelt.
        limits: Where a server chose nothing.
        metrics: What is counted.
        chance: A number from 0 to 1, to draw the tenth that is not ranked.
    """

    def __init__(
        self,
        inference: Inference,
        store: Store,
        voices: Voices,
        words: WordList,
        limits: Limits,
        metrics: Metrics,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.inference = inference
        self.store = store
        self.voices = voices
        self.words = words
        self.limits = limits
        self.metrics = metrics
        self._asking: set[int] = set()
        self._chance = chance

    def script_for(self, asker: Asker) -> Script:
        """The characters of poems where somebody asks."""
        return self.script_in(asker.guild_id, asker.home_language)

    def script_in(self, guild_id: int | None, language: str) -> Script:
        """The characters of poems in a server, or in direct messages; `language` is what is read there."""
        return self.store.servers.of(guild_id).script or self.limits.script_where(language)

    def inspected(self, asker: Asker, typed: str) -> tuple[Poem, Report, Script]:
        """A poem that a person typed, what is found of it, and the characters to show it in.

        Raises:
            RequestError: It is none.
        """
        poem = self.inference.poet.restored(parse_poem("\n".join(map(clean, typed.splitlines()))), typed)
        return poem, self.inference.poet.inspect(poem), script_of(typed) or self.script_for(asker)

    def refuse_words(self, asker: Asker, typed: Iterable[str], acrostic: str = "") -> None:
        """Refuse what spells a word on the list where somebody asks.

        Raises:
            BotError: It does.
        """
        self.words.refuse(typed, acrostic, self.store.servers.of(asker.guild_id).words)

    def may_show(self, composition: Composition, guild_id: int | None) -> bool:
        """Whether a poem spells no word on a server's list."""
        return not self.words.found_in_lines(composition.poem.lines, self.store.servers.of(guild_id).words)

    async def composed(
        self, answer: Awaitable[Composition], request: PoemRequest, version: str | None, guild_id: int | None
    ) -> Composition:
        """What was queued, once it is written; if it spells a word on a server's list, what is written in its place.

        Raises:
            BotError: Every time it did.
        """
        for left in reversed(range(1 if request.seed is not None else _TRIES)):
            composition = await answer
            if self.may_show(composition, guild_id):
                return composition
            if left:
                answer = self.inference.submit(request, version)
        raise BotError("word_written")

    def checked(self, request: PoemRequest, script: Script = "simplified") -> PoemRequest:
        """A request as the poet will write it.

        A rhyme may be pinyin; rhyme groups to choose from are told in a script, and with their pinyin.

        Raises:
            RequestError: It cannot be written.
            MistypedError: The pinyin may be several rhyme groups, or the theme is no known name; then those that are
                nearest are told.
            BotError: The theme is a sentence.
        """
        spelt = [group for group in rhymes_spelt(request.rhyme) if group in self.inference.poet.rhymes]
        if len(spelt) > 1:
            groups = ", ".join(rhyme_label(group, script) for group in spelt)
            raise MistypedError("rhyme_which", typed=request.rhyme, groups=groups)
        try:
            return self.inference.poet.check(replace(request, rhyme=spelt[0]) if spelt else request)
        except RequestError as error:
            if "groups" in error.values:
                groups = ", ".join(rhyme_label(char, script) for char in str(error.values["groups"]) if is_hanzi(char))
                told = error.values | {"groups": groups, "text": request.rhyme}
                raise RequestError(error.code, **told) from None
            if error.code not in _OF_THE_THEME:
                raise
            word, near = nearest(request.theme)
            if near:
                raise MistypedError("theme_near", word=word, names=", ".join(near)) from None
            if not _LATIN.search(request.theme):
                raise
            # To who writes English, neither a count of characters nor which of them are not Chinese says anything.
            if len(request.theme.split()) > _MAX_WORDS:
                raise BotError("theme_sentence") from None
            raise MistypedError("theme_unknown", theme=shortened(request.theme, _MAX_THEME_TOLD)) from None

    def knows_theme(self, typed: str) -> bool:
        """Whether a theme, as it is typed, is one that the poet can write on."""
        return self._writes_on(self.theme(typed))

    def _writes_on(self, theme: str) -> bool:
        try:
            self.inference.poet.check(PoemRequest(theme=theme))
        except RequestError:
            return False
        return True

    def theme(self, typed: str) -> str:
        """The theme that is meant by what a person typed: Chinese as it stands, else what it names.

        Many a Chinese word is the Japanese name of another theme: 空 is the sky there.
        """
        typed = _cleaned(typed)
        return typed if self._writes_on(typed) else meant(typed)

    async def begin(self, asker: Asker, wish: Wish) -> Composing:
        """Check a request and queue it.

        Raises:
            RequestError: It cannot be written.
            BotError: This person may not now, or not here; the queue is full; the bot is stopping.
        """
        typed = [_cleaned(piece) for piece in (wish.theme, wish.acrostic, wish.first_line, wish.rhyme)]
        theme = self.theme(typed[0])  # a word on the list may have been typed in another language
        self.refuse_words(asker, [*typed, theme], acrostic=typed[1])
        form = form_named(wish.form) if wish.form else _fitting(typed[1], typed[2])
        request = PoemRequest(form, theme, typed[1], typed[2], typed[3], wish.seed)
        request = self.checked(request, self.script_for(asker))
        version = None if wish.seed is None else await self.store.poems.version_of(request, asker.guild_id)
        return await self._compose(asker, request, wish.script or self.script_for(asker), version)

    async def again(self, asker: Asker, poem_id: int, how: Literal["another", "vary"]) -> Composing:
        """The same request with a new seed, or poems near one.

        Raises:
            BotError: As `begin` does, or the poem is gone.
        """
        poem = await self.get(asker, poem_id)
        # A word may have come onto the list since.
        self.refuse_words(asker, (poem.theme, poem.first_line), poem.acrostic)
        if how == "another":
            return await self._compose(asker, poem.request, poem.script, None)
        # To another version the seed is another poem.
        return await self._compose(asker, replace(poem.request, vary=poem.seed), poem.script, poem.version)

    async def daily(self, form: str | None, setting: Setting) -> StoredPoem:
        """A poem that nobody asked for."""
        request = self.inference.poet.check(PoemRequest(form=form_named(form or DEFAULT_FORM.name)))
        version = await self.voices.current(setting.guild_id)
        answer = self.inference.submit(request, version)
        async with Composing(self, request, setting, version, answer, None) as composing:
            return await composing.poem()

    async def _compose(self, asker: Asker, request: PoemRequest, script: Script, version: str | None) -> Composing:
        if self.inference.closing:
            raise ClosingError
        ranked = request.seed is not None or self._chance() >= UNRANKED_SHARE
        if not ranked:
            request = replace(request, candidates=1)
        setting = Setting(
            requester_id=asker.user_id,
            guild_id=asker.guild_id,
            channel_id=asker.channel_id,
            script=script,
            language=asker.home_language,
            ranked=ranked,
            vote_buttons=not asker.can_react,
        )
        taken = await self._take(asker)
        try:
            version = version or await self.voices.current(asker.guild_id)
            answer = self.inference.submit(request, version)
        except BaseException:
            await self.release(asker.user_id, taken)
            raise
        self.metrics.poems.inc()
        return Composing(self, request, setting, version, answer, taken)

    async def _take(self, asker: Asker) -> Taken | None:
        """Let a person in: at this place, one at a time, within cooldown and quota.

        Raises:
            BotError: Not now, or not here.
        """
        choices = self.store.servers.of(asker.guild_id)
        if choices.channels and not asker.places & set(choices.channels):
            raise BotError("not_here", channels=" ".join(f"<#{channel}>" for channel in choices.channels))
        if asker.user_id in self._asking:
            raise BotError("one_at_a_time")
        if asker.user_id == CONSOLE:
            return None
        quota = self.limits.quota if choices.quota is None else choices.quota
        cooldown = self.limits.cooldown if choices.cooldown is None else choices.cooldown
        if not quota:
            raise BotError("no_poems")
        self._asking.add(asker.user_id)
        try:
            return await self.store.usage.take(asker.user_id, asker.guild_id, quota, cooldown * 1000)
        except BaseException:
            self._asking.discard(asker.user_id)
            raise

    async def release(self, user_id: int, give_back: Taken | None) -> None:
        """A person's request has ended; `give_back` if it failed."""
        self._asking.discard(user_id)
        if give_back is not None:
            await self.store.usage.give_back(give_back)

    @asynccontextmanager
    async def counted(self, asker: Asker) -> AsyncIterator[None]:
        """What runs within is one of a person's poems; if it fails, it is given back."""
        taken = await self._take(asker)
        try:
            yield
        except BaseException:
            await self.release(asker.user_id, taken)
            raise
        await self.release(asker.user_id, None)

    async def get(self, asker: Asker, poem_id: int) -> StoredPoem:
        """A poem that may be shown.

        Raises:
            BotError: It was deleted or hidden, or is a poem of somewhere else.
        """
        poem = await self.store.poems.get(poem_id)
        if poem is None or poem.hidden:
            raise BotError("poem_gone")
        # A poem without a server is for the channel that it was asked for in, which may be two people's own.
        elsewhere = poem.channel_id != asker.channel_id if poem.guild_id is None else poem.guild_id != asker.guild_id
        if elsewhere:
            raise BotError("poem_gone")
        return poem

    async def note_message(self, poem_id: int, message_id: int) -> None:
        """A poem is now shown in a message; votes on that message count for it."""
        await self.store.poems.note_message(poem_id, message_id)

    async def messages_deleted(self, message_ids: list[int]) -> None:
        """Messages are gone, and the poems they showed with them."""
        await self.store.poems.delete_shown_by(message_ids)

    async def delete(self, asker: Asker, poem: StoredPoem, *, asked_here: bool = False) -> None:
        """Forget a poem for its requester or a moderator.

        Args:
            asker: Who wants it gone.
            poem: Which.
            asked_here: Whether it is known otherwise that the asker asked for it.

        Raises:
            BotError: The asker is neither.
        """
        if not (asked_here or asker.user_id == poem.requester_id or asker.moderator or asker.owner):
            raise BotError("not_yours")
        await self.store.poems.delete(poem.id)

    async def report(self, asker: Asker, poem: StoredPoem) -> tuple[int, bool]:
        """Keep a report; returns how many there are and whether the poem is to be hidden now.

        Raises:
            BotError: It was deleted meanwhile.
        """
        count = await self.store.votes.report(poem.id, asker.user_id)
        if count is None:
            raise BotError("poem_gone")
        hide = count >= REPORTS_TO_HIDE and not poem.hidden
        if hide:
            await self.store.poems.hide(poem.id)
        return count, hide

    async def close(self) -> None:
        """Begin nothing new, and let what is being composed be finished."""
        await self.inference.close()
