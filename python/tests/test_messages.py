"""Sending, receiving, settling."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flockq

VALUES: list[Any] = [
    None,
    True,
    0,
    -1.5,
    2**80,
    "",
    "caf\u00e9 \U0001f4ec \u0000 \u2028",
    [],
    {},
    {"to": "deacon/", "n": [1, [2, {"three": None}]]},
]


@pytest.mark.parametrize("value", VALUES)
def test_what_is_sent_is_what_is_received(inbound: flockq.Queue, value: Any) -> None:
    sent = inbound.send(value)
    delivery = inbound.receive()
    assert delivery is not None
    assert (delivery.id, delivery.message, delivery.attempts) == (sent, value, 1)
    assert delivery.priority == "normal"
    assert delivery.queued_at
    delivery.ack()
    assert len(inbound) == 0


def test_bytes_are_kept_as_they_are(inbound: flockq.Queue) -> None:
    text = b'{ "n": 1.50e+01,\t"big": 123456789012345678901234567890, "esc": "\\u00e9" }'
    inbound.send_bytes(text)
    delivery = inbound.receive()
    assert delivery is not None
    assert delivery.raw == text
    assert delivery.message["n"] == 15.0
    assert delivery.message is delivery.message


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1, 2}, object(), "\ud800", {"\udfff": 1}, b"bytes"], ids=repr
)
def test_what_is_no_json_is_refused_and_nothing_is_written(directory: Path, inbound: flockq.Queue, value: Any) -> None:
    with pytest.raises(flockq.InvalidJson):
        inbound.send(value)
    with pytest.raises(flockq.InvalidJson):
        inbound.send_many([1, value])
    assert not (directory / "inbound.json").exists()


@pytest.mark.parametrize("text", [b"", b"{", b"nul", b"1 2", b'"\xff"', b'"\\ud800"', b"NaN", b"[" * 200 + b"]" * 200])
def test_encoded_text_that_is_no_json_is_refused(inbound: flockq.Queue, text: bytes) -> None:
    with pytest.raises(flockq.InvalidJson):
        inbound.send_bytes(text)
    assert len(inbound) == 0


def test_a_list_that_holds_itself_or_is_too_deep_is_refused(inbound: flockq.Queue) -> None:
    endless: list[Any] = []
    endless.append(endless)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (endless, deep):
        with pytest.raises(flockq.InvalidJson):
            inbound.send(value)


def test_a_payload_that_is_too_large_is_refused(inbound: flockq.Queue) -> None:
    with pytest.raises(flockq.TooLarge):
        inbound.send("x" * (16 * 1024 * 1024))
    assert len(inbound) == 0


def test_a_number_that_python_cannot_hold_is_still_in_raw(inbound: flockq.Queue) -> None:
    inbound.send_bytes(b"1" * 5000)
    delivery = inbound.receive()
    assert delivery is not None
    with pytest.raises(flockq.InvalidJson, match="raw"):
        _ = delivery.message
    assert delivery.raw == b"1" * 5000


def test_priority_and_age_give_the_order(inbound: flockq.Queue) -> None:
    for number, priority in enumerate(["low", None, "urgent", "high", "normal", "urgent"]):
        inbound.send(number, priority=priority)
    assert [delivery.message for delivery in inbound.receive_many(10)] == [2, 5, 3, 1, 4, 0]


def test_a_delayed_message_comes_when_it_is_due(inbound: flockq.Queue) -> None:
    inbound.send("later", delay=timedelta(milliseconds=300))
    assert inbound.receive() is None
    assert inbound.stats().delayed == 1
    started = time.monotonic()
    delivery = inbound.receive(wait=5)
    assert delivery is not None
    assert 0.1 < time.monotonic() - started < 4


def test_an_id_is_unique_and_dedup_makes_it_the_same(inbound: flockq.Queue) -> None:
    assert inbound.send(1, id="a") == "a"
    with pytest.raises(flockq.AlreadyExists):
        inbound.send(2, id="a")
    assert inbound.send(3, id="a", dedup=True) == "a"
    assert [envelope.message for envelope in inbound.get("a")] == [1]


def test_every_durability_sends(directory: Path, inbound: flockq.Queue) -> None:
    for sync in ("full", "normal", "off"):
        inbound.send(sync, sync=sync)
        with flockq.Spool(directory, sync=sync) as other:
            other.queue("inbound").send(sync)
    inbound.sync()
    assert len(inbound) == 6


def test_many_are_sent_in_order_or_not_at_all(inbound: flockq.Queue) -> None:
    ids = inbound.send_many({"n": n} for n in range(50))
    assert len(set(ids)) == 50
    assert [delivery.id for delivery in inbound.receive_many(50)] == ids
    assert inbound.send_many([]) == []


def test_pop_takes_for_good(inbound: flockq.Queue) -> None:
    assert inbound.pop() is None
    sent = inbound.send({"to": "deacon/"})
    popped = inbound.pop()
    assert popped is not None
    assert (popped.id, popped.message) == (sent, {"to": "deacon/"})
    assert len(inbound) == 0


def test_a_nacked_message_comes_again_with_its_reason(inbound: flockq.Queue) -> None:
    inbound.send(1)
    delivery = inbound.receive()
    assert delivery is not None
    delivery.nack("no such agent")
    assert inbound.peek()[0].error == "no such agent"
    again = inbound.receive()
    assert again is not None
    assert again.attempts == 2
    again.nack(delay=60)
    assert inbound.receive() is None
    assert inbound.list("delayed").envelopes[0].not_before


def test_a_lease_ends_and_its_receipt_is_stale(inbound: flockq.Queue) -> None:
    inbound.send(1)
    first = inbound.receive(lease=0.2)
    assert first is not None
    second = inbound.receive(wait=5)
    assert second is not None
    assert second.attempts == 2
    settles: list[Callable[[], object]] = [
        first.ack,
        first.nack,
        first.detach,
        lambda: first.extend(1),
        lambda: inbound.ack(first.receipt),
    ]
    for settle in settles:
        with pytest.raises(flockq.StaleReceipt):
            settle()
    second.ack()


def test_an_extended_lease_goes_on(inbound: flockq.Queue) -> None:
    inbound.send(1)
    delivery = inbound.receive(lease=0.3)
    assert delivery is not None
    delivery.extend(timedelta(minutes=1))
    assert inbound.receive(wait=0.6) is None
    delivery.ack()


def test_a_list_of_receipts_has_a_result_for_each(inbound: flockq.Queue) -> None:
    inbound.send_many(range(4))
    one, two, three, four = inbound.receive_many(4)
    one.ack()
    results = inbound.ack([one, two.receipt, three, "nonsense", three])
    assert [type(result) for result in results] == [
        flockq.StaleReceipt,
        type(None),
        type(None),
        flockq.InvalidArgument,
        flockq.StaleReceipt,
    ]
    assert inbound.extend([four], 60) == [None]
    assert inbound.nack([four], "later", 60) == [None]
    assert inbound.ack([]) == []
    assert len(inbound) == 1


def test_a_single_receipt_raises(inbound: flockq.Queue) -> None:
    inbound.send(1)
    delivery = inbound.receive()
    assert delivery is not None
    inbound.extend(delivery, 60)
    inbound.ack(delivery.receipt)
    again_and_again: list[Callable[[], None]] = [
        lambda: inbound.ack(delivery),
        lambda: inbound.nack(delivery),
        lambda: inbound.extend(delivery, 1),
    ]
    for again in again_and_again:
        with pytest.raises(flockq.StaleReceipt):
            again()


def test_a_with_block_acks_at_its_end(inbound: flockq.Queue) -> None:
    inbound.send(1)
    delivery = inbound.receive()
    assert delivery is not None
    with delivery as same:
        assert same is delivery
        assert len(inbound) == 1
    assert len(inbound) == 0


def test_a_with_block_gives_back_with_the_text_of_what_escapes(inbound: flockq.Queue) -> None:
    inbound.send(1)
    for error, text in [
        (ValueError("no such agent"), "no such agent"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ValueError("half \ud800"), "half ?"),
    ]:
        delivery = inbound.receive()
        assert delivery is not None
        with pytest.raises(type(error)) as raised, delivery:
            raise error
        assert raised.value is error
        assert inbound.peek()[0].error == text


def test_a_with_block_lets_alone_what_was_settled_in_it(inbound: flockq.Queue) -> None:
    for settle in ("ack", "nack", "by the queue", "detach"):
        inbound.purge()
        inbound.send(settle)
        delivery = inbound.receive()
        assert delivery is not None
        with delivery:
            if settle == "by the queue":
                inbound.ack([delivery])
            else:
                getattr(delivery, settle)()
        assert [envelope.state for envelope in inbound.list().envelopes] == {
            "nack": ["ready"],
            "detach": ["leased"],
        }.get(settle, [])


def fail_with_a_lost_lease(inbound: flockq.Queue) -> list[str]:
    """Leave a block by an exception when the lease is over; the notes of the exception."""
    inbound.send(1)
    delivery = inbound.receive(lease=0.05)
    assert delivery is not None
    with pytest.raises(ZeroDivisionError) as raised, delivery:
        time.sleep(0.1)
        _ = 1 / 0
    notes: list[str] = getattr(raised.value, "__notes__", [])
    return notes


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes")
def test_what_escapes_a_with_block_is_not_hidden_by_a_lost_lease_and_tells_of_it(inbound: flockq.Queue) -> None:
    (note,) = fail_with_a_lost_lease(inbound)
    assert "giving back the message" in note
    assert "lease" in note


def test_before_python_3_11_a_lost_lease_is_a_warning(inbound: flockq.Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flockq._message.sys", SimpleNamespace(version_info=(3, 10)))
    with pytest.warns(RuntimeWarning, match="giving back the message .* said: .*lease"):
        assert fail_with_a_lost_lease(inbound) == []


def test_what_could_not_be_moved_is_said_to_be_given_back_all_the_same(
    directory: Path, spool: flockq.Spool, inbound: flockq.Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flockq._message.sys", SimpleNamespace(version_info=(3, 10)))
    spool.set_config("inbound.retry_queue", "outbound")
    inbound.send(1)
    (directory / "outbound.json").write_text("[1,")
    delivery = inbound.receive()
    assert delivery is not None
    with (
        pytest.warns(RuntimeWarning, match="giving back the message .* said: given back, and kept in queue inbound"),
        pytest.raises(ZeroDivisionError),
        delivery,
    ):
        _ = 1 / 0


def test_closing_gives_leases_back_and_leaves_detached_ones(spool: flockq.Spool, inbound: flockq.Queue) -> None:
    with spool.queue("inbound") as other:
        inbound.send_many([1, 2, 3])
        mine, handed = other.receive_many(2)
        handed.detach()
        detached = other.receive(detached=True)
        assert detached is not None
    envelopes = inbound.list().envelopes
    assert [(envelope.id, envelope.state) for envelope in envelopes] == [
        (mine.id, "ready"),
        (handed.id, "leased"),
        (detached.id, "leased"),
    ]
    assert [envelope.consumer for envelope in envelopes] == [None, None, None]
    inbound.ack(handed.receipt)


def test_a_receipt_works_from_another_handle(directory: Path, inbound: flockq.Queue) -> None:
    inbound.send(1)
    delivery = inbound.receive()
    assert delivery is not None
    with flockq.Spool(directory) as other:
        other.queue("inbound").ack(delivery.receipt)
    assert json.loads((directory / "inbound.json").read_text()) == []
