"""One attack on the files of a chain, by somebody who may write them and has no key."""

from __future__ import annotations

import gzip
import hashlib
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from flask_tenant_auth.trail.files import LogFile, log_files
from flask_tenant_auth.trail.lock import head_of

from .life import content_of

_DIGEST = re.compile(rb',"digest":"([0-9a-f]{64})"\}$')
_COVERED = re.compile(rb'(.*,"personal":"[0-9a-f]{64}").*')
_PREVIOUS = re.compile(rb'"previous":"[0-9a-f]{64}"')


class Attack:
    """The files in a copy of their folder."""

    def __init__(self, log: Path, choose: random.Random) -> None:
        self._log = log
        self._choose = choose

    def run(self, name: str) -> bool:
        """Attack. False: nothing was to be changed in this way."""
        before = self._snapshot()
        ATTACKS[name](self)
        return self._snapshot() != before

    def _snapshot(self) -> list[tuple[str, bytes]]:
        files = [(each.path.name, content_of(each)) for each in log_files(self._log)]
        head = head_of(self._log)
        return [*files, ("head", head.read_bytes() if head.exists() else b"")]

    def _file(self) -> LogFile:
        return self._choose.choice(log_files(self._log))

    def _write(self, file: LogFile, content: bytes) -> None:
        file.path.write_bytes(gzip.compress(content) if file.packed else content)

    def _lines(self, file: LogFile) -> list[bytes]:
        return content_of(file).splitlines(keepends=True)

    def change_octet(self) -> None:
        file = self._file()
        content = bytearray(content_of(file))
        if content:
            content[self._choose.randrange(len(content))] ^= 1 << self._choose.randrange(8)
            self._write(file, bytes(content))

    def change_value(self) -> None:
        """A status, an address or an agent, as somebody would who hides something."""
        file = self._file()
        lines = self._lines(file)
        index = self._choose.randrange(len(lines))
        old, new = self._choose.choice(
            [(b'"status":200', b'"status":403'), (b"192.0.2.1", b"192.0.2.9"), (b"agent", b"Agent")]
        )
        lines[index] = lines[index].replace(old, new)
        self._write(file, b"".join(lines))

    def delete_lines(self) -> None:
        file = self._file()
        lines = self._lines(file)
        start = self._choose.randrange(len(lines))
        del lines[start : start + self._choose.choice([1, 1, 2, 5])]
        self._write(file, b"".join(lines))

    def insert_line(self) -> None:
        file = self._file()
        lines = self._lines(file)
        new = self._choose.choice(
            [b"\n", b"{}\n", b'{"time":"2026"}\n', self._choose.choice(lines)]
        )
        lines.insert(self._choose.randrange(len(lines) + 1), new)
        self._write(file, b"".join(lines))

    def swap_lines(self) -> None:
        file = self._file()
        lines = self._lines(file)
        first, second = (self._choose.randrange(len(lines)) for _ in range(2))
        lines[first], lines[second] = lines[second], lines[first]
        self._write(file, b"".join(lines))

    def move_line(self) -> None:
        """Into another file, which may be this one."""
        file, other = self._file(), self._file()
        lines = self._lines(file)
        line = lines.pop(self._choose.randrange(len(lines)))
        self._write(file, b"".join(lines))
        lines = self._lines(other)
        lines.insert(self._choose.randrange(len(lines) + 1), line)
        self._write(other, b"".join(lines))

    def cut_off(self) -> None:
        file = self._file()
        content = content_of(file)
        self._write(file, content[: self._choose.randrange(len(content))])

    def cut_off_lines(self) -> None:
        """The last lines of the log itself: nothing that follows shows it."""
        file = log_files(self._log)[-1]
        lines = self._lines(file)
        self._write(file, b"".join(lines[: self._choose.randrange(len(lines))]))

    def remove_file(self) -> None:
        self._file().path.unlink()

    def exchange_files(self) -> None:
        first, second = self._file(), self._file()
        a, b = content_of(first), content_of(second)
        self._write(first, b)
        self._write(second, a)

    def forge(self) -> None:
        """Change a line, and compute all digests after it anew, which needs no key."""
        files = log_files(self._log)
        contents = [self._lines(file) for file in files]
        places = [(i, k) for i, lines in enumerate(contents) for k in range(len(lines))]
        start = self._choose.randrange(len(places))
        digest = b""
        for number, (i, k) in enumerate(places):
            line = contents[i][k].removesuffix(b"\n")
            found = _DIGEST.search(line)
            assert found is not None
            if number >= start:
                line = line[: found.start()]
                if number == start:
                    line = line.replace(b'"status":200', b'"status":404')
                if number > 0:
                    line = _PREVIOUS.sub(b'"previous":"' + digest + b'"', line)
                    covered = _COVERED.sub(rb"\1", line)
                    new = hashlib.sha256(bytes.fromhex(digest.decode()) + covered).hexdigest()
                    line += b',"digest":"' + new.encode() + b'"}'
                else:
                    line += found[0]
                contents[i][k] = line + b"\n"
            found = _DIGEST.search(line)
            assert found is not None
            digest = found[1]
        for file, lines in zip(files, contents, strict=True):
            self._write(file, b"".join(lines))

    def erase_without_key(self) -> None:
        """Take the personal values out of a line, as `erase` does, with another signature."""
        file = self._file()
        lines = self._lines(file)
        index = self._choose.randrange(len(lines))
        signature = bytes(self._choose.choice(b"ABCDabcd") for _ in range(85)) + b"A"
        lines[index] = re.sub(
            rb',"salt":"[0-9a-f]{32}".*(?=,"digest":)',
            b',"erased":"' + signature + b'"',
            lines[index],
        )
        self._write(file, b"".join(lines))

    def unerase(self) -> None:
        """Invent personal values for a line that was erased."""
        file = self._file()
        self._write(
            file,
            re.sub(
                rb',"erased":"[\w-]{86}" *',
                b',"salt":"' + b"0" * 32 + b'"',
                content_of(file),
                count=1,
            ),
        )

    def remove_head(self) -> None:
        head_of(self._log).unlink()

    def change_head(self) -> None:
        head = bytearray(head_of(self._log).read_bytes())
        head[self._choose.randrange(len(head))] ^= 1 << self._choose.randrange(8)
        head_of(self._log).write_bytes(head)


ATTACKS: dict[str, Callable[[Attack], None]] = {
    name: function
    for name, function in vars(Attack).items()
    if not name.startswith("_") and name != "run"
}


def copy_of(log: Path, folder: Path) -> Path:
    """Return the log in a copy of its folder."""
    shutil.copytree(log.parent, folder)
    return folder / log.name
