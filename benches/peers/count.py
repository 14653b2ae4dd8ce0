"""Losses and duplicates: what was sent beside what came."""

from __future__ import annotations

from dataclasses import dataclass, field

Range = tuple[int, int]
"""From the first number to the last."""


def parse(text: str) -> list[Range]:
    """Read ``0-4,7``."""
    ranges = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        ranges.append((int(first), int(last or first)))
    return ranges


def union(ranges: list[Range]) -> list[Range]:
    """Return the same numbers, sorted, each once."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def size(ranges: list[Range]) -> int:
    """Return how many numbers there are."""
    return sum(last - first + 1 for first, last in ranges)


def common(left: list[Range], right: list[Range]) -> int:
    """Return how many numbers are in both, which are unions."""
    found = place = 0
    for first, last in left:
        while place < len(right) and right[place][1] < first:
            place += 1
        here = place
        while here < len(right) and right[here][0] <= last:
            found += min(last, right[here][1]) - max(first, right[here][0]) + 1
            here += 1
    return found


@dataclass
class Account:
    """The messages of one run."""

    sent: list[Range] = field(default_factory=list)
    received: list[Range] = field(default_factory=list)
    again: int = 0

    def note_sent(self, first: int, done: int) -> None:
        """A producer sent so many, from this number on."""
        if done:
            self.sent.append((first, first + done - 1))

    def note_received(self, ranges: str, again: int) -> None:
        """A consumer acked these."""
        self.received += parse(ranges)
        self.again += again

    def told(self, left: int) -> dict[str, int]:
        """Return what is to be shown, when so many are still in the queue."""
        came = union(self.received)
        sent = union(self.sent)
        missing = size(sent) - common(sent, came)
        return {
            "sent": size(sent),
            "lost": max(0, missing - left),
            "twice": self.again + size(self.received) - size(came),
        }
