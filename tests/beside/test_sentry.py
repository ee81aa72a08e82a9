"""Sentry: denials are transactions and no errors, and what is sent holds no credential."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from flask import request
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from apps import TENANT, USER, add_denying_views, bare_app, bearer, token
from flask_tenant_auth import (
    TenantAuth,
    create_api_key,
    create_session,
    public_route,
    verify_tenant_context,
)
from flask_tenant_auth.flask.state import state_of

FIRST, LAST = "Sentry first", "Sentry last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])
# What docs/recipes/deployment.md says to set.
CAREFUL = {"max_request_body_size": "never", "include_local_variables": False}
EMAIL, PASSWORD = "ann@red.example", "correct horse battery"


class Kept(Transport):
    """A transport that keeps what would be sent."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self.envelopes: list[Envelope] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        self.envelopes.append(envelope)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """The events or transactions since `clear`."""
        items = [item for envelope in self.envelopes for item in envelope.items]
        return [json.loads(item.get_bytes()) for item in items if item.type == kind]

    def sent(self) -> str:
        """Everything, as it would go over the network."""
        return "\n".join(each.serialize().decode() for each in self.envelopes)

    def clear(self) -> None:
        self.envelopes.clear()


class Watched:
    """An app with both, and what was sent to Sentry."""

    def __init__(self, order: str, options: dict[str, Any] | None = None, **config: Any) -> None:
        self.kept = Kept()
        self._options = {"traces_sample_rate": 1.0, "default_integrations": True} | (options or {})
        config = {"PROPAGATE_EXCEPTIONS": False} | config
        if order == FIRST:
            self._begin()
        self.app = bare_app(**config)
        TenantAuth(self.app)
        if order == LAST:
            self._begin()
        _add_views(self.app)
        self.client = self.app.test_client()

    def _begin(self) -> None:
        sentry_sdk.init(
            dsn="https://key@sentry.example.test/1", transport=self.kept, **self._options
        )

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Ask once: the status of the answer, and the only transaction."""
        self.kept.clear()
        answer = self.client.open(path, method=method, **options)
        answer.get_data()
        answer.close()
        [transaction] = self.kept.events("transaction")
        return answer.status_code, transaction


def _add_views(app: Any) -> None:
    add_denying_views(app)

    @app.route("/fails", methods=["GET", "POST"])
    @verify_tenant_context
    def fails() -> str:
        request.get_json(silent=True)
        raise ZeroDivisionError

    @app.post("/login")
    @public_route
    def login() -> str:
        sent = request.get_json()
        raise ZeroDivisionError(len(sent))


@pytest.fixture(autouse=True)
def _sentry_is_off_again() -> Iterator[None]:
    yield
    sentry_sdk.get_global_scope().set_client(None)
    sentry_sdk.get_isolation_scope().clear()


@both_orders
def test_a_denial_is_a_transaction_with_its_status_and_no_error(order: str) -> None:
    watched = Watched(order, AUTH_FAILURE_LIMIT="3 per hour")
    for path, headers, status in [
        ("/me", {}, 401),
        ("/me", {"Authorization": "Bearer x"}, 401),
        ("/admin", bearer(), 403),
        ("/limited", {}, 200),
        ("/limited", {}, 429),
        ("/denies", {}, 401),
        ("/denies", {}, 429),  # in place of the 401 of the view
        ("/me", {}, 429),
        ("/me", bearer(), 200),
    ]:
        answered, transaction = watched.ask("GET", path, headers=headers)
        assert answered == status
        assert transaction["contexts"]["trace"]["data"]["http.response.status_code"] == status
        assert transaction["transaction"] == path.removeprefix("/")
        assert watched.kept.events("event") == []


@pytest.mark.parametrize("options", [{}, {"auto_enabling_integrations": False}])
def test_an_event_never_names_the_user_of_the_request_before(options: dict[str, Any]) -> None:
    """Without its integration of Flask, Sentry has one scope for all requests of a thread."""
    watched = Watched(FIRST, options)
    watched.app.get("/tells", endpoint="tells")(
        public_route(lambda: str(sentry_sdk.capture_message("told")))
    )
    watched.app.get("/tells-as", endpoint="tells_as")(
        verify_tenant_context(lambda: str(sentry_sdk.capture_message("told")))
    )
    users = []
    for path in ("/tells-as", "/tells", "/tells-as"):
        watched.kept.clear()
        assert watched.client.get(path, headers=bearer()).status_code == 200
        (event,) = watched.kept.events("event")
        users.append(event.get("user", {}).get("id"))
    assert users == [USER, None, USER]


@both_orders
def test_an_exception_of_a_view_is_one_event(order: str) -> None:
    watched = Watched(order)
    assert watched.ask("GET", "/fails", headers=bearer())[0] == 500
    [event] = watched.kept.events("event")
    assert event["exception"]["values"][-1]["type"] == "ZeroDivisionError"


@both_orders
@pytest.mark.parametrize("traces", [True, False])
def test_an_event_names_the_user_by_ids_alone(order: str, traces: bool) -> None:
    watched = Watched(order, AUTH_TRACES=traces)
    signed = bearer(email=EMAIL)
    assert watched.ask("GET", "/fails", headers=signed)[0] == 500
    [event] = watched.kept.events("event")
    user = {"id": USER, "tenant_id": TENANT, "role": "user"}
    assert event.get("user", {}) == (user if traces else {})
    assert EMAIL not in watched.kept.sent()
    assert watched.ask("GET", "/denies")[0] == 401
    assert USER not in watched.kept.sent()  # of the next request


@both_orders
def test_a_fault_of_the_authentication_is_one_event_without_the_request(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, headers = Watched(order, RATELIMIT_ENABLED=False), bearer()

    def fault(credentials: str) -> Any:
        raise ZeroDivisionError(credentials)

    monkeypatch.setattr(state_of(watched.app), "authenticate", fault)
    assert watched.ask("GET", "/me", headers=headers)[0] == 500
    [event] = watched.kept.events("event")
    logged = event["logentry"]
    assert logged["message"].startswith("Authentication failed with %s")
    assert logged["params"][0] == "ZeroDivisionError"
    assert headers["Authorization"].removeprefix("Bearer ") not in watched.kept.sent()


def secrets_of(watched: Watched) -> dict[str, dict[str, Any]]:
    """Requests that carry a secret, by that secret."""
    with watched.app.app_context():
        tokens = create_session(TENANT, USER, "user")
        api_key = create_api_key(TENANT, USER, "user", name="robot").key
    good = token()
    return {
        good: {"headers": {"Authorization": f"Bearer {good}"}},
        api_key: {"headers": {"Authorization": f"Bearer {api_key}"}},
        tokens.access_token: {"headers": {"Cookie": f"fta={tokens.access_token}"}},
        tokens.refresh_token: {"json": {"refresh_token": tokens.refresh_token}},
        EMAIL: {"json": {"email": EMAIL, "password": "?"}},
        PASSWORD: {"json": {"email": "?", "password": PASSWORD}},
    }


def leaked(watched: Watched) -> list[str]:
    """The kinds of secrets that are in what was sent."""
    kinds = ["token", "API key", "cookie", "refresh token", "e-mail", "password"]
    found = []
    for kind, (secret, options) in zip(kinds, secrets_of(watched).items(), strict=True):
        for path in ("/fails", "/login", "/auth/refresh", "/auth/logout", "/me"):
            watched.kept.clear()
            watched.client.open(path, method="POST", **options)
            assert watched.kept.events("transaction")
            if secret in watched.kept.sent() and kind not in found:
                found.append(kind)
    return found


SESSIONS = {
    "AUTH_TOKEN_LOCATIONS": "headers, cookies",
    "AUTH_SESSION_ROUTES": "/auth",
    "AUTH_SESSION_STORE": "sqlite://",
}


@both_orders
def test_with_bodies_and_local_variables_off_no_credential_is_sent(order: str) -> None:
    assert leaked(Watched(order, CAREFUL, **SESSIONS)) == []


@both_orders
@pytest.mark.parametrize("option", list(CAREFUL))
def test_without_either_of_the_two_a_body_is_sent(order: str, option: str) -> None:
    """The control of the test above, and the reason why the page names both.

    A body is sent by itself, and as a variable of the view that has read it.
    """
    rest = {name: value for name, value in CAREFUL.items() if name != option}
    found = leaked(Watched(order, rest, **SESSIONS))
    assert {"refresh token", "e-mail"} <= set(found)
    assert not {"token", "API key", "cookie"} & set(found)
