"""`pytest -n 2` on a project as users have it, in a /dev/shm of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from own_mounts import mounted, mounting

APP = """
from flask import Flask
from flask_tenant_auth import TenantAuth

def create_app():
    app = Flask("shop")
    app.config.update(JWT_SECRET_KEY="k" * 32, RATELIMIT_DEFAULT="3 per hour")
    app.config.update(AUTH_SESSION_STORE="sqlite://")
    TenantAuth(app)
    app.get("/")(lambda: "in")
    return app
"""

# Flask's documented fixture.
FIXTURE = """
import pytest
from shop import create_app

pytest_plugins = ["flask_tenant_auth.pytest_plugin"]

@pytest.fixture(scope="{scope}")
def app():
    app = create_app()
    app.config.update(TESTING={testing})
    yield app
"""

TESTS = """
import pytest
{marks}

@pytest.mark.parametrize("number", range(6))
def test_the_limit_is_that_of_this_test(app, number):
    client = app.test_client()
    assert [client.get("/").status_code for _ in range(4)] == [200, 200, 200, 429]
"""

RESETS = 'pytestmark = pytest.mark.usefixtures("reset_auth_limits")'

# A worker that is killed between TenantAuth and its first request.
KILLED = """
import os, signal
from shop import create_app

def test_killed():
    app = create_app()
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Run(NamedTuple):
    """What pytest said, and the files of shared memory after it."""

    status: int
    output: str
    files: list[str]


def write_project(
    folder: Path, *, scope: str = "function", testing: bool = True, marks: str = ""
) -> None:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "shop.py").write_text(APP)
    (folder / "conftest.py").write_text(FIXTURE.format(scope=scope, testing=testing))
    for name in ("one", "two"):
        (folder / f"test_{name}.py").write_text(TESTS.format(marks=marks))


def run_pytest(folder: Path, *runs: str) -> list[Run]:
    """Run pytest with two workers on each of these files, one after the other."""
    lines = [mounted("64m")]
    for index, files in enumerate(runs):
        command = f"{sys.executable} -m pytest -n 2 -q -p no:cacheprovider {files}"
        lines.append(f"{command} > out{index} 2>&1; echo $? > status{index}")
        lines.append(f"ls /dev/shm > files{index}")
    done = subprocess.run(
        [*mounting(), "sh", "-c", "\n".join(lines)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "FLASK_ENV": "", "REDIS_URL": ""},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [
        Run(
            int((folder / f"status{index}").read_text()),
            (folder / f"out{index}").read_text(),
            re.findall(r"fta-\S+", (folder / f"files{index}").read_text()),
        )
        for index in range(len(runs))
    ]


@pytest.mark.parametrize(("scope", "marks"), [("function", ""), ("session", RESETS)])
def test_each_test_counts_for_itself_and_no_shared_memory_is_left(
    tmp_path: Path, scope: str, marks: str
) -> None:
    write_project(tmp_path, scope=scope, marks=marks)
    (run,) = run_pytest(tmp_path, "")
    assert run.status == 0, run.output
    assert "12 passed" in run.output
    assert run.files == []


@pytest.mark.parametrize(
    ("scope", "testing"),
    [("session", True), ("function", False)],
    ids=["a shared app without the fixture", "an app that is not testing"],
)
def test_these_tests_can_fail(tmp_path: Path, scope: str, testing: bool) -> None:
    write_project(tmp_path, scope=scope, testing=testing)
    (run,) = run_pytest(tmp_path, "")
    assert run.status == 1, run.output
    # The first one of each worker passes; or that of the host, if no other worker counts between.
    ends = ["10 failed, 2 passed"] if testing else ["11 failed, 1 passed", "12 failed"]
    assert any(end in run.output for end in ends), run.output
    assert len(run.files) == (0 if testing else 1)


def test_what_a_killed_worker_leaves_is_removed_by_the_next_run(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "test_kill.py").write_text(KILLED)
    killed, after = run_pytest(tmp_path, "test_kill.py", "test_one.py")
    assert "crashed while running" in killed.output
    assert len(killed.files) >= 1  # or nothing would be shown
    assert after.status == 0, after.output
    assert after.files == []
