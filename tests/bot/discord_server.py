"""A small server that speaks Discord's protocol over loopback: REST, the gateway, interactions in any locale.

It does what the simulated Discord cannot: other locales, user installs, rate limits, a process that is killed.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.settings import Settings
from tests.bot.limits import violations

ROOT = Path(__file__).parents[2]
TOKEN = "MTIzNDU2Nzg5MDEyMzQ1Njc4.GabcDE.abcdefghijklmnopqrstuvwxyz0123456789AB"
USER = {"id": "123456789012345678", "username": "yin", "discriminator": "0", "avatar": None, "bot": True}
_FIRST_ID = 1_200_000_000_000_000_000

_PROGRAM = """
import os, sys, bot.__main__ as program, discord.http, discord.gateway, discord.state, yarl
from tests.bot.conftest import FakePoet

class Slow(FakePoet):
    def compose(self, requests):
        import time
        time.sleep(float(sys.argv[3]) if len(sys.argv) > 3 else 0)
        return super().compose(requests)

if sys.argv[3:] != ["real"]:
    program.load_poet = lambda home, num_threads, version: Slow()
discord.http.Route.BASE, gateway = sys.argv[1:3]
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
connection, begin = discord.state.ConnectionState, discord.state.ConnectionState.__init__

def begin_impatient(self, **options):
    begin(self, **options | {"heartbeat_timeout": float(os.environ["HEARTBEAT_TIMEOUT"])})

if "HEARTBEAT_TIMEOUT" in os.environ:
    connection.__init__ = begin_impatient
program.leave(program.main([]))
"""


def _json(content: object, status: int = 200) -> web.Response:
    # Without a charset, as Discord sends it; discord.py takes anything else for text.
    return web.Response(
        body=json.dumps(content), status=status, headers={"Content-Type": "application/json", "Via": "1.1 a"}
    )


class Discord:
    """A server that knows one token, and lets one bot connect."""

    def __init__(self) -> None:
        self.address = self.gateway = ""
        self.ready = asyncio.Event()
        self.left = asyncio.Event()
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[tuple[str, str, Any]] = []
        self.answered: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.shown: dict[str, dict[str, Any]] = {}
        self.times: dict[str, float] = {}
        self.failures: list[tuple[str, int, dict[str, Any]]] = []
        self.hanging: list[tuple[str, float]] = []  # part of a path, and how many seconds its answer takes
        self.resetting: list[str] = []  # parts of paths whose connection is cut instead of an answer
        self.guilds: list[dict[str, Any]] = []  # that it lists, by their ids
        self.heartbeat_ms = 30_000
        self.acknowledging = True  # of heartbeats
        self.identified = self.resumed = 0
        self._socket: web.WebSocketResponse | None = None
        self._last_id = _FIRST_ID

    async def rest(self, request: web.Request) -> web.Response:
        self.requests.append((request.method, request.path))
        by_token = request.path.startswith(("/interactions/", "/webhooks/"))  # these need no other proof
        if not by_token and request.headers.get("Authorization") != f"Bot {TOKEN}":
            return _json({"message": "401: Unauthorized", "code": 0}, status=401)
        body = await _body(request)
        self.bodies.append((request.method, request.path, body))
        assert violations(body) == [], (request.path, body)
        if self.hanging and self.hanging[0][0] in request.path:
            await asyncio.sleep(self.hanging.pop(0)[1])
        if self.resetting and self.resetting[0] in request.path:
            self.resetting.pop(0)
            assert request.transport is not None
            request.transport.abort()
        if self.failures and self.failures[0][0] in request.path:
            _, status, content = self.failures.pop(0)
            return _json(content, status)
        parts = request.path.strip("/").split("/")
        if parts[0] == "interactions":
            self.shown[parts[2]] = body
            self._answered(parts[2])
            return _json({"interaction": {"id": parts[1], "type": 2, "response_message_id": str(self.next_id())}})
        if parts[0] == "webhooks" and request.method in ("PATCH", "POST"):
            self.shown[parts[2]] = body
            self._answered(f"{parts[2]} edited")
            return _json(self.message(body or {}))
        if parts[0] == "channels" and parts[2:3] == ["messages"] and len(parts) == 4 and request.method == "GET":
            return _json(self.message({}) | {"id": parts[3]})
        if request.path == "/users/@me/guilds":
            after = int(request.query.get("after", 0))
            return _json([guild for guild in self.guilds if int(guild["id"]) > after][: int(request.query["limit"])])
        answers: dict[str, Any] = {
            "/users/@me": USER,
            "/oauth2/applications/@me": {
                "id": USER["id"], "name": "yin", "icon": None, "description": "", "bot_public": True,
                "bot_require_code_grant": False, "verify_key": "", "summary": "", "owner": USER,
            },
        }  # fmt: skip
        return _json(answers.get(request.path, []))

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = self._socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": 10, "d": {"heartbeat_interval": self.heartbeat_ms}})
        async for message in socket:
            operation = message.json()["op"]
            if operation == 1 and self.acknowledging:
                await socket.send_json({"op": 11})
            elif operation == 2:
                self.identified += 1
                hello = {
                    "v": 10,
                    "user": USER,
                    "guilds": [],
                    "session_id": "s",
                    "resume_gateway_url": self.gateway,
                    "application": {"id": USER["id"], "flags": 0},
                }
                await socket.send_json({"op": 0, "t": "READY", "s": 1, "d": hello})
                self.ready.set()
            elif operation == 6:
                self.resumed += 1
                await socket.send_json({"op": 0, "t": "RESUMED", "s": self.next_id() - _FIRST_ID, "d": {}})
                self.ready.set()
        self.left.set()
        return socket

    async def drop(self, code: int) -> None:
        """Close the gateway's connection."""
        self.ready.clear()
        assert self._socket is not None
        await self._socket.close(code=code)

    async def invalidate(self) -> None:
        """Tell the bot that its session is over and cannot be resumed."""
        self.ready.clear()
        assert self._socket is not None
        await self._socket.send_json({"op": 9, "d": False})

    def forget(self) -> None:
        """Let go of what was sent so far; whoever runs for long would grow without end."""
        for kept in (self.requests, self.bodies, self.answered, self.shown, self.times):
            kept.clear()

    def poem_of(self, token: str) -> str | None:
        """The id of the poem that was shown in answer, which its buttons name."""
        if not self.answered[f"{token} edited"].is_set():
            return None
        buttons = [button for row in self.shown[token].get("components") or [] for button in row["components"]]
        ids = [button["custom_id"].rsplit(":", 1)[1] for button in buttons if ":up:" in button["custom_id"]]
        return ids[0] if ids else None

    def _answered(self, what: str) -> None:
        self.times.setdefault(what, time.monotonic())
        self.answered[what].set()

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def message(self, body: dict[str, Any]) -> dict[str, Any]:
        """A message as Discord tells of it."""
        return {
            "id": str(self.next_id()), "channel_id": "9", "author": USER, "content": body.get("content") or "",
            "timestamp": "2026-11-24T00:00:00+00:00", "edited_timestamp": None, "tts": False, "mention_everyone": False,
            "mentions": [], "mention_roles": [], "attachments": [], "embeds": [], "pinned": False, "type": 0,
            "flags": 0, "components": body.get("components") or [],
        }  # fmt: skip

    async def interact(self, kind: int, data: dict[str, Any], user_id: int = 77, **more: Any) -> str:
        """Send an interaction in a direct message; returns its token."""
        token = f"token{self.next_id()}"
        user = {"id": str(user_id), "username": f"u{user_id}", "discriminator": "0", "avatar": None}
        event: dict[str, Any] = {
            "id": str(self.next_id()), "application_id": USER["id"], "type": kind, "data": data, "token": token,
            "version": 1, "channel_id": "9", "channel": {"id": "9", "type": 1, "recipients": [], "flags": 0},
            "user": user, "locale": "en-US", "app_permissions": "0", "entitlements": [], "context": 1,
            "authorizing_integration_owners": {"1": str(user_id)}, "attachment_size_limit": 10_485_760,
        }  # fmt: skip
        assert self._socket is not None
        await self._socket.send_json(
            {"op": 0, "t": "INTERACTION_CREATE", "s": self.next_id() - _FIRST_ID, "d": event | more}
        )
        return token

    async def command(self, name: str, *options: dict[str, Any], **more: Any) -> str:
        """A slash command; returns its token."""
        return await self.interact(2, {"id": "1", "name": name, "type": 1, "options": list(options)}, **more)

    async def press(self, custom_id: str, user_id: int, **more: Any) -> str:
        """A button pressed; returns the interaction's token."""
        button = {"type": 2, "style": 2, "label": "x", "custom_id": custom_id}
        message = self.message({"components": [{"type": 1, "components": [button]}]})
        return await self.interact(3, {"component_type": 2, "custom_id": custom_id}, user_id, message=message, **more)

    async def answer(self, token: str, *, edited: bool = False) -> dict[str, Any]:
        """What was answered: at once, or in the place of the acknowledgement."""
        await asyncio.wait_for(self.answered[f"{token} edited" if edited else token].wait(), 20)
        shown = self.shown[token]
        return shown if edited else shown.get("data") or {}


def option(name: str, value: object, kind: int = 3) -> dict[str, Any]:
    """An option of a command, as Discord sends it."""
    return {"name": name, "type": kind, "value": value}


def in_server(user_id: int, locale: str = "en-US", permissions: int = 0) -> dict[str, Any]:
    """What an interaction tells beside, in a server that the bot is no member of."""
    user = {"id": str(user_id), "username": "u", "discriminator": "0", "avatar": None}
    member = {
        "user": user, "roles": [], "joined_at": "2026-01-01T00:00:00+00:00", "deaf": False, "mute": False, "flags": 0,
        "permissions": str(permissions),
    }  # fmt: skip
    guild = {"id": "55", "locale": locale, "features": []}
    return {"guild_id": "55", "context": 2, "member": member, "guild": guild, "guild_locale": locale}


async def ready(
    server: Discord, tmp_path: Path, *arguments: str, level: str = "INFO", **settings: str
) -> asyncio.subprocess.Process:
    """A bot that has come online."""
    program = await start(tmp_path, server.address, server.gateway, *arguments, level=level, **settings)
    await asyncio.wait_for(server.ready.wait(), 30)
    return program


async def stopped(program: asyncio.subprocess.Process) -> str:
    """What a bot has logged when it has ended, as it should, by SIGTERM."""
    program.send_signal(signal.SIGTERM)
    _, logged = await asyncio.wait_for(program.communicate(), 12)
    assert program.returncode == 0, logged.decode()
    return logged.decode()


async def _body(request: web.Request) -> Any:
    if request.content_type == "application/json":
        return await request.json()
    if request.content_type == "multipart/form-data":
        return json.loads(str((await request.post())["payload_json"]))
    return None


@asynccontextmanager
async def running() -> AsyncIterator[Discord]:
    """A server on a port of its own."""
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
    try:
        yield discord
    finally:
        await runner.cleanup()


@pytest.fixture
async def discord_server() -> AsyncIterator[Discord]:
    """A running one."""
    async with running() as discord:
        yield discord


async def start(
    tmp_path: Path, *addresses: str, token: str = TOKEN, level: str = "ERROR", **more: str
) -> asyncio.subprocess.Process:
    kept = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
    own = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "DISCORD_TOKEN": token, "LOG_LEVEL": level} | more
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", _PROGRAM, *addresses, cwd=tmp_path, env=kept | own,
        stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
    )  # fmt: skip
