"""The whole program against a small server that speaks Discord's protocol: refused, unreachable, connected, stopped."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from bot.settings import Settings

ROOT = Path(__file__).parents[2]
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"
_USER = {"id": "123456789012345678", "username": "yin", "discriminator": "0", "avatar": None, "bot": True}

_PROGRAM = """
import sys, bot.__main__ as program, discord.http, discord.gateway, yarl
from tests.bot.conftest import FakePoet
program.load_poet = lambda home, num_threads: FakePoet()
discord.http.Route.BASE, gateway = sys.argv[1:]
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
sys.exit(program.main())
"""


def _json(content: object, status: int = 200) -> web.Response:
    # Without a charset, as Discord sends it; discord.py takes anything else for text.
    return web.Response(body=json.dumps(content), status=status, headers={"Content-Type": "application/json"})


class Discord:
    """A server that knows one token, and lets one bot connect."""

    def __init__(self) -> None:
        self.address = self.gateway = ""
        self.ready = asyncio.Event()
        self.left = asyncio.Event()
        self.requests: list[tuple[str, str]] = []

    async def rest(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        if request.headers.get("Authorization") != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        answers = {
            "/users/@me": _USER,
            "/oauth2/applications/@me": {
                "id": _USER["id"], "name": "yin", "icon": None, "description": "", "bot_public": True,
                "bot_require_code_grant": False, "verify_key": "", "summary": "", "owner": _USER,
            },
        }  # fmt: skip
        return _json(answers.get(request.path, []))

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": 30_000}})
        async for message in socket:
            if message.json()["op"] == 2:
                hello = {
                    "v": 10,
                    "user": _USER,
                    "guilds": [],
                    "session_id": "s",
                    "resume_gateway_url": self.gateway,
                    "application": {"id": _USER["id"], "flags": 0},
                }
                await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": hello})
                self.ready.set()
        self.left.set()
        return socket


@pytest.fixture
async def server() -> AsyncIterator[Discord]:
    discord = Discord()
    app = web.Application()
    app.router.add_get("/socket/", discord.socket)
    app.router.add_get("/socket", discord.socket)
    app.router.add_route("*", "/{rest:.*}", discord.rest)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    discord.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    discord.gateway = discord.address.replace("http", "ws") + "/socket"
    yield discord
    await runner.cleanup()


async def _start(
    tmp_path: Path, *addresses: str, token: str = TOKEN, level: str = "ERROR"
) -> asyncio.subprocess.Process:
    kept = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    own = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "DISCORD_TOKEN": token, "LOG_LEVEL": level}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, *addresses, cwd=tmp_path, env=kept | own,
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
    )  # fmt: skip


async def test_wrong_token_one_sentence(server: Discord, tmp_path: Path) -> None:
    program = await _start(tmp_path, server.address, server.gateway, token=TOKEN.replace("a", "b"))
    _, said = await asyncio.wait_for(program.communicate(), 30)
    assert program.returncode == 2
    assert said.decode() == "Discord refuses the DISCORD_TOKEN; copy the token anew from the developer portal.\n"


@pytest.mark.parametrize("missing", ["all of it", "the gateway"])
async def test_unreachable_discord_one_sentence(server: Discord, tmp_path: Path, missing: str) -> None:
    address = server.address if missing == "the gateway" else "http://127.0.0.1:1"
    program = await _start(tmp_path, address, "ws://127.0.0.1:1", level="WARNING")
    _, said = await asyncio.wait_for(program.communicate(), 30)
    assert program.returncode == 2
    *logged, sentence = said.decode().splitlines()
    assert sentence.startswith("Discord cannot be reached")
    assert logged == [] or missing == "the gateway", "only discord.py itself logs more"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_leaves_discord_cleanly(server: Discord, tmp_path: Path, number: signal.Signals) -> None:
    program = await _start(tmp_path, server.address, server.gateway, level="DEBUG")
    await asyncio.wait_for(server.ready.wait(), 30)
    program.send_signal(number)
    _, logged = await asyncio.wait_for(program.communicate(), 10)
    assert program.returncode == 0, logged.decode()
    await asyncio.wait_for(server.left.wait(), 5)
    assert ("PUT", f"/applications/{_USER['id']}/commands") in server.requests
    assert TOKEN.encode() not in logged
    assert b"Traceback" not in logged
    assert not (tmp_path / "data" / "yin.db-wal").exists(), "the database was closed"
