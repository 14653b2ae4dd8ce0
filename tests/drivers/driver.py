"""The Python driver: JSON lines in, JSON lines out. The requests are the same in every language."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict
from typing import Any

import flockq
from flockq import _errors

Request = dict[str, Any]


class NotThere(flockq.InvalidArgument):
    """A request for something that the driver does not have."""


class RolledBack(Exception):
    """What ends an update without writing."""


def seconds(request: Request, name: str) -> float | None:
    """Read a duration; less than nothing is for ever."""
    ms = request.get(name)
    if ms is None:
        return None
    return math.inf if ms < 0 else ms / 1000


def lock_wait(request: Request, text: str, ms: str) -> float | None:
    """Read a wait for a lock."""
    named: dict[str | None, float] = {"no_wait": 0.0, "forever": math.inf}
    return named.get(request.get(text), seconds(request, ms))


def text_of(raw: bytes) -> str:
    """Decode for the reply, which must be text whatever the file holds."""
    return raw.decode("utf-8", "replace")


def delivery_of(delivery: flockq.Delivery) -> Request:
    """Tell of a delivery."""
    return {
        "id": delivery.id,
        "receipt": delivery.receipt,
        "attempts": delivery.attempts,
        "payload": text_of(delivery.raw),
    }


def envelope_of(envelope: flockq.Envelope) -> Request:
    """Tell of an envelope."""
    names = (
        "id",
        "state",
        "priority",
        "attempts",
        "error",
        "queued_at",
        "last_attempt",
        "not_before",
        "lease_until",
        "consumer",
    )
    told = {name: getattr(envelope, name) for name in names}
    errors = envelope._inner.errors
    return {
        **told,
        "payload": text_of(envelope.raw),
        "from": envelope.origin,
        "expires": envelope.expires,
        "errors": errors,
    }


def settled(results: list[flockq.FlockqError | None]) -> list[str | None]:
    """Name what became of each receipt."""
    return [None if error is None else type(error).__name__ for error in results]


def which(r: Request) -> Request:
    """Which messages to move."""
    return {name: r[name] for name in ("ids", "state", "error", "limit") if name in r}


class Driver:
    """One spool, its queues, and what they have given out."""

    def __init__(self) -> None:
        """Begin with nothing open."""
        self.spool: flockq.Spool | None = None
        self.queues: dict[str, flockq.Queue] = {}
        self.deliveries: dict[str, flockq.Delivery] = {}
        self.changes: dict[str, tuple[ExitStack, list[Any]]] = {}
        self.locks: dict[str, flockq.FileLock] = {}

    def answer(self, request: Request) -> Any:
        """Do what the request says."""
        op = request["op"]
        free: dict[str, Callable[[Request], Any]] = {
            "open": self.open,
            "init": self.init,
            "pid": lambda _: os.getpid(),
            "errors": lambda _: sorted([kind.code, name] for name, kind in _errors._KINDS.items()),
            "lock": self.lock,
            "unlock": self.unlock,
            "write_atomic": lambda r: flockq.write_atomic(r["path"], r["text"].encode()),
        }
        if op in free:
            return free[op](request)
        if self.spool is None:
            raise NotThere("no spool is open")
        if op == "close":
            return self.spool.close()
        if op == "queues":
            return self.spool.queues()
        if op == "metrics":
            return self.spool.metrics()
        if op == "write_metrics":
            return self.spool.write_metrics(request["path"])
        if op == "doctor":
            return [asdict(advice) for advice in self.spool.doctor()]
        if op == "config":
            return self.spool.config()
        if op == "set_config":
            return self.spool.set_config(request["setting"], request["value"])
        method = getattr(self, f"on_{op}", None)
        if method is None:
            raise NotThere(f"no operation {op}")
        name = request["queue"]
        if name not in self.queues:
            self.queues[name] = self.spool.queue(name)
        return method(self.queues[name], request)

    def open(self, r: Request) -> None:
        """Open the spool."""
        if r.get("mail", False):
            self.spool = flockq.Spool.mail(
                r["dir"], sync=r.get("sync"), lock_wait=lock_wait(r, "lock_wait", "lock_wait_ms")
            )
            self.queues = {}
            return
        self.spool = flockq.Spool(
            r["dir"],
            create=r.get("create", False),
            sync=r.get("sync"),
            lock_wait=lock_wait(r, "lock_wait", "lock_wait_ms"),
            allow_unverified_fs=r.get("allow_unverified_fs", False),
        )
        self.queues = {}

    def init(self, r: Request) -> None:
        """Set a spool up."""
        flockq.Spool.init(r["dir"], plain=r.get("plain", False), lock_dir=r.get("lock_dir"))

    def lock(self, r: Request) -> None:
        """Take a file's lock and keep it."""
        lock = flockq.FileLock(r["path"], shared=r.get("shared", False), timeout=lock_wait(r, "wait", "wait_ms"))
        lock.acquire()
        self.locks[r["path"]] = lock

    def unlock(self, r: Request) -> None:
        """Give a file's lock back."""
        lock = self.locks.pop(r["path"], None)
        if lock is not None:
            lock.release()

    def on_send(self, queue: flockq.Queue, r: Request) -> str:
        """Send."""
        payload = (
            bytes.fromhex(r["payload_hex"]) if "payload_hex" in r else r["payload"].encode("utf-8", "surrogatepass")
        )
        return queue.send_bytes(
            payload,
            id=r.get("id"),
            priority=r.get("priority"),
            delay=seconds(r, "delay_ms"),
            ttl=seconds(r, "ttl_ms"),
            dedup=r.get("dedup", False),
            sync=r.get("sync"),
            wait=seconds(r, "wait_ms"),
        )

    def on_send_many(self, queue: flockq.Queue, r: Request) -> list[str]:
        """Send several: their bytes are as given, which only the handle below can promise."""
        payloads = [payload.encode() for payload in r["payloads"]]
        delay, ttl, wait = (seconds(r, name) for name in ("delay_ms", "ttl_ms", "wait_ms"))
        dedup = r.get("dedup", False)
        return queue._inner.send_many(payloads, r.get("priority"), delay, ttl, dedup, r.get("sync"), wait)

    def on_receive(self, queue: flockq.Queue, r: Request) -> Request | None:
        """Receive."""
        delivery = queue.receive(
            lease=seconds(r, "lease_ms"), wait=seconds(r, "wait_ms"), detached=r.get("detached", False)
        )
        return None if delivery is None else self.kept(delivery)

    def on_receive_many(self, queue: flockq.Queue, r: Request) -> list[Request]:
        """Receive several."""
        deliveries = queue.receive_many(
            r["max"], lease=seconds(r, "lease_ms"), wait=seconds(r, "wait_ms"), detached=r.get("detached", False)
        )
        return [self.kept(delivery) for delivery in deliveries]

    def kept(self, delivery: flockq.Delivery) -> Request:
        """Remember a delivery, and tell of it."""
        self.deliveries[delivery.receipt] = delivery
        return delivery_of(delivery)

    def on_pop(self, queue: flockq.Queue, _: Request) -> Request | None:
        """Pop."""
        popped = queue.pop()
        return None if popped is None else {"id": popped.id, "payload": text_of(popped.raw)}

    def on_ack(self, queue: flockq.Queue, r: Request) -> list[str | None]:
        """Ack."""
        return settled(queue.ack(list(r["receipts"])))

    def on_nack(self, queue: flockq.Queue, r: Request) -> list[str | None]:
        """Nack."""
        return settled(queue.nack(list(r["receipts"]), r.get("error"), seconds(r, "delay_ms")))

    def on_extend(self, queue: flockq.Queue, r: Request) -> list[str | None]:
        """Extend."""
        return settled(queue.extend(list(r["receipts"]), r["lease_ms"] / 1000))

    def on_detach(self, _: flockq.Queue, r: Request) -> None:
        """Detach."""
        if r["receipt"] not in self.deliveries:
            raise NotThere("no such delivery")
        self.deliveries[r["receipt"]].detach()

    def on_peek(self, queue: flockq.Queue, r: Request) -> list[Request]:
        """Peek."""
        return [envelope_of(envelope) for envelope in queue.peek(r["count"])]

    def on_list(self, queue: flockq.Queue, r: Request) -> Request:
        """List."""
        page = queue.list(r.get("state"), limit=r.get("limit", 100), cursor=r.get("cursor"))
        return {"items": [envelope_of(envelope) for envelope in page.envelopes], "cursor": page.cursor}

    def on_get(self, queue: flockq.Queue, r: Request) -> list[Request]:
        """Get."""
        return [envelope_of(envelope) for envelope in queue.get(r["id"])]

    def on_len(self, queue: flockq.Queue, _: Request) -> int:
        """Count."""
        return len(queue)

    def on_stats(self, queue: flockq.Queue, _: Request) -> Request:
        """Tell how it stands."""
        stats = queue.stats()._asdict()
        age = stats.pop("oldest_age")
        counters, lock = stats.pop("counters"), stats.pop("lock")._asdict()
        waits = sum(lock.pop("waits"))
        told = {name: lock.pop(name) for name in ("acquired", "contended", "timed_out", "replaced")}
        return {
            **stats,
            "oldest_age_ms": None if age is None else int(age * 1000),
            "counters": counters._asdict(),
            "lock": {**told, "waits": waits, **{f"{name}_us": int(time * 1e6) for name, time in lock.items()}},
        }

    def on_remove(self, queue: flockq.Queue, r: Request) -> int:
        """Remove."""
        return queue.remove(r["ids"])

    def on_update_message(self, queue: flockq.Queue, r: Request) -> int:
        """Change a message where it is."""
        delay = 0 if r.get("delay_ms", 0) < 0 else seconds(r, "delay_ms")
        changes: Request = {"message": json.loads(r["payload"])} if "payload" in r else {}
        return queue.update_message(
            r["id"], priority=r.get("priority"), delay=delay, ttl=seconds(r, "ttl_ms"), **changes
        )

    def on_purge(self, queue: flockq.Queue, r: Request) -> int:
        """Purge."""
        return queue.purge(r.get("state"))

    def on_move_to(self, queue: flockq.Queue, r: Request) -> list[str]:
        """Move."""
        return queue.move_to(r["to"], **which(r))

    def on_redrive(self, queue: flockq.Queue, r: Request) -> list[tuple[str, str]]:
        """Redrive."""
        return queue.redrive(**which(r), dry_run=r.get("dry_run", False))

    def on_load(self, queue: flockq.Queue, _: Request) -> str:
        """Load: the bytes as they are."""
        return "[" + ",".join(text_of(element) for element in queue._inner.load()) + "]"

    def on_save(self, queue: flockq.Queue, r: Request) -> None:
        """Save."""
        queue.save(json.loads(r["array"]))

    def on_update(self, queue: flockq.Queue, r: Request) -> None:
        """Append in one update."""
        with queue.update() as array:
            array.extend(json.loads(r["append"]))

    def on_begin(self, queue: flockq.Queue, _: Request) -> None:
        """Begin an update that later requests end."""
        with ExitStack() as stack:
            array = stack.enter_context(queue.update())
            self.changes[queue.name] = (stack.pop_all(), array)

    def change(self, queue: flockq.Queue) -> tuple[ExitStack, list[Any]]:
        """Find the update in progress."""
        if queue.name not in self.changes:
            raise NotThere("no transaction")
        return self.changes[queue.name]

    def on_transaction_set(self, queue: flockq.Queue, r: Request) -> None:
        """Set the array of the update in progress."""
        self.change(queue)[1][:] = json.loads(r["array"])

    def on_commit(self, queue: flockq.Queue, _: Request) -> None:
        """End the update in progress."""
        stack, _array = self.change(queue)
        del self.changes[queue.name]
        stack.close()

    def on_rollback(self, queue: flockq.Queue, _: Request) -> None:
        """End the update in progress by an exception."""
        stack, _array = self.change(queue)
        del self.changes[queue.name]
        with suppress(RolledBack):
            stack.__exit__(RolledBack, RolledBack(), None)

    def on_checkpoint(self, queue: flockq.Queue, _: Request) -> None:
        """Fold the journal."""
        queue.checkpoint()

    def on_check(self, queue: flockq.Queue, _: Request) -> object:
        """Check the files."""
        return asdict(queue.check())

    def on_repair(self, queue: flockq.Queue, _: Request) -> object:
        """Save what can be saved."""
        return asdict(queue.repair())

    def on_mode(self, queue: flockq.Queue, _: Request) -> str:
        """Say how the queue commits."""
        return queue.mode

    def on_convert(self, queue: flockq.Queue, r: Request) -> None:
        """Change how the queue commits."""
        queue.convert(r.get("to", ""))

    def on_sync(self, queue: flockq.Queue, _: Request) -> None:
        """Sync."""
        queue.sync()

    def on_close_queue(self, queue: flockq.Queue, _: Request) -> None:
        """Close the queue."""
        queue.close()

    def on_interrupt(self, queue: flockq.Queue, _: Request) -> None:
        """Interrupt."""
        queue.interrupt()


def main() -> None:
    """Answer until the input ends."""
    driver = Driver()
    if "FLOCKQ_DRIVER_INTERRUPTED" in os.environ:
        # A handler, so that the signal interrupts what the library waits for.
        signal.signal(signal.SIGURG, lambda *_: None)
    # Lines of UTF-8, whatever the locale says.
    for line in sys.stdin.buffer:
        try:
            reply: Request = {"ok": driver.answer(json.loads(line))}
        except NotThere as error:
            reply = {"error": "InvalidArgument", "message": str(error)}
        except flockq.FlockqError as error:
            reply = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
