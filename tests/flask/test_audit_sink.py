"""AUDIT_SINK: where an authenticated request writes its line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from apps import bare_app, bearer, make_app, production_app
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    log_request_context,
    verify_role,
    verify_tenant_context,
)

HEADERS = bearer()


def protected(app: Flask) -> Flask:
    app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
    app.get("/admin", endpoint="admin")(verify_role("admin")(lambda: "in"))
    return app


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


@pytest.fixture(params=[make_app, production_app], ids=["testing", "production"])
def make(request: pytest.FixtureRequest) -> Any:
    """With TESTING, Python takes each request; in production the core takes most."""
    return request.param


def ask(app: Flask, path: str, times: int = 3) -> None:
    for _ in range(times):
        app.test_client().get(path, headers=HEADERS)


def test_both_is_the_default(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for more in ({}, {"AUDIT_SINK": "both"}):
        path = tmp_path / f"{len(more)}.jsonl"
        caplog.clear()
        with caplog.at_level(logging.INFO, "flask_tenant_auth"):
            ask(protected(make(AUDIT_LOG=str(path), **more)), "/me")
        assert len(messages(caplog, logging.INFO)) == 3
        assert [each["status"] for each in lines_of(path)] == [200] * 3


def test_audit_log_takes_the_line_from_the_logger(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    with caplog.at_level(logging.INFO, "flask_tenant_auth"):
        ask(protected(make(AUDIT_LOG=str(path), AUDIT_SINK="audit_log")), "/me")
    assert messages(caplog, logging.INFO) == []
    assert [(each["status"], each["endpoint"]) for each in lines_of(path)] == [(200, "/me")] * 3
    assert all(each["user_id"] for each in lines_of(path))


def test_denials_stay_warnings_of_the_logger(
    make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    with caplog.at_level(logging.INFO, "flask_tenant_auth"):
        ask(protected(make(AUDIT_LOG=str(path), AUDIT_SINK="audit_log")), "/admin")
    warnings = messages(caplog, logging.WARNING)
    assert len(warnings) == 3
    assert all("reason=role_insufficient" in each for each in warnings)
    assert [each["reason"] for each in lines_of(path)] == ["role_insufficient"] * 3


def test_a_request_without_an_answer_of_its_own_stays_in_the_logger(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "audit.jsonl"
    app = protected(make_app(AUDIT_LOG=str(path), AUDIT_SINK="audit_log"))

    def outer() -> str:
        with app.request_context(request.environ | {"PATH_INFO": "/me"}):
            return str(app.full_dispatch_request().status_code)

    app.get("/outer", endpoint="outer")(outer)
    with caplog.at_level(logging.INFO, "flask_tenant_auth"):
        with app.test_request_context("/me", headers=HEADERS):
            assert app.view_functions["me"]() == "in"
        assert len(messages(caplog, logging.INFO)) == 1
        assert path.read_text() == ""
        # One that Flask dispatches inside another has none either: it takes no StartResponse.
        assert app.test_client().get("/outer", headers=HEADERS).data == b"200"
    logged = len(messages(caplog, logging.INFO))
    in_file = [each["endpoint"] for each in lines_of(path) if each["user_id"]]
    assert logged + in_file.count("/me") == 2


def test_a_line_that_the_app_writes_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(AUDIT_LOG=str(tmp_path / "audit.jsonl"), AUDIT_SINK="audit_log")

    @app.get("/own")
    def own() -> str:
        log_request_context(request, None, None, None)
        return "in"

    with caplog.at_level(logging.INFO, "flask_tenant_auth"):
        app.test_client().get("/own")
    assert len(messages(caplog, logging.INFO)) == 1


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"AUDIT_SINK": "audit_log"}, ["AUDIT_SINK", "AUDIT_LOG"]),
        ({"AUDIT_SINK": "audit_log", "AUDIT_LOG": ""}, ["AUDIT_LOG"]),
        ({"AUDIT_SINK": "file"}, ["AUDIT_SINK", "both", "audit_log"]),
        ({"AUDIT_SINK": 7}, ["AUDIT_SINK"]),
    ],
)
def test_a_sink_that_cannot_be_is_refused(config: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TenantAuth(bare_app(**config))
    assert all(name in str(caught.value) for name in names)
