"""The one form of refusals, and that no request makes another."""

from __future__ import annotations

import json
import pickle
from copy import copy, deepcopy
from typing import Any

import pytest
from flask import Flask
from hypothesis import example, given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException

from apps import TENANT, USER, make_app, production_app, token
from flask_tenant_auth import (
    AuthError,
    ConcurrencyLimitExceeded,
    RateLimitExceeded,
    create_auth_response,
    rate_limit,
    verify_tenant_context,
)
from flask_tenant_auth._core import Decision, Limit, parse_rates
from flask_tenant_auth.errors import KeysUnavailable, SessionsUnavailable
from flask_tenant_auth.flask.extension import state_of
from flask_tenant_auth.sqlalchemy.errors import ForeignRow


class SuspendedError(AuthError):
    """One of an app, whose arguments are its own."""

    def __init__(self, days: int) -> None:
        super().__init__(f"Suspended for {days} days", 403, reason="suspended")
        self.days = days


def a_decision() -> Decision:
    limits = [Limit(rate, scope="a", per="address") for rate in parse_rates("5 per minute")]
    return state_of(make_app()).hit(limits, None, "192.0.2.1")


class TestThePair:
    @pytest.mark.parametrize(
        ("status", "title"),
        [
            (400, "Invalid request"),
            (401, "Unauthorized"),
            (403, "Forbidden"),
            (404, "Not Found"),
            (409, "Conflict"),
            (429, "Rate limit exceeded"),
            (500, "Internal server error"),
            (502, "Bad Gateway"),
            (503, "Service unavailable"),
        ],
    )
    def test_each_status_has_its_title(self, status: int, title: str) -> None:
        assert create_auth_response("m", status) == ({"error": title, "message": "m"}, status)

    @pytest.mark.parametrize("status", [0, 99, 200, 302, 399, 499, 600, -401])
    def test_a_status_that_is_no_error_raises(self, status: int) -> None:
        with pytest.raises(ValueError, match="status_code"):
            create_auth_response("m", status)


class TestAuthError:
    def test_an_auth_error_is_an_http_exception(self) -> None:
        error = AuthError("Because", 403)
        assert isinstance(error, HTTPException)
        assert (error.code, error.status_code) == (403, 403)
        assert error.message == error.description == str(error) == "Because"
        assert error.data == {"error": "Forbidden", "message": "Because"}

    def test_an_auth_error_is_a_wsgi_application(self) -> None:
        from werkzeug.test import Client

        response = Client(AuthError('He said "no"\n', 400)).get("/")
        assert response.status_code == 400
        assert response.mimetype == "application/json"
        assert json.loads(response.text)["message"] == 'He said "no"\n'
        assert "WWW-Authenticate" not in response.headers

    @pytest.mark.parametrize(
        ("message", "challenge"),
        [
            ("Log in first", 'Bearer realm="api"'),
            (
                "Invalid token",
                'Bearer realm="api", error="invalid_token", error_description="Invalid token"',
            ),
        ],
    )
    def test_a_401_has_a_challenge(self, message: str, challenge: str) -> None:
        assert AuthError(message).get_response().headers["WWW-Authenticate"] == challenge

    @pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy, deepcopy])
    @pytest.mark.parametrize(
        "error",
        [
            AuthError("Because", 403, reason="mine"),
            AuthError("Because", 402),
            AuthError("Because", 403, headers={"X-Open": "Sunday"}, scope=("a:write",)),
            RateLimitExceeded("5 per 1 minute", a_decision()),
            ConcurrencyLimitExceeded(4),
            KeysUnavailable(9),
            SessionsUnavailable(3),
            ForeignRow("a row of another tenant"),
            SuspendedError(7),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_each_class_can_be_pickled_and_copied(self, error: AuthError, again: Any) -> None:
        made = again(error)
        assert type(made) is type(error)
        is_limited = isinstance(error, RateLimitExceeded)
        assert vars(made) == vars(error) | ({"decision": None} if is_limited else {})
        assert str(made) == str(error)
        assert made.get_response().get_data() == error.get_response().get_data()
        if not is_limited:  # its decision stays in its process
            assert made.headers == error.headers

    def test_each_class_of_the_package_is_among_them(self) -> None:
        def written(cls: type[AuthError]) -> set[str]:
            found = {cls.__name__} if cls.__module__.startswith("flask_tenant_auth") else set()
            return found.union(*map(written, cls.__subclasses__()))

        assert written(AuthError) == {
            "AuthError",
            "RateLimitExceeded",
            "ConcurrencyLimitExceeded",
            "KeysUnavailable",
            "SessionsUnavailable",
            "ForeignRow",
            "_NoIdentity",
        }

    def test_changing_the_data_does_not_change_the_error(self) -> None:
        error = AuthError("Because")
        error.data["message"] = "changed"
        assert error.message == "Because"


def protected(app: Flask) -> Flask:
    app.get("/api/x")(
        rate_limit("1000000 per second", per=lambda: None)(verify_tenant_context(lambda: "in"))
    )
    return app


APPS = [
    protected(make_app(AUTH_FAILURE_LIMIT="")),
    protected(production_app(AUTH_FAILURE_LIMIT="", AUTH_TRUSTED_GATEWAYS="127.0.0.1")),
]

HEADERS = (
    "AUTHORIZATION",
    "X_TENANT_ID",
    "X_USER_ID",
    "X_USER_ROLE",
    "ORIGIN",
    "USER_AGENT",
    "COOKIE",
    "ACCESS_CONTROL_REQUEST_METHOD",
    "X_FORWARDED_FOR",
    "ACCEPT",
    "IF_NONE_MATCH",
    "RANGE",
)
# What a WSGI server makes of any octets: text of Latin-1.
OCTETS = st.binary(max_size=60).map(lambda octets: octets.decode("latin-1"))
BEARER = OCTETS.map(lambda text: f"Bearer {text}")
TOKENS = st.tuples(st.just(token()), st.integers(0, 400), OCTETS).map(
    lambda parts: f"Bearer {parts[0][: parts[1]]}{parts[2]}{parts[0][parts[1] :]}"
)
DOCUMENTED = {400, 401}


class TestAnyOctetsInAnyHeader:
    @given(
        headers=st.dictionaries(st.sampled_from(HEADERS), OCTETS, max_size=6),
        authorization=st.none() | OCTETS | BEARER | TOKENS,
        method=st.sampled_from(["GET", "OPTIONS"]),
    )
    @example({}, "Bearer " + "\xff" * 9000, "GET")
    @example({"X_TENANT_ID": TENANT, "X_USER_ID": USER, "X_USER_ROLE": "\x00"}, None, "GET")
    @example({"X_TENANT_ID": TENANT, "X_USER_ID": USER + "\r\n"}, None, "GET")
    def test_any_octets_in_a_header_get_a_documented_response(
        self, headers: dict[str, str], authorization: str | None, method: str
    ) -> None:
        environ: dict[str, Any] = {f"HTTP_{name}": value for name, value in headers.items()}
        if authorization is not None:
            environ["HTTP_AUTHORIZATION"] = authorization
        for app in APPS:
            response = app.test_client().open("/api/x", method=method, environ_overrides=environ)
            assert response.status_code in DOCUMENTED | {200}
            if response.status_code in DOCUMENTED:
                assert set(response.get_json()) == {"error", "message"}
            for name, value in response.headers.items():
                assert "\r" not in name + value
                assert "\n" not in name + value

    @given(
        query=st.binary(max_size=60).map(lambda octets: octets.decode("latin-1")),
        host=OCTETS,
        length=OCTETS,
    )
    def test_any_octets_in_query_and_host_get_a_documented_response(
        self, query: str, host: str, length: str
    ) -> None:
        environ = {
            "QUERY_STRING": f"tenant_id={query}&user_id={query}",
            "HTTP_HOST": host,
            "CONTENT_TYPE": length,
        }
        for app in APPS:
            response = app.test_client().get("/api/x", environ_overrides=environ)
            assert response.status_code in DOCUMENTED
