"""A contract for each command, in the simulated Discord: what a member, an admin and the owner get."""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import discord
import pytest
import simcord

from bot.asker import Asker
from bot.client import PoetBot
from bot.cogs.catchup import CatchUpCog
from bot.cogs.daily import DailyCog
from bot.comparing import Comparing
from bot.errors import BotError
from bot.reading import dictionary
from bot.services import Services
from bot.store.database import now_ms
from poetgen.errors import CheckpointError
from poetgen.registry import Version
from tests.bot.conftest import OWNER_GUILD, FakePoet, FakeRegistry, Rows, until
from tests.bot.discord_place import Place, buttons, hold_to_the_limits, labels, owners_server

BAD_POEM = "白日依山盡，黃河入海流。欲窮千里目，更上一層樓。"


@pytest.fixture
def place(simcord_env: simcord.Env) -> Iterator[Place]:
    yield Place(simcord_env)
    hold_to_the_limits(simcord_env)


async def _said(place: Place, who: Any, command: str, **options: object) -> str:
    result = await who.slash(place.channel, command, **options)
    assert result.acknowledged
    assert result.response is not None
    return str(result.response.content)


async def test_check_shows_a_form_and_answers_it(place: Place) -> None:
    dictionary()  # read once, which on a busy machine takes longer than the simulated Discord waits
    form = await place.bob.slash(place.channel, "check")
    assert form.modal is not None
    answer = await place.bob.submit_modal(form, {"poem": BAD_POEM})
    assert answer.ephemeral
    assert answer.response is not None
    assert "白○ 日● 依○" in answer.response.content
    assert "It keeps every rule" in answer.response.content
    [read] = buttons(answer.response)
    spelt = await place.bob.click(answer.response, custom_id=read.custom_id)
    assert spelt.ephemeral
    assert spelt.response is not None
    assert "bái rì yī shān" in spelt.response.content

    form = await place.bob.slash(place.channel, "check")
    refused = await place.bob.submit_modal(form, {"poem": "hello"})
    assert refused.response is not None
    assert "is not Chinese characters only" in refused.response.content


async def test_typed_poem_is_kept_for_no_second_try(
    simcord_env: simcord.Env, place: Place, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = await place.bob.submit_modal(await place.bob.slash(place.channel, "check"), {"poem": BAD_POEM})
    assert answer.response is not None
    [read] = buttons(answer.response)
    form = await place.bob.slash(place.channel, "check")
    for part in ("poem.reading", "check.check_page"):  # so that it fails
        monkeypatch.setattr(f"bot.cogs.{part}", None)
    for failed in (
        await place.bob.click(answer.response, custom_id=read.custom_id),
        await place.bob.submit_modal(form, {"poem": BAD_POEM}),
    ):
        assert failed.response is not None
        assert "Something went wrong" in failed.response.content
        assert buttons(failed.response) == []
    assert rows("SELECT * FROM retries") == []
    simcord_env.errors.clear()


async def test_top_ranks_by_what_votes_allow_to_believe(place: Place, rows: Rows) -> None:
    assert "No poem of this server has a 👍" in await _said(place, place.bob, "top")
    first, second = await place.poem(theme="春"), await place.poem(theme="秋")
    rows.run("INSERT INTO votes VALUES (1, 1, 1, 0, 1, 0), (1, 2, 1, 0, 1, 0), (2, 1, 1, 0, 1, 0), (2, 3, -1, 0, 1, 0)")
    rows.run(f"INSERT INTO votes VALUES (2, {place.alice.id}, 1, 0, 0, 0)")
    page = await _said(place, place.bob, "top", period="all")
    assert page.index("春") < page.index("秋")
    assert f"(<{first.jump_url}>)" in page
    assert f"(<{second.jump_url}>)" in page
    assert "1 👍 1 👎" in page, "the requester's own vote does not count"
    rows.run(f"UPDATE poems SET created_at = {now_ms() - 8 * 86_400_000} WHERE id = 1")
    assert "春" not in await _said(place, place.bob, "top", period="week")


@pytest.mark.parametrize("seen_by_role", [True, False])
async def test_top_tells_of_no_poem_that_not_all_who_read_it_may_read(
    place: Place, rows: Rows, seen_by_role: bool
) -> None:
    staff = place.guild.create_role("staff")
    dora = place.guild.add_member(place.env.create_user("dora"), roles=[staff])
    hidden = place.hidden(staff if seen_by_role else dora)
    await place.poem(theme="春")
    await dora.slash(hidden, "poem", theme="秋")
    rows.run("INSERT INTO votes VALUES (1, 1, 1, 0, 1, 0), (2, 1, 1, 0, 1, 0)")
    page = await _said(place, dora, "top")
    assert "春" in page
    assert "秋" not in page
    result = await dora.slash(hidden, "top")
    assert result.response is not None
    assert "秋" in result.response.content
    assert "春" in result.response.content, "which all may read"


async def test_top_tells_who_was_let_in_alone_of_nothing_hidden_elsewhere(place: Place, rows: Rows) -> None:
    staff = place.guild.create_role("staff")
    dora = place.guild.add_member(place.env.create_user("dora"), roles=[staff])
    await dora.slash(place.hidden(staff), "poem", theme="秋")
    rows.run("INSERT INTO votes VALUES (1, 1, 1, 0, 1, 0)")
    result = await place.bob.slash(place.hidden(staff, place.bob), "top")
    assert result.response is not None
    assert "秋" not in result.response.content


@pytest.mark.parametrize("where", ["hidden from a member", "a private thread"])
async def test_top_tells_of_no_poem_that_is_hidden_from_some_who_read_it(place: Place, rows: Rows, where: str) -> None:
    hidden = discord.PermissionOverwrite(view_channel=False)
    other = place.guild.create_text_channel("other", overwrites={place.bob: hidden})
    if where == "a private thread":
        kind = discord.ChannelType.private_thread.value
        place.env.backend.create_thread(place.channel.id, "thread", place.alice.id, type=kind)
        [other] = place.channel.threads
    await place.alice.slash(other, "poem", theme="秋")
    rows.run("INSERT INTO votes VALUES (1, 1, 1, 0, 1, 0)")
    assert "秋" not in await _said(place, place.bob, "top")
    there = await place.alice.slash(other, "top")
    assert "秋" in str(there.response and there.response.content)


async def test_earlier_poem_is_shown_again_to_who_asks(
    simcord_env: simcord.Env, place: Place, services: Services, rows: Rows
) -> None:
    first = await place.poem(theme="秋夜")
    info = await place.bob.click(first, label="Info")
    assert info.response is not None
    assert "`/show poem:1`" in info.response.content
    await place.poem(theme="送别")
    again = await place.bob.slash(place.channel, "show", poem=1)
    assert again.ephemeral
    assert again.response is not None
    assert again.response.content.startswith(first.content)
    assert f"(<{first.jump_url}>)" in again.response.content
    assert labels(again.response) == labels(first)
    rows.run("UPDATE poems SET message_id = NULL WHERE id = 1")
    another = await place.bob.click(again.response, label="Another")
    assert not another.ephemeral
    assert rows("SELECT theme FROM poems WHERE id = 3") == [("秋夜",)]
    assert rows("SELECT message_id FROM poems WHERE id = 1") == [(None,)], "what one sees alone is not its message"

    other = place.guild.create_text_channel("elsewhere")
    assert (await place.bob.slash(other, "show", poem=1)).response is not None
    rows.run("UPDATE poems SET hidden = 1 WHERE id = 1")
    rows.run("UPDATE poems SET guild_id = 5 WHERE id = 2")
    for poem in (1, 2, 77):
        assert "not there any more" in await _said(place, place.bob, "show", poem=poem)
    simcord_env.errors.clear()


async def test_copy_of_a_poem_with_vote_buttons_takes_votes(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    simcord_env.inject_error("PUT", "/channels/*/reactions/*", status=403, code=50013, times=None)
    await place.poem(theme="秋夜")
    await simcord_env.settle()
    rows.run("UPDATE poems SET message_id = NULL")
    again = await place.bob.slash(place.channel, "show", poem=1)
    assert labels(again.response)[-2:] == ["0", "0"]
    [up] = [button.custom_id for button in buttons(again.response) if str(button.emoji) == "👍"]
    assert again.response is not None
    await place.bob.click(again.response, custom_id=up)
    assert rows.votes() == [(1, place.bob.id, 1)]
    assert rows("SELECT message_id FROM poems") == [(None,)]
    assert labels((await place.bob.slash(place.channel, "show", poem=1)).response)[-2:] == ["1", "0"]


async def test_earlier_poems_of_this_channel_are_suggested(place: Place, rows: Rows) -> None:
    for theme in ("秋夜", "送别", "秋月", "春", "冬"):
        await place.poem(theme=theme)
    rows.run("UPDATE poems SET hidden = 1 WHERE id = 4")
    rows.run("UPDATE poems SET channel_id = 5 WHERE id = 5")
    found = await place.bob.autocomplete(place.channel, "show", "poem", "")
    assert [choice["value"] for choice in found] == [3, 2, 1], "the newest first"
    assert found[1]["name"] == "送别 · 一道残阳铺水中"
    for typed, poems in (("秋", [3, 1]), ("送別", [2]), ("2", [2]), ("雪", [])):
        found = await place.bob.autocomplete(place.channel, "show", "poem", typed)
        assert [choice["value"] for choice in found] == poems


async def test_settings_change_what_they_say(place: Place, rows: Rows) -> None:
    admin = place.admin
    assert "everywhere" in await _said(place, admin, "settings show")
    assert "Poem of the day: none\n" in await _said(place, admin, "settings show")
    await place.admin.slash(place.channel, "daily set", channel=place.channel, time="8:30")
    assert f"Poem of the day: <#{place.channel.id}> 08:30\n" in await _said(place, admin, "settings show")
    await place.admin.slash(place.channel, "daily off")
    for code, name in (("en", "English"), ("zh-CN", "简体中文"), ("zh-TW", "繁體中文")):
        page = await _said(place, admin, "settings language", language=code)
        assert f"Language of public replies: {name}\n" in page
    assert "Language of public replies: 繁體中文\n" in await _said(place, admin, "settings show")
    await _said(place, admin, "settings script", script="traditional")
    assert "Asia/Shanghai" in await _said(place, admin, "settings timezone", zone="asia/shanghai")
    assert "no such time zone" in await _said(place, admin, "settings timezone", zone="Mars/Olympus")
    shown = await place.poem(theme="秋夜")
    assert "一道殘陽鋪水中" in shown.content
    assert "韻部 東 · 種子" in shown.content
    assert labels(shown)[:2] == ["再來一首", "變奏"]

    await _said(place, admin, "settings words", word="月夜")
    assert "on the list here" in await _said(place, place.bob, "poem", theme="月夜")
    await _said(place, admin, "settings words", word="月夜", listed=False)
    assert "月夜" in await _said(place, place.bob, "poem", theme="月夜")

    other = place.guild.create_text_channel("elsewhere")
    await _said(place, admin, "settings channel", channel=other)
    assert f"<#{other.id}>" in await _said(place, place.bob, "poem")
    await _said(place, admin, "settings everywhere")
    category = place.guild.create_category("poetry")
    within = place.guild.create_text_channel("within", category=category)
    await _said(place, admin, "settings channel", channel=category)
    assert f"<#{category.id}>" in await _said(place, place.bob, "poem")
    written = await place.alice.slash(within, "poem", theme="秋夜")
    assert "秋夜" in str(written.response and written.response.content), "a category's channels are all allowed"
    await _said(place, admin, "settings everywhere")
    await _said(place, admin, "settings limits", quota=2, cooldown=0)
    await _said(place, place.bob, "poem")
    assert "2 poems of today" in await _said(place, place.bob, "poem")
    await _said(place, admin, "settings limits", cooldown=60)
    assert "Please wait" in await _said(place, place.bob, "poem")
    await _said(place, admin, "settings reports", channel=other)
    assert rows("SELECT reports_channel_id FROM servers") == [(other.id,)]
    place.env.errors.clear()


async def test_quota_of_0_switches_poems_off(place: Place, rows: Rows) -> None:
    await _said(place, place.admin, "settings limits", quota=0)
    assert await _said(place, place.bob, "poem") == "Poems are switched off here: the quota of this server is 0."
    assert rows("SELECT * FROM usage") == []
    place.env.errors.clear()


async def test_nothing_goes_to_a_channel_that_the_bot_may_not_write_in(place: Place, rows: Rows) -> None:
    await _said(place, place.admin, "settings reports", channel=place.channel)
    mute = discord.PermissionOverwrite(send_messages=False)
    silent = place.guild.create_text_channel("silent", overwrites={place.guild.default_role: mute})
    for channel in (silent, place.hidden(place.admin)):
        for command, options in (("settings reports", {}), ("daily set", {"time": "08:30"})):
            said = await _said(place, place.admin, command, channel=channel, **options)
            assert f"I may not write in <#{channel.id}>" in said
    assert rows("SELECT reports_channel_id FROM servers") == [(place.channel.id,)]
    assert rows("SELECT * FROM dailies") == []
    place.env.errors.clear()


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("settings show", {}),
        ("settings script", {"script": "traditional"}),
        ("daily set", {"channel": "here", "time": "08:30"}),
        ("daily off", {}),
        ("finetune start", {}),
        ("finetune status", {}),
        ("finetune cancel", {}),
        ("finetune history", {}),
        ("voice use", {"version": "fake-1"}),
        ("voice rollback", {}),
    ],
)
async def test_what_changes_anything_needs_manage_server_at_run_time_too(
    simcord_env: simcord.Env, simcord_bot: PoetBot, place: Place, command: str, options: dict[str, object]
) -> None:
    # As if an admin had opened the command to everybody in the server's integration settings.
    for known in simcord_bot.tree.get_commands():
        if not isinstance(known, discord.app_commands.ContextMenu):
            known.default_permissions = None
    await simcord_bot.tree.sync()
    options = {name: place.channel if value == "here" else value for name, value in options.items()}
    assert await _said(place, place.bob, command, **options) == "That needs the permission Manage Server."
    simcord_env.errors.clear()


async def test_voices_are_listed_used_and_rolled_back(place: Place, registry: FakeRegistry, poet: FakePoet) -> None:
    registry.add("fake-2", f"server-{place.guild.id}")
    registry.add("other-1", "server-77")
    page = await _said(place, place.bob, "voice list")
    assert "◉ `fake-1`" in page
    assert "○ `fake-2` · this server's own" in page
    assert "other-1" not in page
    assert "`fake-2` is heard" in await _said(place, place.admin, "voice use", version="fake-2")
    for unclear in ("other-1", "fake"):
        assert "no such version" in await _said(place, place.admin, "voice use", version=unclear)
    await place.poem(theme="秋夜")
    assert poet.batches == [], "another version wrote it"
    assert "`fake-1` is heard" in await _said(place, place.admin, "voice rollback")
    assert "nothing to go back to" in await _said(place, place.admin, "voice rollback")
    await place.poem(theme="秋夜")
    assert len(poet.batches) == 1
    place.env.errors.clear()


async def test_compared_versions_are_named_after_the_pick(
    place: Place, services: Services, registry: FakeRegistry, rows: Rows
) -> None:
    assert "only one version" in await _said(place, place.bob, "voice compare")
    registry.add("fake-2", f"server-{place.guild.id}")
    assert "one and the same" in await _said(place, place.bob, "voice compare", first="fake-2", second="fake-2")
    assert "did you mean autumn moon, " in await _said(place, place.bob, "voice compare", theme="autum moon")
    result = await place.bob.slash(place.channel, "voice compare", theme="autumn moon")
    assert result.ephemeral
    assert result.response is not None
    assert "秋月" in result.response.content
    assert "fake" not in result.response.content
    assert labels(result.response) == ["1", "2"]
    assert await place.bob.autocomplete(place.channel, "show", "poem", "") == [], "which would tell"
    with pytest.raises(BotError, match="Only the person"):
        await services.comparing.pick(Asker(place.alice.id, place.guild.id), 1, 1)
    await place.bob.click(result.response, label="2")
    assert rows("SELECT picked FROM comparisons") == [(2,)]
    assert rows("SELECT used FROM usage") == [(1,)], "it is one of the quota"
    assert {version for (version,) in rows("SELECT version FROM poems")} == {"fake-1", "fake-2"}
    assert rows("SELECT DISTINCT purpose FROM poems") == [("compare",)]
    place.env.errors.clear()


async def test_latest_other_version_is_compared_in_an_order_drawn_by_lot(
    services: Services, registry: FakeRegistry
) -> None:
    for name in ("fake-2", "fake-3"):
        registry.add(name, None)
    versions = await services.comparing.versions(5, "", "")
    assert versions == ("fake-1", "fake-3")
    shown_first = set()
    for seed in range(8):
        async with Comparing(services.poems, random.Random(seed)).asked(Asker(1, 5), "秋夜", versions) as composing:
            shown_first.add((await composing)[1].version)
    assert shown_first == set(versions)


async def test_privacy_shows_exports_and_deletes(place: Place, simcord_bot: PoetBot, rows: Rows) -> None:
    first = await place.poem(theme="秋夜", acrostic="春")
    second = await place.poem(theme="自家題")
    theirs = (await place.bob.slash(place.channel, "poem")).response
    assert theirs is not None
    await place.alice.react(theirs, "👍")
    await place.bob.react(first, "👍")
    page = await _said(place, place.alice, "privacy show")
    assert "poems asked for: 2 · votes: 1 · " in page
    result = await place.alice.slash(place.channel, "privacy export")
    assert result.ephemeral
    assert result.response is not None
    [attachment] = result.response.attachments
    exported = json.loads(await attachment.read())
    assert [poem["theme"] for poem in exported["poems"]] == ["秋夜", "自家題"]
    assert [vote["poem_id"] for vote in exported["votes"]] == [3]

    asked = await place.alice.slash(place.channel, "privacy delete")
    assert asked.response is not None
    await place.alice.click(asked.response, label="Delete my data")
    assert rows("SELECT id, theme, requester_id FROM poems ORDER BY id") == [(2, "", -1), (3, "", place.bob.id)]
    assert rows("SELECT title FROM poems WHERE id = 2") == [("無題",)]
    assert rows("SELECT * FROM votes") == []
    assert rows(f"SELECT * FROM usage WHERE member_id = {place.alice.id}") == []
    assert str(place.alice.id) not in str(rows("SELECT * FROM forgotten"))

    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    cog.pause_seconds = 0.0
    await place.bob.react(theirs, "👎")
    rows.run("DELETE FROM votes")
    await cog.catch_up()
    assert rows.votes() == [(3, place.bob.id, -1)], "the reaction left behind is no vote any more, another's still is"
    rows.run("UPDATE poems SET created_at = created_at + 100000000")
    await cog.catch_up()
    assert (3, place.alice.id, 1) in rows.votes(), "under a later poem it is one"

    # What was asked for is not known any more, but Discord knows who asked.
    gone, kept = first, second
    await place.alice.context_menu(place.channel, "Delete poem", gone)
    refused = await place.bob.context_menu(place.channel, "Delete poem", kept)
    assert "moderator" in str(refused.response and refused.response.content)
    await place.alice.context_menu(place.channel, "Delete poem", kept)
    shown = {message.id for message in place.channel.history()}
    assert not shown & {gone.id, kept.id}
    assert rows("SELECT id FROM poems") == [(3,)]
    place.env.errors.clear()


async def test_help_and_about_fit_and_say_what_is_stored(place: Place, services: Services) -> None:
    assert "`/poem`" in await _said(place, place.bob, "help")
    assert "classical Chinese poems" in await _said(place, place.bob, "about")


async def test_poem_is_deleted_by_its_requester_or_a_moderator_only(place: Place, rows: Rows) -> None:
    first, second = await place.poem(), await place.poem()
    refused = await place.bob.context_menu(place.channel, "Delete poem", first)
    assert refused.response is not None
    assert "moderator" in refused.response.content
    await place.alice.context_menu(place.channel, "Delete poem", first)
    await place.admin.context_menu(place.channel, "Delete poem", second)
    assert rows("SELECT id FROM poems") == []
    assert place.channel.last_message is None or place.channel.last_message.id not in (first.id, second.id)
    chat = await place.bob.send(place.channel, "hello")
    nothing = await place.bob.context_menu(place.channel, "Delete poem", chat)
    assert nothing.response is not None
    assert "no poem of mine" in nothing.response.content
    place.env.errors.clear()


async def test_a_card_can_be_deleted_and_reported(
    simcord_env: simcord.Env, place: Place, services: Services, rows: Rows
) -> None:
    if not services.cards.available:
        pytest.skip("no Chinese face is installed: apt install fonts-lxgw-wenkai")
    poem = await place.poem()
    first, second = [(await place.bob.click(poem, label="Card")).response for _ in range(2)]
    assert first is not None
    assert second is not None
    refused = await place.alice.context_menu(place.channel, "Delete poem", first.message)
    assert "moderator" in str(refused.response and refused.response.content)
    await place.bob.context_menu(place.channel, "Delete poem", first.message)
    assert rows("SELECT id, message_id FROM poems") == [(1, poem.id)], "a card is gone, its poem is not"
    carol = place.guild.add_member(simcord_env.create_user("carol"))
    for member in (place.bob, carol, place.admin):
        await member.context_menu(place.channel, "Report poem", second.message)
    assert rows("SELECT hidden FROM poems") == [(1,)]
    texts = {message.id: message.content for message in place.channel.history()}
    assert "was reported" in texts[poem.id]
    assert "was reported" in texts[second.id]
    place.env.errors.clear()


async def test_three_reports_hide_a_poem_and_are_told(simcord_env: simcord.Env, place: Place, rows: Rows) -> None:
    reports = place.guild.create_text_channel("reports")
    await place.admin.slash(place.channel, "settings reports", channel=reports)
    poem = await place.poem(theme="秋夜")
    carol = place.guild.add_member(simcord_env.create_user("carol"))
    for member in (place.bob, place.bob, carol):
        await member.context_menu(place.channel, "Report poem", poem)
    assert rows("SELECT hidden FROM poems") == [(0,)], "twice by the same person is once"
    result = await place.admin.context_menu(place.channel, "Report poem", poem)
    assert result.ephemeral
    assert rows("SELECT hidden FROM poems") == [(1,)]
    shown = place.channel.last_message
    assert shown is not None
    assert "was reported" in shown.content
    assert shown.components == []
    told = reports.last_message
    assert told is not None
    assert "after 3 reports" in told.content
    assert told.content.endswith("||一道殘陽鋪水中\n半江瑟瑟半江紅\n可憐九月初三夜\n露似真珠月似弓||"), (
        "hidden until asked for"
    )


async def test_poem_that_is_deleted_while_it_is_reported_is_said_to_be_gone(
    place: Place, services: Services, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    poem, report = await place.poem(), services.store.votes.report

    async def too_late(poem_id: int, reporter_id: int) -> int | None:
        await services.store.poems.delete(poem_id)
        return await report(poem_id, reporter_id)

    monkeypatch.setattr(services.store.votes, "report", too_late)
    result = await place.bob.context_menu(place.channel, "Report poem", poem)
    assert result.response is not None
    assert result.response.content == "That poem is not there any more."
    assert rows("SELECT * FROM reports") == []
    place.env.errors.clear()


async def test_daily_poem_is_set_posted_once_and_stopped(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows
) -> None:
    page = await _said(place, place.admin, "daily set", channel=place.channel, time="08:30", form="wujue")
    assert "at 08:30 (UTC)" in page
    assert "looks like 08:30" in await _said(place, place.admin, "daily set", channel=place.channel, time="25:00")
    cog = simcord_bot.get_cog("daily")
    assert isinstance(cog, DailyCog)
    rows.run("UPDATE dailies SET since = 0")
    await cog.daily_poems.post_due()
    await cog.daily_poems.post_due()
    await simcord_env.settle()
    assert rows("SELECT count(*), min(form), min(purpose) FROM poems") == [(1, "wujue", "daily")]
    posted = place.channel.last_message
    assert posted is not None
    assert posted.content.startswith("-# The poem of the day\n")
    assert [str(reaction.emoji) for reaction in posted.reactions] == ["👍", "👎"]
    assert rows("SELECT posted FROM daily_poems") == [(1,)]
    assert "yin-1" in [body.get("nonce") for body in place.bodies("POST")], "by it Discord takes no poem twice"
    assert "no poem a day any more" in await _said(place, place.admin, "daily off")
    simcord_env.errors.clear()


async def test_daily_poem_is_rated_by_buttons_where_the_bot_may_not_react(
    simcord_env: simcord.Env, place: Place, simcord_bot: PoetBot, rows: Rows
) -> None:
    bare = discord.PermissionOverwrite(add_reactions=False)
    channel = place.guild.create_text_channel("bare", overwrites={place.guild.default_role: bare})
    await _said(place, place.admin, "daily set", channel=channel, time="08:30")
    rows.run("UPDATE dailies SET since = 0")
    cog = simcord_bot.get_cog("daily")
    assert isinstance(cog, DailyCog)
    await cog.daily_poems.post_due()
    await simcord_env.settle()
    assert labels(channel.last_message)[-2:] == ["0", "0"]
    assert not any("/reactions/" in request.path for request in simcord_env.http_requests), "none was tried"


async def test_owner_has_no_more_rights_elsewhere_than_others(
    place: Place, simcord_bot: PoetBot, services: Services, rows: Rows
) -> None:
    poem = await place.poem()
    simcord_bot.owner_id = place.bob.id
    refused = await place.bob.context_menu(place.channel, "Delete poem", poem)
    assert "moderator" in str(refused.response and refused.response.content)
    assert rows("SELECT id FROM poems") == [(1,)]
    place.env.errors.clear()


async def test_owner_commands_are_in_the_owners_server_for_the_owner(
    simcord_env: simcord.Env, simcord_bot: PoetBot, registry: FakeRegistry
) -> None:
    home = simcord_env.create_guild(id=OWNER_GUILD)
    channel = home.create_text_channel("owner")
    role = home.create_role("admins", permissions=discord.Permissions(administrator=True))
    boss = home.add_member(simcord_env.create_user("boss"), roles=[role])
    other = home.add_member(simcord_env.create_user("other"), roles=[role])
    simcord_bot.owner_id = boss.id
    for command, options in (
        ("status", {}), ("voice", {"action": "use", "version": "fake-1"}), ("finetune", {"action": "history"})
    ):  # fmt: skip
        refused = await other.slash(channel, f"owner {command}", **options)
        assert refused.response is not None
        assert "my owner only" in refused.response.content
    status = await boss.slash(channel, "owner status")
    assert status.response is not None
    assert "version `fake-1`" in status.response.content
    registry.add("fake-2", None)
    used = await boss.slash(channel, "owner voice", action="use", version="fake-2")
    assert used.response is not None
    assert registry.current() == "fake-2"
    listed = await boss.slash(channel, "owner voice", action="list")
    assert listed.response is not None
    assert "◉ `fake-2`" in listed.response.content
    few = await boss.slash(channel, "owner finetune", action="start")
    assert few.response is not None
    assert "too little to learn from" in few.response.content
    simcord_env.errors.clear()


async def test_what_is_wrong_with_a_version_is_told_to_the_owner_alone(
    simcord_env: simcord.Env, simcord_bot: PoetBot, place: Place, registry: FakeRegistry,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def damaged(_: str | None) -> list[Version]:
        raise CheckpointError("/home/yin/x is damaged.")

    monkeypatch.setattr(registry, "versions_of", damaged)
    channel, boss, other = owners_server(simcord_env, OWNER_GUILD, simcord_bot)
    told = await boss.slash(channel, "owner voice", action="list")
    assert told.response is not None
    assert told.response.content == "/home/yin/x is damaged."
    assert "is damaged" not in caplog.text
    theirs = await other.slash(channel, "voice list")
    assert theirs.response is not None
    for said in (theirs.response.content, await _said(place, place.admin, "voice list")):
        found = re.search(r"log as ([0-9a-f]{8})", said)
        assert found
        assert f"error {found[1]}" in caplog.text
    assert "/home/yin/x is damaged." in caplog.text
    simcord_env.errors.clear()


async def test_servers_missed_while_away_are_noted_and_user_installs_left_alone(
    place: Place, services: Services, rows: Rows
) -> None:
    await place.poem()
    rows.run("UPDATE poems SET guild_id = 123")  # asked for by somebody who has the bot for themselves
    servers = services.store.servers
    await servers.joined(place.guild.id)
    await servers.present({5, 6})
    await servers.present({6, 7})
    assert rows("SELECT guild_id FROM servers WHERE left_at IS NOT NULL AND guild_id < 100") == [(5,)]
    await servers.present({5, 6, 7})
    assert rows("SELECT guild_id FROM servers WHERE left_at IS NOT NULL AND guild_id < 100") == []
    assert await servers.left_before(now_ms() + 1000) == [place.guild.id]
    await servers.erase(place.guild.id)
    assert rows("SELECT guild_id FROM poems") == [(123,)]


async def test_owner_commands_are_nowhere_else(simcord_bot: PoetBot, simcord_env: simcord.Env) -> None:
    assert "owner" not in [command.name for command in simcord_bot.tree.get_commands()]


async def test_left_server_is_erased_after_thirty_days_unless_it_returns(
    simcord_bot: PoetBot, place: Place, services: Services, registry: FakeRegistry, rows: Rows
) -> None:
    await place.poem()
    registry.add("fake-2", f"server-{place.guild.id}")
    await services.store.notes.keep_retry("abcd", place.bob.id, "{}")
    await services.store.people.forget(place.bob.id)
    await services.store.notes.keep_retry("efgh", place.alice.id, "{}")
    await place.admin.slash(place.channel, "settings script", script="traditional")
    await services.store.servers.left(place.guild.id)
    assert await services.store.servers.left_before(now_ms() - 1000) == [], "not yet"
    await services.store.servers.joined(place.guild.id)
    assert await services.store.servers.left_before(now_ms() + 1000) == [], "it came back"
    await services.store.servers.left(place.guild.id)
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    await cog.erase(now_ms() - 1000)
    assert registry.names() == ["fake-1", "fake-2"]
    assert rows("SELECT id FROM retries") == [("efgh",)]
    assert rows("SELECT count(*) FROM forgotten") == [(1,)]
    await cog.erase(now_ms() + 1000)
    for table in ("poems", "servers", "usage", "retries", "forgotten"):
        assert rows(f"SELECT * FROM {table}") == []
    assert registry.names() == ["fake-1"]


async def test_failed_menu_keeps_nobodys_message(
    simcord_env: simcord.Env, place: Place, services: Services, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = await place.poem()

    async def broken(*_: object) -> None:
        raise RuntimeError("the disk fell over")

    monkeypatch.setattr(services.store.votes, "report", broken)
    failed = await place.bob.context_menu(place.channel, "Report poem", message)
    assert failed.response is not None
    assert "log as" in failed.response.content
    assert labels(failed.response) == []
    assert rows("SELECT * FROM retries") == []
    monkeypatch.setattr(services.store.servers, "choose", broken)
    failed = await place.admin.slash(place.channel, "settings channel", channel=place.channel)
    assert failed.response is not None
    assert labels(failed.response) == ["Try again"]
    monkeypatch.undo()
    [(data,)] = rows("SELECT data FROM retries")
    assert list(json.loads(str(data))["resolved"]) == ["channels"]
    again = await place.admin.click(failed.response, label="Try again")
    assert again.response is not None
    assert f"<#{place.channel.id}>" in again.response.content
    simcord_env.errors.clear()


async def test_server_that_cannot_be_erased_is_tried_again_and_holds_up_nothing_else(
    simcord_bot: PoetBot, place: Place, services: Services, registry: FakeRegistry, rows: Rows,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await services.store.servers.joined(place.guild.id)
    for guild_id in (5, 6):
        await services.store.servers.joined(guild_id)
    rows.run("UPDATE servers SET left_at = 1")
    await services.store.notes.keep_retry("abcd", place.bob.id, "{}")
    rows.run("UPDATE retries SET created_at = 1")
    for day in ("2020-01-01", "2999-01-01"):
        rows.run(f"INSERT INTO daily_poems VALUES ({place.guild.id}, '{day}', NULL, 1)")
    erase, failures = registry.erase, [OSError("a disk that may not be written")]

    def failing_once(voice: str) -> None:
        if voice == "server-5" and failures:
            raise failures.pop()
        erase(voice)

    monkeypatch.setattr(registry, "erase", failing_once)
    monkeypatch.setattr("bot.cogs.catchup._ERASE_EVERY_SECONDS", 0.3)
    cog = simcord_bot.get_cog("CatchUpCog")
    assert isinstance(cog, CatchUpCog)
    erasing = asyncio.create_task(cog._erase_now_and_then())
    await until(lambda: rows("SELECT id FROM retries") == [])
    await until(lambda: rows("SELECT day FROM daily_poems") == [("2999-01-01",)])
    assert rows("SELECT guild_id FROM servers ORDER BY guild_id") == [(5,), (place.guild.id,)]
    assert "server 5 could not be erased" in caplog.text
    monkeypatch.setattr(simcord_bot.services.store.notes, "forget_retries", None)  # so that a round fails
    await until(lambda: rows("SELECT guild_id FROM servers") == [(place.guild.id,)])
    await until(lambda: "for a while only could not be erased" in caplog.text)
    assert rows("SELECT left_at FROM servers") == [(None,)], "the bot is there again"
    assert not erasing.done()
    erasing.cancel()
