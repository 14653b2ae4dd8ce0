"""The mail flow: policies, moves, workers."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

import flockq


@pytest.fixture
def mail(directory: Path) -> flockq.Spool:
    """Make a mail spool in which what failed comes back soon."""
    spool = flockq.Spool.mail(directory, sync="off")
    spool.set_config("inbound.backoff", "20ms")
    return spool


def test_the_configuration_is_shown_and_changed(mail: flockq.Spool) -> None:
    assert mail.config()["queues"]["inbound"]["attempts"] == 3
    mail.set_config("inbound.attempts", 5)
    assert mail.config()["queues"]["inbound"]["attempts"] == 5
    mail.set_config("inbound.attempts", None)
    assert mail.config()["queues"]["inbound"]["attempts"] is None
    with pytest.raises(flockq.InvalidArgument, match="backoff_factor"):
        mail.set_config("inbound.colour", "red")


def test_a_worker_settles_what_it_is_given_and_what_fails_is_given_up(mail: flockq.Spool) -> None:
    inbound, dead = mail.queue("inbound"), mail.queue("dead-letter")
    inbound.send_many([{"id": f"m{number}", "bad": number == 2} for number in range(5)])
    seen: list[tuple[str, int]] = []

    def handle(delivery: flockq.Delivery) -> None:
        seen.append((delivery.id, delivery.attempts))
        if delivery.message["bad"]:
            raise ValueError("no session")

    worker = threading.Thread(target=inbound.work, args=(handle,))
    worker.start()
    deadline = time.monotonic() + 20
    while len(dead) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    inbound.interrupt()
    worker.join(20)
    assert not worker.is_alive()
    assert sorted(seen) == [("m0", 1), ("m1", 1), ("m2", 1), ("m2", 2), ("m2", 3), ("m3", 1), ("m4", 1)]
    assert dead.peek()[0].error == "no session"
    assert dead.redrive(error="disk") == []
    assert dead.redrive(dry_run=True) == [("m2", "inbound")]
    assert dead.redrive(ids=["m2"]) == [("m2", "inbound")]
    assert inbound.move_to("archive", limit=1) == ["m2"]
    assert len(mail.queue("archive")) == 1


class WithoutThreads:
    """What is behind a queue, where the system refuses the thread of a keeper."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def keep(self, receipt: str, lease: float | None) -> None:
        raise flockq.Io("a keeper needs a thread")


def test_a_keeper_that_cannot_be_had_is_no_messages_fault(mail: flockq.Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    inbound = mail.queue("inbound")
    inbound.send("1")
    monkeypatch.setattr(inbound, "_inner", WithoutThreads(inbound._inner))
    with pytest.raises(flockq.Io, match="needs a thread"):
        inbound.work(lambda delivery: pytest.fail("it is not kept"))
    monkeypatch.undo()
    (envelope,) = mail.queue("inbound").peek()
    assert (envelope.attempts, envelope.error) == (1, None)


def test_an_interrupt_ends_every_worker_of_a_handle(inbound: flockq.Queue) -> None:
    works, go_on = threading.Event(), threading.Event()

    def handle(delivery: flockq.Delivery) -> None:
        works.set()
        go_on.wait(20)

    inbound.send("1")
    workers = [threading.Thread(target=inbound.work, args=(handle,), daemon=True) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert works.wait(20)
    # Until the other one sleeps.
    time.sleep(0.2)
    inbound.interrupt()
    go_on.set()
    for worker in workers:
        worker.join(20)
    assert [worker.is_alive() for worker in workers] == [False, False]
    # The interrupt is used up.
    inbound.send("2")
    assert inbound.receive(wait=20) is not None


def test_a_lease_of_no_time_is_refused(inbound: flockq.Queue) -> None:
    inbound.send("1")
    with pytest.raises(flockq.InvalidArgument, match="lease"):
        inbound.receive(lease=0)
    delivery = inbound.receive()
    assert delivery is not None
    with pytest.raises(flockq.InvalidArgument, match="lease"):
        delivery.extend(0)
    with pytest.raises(flockq.InvalidArgument, match="lease"), inbound.keep(delivery, lease=0):
        pass
    delivery.ack()


def test_a_lease_is_kept_while_somebody_works(mail: flockq.Spool) -> None:
    inbound = mail.queue("inbound")
    inbound.send("long")
    delivery = inbound.receive(lease=0.3)
    assert delivery is not None
    with inbound.keep(delivery, lease=0.3):
        time.sleep(0.8)
        assert inbound.receive() is None
    delivery.ack()
    inbound.send("lost")
    delivery = inbound.receive(lease=0.2)
    assert delivery is not None
    time.sleep(0.3)
    with pytest.raises(flockq.StaleReceipt):
        delivery.ack()


def test_limits_and_times_to_live(mail: flockq.Spool) -> None:
    inbound = mail.queue("inbound")
    mail.set_config("inbound.max_messages", 1)
    inbound.send("short", ttl=0.02)
    with pytest.raises(flockq.Full, match="max_messages"):
        inbound.send("more")
    time.sleep(0.05)
    assert inbound.pop() is None
    assert "time to live" in str(mail.queue("dead-letter").peek()[0].error)


def test_an_empty_list_of_ids_names_no_message(inbound: flockq.Queue) -> None:
    inbound.send("1", id="m1")
    assert inbound.move_to("archive", ids=[]) == []
    assert inbound.move_to("archive", ids="m1") == ["m1"]


def test_a_handler_that_is_for_an_event_loop_is_refused_and_takes_nothing(inbound: flockq.Queue) -> None:
    async def handler(delivery: flockq.Delivery) -> None:
        raise AssertionError(delivery)

    inbound.send(1)
    with pytest.raises(TypeError, match="receive_async"):
        inbound.work(handler)
    (left,) = inbound.peek()
    assert (left.attempts, left.error) == (1, None)
