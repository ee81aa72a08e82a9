"""AUTH_METRICS_ROUTE: what it counts, what it answers, and to whom."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from flask import Flask
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_text

import session_apps
from apps import (
    OTHER_TENANT,
    TENANT,
    USER,
    add_denying_views,
    bare_app,
    bearer,
    error_of,
    identity_headers,
    make_app,
)
from flask_tenant_auth import (
    AuthError,
    ConfigurationError,
    TenantAuth,
    public_route,
    rate_limit,
    revoke_session,
    revoke_tenant,
    verify_tenant_context,
)
from flask_tenant_auth._core import METRICS
from flask_tenant_auth.flask.listed_routes import routes_of
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.sessions.store import Kind
from paths import ROOT
from waiting import until

PROMETHEUS = {"REMOTE_ADDR": "10.0.0.9"}
OPEN = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
WORDS = {name: words for name, _, _, _, words in METRICS}


def metrics_app(**config: Any) -> Flask:
    settings = {"AUTH_METRICS_ROUTE": "/metrics", "AUTH_TRUSTED_GATEWAYS": "10.0.0.0/24"}
    app = make_app(**settings | config)
    add_denying_views(app)
    return app


def scrape(app: Flask, **options: Any) -> dict[str, float]:
    """All samples, by name and labels as Prometheus writes them."""
    answer = app.test_client().get("/metrics", environ_base=PROMETHEUS, **options)
    assert answer.status_code == 200, answer.text
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }


def sample(name: str, **labels: str) -> str:
    return f"tenant_auth_{name}{sorted(labels.items())}"


def grown(app: Flask, before: dict[str, float]) -> dict[str, float]:
    """The counters of requests and denials that have grown, but for scrapes."""
    after = scrape(app)
    found = {
        name: after[name] - before.get(name, 0)
        for name in after
        if name.startswith(("tenant_auth_requests_total", "tenant_auth_denials_total"))
        and after[name] != before.get(name, 0)
    }
    found[sample("requests_total", outcome="allowed")] -= 1  # the scrape before
    return {name: value for name, value in found.items() if value}


# --- What is counted --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "header", "outcome", "reason"),
    [
        ("/me", bearer(), "allowed", None),
        ("/me", {}, "denied", "no_credentials"),
        ("/me", bearer(exp=1), "denied", "expired"),
        ("/admin", bearer(), "denied", "role_insufficient"),
        ("/denies", {}, "denied", "answered_by_app"),
        ("/none", {}, "allowed", None),
        ("/own", {}, "denied", "other"),
        ("/fails", {}, "failed", None),
    ],
)
def test_a_request_is_counted_by_its_outcome_and_reason(
    path: str, header: dict[str, str], outcome: str, reason: str | None
) -> None:
    app = metrics_app(PROPAGATE_EXCEPTIONS=False)

    def own() -> None:
        raise AuthError("no", 403, reason="plan_too_small")

    app.get("/own", endpoint="own")(public_route(own))
    app.get("/fails", endpoint="fails")(public_route(lambda: 1 / 0))
    before = scrape(app)
    app.test_client().get(path, headers=header)
    expected = {sample("requests_total", outcome=outcome): 1.0}
    if reason is not None:
        expected[sample("denials_total", reason=reason)] = 1.0
    assert grown(app, before) == expected


def test_a_limited_request_is_counted_for_its_limit() -> None:
    app = metrics_app()
    before = scrape(app)
    for _ in range(3):
        app.test_client().get("/limited")
    assert grown(app, before) == {
        sample("requests_total", outcome="allowed"): 1.0,
        sample("requests_total", outcome="limited"): 2.0,
        sample("denials_total", reason="rate_limit_exceeded"): 2.0,
    }
    decisions = {name: value for name, value in scrape(app).items() if "1 per 1 hour" in name}
    assert sorted(decisions.values()) == [1.0, 2.0]
    assert all("'per', 'user'" in name for name in decisions)


def test_one_401_too_many_is_counted_once() -> None:
    app = metrics_app(AUTH_FAILURE_LIMIT="1 per hour")
    before = scrape(app)
    for _ in range(2):
        app.test_client().get("/denies")
    assert grown(app, before) == {
        sample("requests_total", outcome="denied"): 1.0,
        sample("requests_total", outcome="limited"): 1.0,
        sample("denials_total", reason="answered_by_app"): 1.0,
        sample("denials_total", reason="rate_limit_exceeded"): 1.0,
    }


def test_only_verified_tokens_are_in_the_histogram() -> None:
    app = metrics_app()
    name = sample("verification_seconds_count")
    client = app.test_client()
    client.get("/me")
    assert scrape(app)[name] == 0
    client.get("/me", headers=bearer())
    assert scrape(app)[name] == 1
    client.get("/me", headers={"Authorization": "Bearer x"})
    after = scrape(app)
    assert after[name] >= 2
    assert 0 < after[sample("verification_seconds_sum")] < 60


def test_a_tenant_has_a_series_only_if_it_is_listed() -> None:
    app = metrics_app(AUTH_METRICS_TENANTS=TENANT.upper())
    client = app.test_client()
    for tenant in (TENANT, OTHER_TENANT, "00000000-0000-4000-8000-000000000001"):
        client.get("/me", headers=bearer(tenant))
    client.get("/me")
    read = {name: value for name, value in scrape(app).items() if "tenant_requests" in name}
    assert read[sample("tenant_requests_total", tenant=TENANT, outcome="allowed")] == 1
    assert read[sample("tenant_requests_total", tenant="other", outcome="allowed")] == 2
    assert len(read) == 2 * len(WORDS["tenant_auth_tenant_requests"])
    assert not any(OTHER_TENANT in name for name in read)


def test_without_the_setting_no_tenant_and_no_user_is_in_the_text() -> None:
    app = metrics_app()
    client = app.test_client()
    client.get("/me", headers=bearer())
    client.get("/me", headers=bearer("not a tenant"))
    answer = client.get("/metrics", environ_base=PROMETHEUS)
    for secret in (TENANT, USER, "not a tenant", bearer()["Authorization"][7:]):
        assert secret not in answer.text
    assert "tenant_auth_tenant_requests" not in answer.text


def test_sessions_and_revocations_are_counted(tmp_path: Path) -> None:
    app = session_apps.session_app(
        tmp_path, AUTH_METRICS_ROUTE="/metrics", AUTH_TRUSTED_GATEWAYS="10.0.0.0/24",
        AUTH_REFRESH_GRACE_SECONDS=0,
    )  # fmt: skip
    client = app.test_client()
    tokens = session_apps.begin(app)
    session_apps.refresh(client, tokens.refresh_token)
    assert session_apps.refresh(client, tokens.refresh_token).status_code == 401  # reuse
    with app.app_context():
        revoke_session(session_apps.begin(app).session_id)
        revoke_tenant(TENANT)
    read = scrape(app)
    events = {
        word: read[sample("session_events_total", event=word)]
        for word in WORDS["tenant_auth_session_events"]
    }
    assert events == {"created": 2, "refreshed": 1, "ended": 2, "reused": 1}
    assert read[sample("revocations_total", kind="session")] == 2
    assert read[sample("revocations_total", kind="tenant")] == 1
    # A thread reads the store, and the token was denied by what this process has revoked itself.
    session_apps.ask(client, tokens.access_token)
    age = sample("revocations_age_seconds")
    until(lambda: age in scrape(app), "the store of sessions was read")
    assert 0 <= scrape(app)[age] < 60


def test_each_kind_of_revocation_can_be_counted() -> None:
    assert set(WORDS["tenant_auth_revocations"]) == set(get_args(Kind))


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /dev/full")
def test_lines_of_the_audit_log_that_are_lost_are_counted() -> None:
    app = metrics_app(AUDIT_LOG="/dev/full")
    for _ in range(4):
        app.test_client().get("/me")
    assert scrape(app)[sample("audit_lines_lost_total")] == 4


def test_the_table_of_limits_is_shown() -> None:
    app = metrics_app()
    read = scrape(app)
    assert read[sample("limit_table_slots_used")] == 0
    app.test_client().get("/limited")
    read = scrape(app)
    assert read[sample("limit_table_slots_used")] >= 1
    assert read[sample("limit_table_slots")] > 1000
    assert read[sample("limit_table_evictions_total")] == 0
    assert sample("limit_table_slots") not in scrape(metrics_app(RATELIMIT_ENABLED=False))


def strings_of(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from strings_of(node.body)
        yield from strings_of(node.orelse)


def reasons_in(source: str) -> set[str]:
    """The reasons that a module gives: of a Denial, a SessionDenied or an ApiKeyDenied, reason=."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", "")
            places = {"Denial": 2, "SessionDenied": 0, "ApiKeyDenied": 0}
            if name in places and len(node.args) > places[name]:
                found.update(strings_of(node.args[places[name]]))
            for keyword in node.keywords:
                if keyword.arg == "reason":
                    found.update(strings_of(keyword.value))
        elif isinstance(node, ast.FunctionDef):
            arguments = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            for argument, default in arguments:
                if argument.arg == "reason" and default is not None:
                    found.update(strings_of(default))
    return found


def test_each_reason_of_a_denial_is_in_the_catalogue() -> None:
    known = set(WORDS["tenant_auth_denials"])
    given = set()
    for path in (ROOT / "flask_tenant_auth").rglob("*.py"):
        if path.parent.name != "commands":
            given |= reasons_in(path.read_text("utf-8"))
    from flask_tenant_auth._core import INVALID_TOKENS
    from flask_tenant_auth.sessions.rotation import Outcome

    given |= set(INVALID_TOKENS) | {each.value for each in Outcome} - {"advance", "repeat"}
    assert given - known == set()
    assert known - given <= {"other", "answered_by_app", "internal_error", "denied_by_receiver"}
    assert len(given) > 80


def test_a_reason_that_is_not_in_the_catalogue_is_found() -> None:
    assert reasons_in('Denial(401, "m", "new_reason")') == {"new_reason"}
    assert reasons_in('def f(*, reason="a"): raise AuthError("m", reason="b" if x else "c")') == {
        *("a", "b", "c")
    }


# --- Who may read -----------------------------------------------------------------------------

READERS = {"AUTH_PERMISSIONS": {"user": [], "admin": ["metrics:read"]}}


def get(app: Flask, address: str = "203.0.113.7", **options: Any) -> Any:
    return app.test_client().get("/metrics", environ_base={"REMOTE_ADDR": address}, **options)


def test_without_a_gateway_and_a_permission_nobody_gets_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = metrics_app(AUTH_TRUSTED_GATEWAYS="", **READERS)
    assert "AUTH_METRICS_ROUTE /metrics answers nobody" in caplog.text
    for address in ("127.0.0.1", "::1", "10.0.0.9", "203.0.113.7", ""):
        for header in ({}, bearer(role="admin"), identity_headers()):
            answer = get(app, address, headers=header)
            assert error_of(answer) == (403, "Access to this resource is denied")
            assert b"tenant_auth" not in answer.data


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.0.0.9", True),
        ("::ffff:10.0.0.9", True),
        ("10.0.1.9", False),
        ("127.0.0.1", False),
        ("", False),
        ("unix:", False),
        ("10.0.0.9, 203.0.113.7", False),
    ],
)
def test_the_address_that_connected_decides(address: str, allowed: bool) -> None:
    assert get(metrics_app(), address).status_code == (200 if allowed else 403)


@pytest.mark.parametrize(
    "header",
    [
        {"X-Forwarded-For": "10.0.0.9"},
        {"X-Forwarded-For": ""},
        {"Forwarded": "for=10.0.0.9"},
        {"X-Real-IP": "10.0.0.9"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Anything": "x"},
        {"Via": "1.1 proxy"},
        {"X-Tenant-ID": TENANT},
        identity_headers(),
    ],
    ids=lambda header: ",".join(header),
)
def test_what_a_gateway_forwards_is_not_from_the_gateway(header: dict[str, str]) -> None:
    assert get(metrics_app(), "10.0.0.9", headers=header).status_code == 403


def test_http_1_0_is_how_nginx_forwards() -> None:
    answer = metrics_app().test_client().get(
        "/metrics", environ_base=PROMETHEUS, environ_overrides={"SERVER_PROTOCOL": "HTTP/1.0"}
    )  # fmt: skip
    assert answer.status_code == 403


def test_a_forwarded_address_in_the_place_of_the_peer_does_not_count() -> None:
    from werkzeug.middleware.proxy_fix import ProxyFix

    app = metrics_app()
    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
    assert get(app, headers={"X-Forwarded-For": "10.0.0.9"}).status_code == 403
    assert get(app, "10.0.0.9").status_code == 200


def test_development_lets_nobody_in_either() -> None:
    app = metrics_app(FLASK_ENV="development", AUTH_TRUSTED_GATEWAYS="")
    assert get(app, "127.0.0.1").status_code == 403


def test_who_has_the_permission_reads_from_anywhere() -> None:
    app = metrics_app(AUTH_METRICS_PERMISSION="metrics:read", **READERS)
    assert get(app, headers=bearer(role="admin")).status_code == 200
    assert error_of(get(app, headers=bearer())) == (
        *(403, "Insufficient permissions. Required permission: metrics:read"),
    )
    assert get(app).status_code == 401
    assert get(app, headers=bearer(role="admin", exp=1)).status_code == 401
    assert get(app, "10.0.0.9").status_code == 200


def test_a_gateway_forwards_those_who_have_the_permission() -> None:
    app = metrics_app(AUTH_METRICS_PERMISSION="metrics:read", **READERS)
    headers = identity_headers(**{"X-User-Role": "admin"})
    assert get(app, "10.0.0.9", headers=headers).status_code == 200
    assert get(app, "10.0.0.9", headers=identity_headers()).status_code == 403


def test_it_is_exempt_from_all_limits() -> None:
    app = metrics_app(RATELIMIT_DEFAULT="1 per hour", RATELIMIT_TENANT_DEFAULT="1 per hour")
    assert [get(app, "10.0.0.9").status_code for _ in range(5)] == [200] * 5


def test_the_list_of_routes_shows_what_protects_it() -> None:
    shown = [str(each) for each in routes_of(metrics_app()) if each.path == "/metrics"]
    assert shown == ["GET     /metrics  [protected by AUTH_TRUSTED_GATEWAYS]  no limit"]
    app = metrics_app(AUTH_METRICS_PERMISSION="metrics:read")
    (route,) = [each for each in routes_of(app) if each.path == "/metrics"]
    assert "protected by AUTH_TRUSTED_GATEWAYS, or permission metrics:read" in str(route)
    assert not route.unprotected


def test_other_methods_are_not_allowed() -> None:
    answer = metrics_app().test_client().post("/metrics", environ_base=PROMETHEUS)
    assert answer.status_code == 405


# --- What is answered -------------------------------------------------------------------------


def test_who_asks_for_openmetrics_gets_it() -> None:
    answer = get(metrics_app(), "10.0.0.9", headers=OPEN)
    assert answer.content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    families = {family.name: family for family in parse_open(answer.text)}
    assert families["tenant_auth_requests"].type == "counter"
    assert families["tenant_auth_verification_seconds"].type == "histogram"
    assert families["tenant_auth_processes"].type == "gauge"


@pytest.mark.parametrize("accept", [None, "", "*/*", "text/plain", "text/html"])
def test_everybody_else_gets_the_text_format(accept: str | None) -> None:
    headers = {} if accept is None else {"Accept": accept}
    answer = get(metrics_app(), "10.0.0.9", headers=headers)
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    assert "# EOF" not in answer.text
    assert list(parse_text(answer.text))


def test_no_cache_keeps_it() -> None:
    answer = get(metrics_app(), "10.0.0.9")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Accept" in answer.headers["Vary"]


def test_each_series_stands_there_once() -> None:
    app = metrics_app(AUTH_METRICS_TENANTS=[TENANT, OTHER_TENANT])
    view = public_route(rate_limit("5 per hour; 9 per day", scope='a "b"\\ c')(lambda: ""))
    app.get("/odd", endpoint="odd")(view)
    app.test_client().get("/odd", headers=bearer())
    lines = [line for line in get(app, "10.0.0.9").text.splitlines() if line[0] != "#"]
    series = [line.rpartition(" ")[0] for line in lines]
    assert len(set(series)) == len(series) > 100
    assert any('scope="shared a \\"b\\"\\\\ c"' in each for each in series)


# --- Settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AUTH_METRICS_ROUTE", "metrics"),
        ("AUTH_METRICS_PERMISSION", "metrics:*"),
        ("AUTH_METRICS_PERMISSION", "a b"),
        ("AUTH_METRICS_TENANTS", "acme"),
        ("AUTH_METRICS_TENANTS", [f"00000000-0000-4000-8000-{n:012}" for n in range(101)]),
    ],
)
def test_a_setting_that_is_not_valid_stops_the_app(key: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=key):
        metrics_app(**{key: value})


def test_without_the_route_nothing_is_counted() -> None:
    app = make_app()
    assert state_of(app).metrics is None
    assert app.test_client().get("/metrics").status_code == 404


def test_an_app_without_prometheus_client_says_which_extra_it_needs() -> None:
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from apps import make_app\n"
        "make_app()\n"
        "try:\n"
        "    make_app(AUTH_METRICS_ROUTE='/metrics')\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    path = os.pathsep.join(sys.path)
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "install flask-tenant-auth[metrics]" in ran.stdout


def test_an_app_that_turns_out_to_be_tested_counts_alone() -> None:
    app = bare_app(TESTING=False, FLASK_ENV="development", AUTH_METRICS_ROUTE="/metrics")
    TenantAuth(app)
    app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
    metrics = state_of(app).metrics
    assert metrics is not None
    path = metrics.status()["path"]
    assert path is not None
    try:
        app.config["TESTING"] = True
        app.test_client().get("/me")
        assert metrics.status()["path"] is None
        assert dict(metrics.read()["tenant_auth_requests"])["denied",] == 1
    finally:
        Path(path).unlink()


def test_the_reference_has_every_metric_as_the_catalogue_has_it() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    table = text.partition("| metric | type | labels | counts |")[2].partition("\n\n")[0]
    rows = [[cell.strip(" `") for cell in row.split("|")[1:5]] for row in table.splitlines()[2:]]
    types = {"counter": "counter", "total": "counter", "histogram": "histogram"}
    assert rows == [
        [
            name + ("_total" if kind in ("counter", "total") else ""),
            types.get(kind, "gauge"),
            "`, `".join(labels) or "-",
            text_of,
        ]
        for name, kind, text_of, labels, _ in METRICS
    ]


def test_the_recipe_has_every_alert() -> None:
    rules = (ROOT / "examples/monitoring/tenant_auth.rules.yml").read_text("utf-8")
    alerts = [line.split()[-1] for line in rules.splitlines() if "- alert:" in line]
    text = (ROOT / "docs/recipes/monitoring.md").read_text("utf-8")
    table = text.partition("| alert | means | do |")[2].partition("\n\n")[0]
    assert [row.split("`")[1] for row in table.splitlines()[2:]] == alerts
