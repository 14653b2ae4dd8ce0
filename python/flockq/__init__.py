"""Durable message queues in JSON files that processes in C, Go, Python, Rust and the shell share.

There is no server. A spool is a directory, a queue one ``NAME.json`` in it, a message a JSON payload with an
envelope. :meth:`Queue.send` puts a message in; when it returns, the message cannot be lost any more.
:meth:`Queue.receive` takes one under a lease and yields a delivery; leaving its ``with`` block acks it, leaving it by
an exception gives it back with the exception's text.

    spool = flockq.Spool("mail-queues", create=True)
    inbound = spool.queue("inbound")
    inbound.send({"to": "deacon/"}, priority="high", delay=5)
    delivery = inbound.receive(lease=60, wait=5)        # None when nothing came
    if delivery:
        with delivery:
            print(delivery.message)

Durations are seconds (``float`` or ``int``) or :class:`datetime.timedelta`. Everything may be used from any thread.
After ``os.fork()`` parent and child both go on with the same objects.

Caveats:

* Delivery is at least once: a message comes again when its lease ran out, its consumer died or gave it back, or a
  power cut forgot an unsynced ack or pop.
* In a plain queue every commit writes the whole file: its cost grows with the length of the queue.
* The file of a journalled queue shows what was folded last. What another program takes away by replacing it is gone.
* Programs that do not use the library do not know leases. Where they take messages too, use ``pop``.
* A program that unlinks the lock file while it unlocks leaves a gap in which *its* changes and flockq's can overwrite
  each other. Processes with the library never lose each other's messages as long as nobody removes the guard file as
  well.
* At durability ``off`` a power cut can lose the last commits, and leave a plain queue's file empty or zeroed; it is
  then reported as damaged, not as an empty queue.
* How a lock was used is told once a second; a process that is killed takes the last of that with it. In a journalled
  queue what is done with messages is counted exactly.
* A plain queue does not know which ids have left it: there ``dedup`` sees what is in the queue.
* Leases end at a reboot. Network file systems are refused.
* Whoever may open the lock file can keep everybody waiting: the directory's permissions are the boundary.
* Linux is what is built and tested.
"""

from ._errors import (
    AlreadyExists,
    Closed,
    Corrupt,
    FlockqError,
    Full,
    Internal,
    Interrupted,
    InvalidArgument,
    InvalidJson,
    Io,
    LockTimeout,
    NotFound,
    OutcomeUnknown,
    Poisoned,
    StaleReceipt,
    TooLarge,
    UnsafeFilesystem,
    Version,
    WouldDeadlock,
)
from ._flockq import __version__
from ._lock import FileLock, write_atomic
from ._message import Delivery, Envelope
from ._queue import Page, Queue
from ._report import Finding, Report
from ._spool import Spool
from ._stats import Advice, Counters, LockStats, Stats

__all__ = [
    "Advice",
    "AlreadyExists",
    "Closed",
    "Corrupt",
    "Counters",
    "Delivery",
    "Envelope",
    "FileLock",
    "Finding",
    "FlockqError",
    "Full",
    "Internal",
    "Interrupted",
    "InvalidArgument",
    "InvalidJson",
    "Io",
    "LockStats",
    "LockTimeout",
    "NotFound",
    "OutcomeUnknown",
    "Page",
    "Poisoned",
    "Queue",
    "Report",
    "Spool",
    "StaleReceipt",
    "Stats",
    "TooLarge",
    "UnsafeFilesystem",
    "Version",
    "WouldDeadlock",
    "__version__",
    "write_atomic",
]
