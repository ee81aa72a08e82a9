"""Plots of the last hour: where their bars are. The template draws them as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import TURNED_AWAY, Minute

WIDTH, HEIGHT = 600, 120
_GAP = 1


@dataclass(frozen=True)
class Bar:
    """A rectangle, in units of WIDTH and HEIGHT."""

    x: float
    y: float
    width: float
    height: float
    series: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A bar for each minute; the bars of several series stand on each other."""

    id: str
    title: str
    description: str
    series: tuple[str, ...]
    bars: tuple[Bar, ...]
    most: int  # what the top of the plot stands for

    width: int = WIDTH
    height: int = HEIGHT


def plot_of_requests(minutes: Sequence[Minute]) -> Plot:
    """Return the plot of all requests."""
    counts = [[minute.requests] for minute in minutes]
    return _plot("plot-requests", "Requests per minute", ("requests",), counts)


def plot_of_denials(minutes: Sequence[Minute]) -> Plot:
    """Return the plot of requests that were denied, limited or failed."""
    counts = [[minute.of(outcome) for outcome in TURNED_AWAY] for minute in minutes]
    title = "Requests that were denied, limited or failed, per minute"
    return _plot("plot-denials", title, TURNED_AWAY, counts)


def _plot(name: str, title: str, series: tuple[str, ...], counts: list[list[int]]) -> Plot:
    sums = [sum(each) for each in counts]
    most = _round_up(max(sums, default=0))
    step = WIDTH / max(len(counts), 1)
    bars = []
    for place, of_minute in enumerate(counts):
        top = float(HEIGHT)
        for which, count in zip(series, of_minute, strict=True):
            if count:
                # What is there at all can be seen.
                height = max(HEIGHT * count / most, 1.5)
                top = max(top - height, 0.0)
                bars.append(
                    Bar(round(place * step, 2), round(top, 2), step - _GAP, round(height, 2), which)
                )
    return Plot(
        id=name,
        title=title,
        description=_described(series, counts, sums),
        series=series,
        bars=tuple(bars),
        most=most,
    )


def _described(series: Sequence[str], counts: list[list[int]], sums: list[int]) -> str:
    """Say in sentences what the plot shows."""
    if not any(sums):
        return f"None in the last {len(sums)} minutes."
    totals = [sum(column) for column in zip(*counts, strict=True)]
    parts = ", ".join(f"{total} {name}" for name, total in zip(series, totals, strict=True))
    peak = max(sums)
    ago = len(sums) - 1 - sums.index(peak)
    when = "in the current minute" if ago == 0 else f"{ago} minutes ago"
    return f"{parts} in the last {len(sums)} minutes. The most in one minute were {peak}, {when}."


def _round_up(most: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50 and so on."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if most <= factor * unit:
                return factor * unit
        unit *= 10
