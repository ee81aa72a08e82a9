"""The app of the tests with Prometheus under gunicorn; the environment configures it."""

from __future__ import annotations

import os

from flask import Flask, request

from flask_tenant_auth import (
    TenantAuth,
    create_session,
    public_route,
    rate_limit,
    rate_limit_exempt,
    refresh_session,
    verify_tenant_context,
)

app = Flask("measured", instance_path=os.environ["INSTANCE_PATH"])
TenantAuth(app)


@app.get("/who")
@verify_tenant_context
def who():
    return {"pid": os.getpid()}


@app.get("/once")
@public_route
@rate_limit("1 per day")
def once():
    return {}


@app.get("/open")
@public_route
@rate_limit_exempt
def open_to_all():
    return {"pid": os.getpid()}


@app.post("/begin")
@public_route
def begin():
    body = request.get_json()
    return create_session(body["tenant"], body["user"])._asdict()


@app.post("/refresh")
@public_route
def refresh():
    return refresh_session(request.get_json()["refresh_token"])._asdict()
