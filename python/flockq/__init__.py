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

In asyncio ``await queue.receive_async(wait=60)`` waits for a message while the event loop goes on. When its task is
cancelled (by a time-out, by Ctrl-C), the wait ends, and a message that came at that moment is given back. The other
calls are for :func:`asyncio.to_thread`, unless the loop may wait for a commit.

While a call waits in the main thread, Python's signal handlers run, so that Ctrl-C ends it. What a handler raises goes
up from the call. A handler may also call :meth:`Queue.interrupt`; any other use of the same queue raises
:class:`WouldDeadlock` there while the call waits for the lock.

Caveats:

* Delivery is at least once: a message is delivered again when its lease runs out, its consumer dies or gives it back,
  or a power cut undoes an unsynced ack or pop.
* In a plain queue every commit rewrites the whole file: its cost grows with the length of the queue.
* The file of a journalled queue shows the queue as of the last checkpoint. What another program removes by replacing
  that file is gone.
* Programs that do not use the library do not know about leases. Where they take messages too, use ``pop``.
* A program that does not know about moves can cause a second delivery: when a killed process has left a message
  between two queues, and the program takes it from one of the files, or drops its ``move`` key, before flockq has
  finished the move.
* A queue takes back every message that is ready in its retry queue, unless it came from another queue.
* A program that unlinks the lock file when it unlocks leaves a gap in which *its* changes and flockq's can overwrite
  each other. Processes with the library never lose each other's messages, as long as nobody removes the guard file as
  well.
* At durability ``off`` a power cut can lose the last commits, and leave a plain queue's file empty or zeroed; it is
  then reported as damaged, not as an empty queue.
* Lock statistics are written once a second, when the process next does something: a killed process takes the last of
  them with it. In a journalled queue the counts of messages are exact. Writes of other programs to a plain queue are
  counted when flockq next writes it, so several can count as one.
* On a full disk, acks in a journalled queue use a reserve of 64 KiB. Once it is in use, a send by another process, or
  on btrfs any large send that fails, may take that space, and a new consumer may get leases that do not end with its
  process. A plain queue cannot be changed at all: each change writes a new file.
* A plain queue does not remember the ids that have left it: there ``dedup`` sees only what is in the queue, and not
  what waits in its retry queue. A journalled queue with a ``dedup_window`` does.
* When ``retry_queue`` is changed, what waits in the old one stays there until it is redriven; ``flockq doctor`` says
  so.
* ``stats``, and each page of ``list``, look at every message: their cost grows with the queue.
* All senders that wait for room in a full queue wake together; which of them sends first is a matter of chance.
* Leases end at a reboot. Network file systems are refused by default.
* Whoever can open the lock file can keep everybody else waiting: the directory's permissions are the boundary.
* Only Linux is built and tested.
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
