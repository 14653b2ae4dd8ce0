"""flockq itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flockq
from contender import Contender, Taken, Unsupported
from payload import Message


class Flockq(Contender):
    """A journalled queue, as it comes."""

    package = "flockq"
    power = "sync normal, the default: every send is synced, receive and ack are not"
    system = "sync off"
    ack = "lease and receipt"
    wait = "blocking call"
    plain = False

    def __init__(self, place: Path, durability: str) -> None:
        """Choose the durability."""
        super().__init__(place, durability)
        self._sync = "normal" if self.powersafe else "off"

    def open(self) -> None:
        """Open the spool and the queue."""
        if self.plain:
            flockq.Spool.init(self.place, plain=True)
        self._spool = flockq.Spool(self.place, create=True, sync=self._sync)
        self._queue = self._spool.queue("inbound")
        len(self._queue)

    def send(self, message: Message) -> None:
        """Send."""
        self._queue.send(message)

    def send_many(self, messages: list[Message]) -> None:
        """Send all in one commit."""
        self._queue.send_many(messages)

    def take(self) -> Taken | None:
        """Receive under a lease."""
        delivery = self._queue.receive()
        return None if delivery is None else (delivery.message, delivery)

    def done(self, handle: Any) -> None:
        """Ack."""
        handle.ack()

    def take_many(self, count: int) -> list[Taken]:
        """Receive several under leases, in one commit."""
        return [(delivery.message, delivery) for delivery in self._queue.receive_many(count)]

    def done_many(self, handles: list[Any]) -> None:
        """Ack all in one commit."""
        for failed in self._queue.ack(handles):
            if failed is not None:
                raise failed

    def await_one(self, seconds: float) -> Taken | None:
        """Wait in the library."""
        delivery = self._queue.receive(wait=seconds)
        return None if delivery is None else (delivery.message, delivery)

    def depth(self) -> int:
        """Count."""
        return len(self._queue)

    def close(self) -> None:
        """Close the spool."""
        self._spool.close()


class FlockqFull(Flockq):
    """Every commit synced, as SQLite at FULL does."""

    power = "sync full: every commit is synced, receive and ack too"
    system = ""

    def open(self) -> None:
        """Open with every commit synced."""
        if not self.powersafe:
            raise Unsupported("it is the same as flockq when nothing is synced")
        self._sync = "full"
        super().open()


class FlockqPlain(Flockq):
    """A queue that is one JSON array, shared with programs without the library."""

    power = "sync normal, the default: a new file is synced, renamed, and its directory synced"
    system = "sync off: a new file is renamed over the old one, nothing is synced"
    note = "plain mode: every commit writes the whole array"
    plain = True
