"""Wrong types to every public function: TypeError or ValueError that names the argument."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Response

import flask_tenant_auth as public
from apps import TENANT, USER, make_app
from flask_tenant_auth.sessions.stores import store_of

NEITHER = [None, 7, 1.5, True, b"\xff", [], {}, object(), "", "x"]


def has_permission(value: Any) -> bool:
    with public.acting_as(TENANT, USER, "admin"):
        return public.has_permission(value)


def new_key(tenant_id: Any, user_id: Any, role: Any) -> object:
    return public.create_api_key(tenant_id, user_id, role, name="n")


def calls() -> list[tuple[str, Callable[[Any], object], str, list[object]]]:
    """Name, a call with one argument replaced, that argument's name, and wrong values."""
    f = public
    uuids = NEITHER
    no_str = [wrong for wrong in NEITHER if not isinstance(wrong, str)]
    no_int = [wrong for wrong in NEITHER if type(wrong) is not int]
    callables = [wrong for wrong in NEITHER if wrong not in ("", "x")]
    return [
        ("create_jwt_token", lambda x: f.create_jwt_token(x, USER), "tenant_id", uuids),
        ("create_session", lambda x: f.create_session(x, USER), "tenant_id", uuids),
        ("create_session", lambda x: f.create_session(TENANT, x), "user_id", uuids),
        ("create_session", lambda x: f.create_session(TENANT, USER, x), "role", uuids),
        (
            "create_session",
            lambda x: f.create_session(TENANT, USER, device=x),
            "device",
            no_str[1:],
        ),
        (
            "create_session",
            lambda x: f.create_session(TENANT, USER, permissions=x),
            "permissions",
            ["x", [7], [""], [None]],
        ),
        ("refresh_session", f.refresh_session, "refresh_token", no_str),
        ("list_sessions", lambda x: f.list_sessions(x, USER), "tenant_id", uuids),
        ("list_sessions", lambda x: f.list_sessions(TENANT, x), "user_id", uuids),
        ("revoke_session", f.revoke_session, "session_id", [*no_str, "", "x" * 97, "a\0b"]),
        ("revoke_user", lambda x: f.revoke_user(x, USER), "tenant_id", uuids),
        ("revoke_user", lambda x: f.revoke_user(TENANT, x), "user_id", uuids),
        (
            "revoke_user",
            lambda x: f.revoke_user(TENANT, USER, except_session=x),
            "except_session",
            uuids[1:],
        ),
        ("revoke_tenant", f.revoke_tenant, "tenant_id", uuids),
        ("revoke_token", f.revoke_token, "token", [None, 7, 1.5, True, [], {}, object()]),
        ("create_jwt_token", lambda x: f.create_jwt_token(TENANT, x), "user_id", uuids),
        ("create_jwt_token", lambda x: f.create_jwt_token(TENANT, USER, x), "role", uuids),
        (
            "create_jwt_token",
            lambda x: f.create_jwt_token(TENANT, USER, "user", x),
            "expires_in_hours",
            ["1", True, [], {}, object()],
        ),
        (
            "create_jwt_token",
            lambda x: f.create_jwt_token(TENANT, USER, claims=x),
            "claims",
            [7, "x", [], True, object()],
        ),
        ("decode_jwt_token", f.decode_jwt_token, "token", [None, 7, 1.5, True, [], {}, object()]),
        ("TenantAuth", lambda x: f.TenantAuth().init_app(x), "app", NEITHER),
        ("verify_role", f.verify_role, "roles", [*no_str, "", "a,b", " admin", "a" * 65]),
        ("verify_role", lambda x: f.verify_role(at_least=x), "at_least", [*no_str[1:], "", "a=b"]),
        ("verify_permission", f.verify_permission, "permissions", [*no_str, "", "a b", "a:*", "*"]),
        ("has_permission", has_permission, "permission", [*no_str, "", "a b", "a:*", "*"]),
        ("verify_tenant_context", f.verify_tenant_context, "verify_tenant_context", callables),
        ("rate_limit", f.rate_limit, "limit", no_str),
        (
            "rate_limit",
            lambda x: f.rate_limit("5 per day", deduct_when=x),
            "deduct_when",
            NEITHER[1:],
        ),
        ("concurrency_limit", f.concurrency_limit, "limit", no_int),
        ("concurrency_limit", lambda x: f.concurrency_limit(1, per=x), "per", NEITHER),
        ("rate_limit_block", lambda x: f.rate_limit_block(x, key="k"), "limit|rate", NEITHER),
        ("rate_limit_block", lambda x: f.rate_limit_block("5 per day", key=x), "key", NEITHER[:-1]),
        ("limit_blueprint", lambda x: f.limit_blueprint(x, "5 per day"), "blueprint", NEITHER),
        (
            "limit_blueprint",
            lambda x: f.limit_blueprint(Blueprint("b", __name__), x),
            "limit",
            no_str,
        ),
        ("exempt_blueprint", f.exempt_blueprint, "blueprint", NEITHER),
        ("login_limit", lambda x: f.login_limit(x, key="email"), "limit|rate", NEITHER),
        ("login_limit", lambda x: f.login_limit("5 per day", key=x), "key", NEITHER[:-1]),
        (
            "login_limit",
            lambda x: f.login_limit("5 per day", key="email", address_limit=x),
            "address_limit|rate",
            NEITHER[1:],
        ),
        (
            "login_limit",
            lambda x: f.login_limit("5 per day", key="email")(x),
            "login_limit",
            callables,
        ),
        ("rate_limit_exempt", f.rate_limit_exempt, "rate_limit_exempt", callables),
        ("public_route", f.public_route, "public_route", callables),
        ("protected_elsewhere", f.protected_elsewhere, "by", [*no_str, "", " "]),
        (
            "protected_elsewhere",
            lambda x: f.protected_elsewhere("SSO")(x),
            "protected_elsewhere",
            callables,
        ),
        (
            "verify_resource_access",
            lambda x: f.verify_resource_access(x, USER),
            "resource_tenant_id",
            uuids,
        ),
        (
            "verify_resource_access",
            lambda x: f.verify_resource_access(TENANT, x),
            "resource_user_id",
            uuids,
        ),
        (
            "log_request_context",
            lambda x: f.log_request_context(x, USER, TENANT, "user"),
            "request",
            NEITHER,
        ),
        ("set_session_cookies", lambda x: f.set_session_cookies(x, None), "response", NEITHER),
        ("set_session_cookies", lambda x: f.set_session_cookies(Response(), x), "tokens", NEITHER),
        ("delete_session_cookies", f.delete_session_cookies, "response", NEITHER),
        ("create_auth_response", f.create_auth_response, "message", no_str),
        ("RateLimitExceeded", f.RateLimitExceeded, "message", no_str),
        ("ConcurrencyLimitExceeded", f.ConcurrencyLimitExceeded, "limit", no_int),
        (
            "create_auth_response",
            lambda x: f.create_auth_response("m", x),
            "status_code",
            [None, "401", 401.0, True, 7, []],
        ),
        ("AuthError", f.AuthError, "message", no_str),
        ("AuthError", lambda x: f.AuthError("m", x), "status_code", [None, "401", 7]),
        ("hash_password", f.hash_password, "password", [None, 7, "", b"", [], {}]),
        ("verify_password", lambda x: f.verify_password(x, "$"), "password", [None, 7, [], {}]),
        (
            "create_api_key",
            lambda x: new_key(x, USER, "user"),
            "tenant_id",
            uuids,
        ),
        (
            "create_api_key",
            lambda x: new_key(TENANT, x, "user"),
            "user_id",
            uuids,
        ),
        ("create_api_key", lambda x: new_key(TENANT, USER, x), "role", uuids),
        (
            "create_api_key",
            lambda x: f.create_api_key(TENANT, USER, "user", name="n", permissions=x),
            "permissions",
            [None, 7, "x", {}, ["a b"], [7]],
        ),
        (
            "create_api_key",
            lambda x: f.create_api_key(TENANT, USER, "user", name=x),
            "name",
            [*no_str, "", "n" * 256, "a\nb"],
        ),
        (
            "create_api_key",
            lambda x: f.create_api_key(TENANT, USER, "user", name="n", expires=x),
            "expires",
            [7, 1.5, True, "2030-01-01", datetime(2099, 1, 1), timedelta(0)],
        ),
        ("revoke_api_key", lambda x: f.revoke_api_key(x, "a" * 16), "tenant_id", uuids),
        (
            "revoke_api_key",
            lambda x: f.revoke_api_key(TENANT, x),
            "key_id",
            uuids,
        ),
        ("list_api_keys", lambda x: f.list_api_keys(x), "tenant_id", uuids),
        ("list_api_keys", lambda x: f.list_api_keys(TENANT, x), "user_id", uuids[1:]),
        ("verify_password", lambda x: f.verify_password("p", x), "stored", no_str[1:]),
        (
            "verify_password",
            lambda x: f.verify_password("p", "$", legacy=x),
            "legacy",
            NEITHER[1:],
        ),
        ("password_needs_rehash", f.password_needs_rehash, "stored", no_str),
        ("acting_as", lambda x: f.acting_as(x, USER).__enter__(), "tenant_id", uuids),
        ("acting_as", lambda x: f.acting_as(TENANT, x).__enter__(), "user_id", uuids),
        ("acting_as", lambda x: f.acting_as(TENANT, USER, x).__enter__(), "role", uuids),
    ]


CASES = [
    pytest.param(call, named, wrong, id=f"{name}({named}={wrong!r:.20})")
    for name, call, named, wrongs in calls()
    for wrong in wrongs
]


@pytest.mark.parametrize(("call", "named", "wrong"), CASES)
def test_a_wrong_type_raises_with_the_name_of_the_argument(
    call: Callable[[object], object], named: str, wrong: object, tmp_path: Path
) -> None:
    app = make_app()
    # Closed here: CPython 3.13 and later warn of a connection that the collector closes.
    with contextlib.closing(store_of(f"sqlite:///{tmp_path}/s.db", "")) as store:
        app.extensions["tenant_auth"].session_store = store
        with app.app_context(), pytest.raises((TypeError, ValueError), match=named):
            call(wrong)


# Callables that take nothing, or anything at all; rate_limit has a table of its own.
WITHOUT_WRONG_ARGUMENTS = {
    "ConfigurationError",
    "Identity",
    "IdentityHeadersError",
    "Key",
    "NoSigningKeyError",
    "SessionInfo",
    "SessionTokens",
    "SessionsUnavailable",
    "TenantRequest",
    "UserRole",
    "extract_bearer_token",
    "extract_tenant_context",
    "get_tenant_context",
    "get_user_role",
    "is_valid_uuid",
    "revoke_everything",
}


# They stand for an object of the request. docs/reference/current_identity.md describes them.
PROXIES = {"current_identity", "current_user"}


def test_every_public_name_is_tested() -> None:
    tested = {name for name, *_ in calls()} | WITHOUT_WRONG_ARGUMENTS | PROXIES
    assert tested == set(public.__all__)


@pytest.mark.parametrize("name", sorted(set(public.__all__) - PROXIES))
def test_every_public_name_has_a_docstring(name: str) -> None:
    documented = getattr(public, name).__doc__
    assert documented
    assert len(documented.strip()) > 20
