"""A Python whose threads would have the identity of another request is refused, and says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from flask_tenant_auth import ConfigurationError
from flask_tenant_auth.flask import threads
from paths import SUPPORT

ACTS = """
from flask_tenant_auth import acting_as

with acting_as("6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4", "550e8400-e29b-41d4-a716-446655440000"):
    print("it works")
"""
EXTENDS = """
from flask import Flask
from flask_tenant_auth import TenantAuth
from apps import SECRET

app = Flask("apart")
app.config.update(JWT_SECRET_KEY=SECRET, REDIS_URL="")
TenantAuth(app)
print("it works")
"""
DECORATES = """
from apps import SECRET, bearer
from flask import Flask
from flask_tenant_auth import verify_tenant_context

app = Flask("apart")
app.config.update(JWT_SECRET_KEY=SECRET, REDIS_URL="")
app.get("/")(verify_tenant_context(lambda: "it works"))
answer = app.test_client().get("/", headers=bearer())
print(answer.text)
"""
PROGRAMS = {"acting_as": ACTS, "TenantAuth": EXTENDS, "decorators": DECORATES}
# CPython from 3.14 on has the option; without the GIL it is on from the start.
CAN_INHERIT = hasattr(sys.flags, "thread_inherit_context")


def said_by(program: str, inherit: str) -> str:
    options = ["-X", f"thread_inherit_context={inherit}", "-c", program]
    ran = subprocess.run(
        [sys.executable, *options],
        cwd=SUPPORT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_threads_that_inherit_the_context_of_a_request_are_refused(name: str) -> None:
    assert "it works" in said_by(PROGRAMS[name], "0")
    said = said_by(PROGRAMS[name], "1")
    assert ("it works" in said) is not CAN_INHERIT
    assert ("set PYTHON_THREAD_INHERIT_CONTEXT=0" in said) is CAN_INHERIT


def test_what_the_flag_says_counts_and_not_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """So this is tested on each CPython, also on one that has no such flag."""

    class Flags:
        thread_inherit_context = 1

    threads.require_threads_apart()
    monkeypatch.setattr(sys, "flags", Flags())
    with pytest.raises(ConfigurationError, match="PYTHON_THREAD_INHERIT_CONTEXT=0"):
        threads.require_threads_apart()
