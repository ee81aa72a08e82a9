"""The files of an audit log: the one that is written, and those that it was moved to.

Names are those of logrotate: ``audit.jsonl.1``, ``audit.jsonl-20261127``, both perhaps compressed.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

_BLOCK = 1 << 20
_MOVED = re.compile(r"(?:\.(?P<number>\d+)|-(?P<date>[\d-]+))(?P<packed>\.(?:gz|bz2|xz|zst))?")


class DamagedFileError(Exception):
    """A compressed file that cannot be read to its end."""


class LogFile(NamedTuple):
    """One file of a log."""

    path: Path
    packed: str  # ".gz" and so on; empty: not compressed

    def open(self) -> IO[bytes]:
        """Open the file for reading what was written, whatever it is compressed by.

        :raises OSError: for a file that cannot be opened.
        """
        return cast("IO[bytes]", _OPENERS[self.packed](self.path, "rb"))

    def pack(self, path: Path, content: bytes) -> None:
        """Write content into a new file that is compressed like this one."""
        with _OPENERS[self.packed](path, "xb") as file:
            file.write(content)


def _open_zstandard(path: Path, mode: str) -> IO[bytes]:
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        raise OSError(f"{path} is compressed by Zstandard, which needs Python 3.14") from None
    return cast("IO[bytes]", module.open(path, mode))


_OPENERS: dict[str, Callable[..., Any]] = {
    "": open,
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}


def log_files(path: str | Path) -> list[LogFile]:
    """Return the files of a log, the oldest first. The last one is the log itself, if it is there.

    A compressed file is left out where the file that it is made of is still there.
    """
    log = Path(path)
    found: dict[str, tuple[tuple[int, Any], LogFile]] = {}
    for each in sorted(log.parent.glob(f"{glob_escape(log.name)}[.-]*")):
        name = _MOVED.fullmatch(each.name[len(log.name) :])
        if name is None or not each.is_file():
            continue
        packed = name["packed"] or ""
        # Dates grow and numbers fall with time. A log has names of one kind, unless its
        # configuration has changed.
        age = (1, -int(name["number"])) if name["number"] else (0, name["date"])
        found.setdefault(each.name.removesuffix(packed), (age, LogFile(each, packed)))
    files = [file for _age, file in sorted(found.values())]
    return [*files, LogFile(log, "")] if log.is_file() else files


def glob_escape(name: str) -> str:
    """Return a name as a pattern that matches it alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def blocks_of(stream: IO[bytes], limit: int | None = None) -> Iterator[bytes]:
    """Yield the content of a file in blocks of whole lines; the last one may have no line feed.

    :param limit: how many octets are read.
    :raises DamagedFileError: where it is damaged.
    """
    parts: list[bytes] = []
    left = limit
    while True:
        size = _BLOCK if left is None else min(_BLOCK, left)
        with damage_named():
            block = stream.read(size)
        if not block:
            break
        if left is not None:
            left -= len(block)
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*parts, memoryview(block)[:end]])
            parts = []
        if end < len(block):
            parts.append(block[end:])
    if parts:
        yield b"".join(parts)


@contextlib.contextmanager
def damage_named() -> Iterator[None]:
    """Raise `DamagedFileError` for what the modules of the library raise for damaged files."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise DamagedFileError(f"it is damaged: {error}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedFileError(f"it is damaged: {error}") from None  # bz2 raises no other
