"""A process of a worker: requests one a line, replies one a line."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Reply = dict[str, Any]
PATIENCE_S = 30.0
"""How much longer than its limit a request may take before its process is killed."""


class Unsupported(Exception):
    """The peer has no such thing; the text says why."""


class Broken(Exception):
    """The worker failed; the text says how."""


class Worker:
    """One actor, with the queue open once :meth:`open` was called."""

    def __init__(self, command: list[str], peer: str, durability: str, place: str, log: Path) -> None:
        """Start the process."""
        arguments = [*command, "--peer", peer, "--durability", durability, "--place", place]
        self._log = log
        with open(log, "ab") as errors:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )
        self._unread = b""

        self.opening_s = 0.0

    def open(self) -> None:
        """Open the queue, and remember how long that took."""
        self.opening_s = self.ask("open")["seconds"]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self, do: str, **fields: Any) -> None:
        """Send a request without waiting for the reply."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}).encode() + b"\n")
        except BrokenPipeError:
            raise Broken(f"it ended before {do}: {self._last_words()}") from None
        self._ends = time.monotonic() + float(fields.get("limit_s", 0.0)) + PATIENCE_S
        self._doing = do

    def reply(self) -> Reply:
        """Wait for the reply."""
        line = self._line()
        reply: Reply = json.loads(line)
        if "unsupported" in reply:
            raise Unsupported(reply["unsupported"])
        if "error" in reply:
            raise Broken(f"{self._doing}: {reply['error']}")
        return reply

    def ask(self, do: str, **fields: Any) -> Reply:
        """Send a request and wait for the reply."""
        self.begin(do, **fields)
        return self.reply()

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            left = self._ends - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                self._process.kill()
                raise Broken(f"{self._doing} did not come to its end")
            piece = os.read(self._process.stdout.fileno(), 1 << 20)
            if not piece:
                raise Broken(f"it ended during {self._doing}: {self._last_words()}")
            self._unread += piece
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")

    def end(self) -> None:
        """End the process: by the end of its input, else by force."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        """Return the worker."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.end()
