"""What is counted for the console: the last hour, and who was limited most."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from flask import Flask

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, bearer, identity_headers
from console_apps import app_of_views, ask, console_app, shared_app
from flask_tenant_auth import concurrency_limit, verify_tenant_context
from flask_tenant_auth._core import METRICS, Metrics
from flask_tenant_auth.flask.state import state_of

(WORDS,) = (words for name, _, _, _, words in METRICS if name == "tenant_auth_requests")


def counts_of(app: Flask) -> Metrics:
    metrics = state_of(app).metrics
    assert metrics is not None
    return metrics


def outcomes(metrics: Metrics) -> dict[str, int]:
    """The requests of the last hour together, by outcome, without the zeros."""
    minutes = metrics.last_hour()["minutes"]
    assert [each["ago"] for each in minutes] == list(range(59, -1, -1))
    sums = {word: sum(each["requests"][word] for each in minutes) for word in WORDS}
    return {word: count for word, count in sums.items() if count}


def test_each_request_is_in_the_last_hour_as_in_the_counters() -> None:
    app = console_app()
    ask(app, "/me", 2, headers=bearer())
    ask(app, "/me", 3)
    ask(app, "/me", 1, headers=bearer(exp=1))
    ask(app, "/open", 3)
    metrics = counts_of(app)
    assert outcomes(metrics) == {"allowed": 3, "denied": 4, "limited": 2}
    read = metrics.read()
    assert outcomes(metrics) == {
        word: count for (word,), count in read["tenant_auth_requests"] if count
    }
    assert metrics.last_hour()["reasons"] == {
        reason: count for (reason,), count in read["tenant_auth_denials"] if count
    }
    assert metrics.last_hour()["reasons"] == {
        "no_credentials": 3, "expired": 1, "rate_limit_exceeded": 2
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/once", "/inner", "/open", "/callable"])
def test_each_429_of_a_limit_counts_once_for_its_user_and_tenant(path: str) -> None:
    app = console_app()
    assert ask(app, path, 4, headers=bearer()) == [200, 429, 429, 429]
    assert ask(app, path, 2, headers=bearer(OTHER_TENANT, OTHER_USER)) == [200, 429]
    assert counts_of(app).most_limited() == {
        "users": [(TENANT, USER, 3), (OTHER_TENANT, OTHER_USER, 1)],
        "tenants": [(TENANT, 3), (OTHER_TENANT, 1)],
    }


def test_identities_that_a_gateway_sends_are_counted() -> None:
    app = console_app(AUTH_TRUSTED_GATEWAYS="127.0.0.1")
    ask(app, "/once", 3, headers=identity_headers())
    assert counts_of(app).most_limited()["users"] == [(TENANT, USER, 2)]


def test_a_429_of_a_concurrency_limit_counts() -> None:
    app = console_app()

    def view() -> dict[str, int]:
        inner = app.test_client().get("/alone?inner=1", headers=bearer())
        return {"inner": inner.status_code}

    app.get("/alone", endpoint="alone")(verify_tenant_context(concurrency_limit(1)(view)))
    answer = app.test_client().get("/alone", headers=bearer())
    assert answer.get_json() == {"inner": 429}
    assert counts_of(app).most_limited()["users"] == [(TENANT, USER, 1)]
    assert outcomes(counts_of(app)) == {"allowed": 1, "limited": 1}


def test_a_429_that_is_of_no_limit_or_of_no_identity_does_not_count() -> None:
    app = console_app(AUTH_FAILURE_LIMIT="1 per hour")
    assert ask(app, "/own", 2, headers=bearer()) == [429, 429]
    assert ask(app, "/open", 2)[-1] == 429
    assert ask(app, "/me", 2, headers=bearer(exp=1))[-1] == 429
    assert counts_of(app).most_limited() == {"users": [], "tenants": []}
    assert outcomes(counts_of(app))["limited"] == 4


def test_a_limited_request_is_of_its_tenant_in_the_other_counters_and_the_audit_log(
    tmp_path: Path,
) -> None:
    path = tmp_path / "audit.jsonl"
    app = console_app(AUTH_METRICS_TENANTS=TENANT, AUDIT_LOG=str(path))
    ask(app, "/once", 3, headers=bearer())
    read = dict(counts_of(app).read()["tenant_auth_tenant_requests"])
    assert (read[TENANT, "allowed"], read[TENANT, "limited"]) == (1, 2)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [(line["status"], line["user_id"]) for line in lines] == [
        *((200, USER), (429, USER), (429, USER)),
    ]


SECOND_PROCESS = """
import sys
from apps import OTHER_TENANT, bearer
from console_apps import ask, shared_app
app = shared_app(sys.argv[1])
ask(app, "/once", 3, headers=bearer())
ask(app, "/once", 2, headers=bearer(OTHER_TENANT))
ask(app, "/me", 5)
"""


def test_two_processes_count_together_and_a_restart_loses_nothing() -> None:
    prefix = f"console {uuid.uuid4()}"
    app = shared_app(prefix)
    metrics = counts_of(app)
    paths = [metrics.status()["path"], state_of(app).limiter.status()["path"]]
    try:
        assert ask(app, "/once", 2, headers=bearer()) == [200, 429]
        run_second_process(prefix)
        run_second_process(prefix)  # as after a restart
        assert outcomes(metrics) == {"allowed": 2, "limited": 10, "denied": 10}
        assert metrics.last_hour()["reasons"] == {
            "no_credentials": 10, "rate_limit_exceeded": 10
        }  # fmt: skip
        assert metrics.most_limited() == {
            "users": [(TENANT, USER, 7), (OTHER_TENANT, USER, 3)],
            "tenants": [(TENANT, 7), (OTHER_TENANT, 3)],
        }
    finally:
        for path in paths:
            Path(path).unlink()


def run_second_process(prefix: str) -> None:
    subprocess.run(
        [sys.executable, "-c", SECOND_PROCESS, prefix],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )


def test_without_the_console_nothing_is_kept_for_it() -> None:
    assert state_of(app_of_views()).metrics is None
    app = app_of_views(AUTH_METRICS_ROUTE="/metrics")
    ask(app, "/once", 3, headers=bearer())
    assert outcomes(counts_of(app)) == {}
    assert counts_of(app).most_limited() == {"users": [], "tenants": []}
