"""Interpreters of one process, each with a GIL of its own: the core in all of them at once.

Before Python 3.12 no interpreter has a GIL of its own, so there is nothing to try. The programs run
in processes of their own, because a mistake here is a crash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from flask_tenant_auth import _core

# Of the package that is tested, which need not be that of the checkout.
PACKAGE = Path(_core.__file__).parent

# What runs in each interpreter. It makes and verifies tokens, counts, and says what it found.
WORK = """
import json, os, sys, time
sys.path.insert(0, {root!r})
from flask_tenant_auth._core import (
    INVALID_TOKENS, Identity, Key, Keyring, Limit, Limiter, Rate, Roles, permission_number,
)
TENANT, USER = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4", "550e8400-e29b-41d4-a716-446655440000"
number = permission_number("only:{name}")
assert number == 0, number  # each interpreter numbers its own permissions
keyring = Keyring([Key.secret("HS256", b"a secret of at least 32 octets...")])
now = int(time.time())
claims = {{"tenant_id": TENANT, "user_id": USER, "role": "admin", "iat": now, "exp": now + 60}}
token = keyring.sign(json.dumps(claims).encode())
limiter = Limiter(prefix="interpreters", app="{app}", shm_bytes=2**17, shared={shared})
limits = (Limit(Rate(300, 3600), scope="all", per="address"),)
allowed = 0
for _ in range(200):
    identity = keyring.verify(token)
    assert type(identity) is Identity and identity.tenant_id == TENANT, identity
    assert identity.claims["role"] == "admin"
    assert keyring.verify(token + "x") in INVALID_TOKENS.values()
    allowed += limiter.hit(limits, None, "192.0.2.1").allowed
os.write(1, f"{name} allowed {{allowed}}\\n".encode())  # whole, whoever else writes
"""

# Forgets what was counted, so that the memory of the host is removed.
FORGET = """
limiter.reset(limits, None, "192.0.2.1")
limiter.close()
"""

# An interpreter with a GIL of its own, on each Python that has one.
MAIN = """
import sys, threading
if sys.version_info >= (3, 14):
    from concurrent import interpreters
    def run(program):
        one = interpreters.create()
        one.exec(program)
        one.close()
elif sys.version_info >= (3, 13):
    import _interpreters
    def run(program):
        one = _interpreters.create("isolated")
        failed = _interpreters.exec(one, program)
        assert failed is None, failed
        _interpreters.destroy(one)
else:
    import _xxsubinterpreters
    def run(program):
        one = _xxsubinterpreters.create(isolated=True)
        _xxsubinterpreters.run_string(one, program)
        _xxsubinterpreters.destroy(one)

def run_all(programs):
    failures = []
    def guarded(program):
        try:
            run(program)
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"failed: {failures}")
"""

# What the package imports may not be for other interpreters. The core needs nothing of it.
BARE = """
import sys, types
package = types.ModuleType("flask_tenant_auth")
package.__path__ = [{package!r}]
sys.modules["flask_tenant_auth"] = package
"""


def work(name: str, *, app: str = "") -> str:
    """A program for an interpreter; those with one app share the counters of the host."""
    bare = BARE.format(package=str(PACKAGE))
    return bare + WORK.format(root=str(PACKAGE.parent), name=name, app=app, shared=app != "")


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", MAIN + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return sorted(done.stdout.splitlines())


if sys.version_info >= (3, 12):

    def test_an_interpreter_with_a_gil_of_its_own_verifies_and_counts() -> None:
        assert run(f"run({work('first')!r})") == ["first allowed 200"]

    def test_two_at_once_share_the_counters_of_the_host_and_nothing_else() -> None:
        app = f"both of {os.getpid()}"
        programs = [work(name, app=app) for name in ("first", "second")]
        last = work("third", app=app) + FORGET
        lines = run(f"run_all({programs!r}); run({last!r})")
        allowed = {name: int(count) for name, _, count in map(str.split, lines)}
        assert set(allowed) == {"first", "second", "third"}
        assert allowed["first"] + allowed["second"] == 300
        assert allowed["third"] == 0

    def test_the_core_can_be_imported_again_and_again() -> None:
        programs = [work(f"number{n}") for n in range(4)]
        lines = run(f"for program in {programs!r}: run(program)")
        assert lines == [f"number{n} allowed 200" for n in range(4)]

    def test_what_fails_in_an_interpreter_fails_the_program() -> None:
        """A positive control."""
        with pytest.raises(AssertionError):
            run("run('raise SystemError')")
