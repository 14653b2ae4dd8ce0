"""The plots: SVG by hand, legible on light and on dark ground, logarithmic where factors are large."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px } .group { font-weight: 600 } .small { font-size: 11px; fill: #57606a }
.grid { stroke: #d0d7de; stroke-width: 1 } .own { fill: #0969da } .other { fill: #8c959f } .second { opacity: .5 }
.line { fill: none; stroke-width: 2 } .dot { stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
  .own { fill: #58a6ff } .other { fill: #7d8590 }
}
</style>"""
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#bf8700", "#8250df", "#bc4c00", "#0598bc", "#d4529c")
"""Mid tones: they stand out on light and on dark ground."""


@dataclass(frozen=True)
class Bar:
    """One peer's bars: a value for each series, ``None`` for what it does not have."""

    label: str
    own: bool
    values: tuple[float | None, ...]


def _number(value: float) -> str:
    for bound, unit in ((1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:.3g}{unit}"
    return f"{value:.3g}"


def _document(width: int, height: int, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, STYLE, *parts, "</svg>", ""])


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


@dataclass(frozen=True)
class Scale:
    """A logarithmic axis over whole decades."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: list[float], start: float, end: float) -> Scale:
        """Return the decades that hold all values; one that stands alone is given room on both sides."""
        low = math.floor(math.log10(min(values, default=1.0)))
        high = math.ceil(math.log10(max(values, default=10.0)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """Return where a value is."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """Return the values with a grid line."""
        return [10.0**power for power in range(self.low, self.high + 1)]


def bars(title: str, unit: str, series: tuple[str, ...], groups: list[tuple[str, list[Bar]]]) -> str:
    """Draw groups of horizontal bars on one logarithmic axis."""
    left, right, width, thick = 220, 70, 860, 9
    step = len(series) * thick + 7
    values = [value for _, rows in groups for row in rows for value in row.values if value]
    scale = Scale.over(values, left, width - right)
    height = 64 + sum(26 + step * len(rows) for _, rows in groups) + 10
    parts = [_text(10, 20, title, "title"), _text(10, 38, _legend(unit, series), "small")]
    for decade in scale.decades():
        x = scale.at(decade)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="52" x2="{x:.1f}" y2="{height - 10}"/>')
        parts.append(_text(x, 48, _number(decade), "small", "middle"))
    y = 64.0
    for name, rows in groups:
        parts.append(_text(10, y + 12, name, "group"))
        y += 20
        for row in rows:
            parts += _row(row, y, scale, thick, step)
            y += step
        y += 6
    return _document(width, height, parts)


def _legend(unit: str, series: tuple[str, ...]) -> str:
    return f"{unit}; logarithmic; upper bar: {series[0]}, lower bar: {series[1]}" if len(series) == 2 else unit


def _row(row: Bar, y: float, scale: Scale, thick: int, step: int) -> list[str]:
    parts = [_text(scale.start - 8, y + step / 2, row.label, "", "end")]
    for place, value in enumerate(row.values):
        top = y + place * thick
        if not value:
            parts.append(_text(scale.start + 4, top + thick - 1, "–", "small"))
            continue
        kind = ("own" if row.own else "other") + (" second" if place else "")
        end = max(scale.at(value), scale.start + 1)
        place_and_size = f'x="{scale.start}" y="{top:.1f}" width="{end - scale.start:.1f}" height="{thick - 1}"'
        parts.append(f'<rect class="{kind}" {place_and_size}/>')
        parts.append(_text(end + 4, top + thick - 1, _number(value), "small"))
    return parts


def lines(title: str, unit: str, places: tuple[str, ...], rows: list[tuple[str, list[float | None]]]) -> str:
    """Draw a line for each peer over the same places, on a logarithmic axis; the names stand at the ends."""
    left, right, width, height, top, bottom = 60, 210, 860, 360, 56, 30
    values = [value for _, row in rows for value in row if value]
    scale = Scale.over(values, height - bottom, top)
    parts = [_text(10, 20, title, "title"), _text(10, 38, f"{unit}; logarithmic", "small")]
    for decade in scale.decades():
        y = scale.at(decade)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, _number(decade), "small", "end"))
    gap = (width - right - left - 40) / (len(places) - 1)
    spots = [left + 20 + gap * place for place in range(len(places))]
    parts += [_text(x, height - 8, name, "small", "middle") for x, name in zip(spots, places, strict=True)]
    names = _apart([(scale.at(row[-1 - _gap(row)] or 1), name) for name, row in rows if any(row)])
    for (name, row), colour in zip(rows, COLOURS * 3, strict=False):
        known = [(x, scale.at(value)) for x, value in zip(spots, row, strict=True) if value]
        if not known:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in known)
        thick = 3.5 if name == "flockq" else 2
        parts.append(f'<polyline class="line" style="stroke-width:{thick}" stroke="{colour}" points="{path}"/>')
        parts += [f'<circle class="dot" fill="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in known]
        there = names[name]
        (x, y), at = known[-1], width - right + 14
        lead = f'x1="{x + 4:.1f}" y1="{y:.1f}" x2="{at}" y2="{there - 4:.1f}"'
        parts.append(f'<line stroke="{colour}" stroke-dasharray="1 3" {lead}/>')
        parts.append(_text(at + 4, there, name))
    return _document(width, height, parts)


def _gap(row: list[float | None]) -> int:
    """Return how many values are missing at the end."""
    return next(place for place, value in enumerate(reversed(row)) if value)


def _apart(places: list[tuple[float, str]]) -> dict[str, float]:
    """Return heights for names near their places, 15 apart."""
    found: dict[str, float] = {}
    last = 0.0
    for y, name in sorted(places):
        last = max(y + 4, last + 15)
        found[name] = last
    return found
