"""What the page says of results."""

from __future__ import annotations

from typing import Any

from figures import Figures
from plan import PEERS, Peer
from report import Page


def peer(key: str) -> Peer:
    """Return the peer of this key."""
    return next(one for one in PEERS if one.key == key)


def figures(**cells: Any) -> Figures:
    """Return results at ``power``, by peer and work."""
    return Figures({"machine": {}, "peers": {}, "cells": {key: {"power": works} for key, works in cells.items()}})


def rounds(*values: float) -> list[dict[str, float]]:
    """Return rounds that found this of sends and receives alike."""
    return [{"send": value, "receive": value} for value in values]


def test_a_peer_that_syncs_its_acks_stands_beside_the_flockq_that_does() -> None:
    found = figures(
        **{
            "flockq/rust": {"alone": rounds(900), "four": rounds(900)},
            "flockq-full/rust": {"alone": rounds(300), "four": rounds(300)},
            "sqlite/rust": {"alone": rounds(100), "four": rounds(100)},
            "sqlite-sends/rust": {"alone": rounds(100), "four": rounds(100)},
        }
    )
    for key, ratios in (("sqlite/rust", (9, 3, 3, 3)), ("sqlite-sends/rust", (9, 9, 9, 9))):
        asked = [(work, what) for work in ("alone", "four") for what in ("send", "receive")]
        assert tuple(found.ratio(peer(key), "power", *one) for one in asked) == ratios
    assert found.ratio(peer("flockq-full/rust"), "power", "alone", "receive") == 3


def test_a_round_in_which_nothing_came_counts_and_one_that_failed_is_told() -> None:
    failed: list[dict[str, Any]] = [{"error": "it ended"}]
    found = figures(
        **{
            "flockq/rust": {"alone": rounds(100, 100, 100)},
            "sqlite/rust": {"alone": [*rounds(0, 50), *failed]},
        }
    )
    sqlite = peer("sqlite/rust")
    rate = found.rate(sqlite, "power", "alone", "send")
    assert rate is not None and (rate.least, rate.median) == (0, 25)
    assert found.failed(sqlite, "power", "alone", "send") == (1, 3)
    assert found.errors(sqlite, "power") == ["SQLite (rusqlite), alone at power: ended with `it ended`"]


def test_a_page_is_made_of_whatever_there_is(tmp_path: Any) -> None:
    machine = {
        "date": "2026-01-01",
        "commit": "0123456789",
        "cores": 2,
        "processor": "?",
        "memory_gib": 8,
        "kernel": "6",
        "file_system": "ext4",
        "sync_us": 1000.0,
        "rust": "1",
        "go": "1",
        "load": 0.1,
    }
    works = {
        "depth": [{"0": [{"send_us": 1.0, "receive_us": 2.0, "done": 1}], "1000": [{"reached": 5, "wanted": 1000}]}],
        "wakeup": [{"us": [1.0], "whole_us": [2.0], "wanted": 1}, {"error": "it ended"}],
        "deep": [{"100000": [{"reached": 5, "wanted": 100000}]}],
        "idle": [{"cpu_ms_per_s": 0.0, "wakes_per_s": 1.0}],
        "disk": [{"passed": 1, "wanted": 2, "bytes": 4096, "bytes_before": 0, "left": 1}],
    }
    cells: dict[str, Any] = {
        "flockq/rust": {"power": {}, "system": works},
        "yaque/rust": {"power": {"unsupported": "it never syncs"}, "system": {}},
    }
    text = Page(Figures({"machine": machine, "peers": {}, "cells": cells}), tmp_path).text()
    for part in ("3 µs", "not reached: 5", "it never syncs", "0 MiB", "Left out: what is written in Go"):
        assert part in text
