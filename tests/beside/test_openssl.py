"""ssl, cryptography and psycopg: one process may have an OpenSSL of each, and of ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paths import SUPPORT
from tls_servers import tls_servers

LIBRARIES = ("ssl", "cryptography.hazmat.bindings._rust", "psycopg", "flask_tenant_auth")


@pytest.fixture(scope="module")
def servers() -> Iterator[list[str]]:
    with tls_servers() as arguments:
        yield arguments


def together(order: tuple[str, ...], servers: list[str], **environment: str) -> list[str]:
    """Run the program; it must end well. Returns the libraries that it has loaded."""
    ran = subprocess.run(
        [sys.executable, SUPPORT / "openssl_beside.py", ",".join(order), *servers],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return ran.stdout.splitlines()


# Each of them is the first, and each the last.
ORDERS = [
    (*order[first:], *order[:first])
    for order in (LIBRARIES, LIBRARIES[::-1])
    for first in range(len(LIBRARIES))
]


@pytest.mark.parametrize("order", ORDERS, ids=",".join)
def test_each_works_beside_the_others_in_each_order_of_import(
    order: tuple[str, ...], servers: list[str]
) -> None:
    loaded = together(order, servers)
    # psycopg brings one, or the test shows nothing.
    found = [name for name in loaded if re.search(r"/libcrypto[\w-]*\.so", name)]
    assert len(found) == 2, found


def test_our_calls_reach_the_openssl_that_we_are_linked_with(
    servers: list[str], tmp_path: Path
) -> None:
    """The dynamic linker tells which file it has found each function in."""
    order = tuple(sorted(LIBRARIES, key="flask_tenant_auth".__eq__))  # ours comes last
    together(order, servers, LD_DEBUG="bindings", LD_DEBUG_OUTPUT=str(tmp_path / "log"))
    said = "".join(path.read_text(errors="replace") for path in tmp_path.iterdir())
    bound = set(re.findall(r"binding file (\S+) \[0\] to (\S+) \[0\]: .*?`(\w+)'", said))
    ours = {(to, name) for by, to, name in bound if "/flask_tenant_auth/_core" in by}
    crypto = {(to, name) for to, name in ours if re.match("EVP_|SSL_|RAND_|X509_", name)}
    assert len(crypto) > 50
    assert {Path(to).name for to, _ in crypto} == {"libcrypto.so.3", "libssl.so.3"}
    # None of the others has found a function in ours.
    assert {by for by, to, _ in bound if "/flask_tenant_auth/_core" in to} <= {
        by for by, _, _ in bound if "/flask_tenant_auth/_core" in by
    }
    # psycopg calls the OpenSSL that it brings, whose files have names of their own.
    theirs = {to for by, to, name in bound if "/libpq" in by and name.startswith("SSL_")}
    assert len(theirs) == 1
    assert not theirs & {to for to, _ in ours}
