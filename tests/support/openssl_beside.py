"""A program that uses this package, ssl, cryptography and psycopg in one process.

    openssl_beside.py ORDER REDIS PORT CERTIFICATES POSTGRESQL

ORDER is the order in which the four are imported, with commas. REDIS is a URL with TLS, which PORT
of localhost serves; CERTIFICATES is the file of its authority. POSTGRESQL is a connection string
with TLS. Each may have an OpenSSL of its own. They work by turns in some threads: each one's
failures, which leave entries in the error queue of its OpenSSL, must not reach another one.
Prints the files of the libraries that are loaded, and nothing else where all is well.
"""

from __future__ import annotations

import importlib
import logging
import socket
import sys
import threading
from pathlib import Path

THREADS = 3
ROUNDS = 3
TENANT = "550e8400-e29b-41d4-a716-446655440000"
USER = "6ba7b810-9dad-41d1-80b4-00c04fd430c8"

order, redis, port, certificates, postgresql = sys.argv[1:]
for name in order.split(","):
    importlib.import_module(name)

import ssl  # noqa: E402 - the order is an argument

import psycopg  # noqa: E402
from cryptography.exceptions import InvalidSignature  # noqa: E402
from cryptography.hazmat.primitives import hashes, serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: E402
from flask import Flask  # noqa: E402

from flask_tenant_auth import (  # noqa: E402
    TenantAuth,
    create_jwt_token,
    get_tenant_context,
    verify_tenant_context,
)

private = rsa.generate_private_key(65537, 2048)
pem = private.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
).decode()

logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)  # it tells of each denial
app = Flask(__name__)
app.config.update(JWT_PRIVATE_KEY=pem, JWT_ALGORITHM="RS256", REDIS_URL=redis)
app.config.update(RATELIMIT_DEFAULT="1000000 per hour", AUTH_FAILURE_LIMIT="")
app.config.update(RATELIMIT_ON_STORE_ERROR="deny", RATELIMIT_STORE_TIMEOUT_MS=5000)
TenantAuth(app)


@app.get("/")
@verify_tenant_context
def index() -> list[str]:
    return list(get_tenant_context())


def ours() -> None:
    """Sign a token, verify it, count in Redis over TLS, and find a signature invalid."""
    with app.app_context():
        token = create_jwt_token(TENANT, USER)
    signed, _, signature = token.rpartition(".")
    client = app.test_client()
    answer = client.get("/", headers={"Authorization": f"Bearer {token}"})
    assert answer.get_json() == [TENANT, USER], answer.get_data()
    wrong = f"{signed}.{signature[:-8]}AAAAAAAA"
    assert client.get("/", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401


def with_ssl() -> None:
    """Shake hands with Redis, and refuse its certificate."""
    trusting = ssl.create_default_context(cafile=certificates)
    with socket.create_connection(("localhost", int(port))) as plain:  # noqa: SIM117
        with trusting.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(b"PING\r\n")
            assert secure.recv(100) == b"+PONG\r\n"
    with socket.create_connection(("localhost", int(port))) as plain:
        try:
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
        except ssl.SSLCertVerificationError:
            return
    raise AssertionError("an unknown authority was believed")


def with_cryptography() -> None:
    """Sign and verify, and find a signature invalid."""
    scheme = padding.PKCS1v15(), hashes.SHA256()
    signature = private.sign(b"text", *scheme)
    private.public_key().verify(signature, b"text", *scheme)
    try:
        private.public_key().verify(signature, b"another text", *scheme)
    except InvalidSignature:
        return
    raise AssertionError("an invalid signature was valid")


def with_psycopg() -> None:
    """Connect with TLS, and refuse the certificate."""
    with psycopg.connect(postgresql) as connection:
        encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert connection.execute(encrypted).fetchone() == (True,)
    try:
        psycopg.connect(postgresql, sslrootcert="system")
    except psycopg.OperationalError:
        return
    raise AssertionError("an unknown authority was believed")


failures: list[BaseException] = []


def work() -> None:
    try:
        for _ in range(ROUNDS):
            for task in (ours, with_ssl, with_cryptography, with_psycopg):
                task()
    except BaseException as error:
        failures.append(error)
        raise


threads = [threading.Thread(target=work) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if failures:
    sys.exit("failed")

maps = Path("/proc/self/maps").read_text("utf-8")
loaded = {line.split()[-1] for line in maps.splitlines() if "/lib" in line}
sys.stdout.write("\n".join(sorted(loaded)))
