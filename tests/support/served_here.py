"""A WSGI app served by threads of this process, through TLS where that is wanted."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server


class _Handler(WSGIRequestHandler):
    def log(self, *_: Any) -> None:
        pass

    def connection_dropped(self, *_: Any) -> None:
        """A client that breaks the connection is what some tests are about."""


class _Unnamed(_Handler):
    def version_string(self) -> str:
        return "server"


@contextmanager
def served_here(
    app: Any, *, context: ssl.SSLContext | None = None, named: bool = False
) -> Iterator[int]:
    """The port of 127.0.0.1 where an app is served.

    :param named: whether answers say that this is the development server.
    """
    handler = _Handler if named else _Unnamed
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=handler, ssl_context=context
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
