"""Erases what an audit log has of one user (GDPR, Article 17), in place.

An erased line keeps its length. So the log can be written meanwhile, and the chain of its lines is
as it was: a digest covers a salted digest of the personal values, not the values.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .chained import erased_line, is_control, personal_part
from .files import LogFile, blocks_of, log_files
from .search import read_line

_PASSES = 5
_WRITING_SECONDS = 0.05  # within which a line that was begun is written


@dataclass
class Erased:
    """What was done, and what could not be done."""

    lines: int = 0
    left: int = 0  # lines that name the user where no personal value is: in a reason, for example


class _Eraser:
    def __init__(self, tenant: str, user: str, key: bytes | None) -> None:
        self._tenant = tenant.lower()
        self._named = re.compile(re.escape(user.encode()), re.IGNORECASE)
        self._key = key
        self.lines = 0
        self.left = 0

    def changes(self, block: bytes) -> list[tuple[int, bytes]]:
        """Return the places of a block of lines, and what is to be written there."""
        found: list[tuple[int, bytes]] = []
        place = 0
        while (match := self._named.search(block, place)) is not None:
            begin = block.rfind(b"\n", 0, match.start()) + 1
            end = block.find(b"\n", match.end())
            place = len(block) if end < 0 else end
            instead = self._instead(block[begin:place])
            if instead is not None:
                found.append((begin, instead))
        return found

    def _instead(self, line: bytes) -> bytes | None:
        members = read_line(line)
        if members is None:
            # A part of a line that a full disk has left. Whose it is cannot be told.
            self.lines += 1
            return b" " * len(line)
        tenant = members.get("tenant_id")
        if is_control(line) or (isinstance(tenant, str) and tenant.lower() != self._tenant):
            return None
        instead = erased_line(line, self._key) if self._named.search(personal_part(line)) else None
        if instead is None or self._named.search(instead):
            self.left += 1
        if instead is not None:
            self.lines += 1
        return instead


def erase(path: str | Path, tenant: str, user: str, key: bytes | None) -> Erased:
    """Erase the personal values of each line that names a user of a tenant, in all files.

    A line without a tenant is erased too. Files are read again until nothing is found, because a
    file may be moved or compressed meanwhile.

    :param key: the key of the chain that signs; None where the lines are no chain.
    :raises OSError: for a file that cannot be read or written.
    :raises DamagedFileError: for a compressed file that is damaged.
    """
    done = Erased()
    for _ in range(_PASSES):
        eraser = _Eraser(tenant, user, key)
        for file in log_files(path):
            if file.packed:
                _erase_packed(file, eraser.changes)
            else:
                _erase_plain(file.path, eraser.changes)
        done.lines += eraser.lines
        done.left = eraser.left
        if eraser.lines == 0:
            break
    return done


def _erase_plain(path: Path, changes: Callable[[bytes], list[tuple[int, bytes]]]) -> None:
    """Overwrite lines where they are: writers append to the same file meanwhile."""
    with path.open("r+b", buffering=0) as file:
        offset = 0
        for block in blocks_of(file):
            whole = len(block) if _is_still(file, offset + len(block), block) else 0
            for place, instead in changes(block[: whole or block.rfind(b"\n") + 1]):
                os.pwrite(file.fileno(), instead, offset + place)
            offset += len(block)
        os.fsync(file.fileno())


def _is_still(file: IO[bytes], end: int, block: bytes) -> bool:
    """Whether all of a block is written: its last line is whole, or nobody goes on with it."""
    if not block.endswith(b"\n"):
        time.sleep(_WRITING_SECONDS)
    return os.fstat(file.fileno()).st_size == end or block.endswith(b"\n")


def _erase_packed(file: LogFile, changes: Callable[[bytes], list[tuple[int, bytes]]]) -> None:
    """Compress the file anew, if a line of it changes, and put the new file in its place."""
    parts: list[bytes] = []
    changed = False
    with file.open() as stream:
        for block in blocks_of(stream):
            content = bytearray(block)
            for place, instead in changes(block):
                content[place : place + len(instead)] = instead
                changed = True
            parts.append(bytes(content))
    if not changed:
        return
    with tempfile.TemporaryDirectory(prefix=".erase-", dir=file.path.parent) as folder:
        new = Path(folder) / file.path.name
        file.pack(new, b"".join(parts))
        shutil.copystat(file.path, new)
        status = file.path.stat()
        os.chown(new, status.st_uid, status.st_gid)
        with new.open("rb") as written:
            os.fsync(written.fileno())
        new.replace(file.path)
