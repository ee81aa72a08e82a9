"""Times and texts as the console writes them."""

from __future__ import annotations

from datetime import datetime, timezone

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def duration(seconds: float) -> str:
    """Return a duration in its largest unit, rounded down, as "3 hours"."""
    whole = max(int(seconds), 0)
    for size, name in _UNITS:
        if whole >= size:
            count = whole // size
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "less than a second"


def moment(at: datetime) -> str:
    """Return a time of UTC to the minute."""
    return f"{at.astimezone(timezone.utc):%Y-%m-%d %H:%M} UTC"


def visible(text: str) -> str:
    """Return a text of others for people: what is not printable is a question mark.

    So it moves no cursor of a terminal, and turns around no text on a page (U+202E).
    """
    return "".join(each if each.isprintable() else "?" for each in text)
