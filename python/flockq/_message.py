"""Deliveries and envelopes."""

from __future__ import annotations

import json
import sys
import warnings
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal

from ._errors import FlockqError
from ._flockq import Delivery as _Delivery
from ._flockq import Envelope as _Envelope
from ._json import decode

Seconds = float | timedelta
"""A duration: seconds, or a timedelta."""

_NOT_DECODED = object()


class Delivery:
    """A message under a lease.

    ``with delivery:`` acks it at the end, or gives it back with the exception's text if one escapes. Dropping a
    delivery settles nothing: its lease goes on.
    """

    __slots__ = ("_inner", "_message", "_settled")

    def __init__(self, inner: _Delivery) -> None:
        """Wrap what the core delivered; :meth:`Queue.receive` does."""
        self._inner = inner
        self._message: Any = _NOT_DECODED
        self._settled = False

    @property
    def message(self) -> Any:
        """The payload, decoded."""
        if self._message is _NOT_DECODED:
            self._message = decode(self._inner.raw)
        return self._message

    @property
    def raw(self) -> bytes:
        """The payload: JSON text, byte for byte as it was sent."""
        return self._inner.raw

    @property
    def id(self) -> str:
        """The message's id."""
        return self._inner.id

    @property
    def receipt(self) -> str:
        """The text that names this delivery, for any process in any language; its first part is a fencing token."""
        return self._inner.receipt

    @property
    def attempts(self) -> int:
        """How often the message has been delivered, this time included."""
        return self._inner.attempts

    @property
    def priority(self) -> str:
        """``urgent``, ``high``, ``normal`` or ``low``."""
        return self._inner.priority

    @property
    def queued_at(self) -> str | None:
        """When it was sent, as the file has it."""
        return self._inner.queued_at

    def ack(self) -> None:
        """Say that the message is done, and remove it.

        :class:`StaleReceipt`: the lease has ended, and somebody else may have the message.
        """
        self._inner.ack()
        self._settled = True

    def nack(self, error: str | None = None, delay: Seconds | None = None) -> None:
        """Give the message back, with a reason and a time before which it does not come again."""
        self._inner.nack(error, delay)
        self._settled = True

    @property
    def settled(self) -> bool:
        """Whether it was acked, nacked or detached through this object."""
        return self._settled

    def extend(self, lease: Seconds) -> None:
        """Let the lease run for ``lease`` from now, which is more than 0."""
        self._inner.extend(lease)

    def detach(self) -> None:
        """Untie the lease from this process, before the receipt is handed to another.

        From now on the lease ends at its deadline or a reboot, and the end of a ``with`` block leaves it alone.
        """
        self._inner.detach()
        self._settled = True

    def __enter__(self) -> Delivery:
        """Return the delivery."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        """Ack, or give back when an exception escapes; unless the block has settled or detached it."""
        if self._settled:
            return False
        if error is None:
            self.ack()
            return False
        try:
            self.nack(reason_of(error))
        except FlockqError as failed:
            # What escaped is what went wrong first; it goes up, and says this too.
            say_too(error, f"and giving back the message {self.id} said: {failed}")
        return False

    def __repr__(self) -> str:
        """Name the delivery."""
        return f"<flockq.Delivery {self.id} attempts={self.attempts}>"


def say_too(error: BaseException, text: str) -> None:
    """Add a line to what an exception says; in Python 3.10, which shows no notes, it is a warning."""
    if sys.version_info >= (3, 11):
        error.add_note(text)
    else:
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def reason_of(error: BaseException) -> str:
    """Say what an exception says, in text that the file can hold."""
    return (str(error) or type(error).__name__).encode("utf-8", "replace").decode()


class Envelope:
    """A message as it stood in the queue. Times are texts as the file has them."""

    __slots__ = ("_inner", "_message")

    def __init__(self, inner: _Envelope) -> None:
        """Wrap what the core saw; the looks of :class:`Queue` do."""
        self._inner = inner
        self._message: Any = _NOT_DECODED

    @property
    def id(self) -> str | None:
        """The id; a message that another program wrote may have none until it is received."""
        return self._inner.id

    @property
    def message(self) -> Any:
        """The payload, decoded."""
        if self._message is _NOT_DECODED:
            self._message = decode(self._inner.raw)
        return self._message

    @property
    def raw(self) -> bytes:
        """The payload: JSON text, byte for byte as it is in the file."""
        return self._inner.raw

    @property
    def text(self) -> bytes:
        """The whole element of the array."""
        return self._inner.text

    @property
    def state(self) -> str:
        """``ready``, ``delayed`` or ``leased``."""
        return self._inner.state

    @property
    def priority(self) -> str:
        """``urgent``, ``high``, ``normal`` or ``low``; an unknown one ranks as normal."""
        return self._inner.priority

    @property
    def attempts(self) -> int:
        """How often it has been delivered."""
        return self._inner.attempts

    @property
    def error(self) -> str | None:
        """Why it was given back last."""
        return self._inner.error

    @property
    def errors(self) -> list[dict[str, str]]:
        """The errors so far with their times, the last ten at most: ``{"at": ..., "error": ...}``."""
        errors = json.loads(self._inner.errors or "[]")
        # Another program may have put something else there.
        return errors if isinstance(errors, list) else []

    @property
    def origin(self) -> str | None:
        """The queue that it came from, while it waits to be tried again or was given up."""
        return self._inner.origin

    @property
    def expires(self) -> str | None:
        """When it is delivered no more."""
        return self._inner.expires

    @property
    def queued_at(self) -> str | None:
        """When it was sent."""
        return self._inner.queued_at

    @property
    def last_attempt(self) -> str | None:
        """When it was delivered last."""
        return self._inner.last_attempt

    @property
    def not_before(self) -> str | None:
        """When it may be received."""
        return self._inner.not_before

    @property
    def lease_until(self) -> str | None:
        """When its lease ends, while it is leased."""
        return self._inner.lease_until

    @property
    def consumer(self) -> str | None:
        """Whose death ends its lease, while it is leased; ``None`` for a detached lease."""
        return self._inner.consumer

    def __repr__(self) -> str:
        """Name the message."""
        return f"<flockq.Envelope {self.id} {self.state}>"
