"""The panels of the Grafana dashboard as a page, drawn of what Prometheus answers to their queries.

Grafana is no package of Debian. So this shows which panels there are and what their queries have,
and not how Grafana draws them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, StrictUndefined

from flask_tenant_auth.console.page import STYLE

WIDTH, HEIGHT = 560, 120
COLUMNS = 24
# Dashes tell the lines apart without colour.
DASHES = ("", "7 4", "2 3", "10 3 2 3")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Dashboard</title>
<style>{{ style }}
main { display: grid; gap: .75rem; grid-template-columns: repeat({{ columns }}, 1fr); }
section { margin: 0; }
h2 { font-size: 1rem; }
.big { font-size: 1.75rem; font-weight: 600; margin: 0; }
polyline { fill: none; stroke-width: 2; }
.line-0 { stroke: var(--requests); } .line-1 { stroke: var(--denied); }
.line-2 { stroke: var(--limited); } .line-3 { stroke: var(--failed); }
.legend { font-size: .85rem; }
.legend svg { height: .75rem; width: 2rem; }
</style>
</head>
<body>
<header><div>
<h1>{{ title }}</h1>
<p class="muted">Drawn by a test of what Prometheus answers to the queries of the panels, not by Grafana.</p>
</div></header>
<main>
{% for panel in panels %}
<section style="grid-column: {{ panel.x + 1 }} / span {{ panel.width }}">
<h2>{{ panel.title }}</h2>
{% if panel.is_number %}
<p class="big">{{ panel.lines[0].last }}</p>
{% else %}
<div class="axis"><span>{{ panel.most }}</span></div>
<svg viewBox="0 0 {{ width }} {{ height }}" role="img" aria-label="{{ panel.title }}">
<rect class="frame" x=".5" y=".5" width="{{ width - 1 }}" height="{{ height - 1 }}"/>
{% for line in panel.lines %}
<polyline class="line-{{ line.colour }}" stroke-dasharray="{{ line.dash }}" points="{{ line.points }}"/>
{% endfor %}
</svg>
<div class="axis"><span>{{ seconds }} seconds ago</span><span>now</span></div>
<ul class="legend">
{% for line in panel.lines %}
<li><svg viewBox="0 0 32 12"><polyline class="line-{{ line.colour }}" stroke-dasharray="{{ line.dash }}" points="0,6 32,6"/></svg> {{ line.name }}</li>
{% endfor %}
</ul>
{% endif %}
</section>
{% endfor %}
</main>
</body>
</html>
"""  # noqa: E501 - HTML


@dataclass(frozen=True)
class Line:
    """One series of a panel."""

    name: str
    points: str
    last: str
    colour: int
    dash: str


@dataclass(frozen=True)
class Panel:
    """One panel: a number, or lines over time."""

    title: str
    x: int
    width: int
    is_number: bool
    most: str
    lines: tuple[Line, ...]


def panel_of(
    panel: Mapping[str, Any],
    series: Sequence[tuple[str, Mapping[str, Any]]],
    end: float,
    span: float,
) -> Panel:
    """Return a panel of the dashboard, drawn.

    :param series: for each series the legend of its query, and what Prometheus answers of it.
    :param end: the time at the right side of a panel, and the seconds before it at the left side.
    """
    values = [
        [(float(at), float(value)) for at, value in each["values"] if math.isfinite(float(value))]
        for _, each in series
    ]
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "")
    most = max((value for each in values for _, value in each), default=0) or 1
    lines = []
    for place, ((legend, each), found) in enumerate(zip(series, values, strict=True)):
        points = " ".join(
            f"{WIDTH * (at - end + span) / span:.1f},{HEIGHT - (HEIGHT - 6) * value / most:.1f}"
            for at, value in found
        )
        name = re.sub(
            r"\{\{(\w+)\}\}", lambda label, of=each: of["metric"].get(label[1], ""), legend
        )
        last = _shown(found[-1][1], unit) if found else "no value"
        lines.append(Line(name or "all", points, last, place % 4, DASHES[place // 4 % 4]))
    at = panel["gridPos"]
    is_number = panel["type"] == "stat"
    return Panel(panel["title"], at["x"], at["w"], is_number, _shown(most, unit), tuple(lines))


def _shown(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"
    return f"{value:.3g}"


def dashboard_page(title: str, panels: Sequence[Panel], seconds: int) -> str:
    """Return the page of all panels."""
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_PAGE.replace("{{ style }}", STYLE))
    return template.render(
        title=title, panels=panels, columns=COLUMNS, width=WIDTH, height=HEIGHT, seconds=seconds
    )
