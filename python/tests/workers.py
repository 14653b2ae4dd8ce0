"""What other processes do in the tests. Importable, so that every start method of multiprocessing finds it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import flockq


def send(directory: str, queue: str, writer: int, count: int) -> None:
    """Send messages that say who sent them."""
    with flockq.Spool(directory, sync="off") as spool:
        for number in range(count):
            spool.queue(queue).send({"writer": writer, "number": number})


def receive_all(directory: str, queue: str, expected: int, log: str) -> None:
    """Receive and ack until that many are in all the logs beside this one."""
    with flockq.Spool(directory, sync="off") as spool, Path(log).open("a") as file:
        inbound = spool.queue(queue)
        while sum(len(one.read_text().splitlines()) for one in Path(log).parent.glob("*.log")) < expected:
            delivery = inbound.receive(wait=0.2)
            if delivery is not None:
                with delivery:
                    print(delivery.id, file=file, flush=True)


def append(directory: str, queue: str, writer: int, count: int) -> None:
    """Add messages by changing the whole array."""
    with flockq.Spool(directory, sync="off") as spool:
        for number in range(count):
            with spool.queue(queue).update() as array:
                array.append({"message": {"id": f"{writer}-{number}"}, "attempts": 0})


def watch(directory: str, queue: str, expected: int) -> None:
    """Load the array until it has that many; it only grows."""
    with flockq.Spool(directory, sync="off") as spool:
        seen = 0
        while seen < expected:
            found = len(spool.queue(queue).load())
            assert found >= seen
            seen = found
            time.sleep(0.001)


def fork(job: Callable[[], None]) -> int:
    """Run a job in a forked child and return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            job()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def join(pid: int) -> None:
    """Wait for a forked child, which must have done its job."""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def script(directory: Path, text: str) -> subprocess.Popen[str]:
    """Run a script in another Python; it finds the spool in `spool`, `inbound`, and its directory in `directory`."""
    opening = f"import flockq, gc, math, os, signal, sys, threading, time; directory = {str(directory)!r}\n"
    # Whoever runs the tests in the background may have SIGINT ignored, which is inherited.
    opening += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    opening += "spool = flockq.Spool(directory, sync='off'); inbound = spool.queue('inbound')\n"
    return subprocess.Popen(
        [sys.executable, "-c", opening + text],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line that a script prints."""
    assert process.stdout is not None
    text = process.stdout.readline().rstrip("\n")
    assert text, process.communicate(timeout=10)[1]
    return text


def refused(directory: str, queue: str) -> None:
    """Ask for a lock that somebody has, and end."""
    with flockq.Spool(directory, sync="off", lock_wait=0.2) as spool:
        try:
            spool.queue(queue).send("child")
        except flockq.LockTimeout:
            return
    raise AssertionError("the lock was to be had")


def share(directory: str, queue: str, inherited: flockq.Queue | None, child: int, log: str) -> None:
    """Send ten messages and take ten, with what was inherited or with a spool of one's own, from two threads."""
    mine = inherited if inherited is not None else flockq.Spool(directory, sync="off").queue(queue)
    with ThreadPoolExecutor(2) as pool:
        sent = pool.submit(lambda: [mine.send(f"{child}-{number}") for number in range(10)])
        received = pool.submit(lambda: [_take(mine) for _ in range(10)])
        sent.result()
        Path(log).write_text("\n".join(received.result()))


def _take(queue: flockq.Queue) -> str:
    delivery = queue.receive(wait=30)
    assert delivery is not None
    with delivery:
        return str(delivery.message)
