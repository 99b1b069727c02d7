"""Any text in any field of any command gets an answer within Discord's limits, and never an error with an id."""

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

import discord
import pytest
import simcord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.client import PoetBot
from poetgen.poem import Poem, PoemRequest
from poetgen.poet import Poet
from poetgen.prosody import Report
from tests.bot.conftest import OWNER_GUILD, FakePoet
from tests.bot.discord_place import Place, hold_to_the_limits

# Characters with a meaning to Discord, to Markdown, to our own parsers, or to nobody at all.
SPICE = [
    "@everyone", "<@1>", "`", "**", "||", "\u202e", "\u200b", "\0", "\ud7ff", "🍂", "👨\u200d👩", "1e9", "-1", "{}",
    "%s", "%(x)s",
]  # fmt: skip
HANZI = "秋夜月明床前光山水風花東來國龙乾"
texts = st.one_of(
    st.text(max_size=80),
    st.text(alphabet=HANZI, max_size=12),
    st.lists(st.one_of(st.sampled_from(SPICE), st.text(alphabet=HANZI, max_size=3)), max_size=5).map("".join),
)
anything = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
# (who, command, the option that takes the text, other options)
FIELDS: Sequence[tuple[str, str, str, dict[str, Any]]] = [
    ("alice", "poem", "theme", {}),
    ("alice", "poem", "acrostic", {}),
    ("alice", "poem", "first_line", {}),
    ("alice", "poem", "rhyme", {}),
    ("admin", "settings timezone", "zone", {}),
    ("admin", "settings words", "word", {}),
    ("admin", "daily set", "time", {}),
    ("admin", "voice use", "version", {}),
    ("admin", "voice compare", "theme", {}),
    ("boss", "owner voice", "version", {"action": "use"}),
]


@cache
def _shipped() -> Poet:
    return Poet.load(num_threads=1)


class Strict(FakePoet):
    """Writes nothing of its own, but takes and refuses what the shipped poet does."""

    def check(self, request: PoemRequest) -> PoemRequest:
        return _shipped().check(request)

    def inspect(self, poem: Poem) -> Report:
        return _shipped().inspect(poem)


@pytest.fixture
def poet() -> FakePoet:
    return Strict(rhymes=_shipped().rhymes)


@pytest.fixture
def boss(simcord_env: simcord.Env, simcord_bot: PoetBot) -> tuple[Any, Any]:
    """The bot's owner and a channel of the owner's server."""
    home = simcord_env.create_guild(id=OWNER_GUILD)
    role = home.create_role("admins", permissions=discord.Permissions(administrator=True))
    owner = home.add_member(simcord_env.create_user("boss"), roles=[role])
    simcord_bot.owner_id = owner.id
    return owner, home.create_text_channel("owner")


def _said(result: Any) -> str:
    assert result.response is not None
    content = result.response.content or ""
    assert content, "something is said"
    assert "log as" not in content, content
    return str(content)


@pytest.mark.parametrize(("who", "command", "field", "more"), FIELDS, ids=[f"{row[1]} {row[2]}" for row in FIELDS])
@anything
@given(typed=texts)
async def test_any_text_in_a_commands_field(
    simcord_env: simcord.Env,
    place: Place,
    boss: tuple[Any, Any],
    who: str,
    command: str,
    field: str,
    more: dict[str, Any],
    typed: str,
) -> None:
    typed = typed[:100]
    if field == "word" and not 1 <= len(typed) <= 20:
        return  # Discord refuses it before we see it
    member, channel = boss if who == "boss" else (getattr(place, who), place.channel)
    if command == "daily set":
        more = more | {"channel": channel}
    _said(await member.slash(channel, command, **{field: typed} | more))
    simcord_env.errors.clear()
    hold_to_the_limits(simcord_env)


@anything
@given(typed=texts)
async def test_any_text_to_be_checked(simcord_env: simcord.Env, place: Place, typed: str) -> None:
    form = await place.bob.slash(place.channel, "check")
    if not typed:
        return  # Discord asks for at least one character
    _said(await place.bob.submit_modal(form, {"poem": typed}))
    simcord_env.errors.clear()
    hold_to_the_limits(simcord_env)


@pytest.mark.parametrize("field", ["theme", "rhyme"])
@anything
@given(typed=texts)
async def test_any_text_while_it_is_being_typed(place: Place, field: str, typed: str) -> None:
    found = await place.alice.autocomplete(place.channel, "poem", field, typed[:100])
    assert len(found) <= 25


@pytest.mark.parametrize("typed", ["\ufdfa" * 6000, "a" + "\u0327\u0301" * 2999, "a" + " " * 5998 + "b", "月" * 6000])
async def test_all_the_text_that_discord_lets_pass_keeps_nobody_else_waiting(
    simcord_env: simcord.Env, place: Place, typed: str
) -> None:
    fields = dict.fromkeys(("theme", "acrostic", "first_line", "rhyme"), typed)
    _shipped()
    started = time.process_time()
    await place.alice.autocomplete(place.channel, "poem", "theme", typed)
    _said(await place.alice.slash(place.channel, "poem", **fields))
    assert time.process_time() - started < 0.3
    simcord_env.errors.clear()
    hold_to_the_limits(simcord_env)
