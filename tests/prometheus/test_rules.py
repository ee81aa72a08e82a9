"""The alert rules that are shipped: each fires when it should, and not in the nearest case."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from prometheus import MONITORING

RULES = MONITORING / "tenant_auth.rules.yml"
JOB = 'job="a"'


class Case(NamedTuple):
    """Series from minute to minute, in the notation of promtool, and when to look."""

    alert: str
    after: str
    fires: dict[str, str]
    quiet: dict[str, str]


def requests(**by_outcome: str) -> dict[str, str]:
    return {
        f'tenant_auth_requests_total{{{JOB},outcome="{outcome}"}}': values
        for outcome, values in by_outcome.items()
    }


def denials(reason: str, values: str) -> dict[str, str]:
    return {f'tenant_auth_denials_total{{{JOB},reason="{reason}"}}': values}


def one(name: str, values: str, labels: str = "") -> dict[str, str]:
    return {f'tenant_auth_{name}{{{JOB},instance="i"{labels}}}': values}


def keys(age: str, failed: str) -> dict[str, str]:
    source = ',source="https://a"'
    return one("jwks_age_seconds", age, source) | one(
        "jwks_fetches_total", failed, f'{source},result="failed"'
    )


def slow(le: str) -> dict[str, str]:
    """All tokens take up to this many seconds."""
    bounds = ("0.001", "0.01", "0.1", "+Inf")
    return {
        f'tenant_auth_verification_seconds_bucket{{{JOB},le="{bound}"}}': (
            "0+60x30" if float(bound) >= float(le) else "0+0x30"
        )
        for bound in bounds
    }


CASES = [
    Case("TenantAuthNotScraped", "6m", one("processes", "1x30"), requests(allowed="0x30")),
    Case(
        "TenantAuthManyDenials",
        "20m",
        requests(allowed="0+60x30", denied="0+60x30"),
        requests(allowed="0+600x30", denied="0+60x30"),
    ),
    Case("TenantAuthManyDenials", "20m",
        requests(allowed="0+60x30", denied="0+60x30"),
        requests(allowed="0+6x30", denied="0+6x30"),  # too few requests to tell
    ),
    Case(
        "TenantAuthForgedTokens",
        "12m",
        denials("signature_mismatch", "0+60x30"),
        denials("expired", "0+60x30"),
    ),
    Case(
        "TenantAuthRefreshTokenReused",
        "5m",
        one("session_events_total", "0 0 0 1x20", ',event="reused"'),
        one("session_events_total", "0 0 0 1x20", ',event="ended"'),
    ),
    Case(
        "TenantAuthOtherTenant",
        "10m",
        denials("other_tenant", "0+3x30"),
        denials("other_user", "0+3x30"),
    ),
    Case(
        "TenantAuthRedisAway",
        "5m",
        one("redis_away_processes", "0 0 2x20"),
        one("redis_away_processes", "0 0 0 0 0 2x20"),  # not for long enough
    ),
    Case(
        "TenantAuthLimitsNotCounted",
        "5m",
        one("limit_checks_total", "0+9x30", ',store="none"'),
        one("limit_checks_total", "0+9x30", ',store="memory"'),
    ),
    Case(
        "TenantAuthLimitTableFull",
        "5m",
        one("limit_table_evictions_total", "0 0 0 5x20"),
        one("limit_table_evictions_total", "5x30"),  # long ago
    ),
    Case(
        "TenantAuthKeysNotFetched",
        "20m",
        keys("3601+60x30", "0+1x30"),
        keys("3601+60x30", "7x30"),  # nobody asks: an idle service
    ),
    Case(
        "TenantAuthKeysNotFetched",
        "20m",
        keys("3601+60x30", "0+1x30"),
        keys("60x30", "0+1x30"),  # one of several fetches failed
    ),
    Case(
        "TenantAuthUnavailable",
        "5m",
        denials("keys_unavailable", "0+9x30"),
        denials("rate_limit_exceeded", "0+9x30"),
    ),
    Case(
        "TenantAuthRevocationsOld",
        "5m",
        one("revocations_age_seconds", "40x30"),
        one("revocations_age_seconds", "1x30"),
    ),
    Case(
        "TenantAuthAuditLinesLost",
        "5m",
        one("audit_lines_lost_total", "0 0 0 1x20"),
        one("audit_lines_lost_total", "1x30"),
    ),
    Case("TenantAuthVerificationSlow", "20m", slow("0.1"), slow("0.01")),
]  # fmt: skip


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def fires(case: Case, series: dict[str, str], folder: Path) -> bool:
    """Whether promtool finds that the alert fires.

    A test of promtool names all that an alert says. One that expects nothing fails where it fires.
    """
    test: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "alert_rule_test": [
                    {"alertname": case.alert, "eval_time": case.after, "exp_alerts": []}
                ],
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(json.dumps(test))
    ran = promtool("test", "rules", str(path))
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0 or "got:[" in said, said
    return ran.returncode != 0


def test_promtool_takes_the_rules() -> None:
    ran = promtool("check", "rules", str(RULES))
    assert ran.returncode == 0, ran.stderr
    ran = promtool("check", "config", str(MONITORING / "prometheus.yml"))
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_an_alert_fires_when_it_should(case: Case, tmp_path: Path) -> None:
    assert fires(case, case.fires, tmp_path)
    assert not fires(case, case.quiet, tmp_path)


def test_each_alert_is_tried() -> None:
    text = RULES.read_text("utf-8")
    named = [line.split()[-1] for line in text.splitlines() if "- alert:" in line]
    assert {case.alert for case in CASES} == set(named)
    assert len(set(named)) == len(named)
