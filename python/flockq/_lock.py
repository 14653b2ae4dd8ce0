"""The lock protocol for any other file, and writing a file atomically."""

from __future__ import annotations

import os
from contextlib import suppress
from threading import get_ident
from types import TracebackType

from ._flockq import FileLock as _FileLock
from ._flockq import write_atomic as _write_atomic
from ._message import Seconds

_ALL_HELD: set[_FileLock] = set()
"""What this process holds: a lock does not go with the object that took it."""


class FileLock:
    """A lock on a file, by the same protocol as a queue's.

    The lock of ``DIR/NAME`` is ``DIR/.gastown/locks/NAME.lock``; the file itself is not touched and need not exist. So
    the lock of a queue's file is that queue's lock. ``with flockq.FileLock("state.json"):`` holds it in the block.

    Once acquired it is held until :meth:`release` or the end of the process, also when nothing refers to the object
    any more. A forked child does not hold its parent's locks: there, releasing them does nothing.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        shared: bool = False,
        timeout: Seconds | None = None,
        allow_unverified_fs: bool = False,
    ) -> None:
        """Describe the lock; nothing is taken yet.

        ``timeout`` is how long to wait: 30 seconds by default, 0 tries once, ``math.inf`` waits for ever.
        """
        self._path = os.fspath(path)
        self._shared = shared
        self._timeout = timeout
        self._allow = allow_unverified_fs
        # By the thread that took it: threads may share a shared lock.
        self._held: dict[int, _FileLock] = {}
        self._waited = 0.0

    def acquire(self) -> None:
        """Take the lock. :class:`LockTimeout`: somebody else keeps it; :class:`WouldDeadlock`: this thread has it."""
        held = _FileLock(self._path, shared=self._shared, timeout=self._timeout, allow_unverified_fs=self._allow)
        _ALL_HELD.add(held)
        self._held[get_ident()] = held
        self._waited = held.waited

    def release(self) -> None:
        """Give the lock back; releasing again does nothing.

        Any thread may release an exclusive lock that another took; of a shared one each thread releases its own.
        """
        held = self._held.pop(get_ident(), None)
        if held is None and not self._shared:
            with suppress(KeyError):
                _, held = self._held.popitem()
        if held is not None:
            held.release()
            _ALL_HELD.discard(held)

    @property
    def waited(self) -> float:
        """How long the last acquisition took, in seconds."""
        return self._waited

    def __enter__(self) -> FileLock:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self.release()


def write_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path``: readers and crashes see the old content or the new.

    When it returns, the new content is on stable storage. No lock is taken.
    """
    _write_atomic(os.fspath(path), data)
