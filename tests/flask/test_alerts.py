"""AUTH_ALERTS: one alert for each rule, subject and window, and what it may say."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, abort

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, add_denying_views, bearer, make_app, token
from flask_tenant_auth import (
    AuthError,
    login_limit,
    public_route,
    rate_limit,
    verify_permission,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth._core import shift_clock
from flask_tenant_auth.alerts.alert import Alert
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.signals import alert_raised
from session_apps import begin, session_app


@contextmanager
def raised(app: Flask) -> Iterator[list[Alert]]:
    """The alerts that an app raises meanwhile."""
    alerts: list[Alert] = []

    def remember(_app: Flask, alert: Alert) -> None:
        alerts.append(alert)

    with alert_raised.connected_to(remember, app):
        yield alerts


def app_of(rules: str, **config: Any) -> Flask:
    app = make_app(**{"AUTH_ALERTS": rules, "AUTH_FAILURE_LIMIT": ""} | config)
    add_denying_views(app)

    @app.get("/rows/<tenant_id>")
    @verify_tenant_context
    def rows(tenant_id: str) -> Any:
        verify_resource_access(tenant_id, USER)
        return {}

    return app


def get(app: Flask, path: str, times: int = 1, address: str = "192.0.2.1", **headers: str) -> None:
    client = app.test_client()
    for _ in range(times):
        client.get(path, headers=headers, environ_base={"REMOTE_ADDR": address})


class TestCounting:
    def test_the_last_of_so_many_raises_one_alert(self) -> None:
        app = app_of("3 failures per 5 minutes per address")
        with raised(app) as alerts:
            get(app, "/me", 2)
            assert alerts == []
            get(app, "/me", 5)
        (alert,) = alerts
        assert alert.subject == {"address": "192.0.2.1"}
        assert (alert.event, alert.count, alert.period_seconds) == ("failures", 3, 300)
        assert (alert.endpoint, alert.reason, alert.app) == ("me", "no_credentials", app.name)

    def test_each_address_has_a_count_of_its_own(self) -> None:
        app = app_of("2 failures per 5 minutes per address")
        with raised(app) as alerts:
            for number in (1, 2, 3):
                get(app, "/me", number, address=f"192.0.2.{number}")
        assert [alert.subject["address"] for alert in alerts] == ["192.0.2.2", "192.0.2.3"]

    def test_without_a_subject_all_are_counted_together(self) -> None:
        app = app_of("3 failures per 5 minutes")
        with raised(app) as alerts:
            for number in range(7):
                get(app, "/me", address=f"192.0.2.{number}")
        assert [alert.subject for alert in alerts] == [{}]

    def test_the_next_window_raises_the_next_alert(self) -> None:
        app = app_of("2 failures per 5 minutes per address")
        with raised(app) as alerts:
            get(app, "/me", 4)
            shift_clock(302, 302)  # a table keeps time in ticks of two seconds
            get(app, "/me", 4)
        assert len(alerts) == 2

    def test_rules_count_apart(self) -> None:
        app = app_of("1 failures per hour; 2 failures per hour; 2 failures per hour per address")
        with raised(app) as alerts:
            get(app, "/me", 3)
        assert [alert.rule for alert in alerts] == [
            "1 failures per hour",
            "2 failures per hour",
            "2 failures per hour per address",
        ]

    def test_a_rule_may_be_for_some_endpoints(self) -> None:
        app = app_of("1 forbidden on adm* per hour; 1 failures on adm* per hour")
        with raised(app) as alerts:
            get(app, "/me")
            assert alerts == []
            get(app, "/admin", Authorization=bearer()["Authorization"])
            get(app, "/admin")
        assert [(alert.event, alert.endpoint) for alert in alerts] == [
            ("forbidden", "admin"),
            ("failures", "admin"),
        ]

    def test_apps_without_rules_count_nothing(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="")
        add_denying_views(app)
        with raised(app) as alerts:
            get(app, "/me", 100)
        assert alerts == []

    def test_reset_limits_begins_anew(self) -> None:
        app = app_of("2 failures per hour")
        auth_state = state_of(app)
        assert auth_state is not None
        with raised(app) as alerts:
            get(app, "/me")
            auth_state.reset_limits()
            get(app, "/me")
            assert alerts == []
            get(app, "/me")
        assert len(alerts) == 1

    def test_an_app_that_is_testing_later_forgets_what_was_counted_before(self) -> None:
        app = app_of("2 failures per hour", TESTING=False, FLASK_ENV="development")
        app.config["TESTING"] = True
        with raised(app) as alerts:
            get(app, "/me", 2)
        assert len(alerts) == 1

    def test_counting_that_fails_denies_no_request(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of("1 failures per hour")
        state = state_of(app)
        assert state is not None

        class Broken:
            def hit(self, *_: Any) -> None:
                raise MemoryError("none left")

        monkeypatch.setattr(state.alerts, "_limiter", Broken())
        assert app.test_client().get("/me").status_code == 401
        assert "The alert 1 failures per hour was not counted: MemoryError" in caplog.text

    def test_a_receiver_that_raises_denies_no_request(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = app_of("1 failures per hour")

        def broken(_app: Flask, alert: Alert) -> None:
            raise RuntimeError(f"no {alert.event}")

        with alert_raised.connected_to(broken, app):
            assert app.test_client().get("/me").status_code == 401
        assert "An alert was not handed on" in caplog.text


class TestEvents:
    @pytest.mark.parametrize("path", ["/me", "/denies", "/login"])
    @pytest.mark.parametrize("limit", ["", "100 per minute"])
    def test_a_401_of_whatever_is_a_failure_once(self, path: str, limit: str) -> None:
        app = app_of("1 failures per hour per address", AUTH_FAILURE_LIMIT=limit)

        @app.get("/login")
        @public_route
        @login_limit("5 per hour", key="email")
        def login() -> Any:
            raise AuthError("Wrong password", reason="wrong_password")

        with raised(app) as alerts:
            get(app, path)
        assert len(alerts) == 1

    @pytest.mark.parametrize("path", ["/admin", "/rows/" + OTHER_TENANT, "/write"])
    def test_a_403_is_forbidden_once_for_its_user(self, path: str) -> None:
        app = app_of("1 forbidden per hour per user; 2 forbidden per hour")

        @app.get("/write")
        @verify_permission("accounts:write")
        def write() -> Any:
            return {}

        with raised(app) as alerts:
            get(app, path, Authorization=bearer()["Authorization"])
        (alert,) = alerts
        assert alert.subject == {"tenant_id": TENANT, "user_id": USER}

    def test_the_row_of_another_tenant_is_cross_tenant(self) -> None:
        app = app_of("1 cross_tenant per hour per user")
        header = bearer(OTHER_TENANT, OTHER_USER)
        with raised(app) as alerts:
            get(app, "/admin", Authorization=header["Authorization"])
            get(app, "/rows/" + OTHER_TENANT, Authorization=header["Authorization"])
            assert alerts == []
            get(app, "/rows/" + TENANT, Authorization=header["Authorization"])
        (alert,) = alerts
        assert alert.subject == {"tenant_id": OTHER_TENANT, "user_id": OTHER_USER}
        assert (alert.endpoint, alert.reason) == ("rows", "other_tenant")

    def test_a_429_is_limited_for_its_tenant(self) -> None:
        app = app_of("3 limited per hour per tenant")

        @app.get("/often")
        @verify_tenant_context
        @rate_limit("1 per hour")
        def often() -> Any:
            return {}

        with raised(app) as alerts:
            for user in (USER, OTHER_USER):
                get(app, "/often", 3, Authorization=bearer(TENANT, user)["Authorization"])
            get(app, "/often", 9, Authorization=bearer(OTHER_TENANT)["Authorization"])
        assert [alert.subject["tenant_id"] for alert in alerts] == [TENANT, OTHER_TENANT]

    def test_a_refresh_token_that_is_used_again_is_reused(self, tmp_path: Path) -> None:
        app = session_app(
            tmp_path, AUTH_REFRESH_GRACE_SECONDS=0, AUTH_ALERTS="1 reused per hour per user"
        )
        client = app.test_client()
        first = last = begin(app).refresh_token
        with raised(app) as alerts:
            for _ in range(3):
                last = client.post("/refresh", data=last).get_json()["refresh_token"]
            assert alerts == []
            assert client.post("/refresh", data=first).status_code == 401
        (alert,) = alerts
        assert alert.subject == {"tenant_id": TENANT, "user_id": USER}
        assert (alert.event, alert.reason) == ("reused", "session_reused")

    def test_lines_of_the_audit_log_that_are_lost_raise_an_alert(self, tmp_path: Path) -> None:
        app = app_of("1 audit_lost per hour", AUDIT_LOG="/dev/full")
        with raised(app) as alerts:
            get(app, "/me", 3)
        assert [alert.event for alert in alerts] == ["audit_lost"]

    def test_redis_that_is_away_raises_an_alert(self) -> None:
        app = app_of("1 redis_away per hour", REDIS_URL="redis://127.0.0.1:1/0")
        with raised(app) as alerts:
            get(app, "/limited", 3)
        assert [alert.event for alert in alerts] == ["redis_away"]


SECRETS = ("swordfish-password", "swordfish-token")


class TestWhatAnAlertSays:
    def test_the_log_has_one_line(self, caplog: pytest.LogCaptureFixture) -> None:
        app = app_of("1 failures per hour per address")
        with raised(app) as alerts:
            get(app, "/me", 3)
        (alert,) = alerts
        (line,) = [each for each in caplog.records if hasattr(each, "alert")]
        assert line.levelno == logging.WARNING
        assert line.getMessage() == (
            "Alert: 1 failures per hour per address: address=192.0.2.1 endpoint=me "
            f"reason=no_credentials id={alert.id}"
        )
        assert line.alert["subject"] == {"address": "192.0.2.1"}

    def test_nothing_that_a_client_sends_is_in_it(self) -> None:
        """Every part of a request may hold a secret: what an alert says is from closed sets."""
        app = app_of("1 failures per hour; 1 failures per hour per address")

        @app.post("/login/<name>")
        @public_route
        def login(name: str) -> Any:
            raise AuthError(f"{name} is wrong", reason=f"wrong {SECRETS[0]}")

        @app.post("/abort")
        @public_route
        def aborts() -> Any:
            abort(401)

        with raised(app) as alerts:
            for path in (f"/login/{SECRETS[0]}", "/abort"):
                app.test_client().post(
                    f"{path}?password={SECRETS[0]}",
                    data={"password": SECRETS[0]},
                    headers={
                        "Authorization": f"Bearer {SECRETS[1]}",
                        "Cookie": f"session={SECRETS[1]}",
                        "User-Agent": SECRETS[1],
                        "X-Request-ID": SECRETS[1],
                    },
                    environ_base={"REMOTE_ADDR": SECRETS[1]},
                )
            # A proxy may hand on what a client has sent as the zone of an address (RFC 4007).
            get(app, "/me", address=f"fe80::1%{SECRETS[0]}\n{SECRETS[1]}")
        assert [(alert.rule, dict(alert.subject)) for alert in alerts] == [
            ("1 failures per hour", {}),
            ("1 failures per hour per address", {"address": "not an IP address"}),
            ("1 failures per hour per address", {"address": "fe80::1"}),
        ]
        for alert in alerts:
            said = alert.line() + alert.text() + alert.json().decode() + repr(alert)
            assert not any(secret in said for secret in SECRETS)
            assert alert.endpoint in ("login", "me")

    def test_a_user_of_a_token_is_named_by_its_ids_only(self) -> None:
        app = app_of("1 forbidden per hour per user")
        signed = token(email=SECRETS[0])
        with raised(app) as alerts:
            get(app, "/admin", Authorization=f"Bearer {signed}")
        (alert,) = alerts
        assert signed not in alert.json().decode()
        assert SECRETS[0] not in alert.json().decode()


def test_the_roles_of_a_route_have_an_alert() -> None:
    """The rule of the documentation: a route of admins that somebody else has tried."""
    app = make_app(AUTH_ALERTS="1 forbidden on admin.* per hour per user")

    @app.get("/", endpoint="admin.index")
    @verify_role("admin")
    def index() -> Any:
        return {}

    with raised(app) as alerts:
        get(app, "/", Authorization=bearer(role="admin")["Authorization"])
        assert alerts == []
        get(app, "/", Authorization=bearer()["Authorization"])
    assert len(alerts) == 1
