"""What is installed beside the code."""

from __future__ import annotations

from importlib.metadata import files, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_package_brings_the_licences_that_it_is_under() -> None:
    assert metadata("flockq")["License-Expression"] == "MIT OR Apache-2.0"
    brought = {file.name: file.read_text() for file in files("flockq") or [] if file.name.startswith("LICENSE")}
    assert brought == {name: (ROOT / name).read_text() for name in ("LICENSE-APACHE", "LICENSE-MIT")}
