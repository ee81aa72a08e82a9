"""What metrics add to a request, what one count takes, and what one scrape takes.

A request is measured as `TenantAuth` has it served by the core: its record, its token, its limit
and its response. A whole request takes a hundred times as long as what metrics add to it. They
would be less than its noise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import repeat
from typing import Any

from flask import Flask

from flask_tenant_auth import create_jwt_token
from flask_tenant_auth._core import (
    Limit,
    Middleware,
    authenticate_and_count,
    open_record,
    parse_rates,
)
from flask_tenant_auth.cors import cors_rules
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.metrics.exposition import Collector, exposition

from . import apps, c_programs
from .harness import Plan, Samples, interleave
from .result import Figure, Row, Subject, Table

MOST_ADDED = 0.3  # microseconds
MOST_FOR_ONE = 0.05
MORE_COUNTS = 20
CONTROL = f"the control: {MORE_COUNTS} more events"
MORE_ROUNDS = 16  # and shorter ones: neighbours in time are compared
EVENT = ("tenant_auth_session_events", "created")
OPEN = "application/openmetrics-text;version=1.0.0"


def request_call(app: Flask, token: str) -> Callable[[], object]:
    """Return what a request of an app does in the core."""
    state = state_of(app)
    keyring, limiter, key = state.keyring, state.limiter, state.start_response_key
    (rate,) = parse_rates(apps.NO_LIMIT)
    limits = (Limit(rate, scope="bench"),)
    environ = {
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "PATH_INFO": "/",
        "REMOTE_ADDR": "192.0.2.7",
        "REQUEST_METHOD": "GET",
    }

    def serve(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        record = open_record(state, environ, key)
        decision = authenticate_and_count(
            record, environ, keyring, limiter, limits, environ["REMOTE_ADDR"]
        )
        if decision is None:
            raise AssertionError("the token was denied")
        record.identity = record.outcome
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b""]

    served = Middleware(
        inner=serve,
        state=state,
        key=key,
        failure=print,
        replace=print,
        late_body=print,
        cors=cors_rules(state.settings),
        audit_log=None,
        log=print,
        limit_fields=True,
        ietf_fields=False,
        metrics=state.metrics,
    )

    def start(_status: str, _headers: Any) -> None:
        """Take the place of a server."""

    return lambda: served(environ.copy(), start)


def counted(app: Flask) -> int:
    metrics = state_of(app).metrics
    if metrics is None:
        raise AssertionError("the app has no metrics")
    return int(dict(metrics.read()["tenant_auth_requests"])["allowed",])


def added_by_metrics(plan: Plan, measured: Flask) -> dict[str, Samples]:
    """Return what metrics add to a request, in microseconds, and what the control adds."""
    plain = apps.ours()
    metrics = state_of(measured).metrics
    with plain.app_context():
        token = create_jwt_token(apps.TENANT, apps.USER)
    with_metrics = request_call(measured, token)
    before = counted(measured)
    with_metrics()
    if metrics is None or counted(measured) != before + 1:
        raise AssertionError("a request was not counted")

    def control() -> object:
        for _ in repeat(None, MORE_COUNTS):
            metrics.count(*EVENT)
        return with_metrics()

    calls = {"without": request_call(plain, token), "with": with_metrics, "control": control}
    timed = interleave(calls, replace(plan, rounds=plan.rounds * MORE_ROUNDS, turn_seconds=0.001))
    added = {
        "metrics": timed["with"].minus(timed["without"]),
        CONTROL: timed["control"].minus(timed["with"]),
    }
    if added[CONTROL].low <= MOST_ADDED:
        raise AssertionError(f"the measure does not see {MORE_COUNTS} more events")
    return added


def run(plan: Plan) -> Subject:
    logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)
    measured = apps.ours(AUTH_METRICS_ROUTE="/metrics")
    added = added_by_metrics(plan, measured)
    metrics = state_of(measured).metrics
    if metrics is None:
        raise AssertionError("the app has no metrics")
    collector = Collector(metrics, dict)
    scrape = interleave({"OpenMetrics": lambda: exposition(collector, OPEN)}, plan)
    c = c_programs.run("metrics", plan)
    together = "an addition, 2 processes"
    return Subject(
        "metrics",
        "Metrics",
        tables=(
            Table.of("Added to a request", "us", added),
            Table("Counting in C", "ns", tuple(Row.of(name, each) for name, each in c.items())),
            Table.of("A scrape, without the table of limits", "us", scrape),
        ),
        figures=(
            Figure.at_most("metrics add to a request", added["metrics"].median, MOST_ADDED, "us"),
            *(
                Figure.at_most(f"{name}, in C", c[name].median / 1e3, MOST_FOR_ONE, "us")
                for name in ("an addition", together, "a duration")
            ),
        ),
        notes=("The times are CPU time.",),
    )
