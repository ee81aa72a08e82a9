"""The head of a chain of audit lines: the file beside the log, and its lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_WAIT_SECONDS = 5.0


def head_of(path: str | Path) -> Path:
    """Return the path of the head of a log."""
    log = Path(path)
    return log.with_name(log.name + ".head")


@contextlib.contextmanager
def locked_head(path: Path) -> Iterator[bytes | None]:
    """Hold the lock of a head: nobody writes a line meanwhile. Its content, or None if it is away.

    :raises OSError: where it cannot be read, or another process holds the lock all the time.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        _lock(descriptor, path)
        yield os.read(descriptor, 4096)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    end = time.monotonic() + _WAIT_SECONDS
    while not _try_lock(descriptor):
        if time.monotonic() > end:
            raise OSError(f"{path} is locked by another process all the time")
        time.sleep(0.001)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
