"""How queues stand, what was counted, and what a spool's owner should know."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple


class Counters(NamedTuple):
    """What has been done with a queue's messages. Each count only grows, until the queue's files are made anew."""

    sent: int
    """Messages that were sent."""
    received: int
    """Deliveries."""
    acked: int
    """Messages that were acked or popped."""
    nacked: int
    """Deliveries that were given back, with or without a reason."""
    retried: int
    """Messages that went to the retry queue."""
    dead_lettered: int
    """Messages that were given up, to the dead-letter queue."""
    expired: int
    """Messages whose time to live had ended; those that were not dropped are dead-lettered too."""
    removed: int
    """Messages that were removed by hand."""
    moved_in: int
    """Messages that came from another queue."""
    moved_out: int
    """Messages that went to another queue, for whatever reason."""
    redelivered_nacked: int
    """Deliveries of messages that had been given back."""
    redelivered_expired_lease: int
    """Deliveries of messages whose lease had come to its deadline."""
    redelivered_dead_consumer: int
    """Deliveries of messages whose consumer had died."""
    redelivered_reboot: int
    """Deliveries of messages that were leased before a reboot."""
    redelivered_erased_lease: int
    """Deliveries of messages whose lease another program had erased."""


class LockStats(NamedTuple):
    """How the lock of a queue was used.

    A process tells once a second, with what it does next, and when it closes the queue.
    """

    acquired: int
    """How often it was taken to change something."""
    contended: int
    """How often somebody had to wait for it."""
    timed_out: int
    """How often somebody waited in vain."""
    replaced: int
    """How often its file had been removed or replaced by another program."""
    wait: float
    """All waits together, in seconds."""
    wait_max: float
    """The longest wait, in seconds."""
    waits: tuple[int, ...]
    """How many waits were at most 100 us, 1 ms, 10 ms, 100 ms, 1 s, 10 s, 1 min, and longer."""


class Stats(NamedTuple):
    """How a queue stands, and what has been done with it by all processes together."""

    messages: int
    """All messages, in whatever state."""
    ready: int
    """Those that a receive would get."""
    delayed: int
    """Those whose time has not come."""
    leased: int
    """Those that somebody has under a lease."""
    bytes: int
    """The bytes of all envelopes."""
    oldest_age: float | None
    """The age of the oldest message in seconds."""
    foreign_writes: int
    """How often another program has written or replaced the file, as far as it was noticed."""
    checkpoints: int
    """How often the journal was folded."""
    counters: Counters
    """What has been done with messages."""
    lock: LockStats
    """How the lock was used."""


@dataclass(frozen=True)
class Advice:
    """One thing that a spool's owner should know.

    ``severity`` is ``problem``, ``risk`` or ``note``; ``about`` the queue, the file or the directory; ``text`` what was
    found; ``command`` a command of the shell, to be run in the directory, that mends it or shows more.
    """

    severity: str
    about: str
    text: str
    command: str | None

    @classmethod
    def _all(cls, text: str) -> list[Advice]:
        return [cls(**advice) for advice in json.loads(text)]
