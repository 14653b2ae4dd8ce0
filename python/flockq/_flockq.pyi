"""The extension module: thin handles over the core. The package `flockq` is what to use."""

from os import PathLike
from pathlib import Path
from typing import final

from ._errors import FlockqError
from ._message import Seconds

__version__: str

# In a class that has a method of this name, `list` is that method.
_List = list

def _error_table() -> list[tuple[int, str]]:
    """Return the core's list of kinds: code and name."""

def init(
    directory: str | PathLike[str], *, plain: bool = False, lock_dir: str | None = None, sync: str | None = None
) -> None:
    """Set a spool up."""

def write_atomic(path: str | PathLike[str], data: bytes) -> None:
    """Replace a file."""

@final
class Spool:
    """A spool of the core."""

    def __new__(
        cls,
        directory: str | PathLike[str],
        *,
        create: bool = False,
        sync: str | None = None,
        lock_wait: Seconds | None = None,
        allow_unverified_fs: bool = False,
    ) -> Spool:
        """Open a spool."""

    @property
    def path(self) -> Path:
        """The directory."""

    def queue(self, name: str) -> Queue:
        """Return the queue of this name."""

    def queues(self) -> list[str]:
        """Return the names of the queues that have a file."""

    def adopt_mail(self) -> None:
        """Set the policy of a mail daemon, as far as nothing else is said."""

    def config(self) -> str:
        """Return the configuration as JSON."""

    def set_config(self, setting: str, value: str) -> None:
        """Set one setting for every process."""

    def metrics(self) -> str:
        """Return the figures in the text format that Prometheus reads."""

    def write_metrics(self, path: str | PathLike[str]) -> None:
        """Write the figures of all queues to a file."""

    def doctor(self) -> str:
        """Return the advice as JSON."""

    def close(self) -> None:
        """Close every queue opened through this spool."""

@final
class Queue:
    """A queue of the core; payloads are JSON text, durations seconds or a timedelta."""

    @property
    def name(self) -> str:
        """The name."""

    def send(
        self,
        payload: bytes,
        id: str | None,
        priority: str | None,
        delay: Seconds | None,
        ttl: Seconds | None,
        dedup: bool,
        sync: str | None,
        wait: Seconds | None,
    ) -> str:
        """Send a message and return its id."""

    def keep(self, receipt: str, lease: Seconds | None) -> Keeper:
        """Keep a lease until stop() is called."""

    def move_to(
        self, target: str, ids: _List[str] | None, state: str | None, error: str | None, limit: int | None
    ) -> _List[str]:
        """Move messages to another queue and return their ids."""

    def redrive(
        self, ids: _List[str] | None, state: str | None, error: str | None, limit: int | None, dry_run: bool
    ) -> _List[tuple[str, str]]:
        """Send messages back where they came from; their ids and the queues."""

    def send_many(
        self,
        payloads: _List[bytes],
        priority: str | None,
        delay: Seconds | None,
        ttl: Seconds | None,
        dedup: bool,
        sync: str | None,
        wait: Seconds | None,
    ) -> _List[str]:
        """Send all or none and return the ids."""

    def receive(
        self, lease: Seconds | None, wait: Seconds | None, detached: bool, cancel: Cancel | None = None
    ) -> Delivery | None:
        """Take the next ready message under a lease."""

    def receive_many(self, max: int, lease: Seconds | None, wait: Seconds | None, detached: bool) -> _List[Delivery]:
        """Take up to so many ready messages in one commit."""

    def ack(self, receipts: _List[str]) -> _List[FlockqError | None]:
        """Remove what is done; an error or None for each."""

    def nack(self, receipts: _List[str], error: str | None, delay: Seconds | None) -> _List[FlockqError | None]:
        """Give back; an error or None for each."""

    def extend(self, receipts: _List[str], lease: Seconds) -> _List[FlockqError | None]:
        """Let leases run on; an error or None for each."""

    def pop(self) -> Envelope | None:
        """Receive and ack in one commit."""

    def peek(self, max: int) -> _List[Envelope]:
        """Return the next ready messages."""

    def list(self, state: str | None, limit: int, cursor: str | None) -> tuple[_List[Envelope], str | None]:
        """Return a page, and where the next one begins."""

    def get(self, id: str) -> _List[Envelope]:
        """Return every message with this id."""

    def count(self) -> int:
        """Return how many messages there are."""

    def stats(
        self,
    ) -> tuple[
        tuple[int, int, int, int, int, float | None, int, int],
        _List[tuple[str, int]],
        tuple[int, int, int, int, float, float, _List[int]],
    ]:
        """Return how it stands, what was counted by name, and how the lock was used."""

    def update_message(
        self, id: str, payload: bytes | None, priority: str | None, delay: Seconds | None, ttl: Seconds | None
    ) -> int:
        """Change where it is; return how many."""

    def remove(self, ids: _List[str]) -> int:
        """Remove by id; return how many."""

    def purge(self, state: str | None) -> int:
        """Remove all in a state; return how many."""

    def load(self) -> _List[bytes]:
        """Return the elements of the array as they are in the file."""

    def save(self, elements: _List[bytes]) -> None:
        """Replace the array."""

    def begin(self) -> Transaction:
        """Begin a change of the whole array."""

    def sync(self) -> None:
        """Make everything durable."""

    def checkpoint(self) -> None:
        """Fold the journal into the queue's file."""

    def check(self) -> str:
        """Return the report as JSON."""

    def repair(self) -> str:
        """Return the report as JSON."""

    def mode(self) -> str:
        """Return the name of the mode."""

    def convert(self, to: str) -> None:
        """Change the mode."""

    def interrupt(self) -> None:
        """End the waits in progress, or the next one."""

    def interrupts(self) -> int:
        """Count the interrupts so far."""

    def is_interrupted_since(self, began: int) -> bool:
        """Whether there were more; they end no later wait then."""

    def close(self) -> None:
        """Give back the leases taken through this handle."""

@final
class Cancel:
    """Ends the wait that it is given to."""

    def __new__(cls) -> Cancel:
        """Nothing is cancelled yet."""

    def cancel(self) -> None:
        """End it, whether it has begun or not."""

@final
class Keeper:
    """Keeps a lease."""

    def stop(self) -> None:
        """End it; the lease goes on until its deadline."""

@final
class Transaction:
    """A change of the whole array."""

    def array(self) -> list[bytes]:
        """Return the elements; none after the end."""

    def commit(self, elements: list[bytes]) -> None:
        """Write the array and end."""

    def rollback(self) -> None:
        """End without writing."""

@final
class Delivery:
    """A message under a lease."""

    @property
    def id(self) -> str:
        """The message's id."""

    @property
    def receipt(self) -> str:
        """The text that names this delivery."""

    @property
    def attempts(self) -> int:
        """Deliveries so far, this one included."""

    @property
    def priority(self) -> str:
        """The name of the priority."""

    @property
    def queued_at(self) -> str | None:
        """When it was sent."""

    @property
    def raw(self) -> bytes:
        """The payload."""

    def ack(self) -> None:
        """Remove the message."""

    def nack(self, error: str | None, delay: Seconds | None) -> None:
        """Give the message back."""

    def extend(self, lease: Seconds) -> None:
        """Let the lease run on from now."""

    def detach(self) -> None:
        """Untie the lease from this process."""

@final
class Envelope:
    """A message as it stood in the queue."""

    @property
    def id(self) -> str | None:
        """The id, if it has one."""

    @property
    def state(self) -> str:
        """The name of the state."""

    @property
    def priority(self) -> str:
        """The name of the priority."""

    @property
    def attempts(self) -> int:
        """Deliveries so far."""

    @property
    def error(self) -> str | None:
        """Why it was given back last."""

    @property
    def errors(self) -> str | None:
        """The errors so far as JSON, or None."""

    @property
    def origin(self) -> str | None:
        """The queue that it came from, or None."""

    @property
    def expires(self) -> str | None:
        """When it is delivered no more, or None."""

    @property
    def queued_at(self) -> str | None:
        """When it was sent."""

    @property
    def last_attempt(self) -> str | None:
        """When it was delivered last."""

    @property
    def not_before(self) -> str | None:
        """When it may be received."""

    @property
    def lease_until(self) -> str | None:
        """When its lease ends."""

    @property
    def consumer(self) -> str | None:
        """Whose death ends its lease."""

    @property
    def raw(self) -> bytes:
        """The payload."""

    @property
    def text(self) -> bytes:
        """The whole element of the array."""

@final
class FileLock:
    """A held lock, taken when it is made."""

    def __new__(
        cls,
        path: str | PathLike[str],
        *,
        shared: bool = False,
        timeout: Seconds | None = None,
        allow_unverified_fs: bool = False,
    ) -> FileLock:
        """Take the lock."""

    @property
    def waited(self) -> float:
        """How long that took, in seconds."""

    def release(self) -> None:
        """Give the lock back."""
