"""Alerts on their way to one sink: a bounded queue, and a thread that sends and tries again.

No request waits for it. The thread runs while there is something to send. An alert that cannot be
sent is tried again for about half an hour, and others are sent meanwhile. What is given up is
logged.
"""

from __future__ import annotations

import atexit
import heapq
import os
import random
import threading
import weakref
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from ..audit import logger
from .alert import Alert

MOST_WAITING = 1000
# The pauses between attempts, in seconds. Each varies by a quarter.
PAUSES = (1.0, 5.0, 30.0, 120.0, 600.0, 1200.0)
# How long a process that ends waits for its alerts.
EXIT_SECONDS = 5.0


class DeliveryError(Exception):
    """An alert was not delivered. The message says why, without secrets.

    :param final: whether the same would happen at every further attempt.
    :param retry_after: in how many seconds at the earliest to try again; 0: that is not known.
    """

    def __init__(self, message: str, *, final: bool = False, retry_after: float = 0) -> None:
        super().__init__(message)
        self.final = final
        self.retry_after = retry_after


class _Waiting(NamedTuple):
    due: float  # by `time.monotonic`
    number: int  # of two that are due at once the older one is first
    attempts: int
    alert: Alert


class Outbox:
    """The alerts that wait for one sink.

    :param name: of the sink, as the log has it.
    :param send: delivers one alert, or raises `DeliveryError`.
    """

    def __init__(self, name: str, send: Callable[[Alert], object]) -> None:
        self.name = name
        self._send = send
        self.after_fork()
        _all.add(self)

    def after_fork(self) -> None:
        """Know nothing of the alerts and the thread of a parent, which sends them."""
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._sending: _Waiting | None = None
        self._number = 0
        self._lost = 0
        self._hurry = False
        self._thread: threading.Thread | None = None

    def put(self, alert: Alert) -> None:
        """Take an alert. It waits for nothing."""
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                self._lost += 1
                if self._lost > 1:
                    return
                logger.error(
                    "%d alerts wait for %s already: further ones are dropped",
                    MOST_WAITING,
                    self.name,
                )
                return
            self._add(alert, 0, monotonic())
            self._start()

    def _add(self, alert: Alert, attempts: int, due: float) -> None:
        self._number += 1
        heapq.heappush(self._waiting, _Waiting(due, self._number, attempts, alert))
        self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._serve, name="flask_tenant_auth alerts", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the next alert tries again
            logger.error("Alerts wait for %s, because no thread could start: %s", self.name, error)
            return
        self._thread = thread

    def _serve(self) -> None:
        while True:
            with self._changed:
                waiting = self._next()
                if waiting is None:
                    self._thread = None
                    return
                self._sending = waiting
            failure = self._attempt(waiting)
            with self._changed:
                self._sending = None
                if failure is not None:
                    self._again(waiting, failure)
                self._changed.notify_all()

    def _next(self) -> _Waiting | None:
        """Wait for the next alert that is due; None where none is left."""
        while self._waiting:
            pause = self._waiting[0].due - monotonic()
            if pause <= 0:
                if self._lost and len(self._waiting) < MOST_WAITING // 2:
                    logger.error("%d alerts for %s were dropped", self._lost, self.name)
                    self._lost = 0
                return heapq.heappop(self._waiting)
            self._changed.wait(pause)
        return None

    def _attempt(self, waiting: _Waiting) -> DeliveryError | None:
        try:
            self._send(waiting.alert)
        except DeliveryError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the thread goes on
            return DeliveryError(repr(error))
        if waiting.attempts:
            logger.warning("%s takes alerts again", self.name)
        return None

    def _again(self, waiting: _Waiting, failure: DeliveryError) -> None:
        alert, attempts = waiting.alert, waiting.attempts
        if failure.final or attempts >= len(PAUSES) or self._hurry:
            logger.error("%s did not take an alert: %s. %s", self.name, failure, alert.line())
            return
        if attempts == 0:
            logger.warning("%s did not take an alert, which is tried again: %s", self.name, failure)
        pause = PAUSES[attempts] * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        pause = max(pause, min(failure.retry_after, PAUSES[-1]))
        self._add(alert, attempts + 1, monotonic() + pause)

    def flush(self, seconds: float) -> bool:
        """Send what waits, each alert once at most, and return whether nothing is left."""
        deadline = monotonic() + seconds
        with self._changed:
            self._hurry = True
            now = monotonic()
            self._waiting = [each._replace(due=now) for each in self._waiting]
            heapq.heapify(self._waiting)
            self._changed.notify_all()
            done = self._changed.wait_for(lambda: not self._unsent(), deadline - monotonic())
            self._hurry = False
            return done

    def _unsent(self) -> list[_Waiting]:
        return self._waiting if self._sending is None else [self._sending, *self._waiting]

    def _end(self, seconds: float) -> None:
        if self.flush(seconds):
            return
        with self._changed:
            for waiting in self._unsent():
                logger.error("%s did not get an alert: %s", self.name, waiting.alert.line())


_all: weakref.WeakSet[Outbox] = weakref.WeakSet()


def _after_fork() -> None:
    for outbox in list(_all):
        outbox.after_fork()


def _at_exit() -> None:
    deadline = monotonic() + EXIT_SECONDS
    for outbox in list(_all):
        outbox._end(max(0.0, deadline - monotonic()))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
