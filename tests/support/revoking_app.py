"""The app of the tests of revocation under gunicorn; the environment configures it."""

from __future__ import annotations

import os

from flask import Flask, request

from flask_tenant_auth import (
    TenantAuth,
    create_session,
    public_route,
    refresh_session,
    revoke_user,
    verify_tenant_context,
)

app = Flask("revoking", instance_path=os.environ["INSTANCE_PATH"])
TenantAuth(app)


@app.post("/begin")
@public_route
def begin():
    body = request.get_json()
    return create_session(body["tenant"], body["user"])._asdict()


@app.post("/refresh")
@public_route
def refresh():
    return refresh_session(request.get_json()["refresh_token"])._asdict()


@app.post("/revoke")
@public_route
def revoke():
    body = request.get_json()
    revoke_user(body["tenant"], body["user"])
    return {"pid": os.getpid()}


@app.get("/who")
@verify_tenant_context
def who():
    return {"pid": os.getpid()}
