"""The page: made from the results alone."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plot
from figures import Figures, Spread, depth_work, percentile, spread
from plan import DEEP, DURABILITIES, LANGUAGES, SHALLOW, WORKS, Peer

RATED = {
    "alone": ("send", "receive"),
    "pair": ("send", "receive"),
    "four": ("send", "receive"),
    "batches": ("send", "receive"),
}
DEPTHS = SHALLOW + DEEP
GLANCE = """Where a peer at power syncs receives and acks too, its "receive, ack", its "4 and 4" and its wake-up stand
beside the flockq that does the same. 4 and 4: messages that are acked while four producers and four consumers run.
Wake-up: how many times as long as with flockq a consumer waits for a message that was sent. Lost / twice: messages, in
all works.
"""
WORDS = Path(__file__).resolve().parent / "page"


def compact(results: dict[str, Any]) -> str:
    """Return the results as JSON, a line for each work."""
    lines = []
    for peer, sides in results["cells"].items():
        shown = []
        for durability, side in sides.items():
            inner = ",\n".join(
                f"   {json.dumps(work)}: {json.dumps(rounds, separators=(',', ':'))}" for work, rounds in side.items()
            )
            shown.append(f"  {json.dumps(durability)}: {{\n{inner}\n  }}")
        lines.append(f" {json.dumps(peer)}: {{\n" + ",\n".join(shown) + "\n }")
    rest = {name: part for name, part in results.items() if name != "cells"}
    head = json.dumps(rest, indent=1, ensure_ascii=False)[:-2]
    return head + ',\n "cells": {\n' + ",\n".join(lines) + "\n }\n}\n"


def write(results: dict[str, Any], docs: Path) -> None:
    """Write ``benchmarks.md`` and its plots."""
    page = Page(Figures(results), docs / "benchmarks")
    (docs / "benchmarks.md").write_text(page.text())


def _count(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _ratio(value: float) -> str:
    return f"{value:,.0f}×" if value >= 10 else f"{value:.1f}×" if value >= 1 else f"{value:.2g}×"


def _name(peer: Peer) -> str:
    return f"*{peer.title}*" if peer.own else peer.title


def _spread(found: Spread, unit: str) -> str:
    return f"<sub>{_count(found.median)}{unit} ({_count(found.least)}–{_count(found.most)})</sub>"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join(["---", *["--:"] * (len(head) - 1)]) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


class Reasons:
    """Why figures are missing: numbered at their places, told below the table."""

    def __init__(self) -> None:
        """Begin with none."""
        self._known: list[str] = []

    def mark(self, why: str) -> str:
        """Return what stands in the cell."""
        if not why:
            return ""
        if why not in self._known:
            self._known.append(why)
        return f"– <sup>{self._known.index(why) + 1}</sup>"

    def told(self) -> str:
        """Return the lines below the table."""
        lines = [f"<sup>{place}</sup> {why}.<br>" for place, why in enumerate(self._known, 1)]
        return "\n" + "\n".join(lines) + "\n" if lines else ""


class Page:
    """The tables and plots of one set of results."""

    def __init__(self, figures: Figures, plots: Path) -> None:
        """Say from what, and where the plots go."""
        self._figures = figures
        self._plots = plots

    def text(self) -> str:
        """Return the page."""
        titles = {work.name: work.title for work in WORKS}
        parts = [
            (WORDS / "head.md").read_text(),
            self._conditions(),
            "## If you use … today\n",
            GLANCE,
            self._at_a_glance(),
        ]
        for work in ("alone", "pair", "four", "batches"):
            parts += [f"## {titles[work]}\n", self._rates(work)]
            if work in ("alone", "four"):
                parts += [self._rate_plot(work, durability, titles[work]) for durability in DURABILITIES]
        parts += [
            "## The cost of a message while others are waiting\n",
            "A send, a receive and an ack. At 100k and 1M the queue was filled once and measured three times.\n",
            self._depths(),
            *self._depth_plots(),
        ]
        parts += [
            "## Wake-up\n",
            f"{titles['wakeup']}: the median of the rounds' medians with its spread, and the 99th percentile of all.\n",
            self._wakeups(),
            self._wakeup_plot(),
        ]
        parts += [
            "## Waiting, disk space and opening\n",
            "Disk space was measured once. Opening is that and the first receive with its ack, in a new process, three"
            " times; for a server it is the connection to one that runs.\n",
            self._standing(),
        ]
        parts += ["## Losses and duplicates\n", self._losses()]
        parts += ["## What was measured\n", self._settings()]
        parts += [(WORDS / name).read_text() for name in ("reading.md", "tried.md")]
        return "\n".join(parts)

    def _conditions(self) -> str:
        machine = self._figures.results["machine"]
        most = self._figures.most_rounds()
        rounds = "1 round" if most == 1 else f"{most} rounds, interleaved"
        text = (
            f"Measured on {machine['date']}, at commit `{machine['commit']}`: {machine['cores']} cores"
            f" ({machine['processor']}), {machine['memory_gib']} GiB, Linux {machine['kernel']},"
            f" {machine['file_system']}, where appending 300 bytes and syncing them takes"
            f" {_count(machine['sync_us'])} µs. Rust {machine['rust']}, Go {machine['go']}. {rounds};"
            f" the machine's load when it began was {machine['load']}.\n"
        )
        for part in machine.get("again", []):
            text += f"\nMeasured again on {part['date']}, at commit `{part['commit']}`: {part['what']}.\n"
        measured = {peer.language for peer in self._figures.peers}
        for language in LANGUAGES.keys() - measured:
            text += f"\nLeft out: what is written in {LANGUAGES[language]}, which was not there to be measured.\n"
        if any("scale" in one for one in self._figures.told_rounds()):
            text += "\n**A quick look, with shorter runs: these are no figures to rely on.**\n"
        return text

    def _by_language(
        self, row: Callable[[Peer], list[str]], own: bool = True, variants: bool = True
    ) -> list[list[str]]:
        rows: list[list[str]] = []
        for language, title in LANGUAGES.items():
            peers = [one for one in self._figures.peers if one.language == language]
            found = [row(one) for one in peers if (own or not one.own) and (variants or not one.variant)]
            if found:
                rows.append([f"**{title}**", *[""] * (len(found[0]) - 1)])
                rows += found
        return rows

    def _by_side(self, work: str, row: Callable[[Peer, str], list[str]]) -> list[list[str]]:
        """Return a row for each durability at which a work was measured."""
        rows: list[list[str]] = []
        for language, title in LANGUAGES.items():
            peers = [one for one in self._figures.peers if one.language == language]
            sides = [(one, side) for one in peers for side in DURABILITIES if self._figures.rounds(one, side, work)]
            if found := [row(peer, side) for peer, side in sides]:
                rows.append([f"**{title}**", *[""] * (len(found[0]) - 1)])
                rows += found
        return rows

    def _at_a_glance(self) -> str:
        reasons = Reasons()

        def row(peer: Peer) -> list[str]:
            cells = []
            for durability in DURABILITIES:
                for work, what in (("alone", "send"), ("alone", "receive"), ("four", "receive")):
                    ratio = self._figures.ratio(peer, durability, work, what)
                    refused = str(self._figures.side(peer, durability).get("unsupported", ""))
                    why = refused or self._figures.why_not(peer, durability, work, what)
                    cells.append(_ratio(ratio) if ratio else reasons.mark(why))
            accounts = [self._figures.account(peer, durability) for durability in DURABILITIES]
            lost, twice = (sum(one[name] for one in accounts) for name in ("lost", "twice"))
            ratio = self._figures.wakeup_ratio(peer, self._figures.durability_of(peer, "wakeup"))
            return [peer.title, *cells, _ratio(ratio) if ratio else "", f"{lost:,} / {twice:,}"]

        head = ["", "power: send", "receive, ack", "4 and 4", "system: send", "receive, ack", "4 and 4", "wake-up"]
        return _table([*head, "lost / twice"], self._by_language(row, own=False)) + reasons.told()

    def _rates(self, work: str) -> str:
        reasons = Reasons()

        def cell(peer: Peer, durability: str, what: str) -> str:
            found = self._figures.rate(peer, durability, work, what)
            if not found:
                return reasons.mark(self._figures.why_not(peer, durability, work, what))
            ratio = None if peer.own else self._figures.ratio(peer, durability, work, what)
            failed, rounds = self._figures.failed(peer, durability, work, what)
            parts = [_ratio(ratio) if ratio else "", _spread(found, "/s")]
            parts.append(f"<sub>{failed} of {rounds} rounds failed</sub>" if failed else "")
            return " ".join(filter(None, parts))

        def row(peer: Peer) -> list[str]:
            return [_name(peer), *(cell(peer, one, what) for one in DURABILITIES for what in RATED[work])]

        names = ["send", "receive, ack"]
        head = ["", *(f"{durability}: {name}" for durability in DURABILITIES for name in names)]
        return _table(head, self._by_language(row)) + reasons.told()

    def _plot(self, name: str, title: str, drawing: str) -> str:
        self._plots.mkdir(parents=True, exist_ok=True)
        (self._plots / f"{name}.svg").write_text(drawing)
        return f"![{title}](benchmarks/{name}.svg)\n"

    def _rate_plot(self, work: str, durability: str, title: str) -> str:
        groups = []
        for language, named in LANGUAGES.items():
            rows = []
            for peer in self._figures.peers:
                found = [self._figures.rate(peer, durability, work, what) for what in RATED[work]]
                if peer.language == language and any(found):
                    values = tuple(one.median if one else None for one in found)
                    rows.append(plot.Bar(peer.title, peer.own, values))
            groups += [(named, rows)] if rows else []
        title = f"{title}, at {durability}"
        drawing = plot.bars(title, "messages per second", ("send", "receive and ack"), groups)
        return self._plot(f"{work}-{durability}", title, drawing)

    def _depths(self) -> str:
        reasons = Reasons()

        def row(peer: Peer, durability: str) -> list[str]:
            beside = self._figures.beside(peer, durability, takes=True)
            cells = []
            for depth in DEPTHS:
                found = self._figures.depth_us(peer, durability, depth)
                ours = self._figures.depth_us(beside, durability, depth)
                reached = self._figures.depth_reached(peer, durability, depth)
                if found:
                    mark = "" if peer.own or not ours else _ratio(found.median / ours.median) + " "
                    cells.append(mark + _spread(found, " µs"))
                elif reached is not None:
                    cells.append(f"<sub>not reached: {_count(reached)}</sub>")
                else:
                    cells.append(reasons.mark(self._figures.why_not(peer, durability, depth_work(depth))))
            return [_name(peer), durability, *cells]

        return _table(["waiting", "", "0", "1k", "10k", "100k", "1M"], self._by_side("depth", row)) + reasons.told()

    def _depth_plots(self) -> list[str]:
        plots = []
        for language, named in LANGUAGES.items():
            rows = []
            for peer in self._figures.peers:
                side = self._figures.durability_of(peer, "depth")
                found = [self._figures.depth_us(peer, side, depth) for depth in DEPTHS]
                values = [one.median if one else None for one in found]
                if peer.language == language and any(values):
                    rows.append((peer.title + (", at power" if side == "power" else ""), values))
            if rows:
                title = f"Send, receive and ack of one message while so many are waiting, {named}"
                drawing = plot.lines(title, "microseconds", ("0", "1k", "10k", "100k", "1M"), rows)
                plots.append(self._plot(f"depth-{language}", title, drawing))
        return plots

    def _wakeups(self) -> str:
        reasons = Reasons()

        def row(peer: Peer, durability: str) -> list[str]:
            cells = []
            for since in ("whole_us", "us"):
                ordered = self._figures.wakeups(peer, durability, since)
                medians = self._figures.wakeup_medians(peer, durability, since)
                if medians:
                    cells += [_spread(medians, " µs"), f"<sub>{_count(percentile(ordered, 0.99))} µs</sub>"]
                else:
                    cells += [reasons.mark(self._figures.why_not(peer, durability, "wakeup")), ""]
            ratio = None if peer.own else self._figures.wakeup_ratio(peer, durability)
            wait = self._figures.about(peer).get("wait", "")
            return [_name(peer), durability, _ratio(ratio) if ratio else "", *cells, wait]

        head = ["", "", "", "from its begin: median", "99 %", "from its end: median", "99 %", "how it waits"]
        return _table(head, self._by_side("wakeup", row)) + reasons.told()

    def _wakeup_plot(self) -> str:
        groups = []
        for language, named in LANGUAGES.items():
            rows = []
            for peer in self._figures.peers:
                side = self._figures.durability_of(peer, "wakeup")
                ordered = self._figures.wakeups(peer, side, "whole_us")
                if peer.language == language and ordered:
                    values = (statistics.median(ordered), percentile(ordered, 0.99))
                    title = peer.title + (", at power" if side == "power" else "")
                    rows.append(plot.Bar(title, peer.own, values))
            groups += [(named, rows)] if rows else []
        title = "From the begin of a send to the waiting consumer's hand"
        return self._plot("wakeup", title, plot.bars(title, "microseconds", ("median", "99th percentile"), groups))

    def _standing(self) -> str:
        reasons, why = Reasons(), self._figures.why_not

        def row(peer: Peer) -> list[str]:
            durability = self._figures.durability_of(peer, "idle")
            shown = [durability]
            for name in ("cpu_ms_per_s", "wakes_per_s"):
                found = self._figures.rate(peer, durability, "idle", name)
                shown.append(_spread(found, "") if found else reasons.mark(why(peer, durability, "idle")))
            disk, deep = (self._figures.once(peer, work) for work in ("disk", "deep"))
            if "bytes" in disk:
                short = "" if disk["passed"] >= disk["wanted"] else f" <sub>after {_count(disk['passed'])}</sub>"
                left = f" <sub>{_count(disk['left'])} left</sub>" if disk["left"] else ""
                shown.append(f"{disk['bytes'] / 2**20:.2f} MiB{short}{left}")
            else:
                shown.append(reasons.mark(why(peer, durability, "disk")))
            reached = self._figures.depth_reached(peer, durability, DEEP[0])
            if opened := spread(deep.get("open_ms", [])):
                shown.append(_spread(opened, " ms"))
            elif reached is not None:
                shown.append(f"<sub>not reached: {_count(reached)}</sub>")
            else:
                shown.append(reasons.mark(why(peer, durability, "deep")))
            return [_name(peer), *shown]

        head = ["", "", "ten waiting: processor, ms/s", "wake-ups/s", "disk after 1M passed", "opening at 100k"]
        return _table(head, self._by_language(row, variants=False)) + reasons.told()

    def _losses(self) -> str:
        failures: list[str] = []

        def row(peer: Peer) -> list[str]:
            cells = []
            for durability in DURABILITIES:
                account = self._figures.account(peer, durability)
                if account["sent"]:
                    cells += [
                        _count(account[name]) if account[name] else "0" for name in ("sent", "lost", "twice", "failed")
                    ]
                else:
                    cells += ["", "", "", ""]
                failures.extend(self._figures.errors(peer, durability))
            return [peer.title, *cells]

        names = ("sent", "lost", "twice", "failed calls")
        head = ["", *(f"{durability}: {name}" for durability in DURABILITIES for name in names)]
        table = _table(head, self._by_language(row))
        told = "".join(f"* {one}\n" for one in dict.fromkeys(failures))
        return table + (f"\nCalls that failed were made again. What went wrong:\n\n{told}" if told else "")

    def _settings(self) -> str:
        def row(peer: Peer) -> list[str]:
            about = self._figures.about(peer)
            cells = [about.get("version", ""), about.get("runtime", "")]
            for durability in DURABILITIES:
                refused = self._figures.side(peer, durability).get("unsupported", "")
                cells.append(f"– ({refused})" if refused else about.get(durability, ""))
            return [peer.title, *cells, about.get("ack", ""), about.get("note", "")]

        rows = self._by_language(row)
        table = _table(["", "version", "runtime", "power", "system", "ack", "note"], rows)
        return table.replace("--:", "---")
