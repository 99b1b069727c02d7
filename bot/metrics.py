"""What is counted and measured, for Prometheus. Nothing in it is about a person.

Knows no server: `health.py` shows it.
"""

import asyncio
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_LAG_SECONDS = 0.25  # how often the event loop's lag is measured


class Metrics:
    """Counters and gauges in a registry of their own, so that two bots (in tests) do not share them."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.poems = Counter("yin_poems", "Poems that were asked for", registry=registry)
        self.votes = Counter("yin_votes", "Votes that were cast", registry=registry)
        self.errors = Counter("yin_errors", "What was logged as an error", registry=registry)
        self.acknowledged = Histogram(
            "yin_acknowledge_seconds", "From an interaction's arrival to its acknowledgement",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 2, 3), registry=registry,
        )  # fmt: skip
        self.composed = Histogram(
            "yin_compose_seconds", "Of a batch of poems", buckets=(0.1, 0.3, 1, 2, 3, 5, 10), registry=registry
        )
        self.lag = Histogram(
            "yin_event_loop_lag_seconds", "How late the event loop woke up",
            buckets=(0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1), registry=registry,
        )  # fmt: skip
        self.queue = Gauge("yin_queue_length", "Requests that wait", registry=registry)
        self.ready = Gauge("yin_ready", "1 while commands are answered", registry=registry)
        self.version = Gauge("yin_version_info", "The shared version in use", ["version"], registry=registry)

    def count_queue(self, length: Callable[[], int]) -> None:
        """Ask for the queue's length whenever it is shown."""
        self.queue.set_function(length)

    def ask_readiness(self, ready: Callable[[], bool]) -> None:
        """Ask whether commands are answered whenever it is shown."""
        self.ready.set_function(lambda: float(ready()))

    def show_version(self, version: str) -> None:
        """The version in use, as a label."""
        self.version.clear()
        self.version.labels(version).set(1)

    def page(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)

    async def watch_the_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_LAG_SECONDS)
            self.lag.observe(max(0.0, time.monotonic() - before - _LAG_SECONDS))
