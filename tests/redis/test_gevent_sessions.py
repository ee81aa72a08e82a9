"""Sessions in gunicorn's gevent workers: log in, refresh, log out and revoke."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from apps import SECRET, TENANT
from paths import ROOT
from servers import Gunicorn, Redis

WORKERS = 2
# Enough requests to meet each worker.
ASKED = 24
MOST_SECONDS = 1.0
PATIENCE = 30


@pytest.fixture(params=["sqlite", "redis"], scope="module")
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with gevent workers and its store of sessions."""
    folder: Path = tmp_path_factory.mktemp("instance")
    with Redis() as redis:
        store = redis.url if request.param == "redis" else f"sqlite:///{folder}/sessions.db"
        environment = {
            "AUTH_FAILURE_LIMIT": "1000000 per minute",
            "AUTH_REVOCATION_MAX_DELAY_SECONDS": "1",
            "AUTH_SESSION_ROUTES": "/auth",
            "AUTH_SESSION_STORE": store,
            "FLASK_ENV": "production",
            "INSTANCE_PATH": str(folder),
            "JWT_SECRET_KEY": SECRET,
            "PYTHONPATH": f"{ROOT}:{ROOT}/tests/support",
            "RATELIMIT_DEFAULT": "1000000 per minute",
            "RATELIMIT_KEY_PREFIX": f"gevent-{os.getpid()}-{request.param}",
            "REDIS_URL": "",
        }
        options = ("--workers", str(WORKERS), "--worker-class", "gevent")
        with Gunicorn("revoking_app:app", *options, environment=environment) as server:
            yield f"http://127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def post(url: str, path: str, **body: str) -> requests.Response:
    return requests.post(url + path, json=body, timeout=120)


def log_in(url: str, user: str) -> dict[str, Any]:
    answer = post(url, "/begin", tenant=TENANT, user=user)
    assert answer.status_code == 200
    tokens: dict[str, Any] = answer.json()
    return tokens


def statuses(url: str, token: str, clients: ThreadPoolExecutor) -> tuple[set[int], set[int]]:
    """The statuses that all workers answer, and who they are."""

    def ask(_: int) -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        answer = requests.get(f"{url}/who", headers=headers, timeout=120)
        return answer.status_code, answer.json().get("pid", 0)

    answers = list(clients.map(ask, range(ASKED)))
    return {status for status, _ in answers}, {pid for _, pid in answers}


def test_a_session_is_refreshed_by_its_route_and_an_old_refresh_token_ends_it(
    url: str, clients: ThreadPoolExecutor
) -> None:
    tokens = log_in(url, str(uuid.uuid4()))
    answer = post(url, "/auth/refresh", refresh_token=tokens["refresh_token"])
    assert answer.status_code == 200
    new = answer.json()
    assert new["session_id"] == tokens["session_id"]
    assert statuses(url, new["access_token"], clients)[0] == {200}
    assert post(url, "/auth/refresh", refresh_token=new["refresh_token"]).status_code == 200
    assert post(url, "/auth/refresh", refresh_token=tokens["refresh_token"]).status_code == 401


@pytest.mark.parametrize("end", ["revoke", "log out"])
def test_no_worker_admits_a_second_later_what_has_ended(
    url: str, end: str, clients: ThreadPoolExecutor
) -> None:
    met: set[int] = set()
    in_time: list[bool] = []
    for _ in range(3):
        user = str(uuid.uuid4())
        tokens, other = log_in(url, user), log_in(url, str(uuid.uuid4()))
        admitted, pids = statuses(url, tokens["access_token"], clients)
        assert admitted == {200}
        met |= pids
        if end == "revoke":
            assert post(url, "/revoke", tenant=TENANT, user=user).status_code == 200
        else:
            answer = post(url, "/auth/logout", refresh_token=tokens["refresh_token"])
            assert answer.status_code == 204
        time.sleep(MOST_SECONDS)
        tries, deadline = 1, time.monotonic() + PATIENCE
        while statuses(url, tokens["access_token"], clients)[0] != {401}:
            assert time.monotonic() < deadline
            tries += 1
        in_time.append(tries == 1)
        answer = post(url, "/auth/refresh", refresh_token=tokens["refresh_token"])
        assert answer.status_code == 401
        assert statuses(url, other["access_token"], clients)[0] == {200}
    assert len(met) == WORKERS
    # A machine that is busy may keep a worker from running for a second, but not each time.
    assert any(in_time)


def test_a_burst_of_log_ins_and_refreshes_is_served(url: str, clients: ThreadPoolExecutor) -> None:
    def live(_: int) -> list[int]:
        tokens = log_in(url, str(uuid.uuid4()))
        refreshed = post(url, "/auth/refresh", refresh_token=tokens["refresh_token"])
        token = refreshed.json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        who = requests.get(f"{url}/who", headers=headers, timeout=120)
        return [refreshed.status_code, who.status_code]

    assert list(clients.map(live, range(40))) == [[200, 200]] * 40
