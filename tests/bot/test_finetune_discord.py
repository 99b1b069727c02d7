"""/finetune in the simulated Discord, with real child processes: asked, confirmed, shown, ended, cancelled."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import simcord

from bot.beside import compose_beside
from bot.client import PoetBot
from bot.cogs.finetune import FinetuneCog
from bot.services import Services
from poetgen.errors import CheckpointError, UnwrittenError
from tests.bot.conftest import OWNER_GUILD, FakeRegistry, Rows, Trainer
from tests.bot.discord_place import Place, hold_to_the_limits, labels, owners_server

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002000001e221bc330000"
    "000049454e44ae426082"
)


@pytest.fixture
def place(simcord_env: simcord.Env, simcord_bot: PoetBot) -> Iterator[Place]:
    cog = simcord_bot.get_cog("finetune")
    assert isinstance(cog, FinetuneCog)
    cog.edit_seconds = 0.0
    yield Place(simcord_env)
    hold_to_the_limits(simcord_env)


async def _voted(place: Place) -> None:
    poem = await place.poem(theme="秋夜")
    await place.bob.react(poem, "👍")
    await place.admin.react(poem, "👎")


async def _started(place: Place) -> None:
    asked = await place.admin.slash(place.channel, "finetune start")
    assert asked.ephemeral
    assert asked.response is not None
    assert "from 1 poems with 2 votes by 2 voters" in asked.response.content
    assert labels(asked.response) == ["Start"]
    await place.admin.click(asked.response, label="Start")


async def _state(rows: Rows, state: str) -> None:
    async with asyncio.timeout(20):
        while rows("SELECT state FROM jobs ORDER BY id DESC LIMIT 1") != [(state,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_promoted_voice_is_shown_beside_the_old_one(
    place: Place, simcord_env: simcord.Env, trainer: Trainer, registry: FakeRegistry, rows: Rows, tmp_path: Path
) -> None:
    plot = tmp_path / "plot.png"
    plot.write_bytes(PNG)
    registry.add("new-1", f"server-{place.guild.id}")
    trainer.write(
        "stage('discriminator', 0.5)\ntime.sleep(0.2)\nstage('gate', 0.9)\ntime.sleep(0.2)\n"
        f"said(version='new-1', verdict='promoted', reasons=[], before=dict(a=1), after=dict(a=2), plot={str(plot)!r})"
    )
    await _voted(place)
    await _started(place)
    await simcord_env.settle()
    await _state(rows, "promoted")
    await simcord_env.settle()
    edits = [body["content"] for body in place.bodies("PATCH") if "▓" in (body.get("content") or "")]
    assert any("50 %" in edit and "The discriminator learns" in edit for edit in edits)
    edits = [body.get("content") or "" for body in place.bodies("PATCH")]
    assert any("promoted: this voice is heard" in edit and "1.000 →     2.000" in edit for edit in edits)
    last = place.channel.last_message
    assert last is not None
    assert last.content.count("-# before") == last.content.count("-# after") == 3
    assert [attachment.filename for attachment in last.attachments] == ["reward-1.png"]
    history = await place.admin.slash(place.channel, "finetune history")
    assert history.response is not None
    assert "**#1**" in history.response.content


async def test_cancelled_by_its_button_and_then_there_is_none(
    place: Place, simcord_env: simcord.Env, trainer: Trainer, services: Services, rows: Rows
) -> None:
    await _voted(place)
    refused = await place.admin.slash(place.channel, "finetune status")
    assert refused.response is not None
    assert "no fine-tune" in refused.response.content
    # Queued and not begun, so that the simulated Discord need not wait for a process of ours.
    services.finetuning._started = False
    await _started(place)
    shown = place.channel.last_message
    assert shown is not None
    assert "In the queue; 0 before it." in shown.content
    status = await place.admin.slash(place.channel, "finetune status")
    assert status.response is not None
    assert "In the queue" in status.response.content
    again = await place.admin.slash(place.channel, "finetune start")
    assert again.response is not None
    twice = await place.admin.click(again.response, label="Start")
    assert twice.response is not None
    assert "under way already" in twice.response.content
    not_theirs = await place.bob.click(shown, label="Cancel")
    assert not_theirs.response is not None
    assert "Manage Server" in not_theirs.response.content
    await place.admin.click(shown, label="Cancel")
    assert rows("SELECT state FROM jobs") == [("cancelled",)]
    await simcord_env.settle()
    ended = place.channel.last_message
    assert ended is not None
    assert "cancelled: the old voice stays" in ended.content
    simcord_env.errors.clear()


async def test_shared_one_is_cancelled_by_the_owner_alone(
    place: Place, simcord_env: simcord.Env, simcord_bot: PoetBot, services: Services, rows: Rows
) -> None:
    await _voted(place)
    services.finetuning._started = False
    channel, boss, other = owners_server(simcord_env, OWNER_GUILD, simcord_bot)
    asked = await boss.slash(channel, "owner finetune", action="start")
    assert asked.response is not None
    await boss.click(asked.response, label="Start")
    shown = channel.last_message
    assert shown is not None
    refused = await other.click(shown, label="Cancel")
    assert "my owner only" in str(refused.response and refused.response.content)
    assert rows("SELECT guild_id, state FROM jobs") == [(None, "queued")]
    await boss.click(shown, label="Cancel")
    assert rows("SELECT state FROM jobs") == [("cancelled",)]
    simcord_env.errors.clear()


@pytest.mark.parametrize(
    ("codes", "language", "told"),
    [
        (["time"], "zh-CN", "没有在限定的时间内完成"),
        (["time"], "en", "not done in the minutes it may take"),
        (["few"], "zh-TW", "有票的詩已少到"),
        (["alike"], "zh-CN", "👍 和 👎 都要有"),
        ([UnwrittenError.code], "zh-TW", "新版本無法寫入"),
        ([CheckpointError.code], "en", "could not be read"),
        ([], "en", "ended with an error"),
    ],
)
async def test_why_it_failed_is_told_in_the_servers_language_and_logged_as_it_was_said(
    place: Place, simcord_env: simcord.Env, trainer: Trainer, rows: Rows, caplog: pytest.LogCaptureFixture,
    codes: list[str], language: str, told: str,
) -> None:  # fmt: skip
    sentence = "/home/yin/x is what it is about. Make room."
    trainer.write(f"said(version=None, verdict='failed', reasons={codes!r}, error={sentence!r})\nsys.exit(2)")
    await place.admin.slash(place.channel, "settings language", language=language)
    await _voted(place)
    await _started(place)
    await _state(rows, "failed")
    await simcord_env.settle()
    shown = [body["content"] for body in place.bodies("PATCH") if "#1" in (body.get("content") or "")][-1]
    assert told in shown
    assert "/home" not in shown
    assert sentence in caplog.text


async def test_result_is_posted_anew_if_the_message_was_deleted(
    place: Place, simcord_env: simcord.Env, services: Services, rows: Rows
) -> None:
    await _voted(place)
    services.finetuning._started = False  # until the message is gone
    await _started(place)
    shown = place.channel.last_message
    assert shown is not None
    await place.admin.delete(shown)
    await services.finetuning.start()
    await _state(rows, "rejected")
    await simcord_env.settle()
    ended = place.channel.last_message
    assert ended is not None
    assert ended.id > shown.id
    assert "the old voice stays" in ended.content
    assert ended.components == []


async def test_one_that_a_crash_left_behind_is_told_in_its_message(
    place: Place, simcord_env: simcord.Env, simcord_bot: PoetBot, services: Services, rows: Rows
) -> None:
    await _voted(place)
    services.finetuning._started = False
    await _started(place)
    rows.run("UPDATE jobs SET state = 'running'")
    await simcord_env.restart_bot(PoetBot(services))
    await _state(rows, "failed")
    await simcord_env.settle()
    shown = place.channel.last_message
    assert shown is not None
    assert rows("SELECT message_id FROM jobs") == [(shown.id,)]
    assert "#1" in shown.content
    assert "queue" not in shown.content
    assert shown.components == []


async def test_where_the_bot_may_not_write_it_begins_and_says_so(
    place: Place, simcord_env: simcord.Env, services: Services, rows: Rows
) -> None:
    await _voted(place)
    services.finetuning._started = False
    simcord_env.inject_error("POST", "/channels/*/messages", status=403, code=50001)
    await _started(place)
    assert rows("SELECT state, message_id FROM jobs") == [("queued", None)]
    said = " ".join(str(body.get("content") or body.get("data")) for body in place.bodies("POST"))
    assert "I may not write in this channel" in said


async def test_poems_beside_each_other_hold_no_word_on_the_servers_list(
    place: Place, services: Services, rows: Rows, registry: FakeRegistry
) -> None:
    await _voted(place)
    services.finetuning._started = False
    await _started(place)
    job = await services.store.jobs.get(1)
    assert job is not None
    both = replace(job, version="new-1")
    assert len(await compose_beside(services.poems, both)) == 3
    await services.store.servers.choose(place.guild.id, lambda chosen: replace(chosen, words=("初三",)))
    assert await compose_beside(services.poems, both) == []


async def test_too_few_votes_are_refused_privately(place: Place, simcord_env: simcord.Env) -> None:
    refused = await place.admin.slash(place.channel, "finetune start")
    assert refused.ephemeral
    assert refused.response is not None
    assert "too little to learn from yet: 0 of 1 poems" in refused.response.content
    simcord_env.errors.clear()
