"""The exceptions: one per kind of error, each also the built-in that it resembles."""

from __future__ import annotations

from typing import Any, ClassVar


class FlockqError(Exception):
    """Something went wrong; ``str()`` of it is one line that says what was found, where, and what to do."""

    kind: ClassVar[str] = "FlockqError"
    """The name of the kind, the same in every language."""
    code: ClassVar[int] = 0
    """The number of the kind, the same in every language."""
    path: str | None = None
    """The file that the error is about."""
    offset: int | None = None
    """Where in the file, or in the payload, the rule is broken, in bytes."""
    errno: int | None = None
    """The operating system's error number."""

    def __init_subclass__(cls) -> None:
        """Name the kind after its class."""
        cls.kind = cls.__name__

    def __str__(self) -> str:
        """Return the message alone: OSError would put numbers and names around it."""
        return str(self.args[0]) if self.args else ""

    def __setstate__(self, state: dict[str, Any] | None, /) -> None:
        """Come from another process: OSError keeps the file's name outside of what it hands on."""
        if state and isinstance(self, OSError):
            state = {**state, "filename": state.get("path")}
        super().__setstate__(state)


class InvalidArgument(FlockqError, ValueError):
    """An argument is not allowed: a name, an option, a receipt that is no receipt."""

    code = 1


class Io(FlockqError, OSError):
    """The operating system refused; ``errno`` and ``filename`` say how and where."""

    code = 2


class LockTimeout(FlockqError, TimeoutError):
    """The lock could not be had in the time allowed; nothing was changed."""

    code = 3


class Interrupted(FlockqError, InterruptedError):
    """The wait was ended by an interrupt; nothing was changed."""

    code = 4


class NotFound(FlockqError, FileNotFoundError):
    """The spool directory or a file that must be there does not exist."""

    code = 5


class AlreadyExists(FlockqError, FileExistsError):
    """The id is already in the queue, or the spool is already set up differently."""

    code = 6


class Corrupt(FlockqError, ValueError):
    """A file is damaged; ``path`` and ``offset`` say where."""

    code = 7


class Version(FlockqError, NotImplementedError):
    """A file was written by a newer version of flockq, or asks for what this one does not have."""

    code = 8


class TooLarge(FlockqError, ValueError):
    """What is sent is larger than a limit."""

    code = 9


class InvalidJson(FlockqError, ValueError):
    """The payload is not JSON that every language reads alike."""

    code = 10


class StaleReceipt(FlockqError, LookupError):
    """The lease that the receipt names has ended; nothing was changed."""

    code = 11


class Full(FlockqError, BufferError):
    """The queue has reached its limit."""

    code = 12


class Closed(FlockqError, ValueError):
    """The handle was closed, or belongs to the process before a fork."""

    code = 13


class Poisoned(FlockqError, RuntimeError):
    """Reserved: no version of flockq returns it."""

    code = 14


class OutcomeUnknown(FlockqError, OSError):
    """The change may or may not have become durable; look before doing it again."""

    code = 15


class WouldDeadlock(FlockqError, RuntimeError):
    """The caller already holds this lock, or waits for it; waiting for it would never end."""

    code = 16


class UnsafeFilesystem(FlockqError, OSError):
    """Locks do not exclude on this file system, or it is not known that they do."""

    code = 17


class Internal(FlockqError, RuntimeError):
    """A bug in flockq; please report it."""

    code = 18


_KINDS: dict[str, type[FlockqError]] = {kind.__name__: kind for kind in FlockqError.__subclasses__()}


def _make(kind: str, message: str, *, path: str | None, offset: int | None, errno: int | None) -> FlockqError:
    """Make the exception for an error of the core."""
    made = _KINDS.get(kind, FlockqError)(message)
    made.path = path
    made.offset = offset
    made.errno = errno
    if isinstance(made, OSError):
        made.filename = path
    return made
