"""prometheus-flask-exporter: it counts denials by their status; /metrics can be declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics

from apps import add_denying_views, bare_app, bearer, token
from flask_tenant_auth import (
    TenantAuth,
    protected_elsewhere,
    public_route,
    verify_role,
    verify_tenant_context,
)

FIRST, LAST = "exporter first", "exporter last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])
View = Callable[..., Any]


class Measured:
    """An app with both."""

    def __init__(
        self, order: str, guard: Callable[[View], View] | None = public_route, **config: Any
    ) -> None:
        self.registry = CollectorRegistry()
        self.app = bare_app(**config)
        if order == LAST:
            TenantAuth(self.app)
        self.metrics = PrometheusMetrics(
            self.app, registry=self.registry, metrics_decorator=guard, group_by="endpoint"
        )
        if order == FIRST:
            TenantAuth(self.app)
        add_denying_views(self.app)
        self.client = self.app.test_client()

    def counted(self, status: int) -> float:
        """How many GET requests were answered with a status."""
        labels = {"method": "GET", "status": str(status)}
        return self.registry.get_sample_value("flask_http_request_total", labels) or 0

    def timed(self, endpoint: str, status: int) -> float:
        """Of how many requests there is a duration."""
        labels = {"method": "GET", "status": str(status), "endpoint": endpoint}
        name = "flask_http_request_duration_seconds_count"
        return self.registry.get_sample_value(name, labels) or 0


def route_lines(app: Flask) -> list[str]:
    shown = app.test_cli_runner().invoke(args=["auth", "check"]).output
    return [line.strip() for line in shown.splitlines() if "/metrics" in line]


@both_orders
def test_each_denial_is_counted_once_by_its_status(order: str) -> None:
    measured = Measured(order)
    for path, headers, status in [
        ("/me", {}, 401),
        ("/me", {"Authorization": "Bearer x"}, 401),
        ("/admin", bearer(), 403),
        ("/limited", {}, 200),
        ("/limited", {}, 429),
        ("/me", bearer(), 200),
    ]:
        before = measured.counted(status)
        assert measured.client.get(path, headers=headers).status_code == status
        assert measured.counted(status) == before + 1
    assert measured.timed("me", 401) == 2
    assert measured.timed("admin", 403) == 1


@pytest.mark.parametrize(("order", "durations"), [(FIRST, 1), (LAST, 0)])
def test_a_request_over_its_limit_has_a_duration_only_where_the_exporter_is_first(
    order: str, durations: int
) -> None:
    measured = Measured(order)
    assert [measured.client.get("/limited").status_code for _ in range(2)] == [200, 429]
    assert measured.timed("limited", 200) == 1
    assert measured.timed("limited", 429) == durations


@both_orders
def test_the_401_of_a_view_that_becomes_a_429_is_counted_as_the_401(order: str) -> None:
    measured = Measured(order, AUTH_FAILURE_LIMIT="1 per hour")
    assert [measured.client.get("/denies").status_code for _ in range(2)] == [401, 429]
    assert (measured.counted(401), measured.counted(429)) == (2, 0)
    assert measured.client.get("/me").status_code == 429  # a decorator answers it itself
    assert measured.counted(429) == 1


@both_orders
def test_metrics_are_open_until_a_decorator_is_given(order: str) -> None:
    measured = Measured(order, guard=None)
    assert measured.client.get("/metrics").status_code == 200
    assert route_lines(measured.app)[0].startswith("GET     /metrics  [open]")
    strict = measured.app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert "GET /metrics (prometheus_metrics) shows something" in strict.output
    assert strict.exit_code == 1


@both_orders
def test_metrics_of_a_role_are_denied_to_others(order: str) -> None:
    measured = Measured(order, guard=verify_role("admin"))
    statuses = [
        measured.client.get("/metrics", headers=headers).status_code
        for headers in ({}, bearer(), bearer(role="admin"))
    ]
    assert statuses == [401, 403, 200]
    assert (measured.counted(401), measured.counted(403)) == (1, 1)
    assert route_lines(measured.app)[0].startswith("GET     /metrics  [role admin]")


@both_orders
def test_metrics_behind_a_network_policy_are_declared(order: str) -> None:
    measured = Measured(order, guard=protected_elsewhere("network policy"))
    assert measured.client.get("/metrics").status_code == 200
    assert "[protected by network policy]" in route_lines(measured.app)[0]
    strict = measured.app.test_cli_runner().invoke(args=["auth", "check", "--strict"])
    assert strict.exit_code == 0, strict.output


@both_orders
def test_metrics_hold_no_credential(order: str) -> None:
    measured, secret = Measured(order), token()
    measured.client.get("/me", headers={"Authorization": f"Bearer {secret}"})
    measured.client.get(f"/me?access_token={secret}")
    shown = measured.client.get("/metrics").text
    assert 'endpoint="me"' in shown
    assert secret not in shown


@both_orders
@pytest.mark.parametrize("above", [True, False], ids=["above", "below"])
def test_a_counter_of_a_view_leaves_the_denial_as_it_is(order: str, above: bool) -> None:
    measured = Measured(order)
    counter = measured.metrics.counter(
        "calls", "Calls", labels={"status": lambda response: response.status_code}
    )
    view: View = lambda: "in"  # noqa: E731
    wrapped = (
        counter(verify_tenant_context(view)) if above else verify_tenant_context(counter(view))
    )
    measured.app.get("/view", endpoint="view")(wrapped)
    denied = measured.client.get("/view")
    assert denied.status_code == 401
    assert denied.json is not None
    assert denied.json["error"] == "Unauthorized"
    assert denied.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert measured.client.get("/view", headers=bearer()).text == "in"
    counted = {
        status: measured.registry.get_sample_value("calls_total", {"status": status})
        for status in ("200", "401")
    }
    assert counted == {"200": 1, "401": 1 if above else None}
