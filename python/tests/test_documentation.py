"""What the manual says."""

from __future__ import annotations

from pathlib import Path

import flockq

README = Path(__file__).parents[2] / "README.md"


def caveats(text: str, heading: str) -> list[str]:
    """The list below the heading, each item in one line without marks."""
    listed = text.partition(f"\n{heading}\n\n")[2].partition("\n\n")[0]
    return [" ".join(item.replace("`", "").split()) for item in listed.removeprefix("* ").split("\n* ")]


def test_the_caveats_are_the_readme_s_word_for_word() -> None:
    ours = caveats(flockq.__doc__ or "", "Caveats:")
    assert len(ours) > 10
    assert ours == caveats(README.read_text(), "## Caveats: what is not promised")
