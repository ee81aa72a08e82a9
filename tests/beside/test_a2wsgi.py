"""a2wsgi under uvicorn: identities, limits, bodies, streams and clients that go away."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apps import SECRET, TENANT, USER, bearer
from paths import ROOT, SUPPORT
from servers import Server
from waiting import until

PART = 65536


class Uvicorn(Server):
    """uvicorn with the app of a2wsgi_app.py, in production."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self.audit_log = self.directory / "audit.jsonl"
        self._settings = {
            "AUDIT_LOG": str(self.audit_log),
            "CORS_ORIGINS": "https://page.example.test",
            "CORS_RESOURCES": "/",
            "FLASK_ENV": "production",
            "JWT_SECRET_KEY": SECRET,
            "PYTHONPATH": f"{ROOT}:{SUPPORT}",
            "RATELIMIT_KEY_PREFIX": f"a2wsgi {uuid.uuid4()}",
            "RATELIMIT_SHM_BYTES": str(2**20),
            "REDIS_URL": "",
        } | settings

    def command(self) -> list[str]:
        settings = [f"{name}={value}" for name, value in self._settings.items()]
        options = ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "info"]
        return ["env", *settings, sys.executable, "-m", "uvicorn", *options, "a2wsgi_app:app"]

    def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Ask on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            shown = answer.read()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            is_json = fields.get("content-type", "").startswith("application/json")
            return answer.status, json.loads(shown) if is_json else shown, fields
        finally:
            connection.close()

    def log(self) -> str:
        return (self.directory / "log").read_text("utf-8")

    def audit_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit_log.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def server() -> Iterator[Uvicorn]:
    with Uvicorn() as running:
        yield running
        log = running.log()
    # No token is in a line of uvicorn, a2wsgi or the app.
    assert "GET /me HTTP/1.1" in log
    assert bearer()["Authorization"][:20] not in log


@pytest.fixture(scope="module")
def clients() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def new_user() -> tuple[str, dict[str, str]]:
    user_id = str(uuid.uuid4())
    return user_id, bearer(user_id=user_id)


def test_denials_have_their_status_and_their_fields(server: Uvicorn) -> None:
    origin = {"Origin": "https://page.example.test"}
    status, body, fields = server.ask("GET", "/me", origin)
    assert (status, body["error"]) == (401, "Unauthorized")
    assert fields["www-authenticate"] == 'Bearer realm="api"'
    assert fields["access-control-allow-origin"] == "https://page.example.test"
    assert server.ask("GET", "/admin", bearer())[0] == 403
    status, body, _ = server.ask("GET", "/me", bearer())
    assert (status, body["user_id"], body["address"]) == (200, USER, "127.0.0.1")
    # Identity headers are not trusted, and two lines of one field do not make one.
    identity = {"X-Tenant-ID": TENANT, "X-User-ID": USER}
    assert server.ask("GET", "/me", identity)[0] == 401


def test_a_preflight_is_answered(server: Uvicorn) -> None:
    asked = {"Origin": "https://page.example.test", "Access-Control-Request-Method": "GET"}
    status, _, fields = server.ask("OPTIONS", "/me", asked)
    assert status == 200
    assert fields["access-control-allow-origin"] == "https://page.example.test"


def test_two_authorization_lines_are_no_credentials(server: Uvicorn) -> None:
    """a2wsgi joins the two with a comma, as RFC 9110 says."""
    lines = "".join(f"Authorization: {bearer()['Authorization']}\r\n" for _ in range(2))
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        connection.sendall(
            f"GET /me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n".encode()
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_no_request_gets_the_identity_of_another(
    server: Uvicorn, clients: ThreadPoolExecutor
) -> None:
    users = [new_user() for _ in range(20)] * 10

    def ask(user: tuple[str, dict[str, str]]) -> tuple[bool, str, str]:
        user_id, headers = user
        status, body, _ = server.ask("GET", "/me", headers)
        return (status, body["user_id"]) == (200, user_id), body["before"], body["thread"]

    answers = list(clients.map(ask, users))
    assert all(right for right, _, _ in answers)
    # Each request has a context of its own, though many share a thread.
    assert {before for _, before, _ in answers} == {"nobody"}
    assert 1 < len({thread for _, _, thread in answers}) <= 8


def test_async_views_have_their_own_identity(server: Uvicorn, clients: ThreadPoolExecutor) -> None:
    users = [new_user() for _ in range(40)]
    answers = clients.map(lambda user: server.ask("GET", "/awaited", user[1])[1], users)
    assert [each["user_id"] for each in answers] == [user_id for user_id, _ in users]


def test_a_lent_identity_ends_with_its_block(server: Uvicorn, clients: ThreadPoolExecutor) -> None:
    users = [str(uuid.uuid4()) for _ in range(40)]
    paths = [f"/lent?tenant={TENANT}&user={user}" for user in users]
    answers = clients.map(lambda path: server.ask("GET", path)[1], paths)
    assert list(answers) == [[None, user, None] for user in users]


def test_a_burst_is_counted_exactly(server: Uvicorn, clients: ThreadPoolExecutor) -> None:
    _, headers = new_user()
    asked = clients.map(lambda _: server.ask("GET", "/limited", headers)[0], range(60))
    assert Counter(asked) == {200: 5, 429: 55}


def test_a_body_reaches_the_view_and_a_denied_one_does_no_harm(server: Uvicorn) -> None:
    body = b"y" * 1_000_000
    status, answer, _ = server.ask("POST", "/echo", bearer(), body)
    assert (status, answer) == (200, {"octets": len(body), "user_id": USER})
    # Nobody reads the body of a denied request. The connection serves the next one all the same.
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        for headers, expected in ({}, 401), (bearer(), 200), ({}, 401):
            connection.request("POST", "/echo", body=body, headers=headers)
            denied = connection.getresponse()
            denied.read()
            assert denied.status == expected
    finally:
        connection.close()


def test_a_stream_keeps_its_identity_and_comes_in_parts(server: Uvicorn) -> None:
    user_id, headers = new_user()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request("GET", "/streamed", headers=headers)
        answer = connection.getresponse()
        first = answer.readline()
        assert server.ask("GET", f"/received/{user_id}")[0] == 200  # the rest waits for that
        rest = answer.read()
    finally:
        connection.close()
    assert first + rest == f"{user_id}\n".encode() * 5


def test_the_stream_of_a_client_that_goes_away_runs_to_its_end_and_harms_no_other(
    server: Uvicorn, clients: ThreadPoolExecutor
) -> None:
    """Twice as many clients leave as there are threads: none of these may be lost."""
    gone = [new_user() for _ in range(16)]

    def leave(user: tuple[str, dict[str, str]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
        connection.request("GET", "/long", headers=user[1])
        assert connection.getresponse().read(PART)
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()

    list(clients.map(leave, gone))
    expected = {user_id: 100 for user_id, _ in gone}
    until(lambda: server.ask("GET", "/closed")[1] == expected, "all streams closed")
    statuses = clients.map(lambda _: server.ask("GET", "/me", new_user()[1])[0], range(40))
    assert list(statuses) == [200] * 40


def test_an_exception_of_a_view_is_one_500_and_one_traceback(server: Uvicorn) -> None:
    before = server.log().count("Traceback (most recent call last)")
    assert server.ask("GET", "/fails", bearer())[0] == 500
    until(lambda: server.log().count("Traceback (most recent call last)") > before, "a traceback")
    assert server.log().count("Traceback (most recent call last)") == before + 1


def test_each_answer_is_one_audit_line(tmp_path: Path) -> None:
    with Uvicorn() as running:
        running.ask("GET", f"/received/{USER}")
        for path, headers in ("/me", {}), ("/me", bearer()), ("/streamed", bearer()):
            running.ask("GET", path, headers)
        deadline = time.monotonic() + 60
        while len(running.audit_lines()) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lines = [(line["status"], line.get("user_id")) for line in running.audit_lines()]
    assert lines == [(200, None), (401, None), (200, USER), (200, USER)]
