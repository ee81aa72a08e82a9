"""An identity provider: a real HTTPS server on the loopback interface, with a CA of its own."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from apps import TENANT, USER
from openssl_keys import KeyPair, openssl

Answer = Callable[["Handler"], None]

# What `openssl req` reads of the certificates.
_EXTENSIONS = """
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, digitalSignature, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
subjectAltName = {names}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class SigningKey:
    """A key pair of the provider, with its kid."""

    def __init__(self, kid: str | None, algorithm: str = "RS256") -> None:
        self.kid, self.algorithm = kid, algorithm
        self.pair = KeyPair(algorithm)

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public key as the provider publishes it. A member that is None is left out."""
        jwk = self.pair.jwk(kid=self.kid, use="sig") | more
        return {name: value for name, value in jwk.items() if value is not None}

    def token(self, *, kid: str | None = None, algorithm: str | None = None, **claims: Any) -> str:
        """A token that this key has signed. A claim that is None is left out."""
        now = int(time.time())
        payload = {"tenant_id": TENANT, "user_id": USER, "iat": now, "exp": now + 3600} | claims
        kid = self.kid if kid is None else kid
        said = {name: value for name, value in payload.items() if value is not None}
        return self.pair.token(said, algorithm, kid=kid)

    def bearer(self, **options: Any) -> dict[str, str]:
        """The Authorization header with a token of `token`."""
        return {"Authorization": f"Bearer {self.token(**options)}"}


class Handler(BaseHTTPRequestHandler):
    """Answers with what the provider is told to answer."""

    server: _Server

    def do_GET(self) -> None:
        provider = self.server.provider
        provider.requests.append(self.path)
        provider.headers = self.headers
        answer = provider.answers.get(self.path.partition("?")[0], not_found)
        answer(self)

    def do_POST(self) -> None:
        provider = self.server.provider
        body = self.rfile.read(int(self.headers["Content-Length"]))
        provider.posted.append((self.headers, body))
        answer = provider.answers.get(self.path.partition("?")[0], not_found)
        answer(self)

    def send(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    provider: Provider

    def handle_error(self, *_: Any) -> None:
        """A client that breaks the connection is what some tests are about."""


class Provider:
    """A provider that publishes its keys; a context manager.

    :param directory: where its CA and certificate are written.
    :param tls: False: it speaks HTTP.
    :param name: the name in its certificate.
    """

    def __init__(self, directory: Path, *, tls: bool = True, name: str = "localhost") -> None:
        self.keys = [SigningKey("first")]
        self.requests: list[str] = []
        self.posted: list[tuple[Message, bytes]] = []
        self.headers = Message()
        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.provider = self
        self.ca = directory / f"ca-{self._server.server_port}.pem"
        self._tls = tls
        if tls:
            chain = _write_certificates(self.ca, name)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            # The handshake is for the thread of the connection.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.answers: dict[str, Answer] = {
            "/keys": self.publish,
            "/.well-known/openid-configuration": self.describe,
        }
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def issuer(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self._server.server_port}"

    @property
    def url(self) -> str:
        """Where its keys are."""
        return self.issuer + "/keys"

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return self.requests.count("/keys")

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Go away: the port is closed."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def answer_keys(self, answer: Answer) -> None:
        """Answer so where the keys are."""
        self.answers["/keys"] = answer

    # Answers

    def publish(self, handler: Handler) -> None:
        handler.send(json.dumps({"keys": [key.jwk() for key in self.keys]}).encode())

    def describe(self, handler: Handler) -> None:
        document = {"issuer": self.issuer, "jwks_uri": self.url}
        handler.send(json.dumps(document).encode(), Content_Type="application/json")


def not_found(handler: Handler) -> None:
    handler.send(b"<html>not here</html>", 404)


def body_of(*entries: dict[str, Any]) -> bytes:
    """The JSON text of a set."""
    return json.dumps({"keys": entries}).encode()


def secret_jwk(secret: bytes, kid: str = "s") -> dict[str, str]:
    k = base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
    return {"kty": "oct", "alg": "HS256", "kid": kid, "k": k}


def _write_certificates(path: Path, name: str) -> Path:
    """Make a CA, write its certificate to `path`; return the file of what it has signed."""
    ca, server = KeyPair("ES256"), KeyPair("ES256")
    names = f"DNS:{name}" + (", IP:127.0.0.1" if name == "localhost" else "")
    configuration = path.with_suffix(".cnf")
    configuration.write_text(_EXTENSIONS.format(names=names))
    certificate = ("req", "-x509", "-config", str(configuration), "-days", "2", "-key")
    of_ca = (*certificate, "KEY", "-extensions", "ca", "-subj", "/CN=CA of the tests")
    path.write_bytes(openssl(*of_ca, key=ca.private))
    chain = path.with_name(path.name.replace("ca-", "server-"))
    chain.write_text(server.private)
    signed = ("-CA", str(path), "-CAkey", "KEY", "-extensions", "server", "-subj", f"/CN={name}")
    own = openssl(*certificate, str(chain), *signed, key=ca.private)
    chain.write_bytes(server.private.encode() + own)
    return chain
