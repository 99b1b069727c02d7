"""The whole program against a small server that speaks Discord's protocol: refused, unreachable, connected, stopped."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.doctor import PERMISSIONS, Finding, examine
from bot.settings import Settings
from tests.bot.conftest import Rows
from tests.bot.discord_server import TOKEN, USER, Discord, discord_server, in_server, option, ready, start, stopped

server = discord_server


async def test_wrong_token_one_sentence(server: Discord, tmp_path: Path) -> None:
    program = await start(tmp_path, server.address, server.gateway, token=TOKEN.replace("a", "b"))
    _, said = await asyncio.wait_for(program.communicate(), 30)
    assert program.returncode == 2
    assert said.decode() == "Discord refuses the DISCORD_TOKEN; copy the token anew from the developer portal.\n"


@pytest.mark.parametrize("missing", ["all of it", "the gateway"])
async def test_unreachable_discord_one_sentence(server: Discord, tmp_path: Path, missing: str) -> None:
    address = server.address if missing == "the gateway" else "http://127.0.0.1:1"
    program = await start(tmp_path, address, "ws://127.0.0.1:1", level="WARNING")
    _, said = await asyncio.wait_for(program.communicate(), 30)
    assert program.returncode == 75, "a network comes back, so a service is started again"
    *logged, sentence = said.decode().splitlines()
    assert sentence.startswith("Discord cannot be reached")
    assert logged == [] or missing == "the gateway", "only discord.py itself logs more"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_leaves_discord_cleanly(server: Discord, tmp_path: Path, number: signal.Signals) -> None:
    program = await start(tmp_path, server.address, server.gateway, level="DEBUG")
    await asyncio.wait_for(server.ready.wait(), 30)
    program.send_signal(number)
    _, logged = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 0, logged.decode()
    await asyncio.wait_for(server.left.wait(), 5)
    assert ("PUT", f"/applications/{USER['id']}/commands") in server.requests
    assert TOKEN.encode() not in logged
    assert b"Traceback" not in logged
    assert not (tmp_path / "data" / "yin.db-wal").exists(), "the database was closed"


async def test_other_locales_and_user_installs(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path)
    user = 770_077_007_700  # so long that no time of day holds it
    told = await server.answer(await server.command("poem", option("theme", "🍂"), locale="zh-TW", user_id=user))
    assert told["content"].startswith("題目只能用我讀過的漢字")
    assert told["flags"] == 64
    assert (
        "`/poem`（写诗）" in (await server.answer(await server.command("help", locale="zh-CN", user_id=78)))["content"]
    )
    assert "writes a poem" in (await server.answer(await server.command("help", locale="ja", user_id=79)))["content"]

    thread = {
        "id": "9", "type": 11, "guild_id": "55", "parent_id": "8", "owner_id": "80", "name": "t", "message_count": 1,
        "member_count": 1, "thread_metadata": {
            "archived": False, "auto_archive_duration": 60, "archive_timestamp": "2026-01-01T00:00:00+00:00",
        }, "flags": 0,
    }  # fmt: skip
    for number, channel in ((80, {}), (81, {"channel": thread})):
        token = await server.command(
            "poem", option("theme", "秋夜"), user_id=number, **in_server(number, "zh-CN"), **channel
        )
        poem = await server.answer(token, edited=True)
        assert "韵部 东" in poem["content"], "a public part, so in the server's language"
        assert [len(row["components"]) for row in poem["components"]][-1] == 2, "no member there, so votes by buttons"
    logged = await stopped(program)
    assert str(user) not in logged, "no user ids at INFO"


async def test_manager_of_a_server_with_only_its_commands_is_told_to_invite_the_bot(
    server: Discord, tmp_path: Path
) -> None:
    program = await ready(server, tmp_path)
    channel = {"id": "9", "type": 0, "name": "poems", "permissions": "0"}
    daily = [option("channel", "9", 7), option("time", "08:30")]
    for user_id, (name, subcommand, options) in enumerate(
        [("settings", "script", [option("script", "traditional")]), ("daily", "set", daily)], 80
    ):
        data = {
            "id": "1", "name": name, "type": 1, "resolved": {"channels": {"9": channel}},
            "options": [{"name": subcommand, "type": 1, "options": options}],
        }  # fmt: skip
        token = await server.interact(2, data, user_id, **in_server(user_id, permissions=0x20))
        assert (await server.answer(token))["content"].startswith("I am not a member of this server")
    assert "ERROR" not in await stopped(program)
    rows = Rows(tmp_path / "data" / "yin.db")
    assert rows("SELECT guild_id FROM servers UNION SELECT guild_id FROM dailies") == []


async def test_commands_of_another_program_are_replaced_once_they_are_used(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path)
    told = ("PUT", f"/applications/{USER['id']}/commands")
    assert server.requests.count(told) == 1
    for user_id in (1, 2):  # what a newer program had told Discord of, before an older one was put back
        answer = await server.answer(await server.command("sonnet", user_id=user_id))
        assert "That command has changed" in answer["content"]
    async with asyncio.timeout(5):
        while server.requests.count(told) < 2:  # noqa: ASYNC110 (until it is)
            await asyncio.sleep(0.02)
    await server.answer(await server.command("help", user_id=3))
    await stopped(program)
    assert server.requests.count(told) == 2, "not with each use"


async def test_doctor_asks_discord_where_the_bot_is_and_what_it_may(
    server: Discord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("discord.http.Route.BASE", server.address)
    every = str(PERMISSIONS)
    settings = Settings(_env_file=None, discord_token=TOKEN, database_url=f"sqlite+aiosqlite:///{tmp_path}/yin.db")

    async def found(**values: object) -> dict[str, Finding]:
        return {finding.what: finding for finding in await examine(settings.model_copy(update=values))}

    refused = (await found(discord_token=SecretStr(TOKEN.replace("a", "b"))))["token"]
    assert refused.line() == "FAIL token: Discord refuses it; copy it anew from the developer portal."
    assert (await found())["permissions"].well is None, "it is in no server yet"
    server.guilds = [{"id": str(number), "name": f"s{number}", "permissions": every} for number in range(1, 251)]
    looks = await found(owner_guild_id=250)
    assert looks["permissions"].line() == "ok   permissions: I have them in all 250 servers, channels' own rules aside."
    assert looks["owner"].line() == "ok   owner: /owner is in the server s250."
    server.guilds[2]["permissions"] = "8"  # an administrator may everything
    server.guilds[3]["permissions"] = str(PERMISSIONS - 0x40)
    looks = await found(owner_guild_id=251)
    assert looks["permissions"].well is False
    assert "missing in s4 (add_reactions);" in looks["permissions"].said
    assert looks["owner"].well is False
    assert "not in the server 251" in looks["owner"].said


async def test_rate_limit_and_server_error_are_waited_out(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path)
    limited = {"message": "You are being rate limited.", "retry_after": 0.3, "global": False}
    server.failures = [("@original", 429, limited), ("@original", 500, {"message": "500", "code": 0})]
    poem = await server.answer(await server.command("poem", option("theme", "秋夜")), edited=True)
    assert "秋夜" in poem["content"]
    assert server.failures == []
    await stopped(program)


async def test_interaction_that_somebody_else_acknowledged_is_answered_behind(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path)
    already = {"message": "Interaction has already been acknowledged.", "code": 40060}
    server.failures = [("/callback", 400, already)]
    told = await server.answer(await server.command("help"), edited=True)
    assert "`/poem` writes a poem" in told["content"]
    assert told["flags"] == 64, "still for one only"
    server.failures = [("/callback", 400, already)] * 2
    poem = await server.answer(await server.command("poem", option("theme", "秋夜"), user_id=5), edited=True)
    assert "秋夜" in poem["content"]
    assert "Traceback" not in await stopped(program)


async def test_acknowledged_within_300_ms_while_composing(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path, "1.5")
    await server.answer(await server.command("help", user_id=1))  # the first one pays for what is set up late
    composing = await server.command("poem", option("theme", "秋夜"), user_id=2)
    seconds = []
    for number in range(20):
        started = time.monotonic()
        await server.answer(await server.command("help", user_id=10 + number))
        seconds.append(time.monotonic() - started)
    assert sorted(seconds)[18] < 0.3, seconds
    await server.answer(composing, edited=True)
    await stopped(program)


async def test_sigterm_in_the_middle_of_a_poem_finishes_it(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path, "2")
    token = await server.command("poem", option("theme", "秋夜"))
    await server.answer(token)
    await asyncio.sleep(0.3)
    started = time.monotonic()
    await stopped(program)
    assert time.monotonic() - started < 10
    assert "秋夜" in (await server.answer(token, edited=True))["content"]
    rows = Rows(tmp_path / "data" / "yin.db")
    assert rows("SELECT theme, message_id IS NOT NULL FROM poems") == [("秋夜", 1)]


async def test_sigterm_gives_a_poem_back_that_takes_too_long(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path, "30")
    token = await server.command("poem", option("theme", "秋夜"))
    await server.answer(token)
    await asyncio.sleep(0.3)
    started = time.monotonic()
    await stopped(program)
    assert time.monotonic() - started < 10
    assert "about to restart" in (await server.answer(token, edited=True))["content"]
    assert Rows(tmp_path / "data" / "yin.db")("SELECT used FROM usage") == [(0,)]


async def test_kill_9_loses_no_vote_that_was_answered(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path)
    poem = await server.answer(await server.command("poem", option("theme", "秋夜")), edited=True)
    ups = [c["custom_id"] for row in poem["components"] for c in row["components"] if ":up:" in c["custom_id"]]
    tokens: dict[int, str] = {}
    started = time.monotonic()
    for number in range(400):  # two seconds of two hundred a second
        await asyncio.sleep(max(0.0, started + number / 200 - time.monotonic()))
        tokens[1000 + number] = await server.press(ups[0], 1000 + number)
    program.kill()
    await program.wait()
    await asyncio.sleep(0.1)
    answered = {user for user, token in tokens.items() if server.answered[token].is_set()}
    kept = {voter for (voter,) in Rows(tmp_path / "data" / "yin.db")("SELECT voter_id FROM votes")}
    assert len(answered) > 50, "it was busy when it was killed"
    assert answered <= kept


async def test_logs_are_json_by_setting(server: Discord, tmp_path: Path) -> None:
    program = await ready(server, tmp_path, LOG_FORMAT="json")
    for line in (await stopped(program)).splitlines():
        assert {"asctime", "levelname", "name", "message"} <= json.loads(line).keys()
