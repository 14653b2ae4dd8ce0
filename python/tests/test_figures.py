"""Figures, the doctor, room in a full queue, and ids that are not sent twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import flockq


def test_what_is_done_is_counted(inbound: flockq.Queue) -> None:
    inbound.send_many(range(3))
    with pytest.raises(ValueError, match="no session"):
        fail(inbound)
    delivery = inbound.receive()
    assert delivery is not None
    delivery.ack()
    stats = inbound.stats()
    assert (stats.messages, stats.foreign_writes) == (2, 0)
    counted = {name: count for name, count in stats.counters._asdict().items() if count}
    assert counted == {"sent": 3, "received": 2, "acked": 1, "nacked": 1, "redelivered_nacked": 1}
    assert stats.lock.acquired >= 4
    assert stats.lock.wait_max <= stats.lock.wait


def fail(inbound: flockq.Queue) -> None:
    delivery = inbound.receive()
    assert delivery is not None
    with delivery:
        raise ValueError("no session")


def test_metrics_are_what_prometheus_reads(directory: Path, spool: flockq.Spool, inbound: flockq.Queue) -> None:
    inbound.send(1)
    text = spool.metrics()
    assert f'flockq_sent_total{{spool="{directory}",queue="inbound"}} 1\n' in text
    target = directory / "flockq.prom"
    spool.write_metrics(target)
    written = target.read_text()
    for line in written.splitlines():
        assert line.startswith(("# HELP flockq_", "# TYPE flockq_")) or float(line.rpartition(" ")[2]) >= 0
    names = [line.split()[2] for line in written.splitlines() if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) > 15


def test_the_doctor_says_what_is_wrong(directory: Path, spool: flockq.Spool, inbound: flockq.Queue) -> None:
    inbound.send(1)
    assert spool.doctor() == []
    (directory / "broken.json").write_text("[1,")
    (advice,) = spool.doctor()
    assert (advice.severity, advice.about, advice.command) == ("problem", "broken", "flockq repair broken")
    assert "broken.json" in advice.text


def test_a_full_queue_refuses_or_waits_for_room(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    spool.set_config("inbound.max_messages", 1)
    inbound.send("first")
    with pytest.raises(flockq.Full, match="max_messages"):
        inbound.send("second")
    with pytest.raises(flockq.Full):
        inbound.send_many(["second"], wait=0.05)
    timer = threading.Timer(0.1, inbound.pop)
    timer.start()
    inbound.send("second", wait=20)
    timer.join()
    assert [envelope.message for envelope in inbound.peek(2)] == ["second"]


def test_options_of_many_are_those_of_each(inbound: flockq.Queue) -> None:
    inbound.send_many(["a", "b"], priority="urgent", ttl=60)
    inbound.send_many(["c"], delay=60)
    assert [(envelope.message, envelope.priority) for envelope in inbound.peek(3)] == [("a", "urgent"), ("b", "urgent")]
    assert inbound.peek()[0].expires is not None
    assert inbound.stats().delayed == 1


def test_an_id_that_was_done_is_not_sent_again_within_the_window(spool: flockq.Spool) -> None:
    spool.set_config("jobs.dedup_window", "1h")
    jobs = spool.queue("jobs")
    jobs.convert("journal")
    assert jobs.send(1, id="job-1", dedup=True) == "job-1"
    assert jobs.pop() is not None
    assert jobs.send(1, id="job-1", dedup=True) == "job-1"
    assert len(jobs) == 0


def test_a_message_tells_its_errors(inbound: flockq.Queue, spool: flockq.Spool) -> None:
    spool.set_config("inbound.retry_queue", "outbound")
    inbound.send(1)
    delivery = inbound.receive()
    assert delivery is not None
    delivery.nack("no session")
    (envelope,) = spool.queue("outbound").peek()
    assert [error["error"] for error in envelope.errors] == ["no session"]
    assert (envelope.origin, envelope.error) == ("inbound", "no session")
