"""The app that served.py runs under gunicorn; the environment configures it."""

from __future__ import annotations

import os

from flask import Flask, jsonify

from flask_tenant_auth import (
    TenantAuth,
    create_jwt_token,
    get_tenant_context,
    rate_limit,
    rate_limit_exempt,
)
from flask_tenant_auth import verify_tenant_context as verified
from flask_tenant_auth.flask.extension import state_of

app = Flask("served")
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


@app.get("/public/token/<uuid:tenant_id>/<uuid:user_id>")
@rate_limit_exempt
def token(tenant_id, user_id):
    return {"token": create_jwt_token(tenant_id, user_id), "pid": os.getpid()}


@app.get("/public/counters")
@rate_limit_exempt
def counters():
    return jsonify(state_of(app).limiter.status())
