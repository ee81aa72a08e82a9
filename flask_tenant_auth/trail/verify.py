"""Verifies the chain of an audit log over all of its files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .._core import read_audit_head, verify_audit_lines
from .files import DamagedFileError, LogFile, blocks_of, log_files
from .lock import head_of, locked_head

_PUBLIC_KEY_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found out about the chain of a log."""

    finding: str  # empty: all of it is as it was written
    place: str  # where, as "audit.jsonl.1:17"; empty: in none of the files
    first: int  # the number of the first line that is left; 0: there is no chain
    last: int  # the number of the last one that was verified
    digest: str  # its digest
    signed: int  # all up to the line of this number is signed
    erased: int  # lines without their personal values
    before: int  # lines before the chain began, which nothing protects
    end_is_known: bool  # whether the head says that nothing is missing after it


class _Parts:
    """The lines of all files, as the core takes them. Opened while nobody writes."""

    def __init__(self, files: list[LogFile], stack: contextlib.ExitStack) -> None:
        self._streams = [stack.enter_context(each.open()) for each in files]
        # Of files that are not compressed: others are not written any more.
        self._status = [
            None if each.packed else os.fstat(stream.fileno())
            for each, stream in zip(files, self._streams, strict=True)
        ]
        self._limits = [None if each is None else each.st_size for each in self._status]
        self.damage: tuple[int, str] | None = None

    def leave_out_part(self, inode: int, offset: int, intended: int) -> None:
        """Leave out the part of a line whose writer was killed, which the next one cuts off."""
        for index, status in enumerate(self._status):
            if (
                status is not None
                and status.st_ino == inode
                and offset < status.st_size < offset + intended
            ):
                self._limits[index] = offset

    def __iter__(self) -> Iterator[bytes | None]:
        for index, stream in enumerate(self._streams):
            yield None
            try:
                yield from blocks_of(stream, self._limits[index])
            except (OSError, DamagedFileError) as error:
                self.damage = (index, str(error))
                return


def verify(
    path: str | Path, keys: tuple[bytes, ...], *, expected: tuple[int, str] | None = None
) -> Report:
    """Return what is found out about the chain of a log, up to the first thing that is wrong.

    :param keys: those of the app, or public ones of 32 bytes. With public ones alone it is not
        known whether the end is there.
    :param expected: the number and digest of a line that was noted elsewhere.
    :raises OSError: for a file that cannot be opened.
    """
    private = tuple(key for key in keys if len(key) != _PUBLIC_KEY_BYTES)
    with contextlib.ExitStack() as stack:
        head = None
        with locked_head(head_of(path)) as octets:
            files = log_files(path)
            parts = _Parts(files, stack)
        if private:
            head = None if octets is None else read_audit_head(octets, private)
        if head is not None:
            _n, _digest, inode, offset, intended = head
            parts.leave_out_part(inode, offset, intended)
        watch = _Watch(expected)
        finding, file, line, first, last, digest, signed, pruned, before, erased = (
            verify_audit_lines(watch.over(parts), keys)
        )
    place = f"{files[file].path.name}:{line}" if finding else ""
    if not finding and parts.damage is not None:
        index, finding = parts.damage
        place = files[index].path.name
    if not finding:
        finding = _missing(head, first, last, digest, pruned, needs_head=bool(private))
    if not finding and expected is not None and not watch.seen:
        finding = f"line {expected[0]} is not there with the digest that was noted"
    return Report(
        finding=finding,
        place=place,
        first=first,
        last=last,
        digest=digest,
        signed=signed,
        erased=erased,
        before=before,
        end_is_known=head is not None,
    )


class _Watch:
    """Looks for a line that was noted, in what is verified."""

    def __init__(self, expected: tuple[int, str] | None) -> None:
        self._marks: tuple[bytes, ...] = ()
        self.seen = False
        if expected is not None:
            n, digest = expected
            self._marks = (f',"n":{n},'.encode(), f',"digest":"{digest}"}}'.encode())

    def over(self, parts: _Parts) -> Iterator[bytes | None]:
        for part in parts:
            if part is not None and self._marks and not self.seen:
                self.seen = any(
                    self._marks[0] in line and line.endswith(self._marks[1])
                    for line in part.splitlines()
                    if self._marks[0] in part
                )
            yield part


def _missing(
    head: tuple[int, str, int, int, int] | None,
    first: int,
    last: int,
    digest: str,
    pruned: int,
    *,
    needs_head: bool,
) -> str:
    """Return what is missing at the beginning or the end, where all that is there is a chain."""
    if first == 0 and head is None:
        return "there is no chain: no file has a line of one, and there is no head"
    if first > 1 and first - 1 > pruned:
        return f"lines {pruned + 1} to {first - 1} are missing at the beginning"
    if head is None:
        if not needs_head:
            return ""
        return "the head is missing, or was made with none of the keys, so the end may be cut off"
    n, head_digest, _inode, _offset, intended = head
    if last < n:
        return f"lines {last + 1} to {n} are missing at the end"
    if last == n and digest != head_digest:
        return f"line {n}, the last one, was replaced"
    if last > n + (1 if intended else 0):
        return f"lines from {n + 1} on were added by somebody who has none of the keys"
    return ""
