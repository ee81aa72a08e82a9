"""Deadlines of statements: a server that is frozen neither answers nor closes its connections.

A time limit of the server does not help then, and drivers of PostgreSQL have none of their own. So
one thread of the process shuts down the socket of a statement that is late. The driver raises then,
as it does for every connection that was lost.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# How often the thread looks while statements run.
_INTERVAL = 0.1


class Deadlines:
    """The statements that run now, each with its socket and its deadline."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: dict[int, tuple[float, int]] = {}
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(self, connection: Any, deadline: float) -> Iterator[None]:
        """Lose a driver's connection when the block is not done by then (time.monotonic()).

        A driver that shows no socket has a time limit of its own, or is SQLite.
        """
        fileno = getattr(connection, "fileno", None)
        if fileno is None:
            yield
            return
        number = next(self._numbers)
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._watch, name="flask_tenant_auth deadlines", daemon=True
                )
                thread.start()  # It may fail; the next statement tries again then.
                self._thread = thread
            self._running[number] = (deadline, fileno())
            if len(self._running) == 1:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                # Under the lock, so that no socket is shut down that has the same number later.
                self._running.pop(number, None)

    def _watch(self) -> None:
        with self._changed:
            while True:
                self._changed.wait(_INTERVAL if self._running else None)
                now = time.monotonic()
                late = [each for each, (end, _) in self._running.items() if end <= now]
                for number in late:
                    _shut_down(self._running.pop(number)[1])


def _shut_down(fileno: int) -> None:
    with suppress(OSError), socket.socket(fileno=os.dup(fileno)) as shared:
        shared.shutdown(socket.SHUT_RDWR)


_deadlines = Deadlines()


def deadlines() -> Deadlines:
    """Return those of this process."""
    return _deadlines


def _after_fork() -> None:
    global _deadlines  # the thread of the parent is not in the child
    _deadlines = Deadlines()


os.register_at_fork(after_in_child=_after_fork)
