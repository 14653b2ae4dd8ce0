"""Spools."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from ._flockq import Spool as _Spool
from ._flockq import init as _init
from ._message import Seconds
from ._queue import Queue
from ._stats import Advice


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

    @classmethod
    def mail(
        cls, directory: str | os.PathLike[str], *, sync: str | None = None, lock_wait: Seconds | None = None
    ) -> Spool:
        """Open the spool of a mail daemon, which is made when it is missing.

        Its queues ``inbound``, ``outbound`` and ``dead-letter`` have the policy of the daemon that such files are from,
        as far as ``flockq.json`` says nothing else: three attempts, five minutes between them, in ``outbound``; then
        ``dead-letter``.
        """
        spool = cls(directory, create=True, sync=sync, lock_wait=lock_wait)
        spool._inner.adopt_mail()
        return spool

    def config(self) -> dict[str, Any]:
        """Return the configuration: what is said, and for ``default`` also what holds where nothing is said."""
        shown: dict[str, Any] = json.loads(self._inner.config())
        return shown

    def set_config(self, setting: str, value: object) -> None:
        """Set one setting, such as ``inbound.backoff`` to ``"10s"``, for every process.

        Those that run see it at their next operation. ``None`` takes the setting away.
        """
        self._inner.set_config(setting, value if isinstance(value, str) else json.dumps(value))

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

    def metrics(self) -> str:
        """Return the figures of all queues in the text format that Prometheus reads."""
        return self._inner.metrics()

    def write_metrics(self, path: str | os.PathLike[str]) -> None:
        """Write the figures of all queues to a file, which is replaced as a whole.

        For node_exporter's textfile collector, whose files end with ``.prom``.
        """
        self._inner.write_metrics(os.fspath(path))

    def doctor(self) -> list[Advice]:
        """Look at the directory and at every queue, and say what is wrong or risky, the worst first."""
        return Advice._all(self._inner.doctor())

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
