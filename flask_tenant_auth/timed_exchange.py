"""One exchange over a connection that ends by a deadline, whatever the other side does."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from socket import SHUT_RDWR, socket
from time import monotonic
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class NotStartedError(Exception):
    """The exchange did not begin: no thread could be started."""


class TooLateError(Exception):
    """The deadline has come before the end of the exchange."""


class TimedExchange(ABC, Generic[T]):
    """An exchange that a thread of its own does, while the caller waits.

    A time-out of the socket is not enough: the look-up of a name cannot be ended, and a server can
    make each of many reads last long.

    :param deadline: when the exchange has to be over, by `time.monotonic`.
    """

    thread_name = "flask_tenant_auth exchange"

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self._lock = threading.Lock()
        self._socket: Any = None  # Guarded by the lock, as the next two.
        self._outcome: tuple[T] | Exception | None = None
        self._ended = False

    @abstractmethod
    def exchange(self) -> T:
        """Do it. Each connection is told to `has_connected`."""

    @abstractmethod
    def error_of(self, error: Exception) -> Exception:
        """Return what the caller gets in place of an error of `exchange`, or one of this module."""

    def result(self) -> T:
        """Do it within the deadline, and return what came out of it.

        :raises Exception: what `error_of` has returned.
        """
        thread = threading.Thread(target=self._run, name=self.thread_name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads, or the interpreter ends
            raise self.error_of(NotStartedError()) from None
        thread.join(max(0.0, self.deadline - monotonic()))
        with self._lock:
            self._ended = True
            outcome, connection = self._outcome, self._socket
        if outcome is None:
            if connection is not None:
                with suppress(OSError):  # it is closed already
                    # Not that of ssl.SSLSocket, which takes the TLS state from the running read.
                    socket.shutdown(connection, SHUT_RDWR)
            raise self.error_of(TooLateError())
        if isinstance(outcome, Exception):
            raise outcome
        return outcome[0]

    def has_connected(self, connection: Any) -> None:
        """Note the socket, so that `result` can end what runs on it.

        :raises TooLateError: where nobody waits any more.
        """
        with self._lock:
            if self._ended:
                raise TooLateError
            self._socket = connection

    def _run(self) -> None:
        outcome: tuple[T] | Exception
        try:
            outcome = (self.exchange(),)
        except Exception as error:  # noqa: BLE001 - a thread of ours never ends with a traceback
            outcome = self.error_of(error)
        with self._lock:
            self._outcome = outcome
            self._socket = None
