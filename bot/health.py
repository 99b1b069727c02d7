"""/healthz, /readyz and /metrics on localhost, for whoever watches over the bot.

Knows no Discord: what "ready" means is told.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.errors import NotNowError
from bot.metrics import Metrics
from poetgen.errors import CheckpointError

_HOST = "127.0.0.1"


class Health:
    """A small HTTP server.

    Args:
        port: Where it listens, on localhost only.
        metrics: What /metrics shows.
        ready: Whether commands are answered now.
        version: The shared version in use.
    """

    def __init__(
        self, port: int, metrics: Metrics, ready: Callable[[], bool], version: Callable[[], Awaitable[str]]
    ) -> None:
        self._port = port
        self._metrics = metrics
        self._ready = ready
        self._version = version
        metrics.ask_readiness(ready)
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        runner = self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, _HOST, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise NotNowError(f"HEALTH_PORT {self._port} cannot be listened on ({error.strerror}).") from None
        self._lag = asyncio.create_task(self._metrics.watch_the_loop(), name="loop-lag")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lag.cancel()
        await asyncio.gather(self._lag, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._ready()
        return web.Response(text="ready\n" if ready else "not ready\n", status=200 if ready else 503)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        with suppress(CheckpointError):  # of a damaged registry the last known version is shown
            self._metrics.show_version(await self._version())
        return web.Response(body=self._metrics.page(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
