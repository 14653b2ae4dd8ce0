"""What is measured: the peers, the works, and how long each may take."""

from __future__ import annotations

from dataclasses import dataclass

DURABILITIES = ("power", "system")
LANGUAGES = {"rust": "Rust", "go": "Go", "python": "Python"}


@dataclass(frozen=True)
class Peer:
    """A queue, and the language of its worker."""

    name: str
    language: str
    title: str
    server: bool = False
    variant: bool = False
    """Another durability of a peer, measured only where durability is what is looked at."""
    syncs_takes: bool = True
    """Whether at ``power`` it syncs receives and acks as well as sends."""

    @property
    def key(self) -> str:
        """Its name in the results."""
        return f"{self.name}/{self.language}"

    @property
    def own(self) -> bool:
        """Whether it is flockq as it comes, beside which the others are shown."""
        return self.name == "flockq"


PEERS = (
    Peer("flockq", "rust", "flockq", syncs_takes=False),
    Peer("flockq-full", "rust", "flockq, every commit synced", variant=True),
    Peer("sqlite", "rust", "SQLite (rusqlite)"),
    Peer("sqlite-sends", "rust", "SQLite, only sends synced", variant=True, syncs_takes=False),
    Peer("yaque", "rust", "yaque"),
    Peer("redis", "rust", "Redis", server=True),
    Peer("beanstalkd", "rust", "beanstalkd", server=True),
    Peer("postgresql", "rust", "PostgreSQL", server=True),
    Peer("flockq", "go", "flockq", syncs_takes=False),
    Peer("flockq-full", "go", "flockq, every commit synced", variant=True),
    Peer("goqite", "go", "goqite"),
    Peer("daemon", "go", "flock, MarshalIndent, rename"),
    Peer("flockq", "python", "flockq", syncs_takes=False),
    Peer("flockq-full", "python", "flockq, every commit synced", variant=True),
    Peer("flockq-plain", "python", "flockq, plain mode", syncs_takes=False),
    Peer("persist-queue", "python", "persist-queue"),
    Peer("litequeue", "python", "litequeue"),
    Peer("huey", "python", "huey"),
    Peer("diskcache", "python", "diskcache.Deque"),
    Peer("dirq", "python", "dirq"),
    Peer("naive", "python", "filelock, load, append, rename"),
)


@dataclass(frozen=True)
class Work:
    """Something that is measured."""

    name: str
    title: str
    both: bool
    """At both durabilities; otherwise at ``system``, or at ``power`` where there is nothing else."""
    once: bool
    """Measured once, because it takes long; otherwise in every round."""
    compared: bool = False
    """Where it is not measured at both: whether ratios are shown, which ask for flockq at the same durability."""


WORKS = (
    Work("alone", "One process sends; then one process receives and acks", both=True, once=False),
    Work("pair", "One producer and one consumer at once", both=True, once=False),
    Work("four", "Four producers and four consumers at once", both=True, once=False),
    Work("batches", "Batches of 100", both=True, once=False),
    Work("depth", "The cost of a message while so many are waiting", both=False, once=False, compared=True),
    Work(
        "wakeup",
        "From a send to the message in the waiting consumer's hand",
        both=False,
        once=False,
        compared=True,
    ),
    Work(
        "deep",
        "The cost of a message at 100k and 1M, and the time to open a queue of 100k",
        both=False,
        once=True,
        compared=True,
    ),
    Work("idle", "Ten consumers wait for a message that does not come", both=False, once=False),
    Work("disk", "Disk space after a million messages have passed through", both=False, once=True),
)

SHALLOW = (0, 1_000, 10_000)
DEEP = (100_000, 1_000_000)
MANY = 50_000_000
"""More than any peer does within its limit."""
APART = 10_000_000
"""How far apart the numbers of two producers are."""
WARM = 99_000_000
"""The number of a message that is not counted."""
BATCH = 100
IDLE_CONSUMERS = 10


@dataclass(frozen=True)
class Limits:
    """Seconds and counts of one run; ``scale`` shortens all of them for a quick look."""

    scale: float = 1.0

    def seconds(self, full: float) -> float:
        """Return a limit in seconds."""
        return full * self.scale

    def count(self, full: int) -> int:
        """Return a count."""
        return max(1, int(full * self.scale))

    @property
    def alone_s(self) -> float:
        """For the sends, and again for the receives."""
        return self.seconds(0.7)

    @property
    def together_s(self) -> float:
        """For producers and consumers at once."""
        return self.seconds(1.0)

    @property
    def batches_s(self) -> float:
        """For the sends in batches, and again for the receives."""
        return self.seconds(0.5)

    @property
    def drain_s(self) -> float:
        """For receiving what is left, which is counted and not measured."""
        return self.seconds(2.0)

    @property
    def at_depth_s(self) -> float:
        """For sends and receives at one depth."""
        return self.seconds(0.4)

    @property
    def wakeups(self) -> int:
        """How many messages are waited for in a round."""
        return self.count(50)

    @property
    def idle_s(self) -> float:
        """How long the waiting consumers are looked at."""
        return self.seconds(4.0)

    @property
    def passing(self) -> int:
        """How many messages pass through before the disk space is taken."""
        return self.count(1_000_000)

    @property
    def passing_s(self) -> float:
        """How long they may take."""
        return self.seconds(20.0)

    def fill_s(self, count: int) -> float:
        """How long the filling with so many may take."""
        return self.seconds(2.0 if count <= 10_000 else 8.0 if count <= 100_000 else 25.0)
