"""The worker and its turnstile: order, limit, what becomes of work whose caller left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from magnet_service.errors import Cancelled, Overloaded
from magnet_service.rpc.turnstile import Turnstile
from magnet_service.rpc.worker import StopSignal, Worker


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


@contextmanager
def working(limit: int = 64) -> Iterator[Worker]:
    worker = Worker(limit)
    try:
        yield worker
    finally:
        worker.close()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_work_runs_in_one_thread_that_is_not_the_loops() -> None:
    async def main() -> None:
        with working() as worker:
            found = await asyncio.gather(*(worker.run(lambda _: threading.get_ident()) for _ in range(8)))
            assert len(set(found)) == 1
            assert found[0] != threading.get_ident()

    run(main())


def test_requests_run_in_order_and_before_background_steps() -> None:
    async def main() -> None:
        order: list[str] = []
        gate = threading.Event()

        def steps() -> Iterator[int]:
            for number in range(3):
                order.append(f"step {number}")
                yield number

        async def background() -> None:
            async for _ in worker.steps(steps()):
                pass

        with working() as worker:
            first = asyncio.create_task(worker.run(lambda _: gate.wait()))
            await settle()
            build = asyncio.create_task(background())
            await settle()
            others = [asyncio.create_task(worker.run(lambda _, n=n: order.append(f"request {n}"))) for n in range(3)]
            await settle()
            gate.set()
            await asyncio.gather(first, build, *others)
        assert order == ["request 0", "request 1", "request 2", "step 0", "step 1", "step 2"]

    run(main())


def test_a_request_waits_for_one_step_only() -> None:
    async def main() -> None:
        order: list[str] = []
        first_step, gate = threading.Event(), threading.Event()

        def steps() -> Iterator[None]:
            first_step.set()
            gate.wait()
            order.append("step 0")
            yield None
            order.append("step 1")
            yield None

        async def background() -> None:
            async for _ in worker.steps(steps()):
                pass

        with working() as worker:
            build = asyncio.create_task(background())
            await asyncio.to_thread(first_step.wait)
            request = asyncio.create_task(worker.run(lambda _: order.append("request")))
            await settle()
            gate.set()
            await asyncio.gather(build, request)
        assert order == ["step 0", "request", "step 1"]

    run(main())


def test_one_too_many_is_refused_and_background_is_not_counted() -> None:
    async def main() -> None:
        gate = threading.Event()
        with working(limit=2) as worker:
            tasks = [asyncio.create_task(worker.run(lambda _: gate.wait())) for _ in range(3)]
            await settle()
            assert worker.waiting == 2
            with pytest.raises(Overloaded) as caught:
                await worker.run(lambda _: None)
            assert caught.value.retry_after > 0
            gate.set()
            assert await asyncio.gather(*tasks) == [True] * 3

    run(main())


def test_queued_work_of_a_caller_who_left_never_runs() -> None:
    async def main() -> None:
        gate = threading.Event()
        ran: list[int] = []
        with working() as worker:
            first = asyncio.create_task(worker.run(lambda _: gate.wait()))
            await settle()
            tasks = [asyncio.create_task(worker.run(lambda _, n=n: ran.append(n))) for n in range(3)]
            await settle()
            tasks[1].cancel()
            await settle()
            assert worker.waiting == 2
            gate.set()
            await asyncio.gather(first, tasks[0], tasks[2])
            with pytest.raises(asyncio.CancelledError):
                await tasks[1]
        assert ran == [0, 2]

    run(main())


def test_running_work_of_a_caller_who_left_is_told_to_stop() -> None:
    async def main() -> None:
        started, stopped = threading.Event(), threading.Event()

        def work(should_stop: StopSignal) -> None:
            started.set()
            while not should_stop():
                pass
            stopped.set()
            raise Cancelled("the caller left")

        with working() as worker:
            task = asyncio.create_task(worker.run(work))
            await asyncio.to_thread(started.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await worker.run(lambda _: None)  # the thread is free again
            assert stopped.is_set()

    run(main())


def test_errors_of_work_and_of_steps_come_back_and_the_worker_goes_on() -> None:
    async def main() -> None:
        def steps() -> Iterator[int]:
            yield 1
            raise Cancelled("enough")

        with working() as worker:
            with pytest.raises(ZeroDivisionError):
                await worker.run(lambda _: 1 // 0)
            items = worker.steps(steps())
            assert await anext(items) == 1
            with pytest.raises(Cancelled, match="enough"):
                await anext(items)
            assert await worker.run(lambda _: 7) == 7

    run(main())


def test_a_generator_left_early_is_closed_in_the_thread() -> None:
    async def main() -> None:
        closed: list[int] = []

        def steps() -> Iterator[int]:
            try:
                while True:
                    yield threading.get_ident()
            finally:
                closed.append(threading.get_ident())

        with working() as worker:
            items = worker.steps(steps())
            thread = await anext(items)
            await items.aclose()
            await worker.run(lambda _: None)
            assert closed == [thread]

    run(main())


def test_a_turn_that_comes_in_the_moment_of_a_cancel_is_passed_on() -> None:
    async def main() -> None:
        gate = threading.Event()
        with working() as worker:
            first = asyncio.create_task(worker.run(lambda _: gate.wait()))
            await settle()
            second = asyncio.create_task(worker.run(lambda _: "second"))
            third = asyncio.create_task(worker.run(lambda _: "third"))
            await settle()
            gate.set()
            await first
            second.cancel()
            assert await third == "third"
            with pytest.raises(asyncio.CancelledError):
                await second
            assert await worker.run(lambda _: "more") == "more"

    run(main())


def test_a_cancel_just_before_the_turn_passes_is_a_cancel() -> None:
    async def main() -> None:
        turnstile = Turnstile(4)
        await turnstile.enter()
        second = asyncio.create_task(turnstile.enter())
        await settle()
        second.cancel()
        turnstile.leave()  # drops the cancelled turn before its task has run
        with pytest.raises(asyncio.CancelledError):
            await second
        await asyncio.wait_for(turnstile.enter(), 5)

    run(main())
