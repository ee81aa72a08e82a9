"""An app behind a2wsgi, which test_a2wsgi.py serves with uvicorn; the environment configures it."""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask, Response, jsonify, request, stream_with_context

from flask_tenant_auth import (
    TenantAuth,
    acting_as,
    current_identity,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import Identity
from flask_tenant_auth.flask.context import identity_in_force

PART = b"x" * 65536
PARTS = 100

flask_app = Flask("behind_a2wsgi")
TenantAuth(flask_app)
received: defaultdict[str, threading.Event] = defaultdict(threading.Event)
closed: dict[str, int] = {}  # how many parts of its stream a user's request has made
seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="nobody")


@flask_app.get("/me")
@verify_tenant_context
@rate_limit("1000000 per hour")
def me() -> Any:
    time.sleep(0.01)  # so that threads take turns
    before = seen.get()
    seen.set(current_identity.user_id)
    return {
        "user_id": current_identity.user_id,
        "before": before,
        "thread": threading.current_thread().name,
        "address": request.remote_addr,
    }


@flask_app.get("/awaited")
@verify_tenant_context
@rate_limit_exempt
async def awaited() -> Any:
    import asyncio

    await asyncio.sleep(0.01)
    return {"user_id": current_identity.user_id}


@flask_app.get("/lent")
@public_route
@rate_limit_exempt
def lent() -> Any:
    before = identity_in_force()
    with acting_as(request.args["tenant"], request.args["user"]):
        time.sleep(0.01)
        inside: Identity | None = identity_in_force()
    after = identity_in_force()
    return jsonify([each and each.user_id for each in (before, inside, after)])


@flask_app.get("/admin")
@verify_role("admin")
def admin() -> str:
    return "in"


@flask_app.get("/limited")
@verify_tenant_context
@rate_limit("5 per hour")
def limited() -> str:
    return "in"


@flask_app.post("/echo")
@verify_tenant_context
@rate_limit_exempt
def echo() -> Any:
    return {"octets": len(request.get_data()), "user_id": current_identity.user_id}


@flask_app.get("/streamed")
@verify_tenant_context
@rate_limit_exempt
def streamed() -> Response:
    """Send the first part, and the rest once the client says that it has that."""

    def parts() -> Iterator[str]:
        for _ in range(5):
            yield f"{current_identity.user_id}\n"
            received[current_identity.user_id].wait(60)

    return Response(stream_with_context(parts()))


@flask_app.get("/received/<user_id>")
@public_route
@rate_limit_exempt
def has_received(user_id: str) -> str:
    received[user_id].set()
    return "on"


@flask_app.get("/long")
@verify_tenant_context
@rate_limit_exempt
def long() -> Response:
    user_id = current_identity.user_id

    def parts() -> Iterator[bytes]:
        made = 0
        try:
            for made in range(1, PARTS + 1):  # noqa: B007 - read in the end
                yield PART
                time.sleep(0.005)
        finally:
            closed[user_id] = made

    return Response(parts())


@flask_app.get("/closed")
@public_route
@rate_limit_exempt
def closed_streams() -> Any:
    return jsonify(closed)


@flask_app.get("/fails")
@verify_tenant_context
@rate_limit_exempt
def fails() -> str:
    raise ZeroDivisionError


app = WSGIMiddleware(flask_app, workers=int(os.environ.get("WORKERS", "8")))
