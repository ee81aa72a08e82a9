"""Removes old files of an audit log, whole ones only."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from .chained import number_of
from .files import LogFile, blocks_of, log_files
from .query import read_moment
from .search import read_line


def old_files(path: str | Path, before: datetime) -> list[LogFile]:
    """Return the moved files of a log whose last line was written before a moment.

    The log itself is never one of them, nor a file that is younger than one that stays.

    :raises OSError: for a file that cannot be opened.
    :raises DamagedFileError: for a compressed file that is damaged.
    """
    found = []
    for file in log_files(path):
        if file.path == Path(path) or _last_moment(file) >= before:
            break
        found.append(file)
    return found


def prune(path: str | Path, files: list[LogFile], note: Callable[[str, int], None] | None) -> None:
    """Remove files that `old_files` has returned.

    :param note: writes a control line into the chain, before anything is removed; None: no chain.
    """
    kept = log_files(path)[len(files) :]
    if note is not None and files:
        first = next((n for file in kept if (n := _first_number(file)) is not None), None)
        if first is not None and first > 1:
            note("pruned", first - 1)
    for file in files:
        file.path.unlink()


def _last_moment(file: LogFile) -> datetime:
    """Return the time of the last line that says one, else when the file was last written."""
    last = b""
    with file.open() as stream:
        for block in blocks_of(stream):
            last = block
    for octets in reversed(last.splitlines()):
        line = read_line(octets)
        try:
            return read_moment(str((line or {})["time"]))
        except (KeyError, ValueError):
            continue
    return datetime.fromtimestamp(file.path.stat().st_mtime, timezone.utc)


def _first_number(file: LogFile) -> int | None:
    with file.open() as stream:
        for block in blocks_of(stream):
            for octets in block.splitlines():
                number = number_of(octets)
                if number is not None:
                    return number
    return None
