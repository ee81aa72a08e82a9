"""Apps in a process where a library has put a subclass of its own in the place of `flask.Flask`.

Instrumentation does so while it is loaded. An app may have been made of the class before, or this
package may be imported after it: both work as without the library.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from paths import SUPPORT

REPLACE = """
import flask
from flask import Flask

class Instrumented(Flask):
    pass

flask.Flask = Instrumented
"""
# `Flask` is the class as it was, as in an app that has imported it earlier.
PROGRAM = """
import json, sys
from apps import SECRET, bearer
from flask_tenant_auth import TenantAuth, rate_limit, verify_tenant_context
from flask_tenant_auth.openapi import describe_security

def app_of(kind, extension):
    app = kind("app", static_folder="static")
    app.config.update(TESTING=True, REDIS_URL="", JWT_SECRET_KEY=SECRET)
    if extension:
        TenantAuth(app)
        describe_security({"openapi": "3.0.3", "paths": {}}, app)
    app.get("/me")(verify_tenant_context(lambda: "in"))
    app.get("/limited", endpoint="limited")(rate_limit("1 per hour")(lambda: "in"))
    # Whoever turns the result of a view into an answer of his own must not get a denial.
    app.get("/wrapped", endpoint="wrapped")(lambda: str(verify_tenant_context(lambda: "in")()))
    return app

def answers_of(kind, extension):
    app = app_of(kind, extension)
    client = app.test_client()
    denied = client.get("/me")
    answers = {
        "denied": denied.status_code,
        "challenge": denied.headers.get("WWW-Authenticate"),
        "wrapped": client.get("/wrapped").status_code,
        "in": client.get("/me", headers=bearer()).status_code,
        "limited": [client.get("/limited").status_code for _ in range(2)],
    }
    if extension:
        shown = app.test_cli_runner().invoke(args=["auth", "check"]).output
        answers["static"] = "/static/<path:filename>  [static files]  no limit" in shown
    return answers

kinds = {"original": Flask, "replacement": flask.Flask}
print(json.dumps({
    f"{name}, {'extension' if extension else 'decorators'}": answers_of(kind, extension)
    for name, kind in kinds.items() for extension in (True, False)
}))
"""
IMPORT = "import flask_tenant_auth\n"


@pytest.mark.parametrize("program", [REPLACE + IMPORT, IMPORT + REPLACE], ids=["before", "after"])
def test_an_app_of_either_class_is_protected_wherever_the_class_was_replaced(program: str) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", program + PROGRAM],
        cwd=SUPPORT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    expected = {
        "denied": 401,
        "challenge": 'Bearer realm="api"',
        "wrapped": 401,
        "in": 200,
        "limited": [200, 429],
    }
    for name, answers in json.loads(shown.stdout).items():
        has_extension = name.endswith("extension")
        assert answers == expected | ({"static": True} if has_extension else {}), name
