"""What the results say: medians, spreads and ratios to flockq in the same language."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from plan import DURABILITIES, PEERS, Peer


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and the least and the most of them."""

    median: float
    least: float
    most: float


def spread(values: list[float]) -> Spread | None:
    """Return the median with the spread; none of nothing."""
    return Spread(statistics.median(values), min(values), max(values)) if values else None


class Figures:
    """The results, asked by peer, durability and work."""

    def __init__(self, results: dict[str, Any]) -> None:
        """Wrap what the run stored."""
        self.results = results
        self.peers = [peer for peer in PEERS if peer.key in results["cells"]]

    def about(self, peer: Peer) -> dict[str, str]:
        """Return what its worker says of it."""
        told: dict[str, str] = self.results["peers"].get(peer.key, {})
        return told

    def side(self, peer: Peer, durability: str) -> dict[str, Any]:
        """Return the works of a peer at one durability."""
        works: dict[str, Any] = self.results["cells"].get(peer.key, {}).get(durability, {})
        return works

    def rounds(self, peer: Peer, durability: str, work: str) -> list[dict[str, Any]]:
        """Return what each round found."""
        rounds: list[dict[str, Any]] = self.side(peer, durability).get(work, [])
        return rounds

    def durability_of(self, peer: Peer, work: str) -> str:
        """Return at which durability a work was measured that is measured at one."""
        return next((one for one in reversed(DURABILITIES) if self.rounds(peer, one, work)), "system")

    def once(self, peer: Peer, work: str) -> dict[str, Any]:
        """Return what a work found that is measured once, at one durability."""
        rounds = self.rounds(peer, self.durability_of(peer, work), work)
        return rounds[0] if rounds else {}

    def rate(self, peer: Peer, durability: str, work: str, what: str) -> Spread | None:
        """Return messages per second, or another figure.

        A round in which nothing came counts, one that failed does not.
        """
        rounds = self.rounds(peer, durability, work)
        return spread([one[what] for one in rounds if what in one])

    def failed(self, peer: Peer, durability: str, work: str, what: str) -> tuple[int, int]:
        """Return how many rounds have no figure, and of how many."""
        rounds = self.rounds(peer, durability, work)
        return sum(what not in one for one in rounds), len(rounds)

    def beside(self, peer: Peer, durability: str, takes: bool) -> Peer:
        """Return flockq in the peer's language, as it promises what the peer does.

        Where a peer syncs receives and acks too, and they are in the figure, that is flockq with every commit synced.
        """
        name = "flockq-full" if takes and durability == "power" and peer.syncs_takes else "flockq"
        if name == peer.name:
            name = "flockq"
        return next(one for one in PEERS if one.name == name and one.language == peer.language)

    def ratio(self, peer: Peer, durability: str, work: str, what: str) -> float | None:
        """Return how many times as many messages flockq does."""
        theirs = self.rate(peer, durability, work, what)
        takes = what == "receive" or work in ("pair", "four")
        ours = self.rate(self.beside(peer, durability, takes), durability, work, what)
        return ours.median / theirs.median if ours and theirs and theirs.median else None

    def why_not(self, peer: Peer, durability: str, work: str, what: str = "") -> str:
        """Return why a figure is missing; empty when it was not measured."""
        if refused := self.side(peer, durability).get("unsupported"):
            return str(refused)
        for one in self.rounds(peer, durability, work):
            for key in (f"{what}_unsupported", "unsupported", "error"):
                if key in one:
                    return str(one[key])
        return "no message within the limit" if self.rounds(peer, durability, work) else ""

    def wakeups(self, peer: Peer, durability: str, since: str = "us") -> list[float]:
        """Return the microseconds of all wake-ups, sorted: since the end of the send, or (``whole_us``) its begin."""
        return sorted(us for one in self.rounds(peer, durability, "wakeup") for us in one.get(since, []))

    def wakeup_ratio(self, peer: Peer, durability: str) -> float | None:
        """Return how many times as long as with flockq it takes from the begin of the send to the consumer's hand.

        By the medians. From the end of the send there would be none with many: the message is in hand before that.
        """
        beside = self.beside(peer, durability, takes=True)
        theirs, ours = (self.wakeups(one, durability, "whole_us") for one in (peer, beside))
        return statistics.median(theirs) / statistics.median(ours) if theirs and ours else None

    def wakeup_medians(self, peer: Peer, durability: str, since: str) -> Spread | None:
        """Return the spread of the rounds' medians."""
        rounds = self.rounds(peer, durability, "wakeup")
        return spread([statistics.median(one[since]) for one in rounds if one.get(since)])

    def depth_us(self, peer: Peer, durability: str, depth: int) -> Spread | None:
        """Return what a message costs at a depth: send, receive and ack."""
        costs = [one for one in self._costs(peer, durability, depth) if one.get("send_us") and one.get("receive_us")]
        return spread([cost["send_us"] + cost["receive_us"] for cost in costs])

    def depth_reached(self, peer: Peer, durability: str, depth: int) -> int | None:
        """Return how many messages there were when the time for filling was over."""
        return next((cost["reached"] for cost in self._costs(peer, durability, depth) if "reached" in cost), None)

    def _costs(self, peer: Peer, durability: str, depth: int) -> list[dict[str, Any]]:
        rounds = self.rounds(peer, durability, depth_work(depth))
        return [cost for one in rounds for cost in one.get(str(depth), [])]

    def told_rounds(self) -> list[dict[str, Any]]:
        """Return what all rounds of all works found."""
        sides = [side for peer in self.peers for side in self.results["cells"][peer.key].values()]
        return [one for side in sides for rounds in side.values() if isinstance(rounds, list) for one in rounds]

    def most_rounds(self) -> int:
        """Return how often a work was measured."""
        sides = [side for peer in self.peers for side in self.results["cells"][peer.key].values()]
        return max((len(rounds) for side in sides for rounds in side.values() if isinstance(rounds, list)), default=0)

    def errors(self, peer: Peer, durability: str) -> list[str]:
        """Return what went wrong, with the work in which it did."""
        told = {"failure": "a call said", "damaged": "the queue cannot be read at the end:", "error": "ended with"}
        found = []
        for work, rounds in self.side(peer, durability).items():
            for one in rounds if isinstance(rounds, list) else []:
                found += [
                    f"{peer.title}, {work} at {durability}: {word} `{one[key]}`"
                    for key, word in told.items()
                    if key in one
                ]
        return found

    def account(self, peer: Peer, durability: str) -> dict[str, int]:
        """Return all messages of a peer that were counted: sent, lost, twice, and the calls that failed."""
        sums = dict.fromkeys(("sent", "lost", "twice", "failed"), 0)
        for rounds in self.side(peer, durability).values():
            for one in rounds if isinstance(rounds, list) else []:
                for name in sums:
                    sums[name] += one.get(name, 0)
        return sums


def depth_work(depth: int) -> str:
    """Return the work in which a depth is measured."""
    return "depth" if depth < 100_000 else "deep"


def percentile(ordered: list[float], share: float) -> float:
    """Return the value that this share of the values does not exceed."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
