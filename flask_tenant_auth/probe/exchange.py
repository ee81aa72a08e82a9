"""One request and its answer, by the standard library, within a deadline and within bounds.

The service may be anybody's. No redirect is followed, nothing is decompressed, and an answer that
does not end is cut off. A token goes through TLS, or to this machine.
"""

from __future__ import annotations

import io
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from time import monotonic, sleep
from typing import Any

from .target import Target

ANSWER_SECONDS = 10.0
# Of the octets of one answer, its fields included, so many are read.
MOST_BYTES = 256 * 1024
# After so many requests in a row without an answer, no more are sent.
MOST_FAILURES = 3
# The longest that all requests and waits of one run take.
RUN_SECONDS = 300.0
# The longest wait for one limit: the period of most of them, and a second.
WAIT_SECONDS = 61.0

_LONGEST_SHOWN = 160
_SHORTEST_TOKEN = 16
_OF_CREDENTIALS = frozenset({"authorization", "cookie"})


class NoAnswer(Exception):  # noqa: N818 - it says what happened
    """A request had no answer that is HTTP. The message says why.

    :param untrusted: whether the certificate of the service was not trusted.
    """

    def __init__(self, message: str, *, untrusted: bool = False) -> None:
        super().__init__(message)
        self.untrusted = untrusted


@dataclass(frozen=True)
class Answer:
    """What came: the status, the header fields in their order, and the first octets of the body."""

    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def get(self, name: str) -> str | None:
        """Return the value of a field; values of several as one (RFC 9110, section 5.3)."""
        values = [value for each, value in self.fields if each.lower() == name.lower()]
        return ", ".join(values) if values else None

    def number(self, name: str) -> int | None:
        """Return the value of a field that is a number without a sign."""
        value = (self.get(name) or "").strip()
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None

    def json(self) -> dict[str, Any]:
        """Return the object that the body is; an empty one for any other body."""
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters."""
        return (self.get("Content-Type") or "").partition(";")[0].strip().lower()

    def __str__(self) -> str:
        location = self.get("Location")
        if location is not None and 300 <= self.status < 400:
            return f"{self.status} to {shown(location)}"
        return str(self.status)


def shown(text: object) -> str:
    """Return a text of the service as a terminal may show it: short, and in visible ASCII."""
    visible = "".join(each if " " <= each <= "~" else f"\\x{ord(each):02x}" for each in str(text))
    return visible if len(visible) <= _LONGEST_SHOWN else f"{visible[:_LONGEST_SHOWN]}..."


class Client:
    """Asks one service. Each request has a connection of its own.

    :param ca: path of the certificates that are trusted; None: those of the system.
    :param plain_tokens: whether tokens may go to another machine without TLS.
    :param on_wait: called with the seconds before each wait for a limit.
    :raises OSError: where `ca` cannot be read; ssl.SSLError is one.
    """

    def __init__(
        self,
        target: Target,
        *,
        ca: str | None = None,
        plain_tokens: bool = False,
        on_wait: Callable[[int], object] = lambda _seconds: None,
    ) -> None:
        self.target = target
        # The certificates of the system take longer to read than all answers of a run.
        needed = target.secure or ca is not None
        self._context = ssl.create_default_context(cafile=ca) if needed else None
        self.sends_tokens = target.secure or target.is_loopback or plain_tokens
        self._on_wait = on_wait
        self._credentials: set[str] = set()  # that were sent
        self._end = monotonic() + RUN_SECONDS
        self._failures = 0

    def ask(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to one request. Where a limit denies it, wait once, if that is short.

        :param path: of the app, with its query.
        :raises NoAnswer: where there is none.
        :raises ValueError: for a token that must not be sent.
        """
        answer = self.ask_once(method, path, fields)
        wait = answer.number("Retry-After")
        if answer.status != 429 or wait is None or wait > WAIT_SECONDS:
            return answer
        if monotonic() + wait > self._end:
            return answer
        self._on_wait(wait)
        sleep(wait)
        return self.ask_once(method, path, fields)

    def ask_once(self, method: str, path: str, fields: Mapping[str, str] | None = None) -> Answer:
        """Do as `ask`, without a wait."""
        if self.gone:
            raise NoAnswer(
                f"no request was sent, because {MOST_FAILURES} in a row had no answer, or "
                f"{RUN_SECONDS:.0f} seconds have passed"
            )
        try:
            answer = exchange(self, method, path, fields or {})
        except NoAnswer:
            self._failures += 1
            raise
        self._failures = 0
        return answer

    def without_credentials(self, text: str) -> str:
        """Return a text of the service without the tokens that it was sent: it may quote them."""
        for each in tuple(self._credentials):
            text = text.replace(each, "(a token)")
        return text

    def note_credentials(self, fields: Mapping[str, str]) -> None:
        """Keep in mind which tokens are sent."""
        for name, value in fields.items():
            if name.lower() in _OF_CREDENTIALS:
                token = value.rpartition(" ")[2]
                if len(token) >= _SHORTEST_TOKEN:  # a word may be part of any answer
                    self._credentials.add(token)

    @property
    def gone(self) -> bool:
        """Whether no more is sent: the service does not answer any more, or the time is over."""
        return self._failures >= MOST_FAILURES or monotonic() > self._end

    def connect(self, deadline: float, context: ssl.SSLContext | None = None) -> socket.socket:
        """Connect, through TLS where the URL says so.

        :param context: in place of that of the client.
        :raises NoAnswer: where there is no connection.
        """
        reached = self._reach(deadline)
        context = context or self._context
        if context is None or not self.target.secure:
            return reached
        try:
            return context.wrap_socket(reached, server_hostname=self.target.host)
        except (OSError, ValueError) as error:
            reached.close()
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            raise NoAnswer(_reason(error), untrusted=untrusted) from None

    def _reach(self, deadline: float) -> socket.socket:
        failure: OSError = TimeoutError()
        for address in self.target.addresses:
            left = deadline - monotonic()
            if left <= 0:
                break
            try:
                return socket.create_connection((address, self.target.port), left)
            except OSError as error:
                failure = error
        raise NoAnswer(_reason(failure))


def exchange(client: Client, method: str, path: str, fields: Mapping[str, str]) -> Answer:
    """Send one request and return its answer. Threads may do so at once.

    :raises NoAnswer: where there is none.
    :raises ValueError: for a token that must not be sent.
    """
    if not _OF_CREDENTIALS.isdisjoint(name.lower() for name in fields) and not client.sends_tokens:
        raise ValueError("no token is sent to another machine without TLS")
    client.note_credentials(fields)
    deadline = monotonic() + ANSWER_SECONDS
    connection = _Connection(client, deadline)
    try:
        connection.request(
            method,
            client.target.path(path),
            headers={
                "Host": client.target.authority,
                "Accept": "*/*",
                "Connection": "close",
                **fields,
            },
        )
        response = connection.getresponse()
        clean = client.without_credentials
        shown_fields = tuple((clean(name), clean(value)) for name, value in response.getheaders())
        body = clean(_body_of(response).decode("latin-1")).encode("latin-1")
        return Answer(response.status, shown_fields, body)
    except (HTTPException, OSError, ValueError) as error:
        raise NoAnswer(_reason(error)) from None
    finally:
        connection.leave()


def _body_of(response: HTTPResponse) -> bytes:
    """Return the body, or as much of it as there is."""
    body = b""
    try:
        while piece := response.read(16 * 1024):
            body += piece
    except (HTTPException, OSError, ValueError):
        pass  # it does not end, ends too early, or is no chunked body
    return body


class _Connection(HTTPConnection):
    """A connection whose answer is bounded in time and in size."""

    def __init__(self, client: Client, deadline: float) -> None:
        super().__init__(client.target.authority)
        self._client = client
        self._deadline = deadline
        self._opened: socket.socket | None = None

    def connect(self) -> None:
        self._opened = self._client.connect(self._deadline)
        self.sock = _Bounded(self._opened, self._deadline)

    def leave(self) -> None:
        """End it, also where an answer is still to be read."""
        self.close()
        if self._opened is not None:
            self._opened.close()


class _Bounded:
    """What `http.client` uses of a socket. Its own `close` leaves the answer to be read."""

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        self._opened = opened
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        self._opened.settimeout(_left(self._deadline))
        self._opened.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._opened, self._deadline))

    def close(self) -> None:
        pass


class _Reader(io.RawIOBase):
    """The octets of an answer, up to MOST_BYTES and up to a deadline."""

    def __init__(self, opened: socket.socket, deadline: float) -> None:
        self._opened = opened
        self._deadline = deadline
        self._room = MOST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._room <= 0:
            raise OSError(f"an answer of more than {MOST_BYTES} octets is not read to its end")
        self._opened.settimeout(_left(self._deadline))
        size = self._opened.recv_into(memoryview(buffer)[: self._room])
        self._room -= size
        return size


def _left(deadline: float) -> float:
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    """Return what went wrong, in words that are fit to be shown."""
    if isinstance(error, NoAnswer):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {shown(error.verify_message)}"
    if isinstance(error, ssl.SSLError):
        return f"no TLS: {shown(error.reason or type(error).__name__)}"
    if isinstance(error, TimeoutError):
        return f"none within {ANSWER_SECONDS:.0f} seconds"
    if isinstance(error, OSError):
        return shown(error.strerror or error)
    return f"what came is no HTTP: {type(error).__name__}"
