"""One worker that composes: a bounded queue, waiting requests joined into a batch, the poet in a thread of its own.

Knows no Discord, no users and no database; torch is imported only when the poet is loaded.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from bot.errors import BusyError, ClosingError
from poetgen.poem import Composition, PoemRequest


class PoetLike(Protocol):
    """What the bot needs of a poet."""

    def check(self, request: PoemRequest) -> PoemRequest:
        """The request as it will be written, or RequestError; quick."""

    def compose(self, requests: Sequence[PoemRequest]) -> list[Composition]:
        """A poem for each checked request; takes seconds and blocks."""


def load_poet(home: Path | None, num_threads: int) -> PoetLike:
    """The version in use.

    Raises:
        CheckpointError: There is none, or it is damaged.
    """
    from poetgen.poet import Poet  # torch costs seconds and 200 MB, and nothing before this needs it

    return Poet.load(home=home, num_threads=num_threads)


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: PoemRequest
    answer: asyncio.Future[Composition]


class Inference:
    """Composes poems for whoever asks, several at once.

    Args:
        load: Loads the poet; called in the worker thread, because OpenMP's number of threads belongs to the thread
            that sets it.
        queue_size: How many requests may wait.
        max_batch: How many are composed together at most.
    """

    def __init__(self, load: Callable[[], PoetLike], *, queue_size: int, max_batch: int) -> None:
        self._load = load
        self._max_batch = max_batch
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(queue_size)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="poet")
        self._poet: PoetLike | None = None
        self._worker: asyncio.Task[None] | None = None
        self._closing = False
        self._batch_seconds = 2.0  # of the last batch; a guess until there was one

    async def __aenter__(self) -> Self:
        try:
            self._poet = await asyncio.get_running_loop().run_in_executor(self._thread, self._load)
        except BaseException:
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise
        self._worker = asyncio.create_task(self._work(self._poet), name="poet-worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def submit(self, request: PoemRequest) -> asyncio.Future[Composition]:
        """Check a request and queue it; the answer can be awaited, or cancelled as long as it waits.

        Raises:
            RequestError: It cannot be written.
            BusyError: The queue is full.
            ClosingError: The bot is stopping.
        """
        if self._closing:
            raise ClosingError
        assert self._poet is not None, "submit before the worker was started"
        checked = self._poet.check(request)
        answer: asyncio.Future[Composition] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put_nowait(_Waiting(checked, answer))
        except asyncio.QueueFull:
            batches = math.ceil(self._queue.qsize() / self._max_batch)
            raise BusyError(seconds=math.ceil(batches * self._batch_seconds)) from None
        return answer

    async def close(self) -> None:
        """Take nothing new, refuse what waits, finish what is being composed. Closing twice does no harm."""
        self._closing = True
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            if not waiting.answer.done():
                waiting.answer.set_exception(ClosingError())
            self._queue.task_done()
        if self._worker is not None:
            await self._queue.join()
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            self._worker = None
        await asyncio.to_thread(self._thread.shutdown)

    async def _work(self, poet: PoetLike) -> None:
        while True:
            batch = [await self._queue.get()]
            while len(batch) < self._max_batch and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            try:
                await self._answer(poet, [waiting for waiting in batch if not waiting.answer.done()])
            finally:
                for _ in batch:
                    self._queue.task_done()

    async def _answer(self, poet: PoetLike, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        requests = [waiting.request for waiting in batch]
        started = time.monotonic()
        try:
            compositions = await asyncio.get_running_loop().run_in_executor(self._thread, poet.compose, requests)
            answered = list(zip(batch, compositions, strict=True))
        except Exception as error:
            if len(batch) > 1:
                # One request must not spoil the others': each goes alone.
                for waiting in batch:
                    await self._answer(poet, [waiting])
            elif not batch[0].answer.done():
                batch[0].answer.set_exception(error)
            return
        self._batch_seconds = time.monotonic() - started
        for waiting, composition in answered:
            if not waiting.answer.done():
                waiting.answer.set_result(composition)
