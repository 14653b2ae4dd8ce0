"""Queues."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from inspect import isawaitable, iscoroutine
from types import TracebackType
from typing import Any, NamedTuple, overload

from . import _tasks
from ._errors import Closed, FlockqError, Interrupted, StaleReceipt
from ._flockq import Keeper as _Keeper
from ._flockq import Queue as _Queue
from ._json import decode, encode, same
from ._message import Delivery, Envelope, Seconds, reason_of
from ._report import Report
from ._stats import Counters, LockStats, Stats


class Page(NamedTuple):
    """A part of a list."""

    envelopes: list[Envelope]
    """The messages."""
    cursor: str | None
    """Where the next page begins; ``None`` when this is the last."""


Receipt = str | Delivery
"""What names a delivery: the receipt's text, or the delivery itself."""

# What no message can be, `None` being one.
_AS_IT_IS: Any = object()

# In the class, `list` is its method.
_List = list


def _texts(receipts: list[Receipt]) -> list[str]:
    return [one.receipt if isinstance(one, Delivery) else one for one in receipts]


def _named(ids: str | Iterable[str] | None) -> list[str] | None:
    if isinstance(ids, str):
        return [ids]
    return None if ids is None else list(ids)


def _several(receipts: Receipt | Sequence[Receipt]) -> list[Receipt]:
    return [receipts] if isinstance(receipts, (str, Delivery)) else [*receipts]


class Queue:
    """A queue of a spool. Use it from any thread; :meth:`Spool.queue` opens it."""

    def __init__(self, inner: _Queue) -> None:
        """Wrap a handle of the core; :meth:`Spool.queue` does."""
        self._inner = inner

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._inner.name

    def send(
        self,
        message: Any,
        *,
        id: str | None = None,
        priority: str | None = None,
        delay: Seconds | None = None,
        ttl: Seconds | None = None,
        dedup: bool = False,
        sync: str | None = None,
        wait: Seconds | None = None,
    ) -> str:
        """Send a message, anything that JSON can hold, and return its id.

        When it returns, the message is in the queue and, at the default durability, on stable storage. An ``id`` that
        is already in the queue is :class:`AlreadyExists`; with ``dedup`` nothing is sent and that id returned, also
        when it left the queue within its ``dedup_window``. After ``ttl`` it is not delivered any more. ``sync`` is the
        durability of this send: ``full``, ``normal`` or ``off``. When the queue is full, ``wait`` is how long to wait
        for room (``math.inf``: until there is some) before :class:`Full` is raised.
        """
        return self._inner.send(encode(message), id, priority, delay, ttl, dedup, sync, wait)

    def send_bytes(
        self,
        message: bytes,
        *,
        id: str | None = None,
        priority: str | None = None,
        delay: Seconds | None = None,
        ttl: Seconds | None = None,
        dedup: bool = False,
        sync: str | None = None,
        wait: Seconds | None = None,
    ) -> str:
        """Send encoded JSON, whose bytes are kept as they are; otherwise as :meth:`send`."""
        return self._inner.send(message, id, priority, delay, ttl, dedup, sync, wait)

    def send_many(
        self,
        messages: Iterable[Any],
        *,
        priority: str | None = None,
        delay: Seconds | None = None,
        ttl: Seconds | None = None,
        dedup: bool = False,
        sync: str | None = None,
        wait: Seconds | None = None,
    ) -> list[str]:
        """Send all messages or none, in one commit, and return their ids in order; the options are those of each."""
        encoded = [encode(message) for message in messages]
        return self._inner.send_many(encoded, priority, delay, ttl, dedup, sync, wait)

    def receive(
        self, *, lease: Seconds | None = None, wait: Seconds | None = None, detached: bool = False
    ) -> Delivery | None:
        """Take the next ready message under a lease (as configured, else 5 minutes); ``None`` when none came.

        Without ``wait`` it does not wait; ``math.inf`` waits until a message comes. A detached lease does not end with
        this process.
        """
        inner = self._inner.receive(lease, wait, detached)
        return None if inner is None else Delivery(inner)

    async def receive_async(
        self, *, lease: Seconds | None = None, wait: Seconds | None = None, detached: bool = False
    ) -> Delivery | None:
        """Receive in asyncio: as :meth:`receive`, in a thread of its own, while the event loop goes on.

        Cancelling the task ends its wait, and no other one of this handle; a message that came at that moment is given
        back. The end of a ``with delivery:`` block is a commit, for which the loop waits; a task that is cancelled in
        the block gives the message back with a reason, as for any exception.
        """
        inner = await _tasks.receive(lambda cancel: self._inner.receive(lease, wait, detached, cancel))
        return None if inner is None else Delivery(inner)

    def receive_many(
        self, max: int, *, lease: Seconds | None = None, wait: Seconds | None = None, detached: bool = False
    ) -> list[Delivery]:
        """Take up to ``max`` ready messages, at least 1, in one commit; waiting ends with the first that come."""
        return [Delivery(inner) for inner in self._inner.receive_many(max, lease, wait, detached)]

    # A text is a sequence of texts too; the first signature that fits is taken.
    @overload
    def ack(self, receipts: Receipt) -> None: ...  # type: ignore[overload-overlap]
    @overload
    def ack(self, receipts: Sequence[Receipt]) -> list[FlockqError | None]: ...
    def ack(self, receipts: Receipt | Sequence[Receipt]) -> list[FlockqError | None] | None:
        """Say that messages are done, by receipt or delivery, and remove them in one commit.

        One receipt: :class:`StaleReceipt` is raised when its lease has ended. A list: the result has an exception or
        ``None`` for each, and the good ones are done.
        """
        several = _several(receipts)
        results = _settled(several, self._inner.ack(_texts(several)))
        return _told(receipts, results)

    @overload
    def nack(self, receipts: Receipt, error: str | None = None, delay: Seconds | None = None) -> None: ...  # type: ignore[overload-overlap]
    @overload
    def nack(
        self, receipts: Sequence[Receipt], error: str | None = None, delay: Seconds | None = None
    ) -> list[FlockqError | None]: ...
    def nack(
        self, receipts: Receipt | Sequence[Receipt], error: str | None = None, delay: Seconds | None = None
    ) -> list[FlockqError | None] | None:
        """Give messages back, with a reason and a delay; otherwise as :meth:`ack`."""
        several = _several(receipts)
        results = _settled(several, self._inner.nack(_texts(several), error, delay))
        return _told(receipts, results)

    @overload
    def extend(self, receipts: Receipt, lease: Seconds) -> None: ...  # type: ignore[overload-overlap]
    @overload
    def extend(self, receipts: Sequence[Receipt], lease: Seconds) -> list[FlockqError | None]: ...
    def extend(self, receipts: Receipt | Sequence[Receipt], lease: Seconds) -> list[FlockqError | None] | None:
        """Let leases run for ``lease`` from now; otherwise as :meth:`ack`."""
        results = self._inner.extend(_texts(_several(receipts)), lease)
        return _told(receipts, results)

    def pop(self) -> Envelope | None:
        """Receive and ack in one commit: the message is the caller's. ``None`` when nothing is ready; does not wait."""
        inner = self._inner.pop()
        return None if inner is None else Envelope(inner)

    def peek(self, count: int = 1) -> list[Envelope]:
        """Return the next ``count`` ready messages, in order of delivery, without taking them."""
        return [Envelope(inner) for inner in self._inner.peek(count)]

    def list(self, state: str | None = None, *, limit: int = 100, cursor: str | None = None) -> Page:
        """Return a page of the messages, by priority and then by age.

        Each page is consistent; what changes between two pages may be seen or not.
        """
        envelopes, next_cursor = self._inner.list(state, limit, cursor)
        return Page([Envelope(inner) for inner in envelopes], next_cursor)

    def get(self, id: str) -> _List[Envelope]:
        """Return every message with this id; ids may repeat."""
        return [Envelope(inner) for inner in self._inner.get(id)]

    def __len__(self) -> int:
        """Return how many messages there are, in whatever state."""
        return self._inner.count()

    def __bool__(self) -> bool:
        """Return True: a handle is true, however many messages there are."""
        return True

    def stats(self) -> Stats:
        """Return how the queue stands, and what has been done with it by all processes together."""
        standing, counted, lock = self._inner.stats()
        return Stats(*standing, Counters(**dict(counted)), LockStats(*lock[:-1], tuple(lock[-1])))

    def update_message(
        self,
        id: str,
        *,
        message: Any = _AS_IT_IS,
        priority: str | None = None,
        delay: Seconds | None = None,
        ttl: Seconds | None = None,
    ) -> int:
        """Change every message with this id where it is, in one commit; return how many there are.

        What is not named stays. The message keeps its id, whatever another ``message`` says of itself, its age,
        attempts and lease: whoever works on it has what it was when he took it, and settles it all the same. A
        ``delay`` of 0 makes it ready at once; with a ``ttl`` of ``math.inf`` it is delivered however old it is. A
        message on its way to another queue is left.
        """
        payload = None if message is _AS_IT_IS else encode(message)
        return self._inner.update_message(id, payload, priority, delay, ttl)

    def remove(self, ids: str | Iterable[str]) -> int:
        """Remove every message with one of these ids, leased or not; return how many."""
        return self._inner.remove([ids] if isinstance(ids, str) else [*ids])

    def purge(self, state: str | None = None) -> int:
        """Remove every message, or every message in one state; return how many."""
        return self._inner.purge(state)

    def load(self) -> _List[Any]:
        """Return the whole array, read under a shared lock."""
        return [decode(element) for element in self._inner.load()]

    def save(self, array: Iterable[Any]) -> None:
        """Replace the whole array under an exclusive lock.

        Live leases are kept by message. What others changed since the load is lost: :meth:`update` is the change that
        loses nothing.
        """
        self._inner.save([encode(element) for element in array])

    @contextmanager
    def update(self) -> Iterator[_List[Any]]:
        """Change the whole array under one exclusive lock: what load-then-save should have been.

        ``with queue.update() as array:`` gives the list; it is written at the end of the block, and not if an
        exception escapes. Elements that were not touched keep their bytes. The block must not use this queue.
        """
        change = self._inner.begin()
        try:
            raw = change.array()
            array = [decode(element) for element in raw]
            before = list(zip(array, raw, strict=True))
            yield array
            change.commit(_encoded(array, before))
        finally:
            change.rollback()

    def work(self, handler: Callable[[Delivery], object], *, lease: Seconds | None = None, keep: bool = True) -> None:
        """Give every message to ``handler``, and wait for the next.

        ``handler`` is a plain function. The message is acked when it returns, and nacked with the exception's text when
        it raises an :class:`Exception`, unless the handler settled it. The lease is kept meanwhile, which takes a
        thread, unless ``keep`` is false.

        Returns when the queue is interrupted or closed: after the message that is worked on. A receipt that has become
        stale meanwhile is no error: the message is delivered again, or was.
        """
        began = self._inner.interrupts()
        while not self._inner.is_interrupted_since(began):
            try:
                delivery = self.receive(lease=lease, wait=math.inf)
                keeper = self._keeper(delivery, lease) if delivery and keep else None
            except (Interrupted, Closed):
                return
            if delivery is None:
                continue
            reason: str | None = None
            result: object = None
            try:
                result = handler(delivery)
            except Exception as error:
                # Whatever it is, the message failed.
                reason = reason_of(error)
            finally:
                if keeper is not None:
                    keeper.stop()
            if isawaitable(result):
                if iscoroutine(result):
                    result.close()
                delivery.nack()
                raise TypeError("the handler has done nothing yet: it is for an event loop, see receive_async()")
            try:
                if delivery.settled:
                    pass
                elif reason is None:
                    delivery.ack()
                else:
                    delivery.nack(reason)
            except StaleReceipt:
                pass
            except Closed:
                return

    def _keeper(self, delivery: Delivery, lease: Seconds | None) -> _Keeper:
        """Start what keeps a lease; where there is none, which is no fault of the message, give it back."""
        try:
            return self._inner.keep(delivery.receipt, lease)
        except BaseException:
            with suppress(FlockqError):
                delivery.nack()
            raise

    @contextmanager
    def keep(self, receipt: Receipt, *, lease: Seconds | None = None) -> Iterator[None]:
        """Keep a lease while the ``with`` block runs, in a thread of its own; until it is lost.

        ``lease`` is as long as the receive's; without it as configured.
        """
        keeper = self._inner.keep(_texts([receipt])[0], lease)
        try:
            yield
        finally:
            keeper.stop()

    def move_to(
        self,
        target: str,
        *,
        ids: str | Iterable[str] | None = None,
        state: str | None = None,
        error: str | None = None,
        limit: int | None = None,
    ) -> _List[str]:
        """Move messages to another queue, each exactly once wherever a process dies, and return their ids.

        Only those with one of ``ids`` (an empty list names none), in this ``state``, with ``error`` in their error, at
        most ``limit``. Messages under a lease are left.
        """
        return self._inner.move_to(target, _named(ids), state, error, limit)

    def redrive(
        self,
        *,
        ids: str | Iterable[str] | None = None,
        state: str | None = None,
        error: str | None = None,
        limit: int | None = None,
        dry_run: bool = False,
    ) -> _List[tuple[str, str]]:
        """Send messages back to the queues that they came from, ready at once and with all attempts before them.

        Returns their ids and the queues they go to. With ``dry_run`` nothing is moved.
        """
        return self._inner.redrive(_named(ids), state, error, limit, dry_run)

    def sync(self) -> None:
        """Make everything committed so far durable, whatever the durability of the commits was."""
        self._inner.sync()

    def checkpoint(self) -> None:
        """Fold the journal into the queue's file. Nothing to do for a plain queue."""
        self._inner.checkpoint()

    def check(self) -> Report:
        """Check every byte of the queue's files; damage is in the report and no error."""
        return Report._of(self._inner.check())

    def repair(self) -> Report:
        """Save what can be saved of a damaged queue, message by message.

        The damaged files are kept beside it, as ``NAME.json.damaged-N`` and ``NAME.json.journal.damaged-N``; the report
        says what could not be saved. Nothing is done to a sound queue. A message may be delivered again whose ack was
        in what is lost.
        """
        return Report._of(self._inner.repair())

    @property
    def mode(self) -> str:
        """How the queue commits: ``plain`` or ``journal``."""
        return self._inner.mode()

    def convert(self, to: str) -> None:
        """Give the queue a journal (``journal``), or fold it and take it away (``plain``).

        Its messages and their leases stay.
        """
        self._inner.convert(to)

    def interrupt(self) -> None:
        """End the waits in progress on this handle with :class:`Interrupted`; when there is none, the next one."""
        self._inner.interrupt()

    def close(self) -> None:
        """Give back the leases taken through this handle and not yet settled.

        Waits in progress end with :class:`Closed`, and so does every later use; closing again does nothing.
        """
        self._inner.close()

    def __enter__(self) -> Queue:
        """Return the queue."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the queue."""
        self.close()

    def __repr__(self) -> str:
        """Name the queue."""
        return f"<flockq.Queue {self.name}>"


def _settled(receipts: list[Receipt], results: list[FlockqError | None]) -> list[FlockqError | None]:
    """Tell the deliveries that were settled, so that the end of their `with` block leaves them alone."""
    for receipt, error in zip(receipts, results, strict=True):
        if error is None and isinstance(receipt, Delivery):
            receipt._settled = True
    return results


def _told(receipts: Receipt | Sequence[Receipt], results: list[FlockqError | None]) -> list[FlockqError | None] | None:
    """Return what became of several receipts; of a single one, raise it if it is an error."""
    if not isinstance(receipts, (str, Delivery)):
        return results
    for error in results:
        if error is not None:
            raise error
    return None


def _encoded(array: Iterable[Any], before: list[tuple[Any, bytes]]) -> list[bytes]:
    """Encode an array; elements that were there before and still say the same keep their bytes.

    They are known by identity, which `before` keeps alive. Small values such as numbers share theirs: each place has
    its own spelling, in order.
    """
    spellings: dict[int, list[bytes]] = {}
    for element, raw in reversed(before):
        spellings.setdefault(id(element), []).append(raw)
    encoded = []
    for element in array:
        known = spellings.get(id(element))
        raw = known.pop() if known else None
        encoded.append(raw if raw is not None and same(element, raw) else encode(element))
    return encoded
