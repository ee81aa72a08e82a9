"""One GET of a small JSON document of an identity provider, within a deadline.

Nothing else of this package speaks HTTP as a client. TLS is verified; a plain connection goes to
this machine only. A redirect is followed within the scheme, host and port of the URL only.
"""

from __future__ import annotations

import ssl
import threading
from contextlib import suppress
from socket import SHUT_RDWR, socket
from time import monotonic
from typing import Any
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

from ..config.provider_urls import origin_of, shown_url, split_url
from .jwks import parse_json

FETCH_SECONDS = 5.0
MOST_BYTES = 256 * 1024
MOST_REDIRECTS = 3

_PIECE = 16 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchError(Exception):
    """A document could not be fetched. The message names its URL and what was wrong."""


def fetch_json(url: str, deadline: float | None = None) -> tuple[bytes, dict[str, Any]]:
    """Fetch a JSON object; return its octets and what they say.

    :param deadline: when it has to be there, by `time.monotonic`; None: FETCH_SECONDS from now.
    :raises FetchError: for every failure.
    """
    body = fetch(url, deadline)
    try:
        found = parse_json(body)
    except ValueError:
        raise FetchError(f"{shown_url(url)} answered with what is no JSON") from None
    if not isinstance(found, dict):
        raise FetchError(f"{shown_url(url)} answered with JSON that is no object")
    return body, found


def deadline_from_now() -> float:
    """Return when a fetch that begins now has to end, by `time.monotonic`."""
    return monotonic() + FETCH_SECONDS


def fetch(url: str, deadline: float | None = None) -> bytes:
    """Fetch a document, which is whole. Parameters and errors as those of `fetch_json`."""
    if deadline is None:
        deadline = deadline_from_now()
    get = _Get(url, deadline)
    # A thread of its own, because the look-up of a name cannot be ended, and a server can make
    # each of many reads last long.
    thread = threading.Thread(target=get.run, name="flask_tenant_auth GET", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads, or the interpreter ends
        raise FetchError(f"{shown_url(url)} was not asked: no thread could be started") from None
    thread.join(max(0.0, deadline - monotonic()))
    return get.result()


class _Get:
    """One GET with its redirects. `run` runs in a thread, `result` in the one that waits."""

    def __init__(self, url: str, deadline: float) -> None:
        self._url = url
        self._deadline = deadline
        self._lock = threading.Lock()
        self._socket: socket | None = None  # Guarded by the lock, as the next two.
        self._outcome: bytes | FetchError | None = None
        self._ended = False

    def result(self) -> bytes:
        """Return the document that is there now. What still runs is ended."""
        with self._lock:
            self._ended = True
            outcome, connection = self._outcome, self._socket
        if outcome is None:
            if connection is not None:
                with suppress(OSError):  # it is closed already
                    # Not that of ssl.SSLSocket, which takes the TLS state from the running read.
                    socket.shutdown(connection, SHUT_RDWR)
            raise self._error("did not answer in time: its answer has to be there within 5 seconds")
        if isinstance(outcome, FetchError):
            raise outcome
        return outcome

    def run(self) -> None:
        """Fetch the document."""
        outcome: bytes | FetchError
        try:
            outcome = self._follow()
        except FetchError as error:
            outcome = error
        except (HTTPError, OSError, ValueError) as error:
            outcome = self._error(_reason(error))
        except Exception as error:  # noqa: BLE001 - a thread of ours never ends with a traceback
            outcome = self._error(f"could not be fetched: {type(error).__name__}")
        with self._lock:
            self._outcome = outcome
            self._socket = None

    def _error(self, sentence: str) -> FetchError:
        return FetchError(f"{shown_url(self._url)} {sentence}")

    def _follow(self) -> bytes:
        origin = None
        for _ in range(MOST_REDIRECTS + 1):
            try:
                parts = split_url(self._url)
            except ValueError as error:
                raise self._error(str(error)) from None
            if origin not in (None, origin_of(parts)):
                raise self._error(
                    "is where the answer was redirected to: another scheme, host or port, which is "
                    "not followed. Set the URL to where the keys are"
                )
            origin = origin_of(parts)
            location, body = self._get(parts)
            if location is None:
                return body
            self._url = urljoin(self._url, location)
        raise self._error(f"is one redirect more than {MOST_REDIRECTS}")

    def _get(self, parts: SplitResult) -> tuple[str | None, bytes]:
        """Return where the answer redirects to, or None and the document."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if parts.username is not None:
            userinfo = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers |= make_headers(basic_auth=userinfo)
        with self._pool(parts) as pool:
            response = pool.urlopen(
                "GET",
                (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                headers=headers,
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

    def _pool(self, parts: SplitResult) -> urllib3.HTTPConnectionPool:
        scheme, host, port = origin_of(parts)
        seconds = max(0.001, self._deadline - monotonic())
        timeout = Timeout(connect=seconds, read=seconds)
        get = self
        if scheme == "http":

            class Plain(HTTPConnection):
                def connect(self) -> None:
                    super().connect()
                    get.has_connected(self.sock)

            plain = urllib3.HTTPConnectionPool(host, port, timeout=timeout, maxsize=1)
            plain.ConnectionCls = Plain
            return plain

        class Secure(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                get.has_connected(self.sock)

        pool = urllib3.HTTPSConnectionPool(
            host, port, timeout=timeout, maxsize=1, ssl_context=ssl.create_default_context()
        )
        pool.ConnectionCls = Secure
        return pool

    def has_connected(self, connection: Any) -> None:
        """Note the socket, so that `result` can end what runs on it."""
        with self._lock:
            if not self._ended:
                self._socket = connection
                return
        raise self._error("did not answer in time")

    def _body(self, response: BaseHTTPResponse) -> bytes:
        if response.status != 200:
            raise self._error(f"answered with the status {response.status}")
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", ""):
            raise self._error("answered in a content encoding, which was not asked for")
        declared = response.headers.get("Content-Length", "0")
        too_long = self._error(f"answered with more than {MOST_BYTES} bytes")
        if declared.isascii() and declared.isdigit() and int(declared[:10]) > MOST_BYTES:
            raise too_long
        pieces, size = [], 0
        while piece := response.read(_PIECE, decode_content=False):
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise too_long
        return b"".join(pieces)


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
