"""Many processes and threads on one queue: nothing lost, nothing twice."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import workers
from support import files

import flockq

METHODS = ["fork", "forkserver", "spawn"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_ten_writers_of_twenty_messages_and_two_readers(directory: Path, inbound: flockq.Queue, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    logs = [str(directory.parent / f"{number}.log") for number in range(2)]
    for log in logs:
        Path(log).touch()
    inbound.stats()
    where = (str(directory), "inbound")
    processes = [context.Process(target=workers.send, args=(*where, number, 20)) for number in range(10)]
    processes += [context.Process(target=workers.receive_all, args=(*where, 200, log)) for log in logs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    received = [line for log in logs for line in Path(log).read_text().splitlines()]
    assert (len(received), len(set(received))) == (200, 200)
    assert len(inbound) == 0
    assert files(directory) == [".gastown", "inbound.json"], "no temporary file is left"


def test_five_writers_that_change_the_array_and_five_readers(directory: Path, inbound: flockq.Queue) -> None:
    context = multiprocessing.get_context("spawn")
    where = (str(directory), "inbound")
    processes = [context.Process(target=workers.append, args=(*where, number, 20)) for number in range(5)]
    processes += [context.Process(target=workers.watch, args=(*where, 100)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    ids = sorted(element["message"]["id"] for element in inbound.load())
    assert ids == sorted(f"{writer}-{number}" for writer in range(5) for number in range(20))
    assert files(directory) == [".gastown", "inbound.json"]


def test_threads_share_a_handle(inbound: flockq.Queue) -> None:
    received: list[int] = []

    def send(start: int) -> None:
        for number in range(start, start + 50):
            inbound.send(number)

    def receive() -> None:
        while True:
            delivery = inbound.receive(wait=1)
            if delivery is None:
                return
            with delivery:
                received.append(delivery.message)

    threads = [threading.Thread(target=send, args=(start * 50,)) for start in range(4)]
    threads += [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(received) == list(range(200))


def test_a_forked_child_goes_on_with_the_same_objects(inbound: flockq.Queue) -> None:
    inbound.send("before")
    mine = inbound.receive(lease=3600)
    assert mine is not None

    def in_the_child() -> None:
        for number in range(20):
            inbound.send({"child": number})
        for _ in range(10):
            delivery = inbound.receive()
            assert delivery is not None
            delivery.ack()
        gc.collect()

    child = workers.fork(in_the_child)
    for number in range(20):
        inbound.send({"parent": number})
    workers.join(child)
    assert (len(inbound), inbound.stats().leased) == (31, 1), "the child's end is not this process's"
    mine.ack()


def test_a_lock_that_the_parent_holds_is_not_the_child_s(inbound: flockq.Queue, directory: Path) -> None:
    impatient = flockq.Spool(directory, lock_wait=0.2).queue("inbound")

    def in_the_child() -> None:
        with pytest.raises(flockq.LockTimeout):
            impatient.send("child")

    with inbound.update() as array:
        child = workers.fork(in_the_child)
        workers.join(child)
        array.append({"message": "parent"})
    assert [element["message"] for element in inbound.load()] == ["parent"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_children_of_a_process_that_holds_a_delivery_share_its_queue(
    directory: Path, inbound: flockq.Queue, method: str
) -> None:
    context: Any = multiprocessing.get_context(method)
    inbound.send("before")
    mine = inbound.receive(lease=3600)
    assert mine is not None
    logs = [directory.parent / f"{child}.log" for child in range(3)]
    # A forked child has the parent's objects; the others open their own.
    inherited = inbound if method == "fork" else None
    processes = [
        context.Process(target=workers.share, args=(str(directory), "inbound", inherited, child, str(log)))
        for child, log in enumerate(logs)
    ]
    for process in processes:
        process.start()
    workers.share(str(directory), "inbound", inbound, 3, str(directory.parent / "3.log"))
    for process in processes:
        process.join()
        assert process.exitcode == 0
    logs.append(directory.parent / "3.log")
    received = sorted(line for log in logs for line in log.read_text().splitlines())
    assert received == sorted(f"{child}-{number}" for child in range(4) for number in range(10))
    assert (len(inbound), inbound.stats().leased) == (1, 1), "the children's ends are not this process's"
    mine.ack()
    assert len(inbound) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("method", METHODS)
def test_a_lock_is_not_given_up_by_a_child_that_ends(directory: Path, inbound: flockq.Queue, method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    with inbound.update() as array:
        for _ in range(2):
            # The second one finds it held although the first has ended.
            process = context.Process(target=workers.refused, args=(str(directory), "inbound"))
            process.start()
            process.join()
            assert process.exitcode == 0
        array.append({"message": "parent"})
    assert [element["message"] for element in inbound.load()] == ["parent"]


def test_a_consumer_s_death_is_noticed_although_its_forked_child_lives(directory: Path, inbound: flockq.Queue) -> None:
    inbound.send(1)
    consumer = workers.script(
        directory,
        "delivery = inbound.receive(lease=3600)\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)\n",
    )
    child = int(workers.line(consumer))
    try:
        assert inbound.receive() is None
        consumer.kill()
        started = time.monotonic()
        delivery = inbound.receive(wait=10)
        took = time.monotonic() - started
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        consumer.kill()
        consumer.communicate()
    assert delivery is not None
    assert (delivery.message, delivery.attempts) == (1, 2)
    assert took < 5


def test_control_c_ends_a_wait(directory: Path) -> None:
    waiting = workers.script(
        directory,
        "print('waiting', flush=True)\n"
        "try: inbound.receive(wait=math.inf)\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n"
        "print(inbound.send(1, id='goes on'), flush=True)\n",
    )
    assert workers.line(waiting) == "waiting"
    time.sleep(0.3)
    started = time.monotonic()
    waiting.send_signal(signal.SIGINT)
    assert workers.line(waiting) == "interrupted"
    assert time.monotonic() - started < 10
    assert workers.line(waiting) == "goes on"
    assert waiting.wait(10) == 0
    waiting.communicate()


def test_a_signal_whose_handler_returns_does_not_end_a_wait(directory: Path, inbound: flockq.Queue) -> None:
    waiting = workers.script(
        directory,
        "signal.signal(signal.SIGUSR1, lambda *_: print('handled', flush=True))\n"
        "print('waiting', flush=True)\n"
        "print(inbound.receive(wait=30).message, flush=True)\n",
    )
    assert workers.line(waiting) == "waiting"
    time.sleep(0.2)
    waiting.send_signal(signal.SIGUSR1)
    assert workers.line(waiting) == "handled"
    inbound.send("came")
    assert workers.line(waiting) == "came"
    assert waiting.wait(10) == 0
    waiting.communicate()


def test_a_signal_handler_may_interrupt_the_wait(directory: Path) -> None:
    waiting = workers.script(
        directory,
        "signal.signal(signal.SIGUSR1, lambda *_: inbound.interrupt())\n"
        "print('waiting', flush=True)\n"
        "try: inbound.receive(wait=math.inf)\n"
        "except flockq.Interrupted: print('interrupted', flush=True)\n",
    )
    assert workers.line(waiting) == "waiting"
    time.sleep(0.3)
    waiting.send_signal(signal.SIGUSR1)
    assert workers.line(waiting) == "interrupted"
    assert waiting.wait(10) == 0
    waiting.communicate()


def test_control_c_ends_the_wait_for_a_lock(directory: Path, inbound: flockq.Queue) -> None:
    waiting = workers.script(
        directory,
        "print('waiting', flush=True)\n"
        "try: flockq.FileLock(directory + '/inbound.json', timeout=math.inf).acquire()\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n",
    )
    with inbound.update():
        assert workers.line(waiting) == "waiting"
        time.sleep(0.3)
        waiting.send_signal(signal.SIGINT)
        assert workers.line(waiting) == "interrupted"
    assert waiting.wait(10) == 0
    waiting.communicate()


def test_interrupt_and_close_end_the_waits_of_other_threads(inbound: flockq.Queue) -> None:
    raised: list[type[BaseException]] = []

    def wait() -> None:
        try:
            inbound.receive(wait=math.inf)
        except flockq.FlockqError as error:
            raised.append(type(error))

    for end in (inbound.interrupt, inbound.close):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        end()
        thread.join(5)
    assert raised == [flockq.Interrupted, flockq.Closed]


def test_a_wait_lets_other_threads_run(inbound: flockq.Queue) -> None:
    thread = threading.Thread(target=inbound.receive, kwargs={"wait": 0.5})
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.01)
    assert turns > 10


def test_a_child_may_stop_what_keeps_its_parents_lease(inbound: flockq.Queue) -> None:
    inbound.send("one")
    inbound.send("two")
    mine = inbound.receive(lease=3600)
    assert mine is not None
    kept = inbound.keep(mine.receipt)

    def in_the_child() -> None:
        own = inbound.receive(lease=3600)
        assert own is not None
        with inbound.keep(own.receipt):
            kept.__exit__(None, None, None)
        own.ack()

    kept.__enter__()
    workers.join(workers.fork(in_the_child))
    kept.__exit__(None, None, None)
    mine.ack()
    assert len(inbound) == 0


def test_a_change_that_is_open_is_not_the_child_s(inbound: flockq.Queue) -> None:
    inbound.send("one")

    def in_the_child() -> None:
        with pytest.raises(flockq.Closed):
            change.__exit__(None, None, None)

    change = inbound.update()
    change.__enter__()
    workers.join(workers.fork(in_the_child))
    change.__exit__(None, None, None)


def test_control_c_is_heard_although_the_wait_that_it_ends_concerns_nobody(directory: Path) -> None:
    mail = flockq.Spool.mail(directory, sync="off")
    outbound = mail.queue("outbound")
    outbound.save([{"message": 1, "from": "inbound"}])
    waiting = workers.script(
        directory,
        "spool = flockq.Spool(directory, lock_wait=math.inf)\n"
        "print('waiting', flush=True)\n"
        "try: spool.queue('inbound').receive(wait=math.inf)\n"
        "except KeyboardInterrupt: print('interrupted', flush=True)\n",
    )
    # What is due there is fetched under its lock.
    with outbound.update():
        assert workers.line(waiting) == "waiting"
        time.sleep(0.5)
        waiting.send_signal(signal.SIGINT)
        assert workers.line(waiting) == "interrupted"
    assert waiting.wait(10) == 0
    waiting.communicate()


def test_a_file_lock_is_held_although_nothing_refers_to_it_until_its_process_ends(directory: Path) -> None:
    path = directory / "daemon"
    daemon = workers.script(
        directory,
        "flockq.FileLock('daemon').acquire(); gc.collect()\nprint('acquired', flush=True); sys.stdin.readline()\n",
    )
    assert workers.line(daemon) == "acquired"
    with pytest.raises(flockq.LockTimeout):
        flockq.FileLock(path, timeout=0).acquire()
    daemon.communicate("end\n")
    with flockq.FileLock(path, timeout=10):
        pass


def test_a_child_has_none_of_its_parent_s_file_locks(directory: Path) -> None:
    lock = flockq.FileLock(directory / "daemon", timeout=0)

    def in_the_child() -> None:
        with pytest.raises(flockq.LockTimeout):
            lock.acquire()
        lock.release()
        with pytest.raises(flockq.LockTimeout):
            lock.acquire()

    with lock:
        workers.join(workers.fork(in_the_child))
        # The child's release and its end are not this process's.
        workers.join(workers.fork(in_the_child))
    workers.join(workers.fork(lock.acquire))
