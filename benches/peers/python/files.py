"""Peers that keep their messages in files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import filelock
from contender import Contender, Taken, Unsupported
from dirq.QueueSimple import QueueSimple
from payload import Message, encode


class DirQ(Contender):
    """dirq: a file for each message."""

    package = "dirq"
    system = "as it comes: it syncs nothing"
    ack = "lock and get, then remove"

    def open(self) -> None:
        """Open the directory."""
        if self.powersafe:
            raise Unsupported("dirq syncs nothing, and has no setting for it")
        self._queue = QueueSimple(str(self.place))
        self._names: Iterator[str] = iter(())

    def send(self, message: Message) -> None:
        """Add a file."""
        self._queue.add(encode(message))

    def take(self) -> Taken | None:
        """Go on with the walk over the names, and begin another at its end."""
        for _ in range(2):
            for name in self._names:
                if self._queue.lock(name):
                    return json.loads(self._queue.get(name)), name
            self._names = self._walk()
        return None

    def _walk(self) -> Iterator[str]:
        """Walk over the names once. The queue is its own iterator, and begins anew whenever it is asked for one."""
        yield from self._queue

    def done(self, handle: Any) -> None:
        """Remove the file and its lock."""
        self._queue.remove(handle)

    def depth(self) -> int:
        """Count the files."""
        return int(self._queue.count())


class Naive(Contender):
    """What is written by hand: lock, load, change, write beside it, rename."""

    package = "filelock"
    power = "the new file is synced before the rename, its directory after it"
    system = "nothing is synced"
    ack = "none: taking a message removes it from the array"
    note = "every change writes the whole array"

    def open(self) -> None:
        """Make the file when it is missing."""
        self._path = self.place / "inbound.json"
        self._lock = filelock.FileLock(f"{self._path}.lock")
        with self._lock:
            if not self._path.exists():
                self._save([])

    def _load(self) -> list[Message]:
        array: list[Message] = json.loads(self._path.read_bytes())
        return array

    def _save(self, array: list[Message]) -> None:
        beside = self._path.with_suffix(".tmp")
        with open(beside, "w") as file:
            json.dump(array, file)
            if self.powersafe:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, self._path)
        if self.powersafe:
            directory = os.open(self.place, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)

    def send(self, message: Message) -> None:
        """Append to the array."""
        self.send_many([message])

    def send_many(self, messages: list[Message]) -> None:
        """Append all to the array, and write it once."""
        with self._lock:
            self._save(self._load() + messages)

    def take(self) -> Taken | None:
        """Take the first of the array."""
        return next(iter(self.take_many(1)), None)

    def take_many(self, count: int) -> list[Taken]:
        """Take the first ones of the array, and write it once."""
        with self._lock:
            array = self._load()
            if not array:
                return []
            self._save(array[count:])
        return [(one, None) for one in array[:count]]

    def depth(self) -> int:
        """Count."""
        return len(self._load())
