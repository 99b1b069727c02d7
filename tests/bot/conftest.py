"""What the bot's tests share: a small real poet, an open store, the bot on a simulated Discord."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bot.client import PoetBot
from bot.inference import Inference
from bot.poems import Poems
from bot.store import Store
from poetgen.errors import RequestError
from poetgen.poem import MAX_SEED, MAX_THEME_LENGTH, Composition, Poem, PoemRequest

# 白居易, 暮江吟; 五絕 and the eight-line forms repeat its characters, for a fake need not keep the metre.
_LINES = ("一道殘陽鋪水中", "半江瑟瑟半江紅", "可憐九月初三夜", "露似真珠月似弓")


@dataclass
class FakePoet:
    """Writes the same poem for everybody, whatever the form; as slow and as faulty as it is told to be.

    Attributes:
        batches: The requests of each call, in order.
        gate: While it is clear, composing waits.
        fail_on: A theme that makes composing raise `failure`.
        failure: What is raised.
    """

    batches: list[list[PoemRequest]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    fail_on: str | None = None
    failure: Exception = field(default_factory=lambda: RuntimeError("the tensors fell over"))

    def __post_init__(self) -> None:
        self.gate.set()

    def check(self, request: PoemRequest) -> PoemRequest:
        if len(request.theme) > MAX_THEME_LENGTH:
            raise RequestError(f"The theme has {len(request.theme)} characters; {MAX_THEME_LENGTH} are the most.")
        if unknown := [char for char in request.theme if not "\u4e00" <= char <= "\u9fff"]:
            raise RequestError(f"The theme holds what the poet does not know: {unknown[0]}")
        if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
            raise RequestError(f"A seed is a number from 0 to {MAX_SEED}.")
        return request

    def compose(self, requests: Sequence[PoemRequest]) -> list[Composition]:
        self.batches.append(list(requests))
        self.gate.wait(10)
        if any(request.theme == self.fail_on for request in requests):
            raise self.failure
        return [
            Composition(
                poem=Poem(_LINES, request.form, request.theme or "殘陽"),
                theme=request.theme,
                seed=7 if request.seed is None else request.seed,
                version="fake-1",
                pattern="BAaB",
                rhyme="東",
                realness=0.5,
            )
            for request in requests
        ]


class Rows:
    """Reads a database as another program would, without the bot's own code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, query: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()

    def votes(self) -> list[tuple[object, ...]]:
        return self("SELECT poem_id, voter_id, value FROM votes ORDER BY poem_id, voter_id")


async def until(reached: Callable[[], bool]) -> None:
    """Wait until something is so, at most five seconds."""
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110  a thread sets it, which no Event of asyncio may be told by
            await asyncio.sleep(0.005)


@pytest.fixture
def poet() -> FakePoet:
    return FakePoet()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "data" / "yin.db"


@pytest.fixture
def url(database: Path) -> str:
    return f"sqlite+aiosqlite:///{database}"


@pytest.fixture
def rows(database: Path) -> Rows:
    return Rows(database)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with await Store.open(url) as opened:
        yield opened


@pytest.fixture
async def inference(poet: FakePoet) -> AsyncIterator[Inference]:
    async with Inference(lambda: poet, queue_size=4, max_batch=3) as started:
        yield started


@pytest.fixture
async def poems(inference: Inference, store: Store) -> Poems:
    return Poems(inference, store)


@pytest.fixture
async def simcord_bot(poems: Poems, store: Store) -> PoetBot:
    return PoetBot(poems, store, "simplified")
