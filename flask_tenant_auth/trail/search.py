"""Finds lines in all files of an audit log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .._core import find_audit_lines
from .files import DamagedFileError, LogFile, blocks_of, log_files
from .query import Query

_POLL_SECONDS = 0.2
_STILL_WRITTEN_SECONDS = 2.0  # to a file that was moved: a worker looks once a second


class Search:
    """The lines of a log that a query matches, the oldest first.

    What cannot be read is left out, and counted.
    """

    def __init__(self, path: str | Path, query: Query) -> None:
        self._path = Path(path)
        self._query = query
        self._words = query.words()
        self._since, self._until = query.times()
        self.unreadable = 0  # lines that may match and are no JSON object
        self.damaged: list[str] = []  # what is wrong with files
        self.read_as_json = 0  # lines that were read, of all that there are

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for file in log_files(self._path):
            yield from self._lines_of(file)

    def follow(self) -> Iterator[dict[str, Any]]:
        """Yield what there is, and then each line that is written, for ever."""
        stream: IO[bytes] | None = None
        files = log_files(self._path)
        if files and files[-1].path == self._path:
            stream = self._path.open("rb")  # before the others are read: nothing is moved unseen
            del files[-1]
        for file in files:
            yield from self._lines_of(file)
        rest = b""
        moved_at: float | None = None
        try:
            while True:
                block = b"" if stream is None else stream.read(1 << 20)
                if block:
                    lines, feed, rest = (rest + block).rpartition(b"\n")
                    yield from self._matching(lines + feed)
                elif stream is not None and not self._was_moved(stream):
                    time.sleep(_POLL_SECONDS)
                elif stream is not None and moved_at is None:
                    moved_at = time.monotonic()
                elif moved_at is not None and time.monotonic() < moved_at + _STILL_WRITTEN_SECONDS:
                    time.sleep(_POLL_SECONDS)
                else:
                    stream = self._reopen(stream)
                    rest, moved_at = b"", None
        finally:
            if stream is not None:
                stream.close()

    def _was_moved(self, stream: IO[bytes]) -> bool:
        try:
            there = self._path.stat()
        except OSError:
            return False
        here = os.fstat(stream.fileno())
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _reopen(self, stream: IO[bytes] | None) -> IO[bytes] | None:
        try:
            opened = self._path.open("rb")
        except OSError:
            time.sleep(_POLL_SECONDS)
            return stream
        if stream is not None:
            stream.close()
        return opened

    def _lines_of(self, file: LogFile) -> Iterator[dict[str, Any]]:
        try:
            with file.open() as stream:
                for block in blocks_of(stream):
                    yield from self._matching(block)
        except (OSError, DamagedFileError) as error:
            self.damaged.append(f"{file.path}: {error}")

    def _matching(self, block: bytes) -> Iterator[dict[str, Any]]:
        for octets in find_audit_lines(block, self._words, self._since, self._until):
            self.read_as_json += 1
            line = read_line(octets)
            if line is None:
                self.unreadable += bool(octets.strip())
            elif self._query.matches(line):
                yield line


def read_line(octets: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line is; None if it is none."""
    try:
        line = json.loads(octets.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
