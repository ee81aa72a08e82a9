"""A random life of a chain: writers that are killed, moved files, a full disk, erasure, pruning."""

from __future__ import annotations

import gzip
import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flask_tenant_auth._core import AuditLog, Identity, audit_public_key, shift_clock
from flask_tenant_auth.trail.erase import erase
from flask_tenant_auth.trail.files import LogFile, log_files
from flask_tenant_auth.trail.prune import prune
from flask_tenant_auth.trail.verify import verify

from .oracle import Chain

KEY = bytes(range(64))
PUBLIC = audit_public_key(KEY)
TENANT = "550e8400-e29b-41d4-a716-446655440000"
USERS = [f"6ba7b810-9dad-41d1-80b4-00c04fd430c{digit}" for digit in range(4)]
_DEADLINE = 60.0


class Life:
    """A log below a folder, and what happens to it."""

    def __init__(self, folder: Path, choose: random.Random) -> None:
        self.path = folder / "audit.jsonl"
        self._choose = choose
        self._log = AuditLog(str(self.path), (KEY,))
        self._children: dict[int, int] = {}  # the pipe of each
        self.written = 0  # lines whose write had succeeded, as the writers say
        self.pruned_requests = 0
        self.erased_users: set[str] = set()
        self.seen: Counter[str] = Counter()

    def live(self, steps: int) -> None:
        """Let so many things happen, and end all writers."""
        events: list[tuple[Callable[[], None], int]] = [
            (self._start_writer, 5),
            (self._kill_writer, 4),
            (self._wait_for_growth, 4),
            (self._write, 3),
            (self._move, 3),
            (self._fill_disk, 2),
            (self._pass_hours, 1),
            (self._sign, 1),
            (self._compress, 2),
            (self._erase, 1),
            (self._prune, 1),
        ]
        self._write()  # or there may be no chain at the end
        functions = [event for event, _weight in events]
        weights = [weight for _event, weight in events]
        for event in self._choose.choices(functions, weights, k=steps):
            event()
            self.seen[event.__name__[1:]] += 1
        while self._children:
            self._kill_writer()

    # --- what may happen ---------------------------------------------------------------------

    def _start_writer(self) -> None:
        if len(self._children) < 3:
            lines = self._choose.choice([1, 5, 1000])
            own = self._choose.random() < 0.5  # or the log of the parent
            self._fork(lambda pipe: self._write_in_child(pipe, lines, own=own))

    def _fork(self, run: Callable[[int], None]) -> int:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                run(writer)
            finally:
                os._exit(0)
        os.close(writer)
        self._children[child] = reader
        return child

    def _write_in_child(self, pipe: int, lines: int, *, own: bool) -> None:
        log = AuditLog(str(self.path), (KEY,)) if own else self._log
        for number in range(lines):
            lost = log.lost
            _write_line(log, number)
            if log.lost == lost:
                os.write(pipe, b".")

    def _kill_writer(self) -> None:
        if self._children:
            child = self._choose.choice(sorted(self._children))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            self._reap(child)

    def _reap(self, child: int) -> None:
        os.waitpid(child, 0)
        reader = self._children.pop(child)
        with os.fdopen(reader, "rb") as pipe:
            self.written += len(pipe.read())

    def _wait_for_growth(self) -> None:
        """Let the writers write a random number of octets, if there are any that go on."""
        before = self._size()
        wanted = self._choose.randrange(3000)
        end = time.monotonic() + 0.05
        while self._size() < before + wanted and time.monotonic() < end:
            time.sleep(0.0005)

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def _write(self) -> None:
        lost = self._log.lost
        _write_line(self._log, self._choose.randrange(1000))
        self.written += self._log.lost == lost

    def _move(self) -> None:
        """As logrotate does, which compresses the file before the last one."""
        if not self._size():
            return
        for number in range(30, 0, -1):
            for end in ("", ".gz"):
                old = self.path.with_name(f"audit.jsonl.{number}{end}")
                if old.exists():
                    old.rename(self.path.with_name(f"audit.jsonl.{number + 1}{end}"))
        self.path.rename(self.path.with_name("audit.jsonl.1"))

    def _compress(self) -> None:
        for file in log_files(self.path)[:-2]:
            if not file.packed and not self._children:
                content = file.path.read_bytes()
                file.path.with_name(f"{file.path.name}.gz").write_bytes(gzip.compress(content))
                file.path.unlink()

    def _fill_disk(self) -> None:
        room = self._size() + self._choose.randrange(700)

        def run(pipe: int) -> None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            self._write_in_child(pipe, 3, own=False)

        self._reap(self._fork(run))

    def _pass_hours(self) -> None:
        def run(pipe: int) -> None:
            shift_clock(7200.0, 0.0)
            self._write_in_child(pipe, 2, own=False)

        self._reap(self._fork(run))

    def _sign(self) -> None:
        with suppress(OSError):  # the lock is held for too long
            self._log.note("signed", 0)

    def _erase(self) -> None:
        user = self._choose.choice(USERS)
        while self._children:  # or they go on to write lines of this user
            self._kill_writer()
        erase(self.path, TENANT, user, KEY)
        for file in log_files(self.path):
            with file.open() as stream:
                assert user.encode() not in stream.read(), file
            assert user.encode() not in file.path.read_bytes()

    def _prune(self) -> None:
        files = log_files(self.path)
        if len(files) < 5 or self._children:
            return
        for file in files[:1]:
            self.pruned_requests += content_of(file).count(b',"personal":"')
        with suppress(OSError):
            prune(self.path, files[:1], self._log.note)

    # --- what must be true -------------------------------------------------------------------

    def check(self) -> None:
        """Raise AssertionError unless the chain is whole, also after the next writer."""
        for _ in range(2):
            report = verify(self.path, (KEY,))
            assert not report.finding, f"{report.place}: {report.finding}"
            lost = self._log.lost
            _write_line(self._log, 0)
            assert self._log.lost == lost
            self.written += 1
        chain = Chain(PUBLIC)
        for file in log_files(self.path):
            chain.read(content_of(file))
        report = verify(self.path, (KEY,))
        assert (chain.first, chain.n, chain.digest, chain.erased) == (
            report.first,
            report.last,
            report.digest,
            report.erased,
        )
        assert chain.first - 1 <= chain.pruned
        # No line is lost whose writer was told that it is written.
        assert len(chain.users) + self.pruned_requests >= self.written


def _write_line(log: AuditLog, number: int) -> None:
    user = USERS[number % len(USERS)]
    agent = f"agent/{number} \u00e9" + "x" * (number % 7 * 40)
    log.write(
        "GET", f"/users/{user}", 200, Identity(TENANT, user, "user"), "192.0.2.1", agent, None
    )


def content_of(file: LogFile) -> bytes:
    """Return what was written into a file."""
    with file.open() as stream:
        return stream.read()
