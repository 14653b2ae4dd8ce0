"""Spools."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from ._flockq import Spool as _Spool
from ._flockq import init as _init
from ._message import Seconds
from ._queue import Queue


class Spool:
    """A directory of queues, which processes in all languages share. Use it from any thread."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        create: bool = False,
        sync: str | None = None,
        lock_wait: Seconds | None = None,
        allow_unverified_fs: bool = False,
    ) -> None:
        """Open the spool in ``directory``, which must exist unless ``create`` is true.

        ``sync`` is the durability of this process's commits: ``full``, ``normal`` or ``off``. ``lock_wait`` is how long
        operations wait for a lock: 30 seconds by default, 0 tries once, ``math.inf`` waits for ever.
        ``allow_unverified_fs`` goes on where it is not known that locks exclude.
        """
        self._inner = _Spool(
            os.fspath(directory),
            create=create,
            sync=sync,
            lock_wait=lock_wait,
            allow_unverified_fs=allow_unverified_fs,
        )

    @staticmethod
    def init(
        directory: str | os.PathLike[str], *, plain: bool = False, lock_dir: str | None = None, sync: str | None = None
    ) -> None:
        """Set a spool up: make the directory and its lock directory, and write ``flockq.json``.

        Queue files that are there are not touched. Doing it again with the same choice changes nothing; with another
        it is :class:`AlreadyExists`.
        """
        _init(os.fspath(directory), plain=plain, lock_dir=lock_dir, sync=sync)

    @property
    def path(self) -> Path:
        """The directory, absolute."""
        return Path(self._inner.path)

    def queue(self, name: str) -> Queue:
        """Return the queue of this name. Checks the name and touches no file: a queue without a file is empty."""
        return Queue(self._inner.queue(name))

    def queues(self) -> list[str]:
        """Return the names of the queues that have a file, in order."""
        return self._inner.queues()

    def close(self) -> None:
        """Close every queue opened through this spool, which gives their leases back."""
        self._inner.close()

    def __enter__(self) -> Spool:
        """Return the spool."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the spool."""
        self.close()

    def __repr__(self) -> str:
        """Name the spool."""
        return f"<flockq.Spool {self.path}>"
