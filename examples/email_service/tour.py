"""The curl lines that `make run` prints: ready to be pasted, one for each answer there is."""

from __future__ import annotations

import json
import shlex
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import select

from flask_tenant_auth import acting_as, create_jwt_token

from .database import session
from .models import Account

TENANT = UUID("11111111-1111-4111-8111-111111111111")
OTHER_TENANT = UUID("22222222-2222-4222-8222-222222222222")
USER = UUID("33333333-3333-4333-8333-333333333333")
ADMIN = UUID("44444444-4444-4444-8444-444444444444")
OTHER_USER = UUID("55555555-5555-4555-8555-555555555555")
ACCOUNT = UUID("550e8400-e29b-41d4-a716-446655440000")

NEW_ACCOUNT = {
    "email": "jane@example.com",
    "account_type": "imap",
    "hostname": "imap.example.com",
    "port": 993,
    "encryption": "ssl",
}


def make_first_account() -> None:
    """Give the tour's user an account, where it is not there yet."""
    with acting_as(TENANT, USER):
        if session().scalar(select(Account.id).where(Account.id == ACCOUNT)) is None:
            values = NEW_ACCOUNT | {"email": "john@example.com", "is_sync_enabled": True}
            session().add(Account(id=ACCOUNT, **values))
            session().commit()


def curl(url: str, token: str | None = None, body: object = None) -> str:
    """One command line."""
    words = ["curl", "-si"]
    if token is not None:
        words += ["-H", f"Authorization: Bearer {token}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join([*words, url])


def tour(app: Flask, base: str) -> str:
    """The text to print for a service at base, a URL without a path."""
    with app.app_context():
        user = create_jwt_token(str(TENANT), str(USER))
        admin = create_jwt_token(str(TENANT), str(ADMIN), "admin")
        other = create_jwt_token(str(OTHER_TENANT), str(OTHER_USER))
        # Somebody who has not asked anything yet, so that it takes exactly 50.
        eager = create_jwt_token(str(TENANT), str(uuid4()))
    accounts = f"{base}/api/v1/accounts"
    wrong_port = NEW_ACCOUNT | {"port": 70000}
    often = curl(accounts, eager).replace("-si", "-s -o /dev/null -w '%{http_code} '")
    stops = [
        ("200, a user lists their accounts", curl(accounts, user)),
        ("201, adds one", curl(accounts, user, NEW_ACCOUNT)),
        ("400, adds one with a mistake", curl(accounts, user, wrong_port)),
        ("403, asks for what only an admin may", curl(f"{base}/api/v1/admin/accounts", user)),
        ("200, an admin asks for the same", curl(f"{base}/api/v1/admin/accounts", admin)),
        (
            "403, another tenant's user asks for the first one's",
            curl(f"{accounts}/{ACCOUNT}", other),
        ),
        ("401, nobody in particular asks", curl(accounts)),
        ("429, after 50 in a minute", f"for i in $(seq 51); do {often}; done; echo"),
    ]
    return "\n\n".join(f"# {title}\n{line}" for title, line in stops)
