"""What `make run` starts: real gunicorn workers, and the curl lines they print, run as printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paths import ROOT
from servers import free_port, listens, printing
from waiting import until

PATIENCE = 300


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the examples in which nothing has run yet."""
    made = shutil.ignore_patterns("instance", "__pycache__")
    return shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=made)


def environment(port: int, **more: str) -> dict[str, str]:
    ours = {"FLASK_HOST": "127.0.0.1", "FLASK_PORT": str(port), "PYTHONUNBUFFERED": "1"}
    theirs = ("FLASK_ENV", "DATABASE_URL", "REDIS_URL", "JWT_SECRET_KEY", "MAIL_PASSWORD_KEY")
    theirs += ("AUTH_SESSION_STORE",)
    inherited = {name: value for name, value in os.environ.items() if name not in theirs}
    return inherited | ours | more


COMMAND = [sys.executable, "-m", "email_service"]


def refused(directory: Path, port: int, **more: str) -> str:
    """Start the service, which must end at once, and return what it says."""
    ran = subprocess.run(
        COMMAND,
        cwd=directory,
        env=environment(port, **more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    return ran.stderr


@contextmanager
def served(directory: Path, port: int, **more: str) -> Iterator[str]:
    """Run the service; what it printed until it was ready. It must end well on Ctrl-C."""
    running = printing(COMMAND, patience=PATIENCE, cwd=directory, env=environment(port, **more))
    with running as (process, printed):
        yield printed
    assert process.returncode == 0
    assert not listens(port)


def shell(line: str) -> str:
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=PATIENCE, check=True
    ).stdout


def status_of(line: str) -> int:
    match = re.match(r"HTTP/1\.1 (\d+) ", shell(line))
    assert match is not None
    return int(match[1])


def examples(printed: str) -> list[tuple[int, str]]:
    """Return the status that each printed line promises, and the line."""
    found = re.findall(r"^# (\d{3}), .*\n(.+)$", printed, flags=re.MULTILINE)
    return [(int(status), line) for status, line in found]


def test_make_run_names_python_by_a_path_without_dots() -> None:
    """Python 3.14 warns where the path of a venv's Python has `..` in it."""
    done = subprocess.run(
        ["make", "-n", "run"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    [path] = re.findall(r'exec "(\S+)" -m email_service$', done.stdout, re.MULTILINE)
    assert Path(path).is_absolute()
    assert ".." not in Path(path).parts


def test_the_printed_commands_work_and_the_limit_is_fifty(directory: Path) -> None:
    port = free_port()
    with served(directory, port) as printed:
        *single, (last, loop) = examples(printed)
        assert {status for status, _ in single} == {200, 201, 400, 401, 403}
        for status, line in single:
            assert status_of(line) == status, line
        assert last == 429
        # Each request of the loop is a connection of its own, so both workers take part.
        assert shell(loop).split() == ["200"] * 50 + ["429"]


def test_the_printed_password_logs_in_at_the_printed_address(directory: Path) -> None:
    port = free_port()
    with served(directory, port) as printed:
        found = re.search(
            r"front end is at (\S+)\. Log in as (\S+) with the password (\S+)", printed
        )
        assert found is not None
        address, email, password = found.groups()
        assert address == f"http://127.0.0.1:{port}/"
        assert "<title>E-mail service</title>" in shell(f"curl -sf {address}")
        cookies = directory / "cookies"
        body = json.dumps({"email": email, "password": password})
        log_in = f"curl -si -c {cookies} -H 'Content-Type: application/json' -d '{body}'"
        assert status_of(f"{log_in} {address}auth/login") == 200
        # Each is a connection of its own, so both workers take part.
        for _ in range(5):
            assert status_of(f"curl -si -b {cookies} {address}api/v1/accounts") == 200
        origin = f"-H 'Origin: http://127.0.0.1:{port}'"
        everywhere = f"curl -si -b {cookies} {origin} -X POST {address}auth/logout-everywhere"
        assert status_of(everywhere) == 204
        # Each worker learns of it, within AUTH_REVOCATION_MAX_DELAY_SECONDS.
        asked = f"curl -si -b {cookies} {address}api/v1/accounts"
        until(lambda: all(status_of(asked) == 401 for _ in range(5)), "all workers deny")
    instance = directory / "email_service" / "instance"
    assert (instance / "example_password").stat().st_mode & 0o777 == 0o600


def test_the_printed_token_opens_the_console_at_the_printed_address(directory: Path) -> None:
    port = free_port()
    with served(directory, port) as printed:
        found = re.search(r"is at (\S+/console)\. This token opens it:\n(\S+)\n", printed)
        assert found is not None
        address, token = found.groups()
        assert address == f"http://127.0.0.1:{port}/console"
        assert status_of(f"curl -si {address}") == 401
        lists = examples(printed)[0][1]
        assert status_of(lists) == 200
        user = lists.partition("Bearer ")[2].partition("'")[0]
        assert status_of(f"curl -si -H 'Authorization: Bearer {user}' {address}") == 403
        cookies, origin = directory / "cookies", f"-H 'Origin: http://127.0.0.1:{port}'"
        form = f"curl -si -c {cookies} {origin} --data-urlencode token={token} {address}/open"
        assert status_of(form) == 303
        page = shell(f"curl -sf -b {cookies} {address}")
        for part in ("Requests of the last hour", "/api/v1/accounts", "HS256", "sqlite"):
            assert part in page
        assert token not in page


def test_a_second_start_keeps_data_and_tokens(directory: Path) -> None:
    with served(directory, free_port()) as printed:
        (status, adds) = examples(printed)[1]
        assert status_of(adds) == status == 201
    port = free_port()
    with served(directory, port):
        lists = examples(printed)[0][1]
        answer = shell(re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{port}", lists))
        assert '"total":2' in answer
    keys = list((directory / "email_service" / "instance").glob("*_key"))
    assert {key.name for key in keys} == {"audit_key", "jwt_secret_key", "mail_password_key"}
    assert all(key.stat().st_mode & 0o777 == 0o600 for key in keys)


def test_a_port_in_use_is_reported_in_one_sentence(directory: Path) -> None:
    port = free_port()
    with served(directory, port):
        said = refused(directory, port)
    assert f"Cannot listen on 127.0.0.1, port {port}: Address already in use." in said
    assert "FLASK_PORT=" in said


def test_production_without_a_key_does_not_start(directory: Path) -> None:
    said = refused(directory, free_port(), FLASK_ENV="production")
    assert "JWT_SECRET_KEY" in said


def test_production_prints_no_token_and_makes_none(directory: Path) -> None:
    port = free_port()
    secret = "a secret of the tests, long enough for HS256"
    with served(directory, port, FLASK_ENV="production", JWT_SECRET_KEY=secret) as printed:
        assert examples(printed) == []
        assert "password" not in printed
        assert "eyJ" not in printed
        base = f"http://127.0.0.1:{port}"
        person = "11111111-1111-4111-8111-111111111111"
        headers = f"-H 'X-Tenant-ID: {person}' -H 'X-User-ID: {person}' -H 'X-User-Role: admin'"
        assert status_of(f"curl -si {base}/health") == 200
        assert status_of(f"curl -si -X POST {base}/api/v1/test/generate-token") == 404
        assert status_of(f"curl -si {headers} {base}/api/v1/accounts") == 401


def test_a_configuration_error_is_printed_without_a_traceback(directory: Path) -> None:
    assert "JWT_ALGORITHM" in refused(directory, free_port(), JWT_ALGORITHM="none")
    assert "MAIL_PASSWORD_KEY" in refused(directory, free_port(), MAIL_PASSWORD_KEY="short")
