"""The real discord.py in a simulated Discord: /poem, reactions, restarts, and what goes wrong."""

import asyncio
import logging
import re

import discord
import pytest
import simcord

from bot.client import PoetBot
from bot.cogs.poem import PoemCog
from bot.errors import ClosingError
from bot.poems import Poems
from bot.store import Store
from poetgen.errors import RequestError
from tests.bot.conftest import FakePoet, Rows, until


class Place:
    """A server with a channel and two members."""

    def __init__(self, env: simcord.Env) -> None:
        self.guild = env.create_guild()
        self.channel = self.guild.create_text_channel("poems")
        self.alice = self.guild.add_member(env.create_user("alice"))
        self.bob = self.guild.add_member(env.create_user("bob"))

    async def poem(self, **options: object) -> discord.Message:
        result = await self.alice.slash(self.channel, "poem", **options)
        assert result.response is not None
        return result.response.message


@pytest.fixture
def place(simcord_env: simcord.Env) -> Place:
    return Place(simcord_env)


async def test_poem_is_acknowledged_kept_and_shown(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    result = await place.alice.slash(place.channel, "poem", form="qijue", theme="秋夜", seed=5)

    callbacks = [request.json for request in simcord_env.http_requests if request.path.endswith("/callback")]
    assert callbacks == [{"type": 5}], "deferred at once"
    assert not result.ephemeral
    message = result.response
    assert message is not None
    assert message.content == (
        "**秋夜**\n"
        "一道残阳铺水中，半江瑟瑟半江红。\n"
        "可怜九月初三夜，露似真珠月似弓。\n"
        "-# seven-character quatrain 七绝 · rhyme 东 · seed 5"
    )
    query = "SELECT message_id, requester_id, guild_id, channel_id, form, theme, seed, version, text FROM poems"
    text = "一道殘陽鋪水中\n半江瑟瑟半江紅\n可憐九月初三夜\n露似真珠月似弓"
    ids = (message.id, place.alice.id, place.guild.id, place.channel.id)
    assert rows(query) == [(*ids, "qijue", "秋夜", 5, "fake-1", text)]


async def test_everything_may_be_left_out(place: Place, rows: Rows) -> None:
    message = await place.poem()
    assert message.content.startswith("**残阳**\n")
    assert rows("SELECT form, theme FROM poems") == [("qijue", "")]


async def test_works_in_direct_messages(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    await place.alice.user.send_dm("hello")
    result = await place.alice.user.slash("poem", theme="秋夜")
    assert result.response is not None
    assert "秋夜" in result.response.content
    assert rows("SELECT guild_id, requester_id FROM poems") == [(None, place.alice.id)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"theme": "夜" * 500}, "The theme has 500 characters; 20 are the most."),
        ({"theme": "🍂"}, "does not know: 🍂"),
        ({"theme": "**@everyone**"}, r"does not know: \*"),
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
    assert [type(error.__cause__) for error in simcord_env.errors] == [RequestError]


async def test_theme_is_cleaned_of_what_cannot_be_seen(place: Place, rows: Rows) -> None:
    await place.poem(theme="\u202e秋\u200b夜\x07 ")
    assert rows("SELECT theme FROM poems") == [("秋夜",)]


async def test_nobody_can_be_mentioned(simcord_env: simcord.Env, place: Place) -> None:
    await place.poem(theme="秋夜")
    bodies = [request.json for request in simcord_env.http_requests if request.method == "PATCH"]
    assert [body["allowed_mentions"] for body in bodies if body] == [{"parse": []}]


async def test_bot_puts_both_reactions_and_does_not_count_them(place: Place, rows: Rows) -> None:
    await place.poem()
    shown = place.channel.last_message
    assert shown is not None
    assert [(str(reaction.emoji), reaction.count) for reaction in shown.reactions] == [("👍", 1), ("👎", 1)]
    assert rows.votes() == []


async def test_poem_is_shown_where_the_bot_may_not_react(simcord_env: simcord.Env, place: Place) -> None:
    simcord_env.inject_error("PUT", "/channels/*/reactions/*", status=403, code=50013, times=None)
    message = await place.poem(theme="秋夜")
    assert "秋夜" in message.content
    assert message.reactions == []


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


async def test_other_reactions_and_other_messages_are_no_votes(place: Place, rows: Rows) -> None:
    message = await place.poem()
    chat = await place.bob.send(place.channel, "good morning")
    await place.alice.react(message, "🍂")
    await place.alice.react(chat, "👍")
    await place.alice.unreact(chat, "👍")
    assert rows.votes() == []


async def test_cleared_reactions_are_taken_back(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    message = await place.poem()
    await place.alice.react(message, "👍")
    await place.bob.react(message, "👎")
    simcord_env.backend.clear_reactions(place.channel.id, message.id)
    await simcord_env.settle()
    assert rows.votes() == []


async def test_old_poems_are_voted_on_after_a_restart(
    simcord_env: simcord.Env, place: Place, inference: object, url: str, rows: Rows
) -> None:
    message = await place.poem()
    await place.alice.react(message, "👍")
    registered = _sync_count(simcord_env)

    async with await Store.open(url) as reopened:
        await simcord_env.restart_bot(PoetBot(Poems(inference, reopened), reopened, "simplified"))  # type: ignore[arg-type]
        await place.bob.react(message, "👍")
        await place.alice.unreact(message, "👍")
        assert rows.votes() == [(1, place.bob.id, 1)]
        again = await place.poem(theme="秋夜")
        assert "秋夜" in again.content
    assert _sync_count(simcord_env) == registered == 1, "commands are registered only when they changed"


async def test_changed_commands_are_registered_again(
    simcord_env: simcord.Env, poems: Poems, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PoemCog.poem, "description", "Something else")
    await simcord_env.restart_bot(PoetBot(poems, store, "simplified"))
    assert _sync_count(simcord_env) == 2


def _sync_count(env: simcord.Env) -> int:
    return sum(request.method == "PUT" and request.path.endswith("/commands") for request in env.http_requests)


async def test_full_queue_refuses_kindly_and_privately(
    simcord_env: simcord.Env, place: Place, poems: Poems, poet: FakePoet, rows: Rows
) -> None:
    poet.gate.clear()
    first = poems.begin()
    await until(lambda: bool(poet.batches))
    waiting = [poems.begin() for _ in range(4)]

    result = await place.alice.slash(place.channel, "poem")

    assert result.ephemeral
    assert result.response is not None
    assert re.search(r"again in about \d+ s", result.response.content)
    assert len(simcord_env.errors) == 1
    poet.gate.set()
    await asyncio.gather(first, *waiting)


async def test_unexpected_error_is_told_and_logged_under_one_id(
    simcord_env: simcord.Env, place: Place, poet: FakePoet, caplog: pytest.LogCaptureFixture, rows: Rows
) -> None:
    poet.fail_on = "秋夜"
    with caplog.at_level(logging.ERROR):
        message = await place.poem(theme="秋夜")

    found = re.search(r"log as ([0-9a-f]{8})", message.content)
    assert found
    assert "tensors" not in message.content
    assert f"error {found[1]}" in caplog.text
    assert "the tensors fell over" in caplog.text
    assert len(simcord_env.errors) == 1
    assert rows("SELECT id FROM poems") == []


async def test_failed_acknowledgement_gives_the_place_in_the_queue_back(
    simcord_env: simcord.Env, place: Place, poems: Poems, poet: FakePoet
) -> None:
    poet.gate.clear()
    first = poems.begin()
    await until(lambda: bool(poet.batches))
    simcord_env.inject_error("POST", "/interactions/*/callback", status=404, code=10062)
    await place.alice.slash(place.channel, "poem", theme="秋夜")
    poet.gate.set()
    await first
    await poems.begin()
    themes = [request.theme for batch in poet.batches for request in batch]
    assert "秋夜" not in themes, "nobody waits for it, so it was not composed"
    assert len(simcord_env.errors) == 1


async def test_stopping_bot_answers_what_it_began_and_refuses_what_waits(
    place: Place, poems: Poems, poet: FakePoet, simcord_bot: PoetBot, rows: Rows
) -> None:
    poet.gate.clear()
    asking = asyncio.create_task(place.alice.slash(place.channel, "poem", theme="秋夜"))
    await until(lambda: bool(poet.batches))
    waiting = poems.begin()
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


def test_bot_asks_for_no_privileged_intent(simcord_bot: PoetBot) -> None:
    intents = simcord_bot.intents
    assert [intents.members, intents.presences, intents.message_content] == [False] * 3
    assert intents.guild_reactions
    assert intents.dm_reactions


async def test_command_may_be_used_everywhere(simcord_env: simcord.Env, simcord_bot: PoetBot) -> None:
    command = simcord_bot.tree.get_command("poem")
    assert command is not None
    payload = command.to_dict(simcord_bot.tree)
    assert payload["integration_types"] == [0, 1]
    assert payload["contexts"] == [0, 1, 2]
    forms = next(option for option in payload["options"] if option["name"] == "form")
    assert [choice["value"] for choice in forms["choices"]] == ["wujue", "qijue", "wulv", "qilv"]
