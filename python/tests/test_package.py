"""What is installed beside the code, and what a package of the sources holds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import files, metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
LICENCES = {name: (ROOT / name).read_text() for name in ("LICENSE-APACHE", "LICENSE-MIT")}


def test_the_package_brings_the_licences_that_it_is_under() -> None:
    assert metadata("flockq")["License-Expression"] == "MIT OR Apache-2.0"
    brought = {file.name: file.read_text() for file in files("flockq") or [] if file.name.startswith("LICENSE")}
    assert brought == LICENCES


def test_a_package_of_the_sources_holds_what_this_one_is_built_from(tmp_path: Path) -> None:
    make = [sys.executable, "-m", "maturin", "sdist", "--out", str(tmp_path)]
    subprocess.run(make, cwd=ROOT / "python", check=True)
    (made,) = tmp_path.glob("flockq-*.tar.gz")
    subprocess.run(["tar", "xzf", made], cwd=tmp_path, check=True)
    sources = tmp_path / made.name.removesuffix(".tar.gz")
    assert {name: (sources / name).read_text() for name in LICENCES} == LICENCES
    # The page about it is the package's, not the project's.
    readme = (ROOT / "python" / "README.md").read_text()
    assert (sources / "PKG-INFO").read_text().partition("\n\n")[2].strip() == readme.strip()
    assert (sources / "python" / "README.md").read_text() == readme
    assert 'readme = "python/README.md"' in (sources / "pyproject.toml").read_text()
    for ours in (ROOT / "python" / "flockq").glob("*.py*"):
        assert (sources / "flockq" / ours.name).read_bytes() == ours.read_bytes()
    # Every target that the manifest names is there.
    look = ["cargo", "metadata", "--no-deps", "--locked", "--offline", "--format-version", "1"]
    subprocess.run(look, cwd=sources, check=True, stdout=subprocess.DEVNULL)
