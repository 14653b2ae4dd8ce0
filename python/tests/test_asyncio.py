"""Receiving in asyncio: a wait ends with its task, and what comes then is given back."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import workers

import flockq


async def asleep(seconds: float = 0.2) -> None:
    """Until those who wait sleep."""
    await asyncio.sleep(seconds)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, which must say so."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def taken_at_once(queue: flockq.Queue, attempts: int) -> None:
    """What is sent now, or there already, comes without any wait."""
    if len(queue) == 0:
        queue.send(1)
    delivery = queue.receive()
    assert delivery is not None
    assert delivery.attempts == attempts
    delivery.ack()
    assert len(queue) == 0


def test_a_task_waits_while_the_loop_goes_on(inbound: flockq.Queue) -> None:
    async def main() -> tuple[int, flockq.Delivery | None]:
        task = asyncio.create_task(inbound.receive_async(wait=math.inf))
        turns = 0
        while not task.done():
            turns += 1
            await asyncio.sleep(0.01)
            if turns == 20:
                await asyncio.to_thread(inbound.send, {"to": "deacon/"})
        return turns, task.result()

    turns, delivery = asyncio.run(main())
    assert turns >= 20
    assert delivery is not None
    with delivery:
        assert (delivery.message, delivery.attempts) == ({"to": "deacon/"}, 1)
    assert len(inbound) == 0


def test_without_a_message_there_is_none_and_errors_go_up(directory: Path, inbound: flockq.Queue) -> None:
    assert asyncio.run(inbound.receive_async()) is None
    assert asyncio.run(inbound.receive_async(wait=0.05)) is None
    with pytest.raises(flockq.InvalidArgument):
        asyncio.run(inbound.receive_async(wait=-1))
    (directory / "inbound.json").write_text("[1,")
    with pytest.raises(flockq.Corrupt):
        asyncio.run(inbound.receive_async(wait=60))


def test_a_cancelled_receive_takes_nothing(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    async def main() -> None:
        task = asyncio.create_task(inbound.receive_async(wait=math.inf))
        await asleep()
        await cancelled(task)
        taken_at_once(spool.queue("inbound"), attempts=1)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(inbound.receive_async(wait=math.inf), 0.1)
        taken_at_once(spool.queue("inbound"), attempts=1)

    asyncio.run(main())


def test_a_receive_that_is_cancelled_when_it_has_hardly_begun_takes_nothing(inbound: flockq.Queue) -> None:
    async def main() -> None:
        for round in range(50):
            task = asyncio.create_task(inbound.receive_async(wait=math.inf))
            await asyncio.sleep(round / 10_000)
            await cancelled(task)

    asyncio.run(main())
    taken_at_once(inbound, attempts=1)


def test_cancelling_a_task_ends_no_other_wait_of_its_handle(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    received: list[object] = []
    thread = threading.Thread(target=lambda: received.append(inbound.receive(wait=60)))

    async def main() -> None:
        first, second, third = (
            asyncio.create_task(queue.receive_async(wait=math.inf))
            for queue in (inbound, inbound, spool.queue("inbound"))
        )
        thread.start()
        await asleep()
        await cancelled(first)
        await asleep()
        assert not second.done()
        assert not third.done()
        assert thread.is_alive()
        inbound.send_many([1, 2, 3])
        received.extend(await asyncio.gather(second, third))

    asyncio.run(main())
    thread.join()
    assert [type(delivery) for delivery in received] == [flockq.Delivery] * 3


async def taken_unheard(inbound: flockq.Queue, other: flockq.Queue) -> asyncio.Task[Any]:
    """Have a task take a message that it has not heard of yet: the loop does not go on meanwhile."""
    task = asyncio.create_task(inbound.receive_async(wait=math.inf))
    await asleep()
    other.send(1)
    while other.stats().leased == 0:
        time.sleep(0.01)
    return task


def test_what_came_when_the_task_was_cancelled_is_given_back(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    other = spool.queue("inbound")

    async def main() -> None:
        await cancelled(await taken_unheard(inbound, other))
        taken_at_once(other, attempts=2)

    asyncio.run(main())


def test_what_came_is_given_back_also_when_no_other_thread_is_to_be_had(
    spool: flockq.Spool, inbound: flockq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = spool.queue("inbound")

    def refused(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        task = await taken_unheard(inbound, other)
        monkeypatch.setattr(threading.Thread, "start", refused)
        await cancelled(task)
        monkeypatch.undo()
        taken_at_once(other, attempts=2)

    asyncio.run(main())


class Slow:
    """What is behind a queue, where something else happens when a message has come."""

    def __init__(self, inner: Any, meanwhile: Callable[[], object]) -> None:
        self._inner = inner
        self._meanwhile = meanwhile

    def receive(self, *arguments: Any) -> Any:
        delivery = self._inner.receive(*arguments)
        self._meanwhile()
        return delivery


def test_what_could_not_be_given_back_is_told(
    spool: flockq.Spool, inbound: flockq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[type, str]] = []
    monkeypatch.setattr("flockq._tasks.say_too", lambda error, text: told.append((type(error), text)))
    other = spool.queue("inbound")
    other.send(1, id="lost")

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def lose() -> None:
            other.purge()
            loop.call_soon_threadsafe(task.cancel)

        monkeypatch.setattr(inbound, "_inner", Slow(inbound._inner, lose))
        task = asyncio.create_task(inbound.receive_async())
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    ((kind, text),) = told
    assert kind is asyncio.CancelledError
    assert text.startswith("and giving back the message lost said: ")


def test_a_cancelled_receive_does_not_wait_for_a_lock_that_somebody_keeps(directory: Path) -> None:
    queue = flockq.Spool(directory, sync="off", lock_wait=math.inf).queue("inbound")

    async def main() -> None:
        with queue.update():
            task = asyncio.create_task(queue.receive_async(wait=math.inf))
            await asleep()
            await cancelled(task)

    asyncio.run(main())
    taken_at_once(queue, attempts=1)


def test_interrupt_and_close_end_the_waits_of_tasks(inbound: flockq.Queue) -> None:
    async def main() -> None:
        for end, raised in ((inbound.interrupt, flockq.Interrupted), (inbound.close, flockq.Closed)):
            task = asyncio.create_task(inbound.receive_async(wait=math.inf))
            await asleep()
            end()
            with pytest.raises(raised):
                await task

    asyncio.run(main())


def test_many_waits_leave_the_executor_to_others(inbound: flockq.Queue) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(inbound.receive_async(wait=math.inf)) for _ in range(50)]
        await asleep()
        await asyncio.to_thread(inbound.send_many, range(50))
        received = await asyncio.gather(*tasks)
        assert sorted(delivery.message for delivery in received if delivery is not None) == list(range(50))

    asyncio.run(main())


def test_what_comes_when_the_loop_is_closed_is_given_back(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(inbound.receive_async(wait=math.inf))
    loop.run_until_complete(asleep())
    loop.close()
    spool.queue("inbound").send(1)
    while (envelope := spool.queue("inbound").list().envelopes[0]).attempts == 0 or envelope.state != "ready":
        time.sleep(0.01)
    taken_at_once(spool.queue("inbound"), attempts=2)
    assert not task.done()


def test_control_c_ends_the_wait_of_a_task_and_the_program(directory: Path) -> None:
    waiting = workers.script(
        directory,
        "import asyncio\n"
        "async def main():\n"
        "    print('waiting', flush=True)\n"
        "    await inbound.receive_async(wait=math.inf)\n"
        "try: asyncio.run(main())\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n"
        "inbound.send(1)\n"
        "print(inbound.receive().attempts, flush=True)\n",
    )
    assert workers.line(waiting) == "waiting"
    time.sleep(0.3)
    waiting.send_signal(signal.SIGINT)
    assert workers.line(waiting) == "interrupted"
    assert workers.line(waiting) == "1"
    assert waiting.wait(10) == 0
    waiting.communicate()
