"""A real Prometheus, and an app under gunicorn that it scrapes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from apps import SECRET, TENANT
from paths import ROOT, SUPPORT
from servers import Gunicorn, Server

MONITORING = ROOT / "examples" / "monitoring"
JOB = "measured"


class Prometheus(Server):
    """It scrapes one port each second, and evaluates the rules of a file as often."""

    def __init__(self, target: int, rules: Path) -> None:
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [
                {
                    "job_name": JOB,
                    "metrics_path": "/metrics",
                    "static_configs": [{"targets": [f"127.0.0.1:{target}"]}],
                }
            ],
        }
        # JSON is YAML.
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration))

    def command(self) -> list[str]:
        """As in the base class."""
        return [
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def ready(self) -> bool:
        """Whether it answers queries."""
        try:
            return requests.get(f"{self.url}/-/ready", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        answer = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression has now."""
        series: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return series

    def value(self, expression: str) -> float:
        """The value of the one series that an expression has; -1: it has none yet."""
        series = self.query(expression)
        assert len(series) < 2, series
        return float(series[0]["value"][1]) if series else -1.0

    def firing(self) -> set[str]:
        """The alerts that fire."""
        alerts = self.ask("alerts")["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}


class MeasuredApp(Gunicorn):
    """metrics_app.py in production; more settings may be given."""

    def __init__(self, folder: Path, *, workers: int = 3, **settings: str) -> None:
        environment = {
            "AUTH_FAILURE_LIMIT": "1000000 per minute",
            "AUTH_METRICS_ROUTE": "/metrics",
            "AUTH_METRICS_TENANTS": TENANT,
            "AUTH_TRUSTED_GATEWAYS": "127.0.0.1",
            "AUTH_SESSION_STORE": f"sqlite:///{folder}/sessions.db",
            "FLASK_ENV": "production",
            "INSTANCE_PATH": str(folder),
            "JWT_SECRET_KEY": SECRET,
            "PYTHONPATH": f"{ROOT}:{SUPPORT}",
            "RATELIMIT_DEFAULT": "1000000 per minute",
            "RATELIMIT_KEY_PREFIX": f"measured {uuid.uuid4()}",
            "REDIS_URL": "",
        }
        super().__init__(
            "metrics_app:app",
            *("--workers", str(workers), "--worker-class", "gthread", "--threads", "2"),
            environment=environment | settings,
        )
        self.url = f"http://127.0.0.1:{self.port}"

    def ready(self) -> bool:
        """Whether a worker answers: gunicorn listens before its workers have imported the app."""
        try:
            return requests.get(f"{self.url}/open", timeout=10).status_code == 200
        except requests.RequestException:
            return False

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Ask on a connection of its own, so that any worker may answer."""
        header = {"Connection": "close", **(headers or {})}
        return requests.get(self.url + path, headers=header, timeout=30)

    def post(self, path: str, **body: str) -> requests.Response:
        """As `get`."""
        header = {"Connection": "close"}
        return requests.post(self.url + path, json=body, headers=header, timeout=30)

    def scrape(self) -> dict[str, float]:
        """The samples without those that are zero, by name and labels as they are written."""
        lines = self.get("/metrics").text.splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples if float(value)}
