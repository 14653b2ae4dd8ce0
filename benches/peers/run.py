"""Measures flockq beside what people use today, round by round, and writes the page: ``make bench-peers``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import machine
import report
from plan import DURABILITIES, PEERS, WORKS, Limits, Peer, Work
from worker import Broken, Unsupported, Worker
from works import RUN, Figures

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "target" / "peers"
RESULTS = ROOT / "docs" / "benchmarks" / "results.json"

PROGRAMS: dict[str, list[str]] = {
    "python": [str(BUILT / "venv" / "bin" / "python"), str(HERE / "python" / "worker.py")],
    "rust": [str(BUILT / "rust" / "release" / "worker")],
    "go": [str(BUILT / "go-worker")],
}


class Side:
    """A peer at one durability: its server, if it has one, and an empty place for each run."""

    def __init__(self, peer: Peer, durability: str, places: Path) -> None:
        """Name it; a server is started when it is first needed."""
        self.peer = peer
        self.durability = durability
        self._places = places / f"{peer.name}-{peer.language}-{durability}"
        self._server: Any = None
        self._runs = 0
        self._place = ""

    def fresh(self, own_server: bool) -> None:
        """Make an empty place; with ``own_server`` also a server that has seen nothing yet."""
        self._runs += 1
        if not self.peer.server:
            shutil.rmtree(self._places, ignore_errors=True)
            self._places.mkdir(parents=True)
            self._place = str(self._places)
            return
        if own_server or (self._server and not self._server.runs()):
            self.stop()
        if self._server is None:
            shutil.rmtree(self._places, ignore_errors=True)
            self._places.mkdir(parents=True)
            servers = importlib.import_module("servers")
            try:
                self._server = servers.start(self.peer.name, self.durability, self._places)
            except servers.Missing as missing:
                raise Unsupported(str(missing)) from None
            except (servers.Failed, OSError) as failure:
                raise Broken(str(failure)) from None
        self._place = f"{self._server.url}#run-{self._runs}"

    def actor(self) -> Worker:
        """Start a worker that has the queue open."""
        command = PROGRAMS[self.peer.language]
        worker = Worker(command, self.peer.name, self.durability, self._place, BUILT / "workers.log")
        try:
            worker.open()
        except (Broken, Unsupported):
            worker.end()
            raise
        return worker

    def server_pids(self) -> list[int]:
        """Return the server's processes."""
        return list(self._server.pids()) if self._server else []

    def directory(self) -> Path:
        """Return where the messages are kept."""
        return Path(self._server.directory) if self._server else self._places

    def clear(self) -> None:
        """Remove what the run left, so that the system does not write it while others are measured."""
        if self.peer.server:
            return
        shutil.rmtree(self._places, ignore_errors=True)

    def about(self) -> dict[str, str]:
        """Return what the worker, and the server, say of themselves."""
        self.fresh(own_server=False)
        with self.actor() as worker:
            told: dict[str, str] = worker.ask("version")
        if self._server:
            told[self.durability] = told.get(self.durability) or self._server.settings
            told["version"] = self._server.version
        return told

    def stop(self) -> None:
        """Stop the server, and remove what the runs left."""
        if self._server:
            self._server.stop()
            self._server = None
        shutil.rmtree(self._places, ignore_errors=True)


class Results:
    """What was measured, by peer, durability and work; a run of a part replaces that part."""

    def __init__(self) -> None:
        """Read what is there."""
        self.all: dict[str, Any] = {"machine": {}, "peers": {}, "cells": {}}
        if RESULTS.exists():
            self.all = json.loads(RESULTS.read_text())

    def measured(self, described: dict[str, Any], only: str, work: str) -> None:
        """Keep on which machine, when and of which commit; of a part, beside what is known of the rest."""
        known = self.all["machine"]
        if known and (only or work):
            what = ", ".join(filter(None, (only, work)))
            known.setdefault("again", []).append({**{key: described[key] for key in ("date", "commit")}, "what": what})
        else:
            self.all["machine"] = described

    def cell(self, side: Side) -> dict[str, Any]:
        """Return the works of one side."""
        cells: dict[str, Any] = self.all["cells"].setdefault(side.peer.key, {})
        works: dict[str, Any] = cells.setdefault(side.durability, {})
        return works

    def about(self, side: Side, told: dict[str, str]) -> None:
        """Keep what a worker says of itself; each durability knows its own settings."""
        known: dict[str, str] = self.all["peers"].setdefault(side.peer.key, {})
        known.update({name: text for name, text in told.items() if text})

    def save(self) -> None:
        """Write all, a line for each work, so that a difference can be read."""
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(report.compact(self.all))


def clause(why: object) -> str:
    """Return a reason as it stands on the page: where this tree is, is nobody's business."""
    return str(why).replace(f"{ROOT}/", "").rstrip(".")


def measure(side: Side, work: Work, limits: Limits) -> Figures:
    """Run one work for one side; what went wrong is a result too."""
    large = work.name in ("deep", "disk")
    try:
        # What was left in a server by another work would be looked after meanwhile.
        side.fresh(own_server=large or work.name == "idle")
        os.sync()
        figures = RUN[work.name](side, limits)
        return {name: clause(one) if isinstance(one, str) else one for name, one in figures.items()}
    except Unsupported as why:
        return {"unsupported": clause(why)}
    except Exception as failure:  # whatever it was, the others are measured
        return {"error": clause(failure if isinstance(failure, Broken) else repr(failure))}
    finally:
        if large and side.peer.server:
            side.stop()
        side.clear()


def left_out(what: str) -> None:
    """Say what is missing, and how to get it; where all is required it is an error."""
    print(f"LEFT OUT: {what}", file=sys.stderr)
    if os.environ.get("FLOCKQ_REQUIRE_ALL") == "1":
        raise SystemExit(1)


def chosen(arguments: argparse.Namespace) -> tuple[list[Peer], list[Work]]:
    """Return the peers and works that were asked for and can be run."""
    wanted = set(filter(None, arguments.only.split(",")))
    names = set(filter(None, arguments.work.split(",")))
    known = {name for peer in PEERS for name in (peer.name, peer.language, peer.key)}
    if unknown := (wanted - known) | (names - {work.name for work in WORKS}):
        raise SystemExit(f"no such peer or work: {', '.join(sorted(unknown))}")
    peers = [peer for peer in PEERS if not wanted or wanted & {peer.name, peer.language, peer.key}]
    for language, command in PROGRAMS.items():
        if any(peer.language == language for peer in peers) and not all(Path(part).exists() for part in command):
            left_out(f"the worker in {language}; scripts/bench-peers.sh builds it")
            peers = [peer for peer in peers if peer.language != language]
    return peers, [work for work in WORKS if not names or work.name in names]


def sides_of(peers: list[Peer], places: Path, results: Results, sides: list[Side]) -> None:
    """Find the sides that can be measured; why another cannot is kept for the page."""
    for peer in peers:
        for durability in DURABILITIES:
            side = Side(peer, durability, places)
            try:
                results.about(side, side.about())
                results.cell(side).pop("unsupported", None)
                sides.append(side)
            except (Broken, Unsupported) as why:
                side.stop()
                if isinstance(why, Broken) or "LEFT OUT" in str(why):
                    left_out(f"{peer.key} at {durability}; {str(why).removeprefix('LEFT OUT: ')}")
                results.cell(side).clear()
                results.cell(side)["unsupported"] = clause(why)


def takes_part(side: Side, work: Work, sides: list[Side]) -> bool:
    """Whether a work is measured at this durability; one that does not depend on it is measured at ``system``.

    A peer that has only ``power`` is measured there, and so is the flockq that syncs as much, to be shown beside it.
    """
    if work.both:
        return True
    with_system = {one.peer for one in sides if one.durability == "system"}
    if side.peer.variant:
        others = {one.peer for one in sides if one.peer.language == side.peer.language and not one.peer.variant}
        return work.compared and side.peer.name == "flockq-full" and bool(others - with_system)
    return side.durability == "system" or side.peer not in with_system


def rounds(sides: list[Side], works: list[Work], count: int, limits: Limits, results: Results) -> None:
    """Measure, the sides in turn within each work, so that what the machine does meanwhile meets all alike."""
    started = time.monotonic()
    for turn in range(count):
        for work in works:
            if work.once and turn > 0:
                continue
            for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
                if not takes_part(side, work, sides):
                    continue
                figures = measure(side, work, limits)
                if limits.scale != 1:
                    figures["scale"] = limits.scale
                cell = results.cell(side)
                if turn == 0:
                    cell[work.name] = []
                cell[work.name].append(figures)
                shown = json.dumps(figures)[:110]
                print(f"{time.monotonic() - started:6.0f} s  round {turn + 1}  {work.name:8} ", end="")
                print(f"{side.peer.key:20} {side.durability:6}  {shown}", flush=True)
                results.save()


def main() -> None:
    """Measure what was asked for, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="peers: names, languages or NAME/LANGUAGE, with commas between them")
    parser.add_argument("--work", default="", help="works: " + ", ".join(work.name for work in WORKS))
    parser.add_argument("--scale", type=float, default=1.0, help="shorter runs for a quick look")
    parser.add_argument("--report", action="store_true", help="write the page from the results that are there")
    arguments = parser.parse_args()
    results = Results()
    # So that the servers are stopped and the places removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if not arguments.report:
        places = BUILT / "places"
        shutil.rmtree(places, ignore_errors=True)
        places.mkdir(parents=True)
        peers, works = chosen(arguments)
        results.measured(machine.describe(places, ROOT), arguments.only, arguments.work)
        sides: list[Side] = []
        try:
            sides_of(peers, places, results, sides)
            rounds(sides, works, arguments.rounds, Limits(arguments.scale), results)
        finally:
            for side in sides:
                side.stop()
    report.write(results.all, ROOT / "docs")


if __name__ == "__main__":
    main()
