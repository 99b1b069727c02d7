"""One worker that composes: a bounded queue, waiting requests joined into a batch, the poets in a thread of their own.

Knows no Discord, no users and no database; torch is imported only when a poet is loaded.
"""

import asyncio
import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

from bot.errors import BotError, BusyError, ClosingError
from poetgen.errors import CheckpointError
from poetgen.poem import DEFAULT_CANDIDATES, Composition, Poem, PoemRequest
from poetgen.prosody import Report

_log = logging.getLogger(__name__)
THREAD_NAME = "poet"
REMEMBERED = 300  # poems of a version that it is told of when it is loaded; readers notice only what many more cost
_REMEMBERING = 64  # versions whose poems are kept for that
# How long a batch may take before requests that wait together get fewer candidates each, and how few at the least.
_BATCH_SECONDS = 0.5
# Of those who wait together each has so many candidates: eight cost little more than two, and more cost time.
_LEAST_CANDIDATES, _MOST_TOGETHER = 2, 8
_FIRST_GUESS = 0.02  # seconds a candidate, until a batch was measured


class PoetLike(Protocol):
    """What the bot needs of a poet."""

    version: str

    @property
    def rhymes(self) -> Sequence[str]:
        """The rhyme groups to offer."""

    def check(self, request: PoemRequest) -> PoemRequest:
        """The request as it will be written, or RequestError; quick."""

    def restored(self, poem: Poem, typed: str) -> Poem:
        """A typed poem in the characters it was written in, as far as its form tells; quick."""

    def inspect(self, poem: Poem) -> Report:
        """A poem's tones and faults; quick."""

    def compose(self, requests: Sequence[PoemRequest]) -> list[Composition]:
        """A poem for each checked request; takes seconds and blocks."""

    def remember(self, poems: Iterable[Sequence[str]]) -> None:
        """Take poems for its own last ones; their lines, the oldest poem first."""


LoadPoet = Callable[[str | None], PoetLike]


def load_poet(home: Path | None, num_threads: int, version: str | None) -> PoetLike:
    """A version of the poet; None for the shared current one.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    from poetgen.poet import Poet  # torch costs seconds and 200 MB, and nothing before this needs it

    return Poet.load(home=home, version=version, num_threads=num_threads)


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: PoemRequest
    version: str | None
    answer: asyncio.Future[Composition]


class Inference:
    """Composes poems for whoever asks, several at once.

    Args:
        load: Loads a version; called in the worker thread, because OpenMP's number of threads belongs to the thread
            that sets it.
        queue_size: How many requests may wait.
        max_batch: How many are composed together at most.
        max_voices: How many versions stay loaded; the one used longest ago goes first.
        hung_seconds: A batch that takes longer has failed, and another thread goes on with the next.
        composed: Told the seconds that each batch took.
        lately: A version -> the lines of its last poems before the start, the oldest first. A version that is loaded is
            told of its last ones, which it would repeat at once.
    """

    def __init__(
        self,
        load: LoadPoet,
        *,
        queue_size: int,
        max_batch: int,
        max_voices: int = 4,
        hung_seconds: float = 60.0,
        composed: Callable[[float], None] = lambda seconds: None,
        lately: Mapping[str, Sequence[Sequence[str]]] = MappingProxyType({}),
    ) -> None:
        self._load = load
        self._max_batch = max_batch
        self._max_voices = max_voices
        self._hung_seconds = hung_seconds
        self._composed = composed
        self._lately = {version: deque(poems, REMEMBERED) for version, poems in lately.items()}  # the thread's too
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue_size)
        self._thread = _new_thread()
        self._first: PoetLike | None = None
        self._poets: OrderedDict[str, PoetLike] = OrderedDict()  # touched by the worker thread only
        self._worker: asyncio.Task[None] | None = None
        self._running: list[_Waiting] = []
        self._closing = False
        self._stuck = False  # composing went on for longer than closing waits
        self._candidate_seconds = _FIRST_GUESS  # a running mean

    async def __aenter__(self) -> Self:
        try:
            await self._load_first()
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise
        self._worker = asyncio.create_task(self._work(), name="poet-worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _load_first(self) -> None:
        self._first = await asyncio.get_running_loop().run_in_executor(self._thread, self._loaded, None)
        self._poets = OrderedDict({self._first.version: self._first})

    @property
    def poet(self) -> PoetLike:
        """The poet that was loaded first, for what is quick: `check`, `inspect`, `rhymes`."""
        assert self._first is not None, "asked before the worker was started"
        return self._first

    @property
    def num_waiting(self) -> int:
        return self._queue.qsize()

    @property
    def closing(self) -> bool:
        return self._closing

    def submit(self, request: PoemRequest, version: str | None = None) -> asyncio.Future[Composition]:
        """Check a request and queue it; the answer can be awaited, or cancelled as long as it waits.

        Args:
            request: What is asked for.
            version: The version that shall write it; None for the one loaded first.

        Raises:
            RequestError: It cannot be written.
            BusyError: The queue is full.
            ClosingError: The bot is stopping.
        """
        if self._closing:
            raise ClosingError
        checked = self.poet.check(request)
        answer: asyncio.Future[Composition] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(checked, version, answer))
        except asyncio.QueueFull:
            least = self._queue.qsize() * _LEAST_CANDIDATES * self._candidate_seconds
            raise BusyError(seconds=math.ceil(least)) from None
        return answer

    async def close(self, seconds: float = 6.0) -> bool:
        """Take nothing new, refuse what waits, finish what is being composed. Closing twice does no harm.

        Args:
            seconds: How long to wait for what is being composed; then it is refused too.

        Returns:
            Whether the worker thread has ended.
        """
        self._closing = True
        while not self._queue.empty():
            self._refuse(self._queue.get_nowait())
            self._queue.task_done()
        if self._worker is not None:
            try:
                await asyncio.wait_for(self._queue.join(), seconds)
            except TimeoutError:
                self._stuck = True
                for waiting in self._running:
                    self._refuse(waiting)
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None
        self._thread.shutdown(wait=False, cancel_futures=True)
        if not self._stuck:
            await asyncio.to_thread(self._thread.shutdown)
        return not self._stuck

    def _refuse(self, waiting: _Waiting) -> None:
        if not waiting.answer.done():
            waiting.answer.set_exception(ClosingError())

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._max_batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            self._running = batch
            try:
                wanted = [waiting for waiting in batch if not waiting.answer.done()]
                most = self._most_candidates(len(wanted))
                for version in dict.fromkeys(waiting.version for waiting in wanted):
                    await self._answer(version, [waiting for waiting in wanted if waiting.version == version], most)
            finally:
                self._running = []
                for _ in batch:
                    self._queue.task_done()

    def _most_candidates(self, requests: int) -> int | None:
        """How many candidates each of so many requests may have; None for as many as it wants."""
        if requests <= 1 and self._queue.empty():
            return None
        room = int(_BATCH_SECONDS / self._candidate_seconds / max(1, requests))
        return max(_LEAST_CANDIDATES, min(_MOST_TOGETHER, room))

    async def _answer(self, version: str | None, batch: Sequence[_Waiting], most: int | None) -> None:
        requests = [
            waiting.request
            if most is None
            else replace(waiting.request, candidates=min(waiting.request.candidates, most))
            for waiting in batch
        ]
        started = time.monotonic()
        try:
            composing = asyncio.get_running_loop().run_in_executor(self._thread, self._compose, version, requests)
            # Not wait_for, which would wait on for a thread that cannot be cancelled.
            done, _ = await asyncio.wait([composing], timeout=self._hung_seconds)
            if not done:
                raise TimeoutError(f"composing took longer than {self._hung_seconds:.0f} s")
            answered = list(zip(batch, composing.result(), strict=True))
        except TimeoutError as error:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(error)
            await self._replace_thread()
            return
        except Exception as error:
            if len(batch) > 1:
                # One request must not spoil the others: each goes alone.
                for waiting in batch:
                    await self._answer(version, [waiting], most)
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        seconds = time.monotonic() - started
        self._composed(seconds)
        # A poem that is written again has one candidate. Of few all the time goes into what any number costs.
        written = sum(request.candidates if request.seed is None else 1 for request in requests)
        if written >= DEFAULT_CANDIDATES:
            self._candidate_seconds += 0.3 * (seconds / written - self._candidate_seconds)
        for waiting, composition in answered:
            if not waiting.answer.done():
                waiting.answer.set_result(composition)

    async def _replace_thread(self) -> None:
        """Leave the thread that hangs to itself, and go on in a new one, with poets of its own."""
        _log.error("the poet hangs and is replaced")
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._thread = _new_thread()
        try:
            await self._load_first()
        except Exception:
            _log.exception("the poet could not be loaded again; the one before goes on")

    def _compose(self, version: str | None, requests: Sequence[PoemRequest]) -> list[Composition]:
        poet = self._voice(version)
        compositions = poet.compose(requests)
        lately = self._lately.pop(poet.version, deque(maxlen=REMEMBERED))
        written = zip(requests, compositions, strict=True)
        lately.extend(composition.poem.lines for request, composition in written if request.seed is None)
        self._lately[poet.version] = lately
        if len(self._lately) > _REMEMBERING:
            del self._lately[next(iter(self._lately))]  # the one that wrote longest ago
        return compositions

    def _loaded(self, version: str | None) -> PoetLike:
        poet = self._load(version)
        poet.remember(self._lately.get(poet.version, ()))
        return poet

    def _voice(self, version: str | None) -> PoetLike:
        if version is None:
            return self.poet
        poet = self._poets.get(version)
        if poet is None:
            try:
                poet = self._loaded(version)
            except CheckpointError as error:
                _log.warning("version %s cannot be loaded: %s", version, error)
                raise BotError("version_gone", version=version) from None
            self._poets[version] = poet
        self._poets.move_to_end(version)
        while len(self._poets) > self._max_voices:
            self._poets.popitem(last=False)
        return poet


def _new_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=THREAD_NAME)
