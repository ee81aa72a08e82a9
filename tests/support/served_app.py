"""The app that served.py runs under gunicorn; the environment configures it."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import Flask, jsonify

from flask_tenant_auth import (
    TenantAuth,
    concurrency_limit,
    create_jwt_token,
    get_tenant_context,
    rate_limit,
    rate_limit_exempt,
)
from flask_tenant_auth import verify_tenant_context as verified
from flask_tenant_auth.flask.extension import state_of

app = Flask("served")
if os.environ.get("SERVED_APART"):  # each worker counts for itself
    app.config["RATELIMIT_KEY_PREFIX"] = f"apart {os.getpid()}"
TenantAuth(app)


@app.get("/api/who")
@verified
def who():
    return {"tenant_and_user": get_tenant_context(), "pid": os.getpid()}


@app.get("/fifty")
@verified
@rate_limit("50 per hour")
def fifty():
    return {}


@app.get("/many")
@verified
@rate_limit("1000000 per hour")
def many():
    return {}


# How many may be in a view at once, and where each one that is leaves a file.
AT_ONCE = int(os.environ.get("SERVED_AT_ONCE", "3"))
INSIDE = os.environ.get("SERVED_INSIDE", "")
LEAVE = "leave"  # the file that ends the stay of all


def _inside() -> set[str]:
    return {each.name for each in Path(INSIDE).iterdir()}


@app.get("/at-once/<name>/<float:seconds>")
@rate_limit_exempt
@verified
@concurrency_limit(AT_ONCE)
def at_once(name, seconds):
    """Stay for some seconds, or until all may leave. The answer is how many were inside."""
    own = Path(INSIDE, f"{os.getpid()}-{name}")
    own.touch()
    most = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        inside = _inside()
        most = max(most, len(inside - {LEAVE}))
        if LEAVE in inside:
            break
        time.sleep(0.005)
    own.unlink()
    return {"most": most}


@app.get("/stream")
@rate_limit_exempt
@verified
@concurrency_limit(1, scope="stream")
def stream():
    """Send without an end."""

    def parts():
        while True:
            yield b"part of it\n" * 1000
            time.sleep(0.01)

    return app.response_class(parts())


@app.get("/short")
@rate_limit_exempt
@verified
@concurrency_limit(1, scope="stream")
def short():
    return {}


@app.get("/public/token/<uuid:tenant_id>/<uuid:user_id>")
@rate_limit_exempt
def token(tenant_id, user_id):
    return {"token": create_jwt_token(tenant_id, user_id), "pid": os.getpid()}


@app.get("/public/counters")
@rate_limit_exempt
def counters():
    return jsonify(state_of(app).limiter.status())
