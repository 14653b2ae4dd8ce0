"""What a peer has to do to be measured."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from importlib import metadata
from pathlib import Path
from typing import Any

from payload import Message

POLL_SECONDS = 0.1
"""How often those look that cannot wait and have no interval of their own."""

Taken = tuple[Message, Any]
"""A message, and what is needed to ack it."""


class Unsupported(Exception):
    """The peer has no such thing; the text says why."""


class Contender(ABC):
    """A queue of one peer in one directory."""

    package: str
    power = ""
    system = ""
    ack = ""
    wait = f"polls every {POLL_SECONDS * 1000:.0f} ms"
    note = ""

    def __init__(self, place: Path, durability: str) -> None:
        """Remember where, and how durable; :meth:`open` opens it."""
        self.place = place
        self.powersafe = durability == "power"

    @property
    def version(self) -> str:
        """The package's version."""
        return metadata.version(self.package)

    @abstractmethod
    def open(self) -> None:
        """Open the queue; make it when it is missing."""

    @abstractmethod
    def send(self, message: Message) -> None:
        """Send a message: one commit."""

    @abstractmethod
    def take(self) -> Taken | None:
        """Receive a message, ``None`` when there is none."""

    def done(self, handle: Any) -> None:  # noqa: B027 (not all have it)
        """Ack a message; nothing where the receive has removed it already."""

    def send_many(self, messages: list[Message]) -> None:
        """Send messages in one commit."""
        raise Unsupported("it has no call that sends several messages in one commit")

    def take_many(self, count: int) -> list[Taken]:
        """Receive up to so many messages in one commit."""
        raise Unsupported("it has no call that receives several messages in one commit")

    def done_many(self, handles: list[Any]) -> None:  # noqa: B027 (not all have it)
        """Ack messages in one commit; nothing where the receive has removed them already."""

    def await_one(self, seconds: float) -> Taken | None:
        """Wait until there is a message, as the peer's documentation recommends, and receive it."""
        ends = time.monotonic() + seconds
        while True:
            taken = self.take()
            left = ends - time.monotonic()
            if taken is not None or left <= 0:
                return taken
            time.sleep(min(POLL_SECONDS, left))

    @abstractmethod
    def depth(self) -> int:
        """Return how many messages are there."""

    def close(self) -> None:  # noqa: B027 (not all have it)
        """Close the queue."""
