"""The one worker: batches, the bounded queue, failures, and how it stops."""

import asyncio
import threading
import time

import pytest

from bot.errors import BotError, BusyError, ClosingError
from bot.inference import Inference
from poetgen.errors import CheckpointError, RequestError
from poetgen.poem import Composition, PoemRequest
from tests.bot.conftest import FakePoet, until


async def _occupied(inference: Inference, poet: FakePoet) -> asyncio.Future[Composition]:
    """A request that is being composed until the gate is opened, so that others have to wait."""
    poet.gate.clear()
    first = inference.submit(PoemRequest(theme="月"))
    await until(lambda: bool(poet.batches))
    return first


async def test_waiting_requests_are_joined_into_batches(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    waiting = [inference.submit(PoemRequest(theme=theme)) for theme in "春夏秋冬"]
    poet.gate.set()

    answers = await asyncio.gather(first, *waiting)

    assert [answer.theme for answer in answers] == ["月", "春", "夏", "秋", "冬"]
    assert [len(batch) for batch in poet.batches] == [1, 3, 1], "at most three together"


async def test_poet_is_loaded_and_composes_in_one_thread_that_is_not_the_loops(poet: FakePoet) -> None:
    threads: list[threading.Thread] = []

    class Watched(FakePoet):
        def compose(self, requests):  # type: ignore[no-untyped-def]
            threads.append(threading.current_thread())
            return super().compose(requests)

    def load(version: str | None) -> FakePoet:
        threads.append(threading.current_thread())
        return Watched()

    async with Inference(load, queue_size=1, max_batch=1) as inference:
        await inference.submit(PoemRequest())
    assert len(threads) == 2
    assert len(set(threads)) == 1
    assert threads[0] is not threading.current_thread()


async def test_full_queue_refuses_and_takes_again_later(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    waiting = [inference.submit(PoemRequest()) for _ in range(4)]
    with pytest.raises(BusyError) as refused:
        inference.submit(PoemRequest())
    assert refused.value.values["seconds"] >= 1  # type: ignore[operator]

    poet.gate.set()
    await asyncio.gather(first, *waiting)
    assert (await inference.submit(PoemRequest(theme="秋"))).theme == "秋"


async def test_what_cannot_be_written_is_refused_before_it_waits(inference: Inference, poet: FakePoet) -> None:
    with pytest.raises(RequestError):
        inference.submit(PoemRequest(theme="🍂"))
    assert poet.batches == []


async def test_one_failing_request_does_not_spoil_the_others(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    poet.fail_on = "夏"
    waiting = [inference.submit(PoemRequest(theme=theme)) for theme in "春夏秋"]
    poet.gate.set()
    await first
    spring, summer, autumn = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(spring, Composition)
    assert summer is poet.failure
    assert isinstance(autumn, Composition)


async def test_worker_survives_a_poet_that_answers_too_few(inference: Inference, poet: FakePoet) -> None:
    poet.compose = lambda requests: []  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="zip"):
        await inference.submit(PoemRequest())
    del poet.compose
    assert (await inference.submit(PoemRequest(theme="秋"))).theme == "秋"


async def test_cancelled_request_is_not_composed(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    inference.submit(PoemRequest(theme="夏")).cancel()
    autumn = inference.submit(PoemRequest(theme="秋"))
    poet.gate.set()
    await asyncio.gather(first, autumn)
    assert [[request.theme for request in batch] for batch in poet.batches] == [["月"], ["秋"]]


async def test_closing_finishes_what_runs_and_refuses_the_rest(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    waiting = inference.submit(PoemRequest())
    closing = asyncio.create_task(inference.close())
    await asyncio.sleep(0)
    with pytest.raises(ClosingError):
        inference.submit(PoemRequest())
    poet.gate.set()
    await closing
    assert (await first).theme == "月"
    with pytest.raises(ClosingError):
        await waiting


async def test_poet_is_told_of_the_last_poems_of_its_version_whenever_it_is_loaded() -> None:
    lately = {"fake-1": [("春",), ("秋",)], "fake-2": [("夏",)]}
    loaded: list[FakePoet] = []

    def load(version: str | None) -> FakePoet:
        loaded.append(FakePoet(version=version or "fake-1", lines=(version or "",)))
        return loaded[-1]

    async with Inference(load, queue_size=4, max_batch=1, max_voices=1, lately=lately) as inference:
        for version in ("fake-2", "fake-3", "fake-2"):
            await inference.submit(PoemRequest(), version)
            await inference.submit(PoemRequest(seed=7), version)
    told = [(poet.version, poet.remembered) for poet in loaded]
    assert told == [
        ("fake-1", [("春",), ("秋",)]),
        ("fake-2", [("夏",)]),
        ("fake-3", []),
        ("fake-2", [("夏",), ("fake-2",)]),
    ]


async def test_poet_that_cannot_be_loaded_says_so() -> None:
    def load(version: str | None) -> FakePoet:
        raise CheckpointError("There is no version of the poet.")

    with pytest.raises(CheckpointError):
        async with Inference(load, queue_size=1, max_batch=1):
            pass


async def test_versions_are_loaded_once_and_the_oldest_goes(poet: FakePoet) -> None:
    loaded: list[str | None] = []

    def load(version: str | None) -> FakePoet:
        loaded.append(version)
        return FakePoet(version=version or "fake-1")

    async with Inference(load, queue_size=9, max_batch=3, max_voices=2) as inference:
        for version in ("a", "a", "fake-1", "b", "a"):
            assert (await inference.submit(PoemRequest(), version)).version == version
    assert loaded == [None, "a", "b", "a"], "the shared one was used later than a, so a went"


async def test_one_batch_is_divided_by_version(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    waiting = [inference.submit(PoemRequest(theme="春"), version) for version in ("other", None, "other")]
    poet.gate.set()
    await first
    assert [answer.version for answer in await asyncio.gather(*waiting)] == ["other", "fake-1", "other"]
    assert [len(batch) for batch in poet.batches] == [1, 1]


async def test_version_that_is_gone_is_said_so_and_others_go_on(inference: Inference) -> None:
    gone, there = inference.submit(PoemRequest(), "gone-1"), inference.submit(PoemRequest(), "there")
    with pytest.raises(BotError) as refused:
        await gone
    assert refused.value.key == "version_gone"
    assert (await there).version == "there"


async def test_closing_does_not_wait_for_ever(inference: Inference, poet: FakePoet) -> None:
    first = await _occupied(inference, poet)
    assert not await inference.close(seconds=0.05)
    with pytest.raises(ClosingError):
        await first
    poet.gate.set()


async def test_those_who_wait_together_get_fewer_candidates(poet: FakePoet) -> None:
    async with Inference(lambda version: poet, queue_size=40, max_batch=32) as inference:
        first = await _occupied(inference, poet)
        waiting = [inference.submit(PoemRequest(candidates=32)) for _ in range(32)]
        poet.gate.set()
        await asyncio.gather(first, *waiting)
        await inference.submit(PoemRequest(candidates=32))
    assert [(len(batch), {request.candidates for request in batch}) for batch in poet.batches] == [
        (1, {PoemRequest().candidates}), (32, {2}), (1, {32}),
    ]  # fmt: skip


async def test_poems_written_again_make_the_poet_look_neither_fast_nor_slow() -> None:
    class Slow(FakePoet):
        def compose(self, requests):  # type: ignore[no-untyped-def]
            time.sleep(0.1)
            return super().compose(requests)

    poet = Slow()
    async with Inference(lambda version: poet, queue_size=9, max_batch=9) as inference:
        for seed in range(12):
            await inference.submit(PoemRequest(seed=seed))
        poet.batches.clear()
        first = await _occupied(inference, poet)
        waiting = [inference.submit(PoemRequest()) for _ in range(2)]
        poet.gate.set()
        await asyncio.gather(first, *waiting)
    # It is the first guess still: of so few candidates all the time goes into what any number costs.
    assert all(8 <= request.candidates < 40 for request in poet.batches[-1])


async def test_a_request_that_wants_one_candidate_gets_one(poet: FakePoet) -> None:
    async with Inference(lambda version: poet, queue_size=9, max_batch=9) as inference:
        first = await _occupied(inference, poet)
        waiting = [inference.submit(PoemRequest(candidates=1)) for _ in range(9)]
        poet.gate.set()
        await asyncio.gather(first, *waiting)
    assert {request.candidates for request in poet.batches[1]} == {1}


async def test_a_thread_that_hangs_is_replaced() -> None:
    poets: list[FakePoet] = []

    def load(version: str | None) -> FakePoet:
        poets.append(FakePoet())
        return poets[-1]

    async with Inference(load, queue_size=9, max_batch=9, hung_seconds=0.2) as inference:
        hung = await _occupied(inference, poets[0])
        waits = inference.submit(PoemRequest(theme="秋"))
        with pytest.raises(TimeoutError):
            await hung
        assert (await waits).theme == "秋", "what waited is written by the next thread"
        assert len(poets) == 2
        poets[0].gate.set()


async def test_out_of_memory_fails_one_request_and_the_next_works(inference: Inference, poet: FakePoet) -> None:
    poet.fail_on, poet.failure = "夏", MemoryError()
    with pytest.raises(MemoryError):
        await inference.submit(PoemRequest(theme="夏"))
    assert (await inference.submit(PoemRequest(theme="秋"))).theme == "秋"


async def test_a_thread_that_cannot_begin_ends_no_worker(inference: Inference, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(inference._thread, "submit", refuse)
        with pytest.raises(RuntimeError, match="start new thread"):
            await inference.submit(PoemRequest())
    assert (await inference.submit(PoemRequest(theme="秋"))).theme == "秋"
