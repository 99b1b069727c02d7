"""What the bot's tests share: a small real poet and registry, an open store, the bot on a simulated Discord."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from bot.card import Cards
from bot.client import PoetBot
from bot.comparing import Comparing
from bot.finetuning import FinetuneLimits, Finetuning
from bot.inference import Inference
from bot.metrics import Metrics
from bot.poems import Limits, Poems
from bot.preferences import Preferences
from bot.rating import Rating
from bot.services import Services
from bot.store import Store
from bot.voices import Voices
from bot.words import WordList
from poetgen.errors import CheckpointError, NothingPromotedError, RequestError
from poetgen.poem import MAX_THEME_LENGTH, Composition, Poem, PoemRequest
from poetgen.prosody import Report
from poetgen.registry import Version
from poetgen.script import to_traditional
from poetgen.seeds import MAX_SEED

# 白居易, 暮江吟; 五絕 and the eight-line forms repeat its characters, for a fake need not keep the metre.
LINES = ("一道殘陽鋪水中", "半江瑟瑟半江紅", "可憐九月初三夜", "露似真珠月似弓")
OWNER_GUILD = 1_000_000


@dataclass
class FakePoet:
    """Writes the same poem for everybody, whatever the form; as slow and as faulty as it is told to be.

    Attributes:
        version: Its name.
        batches: The requests of each call, in order.
        gate: While it is clear, composing waits.
        fail_on: A theme that makes composing raise `failure`.
        failure: What is raised.
        lines: What it writes.
        remembered: What it was told that it wrote.
    """

    version: str = "fake-1"
    batches: list[list[PoemRequest]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    fail_on: str | None = None
    failure: Exception = field(default_factory=lambda: RuntimeError("the tensors fell over"))
    rhymes: Sequence[str] = ("東", "冬", "江")
    lines: tuple[str, ...] = LINES
    last_seed: int = 6
    remembered: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()

    def check(self, request: PoemRequest) -> PoemRequest:
        if len(request.theme) > MAX_THEME_LENGTH:
            raise RequestError("theme_length", length=len(request.theme), most=MAX_THEME_LENGTH)
        if unknown := [char for char in request.theme if not "\u4e00" <= char <= "\u9fff"]:
            raise RequestError("unknown_theme", chars=unknown[0])
        if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
            raise RequestError("seed", most=MAX_SEED)
        return replace(request, theme=to_traditional(request.theme))

    def restored(self, poem: Poem, typed: str) -> Poem:
        return poem

    def inspect(self, poem: Poem) -> Report:
        tones = tuple(tuple("LO"[place % 2] for place in range(len(line))) for line in poem.lines)
        return Report("BAaB", "東", tones, tones, ())

    def remember(self, poems: Iterable[Sequence[str]]) -> None:
        self.remembered += map(tuple, poems)

    def compose(self, requests: Sequence[PoemRequest]) -> list[Composition]:
        self.batches.append(list(requests))
        self.gate.wait(10)
        if any(request.theme == self.fail_on for request in requests):
            raise self.failure
        return [self._composition(request) for request in requests]

    def _composition(self, request: PoemRequest) -> Composition:
        self.last_seed += 1
        return Composition(
            poem=Poem(self.lines, request.form, request.theme or "殘陽"),
            theme=request.theme,
            seed=self.last_seed if request.seed is None else request.seed,
            version=self.version,
            pattern="BAaB",
            rhyme="東",
            realness=0.5,
            in_classics=(True, False, False, False),
        )


class FakeRegistry:
    """A registry in memory: one shared version, and what tests add."""

    def __init__(self) -> None:
        self.versions = [version_named("fake-1")]
        self.heard: dict[str | None, list[str]] = {None: ["fake-1"]}

    def add(self, name: str, voice: str | None) -> None:
        self.versions.append(version_named(name, voice))

    def names(self) -> list[str]:
        return [version.name for version in self.versions]

    def show(self, name: str) -> Version:
        for version in self.versions:
            if version.name == name:
                return version
        raise CheckpointError(f"There is no version {name!r}.")

    def current(self, voice: str | None = None) -> str:
        return (self.heard.get(voice) or self.heard[None])[-1]

    def versions_of(self, voice: str | None) -> list[Version]:
        return [version for version in self.versions if version.voice in (None, voice)]

    def promote(self, name: str, voice: str | None = None) -> str:
        self.heard.setdefault(voice, []).append(self.show(name).name)
        return name

    def erase(self, voice: str) -> None:
        self.versions = [version for version in self.versions if version.voice != voice]
        self.heard.pop(voice, None)

    def rollback(self, voice: str | None = None) -> str:
        if not self.heard.get(voice):
            raise NothingPromotedError
        self.heard[voice].pop()
        return self.current(voice)


def version_named(name: str, voice: str | None = None) -> Version:
    """A version of which only names matter."""
    return Version(
        name=name, folder=Path(name), parent=None, base=None, shipped=voice is None, figures={}, voice=voice,
        verdict=None if voice is None else "promoted", created_at="2026-11-24T00:00:00Z", votes_sha256=None,
    )  # fmt: skip


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

    def run(self, statement: str) -> None:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute(statement)
        connection.close()

    def votes(self) -> list[tuple[object, ...]]:
        return self("SELECT poem_id, voter_id, value FROM votes ORDER BY poem_id, voter_id")


async def until(reached: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not reached():  # noqa: ASYNC110  a thread sets it, which no Event of asyncio may be told by
            await asyncio.sleep(0.005)


@dataclass
class Trainer:
    """The script that stands for `poetgen finetune`: a real child process.

    Attributes:
        path: Where it lies.
        limits: What the bot asks for before it starts one.
    """

    path: Path
    limits: FinetuneLimits = field(default_factory=lambda: FinetuneLimits(1, 1, 1, 1, 10.0))

    def write(self, code: str) -> None:
        """What the child does; `said` prints a JSON line, `ratings` is what it was handed."""
        head = (
            "import json, sys, time, signal, pathlib\n"
            "ratings = [json.loads(line) for line in pathlib.Path(sys.argv[1]).read_text().splitlines()]\n"
            "voice = sys.argv[2]\n"
            "def said(**values): print(json.dumps(values), flush=True)\n"
            "def stage(name, progress): said(stage=name, progress=progress, seconds_left=60, reward=0.5, message='')\n"
        )
        self.path.write_text(head + code, encoding="utf-8")

    def command(self, ratings: Path, voice: str | None, minutes: int, seed: int) -> list[str]:
        return [sys.executable, str(self.path), str(ratings), voice or "", str(minutes), str(seed)]


@pytest.fixture(autouse=True)
def small_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are 1, 2, 3, so that tests can name them."""
    monkeypatch.setattr("bot.store.database.least_id", lambda: 1)


@pytest.fixture(autouse=True)
def enough_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs on the machine, there is room for a fine-tune."""
    monkeypatch.setattr("bot.finetuning.free_mb", lambda: 4096)


@pytest.fixture
def poet() -> FakePoet:
    return FakePoet()


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    made = Trainer(tmp_path / "trainer.py")
    made.write("said(version=None, verdict='refused', reasons=['no better'], before={}, after={}, plot=None)")
    return made


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
    def load(version: str | None) -> FakePoet:
        if version in (None, poet.version):
            return poet
        if version.startswith("gone"):
            raise CheckpointError(f"There is no version {version!r}.")
        return FakePoet(version=version)

    async with Inference(load, queue_size=4, max_batch=3) as started:
        yield started


def services_on(
    store: Store, inference: Inference, registry: FakeRegistry, trainer: Trainer, limits: Limits | None = None
) -> Services:
    """The bot's parts, as the composition root puts them together; without a cooldown unless one is given."""
    limits = limits or Limits(cooldown=0)
    metrics, voices = Metrics(), Voices(registry)
    poems = Poems(inference, store, voices, WordList(), limits, metrics, chance=lambda: 0.5)
    return Services(
        poems=poems,
        rating=Rating(store, metrics),
        store=store,
        voices=voices,
        preferences=Preferences(store, limits),
        finetuning=Finetuning(store, voices, trainer.command, {}, trainer.limits),
        comparing=Comparing(poems),
        cards=Cards(),
        metrics=metrics,
        owner_guild_id=OWNER_GUILD,
    )


@pytest.fixture
async def services(
    store: Store, inference: Inference, registry: FakeRegistry, trainer: Trainer
) -> AsyncIterator[Services]:
    made = services_on(store, inference, registry, trainer)
    yield made
    await made.finetuning.close()


@pytest.fixture
async def poems(services: Services) -> Poems:
    return services.poems


@pytest.fixture
async def simcord_bot(services: Services) -> PoetBot:
    return PoetBot(services)
