"""Writes lines of an audit log as a table, as JSON lines or as CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# The columns of CSV; a table leaves out the last ones.
COLUMNS = (
    *("time", "status", "method", "endpoint", "tenant_id", "user_id", "role", "ip", "reason"),
    *("actor", "user_agent", "event", "n", "erased"),
)
_TABLE = COLUMNS[:9]
_WIDTHS = {"time": 27, "status": 6, "method": 6, "endpoint": 24, "tenant_id": 36, "user_id": 36}
# A spreadsheet takes a cell that begins like this as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield each line as JSON in ASCII, which does no harm in a terminal."""
    for line in lines:
        yield json.dumps(line) + "\n"


def as_table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a heading and a row a line. Values that are too wide push the rest to the right."""
    yield _row({name: name for name in _TABLE})
    for line in lines:
        yield _row(line)


def _row(line: dict[str, Any]) -> str:
    cells = [_visible(_text(line.get(name)) or "-").ljust(_WIDTHS.get(name, 0)) for name in _TABLE]
    return "  ".join(cells).rstrip() + "\n"


def as_csv(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield CSV (RFC 4180) with a header. No cell is a formula to a spreadsheet."""
    yield _record(COLUMNS)
    for line in lines:
        yield _record([_cell(line.get(name)) for name in COLUMNS])


def _record(cells: Iterable[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _cell(value: Any) -> str:
    text = _visible(_text(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _visible(text: str) -> str:
    """Return a text in which no character moves the cursor, is invisible or reverses others."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each if each.isprintable() and each != "\u2800" else each.encode("unicode_escape").decode()
        for each in text
    )


FORMATS: dict[str, Callable[[Iterable[dict[str, Any]]], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
