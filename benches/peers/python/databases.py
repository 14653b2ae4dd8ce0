"""Peers that keep their messages in SQLite."""

from __future__ import annotations

import json
import time
from typing import Any

import diskcache
import huey
import litequeue
import persistqueue
from contender import Contender, Taken, Unsupported
from payload import Message, encode

HOUSEKEEPING = 1000
"""Done messages are deleted after so many acks, where that is left to the caller."""


class PersistQueue(Contender):
    """persist-queue's queue with acks."""

    package = "persist-queue"
    power = "as it comes: WAL, and SQLite's own default, synchronous=FULL"
    ack = "get, then ack"
    note = (
        "clear_acked_data() after every 1000 acks; its select and its update are two steps, so that"
        " several processes can get the same message"
    )

    def open(self) -> None:
        """Open the database."""
        if not self.powersafe:
            raise Unsupported("persist-queue has no setting for SQLite's synchronous, which is FULL")
        self._queue = persistqueue.SQLiteAckQueue(str(self.place))
        self._acked = 0

    def send(self, message: Message) -> None:
        """Put."""
        self._queue.put(message)

    def take(self) -> Taken | None:
        """Get, raw: with the key that an ack by id takes."""
        try:
            item = self._queue.get(block=False, raw=True)
        except persistqueue.Empty:
            return None
        return item["data"], item["pqid"]

    def done(self, handle: Any) -> None:
        """Ack by key; now and then delete what is acked."""
        self._queue.ack(id=handle)
        self._acked += 1
        if self._acked % HOUSEKEEPING == 0:
            self._queue.clear_acked_data()

    def depth(self) -> int:
        """Count what is not acked, in the database: the object's own size is what this process knows."""
        return int(self._queue._count() + self._queue.unack_count())

    def close(self) -> None:
        """Close the connections."""
        self._queue.close()


class LiteQueue(Contender):
    """litequeue."""

    package = "litequeue"
    power = "WAL, synchronous=FULL set on its connection"
    system = "as it comes: WAL, synchronous=NORMAL"
    ack = "pop, then done"
    note = "prune() after every 1000 acks"

    def open(self) -> None:
        """Open the database."""
        self._queue = litequeue.LiteQueue(str(self.place / "queue.sqlite3"))
        if self.powersafe:
            self._queue.conn.execute("PRAGMA synchronous = FULL")
        self._done = 0

    def send(self, message: Message) -> None:
        """Put."""
        self._queue.put(encode(message))

    def send_many(self, messages: list[Message]) -> None:
        """Put all in its transaction."""
        with self._queue.transaction(mode="IMMEDIATE"):
            for message in messages:
                self._queue.put(encode(message))

    def take(self) -> Taken | None:
        """Pop: locks the message."""
        taken = self._queue.pop()
        return None if taken is None else (json.loads(taken.data), taken.message_id)

    def take_many(self, count: int) -> list[Taken]:
        """Say that it cannot."""
        raise Unsupported("its pop begins a transaction of its own, so that several cannot be taken in one")

    def done(self, handle: Any) -> None:
        """Mark it as done; now and then delete what is done."""
        self._queue.done(handle)
        self._done += 1
        if self._done % HOUSEKEEPING == 0:
            self._queue.prune()

    def depth(self) -> int:
        """Count."""
        return int(self._queue.qsize())

    def close(self) -> None:
        """Close the connection."""
        self._queue.close()


class Huey(Contender):
    """huey with its SQLite storage: a task that is given the message."""

    package = "huey"
    power = "SqliteHuey(fsync=True): WAL, synchronous=FULL"
    system = "SqliteHuey(fsync=False): WAL, synchronous=OFF"
    ack = "none: a task is removed before it runs, and lost with its worker"
    wait = "polls as its consumer does: 100 ms, times 1.15 at each miss, up to 10 s"

    def open(self) -> None:
        """Open the database, and define the task."""
        self._huey = huey.SqliteHuey("inbound", filename=str(self.place / "huey.db"), fsync=self.powersafe)
        self._handed: list[Message] = []
        self._deliver = self._huey.task(name="deliver")(self._handed.append)
        self._huey.storage.conn  # noqa: B018 (opens the connection, which is made at its first use)

    def send(self, message: Message) -> None:
        """Call the task, which enqueues it."""
        self._deliver(message)

    def take(self) -> Taken | None:
        """Dequeue and execute, as a worker of its consumer does."""
        task = self._huey.dequeue()
        if task is None:
            return None
        self._huey.execute(task)
        return self._handed.pop(), None

    def await_one(self, seconds: float) -> Taken | None:
        """Poll as a worker of its consumer does."""
        ends = time.monotonic() + seconds
        delay = 0.1
        while True:
            taken = self.take()
            left = ends - time.monotonic()
            if taken is not None or left <= 0:
                return taken
            time.sleep(min(delay, 10.0, left))
            delay *= 1.15

    def depth(self) -> int:
        """Count."""
        return int(self._huey.pending_count())

    def close(self) -> None:
        """Close the connection."""
        self._huey.storage.close()


class DiskCache(Contender):
    """diskcache's Deque."""

    package = "diskcache"
    power = "Cache(sqlite_synchronous=2): WAL, synchronous=FULL"
    system = "as it comes: WAL, synchronous=NORMAL"
    ack = "none: popleft removes the message"

    def open(self) -> None:
        """Open the cache, as Deque itself does, and the deque on it."""
        synchronous = 2 if self.powersafe else 1
        cache = diskcache.Cache(str(self.place), eviction_policy="none", sqlite_synchronous=synchronous)
        self._deque = diskcache.Deque.fromcache(cache)

    def send(self, message: Message) -> None:
        """Append."""
        self._deque.append(message)

    def send_many(self, messages: list[Message]) -> None:
        """Append all in its transaction."""
        with self._deque.transact():
            for message in messages:
                self._deque.append(message)

    def take(self) -> Taken | None:
        """Pop at the left."""
        try:
            return self._deque.popleft(), None
        except IndexError:
            return None

    def take_many(self, count: int) -> list[Taken]:
        """Pop several in its transaction."""
        with self._deque.transact():
            taken = [self.take() for _ in range(min(count, len(self._deque)))]
        return [one for one in taken if one is not None]

    def depth(self) -> int:
        """Count."""
        return len(self._deque)

    def close(self) -> None:
        """Close the cache."""
        self._deque.cache.close()
