#!/usr/bin/env python3
"""Starts and stops the servers that flockq is measured beside: Redis, beanstalkd and PostgreSQL.

Each runs on 127.0.0.1 only, on a free port, with its data in a directory of the caller's, and ends with the caller: a
server is a context manager, and dies with the thread that started it. Nothing of the system's own installation is
touched.

    python3 servers.py redis|beanstalkd|postgresql power|system DIRECTORY    runs one until Enter or Ctrl-C
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import FrameType, TracebackType
from typing import ClassVar, Literal

Durability = Literal["power", "system"]

START_SECONDS = 30
STOP_SECONDS = 15
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """A server is not installed; the text says how to get it."""


class Failed(Exception):
    """A server did not start; the text holds the end of its log."""


class Server(ABC):
    """A server that runs inside a `with`."""

    name: str
    package: str
    # What makes it so durable, and the line for the page that says it.
    levels: ClassVar[dict[Durability, str]]
    line: str
    # What asks it to end in order.
    stop_signal = signal.SIGTERM
    # Which user runs it; None is the caller.
    user: str | None = None

    def __init__(self, durability: Durability, directory: Path) -> None:
        """Chooses the durability and where the data is; the directory is made when it is missing."""
        self.level = self.levels[durability]
        self.directory = directory.absolute()
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the workers find it; # and the name of a queue may follow."""

    @abstractmethod
    def command(self) -> list[str]:
        """What starts it in the foreground."""

    @abstractmethod
    def answers(self, connection: socket.socket) -> bool:
        """Whether it is ready for work; asked on a fresh connection."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Its name and version, as it says itself."""

    @property
    def settings(self) -> str:
        """What makes it as durable as was asked for, in one line."""
        return self.line.format(self.level)

    def runs(self) -> bool:
        """Whether it has not ended by itself."""
        return self.process is not None and self.process.poll() is None

    def prepare(self) -> None:
        """Makes what must be there before it starts."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            give(self.directory, self.user)

    def pids(self) -> list[int]:
        """The process and all its descendants, as they are now: for the time and the disk that they used."""
        return [] if self.process is None else descendants(self.process.pid)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.prepare()
        with self.log.open("ab") as log:
            self.process = start_tied(self.command(), log.fileno(), self.directory, self.user, self.stop_signal)
        try:
            self.wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Server:
        """Starts it, if nobody has."""
        if self.process is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it, whatever happened."""
        self.stop()

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / f"{self.name}.log"

    def wait(self) -> None:
        """Waits until it answers."""
        assert self.process is not None
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended with {self.process.returncode}:\n{self.last_words()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                if self.answers(connection):
                    return
            time.sleep(0.02)
        raise Failed(f"{self.name} does not answer after {START_SECONDS} s:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])

    def stop(self) -> None:
        """Ends it in order, or else at once."""
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(self.stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Redis(Server):
    """Redis with an append-only file and no snapshots."""

    name = "redis"
    package = "redis-server"
    levels: ClassVar[dict[Durability, str]] = {"power": "always", "system": "everysec"}
    line = "appendonly yes, appendfsync {}, no snapshots"

    @property
    def url(self) -> str:
        """Where the workers find it."""
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The append-only file is what makes it durable; a snapshot beside it would only be work."""
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": self.level,
            "save": "",
            "daemonize": "no",
        }
        command = [program("redis-server", self.package)]
        for setting, value in settings.items():
            command += [f"--{setting}", value]
        return command

    def answers(self, connection: socket.socket) -> bool:
        """It says so once its data is loaded."""
        connection.sendall(b"PING\r\n")
        return connection.recv(64) == b"+PONG\r\n"

    @property
    def version(self) -> str:
        """As `redis-server --version` says."""
        words = output([program("redis-server", self.package), "--version"]).split()
        return "Redis " + next((word[2:] for word in words if word.startswith("v=")), "?")


class Beanstalkd(Server):
    """beanstalkd with its write-ahead log."""

    name = "beanstalkd"
    package = "beanstalkd"
    # After how many milliseconds its log is synced at the latest.
    levels: ClassVar[dict[Durability, str]] = {"power": "0", "system": "50"}
    line = "-b DIRECTORY -f{}"

    @property
    def url(self) -> str:
        """Where the workers find it."""
        return f"beanstalk://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """-f0 syncs at every write, -f50 is what it does unasked."""
        listen = ["-l", "127.0.0.1", "-p", str(self.port)]
        log = ["-b", str(self.directory / "binlog"), f"-f{self.level}"]
        return [program("beanstalkd", self.package), *listen, *log]

    def prepare(self) -> None:
        """It does not make the directory of its log."""
        super().prepare()
        (self.directory / "binlog").mkdir(exist_ok=True)

    def answers(self, connection: socket.socket) -> bool:
        """It is ready when it knows its default tube."""
        connection.sendall(b"list-tube-used\r\n")
        return connection.recv(64).startswith(b"USING")

    @property
    def version(self) -> str:
        """As `beanstalkd -v` says."""
        return output([program("beanstalkd", self.package), "-v"]).strip()


class Postgres(Server):
    """PostgreSQL: a cluster of its own, as initdb makes it, run by a user without privileges."""

    name = "postgresql"
    package = "postgresql"
    # Whether a commit waits for the sync of the log.
    levels: ClassVar[dict[Durability, str]] = {"power": "on", "system": "off"}
    line = "synchronous_commit {}, all else as initdb makes it"
    # A fast shutdown: it does not wait for clients.
    stop_signal = signal.SIGINT

    def __init__(self, durability: Durability, directory: Path) -> None:
        """The same; root hands it to the user that Debian's package makes."""
        super().__init__(durability, directory)
        if os.geteuid() == 0:
            self.user = "postgres"
        self.data = self.directory / "data"

    @property
    def url(self) -> str:
        """Where the workers find it."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        """No socket file: only the workers are to find it."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "synchronous_commit": self.level,
        }
        command = [self.program("postgres"), "-D", str(self.data)]
        for setting, value in settings.items():
            command += ["-c", f"{setting}={value}"]
        return command

    def prepare(self) -> None:
        """Makes the cluster."""
        super().prepare()
        if (self.data / "PG_VERSION").exists():
            return
        command = [self.program("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C.UTF-8"]
        made = subprocess.run(
            command,
            user=self.user,
            group=self.user,
            extra_groups=[] if self.user else None,
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise Failed(f"initdb ended with {made.returncode}:\n{made.stdout}{made.stderr}")

    def answers(self, connection: socket.socket) -> bool:
        """A start-up packet for the database is answered with the request for authentication, or "ok" to it."""
        words = b"user\0postgres\0database\0postgres\0\0"
        packet = (196608).to_bytes(4) + words
        connection.sendall((len(packet) + 4).to_bytes(4) + packet)
        ready = connection.recv(1) == b"R"
        # Terminate, in order.
        connection.sendall(b"X\0\0\0\4")
        return ready

    @property
    def version(self) -> str:
        """As `postgres --version` says."""
        return "PostgreSQL " + output([self.program("postgres"), "--version"]).split()[2]

    def program(self, name: str) -> str:
        """Debian keeps its programs out of the path, one directory for each version; the newest is taken."""
        found = [path for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}") if path.parts[4].isdigit()]
        if not found:
            return program(name, self.package)
        return str(max(found, key=lambda path: int(path.parts[4])))


SERVERS: dict[str, type[Server]] = {server.name: server for server in (Redis, Beanstalkd, Postgres)}


def start(peer: str, durability: Durability, directory: Path) -> Server:
    """Starts the server of that name; it answers when this returns. Stop it, or use it in a `with`."""
    server = SERVERS[peer](durability, directory)
    server.start()
    return server


def program(name: str, package: str) -> str:
    """Where a program is."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise Missing(f"LEFT OUT: {name} is missing; install it (apt-get install {package})")
    return found


def output(command: list[str]) -> str:
    """What a command says."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port: int = chosen.getsockname()[1]
        return port


def give(directory: Path, user: str) -> None:
    """Hands a directory to the user that is to write there."""
    try:
        owner = pwd.getpwnam(user)
    except KeyError:
        raise Missing(f"LEFT OUT: there is no user {user}; the package makes it (apt-get install postgresql)") from None
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            raise Failed(f"{user} cannot reach {directory}: {parent} is closed to others")


def start_tied(
    command: list[str], log: int, directory: Path, user: str | None, last_signal: signal.Signals
) -> subprocess.Popen[bytes]:
    """Starts a server that is told to end when the thread that called this does, however that ends."""
    starter = os.getpid()

    def tie() -> None:
        LIBC.prctl(PR_SET_PDEATHSIG, last_signal)
        if os.getppid() != starter:
            os._exit(1)

    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        cwd=directory,
        user=user,
        group=user,
        extra_groups=[] if user else None,
        # A Ctrl-C is for the caller, who stops it.
        start_new_session=True,
        preexec_fn=tie,
    )


def descendants(pid: int) -> list[int]:
    """A process and those that it started, and those that they started."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def end_on_signals() -> None:
    """Makes the signals that end a process exceptions, so that every `with` is left in order."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)


def main() -> int:
    """Runs one server by hand."""
    parser = argparse.ArgumentParser(description="Runs one server until Enter, the end of input or Ctrl-C.")
    parser.add_argument("server", choices=sorted(SERVERS))
    parser.add_argument("durability", choices=["power", "system"])
    parser.add_argument("directory", type=Path)
    chosen = parser.parse_args()
    end_on_signals()
    try:
        with (
            start(chosen.server, chosen.durability, chosen.directory) as running,
            contextlib.suppress(KeyboardInterrupt),
        ):
            print(
                f"{running.version}, {running.settings}, pids {running.pids()}\n{running.url}",
                flush=True,
            )
            sys.stdin.readline()
    except (Missing, Failed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
