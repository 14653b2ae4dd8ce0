"""What several tests ask."""

from __future__ import annotations

import os
from pathlib import Path


def files(directory: Path) -> list[str]:
    """What is in a directory, without what a queue has there because it has a journal."""
    return sorted(name for name in os.listdir(directory) if name != "flockq.json" and not name.endswith(".journal"))
