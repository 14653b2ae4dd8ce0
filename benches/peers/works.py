"""The works: what the workers are asked, and what becomes of their replies."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from count import Account
from plan import APART, BATCH, DEEP, IDLE_CONSUMERS, MANY, SHALLOW, WARM, Limits
from worker import Broken, Reply, Unsupported, Worker

AGAIN = 3
"""How often a queue that took long to fill is measured."""
Figures = dict[str, Any]
"""What one run of a work found, by name."""


class Scene(Protocol):
    """An empty queue of one peer at one durability, for one run."""

    durability: str

    def actor(self) -> Worker:
        """Start a worker that has the queue open."""

    def server_pids(self) -> list[int]:
        """Return the processes of the peer's server; none where it has none."""

    def directory(self) -> Path:
        """Return where the messages are kept."""


@contextmanager
def _actors(scene: Scene, count: int) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(scene.actor()) for _ in range(count)]


def _rate(reply: Reply) -> float:
    return round(reply["done"] / reply["seconds"], 1) if reply["done"] else 0.0


def _failed(*replies: Reply) -> Figures:
    failed = sum(reply.get("failed", 0) for reply in replies)
    return {"failed": failed, "failure": next(r["failure"] for r in replies if "failure" in r)} if failed else {}


def _receive(worker: Worker, account: Account, **fields: Any) -> Reply:
    reply = worker.ask("receive", **fields)
    account.note_received(reply["ranges"], reply["again"])
    return reply


def _quickly(worker: Worker, do: str, **fields: Any) -> Reply:
    """Ask in batches, where the peer has them: for what is not measured."""
    try:
        return worker.ask(do, batch=BATCH, **fields)
    except Unsupported:
        return worker.ask(do, batch=1, **fields)


def _settle(worker: Worker, account: Account, limits: Limits) -> Figures:
    """Receive what is left, and count."""
    reply = _quickly(worker, "receive", count=MANY, wait=False, limit_s=limits.drain_s)
    account.note_received(reply["ranges"], reply["again"])
    try:
        left = worker.ask("depth")["messages"]
    except Unsupported:
        # Who cannot count has nothing left when the receive came to its end before its limit.
        left = MANY if reply["seconds"] >= limits.drain_s else 0
    except Broken as damage:
        # What is in a queue that cannot be read is lost.
        return {**account.told(0), "damaged": str(damage)}
    return dict(account.told(left))


def _warm(sender: Worker, receiver: Worker) -> None:
    """Send and receive one message that is not counted: files are made and code is loaded at the first."""
    sender.ask("send", first=WARM, count=1, batch=1, limit_s=5.0)
    receiver.ask("receive", count=1, batch=1, wait=False, limit_s=5.0)


def alone(scene: Scene, limits: Limits) -> Figures:
    """One process sends; then one process receives and acks."""
    account = Account()
    with scene.actor() as worker:
        _warm(worker, worker)
        sent = worker.ask("send", first=0, count=MANY, batch=1, limit_s=limits.alone_s)
        account.note_sent(0, sent["done"])
        came = _receive(worker, account, count=MANY, batch=1, wait=False, limit_s=limits.alone_s)
        figures = {"send": _rate(sent), "receive": _rate(came), **_failed(sent, came)}
        return figures | _settle(worker, account, limits)


def batches(scene: Scene, limits: Limits) -> Figures:
    """The same in batches; a peer may have them in one direction only."""
    account = Account()
    figures: Figures = {}
    with scene.actor() as worker:
        _warm(worker, worker)
        try:
            sent = worker.ask("send", first=0, count=MANY, batch=BATCH, limit_s=limits.batches_s)
            figures["send"] = _rate(sent)
        except Unsupported as why:
            figures["send_unsupported"] = str(why)
            sent = worker.ask("send", first=0, count=20 * BATCH, batch=1, limit_s=limits.batches_s)
        account.note_sent(0, sent["done"])
        try:
            came = _receive(worker, account, count=MANY, batch=BATCH, wait=False, limit_s=limits.batches_s)
            figures["receive"] = _rate(came)
        except Unsupported as why:
            figures["receive_unsupported"] = str(why)
        if not figures.keys() & {"send", "receive"}:
            raise Unsupported(figures["send_unsupported"])
        return figures | _settle(worker, account, limits)


def _together(scene: Scene, limits: Limits, each: int) -> Figures:
    """Producers and consumers at once; the rate is that of the messages that were acked while they ran."""
    account = Account()
    with _actors(scene, 2 * each) as actors:
        consumers, producers = actors[:each], actors[each:]
        _warm(producers[0], consumers[0])
        # The producers first: a consumer that polls would sleep through its first interval.
        for number, producer in enumerate(producers):
            producer.begin("send", first=number * APART, count=MANY, batch=1, limit_s=limits.together_s)
        for consumer in consumers:
            consumer.begin("receive", count=MANY, batch=1, wait=True, limit_s=limits.together_s)
        sent = [producer.reply() for producer in producers]
        came = [consumer.reply() for consumer in consumers]
        for number, reply in enumerate(sent):
            account.note_sent(number * APART, reply["done"])
        for reply in came:
            account.note_received(reply["ranges"], reply["again"])
        figures = {
            "send": round(sum(_rate(reply) for reply in sent), 1),
            "receive": round(sum(_rate(reply) for reply in came), 1),
            **_failed(*sent, *came),
        }
        return figures | _settle(consumers[0], account, limits)


def pair(scene: Scene, limits: Limits) -> Figures:
    """One producer and one consumer at once."""
    return _together(scene, limits, 1)


def four(scene: Scene, limits: Limits) -> Figures:
    """Four and four."""
    return _together(scene, limits, 4)


class Depth:
    """A queue in which many messages are waiting."""

    def __init__(self, worker: Worker, limits: Limits, first: int = 0, there: int = 0) -> None:
        """Look at it through one worker; messages are numbered from ``first`` on, and so many are there."""
        self._worker = worker
        self._limits = limits
        self._next = first
        self.there = there

    def fill(self, wanted: int) -> None:
        """Send until so many are there, or until the time is over."""
        missing = wanted - self.there
        if missing > 0:
            limit_s = self._limits.fill_s(missing)
            done = _quickly(self._worker, "send", first=self._next, count=missing, limit_s=limit_s)["done"]
            self._next += done
            self.there += done

    def cost(self) -> Figures:
        """Return the microseconds of a send, and of a receive with its ack; what is sent is received again."""
        sends, receives = [0, 0.0], [0, 0.0]
        ends = time.monotonic() + self._limits.at_depth_s
        count = 20
        while (left := ends - time.monotonic()) > 0:
            sent = self._worker.ask("send", first=self._next, count=count, batch=1, limit_s=left / 2)
            self._next += sent["done"]
            came = self._worker.ask("receive", count=max(1, sent["done"]), batch=1, wait=False, limit_s=left)
            for sums, reply in ((sends, sent), (receives, came)):
                sums[0] += reply["done"]
                sums[1] += reply["seconds"]
            self.there += sent["done"] - came["done"]
            count = 100
        per = [round(seconds / done * 1e6, 2) if done else None for done, seconds in (sends, receives)]
        return {"send_us": per[0], "receive_us": per[1], "done": sends[0]}

    def costs(self, depths: tuple[int, ...], times: int) -> Figures:
        """Return the costs at each depth that is reached in time, and how far it went where it was not."""
        figures: Figures = {}
        is_there = True
        for wanted in depths:
            target = self._limits.count(wanted) if wanted else 0
            # Who did not come so far does not come further.
            if is_there:
                self.fill(target)
                is_there = self.there >= 0.9 * target
            if is_there:
                figures[str(wanted)] = [self.cost() for _ in range(times)]
            else:
                figures[str(wanted)] = [{"reached": self.there, "wanted": target}]
        return figures


def depth(scene: Scene, limits: Limits) -> Figures:
    """The cost of a message while none, a thousand and ten thousand are waiting."""
    with scene.actor() as worker:
        _warm(worker, worker)
        return Depth(worker, limits).costs(SHALLOW, times=1)


def deep(scene: Scene, limits: Limits) -> Figures:
    """The same at a hundred thousand and a million, filled once; on the way, the time to open a hundred thousand."""
    target = limits.count(DEEP[0])
    with scene.actor() as worker:
        queue = Depth(worker, limits)
        queue.fill(target)
    there = sent = queue.there
    if there < 0.9 * target:
        return {str(depth): [{"reached": there, "wanted": limits.count(depth)}] for depth in DEEP}
    opened = []
    for _ in range(AGAIN):
        with scene.actor() as worker:
            # A queue that is opened lazily does its work at the first receive.
            first = worker.ask("receive", count=1, batch=1, wait=False, limit_s=limits.seconds(10))
            opened.append(round((worker.opening_s + first["seconds"]) * 1e3, 3))
            there -= first["done"]
    with scene.actor() as worker:
        return {"open_ms": opened} | Depth(worker, limits, first=sent, there=there).costs(DEEP, times=AGAIN)


def wakeup(scene: Scene, limits: Limits) -> Figures:
    """How long after the end of its send a message is in the hand of a consumer that waits."""
    with _actors(scene, 2) as (consumer, producer):
        _warm(producer, consumer)
        # Long enough for the consumer to be waiting again, also where its ack is synced.
        count, pause_ms = limits.wakeups, 50 if scene.durability == "power" else 10
        consumer.begin("receive_stamped", count=count, limit_s=count * pause_ms / 1000 + 10)
        time.sleep(0.2)
        sent = producer.ask("send_stamped", count=count, pause_ms=pause_ms)
        came = consumer.reply()
    figures: Figures = {"wanted": count}
    for name, stamps in (("us", sent["after_ns"]), ("whole_us", sent["before_ns"])):
        hads = zip(came["numbers"], came["had_ns"], strict=True)
        # One that is not numbered in this run is the first one, which comes late where it was not waited for.
        figures[name] = [round((had - stamps[number]) / 1e3, 1) for number, had in hads if number < len(stamps)]
    return figures


def _used(pids: list[int]) -> tuple[float, int]:
    """Return the milliseconds of processor time, and how often they gave the processor up, which is a wake-up each.

    The clock ticks of ``/proc/PID/stat`` are too coarse for what hardly runs.
    """
    nanoseconds = switches = 0
    for pid in pids:
        # A server's helper may have ended.
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                nanoseconds += int((task / "schedstat").read_text().split()[0])
                status = (task / "status").read_text().splitlines()
                switches += int(next(line for line in status if line.startswith("voluntary_ctxt_switches")).split()[1])
    return nanoseconds / 1e6, switches


def idle(scene: Scene, limits: Limits) -> Figures:
    """Processor time and wake-ups of ten waiting consumers, and of the server that they wait at."""
    with _actors(scene, IDLE_CONSUMERS) as actors:
        for actor in actors:
            actor.begin("receive", count=1, batch=1, wait=True, limit_s=limits.idle_s + 1.5)
        time.sleep(0.5)
        pids = [actor.pid for actor in actors] + scene.server_pids()
        before, started = _used(pids), time.monotonic()
        time.sleep(limits.idle_s)
        after, seconds = _used(pids), time.monotonic() - started
        for actor in actors:
            actor.reply()
    return {
        "cpu_ms_per_s": round((after[0] - before[0]) / seconds, 3),
        "wakes_per_s": round((after[1] - before[1]) / seconds, 1),
    }


def _allocated(directory: Path) -> int:
    """Return the bytes that the files below a directory have been given."""
    seen = set()
    for below, _, names in os.walk(directory):
        for name in [*names, "."]:
            # A server removes files when it likes.
            with suppress(OSError):
                status = os.lstat(os.path.join(below, name))
                seen.add((status.st_ino, status.st_blocks * 512))
    return sum(size for _, size in seen)


def disk(scene: Scene, limits: Limits) -> Figures:
    """The space on disk when messages have passed through, a thousand at a time, and the queue is empty again."""
    passed, left_over, block = 0, 0, 1000
    ends = time.monotonic() + limits.passing_s
    before = _allocated(scene.directory())
    with scene.actor() as worker:
        while passed < limits.passing and (left := ends - time.monotonic()) > 0:
            sent = _quickly(worker, "send", first=passed, count=block, limit_s=left)["done"]
            came = _quickly(worker, "receive", count=sent, wait=False, limit_s=left)["done"] if sent else 0
            passed, left_over = passed + came, left_over + sent - came
        left_over -= _quickly(worker, "receive", count=MANY, wait=False, limit_s=limits.drain_s)["done"]
        worker.ask("close")
    after = _allocated(scene.directory())
    return {"passed": passed, "wanted": limits.passing, "bytes": after, "bytes_before": before, "left": left_over}


RUN: dict[str, Callable[[Scene, Limits], Figures]] = {
    "alone": alone,
    "pair": pair,
    "four": four,
    "batches": batches,
    "depth": depth,
    "wakeup": wakeup,
    "deep": deep,
    "idle": idle,
    "disk": disk,
}
