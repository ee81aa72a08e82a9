"""Draws a bar chart as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 760
LABEL_X = 12
BAR_X = 330
BAR_MAX = 330
ROW = 24
GROUP_GAP = 34
TOP = 44
OURS, THEIRS = "#2a7d5f", "#a9b1ba"
STYLE = """<style>
  text { font: 13px system-ui, sans-serif; fill: #24292f; dominant-baseline: middle }
  .title { font-size: 16px; font-weight: 600 }
  .group { font-weight: 600 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } }
</style>"""


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    ours: bool


@dataclass(frozen=True)
class Group:
    title: str
    bars: Sequence[Bar]


def text(x: float, y: float, content: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}"{attribute}>{escape(content)}</text>'


def draw(title: str, unit: str, groups: Sequence[Group]) -> str:
    """Draw all groups on one scale, so that their bars can be compared."""
    longest = max(bar.value for group in groups for bar in group.bars)
    parts, y = [text(LABEL_X, 22, title, "title")], TOP
    for group in groups:
        y += GROUP_GAP // 2
        parts.append(text(LABEL_X, y, group.title, "group"))
        y += ROW
        for bar in group.bars:
            width = max(1.0, bar.value / longest * BAR_MAX)
            parts.append(text(LABEL_X, y, bar.name))
            parts.append(
                f'<rect x="{BAR_X}" y="{y - 8}" width="{width:.1f}" height="15" rx="2" '
                f'fill="{OURS if bar.ours else THEIRS}"/>'
            )
            parts.append(text(BAR_X + width + 8, y, f"{bar.value:,.1f} {unit}"))
            y += ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" '
        f'width="{WIDTH}" height="{y}" role="img">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", STYLE, *parts, "</svg>", ""])
