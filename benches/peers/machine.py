"""The machine, and the versions of what is common to all."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import subprocess
import time
from pathlib import Path


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _found(path: str, pattern: str) -> str:
    match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return match.group(1).strip() if match else "?"


def sync_us(place: Path) -> float:
    """Return how many microseconds it takes to append 300 bytes and to sync them: the floor of a power-safe send."""
    took = []
    file = place / "sync"
    with open(file, "ab", buffering=0) as opened:
        for _ in range(200):
            started = time.monotonic()
            opened.write(b"x" * 300)
            os.fdatasync(opened.fileno())
            took.append(time.monotonic() - started)
    file.unlink()
    return round(statistics.median(took) * 1e6, 1)


def describe(place: Path, root: Path) -> dict[str, str | float]:
    """Return what a reader needs to know to compare the figures with others."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "processor": _found("/proc/cpuinfo", r"^model name\s*: (.*)$"),
        "cores": os.cpu_count() or 0,
        "memory_gib": round(int(_found("/proc/meminfo", r"^MemTotal:\s*(\d+)")) / 2**20),
        "kernel": platform.release(),
        "file_system": _output("findmnt", "--noheadings", "--output", "FSTYPE", "--target", str(place)),
        "sync_us": sync_us(place),
        "rust": _output("rustc", "--version").removeprefix("rustc ").split(" (")[0],
        "go": _output("go", "env", "GOVERSION").removeprefix("go"),
        "commit": _output("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10"),
        "load": round(os.getloadavg()[0], 2),
    }
