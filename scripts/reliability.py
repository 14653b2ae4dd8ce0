"""The table of what must hold, joined with what a run of `make prove` said.

    scripts/reliability.py --check              every test that tests/properties.json names is there
    scripts/reliability.py --report DIRECTORY   writes docs/reliability.md from the logs of a run

A test is named as the report shows it: `power::NAME` is in tests/power.rs, `queue::tests::NAME` in the library
itself, `go::`, `python::` and `c::` in those languages; `mutant::NAME` is a deliberate bug that a test has to find,
`step::NAME` a step of the run.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROPERTIES = ROOT / "tests" / "properties.json"
REPORT = ROOT / "docs" / "reliability.md"

RUNNING = re.compile(r"^\s+Running (?:unittests )?(\S+)")
RUST = re.compile(r"^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)")
GO = re.compile(r"^--- (PASS|FAIL|SKIP): (\w+) ")
PYTHON = re.compile(r"::(test_\w+?)(?:\[.*\])? (PASSED|FAILED|SKIPPED|ERROR)")
MUTANT = re.compile(r"^MUTANT (\w+) (found by (.*)|SURVIVED.*)$")
PROCESS_ENDED = "the end of the process"
PROVED = re.compile(r"^PROVED (.*?)(?: \[([\w:]+)\])?$")
# What the checker says of processes that worked side by side while something was done to them.
CHECKED = re.compile(
    r"^(?P<mode>plain|journal) \(FLOCKQ_SEED=(?P<seed>\d+)\): sent (?P<sent>\d+), delivered (?P<delivered>\d+), "
    r"lost (?P<lost>\d+), unexpected (?P<unexpected>\d+), again: (?P<again>[^;]*); (?P<rest>[^;]*); (?P<beside>.*)$"
)


@dataclass
class Property:
    """One row of the table."""

    number: int
    text: str
    tests: list[str]
    caveat: str


@dataclass
class Run:
    """What the logs say."""

    steps: list[tuple[str, int, int, str]] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)
    proved: list[tuple[str, str]] = field(default_factory=list)
    mutants: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def result(self, test: str) -> str:
        """`ok`, or what else became of it."""
        return self.results.get(test, "not run")

    def take(self, test: str, result: str) -> None:
        """Notes what became of a test."""
        # One that is run more than once, perhaps with other parameters, has to pass each time.
        if self.results.get(test, "ok") == "ok":
            self.results[test] = result


def properties() -> dict[str, list[Property]]:
    """Reads the table, by its groups."""
    groups: dict[str, list[Property]] = {}
    number = 0
    for group, rows in json.loads(PROPERTIES.read_text()).items():
        groups[group] = []
        for row in rows:
            number += 1
            groups[group].append(Property(number, row["property"], row["tests"], row.get("caveat", "")))
    return groups


def place_of(running: str) -> str:
    """What the tests of a binary are called by: nothing for those of the library itself."""
    path = Path(running)
    return f"{path.stem}::" if path.parts[0] == "tests" else ""


def read_log(run: Run, text: str) -> None:
    """Takes from a log what is known by its form."""
    place = ""
    for line in text.splitlines():
        if found := RUNNING.match(line):
            place = place_of(found[1])
        elif found := RUST.match(line):
            run.take(found[1] if found[1].startswith("c::") else place + found[1], found[2])
        elif found := GO.match(line):
            run.take(f"go::{found[2]}", {"PASS": "ok", "SKIP": "left out"}.get(found[1], "FAILED"))
        elif found := MUTANT.match(line):
            run.mutants[found[1]] = found[3] or "nothing: it SURVIVED"
            run.take(f"mutant::{found[1]}", "ok" if found[3] else "SURVIVED")
        elif line.startswith("LEFT OUT: "):
            run.left_out.append(line.removeprefix("LEFT OUT: "))
        elif found := PROVED.match(line):
            test = found[2] or ""
            run.proved.append((place + test if test else "", found[1]))
        for name, result in PYTHON.findall(line):
            run.take(f"python::{name}", {"PASSED": "ok", "SKIPPED": "left out"}.get(result, "FAILED"))


def read_run(directory: Path) -> Run:
    """Reads the steps of a run and their logs."""
    run = Run()
    for line in (directory / "steps.tsv").read_text().splitlines():
        name, status, seconds, commit = line.split("\t")
        run.steps.append((name, int(status), int(seconds), commit))
        run.take(f"step::{name}", "ok" if status == "0" else "FAILED")
        read_log(run, (directory / f"{name}.log").read_text(errors="replace"))
    return run


def places() -> dict[str, str]:
    """Everything in which a test can be defined: its text by the first words of the names of its tests."""
    texts: dict[str, str] = {}

    def add(place: str, path: Path) -> None:
        texts[place] = texts.get(place, "") + path.read_text()

    library = ROOT / "src"
    for path in library.rglob("*.rs"):
        words = path.relative_to(library).with_suffix("").parts
        add("::".join(word for word in words if word not in ("mod", "lib")), path)
    for path in (ROOT / "tests").glob("*.rs"):
        add(path.stem, path)
    for pattern, place in (("go/*_test.go", "go"), ("python/tests/*.py", "python")):
        for path in ROOT.glob(pattern):
            add(place, path)
    return texts


def is_there(test: str, texts: dict[str, str]) -> bool:
    """Tells whether a test is where its name says that it is."""
    *place, name = test.split("::")
    match place:
        case ["mutant"]:
            return re.search(rf'"{name}\s', (ROOT / "scripts" / "mutants.sh").read_text()) is not None
        case ["step"]:
            return re.search(rf"^step {name}\s", (ROOT / "scripts" / "prove.sh").read_text(), re.M) is not None
        case ["c"]:
            return (ROOT / "tests" / "capi" / f"{name}.c").is_file()
    # A module may be written inside its parent's file.
    files = ("::".join(place[:length]) for length in range(len(place), 0, -1))
    text = next((texts[file] for file in files if file in texts), "")
    return re.search(rf"(?:fn|def|func) {name}\s*[(<]", text) is not None


def missing() -> list[str]:
    """What the table names and the tree does not have."""
    texts, found = places(), []
    for row in (row for rows in properties().values() for row in rows):
        if not row.tests and not row.caveat:
            found.append(f"property {row.number} has neither a test nor a caveat")
        found += [f"property {row.number}: {test} is not there" for test in row.tests if not is_there(test, texts)]
    return found


def cell(text: str) -> str:
    """Makes a text fit into a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def is_shown(row: Property, run: Run) -> bool:
    """Tells whether every test of a property passed."""
    return bool(row.tests) and all(run.result(test) == "ok" for test in row.tests)


def property_rows(rows: list[Property], run: Run) -> list[str]:
    """Makes the table of one group."""
    lines = ["| | what must hold | shown by | gone through | result |", "|---|---|---|---|---|"]
    for row in rows:
        counted = [what for test, what in run.proved if test in row.tests and not CHECKED.match(what)]
        bad = [f"`{test}`: {run.result(test)}" for test in row.tests if run.result(test) != "ok"]
        result = "<br>".join(bad) if bad else ("holds" if row.tests else "caveat")
        tests = "<br>".join(f"`{test}`" for test in row.tests)
        text = row.text + (f" *Not promised: {row.caveat}*" if row.caveat else "")
        cells = [str(row.number), cell(text), tests, cell("<br>".join(counted)), cell(result)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def checker_rows(run: Run) -> list[str]:
    """Makes the table of what processes did beside a nemesis."""
    columns = ("mode", "beside", "sent", "delivered", "lost", "unexpected", "again", "rest", "seed")
    names = [*columns[:6], "delivered again because", "also counted", "`FLOCKQ_SEED`"]
    runs = [found for _, what in run.proved if (found := CHECKED.match(what))]
    # What is of a kind stands together.
    runs.sort(key=lambda found: (re.sub(r"\d+ ", "", found["beside"]), found["mode"], found["seed"]))
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(cell(found[column]) for column in columns) + " |" for found in runs]


def shell(*words: str) -> str:
    """Asks a command for one text."""
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def machine() -> str:
    """Tells what the run was on."""
    processors = shell("nproc")
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    gibibytes = round(int(memory.split()[1]) / 2**20)
    return f"Linux {platform.release()}, {processors} processors, {gibibytes} GiB, {shell('rustc', '--version')}"


def report(directory: Path) -> str:
    """Makes the page."""
    run, groups = read_run(directory), properties()
    rows = [row for group in groups.values() for row in group]
    shown = sum(is_shown(row, run) for row in rows)
    found = sum("SURVIVED" not in by for by in run.mutants.values())
    minutes = sum(seconds for _, _, seconds, _ in run.steps) // 60
    # A step may have been run again by itself.
    commits = " and ".join(dict.fromkeys(commit for _, _, _, commit in run.steps))
    date = datetime.now(timezone.utc).date().isoformat()
    lines = [
        "# What must hold, and what last showed it",
        "",
        f"Written by `make prove` on {date}, of commit {commits}, in {minutes} minutes: {machine()}.",
        f"Of {len(rows)} properties {shown} were shown to hold;",
        f"of {len(run.mutants)} deliberate bugs {found} were found. [found.md](found.md) has the bugs that were not",
        "deliberate. How a test is named here: `power::NAME` is in `tests/power.rs`, `queue::tests::NAME` in the",
        "library itself, `c::`, `go::` and `python::` in those languages, `mutant::NAME` below, `step::NAME` at the",
        "end.",
        "",
    ]
    for group, members in groups.items():
        lines += [f"## {group}", "", *property_rows(members, run), ""]
    lines += [
        "## Deliberate bugs",
        "",
        "Each is put into the library, and tests have to find it (`scripts/mutants.sh`).",
        "",
    ]
    lines += ["| bug | found by |", "|---|---|"]
    for name, by in run.mutants.items():
        is_told = "SURVIVED" in by or by == PROCESS_ENDED
        tests = by if is_told else "<br>".join(f"`{test}`" for test in by.split())
        lines.append(f"| `{name}` | {tests} |")
    shown_by = {test for row in rows for test in row.tests}
    others = [what for test, what in run.proved if test not in shown_by and not CHECKED.match(what)]
    lines += [
        "",
        "## Processes in four languages beside what goes wrong",
        "",
        "Each line is one run of `tests/nemeses.rs`: workers in C, Go, Python and Rust on one directory, and a checker",
        "that compares what each was told with what is there in the end.",
        "",
        *checker_rows(run),
    ]
    lines += ["", "## Everything else that was counted", "", *[f"* {cell(what)}" for what in others]]
    lines += ["", "## Steps of the run", "", "| step | result | seconds | commit |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {'passed' if status == 0 else 'FAILED'} | {seconds} | {commit} |"
        for name, status, seconds, commit in run.steps
    ]
    lines += ["", "## Left out", ""]
    lines += [f"* {cell(what)}" for what in dict.fromkeys(run.left_out)] or ["Nothing."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Does what the arguments say."""
    match sys.argv[1:]:
        case ["--check"]:
            for line in (wrong := missing()):
                print(line, file=sys.stderr)
            return 1 if wrong else 0
        case ["--report", directory]:
            REPORT.write_text(report(Path(directory)))
            rows = [row for group in properties().values() for row in group]
            run = read_run(Path(directory))
            bad = [row.number for row in rows if row.tests and not is_shown(row, run)]
            print(f"{REPORT.relative_to(ROOT)}: {len(rows) - len(bad)} of {len(rows)} properties hold or are caveats")
            return 1 if bad else 0
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main())
