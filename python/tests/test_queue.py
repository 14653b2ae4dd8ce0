"""Looking at a queue, and changing it as a whole."""

from __future__ import annotations

import json
import math
import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from support import files

import flockq


def test_a_queue_without_a_file_is_empty(directory: Path, spool: flockq.Spool, inbound: flockq.Queue) -> None:
    assert (len(inbound), inbound.load(), inbound.peek(), inbound.get("x")) == (0, [], [], [])
    assert inbound.list() == flockq.Page([], None)
    stats = inbound.stats()
    assert stats[:8] == (0, 0, 0, 0, 0, None, 0, 0)
    assert set(stats.counters) == {0}
    assert sum(stats.lock.waits) == stats.lock.contended
    assert spool.queues() == []
    assert not (directory / "inbound.json").exists()
    assert inbound, "a handle is true, however many messages there are"


def test_a_list_comes_in_pages_and_by_state(inbound: flockq.Queue) -> None:
    ids = inbound.send_many(range(25))
    inbound.receive()
    inbound.send("later", id="later", delay=3600)
    sizes: list[int] = []
    seen: list[str | None] = []
    cursor = None
    while True:
        page = inbound.list(limit=10, cursor=cursor)
        sizes.append(len(page.envelopes))
        seen += [envelope.id for envelope in page.envelopes]
        cursor = page.cursor
        if cursor is None:
            break
    assert sizes == [10, 10, 6]
    assert seen == [*ids, "later"]
    assert [envelope.id for envelope in inbound.list("leased").envelopes] == ids[:1]
    assert [envelope.id for envelope in inbound.list("delayed").envelopes] == ["later"]
    assert len(inbound.list("ready").envelopes) == 24
    stats = inbound.stats()
    assert (stats.messages, stats.ready, stats.delayed, stats.leased) == (26, 24, 1, 1)
    assert stats.bytes > 0
    assert stats.oldest_age is not None
    assert 0 <= stats.oldest_age < 60


def test_an_envelope_shows_everything(inbound: flockq.Queue) -> None:
    sent = inbound.send({"to": "deacon/"}, priority="high")
    delivery = inbound.receive(lease=60)
    assert delivery is not None
    delivery.nack("busy", 60)
    (envelope,) = inbound.get(sent)
    assert (envelope.id, envelope.state, envelope.priority) == (sent, "delayed", "high")
    assert (envelope.attempts, envelope.error) == (1, "busy")
    assert envelope.queued_at
    assert envelope.last_attempt
    assert envelope.not_before
    assert envelope.lease_until is None
    assert json.loads(envelope.text)["message"] == envelope.message == {"to": "deacon/"}
    assert sent in repr(envelope)


def test_an_update_changes_what_it_names(inbound: flockq.Queue) -> None:
    inbound.send(1, id="a", delay=3600, ttl=7200)
    assert inbound.update_message("a", message=None) == 1
    (now,) = inbound.get("a")
    assert (now.message, now.state, now.priority) == (None, "delayed", "normal")
    assert now.expires
    assert inbound.update_message("a", priority="urgent", delay=0, ttl=math.inf) == 1
    (now,) = inbound.get("a")
    assert (now.message, now.state, now.priority, now.expires) == (None, "ready", "urgent", None)
    assert inbound.update_message("nobody", delay=timedelta(hours=1)) == 0
    with pytest.raises(flockq.InvalidArgument, match="names nothing"):
        inbound.update_message("a")
    with pytest.raises(flockq.InvalidJson):
        inbound.update_message("a", message={1})
    with pytest.raises(flockq.InvalidArgument):
        inbound.update_message("a", priority="soon")


def test_remove_and_purge_say_how_many(inbound: flockq.Queue) -> None:
    one, two, three, *_ = inbound.send_many(range(6))
    assert inbound.remove(one) == 1
    assert inbound.remove([two, three, "nobody"]) == 2
    inbound.receive()
    assert inbound.purge("leased") == 1
    assert inbound.purge() == 2
    assert inbound.purge() == 0


def test_an_update_keeps_the_bytes_of_what_it_does_not_touch(directory: Path, inbound: flockq.Queue) -> None:
    kept = '{ "message": {"big": 123456789012345678901, "tiny": 1e-7, "esc": "\\u003c"}, "odd": [ 1 ] }'
    (directory / "inbound.json").write_text(f'[{kept}, {{"message": 2}}, 7]')
    with inbound.update() as array:
        assert array[2] == 7
        array[1]["attempts"] = 4
        array.insert(0, {"message": {"id": "new"}})
    text = (directory / "inbound.json").read_text()
    assert kept in text
    array = json.loads(text)
    assert (array[0]["message"], array[2]["attempts"], array[3]) == ({"id": "new"}, 4, 7)


def test_an_update_that_an_exception_leaves_changes_nothing(directory: Path, inbound: flockq.Queue) -> None:
    inbound.send(1)
    before = (directory / "inbound.json").read_bytes()
    with pytest.raises(ZeroDivisionError), inbound.update() as array:
        array.clear()
        _ = 1 / 0
    with pytest.raises(flockq.InvalidJson), inbound.update() as array:
        array.append(object())
    assert (directory / "inbound.json").read_bytes() == before
    inbound.send(2)
    assert len(inbound) == 2


def test_save_keeps_the_leases_of_others(inbound: flockq.Queue) -> None:
    inbound.send("mine", id="m")
    array = inbound.load()
    delivery = inbound.receive(lease=60)
    assert delivery is not None
    array.append({"message": {"id": "another"}})
    inbound.save(array)
    assert inbound.stats().leased == 1
    delivery.ack()
    assert [envelope.id for envelope in inbound.list().envelopes] == ["another"]


def test_three_queues_at_once_and_nothing_else_in_the_directory(directory: Path, spool: flockq.Spool) -> None:
    names = ["dead-letter", "inbound", "outbound"]
    queues = [spool.queue(name) for name in names]
    for number in range(20):
        for queue in queues:
            queue.send({"queue": queue.name, "number": number})
    for queue in queues:
        assert [envelope.message["number"] for envelope in queue.peek(50)] == list(range(20))
        assert {envelope.message["queue"] for envelope in queue.peek(50)} == {queue.name}
    assert spool.queues() == names
    assert files(directory) == [".gastown", *(f"{name}.json" for name in names)]


def test_init_writes_the_configuration_once(tmp_path: Path) -> None:
    flockq.Spool.init(tmp_path / "new", plain=True, sync="normal")
    flockq.Spool.init(tmp_path / "new", plain=True, sync="normal")
    written = json.loads((tmp_path / "new" / "flockq.json").read_text())
    assert (written["version"], written["default"]) == (1, {"mode": "plain", "sync": "normal"})
    with pytest.raises(flockq.AlreadyExists):
        flockq.Spool.init(tmp_path / "new", plain=True, sync="off")
    assert flockq.Spool(tmp_path / "new").path == tmp_path / "new"


def test_a_lock_excludes_the_queue_whose_file_it_is(directory: Path, spool: flockq.Spool) -> None:
    impatient = flockq.Spool(directory, lock_wait=0).queue("inbound")
    lock = flockq.FileLock(directory / "inbound.json", timeout=1)
    with lock, pytest.raises(flockq.WouldDeadlock):
        impatient.send(1)
    assert lock.waited < 1
    impatient.send(1)
    lock.release()


def test_shared_locks_are_held_together_and_keep_exclusive_ones_out(directory: Path) -> None:
    path = directory / "state.json"
    shared = flockq.FileLock(path, shared=True)
    told: list[str] = []

    def another_thread() -> None:
        with flockq.FileLock(path, shared=True, timeout=0):
            told.append("shared")
        with pytest.raises(flockq.LockTimeout):
            flockq.FileLock(path, timeout=0).acquire()
        told.append("kept out")
        with shared:
            told.append("the same object")

    with shared:
        with pytest.raises(flockq.WouldDeadlock):
            flockq.FileLock(path, timeout=0).acquire()
        thread = threading.Thread(target=another_thread)
        thread.start()
        thread.join()
    assert told == ["shared", "kept out", "the same object"]
    with flockq.FileLock(path, timeout=0), pytest.raises(flockq.WouldDeadlock):
        flockq.FileLock(path, timeout=0).acquire()
    assert not path.exists()


def test_write_atomic_replaces_the_whole_and_keeps_the_mode(directory: Path) -> None:
    path = directory / "state.json"
    flockq.write_atomic(path, b"one")
    path.chmod(0o640)
    flockq.write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(directory) == ["state.json"]
    with pytest.raises(flockq.NotFound):
        flockq.write_atomic(directory / "missing" / "state.json", b"")


def test_what_the_wait_of_a_lock_took_is_told(directory: Path) -> None:
    lock = flockq.FileLock(directory / "state.json")
    started = time.monotonic()
    with lock:
        took = time.monotonic() - started
    assert 0 <= lock.waited <= took
