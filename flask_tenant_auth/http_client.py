"""One HTTP exchange within a deadline: a GET of a small document, or a POST of one.

Nothing else of this package speaks HTTP as a client. TLS is verified; a plain connection goes to
this machine only. A redirect of a GET is followed within the scheme, host and port of the URL only,
and one of a POST is not followed.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from time import monotonic
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, unquote, urljoin

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    HTTPError,
    IncompleteRead,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as Urllib3TimeoutError,
)
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout, make_headers

from .config.provider_urls import origin_of, shown_url, split_url
from .timed_exchange import NotStartedError, TimedExchange, TooLateError

EXCHANGE_SECONDS = 5.0
MOST_BYTES = 256 * 1024
MOST_REDIRECTS = 3

_PIECE = 16 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

T = TypeVar("T")


class ExchangeError(Exception):
    """An exchange failed. The message names its URL and what was wrong."""


class Posted(NamedTuple):
    """How a POST was answered."""

    status: int
    retry_after: str  # empty without that header field


def deadline_from_now() -> float:
    """Return when an exchange that begins now has to end, by `time.monotonic`."""
    return monotonic() + EXCHANGE_SECONDS


def get(url: str, deadline: float | None = None) -> bytes:
    """Fetch a document, which is whole.

    :param deadline: when it has to be there, by `time.monotonic`; None: EXCHANGE_SECONDS from now.
    :raises ExchangeError: for every failure, also for a status other than 200.
    """
    return _Get(url, deadline_from_now() if deadline is None else deadline).result()


def post(url: str, body: bytes, headers: Mapping[str, str]) -> Posted:
    """Send a document within EXCHANGE_SECONDS, and return how that was answered.

    The body of the answer is not read.

    :raises ExchangeError: where there was no answer. The document may have arrived all the same.
    """
    return _Post(url, deadline_from_now(), body, headers).result()


class _Exchange(TimedExchange[T]):
    """One exchange by HTTP."""

    thread_name = "flask_tenant_auth HTTP"

    def __init__(self, url: str, deadline: float) -> None:
        super().__init__(deadline)
        self.url = url

    def error_of(self, error: Exception) -> ExchangeError:
        """Return an error that says what was wrong, without a text of the server."""
        if isinstance(error, ExchangeError):
            return error
        if isinstance(error, NotStartedError):
            return self.error("was not asked: no thread could be started")
        if isinstance(error, TooLateError):
            return self.error("did not answer in time: its answer has to be there within 5 seconds")
        if isinstance(error, (HTTPError, OSError, ValueError)):
            return self.error(_reason(error))
        return self.error(f"could not be asked: {type(error).__name__}")

    def error(self, sentence: str) -> ExchangeError:
        """Return an error that names the URL."""
        return ExchangeError(f"{shown_url(self.url)} {sentence}")

    def split(self) -> SplitResult:
        """Return the parts of the URL.

        :raises ExchangeError: for one that nobody may be asked by.
        """
        try:
            return split_url(self.url)
        except ValueError as error:
            raise self.error(str(error)) from None

    def pool(self, parts: SplitResult) -> urllib3.HTTPConnectionPool:
        """Return what connects to the host of a URL, once."""
        scheme, host, port = origin_of(parts)
        seconds = max(0.001, self.deadline - monotonic())
        timeout = Timeout(connect=seconds, read=seconds)
        exchange = self
        if scheme == "http":

            class Plain(HTTPConnection):
                def connect(self) -> None:
                    super().connect()
                    exchange.has_connected(self.sock)

            plain = urllib3.HTTPConnectionPool(host, port, timeout=timeout, maxsize=1)
            plain.ConnectionCls = Plain
            return plain

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                exchange.has_connected(self.sock)

        pool = urllib3.HTTPSConnectionPool(
            host, port, timeout=timeout, maxsize=1, ssl_context=ssl.create_default_context()
        )
        pool.ConnectionCls = Secure
        return pool


class _Get(_Exchange[bytes]):
    """One GET with its redirects."""

    def exchange(self) -> bytes:
        """Return the document."""
        origin = None
        for _ in range(MOST_REDIRECTS + 1):
            parts = self.split()
            if origin not in (None, origin_of(parts)):
                raise self.error(
                    "is where the answer was redirected to: another scheme, host or port, which is "
                    "not followed. Set the URL to where the keys are"
                )
            origin = origin_of(parts)
            location, body = self._get(parts)
            if location is None:
                return body
            self.url = urljoin(self.url, location)
        raise self.error(f"is one redirect more than {MOST_REDIRECTS}")

    def _get(self, parts: SplitResult) -> tuple[str | None, bytes]:
        """Return where the answer redirects to, or None and the document."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        with self.pool(parts) as pool:
            response = pool.urlopen(
                "GET",
                _target_of(parts),
                headers=headers | _credentials_of(parts),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                if response.status in _REDIRECTS and response.headers.get("Location"):
                    return response.headers["Location"], b""
                return None, self._body(response)
            finally:
                response.close()

    def _body(self, response: BaseHTTPResponse) -> bytes:
        if response.status != 200:
            raise self.error(f"answered with the status {response.status}")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise self.error("answered in a content encoding, which was not asked for")
        declared = response.headers.get("Content-Length", "0")
        too_long = self.error(f"answered with more than {MOST_BYTES} bytes")
        if declared.isascii() and declared.isdigit() and int(declared[:10]) > MOST_BYTES:
            raise too_long
        pieces, size = [], 0
        while piece := response.read(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise too_long
        return b"".join(pieces)


class _Post(_Exchange[Posted]):
    """One POST."""

    def __init__(self, url: str, deadline: float, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__(url, deadline)
        self._body = body
        self._headers = headers

    def exchange(self) -> Posted:
        """Return how it was answered."""
        parts = self.split()
        with self.pool(parts) as pool:
            response = pool.urlopen(
                "POST",
                _target_of(parts),
                body=self._body,
                headers={**self._headers, **_credentials_of(parts)},
                retries=False,
                redirect=False,
                preload_content=False,
            )
            try:
                return Posted(response.status, response.headers.get("Retry-After", ""))
            finally:
                response.close()


def _target_of(parts: SplitResult) -> str:
    """Return the target of a request (RFC 9112, section 3.2.1)."""
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _credentials_of(parts: SplitResult) -> dict[str, str]:
    if parts.username is None:
        return {}
    userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return make_headers(basic_auth=userinfo)


def _reason(error: Exception) -> str:
    """Return what went wrong, without a text of the server."""
    if isinstance(error.__cause__, IncompleteRead):
        return "sent less than it had announced"
    if isinstance(error, NameResolutionError):
        return "has a host whose name is not found"
    if isinstance(error, SSLError):
        inner = error.args[0] if error.args else error
        why = getattr(inner, "verify_message", None) or getattr(inner, "reason", None)
        return f"has no TLS that can be trusted: {why or type(inner).__name__}"
    if isinstance(error, NewConnectionError):
        inner = error.__cause__
        why = inner.strerror if isinstance(inner, OSError) else None
        return f"cannot be reached: {why or 'no connection'}"
    if isinstance(error, Urllib3TimeoutError):
        return "did not answer in time"
    return f"broke the connection or sent no HTTP: {type(error).__name__}"
