"""What a check found, or what a repair did."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One piece of damage: the file, the place in bytes from its start, and the rule that is broken."""

    path: str
    offset: int | None
    rule: str


@dataclass(frozen=True)
class Report:
    """What a check found, or what a repair did.

    ``damage`` is what breaks a rule; of a repair, what could not be saved. ``replaced`` counts how often another
    program has replaced the file of a journalled queue. ``kept`` names the damaged files that a repair has kept.
    """

    queue: str
    mode: str
    messages: int
    replaced: int
    damage: tuple[Finding, ...]
    notes: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether there is no damage."""
        return not self.damage

    @classmethod
    def _of(cls, text: str) -> Report:
        fields = json.loads(text)
        fields["damage"] = tuple(Finding(**found) for found in fields["damage"])
        fields["notes"], fields["kept"] = tuple(fields["notes"]), tuple(fields["kept"])
        return cls(**fields)
