"""The real discord.py in a simulated Discord: /poem, its buttons, reactions, restarts, and what goes wrong."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import discord
import pytest
import simcord
from discord.ext import commands

from bot.asker import Asker
from bot.client import PoetBot
from bot.cogs.catchup import CatchUpCog
from bot.errors import BotError, ClosingError
from bot.inference import Inference
from bot.logs import errors_counted
from bot.poems import Limits, Poems, Wish
from bot.reading import dictionary
from bot.services import Services
from bot.store import Store
from bot.store.poems import StoredPoem
from poetgen.errors import RequestError
from poetgen.poem import Composition, PoemRequest
from tests.bot.conftest import LINES, FakePoet, FakeRegistry, Rows, Trainer, services_on, until
from tests.bot.discord_place import Place, buttons, hold_to_the_limits, labels

POEM = "**秋夜**\n一道残阳铺水中，半江瑟瑟半江红。\n可怜九月初三夜，露似真珠月似弓。\n"


@pytest.fixture
def place(simcord_env: simcord.Env) -> Iterator[Place]:
    yield Place(simcord_env)
    hold_to_the_limits(simcord_env)


async def test_poem_is_acknowledged_kept_and_shown(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    result = await place.alice.slash(place.channel, "poem", form="qijue", theme="秋夜", seed=5)

    callbacks = [request.json for request in simcord_env.http_requests if request.path.endswith("/callback")]
    assert [callback["type"] for callback in callbacks if callback] == [5], "deferred at once"
    assert not result.ephemeral
    message = result.response
    assert message is not None
    assert message.content == POEM + "-# seven-character quatrain 七绝 · rhyme 东 dōng · seed 5"
    query = "SELECT message_id, requester_id, guild_id, channel_id, form, theme, seed, version, text FROM poems"
    text = "一道殘陽鋪水中\n半江瑟瑟半江紅\n可憐九月初三夜\n露似真珠月似弓"
    ids = (message.id, place.alice.id, place.guild.id, place.channel.id)
    assert rows(query) == [(*ids, "qijue", "秋夜", 5, "fake-1", text)]


async def test_buttons_are_in_one_row_and_labelled(place: Place, services: Services) -> None:
    result = await place.alice.slash(place.channel, "poem")
    cards = ["Card"] if services.cards.available else []
    assert labels(result.response) == ["Another", "Vary", "Read", *cards, "Info"]
    assert result.response is not None
    assert len(result.response.message.components) == 1


async def test_everything_may_be_left_out(place: Place, rows: Rows) -> None:
    message = await place.poem()
    assert message.content.startswith("**残阳**\n")
    assert rows("SELECT form, theme FROM poems") == [("qijue", "")]


async def test_all_that_was_asked_for_reaches_the_poet_and_is_kept(place: Place, poet: FakePoet, rows: Rows) -> None:
    message = await place.poem(
        form="wulv", theme="Autumn Moon", acrostic="春江", first_line="春眠不覺曉", rhyme="東", script="traditional"
    )
    assert "一道殘陽鋪水中" in message.content
    [[request]] = poet.batches
    assert (request.form.name, request.theme, request.acrostic) == ("wulv", "秋月", "春江")
    assert (request.first_line, request.rhyme) == ("春眠不覺曉", "東")
    query = "SELECT theme, acrostic, first_line, asked_rhyme, script FROM poems"
    assert rows(query) == [("秋月", "春江", "春眠不覺曉", "東", "traditional")]


async def test_themes_are_suggested_in_several_languages(place: Place) -> None:
    found = await place.alice.autocomplete(place.channel, "poem", "theme", "autumn m")
    assert found[0] == {"name": "秋月 autumn moon", "value": "秋月"}
    found = await place.alice.autocomplete(place.channel, "poem", "theme", "봄비")
    assert found[0]["value"] == "春雨"
    found = await place.alice.autocomplete(place.channel, "poem", "theme", "mooon")
    assert [choice["value"] for choice in found] == ["月"], "what is near"
    for typed, values in (
        ("自家題", ["自家題"]),
        ("moon and flowers", ["moon and flowers"]),
        ("pizza", []),
        ("夜" * 21, []),
    ):
        found = await place.alice.autocomplete(place.channel, "poem", "theme", typed)
        assert [choice["value"] for choice in found] == values, "only what will not be refused"
    found = await place.alice.autocomplete(place.channel, "poem", "rhyme", "东")
    assert found == [{"name": "东 dōng", "value": "東"}]
    found = await place.alice.autocomplete(place.channel, "poem", "rhyme", "Dong")
    assert [choice["value"] for choice in found] == ["東", "冬"], "for who cannot type Chinese"


async def test_failed_suggestions_are_logged_without_the_person_and_late_ones_mildly(
    simcord_env: simcord.Env, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[int] = []
    with errors_counted(lambda: errors.append(1)), caplog.at_level(logging.WARNING):
        simcord_env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
        await place.alice.autocomplete(place.channel, "poem", "theme", "moon")
        [late] = caplog.records
        assert (late.levelname, late.exc_info, errors) == ("WARNING", None, [])
        monkeypatch.setattr("bot.cogs.poem.suggestions", None)
        await place.alice.autocomplete(place.channel, "poem", "theme", "moon")
    failed = caplog.records[1]
    assert (failed.levelname, failed.exc_info is None, errors) == ("ERROR", False, [1])
    assert caplog.text.count("suggestions for 'poem' could not be made") == 2
    assert str(place.alice.id) not in caplog.text


async def test_direct_message_has_vote_buttons(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    await place.alice.user.send_dm("hello")
    result = await place.alice.user.slash("poem", theme="秋夜")
    assert result.response is not None
    assert "秋夜" in result.response.content
    assert labels(result.response)[-2:] == ["0", "0"]
    assert rows("SELECT guild_id, requester_id FROM poems") == [(None, place.alice.id)]
    [up] = [button.custom_id for button in buttons(result.response) if str(button.emoji) == "👍"]
    await place.alice.user.click(result.response, custom_id=up)
    assert rows("SELECT value, weight FROM votes") == [(1, 0)], "the requester's own vote weighs nothing"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"theme": "夜" * 500}, "The theme has 500 characters; 20 are the most."),
        ({"theme": "🍂"}, "does not know: 🍂"),
        ({"theme": "mooon"}, "“mooon”: did you mean moon?"),
        ({"theme": "mooon, flowers and wine"}, "“mooon”: did you mean moon?"),
        ({"theme": "*pizza*"}, r"I don't know the theme “\*pizza\*”. Try moon"),
        ({"theme": "I miss the smell of rain at my grandmother's"}, "That is more than I can read."),
        ({"theme": "**@everyone**"}, r"the theme “\*\*@everyone\*\*”"),
        ({"seed": -1}, "A seed is a number from 0"),
    ],
)
async def test_bad_input_is_refused_privately(
    simcord_env: simcord.Env, place: Place, rows: Rows, options: dict[str, object], said: str
) -> None:
    result = await place.alice.slash(place.channel, "poem", **options)

    assert result.ephemeral
    assert result.response is not None
    assert said in result.response.content
    assert rows("SELECT id FROM poems") == []
    assert rows("SELECT used FROM usage") == [], "nothing of the quota is gone"
    assert [isinstance(error.__cause__, (RequestError, BotError)) for error in simcord_env.errors] == [True]


@pytest.mark.parametrize(
    ("typed", "theme"), [("空", "空"), ("道", "道"), ("秋の月", "秋月"), ("いのち", "生"), ("送别", "送別")]
)
async def test_theme_in_chinese_stands_as_typed_and_one_in_kana_is_known_by_its_name(
    place: Place, rows: Rows, typed: str, theme: str
) -> None:
    await place.poem(theme=typed)
    assert rows("SELECT theme FROM poems") == [(theme,)]


async def test_theme_is_cleaned_of_what_cannot_be_seen(place: Place, rows: Rows) -> None:
    await place.poem(theme="\u202e秋\u200b夜\x07 ")
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_nobody_can_be_mentioned(simcord_env: simcord.Env, place: Place) -> None:
    await place.poem(theme="秋夜")
    assert [body["allowed_mentions"] for body in place.bodies("PATCH")] == [{"parse": []}]


async def test_bot_puts_both_reactions_and_does_not_count_them(place: Place, rows: Rows) -> None:
    await place.poem()
    shown = place.channel.last_message
    assert shown is not None
    assert [(str(reaction.emoji), reaction.count) for reaction in shown.reactions] == [("👍", 1), ("👎", 1)]
    assert rows.votes() == []


async def test_poem_of_a_direct_message_is_shown_there_only(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    message = await place.poem(theme="秋夜")
    rows.run("UPDATE poems SET guild_id = NULL, channel_id = 4242, theme = '春'")
    info = await place.bob.click(message, label="Info")
    assert info.response is not None
    assert "not there any more" in info.response.content
    simcord_env.errors.clear()


async def test_where_reacting_is_refused_buttons_take_its_place(
    simcord_env: simcord.Env, place: Place, rows: Rows
) -> None:
    simcord_env.inject_error("PUT", "/channels/*/reactions/*", status=403, code=50013, times=None)
    message = await place.poem(theme="秋夜")
    await simcord_env.settle()
    shown = place.channel.last_message
    assert shown is not None
    assert "秋夜" in message.content
    up, down = buttons(shown)[-2:]
    assert [up.label, down.label] == ["0", "0"]

    await place.bob.click(shown, custom_id=up.custom_id)
    assert rows.votes() == [(1, place.bob.id, 1)]
    counted = place.channel.last_message
    assert counted is not None
    assert labels(counted)[-2:] == ["1", "0"]
    await place.bob.click(counted, custom_id=down.custom_id)
    assert rows.votes() == [(1, place.bob.id, -1)]
    await place.bob.click(counted, custom_id=down.custom_id)
    assert rows.votes() == [], "pressed again, it is taken back"


async def takes_a_vote(place: Place, rows: Rows, shown: Any) -> None:
    """Its last two buttons are for votes that nobody has cast yet, and a press on one of them counts."""
    up, down = buttons(shown)[-2:]
    assert [up.label, down.label] == ["0", "0"]
    await place.bob.click(shown, custom_id=up.custom_id)
    assert rows.votes() == [(1, place.bob.id, 1)]


async def test_where_the_bot_may_not_look_vote_buttons_are_there_from_the_start(place: Place, rows: Rows) -> None:
    hidden = place.hidden(place.alice, place.bob)
    shown = (await place.alice.slash(hidden, "poem")).response
    assert shown is not None
    await takes_a_vote(place, rows, shown)


async def test_vote_buttons_come_even_where_the_bot_may_change_no_message(
    simcord_env: simcord.Env, place: Place, rows: Rows
) -> None:
    for method, path in (("PUT", "/channels/*/reactions/*"), ("PATCH", "/channels/*/messages/*")):
        simcord_env.inject_error(method, path, status=403, code=50001, times=None)
    await place.poem()
    await simcord_env.settle()
    shown = place.channel.last_message
    assert shown is not None
    await takes_a_vote(place, rows, shown)


async def test_a_press_is_kept_though_discord_does_not_show_it(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.alice.user.send_dm("hello")
    shown = (await place.alice.user.slash("poem")).response
    assert shown is not None
    [up] = [button.custom_id for button in buttons(shown) if str(button.emoji) == "👍"]

    async def refuse(*_: object, **__: object) -> None:
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(discord.InteractionResponse, "edit_message", refuse)
    await place.alice.user.click(shown, custom_id=up)
    assert rows("SELECT value FROM votes") == [(1,)]
    assert rows("SELECT id FROM retries") == [], "trying again would take the vote back"


async def test_one_vote_per_member_the_last_one_counts_and_can_be_taken_back(place: Place, rows: Rows) -> None:
    message = await place.poem()
    await place.alice.react(message, "👍")
    await place.bob.react(message, "👎🏿")
    assert rows.votes() == sorted([(1, place.alice.id, 1), (1, place.bob.id, -1)])

    await place.alice.react(message, "👎")
    assert rows.votes() == sorted([(1, place.alice.id, -1), (1, place.bob.id, -1)])

    await place.alice.unreact(message, "👍")
    assert (1, place.alice.id, -1) in rows.votes(), "the vote taken back was not the one that counted"

    await place.alice.unreact(message, "👎")
    assert rows.votes() == [(1, place.bob.id, -1)]

    await place.alice.react(message, "👍")
    await place.alice.react(message, "👎")
    await place.alice.unreact(message, "👎")
    assert (1, place.alice.id, 1) in rows.votes(), "the other one stands, and counts again"


async def test_other_reactions_and_other_messages_are_no_votes(place: Place, rows: Rows) -> None:
    message = await place.poem()
    chat = await place.bob.send(place.channel, "good morning")
    await place.alice.react(message, "🍂")
    await place.alice.react(chat, "👍")
    await place.alice.unreact(chat, "👍")
    assert rows.votes() == []


async def test_cleared_reactions_and_deleted_messages_are_noticed(
    simcord_env: simcord.Env, place: Place, rows: Rows
) -> None:
    message = await place.poem()
    await place.alice.react(message, "👍")
    await place.bob.react(message, "👎")
    simcord_env.backend.clear_reaction(place.channel.id, message.id, "👍")
    await simcord_env.settle()
    assert rows.votes() == [(1, place.bob.id, -1)]
    simcord_env.backend.clear_reactions(place.channel.id, message.id)
    await simcord_env.settle()
    assert rows.votes() == []
    others = [(await place.poem()).id for _ in range(2)]
    await place.admin.delete(message)
    assert rows("SELECT id FROM poems") == [(2,), (3,)]
    simcord_env.backend.bulk_delete_messages(place.channel.id, others)
    await simcord_env.settle()
    assert rows("SELECT id FROM poems") == []


async def test_another_asks_the_same_and_vary_stays_near(place: Place, poet: FakePoet, rows: Rows) -> None:
    first = await place.alice.slash(place.channel, "poem", theme="秋夜", form="wujue")
    assert first.response is not None
    another = await place.bob.click(first.response, label="Another")
    assert another.response is not None
    assert "秋夜" in another.response.content
    varied = await place.bob.click(first.response, label="Vary")
    assert varied.response is not None
    requests = [batch[0] for batch in poet.batches]
    assert [(request.theme, request.form.name, request.seed) for request in requests] == [("秋夜", "wujue", None)] * 3
    assert [request.vary for request in requests] == [None, None, 7]
    assert rows("SELECT requester_id FROM poems") == [(place.alice.id,), (place.bob.id,), (place.bob.id,)]


async def test_listed_words_stand_in_no_poem(
    simcord_env: simcord.Env, place: Place, services: Services, poet: FakePoet, registry: FakeRegistry, rows: Rows
) -> None:
    message = await place.poem(theme="秋夜")
    registry.add("fake-2", None)

    async def refused(words: str, who: Any) -> int:
        """How many poems were composed before none was shown."""
        await services.store.servers.choose(place.guild.id, lambda chosen: replace(chosen, words=(words,)))
        poet.batches.clear()
        result = await who
        assert "is on the list here" in result.response.content
        simcord_env.errors.clear()
        return len(poet.batches)

    assert await refused("可怜", place.bob.slash(place.channel, "poem")) == 3, "in a line"
    assert await refused("露可半", place.bob.slash(place.channel, "poem", seed=5)) == 1, "by the heads, backwards"
    assert await refused("初三", place.bob.slash(place.channel, "voice compare", theme="秋夜")) == 3
    assert await refused("秋夜", place.bob.click(message, label="Another")) == 0, "asked for before it was listed"
    assert await refused("秋夜", place.bob.slash(place.channel, "poem", theme="autumn night")) == 0, "in English"
    assert await refused("秋夜", place.bob.slash(place.channel, "voice compare", theme="秋夜")) == 0
    assert rows("SELECT id FROM poems") == [(1,)]
    assert rows("SELECT sum(used) FROM usage") == [(1,)], "given back"


async def test_comparison_tries_again_when_a_poem_holds_a_listed_word(
    place: Place, services: Services, registry: FakeRegistry, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.add("fake-2", None)
    await services.store.servers.choose(place.guild.id, lambda chosen: replace(chosen, words=("初三",)))
    compose = FakePoet.compose

    def compose_other_lines_later(self: FakePoet, requests: Sequence[PoemRequest]) -> list[Composition]:
        compositions = compose(self, requests)
        self.lines = LINES[:2] * 2
        return compositions

    monkeypatch.setattr(FakePoet, "compose", compose_other_lines_later)
    result = await place.bob.slash(place.channel, "voice compare", theme="秋夜")
    assert labels(result.response) == ["1", "2"]
    assert rows("SELECT version FROM poems ORDER BY version") == [("fake-1",), ("fake-2",)]
    assert rows("SELECT id FROM poems WHERE text LIKE '%初三%'") == []


async def test_read_shows_pinyin_and_meanings_privately(place: Place) -> None:
    dictionary()  # read once, which on a busy machine takes longer than the simulated Discord waits
    first = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert first.response is not None
    read = await place.bob.click(first.response, label="Read")
    assert read.ephemeral
    assert read.response is not None
    assert "yī dào cán yáng" in read.response.content
    assert "half" in read.response.content
    assert len(read.response.content) <= 2000


async def test_many_who_read_at_once_hold_up_no_poem(
    place: Place, simcord_bot: PoetBot, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.poem()
    free, threads = threading.Event(), list[threading.Thread]()

    def slow(*_: object) -> str:
        threads.append(threading.current_thread())
        free.wait(10)
        return "read"

    async def bob(_: object) -> Asker:
        return Asker(place.bob.id, place.guild.id)

    async def nothing(*_: object, **__: object) -> None: ...

    monkeypatch.setattr("bot.cogs.poem.reading", slow)
    for name, stub in (("asker", bob), ("think", nothing), ("answer", nothing)):
        monkeypatch.setattr(simcord_bot.replies, name, stub)
    read: Any = simcord_bot._press_handlers["read"]  # the simulated Discord presses one button after the other
    presses = [asyncio.create_task(read(None, "1")) for _ in range(40)]
    await until(lambda: bool(threads))
    await asyncio.sleep(0.1)
    assert len(threads) == 1, "one after the other, so that the dictionary is read once"
    assert await asyncio.wait_for(services.voices.current(None), 2) == "fake-1"
    free.set()
    await asyncio.gather(*presses)


async def test_info_replays_and_names_the_version_after_the_vote(place: Place) -> None:
    first = await place.alice.slash(place.channel, "poem", theme="秋夜", form="wujue", seed=9)
    assert first.response is not None
    info = await place.bob.click(first.response, label="Info")
    assert info.ephemeral
    assert info.response is not None
    assert "一○ 道● 残○" in info.response.content
    assert "`/poem form:wujue theme:秋夜 seed:9 script:simplified`" in info.response.content
    assert "62 of 100" in info.response.content
    assert "lines: 1" in info.response.content
    assert "fake-1" not in info.response.content
    await place.bob.react(first.response, "👎")
    info = await place.bob.click(first.response, label="Info")
    assert info.response is not None
    assert "`fake-1`" in info.response.content


async def test_card_is_a_picture_with_alt_text_light_and_dark(place: Place, services: Services) -> None:
    if not services.cards.available:
        pytest.skip("no font with Chinese characters is installed")
    first = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert first.response is not None
    card = await place.bob.click(first.response, label="Card")
    assert card.response is not None
    assert not card.ephemeral
    [attachment] = card.response.attachments
    assert attachment.filename == "poem-1-light.png"
    assert attachment.description is not None
    assert "一道残阳铺水中" in attachment.description
    await place.alice.click(card.response, label="Dark")
    shown = place.channel.last_message
    assert shown is not None
    assert [a.filename for a in shown.attachments] == ["poem-1-dark.png"]


async def test_replay_uses_the_version_that_wrote_the_poem(
    place: Place, poet: FakePoet, registry: FakeRegistry, rows: Rows
) -> None:
    await place.poem(theme="秋夜", seed=5)
    registry.add("fake-2", None)
    registry.promote("fake-2")
    await place.poem(theme="秋夜", seed=5)
    await place.poem(theme="春", seed=5)
    assert rows("SELECT version FROM poems") == [("fake-1",), ("fake-1",), ("fake-2",)]
    [first, *_] = sorted(place.channel.history(), key=lambda message: message.id)
    await place.bob.click(first, label="Vary")
    await place.bob.click(first, label="Another")
    assert rows("SELECT version FROM poems WHERE id > 3") == [("fake-1",), ("fake-2",)], "near the poem as it was"
    rows.run("UPDATE poems SET version = 'gone-1' WHERE id <= 2")
    result = await place.alice.slash(place.channel, "poem", theme="秋夜", seed=5)
    assert result.response is not None
    assert "The version gone-1 cannot be loaded: it is gone or damaged" in result.response.content
    place.env.errors.clear()


async def test_old_buttons_and_reactions_work_after_a_restart(
    simcord_env: simcord.Env, place: Place, services: Services, inference: Inference, url: str, rows: Rows,
    registry: FakeRegistry, trainer: Trainer,
) -> None:  # fmt: skip
    first = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert first.response is not None
    await place.alice.react(first.response, "👍")
    registered = _sync_count(simcord_env)
    await services.store.close()

    async with await Store.open(url) as reopened:
        await simcord_env.restart_bot(PoetBot(services_on(reopened, inference, registry, trainer)))
        await place.bob.react(first.response, "👍")
        await place.alice.unreact(first.response, "👍")
        assert rows.votes() == [(1, place.bob.id, 1)]
        again = await place.bob.click(first.response, label="Another")
        assert again.response is not None
        assert "秋夜" in again.response.content
        info = await place.bob.click(first.response, label="Info")
        assert info.ephemeral
        await simcord_env.restart_bot(PoetBot(services_on(reopened, inference, registry, trainer)))
    assert _sync_count(simcord_env) == registered, "commands are registered only when they changed"


async def test_owners_commands_come_with_the_invitation_and_go_with_the_setting(
    simcord_env: simcord.Env, services: Services, caplog: pytest.LogCaptureFixture, rows: Rows
) -> None:
    def told() -> list[Any]:
        sent = [request for request in simcord_env.http_requests if request.path.endswith("/guilds/4242/commands")]
        return [[command["name"] for command in request.json or []] for request in sent]

    simcord_env.inject_error("PUT", "/applications/*/guilds/4242/commands", status=403, code=50001)
    bot = PoetBot(replace(services, owner_guild_id=4242))
    await simcord_env.restart_bot(bot)
    assert "the commands of the owner's server 4242 could not be registered" in caplog.text
    await bot.on_guild_join(SimpleNamespace(id=4243))  # type: ignore[arg-type]
    assert told() == [["owner"]]
    await bot.on_guild_join(SimpleNamespace(id=4242))  # type: ignore[arg-type]
    assert told() == [["owner"]] * 2
    assert rows("SELECT count(*) FROM meta WHERE key = 'commands_hash:4242'") == [(1,)]
    await bot.on_guild_join(SimpleNamespace(id=4242))  # type: ignore[arg-type]
    assert told() == [["owner"]] * 3, "it was removed and invited again, and Discord had forgotten them"
    await simcord_env.restart_bot(PoetBot(replace(services, owner_guild_id=None)))
    assert told()[3:] == [[]]
    assert rows("SELECT count(*) FROM meta WHERE key = 'commands_hash:4242'") == [(0,)]


async def test_reactions_while_away_are_counted_at_the_start(
    simcord_env: simcord.Env, place: Place, services: Services, inference: Inference, registry: FakeRegistry,
    trainer: Trainer, rows: Rows,
) -> None:  # fmt: skip
    message = await place.poem()
    await place.bob.react(message, "👎")
    carol = place.guild.add_member(simcord_env.create_user("carol"))
    dave = place.guild.add_member(simcord_env.create_user("dave"))
    for member, emoji in ((carol, "👍"), (carol, "👎"), (dave, "👍🏽"), (dave, "👎")):
        await member.react(message, emoji)
    # What the bot would know if it had seen only a vote of carol's, and one of somebody who took it back since.
    rows.run("DELETE FROM votes")
    rows.run(f"INSERT INTO votes VALUES (1, {carol.id}, -1, 0, 1, 0), (1, 4242, 1, 0, 1, 0)")

    bot = PoetBot(services_on(services.store, inference, registry, trainer))
    await simcord_env.restart_bot(bot)
    cog = bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await cog.catch_up()
    expected = [(1, place.bob.id, -1), (1, carol.id, -1)]
    assert rows.votes() == sorted(expected), "both: the stored vote or none; away: counted; gone: taken back"
    await carol.unreact(message, "👎")
    assert (1, carol.id, 1) in rows.votes(), "what stands under the poem counts"


async def test_super_reactions_count_at_the_start_too(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, services: Services, rows: Rows,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await place.poem()
    await simcord_env.settle()
    for voter in (place.alice.id, place.bob.id):
        await services.store.votes.cast(1, voter, 1)

    class Reaction:  # the simulated Discord has no super reactions
        emoji, count, me, burst_count = "👍", 3, True, 1

        async def users(self, *, limit: int, type: discord.ReactionType) -> AsyncIterator[Any]:  # noqa: A002
            burst = type is discord.ReactionType.burst
            yield SimpleNamespace(id=place.bob.id if burst else place.alice.id, bot=False)

    async def fetch_message(_: int) -> Any:
        return SimpleNamespace(reactions=[Reaction()])

    monkeypatch.setattr(simcord_bot, "get_partial_messageable", lambda *_, **__: SimpleNamespace(
        fetch_message=fetch_message))  # fmt: skip
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await cog.catch_up()
    assert rows.votes() == sorted([(1, place.alice.id, 1), (1, place.bob.id, 1)])


async def test_session_begun_anew_catches_up_and_one_failure_does_not_end_it(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for message in (await place.poem(), await place.poem()):
        await place.bob.react(message, "👍")
    rows.run("DELETE FROM votes")
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    count, failures = CatchUpCog._count, [aiohttp.ServerDisconnectedError()]

    async def failing_once(self: CatchUpCog, poem: StoredPoem) -> int:
        if failures:
            raise failures.pop()
        return await count(self, poem)

    monkeypatch.setattr(CatchUpCog, "_count", failing_once)
    simcord_bot.dispatch("ready")
    await until(lambda: len(rows.votes()) == 1)
    simcord_bot.dispatch("ready")
    await until(lambda: len(rows.votes()) == 2)
    await until(lambda: cog._live is None)
    await place.alice.react(message, "👍")
    assert cog._live is None, "nobody is remembered once all is read"


async def test_what_is_read_of_the_past_undoes_no_vote(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    robot = place.guild.add_member(simcord_env.create_user("robot", bot=True))
    many, pressed, quick, plain = [await place.poem() for _ in range(4)]
    for message in (many, quick, plain):
        for member in (robot, place.alice, place.bob):
            await member.react(message, "👍")
    robots = [row for row in rows.votes() if row[1] == robot.id]
    assert robots == [], "bots have no votes"
    rows.run("DELETE FROM votes")
    rows.run(f"INSERT INTO votes VALUES (1, 77, 1, 0, 1, 0), (2, {place.bob.id}, 1, 0, 1, 0)")
    rows.run(f"UPDATE poems SET vote_buttons = 1 WHERE message_id = {pressed.id}")
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await place.admin.react(many, "👍")
    rows.run(f"DELETE FROM votes WHERE voter_id = {place.admin.id}")
    monkeypatch.setattr("bot.cogs.catchup._MAX_USERS", 4)
    async with cog._catching_up:
        simcord_bot.dispatch("ready")
        await place.bob.unreact(quick, "👍")
        await place.bob.react(quick, "👍")
        rows.run(f"DELETE FROM votes WHERE poem_id = 3 AND voter_id = {place.bob.id}")
    await until(lambda: cog._live is None)
    assert rows.votes() == sorted(
        [(1, 77, 1), (2, place.bob.id, 1), (3, place.alice.id, 1), (4, place.alice.id, 1), (4, place.bob.id, 1)]
    ), "more than are read; pressed; who voted meanwhile as he is; all"


@pytest.mark.parametrize(("code", "away"), [(10004, False), (10003, True)])
async def test_poem_that_is_not_known_to_be_deleted_stays(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, code: int, away: bool
) -> None:
    await place.poem()
    guild, cog = simcord_bot.get_guild(place.guild.id), simcord_bot.get_cog("CatchUpCog")
    assert guild is not None
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    guild.unavailable = away
    simcord_env.inject_error("GET", "/channels/*/messages/*", status=404, code=code, times=None)
    await cog.catch_up()
    assert rows("SELECT id FROM poems") == [(1,)]


async def test_server_that_removes_the_bot_or_invites_it_again_is_noted(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows
) -> None:
    guild, left = simcord_bot.get_guild(place.guild.id), "SELECT guild_id, left_at IS NOT NULL FROM servers"
    simcord_env.backend.remove_guild(place.guild.id)
    await until(lambda: rows(left) == [(place.guild.id, 1)])
    simcord_bot.dispatch("guild_join", guild)
    await until(lambda: rows(left) == [(place.guild.id, 0)])


async def test_deleted_thread_takes_its_poems_along(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    simcord_env.backend.create_thread(place.channel.id, "thread", place.alice.id)
    [thread] = place.channel.threads
    for channel in (thread, place.channel):
        await place.alice.slash(channel, "poem")
    simcord_env.backend.delete_channel(thread.id)
    await simcord_env.settle()
    assert rows("SELECT channel_id FROM poems") == [(place.channel.id,)]


async def test_a_tenth_is_drawn_without_a_choice_but_never_what_is_replayed(
    place: Place, poems: Poems, poet: FakePoet, rows: Rows
) -> None:
    for drawn in (0.09, 0.1):
        poems._chance = lambda drawn=drawn: drawn  # type: ignore[misc]
        await place.poem(theme="秋夜")
        await place.poem(theme="秋夜", seed=5)
    assert rows("SELECT ranked FROM poems") == [(0,), (1,), (1,), (1,)]
    assert [batch[0].candidates == 1 for batch in poet.batches] == [True, False, False, False]


async def test_server_may_choose_no_cooldown(
    store: Store, inference: Inference, registry: FakeRegistry, trainer: Trainer
) -> None:
    poems = services_on(store, inference, registry, trainer, Limits(cooldown=60)).poems
    await store.servers.choose(5, lambda chosen: replace(chosen, cooldown=0))
    for _ in range(2):
        async with await poems.begin(Asker(1, guild_id=5), Wish()) as composing:
            await composing.poem()
    async with await poems.begin(Asker(1, guild_id=6), Wish()):
        pass
    with pytest.raises(BotError, match="Please wait"):
        await poems.begin(Asker(1, guild_id=6), Wish())


async def test_deleted_channel_takes_its_poems_along(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    await place.poem()
    other = place.guild.create_text_channel("other")
    await place.alice.slash(other, "poem")
    simcord_env.backend.delete_channel(other.id)
    await simcord_env.settle()
    assert rows("SELECT channel_id FROM poems") == [(place.channel.id,)]


async def test_deleted_channel_is_chosen_for_nothing_any_more(
    simcord_env: simcord.Env, place: Place, services: Services, rows: Rows
) -> None:
    other = place.guild.create_text_channel("other")
    for channel in (other, place.channel):
        await place.admin.slash(place.channel, "settings channel", channel=channel)
    await place.admin.slash(place.channel, "settings reports", channel=other)
    await place.admin.slash(place.channel, "daily set", channel=other, time="08:30")
    simcord_env.backend.delete_channel(other.id)
    await simcord_env.settle()
    chosen = "SELECT channels, reports_channel_id FROM servers"
    assert rows(chosen) == [(str(place.channel.id), None)]
    assert rows("SELECT * FROM dailies") == []
    simcord_env.backend.delete_channel(place.channel.id)
    await simcord_env.settle()
    assert rows(chosen) == [(str(place.channel.id), None)], "with none left, poems would be allowed everywhere"
    assert services.store.servers.of(place.guild.id).channels == (place.channel.id,)


async def test_archived_threads_of_a_deleted_channel_take_their_poems_along(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows
) -> None:
    cog, backend = simcord_bot.get_cog("CatchUpCog"), simcord_env.backend
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    other = place.guild.create_text_channel("other")
    for channel in (place.channel, other):
        backend.create_thread(channel.id, "thread", place.alice.id)
        [thread] = channel.threads
        await place.alice.slash(thread, "poem")
        backend.edit_channel(thread.id, {}, thread_metadata={"archived": True})
    await simcord_env.settle()
    del backend.channels[thread.id]  # with its channel, as on Discord, and without a word
    backend.delete_channel(other.id)
    await simcord_env.settle()
    assert rows("SELECT channel_id FROM poems") == [(place.channel.threads[0].id,)]


async def test_message_that_was_not_noted_is_found_at_the_start_or_by_a_press(
    simcord_env: simcord.Env, place: Place, services: Services, inference: Inference, registry: FakeRegistry,
    trainer: Trainer, rows: Rows, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = await place.alice.slash(place.channel, "poem")
    assert first.response is not None
    rows.run("UPDATE poems SET message_id = NULL")
    await place.bob.click(first.response, label="Another")
    assert rows("SELECT message_id FROM poems WHERE id = 1") == [(first.response.id,)]
    # The simulated Discord has a clock of its own.
    sent_ms = int(first.response.message.created_at.timestamp() * 1000)
    monkeypatch.setattr("bot.cogs.catchup.now_ms", lambda: sent_ms)
    rows.run(f"UPDATE poems SET message_id = NULL, created_at = {sent_ms}")
    bot = PoetBot(services_on(services.store, inference, registry, trainer))
    await simcord_env.restart_bot(bot)
    cog = bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await cog.catch_up()
    assert rows("SELECT message_id FROM poems WHERE id = 1") == [(first.response.id,)]


async def test_vote_on_a_message_that_is_not_noted_yet_counts_once_it_is(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await place.poem()
    await simcord_env.settle()
    sent_ms = int(message.created_at.timestamp() * 1000)
    monkeypatch.setattr("bot.cogs.catchup.now_ms", lambda: sent_ms)
    rows.run(f"UPDATE poems SET message_id = NULL, created_at = {sent_ms}")
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    async with cog._catching_up:
        simcord_bot.dispatch("ready")
        await place.bob.react(message, "👍")
        assert rows.votes() == []
    await until(lambda: cog._live is None)
    assert rows("SELECT message_id FROM poems") == [(message.id,)]
    assert rows.votes() == [(1, place.bob.id, 1)]


async def test_deleted_while_away_is_forgotten(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows
) -> None:
    message = await place.poem()
    rows.run(f"UPDATE poems SET message_id = {message.id - 1}")
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await cog.catch_up()
    assert rows("SELECT id FROM poems") == []


@pytest.mark.parametrize("rated", ["vote_buttons = 1", "hidden = 1", "vote_buttons = 0"])
async def test_poem_in_a_channel_that_was_deleted_while_away_is_forgotten(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows, rated: str
) -> None:
    await place.poem()
    await place.poem()
    rows.run(f"UPDATE poems SET {rated}, channel_id = 4242 WHERE id = 1")
    rows.run("UPDATE poems SET channel_id = 4242, guild_id = 4243 WHERE id = 2")  # asked for where it is no member
    await place.poem()
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    simcord_env.inject_error("GET", "/channels/4242/messages/*", status=404, code=10003, times=None)
    await cog.catch_up()
    assert rows("SELECT id FROM poems") == [(3,)]


def _sync_count(env: simcord.Env) -> int:
    return sum(request.method == "PUT" and request.path.endswith("/commands") for request in env.http_requests)


async def _occupy(poems: Poems, poet: FakePoet) -> list[asyncio.Future[Any]]:
    """A full queue."""
    poet.gate.clear()
    submit = poems.inference.submit
    request = poems.inference.poet.check(_request())
    first = submit(request)
    await until(lambda: bool(poet.batches))
    return [first, *(submit(request) for _ in range(4))]


def _request() -> Any:
    from poetgen.poem import PoemRequest

    return PoemRequest()


async def test_full_queue_refuses_kindly_and_privately(
    simcord_env: simcord.Env, place: Place, poems: Poems, poet: FakePoet, rows: Rows
) -> None:
    waiting = await _occupy(poems, poet)
    result = await place.alice.slash(place.channel, "poem")

    assert result.ephemeral
    assert result.response is not None
    assert re.search(r"again in about \d+ s", result.response.content)
    assert rows("SELECT used FROM usage") == [(0,)], "given back"
    assert len(simcord_env.errors) == 1
    poet.gate.set()
    await asyncio.gather(*waiting)


async def test_member_has_one_request_in_the_queue(
    simcord_env: simcord.Env, place: Place, poems: Poems, rows: Rows
) -> None:
    async with await poems.begin(Asker(place.alice.id), Wish(theme="春")) as composing:
        refused = await place.alice.slash(place.channel, "poem")
        assert refused.response is not None
        assert refused.ephemeral
        assert "one at a time" in refused.response.content
        theirs = await place.bob.slash(place.channel, "poem")
        assert theirs.response is not None
        await composing.poem()
    assert "秋夜" in (await place.poem(theme="秋夜")).content
    assert rows("SELECT requester_id FROM poems ORDER BY id") == [
        (who.id,) for who in (place.bob, place.alice, place.alice)
    ]
    assert len(simcord_env.errors) == 1


async def test_unexpected_error_is_told_with_an_id_and_can_be_tried_again(
    simcord_env: simcord.Env, place: Place, poet: FakePoet, caplog: pytest.LogCaptureFixture, rows: Rows
) -> None:
    poet.fail_on = "秋夜"
    with caplog.at_level(logging.ERROR):
        result = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert result.response is not None
    found = re.search(r"log as ([0-9a-f]{8})", result.response.content)
    assert found
    assert "tensors" not in result.response.content
    assert f"error {found[1]}" in caplog.text
    assert "the tensors fell over" in caplog.text
    assert len(simcord_env.errors) == 1
    assert rows("SELECT id FROM poems") == []
    assert rows("SELECT used FROM usage") == [(0,)], "given back"

    poet.fail_on = None
    again = await place.alice.click(result.response, label="Try again")
    assert again.response is not None
    assert "秋夜" in again.response.content
    theirs = await place.bob.click(result.response, label="Try again")
    assert theirs.response is not None
    assert "Only the person who asked" in theirs.response.content


async def test_button_can_be_tried_again_and_again_and_changes_no_other_message(
    simcord_env: simcord.Env, place: Place, poet: FakePoet, rows: Rows
) -> None:
    message = await place.poem(theme="秋夜")
    rows.run("UPDATE poems SET message_id = NULL")
    poet.fail_on = "秋夜"
    pressed = await place.bob.click(message, label="Another")
    rows.run("UPDATE poems SET message_id = NULL")  # though this press has told which message shows the poem
    for _ in range(2):
        assert pressed.response is not None
        pressed = await place.bob.click(pressed.response, label="Try again")
    poet.fail_on = None
    assert pressed.response is not None
    pressed = await place.bob.click(pressed.response, label="Try again")
    assert pressed.response is not None
    assert "秋夜" in pressed.response.content
    assert rows("SELECT message_id FROM poems ORDER BY id") == [(None,), (pressed.response.id,)]
    simcord_env.errors.clear()


async def test_vote_that_is_tried_again_is_told_and_shown_in_no_error(
    simcord_env: simcord.Env, place: Place, services: Services, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.alice.user.send_dm("hello")
    shown = (await place.alice.user.slash("poem")).response
    assert shown is not None

    async def broken(*_: object) -> None:
        raise RuntimeError("the disk fell over")

    monkeypatch.setattr(services.store.votes, "press_all", broken)
    [up] = [button.custom_id for button in buttons(shown) if str(button.emoji) == "👍"]
    failed = await place.alice.user.click(shown, custom_id=up)
    monkeypatch.undo()
    assert failed.response is not None
    again = await place.alice.user.click(failed.response, label="Try again")
    assert again.response is not None
    assert again.response.content == "Kept: this poem has 1 👍 and 0 👎."
    assert rows("SELECT value FROM votes") == [(1,)]
    assert rows("SELECT message_id FROM poems") == [(shown.id,)]
    simcord_env.errors.clear()


async def test_failed_acknowledgement_gives_the_place_and_the_quota_back(
    simcord_env: simcord.Env, place: Place, poems: Poems, poet: FakePoet, rows: Rows
) -> None:
    poet.gate.clear()
    first = poems.inference.submit(_request())
    await until(lambda: bool(poet.batches))
    simcord_env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
    await place.alice.slash(place.channel, "poem", theme="秋夜")
    poet.gate.set()
    await first
    await poems.inference.submit(_request())
    themes = [request.theme for batch in poet.batches for request in batch]
    assert "秋夜" not in themes, "nobody waits for it, so it was not composed"
    assert rows("SELECT used FROM usage") == [(0,)]
    assert len(simcord_env.errors) == 1


@pytest.mark.parametrize(("status", "code"), [(401, 50027), (404, 10015), (404, 10008)])
async def test_expired_interaction_never_crashes(
    simcord_env: simcord.Env, place: Place, rows: Rows, status: int, code: int
) -> None:
    simcord_env.inject_error("PATCH", "/webhooks/*/*/messages/*", status=status, code=code)
    await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert rows("SELECT used FROM usage") == [(0,)], "given back"
    assert len(simcord_env.errors) == 1
    simcord_env.errors.clear()
    again = await place.poem(theme="春")
    assert "春" in again.content


async def test_stopping_bot_answers_what_it_began_and_refuses_what_waits(
    place: Place, poems: Poems, poet: FakePoet, simcord_bot: PoetBot, rows: Rows
) -> None:
    poet.gate.clear()
    asking = asyncio.create_task(place.alice.slash(place.channel, "poem", theme="秋夜"))
    await until(lambda: bool(poet.batches))
    waiting = poems.inference.submit(_request())
    closing = asyncio.create_task(simcord_bot.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    poet.gate.set()
    await closing
    with pytest.raises(ClosingError):
        await waiting
    assert rows("SELECT theme, message_id IS NOT NULL FROM poems") == [("秋夜", 1)], "answered before it left"
    result = await asking
    assert result.response is not None
    assert "秋夜" in result.response.content


async def test_nothing_a_bot_error_says_is_lost() -> None:
    assert str(BotError("cooldown", seconds=3)) == "Please wait 3 s before the next poem."


async def test_bot_is_not_ready_while_the_connection_is_lost(simcord_env: simcord.Env, simcord_bot: PoetBot) -> None:
    assert simcord_bot.is_answering()
    simcord_bot.dispatch("disconnect")
    await until(lambda: not simcord_bot.is_answering())
    simcord_bot.dispatch("resumed")
    await until(simcord_bot.is_answering)


def test_bot_asks_for_no_privileged_intent(simcord_bot: PoetBot) -> None:
    intents = simcord_bot.intents
    assert [intents.members, intents.presences, intents.message_content] == [False] * 3
    assert intents.guild_reactions
    assert intents.dm_reactions


async def test_other_messages_are_not_even_looked_at(place: Place, simcord_bot: PoetBot) -> None:
    @commands.command()
    async def poem(context: commands.Context[Any]) -> None:
        await context.send("looked at")

    simcord_bot.add_command(poem)
    assert simcord_bot.user is not None
    before = len(place.env.http_requests)
    await place.bob.send(place.channel, f"{simcord_bot.user.mention} poem")
    await place.env.settle()
    assert len(place.env.http_requests) == before


async def test_interaction_without_answer_is_acknowledged_by_the_watch(
    simcord_env: simcord.Env, place: Place, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.replies._WATCH_SECONDS", 0.02)
    slow = services.store.usage.take

    async def take(*values: Any) -> Any:
        await asyncio.sleep(0.1)
        return await slow(*values)

    monkeypatch.setattr(services.store.usage, "take", take)
    result = await place.alice.slash(place.channel, "poem", theme="秋夜")
    assert result.response is not None
    assert "秋夜" in result.response.content
    callbacks = [request.json for request in simcord_env.http_requests if request.path.endswith("/callback")]
    assert [callback["type"] for callback in callbacks if callback] == [5]
    assert not result.ephemeral, "a poem is for all"

    async def none_yet(*_: Any) -> list[Any]:
        await asyncio.sleep(0.1)
        return []

    monkeypatch.setattr("bot.cogs.top.leaderboard", none_yet)
    assert not (await place.alice.slash(place.channel, "top")).ephemeral, "so is the list of the best"


def test_discord_is_the_real_one() -> None:
    assert discord.__version__ == "2.7.1"
