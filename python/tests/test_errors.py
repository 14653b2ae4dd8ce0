"""The exceptions."""

from __future__ import annotations

import errno
import math
import pickle
import threading
from pathlib import Path

import pytest

import flockq
from flockq import _errors, _flockq

RESEMBLES = {
    "InvalidArgument": ValueError,
    "Io": OSError,
    "LockTimeout": TimeoutError,
    "Interrupted": InterruptedError,
    "NotFound": FileNotFoundError,
    "AlreadyExists": FileExistsError,
    "Corrupt": ValueError,
    "Version": NotImplementedError,
    "TooLarge": ValueError,
    "InvalidJson": ValueError,
    "StaleReceipt": LookupError,
    "Full": BufferError,
    "Closed": ValueError,
    "Poisoned": RuntimeError,
    "OutcomeUnknown": OSError,
    "WouldDeadlock": RuntimeError,
    "UnsafeFilesystem": OSError,
    "Internal": RuntimeError,
}


def test_the_exceptions_are_the_core_s_list_of_errors() -> None:
    ours = sorted((kind.code, kind.kind) for kind in _errors._KINDS.values())
    assert ours == sorted(_flockq._error_table())
    assert {name for _, name in ours} == set(RESEMBLES)


@pytest.mark.parametrize(("name", "built_in"), RESEMBLES.items())
def test_every_exception_is_public_and_also_the_built_in_that_it_resembles(name: str, built_in: type) -> None:
    kind = getattr(flockq, name)
    assert issubclass(kind, flockq.FlockqError)
    assert issubclass(kind, built_in)
    assert name in flockq.__all__
    made = _errors._make(name, "one line", path="a/b", offset=3, errno=28)
    assert type(made) is kind
    assert (str(made), made.kind, made.path, made.offset, made.errno) == ("one line", name, "a/b", 3, 28)
    if isinstance(made, OSError):
        assert made.filename == "a/b"


@pytest.mark.parametrize("name", RESEMBLES)
def test_every_exception_crosses_processes(name: str) -> None:
    made = _errors._make(name, "one line", path="a", offset=None, errno=5)
    again = pickle.loads(pickle.dumps(made))
    assert type(again) is type(made)
    assert (str(again), again.path, again.errno) == ("one line", "a", 5)
    if isinstance(again, OSError):
        assert again.filename == "a"


def test_a_missing_directory_is_not_found_and_says_which(tmp_path: Path) -> None:
    with pytest.raises(flockq.NotFound) as raised:
        flockq.Spool(tmp_path / "missing")
    assert raised.value.path == raised.value.filename == str(tmp_path / "missing")
    assert "\n" not in str(raised.value)
    assert raised.value.errno == errno.ENOENT
    with pytest.raises(FileNotFoundError):
        flockq.Spool(tmp_path / "missing")


def test_a_damaged_file_is_corrupt_says_where_and_stays_as_it_is(directory: Path, inbound: flockq.Queue) -> None:
    (directory / "inbound.json").write_bytes(b'[{"message": 1},')
    for look in (inbound.load, inbound.pop, inbound.stats, lambda: inbound.send(1), lambda: len(inbound)):
        with pytest.raises(flockq.Corrupt) as raised:
            look()
        assert raised.value.path == str(directory / "inbound.json")
        assert raised.value.offset is not None
    assert (directory / "inbound.json").read_bytes() == b'[{"message": 1},'


def test_what_the_system_refuses_is_io_with_its_number_and_file(directory: Path, inbound: flockq.Queue) -> None:
    (directory / "inbound.json").mkdir()
    with pytest.raises(flockq.Io) as raised:
        inbound.send(1)
    assert raised.value.filename == str(directory / "inbound.json")
    assert isinstance(raised.value.errno, int)


def test_a_newer_configuration_is_a_version_error(directory: Path) -> None:
    (directory / "flockq.json").write_text('{"version": 2}')
    with pytest.raises(flockq.Version):
        flockq.Spool(directory)


def test_a_file_system_without_locks_is_refused() -> None:
    with pytest.raises(flockq.UnsafeFilesystem):
        flockq.Spool("/proc")


@pytest.mark.parametrize("name", ["", "a/b", "../a", "flockq", ".hidden", "x" * 101, "inbound.json.lock"])
def test_a_name_that_is_no_queue_s_is_an_invalid_argument(spool: flockq.Spool, name: str) -> None:
    with pytest.raises(flockq.InvalidArgument):
        spool.queue(name)


def test_options_that_make_no_sense_are_invalid_arguments(directory: Path, inbound: flockq.Queue) -> None:
    for wrong in (-1, math.nan, -math.inf):
        with pytest.raises(flockq.InvalidArgument, match="0 or more"):
            inbound.send(1, delay=wrong)
        with pytest.raises(flockq.InvalidArgument, match="0 or more"):
            inbound.receive(wait=wrong)
        with pytest.raises(flockq.InvalidArgument, match="0 or more"):
            flockq.Spool(directory, lock_wait=wrong)
    with pytest.raises(flockq.InvalidArgument, match="an end"):
        inbound.receive(lease=math.inf)
    with pytest.raises(flockq.InvalidArgument):
        inbound.send(1, priority="important")
    with pytest.raises(flockq.InvalidArgument):
        inbound.send(1, sync="always")
    with pytest.raises(flockq.InvalidArgument):
        inbound.list("lost")
    with pytest.raises(flockq.InvalidArgument):
        flockq.Spool(directory, sync="always")
    with pytest.raises(flockq.InvalidArgument):
        inbound.ack("no receipt")
    for count in (-1, 2**64):
        with pytest.raises(flockq.InvalidArgument, match="max is"):
            inbound.receive_many(count)
        with pytest.raises(flockq.InvalidArgument, match="count is"):
            inbound.peek(count)
        with pytest.raises(flockq.InvalidArgument, match="limit is"):
            inbound.list(limit=count)
        with pytest.raises(flockq.InvalidArgument, match="limit is"):
            inbound.move_to("other", limit=count)
    with pytest.raises(TypeError, match="seconds"):
        inbound.send(1, delay="soon")  # type: ignore[arg-type]
    assert not (directory / "inbound.json").exists()


def test_closed_handles_say_so_and_may_be_closed_again(directory: Path) -> None:
    spool = flockq.Spool(directory)
    queue, other = spool.queue("inbound"), spool.queue("inbound")
    queue.close()
    queue.close()
    with pytest.raises(flockq.Closed):
        queue.send(1)
    assert len(other) == 0
    spool.close()
    spool.close()
    with pytest.raises(flockq.Closed):
        len(other)
    with pytest.raises(flockq.Closed):
        spool.queues()


def test_whoever_waits_for_himself_is_told(inbound: flockq.Queue) -> None:
    with inbound.update(), pytest.raises(flockq.WouldDeadlock):
        inbound.send(1)
    assert inbound.send(1)


def test_a_lock_that_somebody_keeps_times_out_and_is_not_an_empty_queue(directory: Path) -> None:
    queue = flockq.Spool(directory, lock_wait=0).queue("inbound")
    queue.send(1)
    refused: list[BaseException] = []

    def receive() -> None:
        try:
            queue.receive()
        except flockq.FlockqError as error:
            refused.append(error)

    with queue.update():
        thread = threading.Thread(target=receive)
        thread.start()
        thread.join()
    assert [type(error) for error in refused] == [flockq.LockTimeout]
    assert len(queue) == 1
