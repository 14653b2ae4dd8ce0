"""The worker in Python: does with one peer what the requests on standard input say. The protocol is in ../README.md."""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from contender import Contender, Taken, Unsupported
from payload import message, number_of, ranges_of, stamped

PEERS = {
    "flockq": "own.Flockq",
    "flockq-full": "own.FlockqFull",
    "flockq-plain": "own.FlockqPlain",
    "persist-queue": "databases.PersistQueue",
    "litequeue": "databases.LiteQueue",
    "huey": "databases.Huey",
    "diskcache": "databases.DiskCache",
    "dirq": "files.DirQ",
    "naive": "files.Naive",
}
RETRY_SECONDS = 0.001
TRIES = 1000

Reply = dict[str, Any]


class Failures:
    """Calls that raised, such as ``database is locked``: counted, and done again."""

    def __init__(self) -> None:
        """Count from nothing."""
        self._count = 0
        self._first = ""

    def note(self, failure: Exception) -> None:
        """Count one, and give the others a moment."""
        self._first = self._first or f"{type(failure).__name__}: {failure}"
        self._count += 1
        time.sleep(RETRY_SECONDS)

    def told(self) -> Reply:
        """Return what goes into the reply."""
        return {"failed": self._count, "failure": self._first} if self._count else {}


class Worker:
    """One peer's queue, and the requests."""

    def __init__(self, name: str, durability: str, place: Path) -> None:
        """Choose the peer."""
        self._name = name
        module, _, kind = PEERS[name].partition(".")
        self._contender: Contender = getattr(importlib.import_module(module), kind)(place, durability)

    def open(self) -> Reply:
        """Open the queue."""
        started = time.monotonic()
        self._contender.open()
        return {"seconds": time.monotonic() - started}

    def send(self, first: int, count: int, batch: int, limit_s: float) -> Reply:
        """Send messages in order, until the count or the limit."""
        contender, failures = self._contender, Failures()
        done = 0
        started = time.monotonic()
        ends = started + limit_s
        while done < count and time.monotonic() < ends:
            try:
                if batch == 1:
                    contender.send(message(first + done))
                    done += 1
                else:
                    size = min(batch, count - done)
                    contender.send_many([message(first + done + place) for place in range(size)])
                    done += size
            except Unsupported:
                raise
            except Exception as failure:
                failures.note(failure)
        return {"done": done, "seconds": time.monotonic() - started, **failures.told()}

    def receive(self, count: int, batch: int, wait: bool, limit_s: float) -> Reply:
        """Receive and ack, until the count or the limit, or until there is nothing."""
        numbers: list[int] = []
        failures = Failures()
        started = time.monotonic()
        ends = started + limit_s
        while len(numbers) < count and (left := ends - time.monotonic()) > 0:
            try:
                taken = self._take(min(batch, count - len(numbers)), batch > 1, left if wait else None)
                if not taken and not wait:
                    break
                numbers += self._settle(taken, batch > 1, failures)
            except Unsupported:
                raise
            except Exception as failure:
                failures.note(failure)
        seconds = time.monotonic() - started
        ranges, again = ranges_of(numbers)
        return {"done": len(numbers), "seconds": seconds, "ranges": ranges, "again": again, **failures.told()}

    def _take(self, size: int, many: bool, wait_s: float | None) -> list[Taken]:
        if many:
            taken = self._contender.take_many(size)
            if not taken and wait_s is not None:
                time.sleep(RETRY_SECONDS)
            return taken
        one = self._contender.take() if wait_s is None else self._contender.await_one(wait_s)
        return [] if one is None else [one]

    def _settle(self, taken: list[Taken], many: bool, failures: Failures) -> list[int]:
        """Ack, and return the numbers."""
        if many:
            self._ack(lambda: self._contender.done_many([handle for _, handle in taken]), failures)
        else:
            for _, handle in taken:
                self._ack(partial(self._contender.done, handle), failures)
        return [number_of(received) for received, _ in taken]

    def _ack(self, ack: Callable[[], None], failures: Failures) -> None:
        """Ack, and again when that fails, as a program would that has done its work; but not for ever."""
        for _ in range(TRIES):
            try:
                ack()
                return
            except Exception as failure:
                failures.note(failure)

    def send_stamped(self, count: int, pause_ms: float) -> Reply:
        """Send with the time before each send, and keep the time after it."""
        before: list[int] = []
        after: list[int] = []
        failures = Failures()
        for number in range(count):
            before.append(time.monotonic_ns())
            for _ in range(TRIES):
                try:
                    self._contender.send(stamped(number, before[-1]))
                    break
                except Exception as failure:
                    failures.note(failure)
            after.append(time.monotonic_ns())
            time.sleep(pause_ms / 1000)
        return {"done": count, "before_ns": before, "after_ns": after, **failures.told()}

    def receive_stamped(self, count: int, limit_s: float) -> Reply:
        """Receive with the time when each message was in hand."""
        numbers: list[int] = []
        had: list[int] = []
        failures = Failures()
        ends = time.monotonic() + limit_s
        while len(numbers) < count and (left := ends - time.monotonic()) > 0:
            try:
                taken = self._contender.await_one(left)
                if taken is not None:
                    had.append(time.monotonic_ns())
                    numbers.append(number_of(taken[0]))
                    self._ack(partial(self._contender.done, taken[1]), failures)
            except Exception as failure:
                failures.note(failure)
        return {"done": len(numbers), "numbers": numbers, "had_ns": had, **failures.told()}

    def depth(self) -> Reply:
        """Count the messages."""
        return {"messages": self._contender.depth()}

    def close(self) -> Reply:
        """Close the queue."""
        self._contender.close()
        return {}

    def version(self) -> Reply:
        """Say what is measured."""
        contender = self._contender
        return {
            "peer": self._name,
            "version": contender.version,
            "runtime": f"{platform.python_implementation()} {platform.python_version()}",
            "power": contender.power,
            "system": contender.system,
            "ack": contender.ack,
            "wait": contender.wait,
            "note": contender.note,
        }


def answer(worker: Worker, line: str) -> Reply:
    """Do what one request says."""
    request: dict[str, Any] = json.loads(line)
    requests: dict[str, Callable[..., Reply]] = {
        name: getattr(worker, name)
        for name in ("open", "send", "receive", "send_stamped", "receive_stamped", "depth", "close", "version")
    }
    try:
        return requests[request.pop("do")](**request)
    except Unsupported as why:
        return {"unsupported": str(why)}
    except Exception as failure:
        return {"error": f"{type(failure).__name__}: {failure}"}


def main() -> None:
    """Answer requests until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, choices=sorted(PEERS))
    parser.add_argument("--durability", required=True, choices=("power", "system"))
    parser.add_argument("--place", required=True, type=Path)
    arguments = parser.parse_args()
    worker = Worker(arguments.peer, arguments.durability, arguments.place)
    for line in sys.stdin:
        print(json.dumps(answer(worker, line)), flush=True)


if __name__ == "__main__":
    main()
