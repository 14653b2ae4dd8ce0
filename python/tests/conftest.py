"""What the tests start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import flockq


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A spool's directory, empty; also what the workers' processes open."""
    directory = tmp_path / "spool"
    directory.mkdir()
    return directory


@pytest.fixture
def spool(directory: Path) -> Iterator[flockq.Spool]:
    """A spool that leaves durability to the operating system, so that the tests are quick."""
    with flockq.Spool(directory, sync="off") as spool:
        yield spool


@pytest.fixture
def inbound(spool: flockq.Spool) -> flockq.Queue:
    """A queue without a file."""
    return spool.queue("inbound")
