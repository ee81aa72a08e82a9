"""The signal `rate_limit_exceeded`: which limit has denied which request, under which key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from apps import TENANT, USER, bare_app, bearer, make_app
from flask_tenant_auth import (
    TenantAuth,
    create_api_key,
    login_limit,
    public_route,
    rate_limit,
    verify_tenant_context,
)
from flask_tenant_auth._core import Decision
from flask_tenant_auth.limit.logins import account_of
from flask_tenant_auth.signals import rate_limit_exceeded


@contextmanager
def breaches() -> Iterator[list[dict[str, Any]]]:
    found: list[dict[str, Any]] = []

    def note(sender: Flask, **arguments: Any) -> None:
        found.append({"sender": sender, **arguments})

    with rate_limit_exceeded.connected_to(note):
        yield found


def breach_of(app: Flask, path: str, times: int = 2, **arguments: Any) -> dict[str, Any]:
    """Return what was sent at the last of so many requests, which alone is denied."""
    client = app.test_client()
    with breaches() as found:
        for _ in range(times):
            response = client.get(path, **arguments)
    assert response.status_code == 429
    (breach,) = found
    assert breach["sender"] is app
    assert isinstance(breach["decision"], Decision)
    assert not breach["decision"].allowed
    return breach


def key_of(name: str) -> Callable[[], str]:
    return lambda: name


def view() -> str:
    return "in"


@pytest.mark.parametrize("hooked", [True, False])
@pytest.mark.parametrize(
    ("per", "arguments", "key"),
    [
        ("user", {"headers": bearer()}, f"{TENANT}/{USER}"),
        ("user", {}, "127.0.0.1"),
        ("tenant", {"headers": bearer()}, TENANT),
        ("tenant", {}, "127.0.0.1"),
        ("address", {"headers": bearer()}, "127.0.0.1"),
        ("address", {"environ_base": {"REMOTE_ADDR": "[2001:db8::7]:443"}}, "2001:db8::/64"),
        ("address", {"environ_base": {"REMOTE_ADDR": "::ffff:192.0.2.1"}}, "192.0.2.1"),
        ("address", {"environ_base": {"REMOTE_ADDR": "unix:"}}, "unix:"),
        (lambda: "green", {}, "green"),
        (lambda: "é", {}, hashlib.sha256("é".encode()).hexdigest()),
        (lambda: None, {}, "127.0.0.1"),
    ],
)
def test_the_key_is_whom_the_limit_counts(
    per: Any, arguments: dict[str, Any], key: str, *, hooked: bool
) -> None:
    app = make_app() if hooked else bare_app()
    app.get("/", endpoint="index")(rate_limit("1 per hour", per=per)(view))
    breach = breach_of(app, "/", **arguments)
    assert breach["key"] == key
    assert breach["endpoint"] == "index"
    assert str(breach["limit"].rate) == "1 per 1 hour"
    assert (breach["identity"] is None) is ("headers" not in arguments)


def test_it_is_the_limit_that_denies_and_its_own_key() -> None:
    app = make_app()
    limited: Any = view
    for name in ("tight", "wide"):
        rate = "1 per hour" if name == "tight" else "9 per hour; 99 per day"
        limited = rate_limit(rate, per=key_of(name), scope=name)(limited)
    app.get("/")(rate_limit("9 per hour", per="tenant")(limited))
    breach = breach_of(app, "/")
    assert (breach["key"], breach["limit"].scope) == ("tight", "shared tight")


def test_a_fair_share_is_the_limit_of_a_user() -> None:
    app = make_app()
    app.get("/")(rate_limit("4 per hour", per="tenant", fair_share=0.5)(view))
    breach = breach_of(app, "/", times=3, headers=bearer())
    assert (breach["key"], breach["limit"].per) == (f"{TENANT}/{USER}", "member")


def test_an_api_key_is_counted_by_its_id(tmp_path: Path) -> None:
    app = make_app(AUTH_SESSION_STORE=f"sqlite:///{tmp_path / 'sessions.db'}")
    app.get("/")(rate_limit("1 per hour")(verify_tenant_context(view)))
    with app.app_context():
        made = create_api_key(TENANT, USER, "user", permissions=(), name="robot")
    breach = breach_of(app, "/", headers={"Authorization": f"Bearer {made.key}"})
    assert breach["key"] == breach["identity"].api_key_id == made.id


def test_the_default_and_a_request_without_a_route_are_told() -> None:
    app = make_app(RATELIMIT_DEFAULT="1 per hour")
    breach = breach_of(app, "/missing")
    assert (breach["endpoint"], breach["limit"].scope) == (None, "default")


@pytest.mark.parametrize("decorated", [True, False])
def test_failed_authentications_are_told(*, decorated: bool) -> None:
    app = make_app(AUTH_FAILURE_LIMIT="1 per hour")
    if decorated:
        app.get("/", endpoint="index")(verify_tenant_context(view))
    else:
        app.get("/", endpoint="index")(public_route(lambda: ("", 401)))
    breach = breach_of(app, "/")
    assert breach["key"] == "127.0.0.1"
    assert breach["limit"].scope == "authentication failures"
    assert breach["endpoint"] == "index"


def test_a_limit_of_log_ins_tells_no_name() -> None:
    app = make_app(AUTH_FAILURE_LIMIT="")
    app.get("/", endpoint="login")(
        login_limit("1 per hour", key="email", address_limit="9 per hour", methods=["GET"])(
            lambda: ("", 401)
        )
    )
    breach = breach_of(app, "/?email=Ann")
    assert breach["key"] == account_of("ann")


def test_each_limited_request_is_told_once() -> None:
    app, auth = bare_app(RATELIMIT_DEFAULT="1 per hour"), TenantAuth()
    auth.init_app(app)
    app.get("/")(view)
    with breaches() as found:
        statuses = [app.test_client().get("/").status_code for _ in range(4)]
    assert statuses == [200, 429, 429, 429]
    assert len(found) == 3


def test_a_view_that_is_called_again_is_denied_again_and_told_once() -> None:
    app = bare_app()
    limited: Any = rate_limit("1 per hour", per=lambda: "key")(view)
    with breaches() as found, app.test_request_context("/"):
        assert limited() == "in"
    with breaches() as found, app.test_request_context("/"):
        assert [limited()[1], limited()[1]] == [429, 429]
        assert request.path == "/"
    assert [each["key"] for each in found] == ["key"]
