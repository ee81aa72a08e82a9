"""Redis and PostgreSQL that speak TLS, with certificates of one authority."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis_server import Authority, TLSRedis
from servers import PostgreSQL


@contextmanager
def tls_servers() -> Iterator[list[str]]:
    """The arguments of openssl_beside.py, which connects to them."""
    with Authority() as authority:
        issued = authority.issue("servers", "DNS:localhost")
        postgresql = PostgreSQL()
        data = postgresql.directory / "data"
        for path in issued:
            copied = Path(shutil.copy(path, data))
            shutil.chown(copied, data.owner())
            copied.chmod(0o600)
        certificate, key = (path.name for path in issued)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"ssl = on\nssl_cert_file = '{certificate}'\n")
            configuration.write(f"ssl_key_file = '{key}'\n")
        with postgresql, TLSRedis(authority, *issued) as redis:
            ca = str(authority.certificate)
            yield [
                f"rediss://localhost:{redis.port}?ssl_ca_certs={ca}",
                str(redis.port),
                ca,
                f"host=localhost port={postgresql.port} user=postgres dbname=postgres "
                f"sslmode=verify-full sslrootcert={ca}",
            ]
