"""OpenTelemetry: each request is one span with its final status, and no credential is in it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, stream_with_context
from opentelemetry import trace
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from apps import TENANT, USER, add_denying_views, bare_app, bearer, token
from flask_tenant_auth import (
    TenantAuth,
    current_identity,
    verify_tenant_context,
)
from paths import SUPPORT

FIRST, LAST = "OpenTelemetry first", "OpenTelemetry last"
both_orders = pytest.mark.parametrize("order", [FIRST, LAST])


class Traced:
    """An app with both, and the spans that have ended."""

    def __init__(self, order: str, **config: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.app = bare_app(**config)
        if order == FIRST:
            FlaskInstrumentor.instrument_app(self.app, tracer_provider=self.provider)
            TenantAuth(self.app)
        else:
            TenantAuth(self.app)
            FlaskInstrumentor.instrument_app(self.app, tracer_provider=self.provider)
        _add_views(self.app)
        self.client = self.app.test_client()

    def spans(self) -> list[ReadableSpan]:
        """The spans since the last call."""
        found = list(self._exporter.get_finished_spans())
        self._exporter.clear()
        return found

    def answer_and_span(self, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        """Ask once: the status of the answer, and the attributes of the only span."""
        answer = self.client.get(path, **options)
        answer.get_data()
        answer.close()
        [span] = self.spans()
        return answer.status_code, dict(span.attributes or {}) | {"name": span.name}


def _add_views(app: Flask) -> None:
    add_denying_views(app)

    @app.get("/fails")
    @verify_tenant_context
    def fails() -> str:
        raise ZeroDivisionError

    @app.get("/streamed")
    @verify_tenant_context
    def streamed() -> Response:
        def parts() -> Iterator[str]:
            yield current_identity.user_id
            yield "the end"

        return Response(stream_with_context(parts()))

    @app.get("/awaited")
    @verify_tenant_context
    async def awaited() -> Any:
        span = trace.get_current_span().get_span_context()
        return {"trace": trace.format_trace_id(span.trace_id), "user_id": current_identity.user_id}


@pytest.fixture(autouse=True)
def _nothing_is_left_in_the_context() -> Iterator[None]:
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN


@both_orders
def test_a_denial_is_one_span_with_the_route_and_the_status_of_the_answer(order: str) -> None:
    traced = Traced(order)
    for path, headers, status in [
        ("/me", {}, 401),
        ("/me", {"Authorization": "Bearer x"}, 401),
        ("/admin", bearer(), 403),
        ("/admin", bearer(role="admin"), 200),
        ("/me", bearer(), 200),
    ]:
        answered, span = traced.answer_and_span(path, headers=headers)
        assert (answered, span["http.status_code"]) == (status, status)
        assert (span["name"], span["http.route"]) == (f"GET {path}", path)


@both_orders
def test_a_span_says_who_sent_the_request_and_what_was_decided(order: str) -> None:
    traced = Traced(order, RATELIMIT_DEFAULT="5 per hour", AUTH_FAILURE_LIMIT="")
    who = {
        "enduser.id": USER,
        "enduser.role": "user",
        "flask_tenant_auth.tenant_id": TENANT,
        "flask_tenant_auth.limit.rate": "5 per 1 hour",
        "flask_tenant_auth.limit.exceeded": False,
    }
    for path, headers, expected in [
        ("/me", bearer(), who | {"flask_tenant_auth.limit.remaining": 4}),
        (
            "/admin",
            bearer(),
            who
            | {
                "flask_tenant_auth.limit.remaining": 3,
                "flask_tenant_auth.denied": "role_insufficient",
            },
        ),
        (
            "/me",
            {},
            {
                "flask_tenant_auth.denied": "no_credentials",
                "flask_tenant_auth.limit.rate": "5 per 1 hour",
                "flask_tenant_auth.limit.remaining": 4,
                "flask_tenant_auth.limit.exceeded": False,
            },
        ),
    ]:
        _, span = traced.answer_and_span(path, headers=headers)
        assert {
            name: value
            for name, value in span.items()
            if name.startswith(("enduser.", "flask_tenant_auth."))
        } == expected


def test_a_span_that_raises_fails_no_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    traced = Traced(LAST)

    class Broken(trace.NonRecordingSpan):
        def is_recording(self) -> bool:
            raise ZeroDivisionError

    monkeypatch.setattr(trace, "get_current_span", lambda *_: Broken(trace.INVALID_SPAN_CONTEXT))
    assert traced.client.get("/me", headers=bearer()).status_code == 200
    assert "OpenTelemetry was not told" in caplog.text


def test_a_span_of_a_limited_request_says_so() -> None:
    traced = Traced(FIRST)
    traced.answer_and_span("/limited")
    status, span = traced.answer_and_span("/limited")
    assert (status, span["flask_tenant_auth.limit.exceeded"]) == (429, True)
    assert span["flask_tenant_auth.denied"] == "rate_limit_exceeded"


@both_orders
def test_without_traces_a_span_names_nobody(order: str) -> None:
    traced = Traced(order, AUTH_TRACES=False)
    _, span = traced.answer_and_span("/me", headers=bearer())
    assert not [name for name in span if name.startswith(("enduser.", "flask_tenant_auth."))]


@pytest.mark.parametrize(("order", "spans"), [(FIRST, 1), (LAST, 0)])
def test_a_request_over_its_limit_has_a_span_only_where_opentelemetry_is_first(
    order: str, spans: int, caplog: pytest.LogCaptureFixture
) -> None:
    traced = Traced(order)
    assert traced.client.get("/limited").status_code == 200
    assert len(traced.spans()) == 1
    assert traced.client.get("/limited").status_code == 429
    assert [dict(each.attributes or {})["http.status_code"] for each in traced.spans()] == (
        [429] * spans
    )
    warned = [each for each in caplog.records if "span missing" in each.getMessage()]
    assert len(warned) == 1 - spans


@pytest.mark.parametrize(("order", "seen"), [(FIRST, 401), (LAST, None)])
def test_the_span_of_a_401_that_becomes_a_429_has_the_401_where_opentelemetry_is_first(
    order: str, seen: int | None
) -> None:
    """The 401 of a view becomes a 429 when the view has ended; a decorator answers 429 itself."""
    traced = Traced(order, AUTH_FAILURE_LIMIT="1 per hour")
    assert traced.answer_and_span("/denies")[0] == 401
    answered, span = traced.answer_and_span("/denies")
    assert (answered, span.get("http.status_code")) == (429, seen)
    answered, span = traced.answer_and_span("/me")
    assert (answered, span["http.status_code"]) == (429, 429)


@both_orders
def test_no_credential_is_in_a_span(order: str) -> None:
    traced = Traced(
        order,
        AUTH_TOKEN_LOCATIONS="headers, cookies",
        AUTH_SESSION_ROUTES="/auth",
        AUTH_SESSION_STORE="sqlite://",
        PROPAGATE_EXCEPTIONS=False,
    )
    good, bad = token(), token(exp=1)
    for headers in (
        {"Authorization": f"Bearer {good}"},
        {"Authorization": f"Bearer {bad}"},
        {"Cookie": f"fta={good}; __Host-fta={good}"},
        {"X-Tenant-ID": TENANT, "X-User-ID": USER},
    ):
        traced.client.get("/me", headers=headers)
        traced.client.get("/fails", headers=headers)
    shown = "".join(span.to_json() for span in traced.spans())
    assert shown.count('"kind"') == 8
    for secret in (good, bad, good.split(".")[2], bad.split(".")[2]):
        assert secret not in shown


def test_captured_headers_show_the_token_unless_they_are_sanitized(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    traced, secret = Traced(FIRST), bearer()
    traced.client.get("/me", headers=secret)
    [span] = traced.spans()
    assert secret["Authorization"] in span.to_json()
    monkeypatch.setenv(
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SANITIZE_FIELDS", "authorization,cookie"
    )
    traced.client.get("/me", headers=secret)
    [span] = traced.spans()
    assert secret["Authorization"] not in span.to_json()


@both_orders
def test_an_exception_of_a_view_is_recorded_once(order: str) -> None:
    traced = Traced(order, PROPAGATE_EXCEPTIONS=False)
    assert traced.client.get("/fails", headers=bearer()).status_code == 500
    [span] = traced.spans()
    assert dict(span.attributes or {})["http.status_code"] == 500
    assert span.status.status_code is StatusCode.ERROR
    assert [each.name for each in span.events] == ["exception"]


@both_orders
def test_a_stream_keeps_its_identity_and_is_one_span(order: str) -> None:
    traced = Traced(order)
    answer = traced.client.get("/streamed", headers=bearer(), buffered=False)
    parts = list(answer.iter_encoded())
    answer.close()
    assert parts == [USER.encode(), b"the end"]
    [span] = traced.spans()
    assert dict(span.attributes or {})["http.status_code"] == 200


@both_orders
def test_an_async_view_has_the_identity_and_the_span(order: str) -> None:
    traced = Traced(order)
    answer = traced.client.get("/awaited", headers=bearer())
    [span] = traced.spans()
    assert span.context is not None
    assert answer.json == {
        "trace": trace.format_trace_id(span.context.trace_id),
        "user_id": USER,
    }


@both_orders
def test_the_audit_line_is_written_inside_the_span(
    order: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So the logging instrumentation writes the id of the trace into it."""
    traced, inside = Traced(order), []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            inside.append(trace.get_current_span().get_span_context().trace_id)

    handler, logger = Noting(), logging.getLogger("flask_tenant_auth")
    logger.addHandler(handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            traced.client.get("/me")
            traced.client.get("/me", headers=bearer())
    finally:
        logger.removeHandler(handler)
    traces = [each.context.trace_id for each in traced.spans() if each.context]
    assert inside == traces
    assert len(set(traces)) == 2


PROGRAM = """
import json
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
{imports}
import flask
from apps import SECRET
from flask_tenant_auth import TenantAuth, rate_limit, verify_tenant_context
app = {kind}("app", static_folder="static")
app.config.update(TESTING=True, REDIS_URL="", JWT_SECRET_KEY=SECRET)
TenantAuth(app)
app.get("/me")(verify_tenant_context(lambda: "in"))
app.get("/limited", endpoint="limited")(rate_limit("1 per hour")(lambda: "in"))
client = app.test_client()
answers = [client.get(path).status_code for path in ("/me", "/limited", "/limited")]
spans = [each.attributes["http.status_code"] for each in exporter.get_finished_spans()]
static = "static files" in app.test_cli_runner().invoke(args=["auth", "check"]).output
print(json.dumps([answers, spans, static]))
"""
OURS = "import flask_tenant_auth"
THEIRS = "FlaskInstrumentor().instrument(tracer_provider=provider)"
EARLY = "from flask import Flask as Early"


@pytest.mark.parametrize("imports", [[THEIRS, OURS], [OURS, THEIRS]], ids=["first", "last"])
def test_an_instrumented_class_has_spans_of_all_denials(imports: list[str]) -> None:
    """`opentelemetry-instrument` does this: each app that is made later has its hooks first."""
    assert run(imports, "flask.Flask") == [[401, 200, 429], [401, 200, 429], True]


@pytest.mark.parametrize(
    "imports", [[EARLY, THEIRS, OURS], [EARLY, OURS, THEIRS]], ids=["first", "last"]
)
def test_an_app_of_the_class_before_it_was_instrumented_is_protected_without_spans(
    imports: list[str],
) -> None:
    assert run(imports, "Early") == [[401, 200, 429], [], True]


def run(imports: list[str], kind: str) -> Any:
    program = PROGRAM.format(imports="\n".join(imports), kind=kind)
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=SUPPORT,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return json.loads(shown.stdout)
