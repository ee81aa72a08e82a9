"""What `make run` adds and prints in development: users, an account, and a curl line a status."""

from __future__ import annotations

import json
import shlex
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import select

from flask_tenant_auth import acting_as, create_jwt_token, hash_password, verify_password

from .database import session
from .models import Account, User
from .users import add_user

TENANT = UUID("11111111-1111-4111-8111-111111111111")
OTHER_TENANT = UUID("22222222-2222-4222-8222-222222222222")
USER = UUID("33333333-3333-4333-8333-333333333333")
ADMIN = UUID("44444444-4444-4444-8444-444444444444")
OTHER_USER = UUID("55555555-5555-4555-8555-555555555555")
OPERATOR = UUID("66666666-6666-4666-8666-666666666666")
ACCOUNT = UUID("550e8400-e29b-41d4-a716-446655440000")

EMAIL = "john@example.com"
USERS = (
    (TENANT, USER, EMAIL, "user"),
    (TENANT, ADMIN, "admin@example.com", "admin"),
    (OTHER_TENANT, OTHER_USER, "jane@example.org", "user"),
)
NEW_ACCOUNT = {
    "email": "jane@example.com",
    "account_type": "imap",
    "hostname": "imap.example.com",
    "port": 993,
    "encryption": "ssl",
}


def add_example_users(password: str) -> None:
    """Add the users that do not exist yet, and give the others this password."""
    for tenant_id, user_id, email, role in USERS:
        with acting_as(tenant_id, user_id):
            user = session().get(User, user_id)
            if user is not None and not verify_password(password, user.password_hash):
                user.password_hash = hash_password(password)
                session().commit()
        if user is None:
            add_user(tenant_id, user_id, email, role, password)


def add_example_account() -> None:
    """Add the account that the curl lines ask for, if it does not exist yet."""
    with acting_as(TENANT, USER):
        if session().scalar(select(Account.id).where(Account.id == ACCOUNT)) is None:
            values = NEW_ACCOUNT | {"email": EMAIL, "is_sync_enabled": True}
            session().add(Account(id=ACCOUNT, **values))
            session().commit()


def curl(url: str, token: str | None = None, body: object = None) -> str:
    """Return one command line."""
    words = ["curl", "-si"]
    if token is not None:
        words += ["-H", f"Authorization: Bearer {token}"]
    if body is not None:
        words += ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    return shlex.join([*words, url])


def curl_lines(app: Flask, base: str, password: str) -> str:
    """Return the lines for a service at base, a URL without a path.

    :param password: that of the example users.
    """
    with app.app_context():
        user = create_jwt_token(str(TENANT), str(USER))
        admin = create_jwt_token(str(TENANT), str(ADMIN), "admin")
        other = create_jwt_token(str(OTHER_TENANT), str(OTHER_USER))
        # A user of its own: its limit of 50 a minute has counted nothing yet.
        fresh = create_jwt_token(str(TENANT), str(uuid4()))
    accounts = f"{base}/api/v1/accounts"
    wrong_port = NEW_ACCOUNT | {"port": 70000}
    print_status = curl(accounts, fresh).replace("-si", "-s -o /dev/null -w '%{http_code} '")
    examples = [
        ("200, a user lists their accounts", curl(accounts, user)),
        ("201, the user adds an account", curl(accounts, user, NEW_ACCOUNT)),
        (
            "400, the user adds an account with a port that is not valid",
            curl(accounts, user, wrong_port),
        ),
        (
            "403, the user lists the accounts of the tenant",
            curl(f"{base}/api/v1/admin/accounts", user),
        ),
        (
            "200, an admin lists the accounts of the tenant",
            curl(f"{base}/api/v1/admin/accounts", admin),
        ),
        (
            "403, a user of another tenant asks for an account of the first user",
            curl(f"{accounts}/{ACCOUNT}", other),
        ),
        ("401, a request has no token", curl(accounts)),
        (
            "200, the user logs in and gets cookies",
            curl(f"{base}/auth/login", body={"email": EMAIL, "password": password}),
        ),
        (
            "429, a user makes more than 50 requests in a minute",
            f"for i in $(seq 51); do {print_status}; done; echo",
        ),
    ]
    return "\n\n".join(f"# {title}\n{line}" for title, line in examples)


def console_line(app: Flask, base: str, permission: str) -> str:
    """Return the address of the console, and a token that opens it, for a service at base."""
    with app.app_context():
        token = create_jwt_token(TENANT, OPERATOR, claims={"permissions": [permission]})
    return f"The console of its operators is at {base}/console. This token opens it:\n{token}\n"
