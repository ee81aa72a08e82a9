"""Tables for the terminal, results.json, the chart, and README's section on performance.

README's section and the chart are made from results.json alone. A test makes them again and
compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

from . import apps, chart, leases
from .result import Row, Subject, Table

RESULTS = ROOT / "benchmarks/results.json"
CHART = ROOT / "benchmarks/chart.svg"
README = ROOT / "README.md"
BEGIN = "<!-- made by `make bench` from benchmarks/results.json: begin -->"
END = "<!-- made by `make bench`: end -->"
SECTION = re.compile(f"(?<={re.escape(BEGIN)}\n).*?(?={re.escape(END)})", re.DOTALL)


def shown(figure: float) -> str:
    if abs(figure) >= 100:
        return f"{figure:,.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def print_subject(subject: Subject) -> None:
    print(f"\n{subject.title}")
    for table in subject.tables:
        print(f"\n  {table.title} [{table.unit}]")
        for row in table.rows:
            spread = f"{shown(row.low)} .. {shown(row.high)}" if row.low != row.high else ""
            print(f"    {row.name:<50} {shown(row.median):>10}   {spread}")
    if subject.figures:
        print("\n  Goals")
    for figure in subject.figures:
        sign = ">=" if figure.at_least else "<="
        verdict = "" if figure.reached else "   MISSED"
        wanted = f"{sign} {figure.goal:g}"
        print(f"    {figure.name:<60} {shown(figure.value):>8} {figure.unit:<5} {wanted}{verdict}")
    for note in subject.notes:
        print(f"  {note}")


def to_json(about: dict[str, Any], subjects: Sequence[Subject]) -> str:
    data = {**about, "subjects": {subject.name: subject.to_json() for subject in subjects}}
    rounded = json.loads(json.dumps(data), parse_float=lambda text: float(f"{float(text):.4g}"))
    return json.dumps(rounded, indent=1) + "\n"


class Results:
    """The content of results.json."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.subjects = {
            name: Subject.from_json(subject) for name, subject in data["subjects"].items()
        }

    @classmethod
    def read(cls, path: Path = RESULTS) -> Results:
        return cls(json.loads(path.read_text()))

    def table(self, subject: str, title: str) -> Table:
        return next(each for each in self.subjects[subject].tables if each.title == title)

    def median(self, subject: str, title: str, name: str) -> float:
        rows = self.table(subject, title).rows
        return next(row.median for row in rows if row.name == name)


FLOORS = "Floors: added to a bare request by"
STACK_COLUMNS = {
    "in memory": "Added, in memory, no log line",
    "in memory, INFO line to a file": "Added, in memory, INFO line to a file",
    "Redis": "Added, Redis, no log line",
    "Redis, INFO line to a file": "Added, Redis, INFO line to a file",
}


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rule, *lines))


def stack_lines(results: Results) -> list[list[str]]:
    tables = [results.table("stack", title) for title in STACK_COLUMNS.values()]
    lines = [
        [row.name, *(f"{shown(table.rows[index].median)} us" for table in tables)]
        for index, row in enumerate(tables[0].rows)
    ]
    ours, *peers = ([row.median for row in table.rows] for table in zip_rows(tables))
    best = [min(column) for column in zip(*peers, strict=True)]
    times = (f"**{peer / own:.1f} times**" for peer, own in zip(best, ours, strict=True))
    return [*lines, ["best peer / ours", *times], *floor_lines(results)]


def floor_lines(results: Results) -> list[list[str]]:
    """Return the line of the floors, which results of an earlier run do not have."""
    titles = {table.title for table in results.subjects["stack"].tables}
    if FLOORS not in titles:
        return []
    medians = (row.median for row in results.table("stack", FLOORS).rows)
    return [
        ["logging alone, one EVALSHA alone, both", "", *(f"{shown(one)} us" for one in medians)]
    ]


def zip_rows(tables: Sequence[Table]) -> list[Table]:
    """Transpose the tables: return one for each stack."""
    return [
        Table(rows[0].name, tables[0].unit, tuple(rows))
        for rows in zip(*(table.rows for table in tables), strict=True)
    ]


def served_lines(results: Results) -> list[list[str]]:
    def cell(title: str, row: Row | None) -> str:
        if row is None:
            return ""
        slowest = results.median("served", f"{title}, slowest hundredth", row.name)
        # The upper quartile: see benchmarks/README.md.
        return f"{row.high:,.0f}/s, p99 {shown(slowest)} ms"

    memory, redis = (results.table("served", title).rows for title in ("In memory", "With Redis"))
    with_redis = {row.name: row for row in redis}
    return [
        [row.name, cell("In memory", row), cell("With Redis", with_redis.get(row.name))]
        for row in memory
    ]


def lease_part(results: Results) -> str:
    """Return the part about leases, which results of an earlier run do not have."""
    if "leases" not in results.subjects:
        return ""
    rates, slowest, trips = (
        results.table("leases", title).rows
        for title in (leases.RATES, leases.SLOWEST, leases.TRIPS)
    )
    lines = [
        [
            f"`{rate.name}`",
            f"{rate.median:,.0f}/s, p99 {shown(slow.median)} ms",
            f"{trip.median:.3f}",
        ]
        for rate, slow, trip in zip(rates, slowest, trips, strict=True)
    ]
    return f"""
Two such servers, which count one user in one Redis, with
[leases](docs/redis.md#leases) and without:

{markdown(["both together", "requests per second", "round trips a request"], lines)}
"""


# A part, its subject, its table, our row, the peer's row, the peer.
HS256, MADE, PUBLIC = (
    "HS256, the ordinary token",
    "A token made, HS256",
    "Verified with a public key",
)
HIT = ("One hit from Python", "ours, 1 limit", "limits, 1 limit", "limits")
PARTS = (
    ("HS256 token decoded", "tokens", HS256, "decode_jwt_token", "PyJWT decode", "PyJWT"),
    ("HS256 token made", "tokens", MADE, "create_jwt_token", "PyJWT encode", "PyJWT"),
    ("ES256 token decoded", "tokens", PUBLIC, "ES256, ours", "ES256, PyJWT", "PyJWT"),
    ("UUID checked", "uuids", "A UUID", "is_valid_uuid", "uuid.UUID in a try", "uuid.UUID"),
    ("One hit in memory", "counters", *HIT),
    ("One hit in Redis", "redis", *HIT),
)


def part_lines(results: Results) -> list[list[str]]:
    lines = []
    for what, subject, title, own, their, who in PARTS:
        mine, theirs = (results.median(subject, title, name) for name in (own, their))
        figures = [f"{shown(mine)} us", f"{shown(theirs)} us ({who})"]
        lines.append([what, *figures, f"{theirs / mine:.1f} times"])
    return lines


def readme_section(results: Results) -> str:
    """Return the text between the two markers of README."""
    machine, versions = results.data["machine"], results.data["versions"]
    named = ("PyJWT", "Flask-JWT-Extended", "Flask-Limiter", "Flask-Cors")
    peers = ", ".join(f"{name} {versions[name]}" for name in named)
    bare = shown(results.median("stack", "Flask itself", "bare Flask"))
    return f"""\
![What each stack adds to a request of a bare Flask app](benchmarks/chart.svg)

What a stack adds to a request of a bare Flask app, which itself takes {bare} us: authentication,
role, limit with headers, CORS, audit line.

{markdown(["added per request", *STACK_COLUMNS], stack_lines(results))}

Served by gunicorn (gthread, 2 processes of 4 threads), asked by wrk over 16 connections, the upper
quartile of five rounds:

{markdown(["requests per second", "in memory", "with Redis"], served_lines(results))}
{lease_part(results)}
The parts, called from Python:

{markdown(["", "flask_tenant_auth", "peer", "faster by"], part_lines(results))}

Medians of {results.data["rounds"]} interleaved rounds on {machine["cores"]} cores of
{machine["processor"]}, {machine["system"]}, Python {versions["Python"]}, Flask {versions["Flask"]};
{peers},
each in the fastest form that its documentation offers. Time is the thread's own on the CPU; with
Redis it is the time that passes, waiting included.
[results.json](benchmarks/results.json) has every figure with its spread; `make bench` makes them
anew.
"""


def chart_of(results: Results) -> str:
    groups = [
        chart.Group(
            column,
            [
                chart.Bar(row.name, row.median, ours=row.name == apps.OURS.title)
                for row in results.table("stack", title).rows
            ],
        )
        for column, title in STACK_COLUMNS.items()
    ]
    return chart.draw("Added to a request of a bare Flask app", "us", groups)


def publish(results: Results) -> None:
    """Bring the chart and README's section up to date."""
    CHART.write_text(chart_of(results))
    text = README.read_text()
    if not SECTION.search(text):
        raise AssertionError(f"README.md lacks the markers:\n{BEGIN}\n{END}")
    README.write_text(SECTION.sub(lambda _: readme_section(results), text))
