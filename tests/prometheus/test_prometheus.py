"""The metrics of an app under gunicorn, scraped by a real Prometheus."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from requests import RequestException

from apps import OTHER_TENANT, TENANT, USER, bearer
from chromium import Chromium
from dashboard_picture import dashboard_page, panel_of
from flask_tenant_auth.metrics.exposition import CATALOGUE
from paths import ROOT
from pictures import Picture, optimised
from prometheus import JOB, MONITORING, MeasuredApp, Prometheus
from provider import Provider
from servers import Redis
from waiting import until

RULES = MONITORING / "tenant_auth.rules.yml"
DASHBOARD = json.loads((MONITORING / "grafana_dashboard.json").read_text("utf-8"))


class Watched(NamedTuple):
    """An app with all that it can have, the provider of some of its keys, and what watches it."""

    app: MeasuredApp
    redis: Redis
    prometheus: Prometheus
    provider: Provider


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with Redis() as redis, Provider(folder, tls=False) as provider:
        issuer = {"issuer": provider.issuer, "jwks": provider.url, "algorithms": ["RS256"]}
        app = MeasuredApp(
            folder,
            AUDIT_LOG="/dev/full",
            AUTH_REFRESH_GRACE_SECONDS="0",
            JWT_ISSUERS=json.dumps([issuer]),
            REDIS_URL=redis.url,
            RATELIMIT_STORE_TIMEOUT_MS="5000",
        )
        with app, Prometheus(app.port, RULES) as prometheus:
            yield Watched(app, redis, prometheus, provider)


def ask_for_everything(watched: Watched) -> None:
    """Have each metric count."""
    app = watched.app
    for header in (
        bearer(),
        bearer(OTHER_TENANT),
        bearer(exp=1),
        {},
        {"Authorization": "Bearer x"},
    ):
        app.get("/who", header)
    provider = watched.provider
    app.get("/who", provider.keys[0].bearer(iss=provider.issuer))
    for _ in range(2):
        app.get("/once")
    tokens = app.post("/begin", tenant=TENANT, user=USER).json()
    app.post("/refresh", refresh_token=tokens["refresh_token"])


def queries() -> list[tuple[str, str]]:
    """Each query of the dashboard with the title of its panel, as Grafana sends it."""
    found = []
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            query = target["expr"].replace("$__rate_interval", "1m").replace("$job", JOB)
            assert "$" not in query
            found.append((panel["title"], query))
    return found


def test_prometheus_reads_every_metric_of_the_catalogue(watched: Watched) -> None:
    ask_for_everything(watched)
    suffixes = {"counter": "_total", "total": "_total", "histogram": "_bucket"}
    names = {each.name + suffixes.get(each.kind, "") for each in CATALOGUE}
    until(
        lambda: names <= set(watched.prometheus.ask("label/__name__/values")),
        "all metrics in Prometheus",
    )
    kinds = watched.prometheus.ask("metadata")
    for each in CATALOGUE:
        (known,) = kinds[each.name]  # the format is OpenMetrics, where a counter has no suffix here
        assert known["help"] == each.help
        expected = {"counter": "counter", "total": "counter", "histogram": "histogram"}
        assert known["type"] == expected.get(each.kind, "gauge")


def test_each_query_of_the_dashboard_has_series(watched: Watched) -> None:
    found = queries()
    assert len(found) > 20
    ask_for_everything(watched)
    for title, query in found:
        until(lambda q=query: watched.prometheus.query(q), f"series of {title}: {query}")
    (variable,) = [each for each in DASHBOARD["templating"]["list"] if each["name"] == "job"]
    assert variable["query"]["query"] == "label_values(tenant_auth_requests_total, job)"
    assert JOB in watched.prometheus.ask("label/job/values")


def test_a_query_of_a_metric_that_does_not_exist_has_no_series(watched: Watched) -> None:
    assert watched.prometheus.query("sum(rate(tenant_auth_request_total[1m]))") == []


def test_each_metric_of_a_rule_is_in_the_catalogue_or_is_found_out() -> None:
    known = {each.name for each in CATALOGUE}
    used = set(re.findall(r"tenant_auth_\w+", RULES.read_text("utf-8")))
    used |= set(re.findall(r"tenant_auth_\w+", json.dumps([q for _, q in queries()])))
    bare = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in used}
    assert bare <= known
    words = {word for each in CATALOGUE for word in each.words}
    named = re.findall(r'(?:reason|event|store|result|outcome)=~?\s*"([^"]+)"', RULES.read_text())
    assert named
    assert {word for each in named for word in each.split("|")} <= words


def test_alerts_fire_when_a_token_is_reused_and_audit_lines_are_lost(watched: Watched) -> None:
    app, prometheus = watched.app, watched.prometheus
    reused = 'tenant_auth_session_events_total{event="reused"}'
    until(lambda: prometheus.value(reused) >= 0, "the first scrape")
    assert "TenantAuthRefreshTokenReused" not in prometheus.firing()
    tokens = app.post("/begin", tenant=TENANT, user=USER).json()
    assert app.post("/refresh", refresh_token=tokens["refresh_token"]).status_code == 200
    assert app.post("/refresh", refresh_token=tokens["refresh_token"]).status_code == 401
    until(
        lambda: {"TenantAuthRefreshTokenReused", "TenantAuthAuditLinesLost"} <= prometheus.firing(),
        "two alerts",
    )
    assert "TenantAuthOtherTenant" not in prometheus.firing()


def test_redis_that_goes_away_is_seen_and_its_return_too(watched: Watched) -> None:
    """Also in workers that nobody asks any more: the breaker itself says so."""
    app, prometheus, redis = watched.app, watched.prometheus, watched.redis
    away = "tenant_auth_redis_away_processes"
    until(lambda: prometheus.value(away) == 0, "Redis is there")
    redis.stop()
    try:
        until(lambda: app.get("/who", bearer()) and prometheus.value(away) >= 1, "Redis is away")
        pending = {each["labels"]["alertname"] for each in prometheus.ask("alerts")["alerts"]}
        until(
            lambda: "TenantAuthRedisAway"
            in pending
            | {each["labels"]["alertname"] for each in prometheus.ask("alerts")["alerts"]},
            "the alert is pending",
        )
    finally:
        redis.start()
    until(lambda: prometheus.value(away) == 0, "Redis is back")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredApp]:
    """An app that nobody but a test asks."""
    folder = tmp_path_factory.mktemp("served")
    with MeasuredApp(folder, AUTH_METRICS_TENANTS=f"{TENANT},{OTHER_TENANT}") as app:
        yield app


def allowed_of(app: MeasuredApp, tenant: str) -> float:
    """How many requests of a tenant were allowed."""
    name = f'tenant_auth_tenant_requests_total{{outcome="allowed",tenant="{tenant}"}}'
    return app.scrape().get(name, 0)


def pid_of_worker(app: MeasuredApp, tenant: str) -> int | None:
    """The worker that has answered a request; None: it was killed before it had."""
    try:
        pid: int = app.get("/who", bearer(tenant)).json()["pid"]
    except RequestException:
        return None
    return pid


def test_requests_that_many_clients_send_to_many_workers_are_counted_exactly(
    served: MeasuredApp,
) -> None:
    clients, each = 12, 25
    pids: set[int | None] = set()
    denied: list[int] = []

    def client(number: int) -> None:
        for _ in range(each):
            if number % 3:
                pids.add(pid_of_worker(served, TENANT))
            else:
                denied.append(served.get("/who").status_code)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = served.scrape()
    assert None not in pids
    assert len(pids) > 1
    assert allowed_of(served, TENANT) == clients * each * 2 // 3
    assert denied == [401] * (clients * each // 3)
    assert read['tenant_auth_denials_total{reason="no_credentials"}'] == len(denied)
    # More, where a token was read again once it was known what was revoked.
    assert read["tenant_auth_verification_seconds_count"] >= clients * each * 2 // 3
    assert 1 < read["tenant_auth_processes"] <= 3


def test_workers_that_are_killed_and_restarted_lose_no_count(served: MeasuredApp) -> None:
    """A client whose worker is killed does not know whether it was counted. All others were."""
    answered: Counter[bool] = Counter()
    pids: set[int] = set()
    lock, stop = threading.Lock(), threading.Event()

    def client() -> None:
        while not stop.is_set():
            pid = pid_of_worker(served, OTHER_TENANT)
            with lock:
                answered[pid is not None] += 1
                pids.update(() if pid is None else {pid})

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    killed: set[int] = set()
    while len(killed) < 4:
        until(lambda: pids - killed, "a worker that lives")
        worker = min(pids - killed)
        os.kill(worker, signal.SIGKILL)
        killed.add(worker)
    until(lambda: pids - killed, "a worker that lives at the end")
    stop.set()
    for thread in threads:
        thread.join()
    assert 0 < answered[True] <= allowed_of(served, OTHER_TENANT) <= answered.total()


def test_a_restart_of_the_service_loses_no_count(served: MeasuredApp) -> None:
    served.get("/who", bearer())
    before = allowed_of(served, TENANT)
    served.stop()
    served.start()
    assert allowed_of(served, TENANT) == before > 0


def test_what_a_proxy_on_the_host_forwards_is_denied(served: MeasuredApp) -> None:
    answer = served.get("/metrics", {"X-Forwarded-For": "192.0.2.1"} | bearer())
    assert answer.status_code == 403
    assert answer.json()["message"] == "Access to this resource is denied"
    assert served.get("/metrics").status_code == 200


def test_the_dashboard_has_what_grafana_needs() -> None:
    assert DASHBOARD["schemaVersion"] >= 38
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
        at: dict[str, Any] = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert max(x for x, _ in own) < 24
        assert not own & cells
        cells |= own
        for target in panel["targets"]:
            assert 'job=~"$job"' in target["expr"]


SPAN = 60
PICTURE = ROOT / "docs" / "images" / "dashboard.png"


def series_of(prometheus: Prometheus, panel: dict[str, Any], end: float) -> list[Any]:
    """The series of each query of a panel in the last SPAN seconds, with the query's legend."""
    found = []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "15s").replace("$job", JOB)
        times = {"start": str(end - SPAN), "end": str(end), "step": "1"}
        answer = prometheus.ask("query_range", query=query, **times)
        found += [(target.get("legendFormat", ""), each) for each in answer["result"]]
    return found


def test_a_page_of_the_dashboard_has_every_panel_with_its_series(
    watched: Watched, tmp_path: Path
) -> None:
    """With DASHBOARD_PICTURE=1 it becomes the picture of the docs: `make pictures`."""
    wanted = os.environ.get("DASHBOARD_PICTURE")
    deadline = time.monotonic() + (SPAN if wanted else 3)
    while time.monotonic() < deadline:
        ask_for_everything(watched)
        time.sleep(0.1)
    end = time.time()
    panels = [
        panel_of(panel, series_of(watched.prometheus, panel, end), end, SPAN)
        for panel in DASHBOARD["panels"]
    ]
    for panel in panels:
        assert panel.lines, panel.title
        assert any(line.points for line in panel.lines), panel.title
    page = tmp_path / "dashboard.html"
    page.write_text(dashboard_page("The dashboard of examples/monitoring", panels, SPAN), "utf-8")
    with Chromium() as browser:
        tab = browser.tab()
        tab.open(page.as_uri())
        drawn: list[list[float]] = tab.run(
            "[...document.querySelectorAll('main > section')].map((section) => [...section"
            ".querySelectorAll('svg[role=img], .big')].map((e) => e.getBoundingClientRect().width))"
        )
        assert len(drawn) == len(panels)
        assert all(min(widths) > 20 for widths in drawn)
        if wanted:
            tab.call("Emulation.setScrollbarsHidden", hidden=True)
            metrics = {"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            tab.call("Emulation.setDeviceMetricsOverride", **metrics)
            taken = tab.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
            PICTURE.write_bytes(optimised(Picture(base64.b64decode(taken))))


def test_the_picture_of_the_dashboard_is_there_and_small() -> None:
    data = PICTURE.read_bytes()
    assert len(data) < 200_000
    picture = Picture(data)
    assert picture.width == 1200
    assert len(picture.colours()) > 20
