"""The shared memory of counters among other users of the host, and where there is little of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps import SECRET
from flask_tenant_auth import _core
from flask_tenant_auth._core import Limit, Limiter, Rate
from own_mounts import ROOTS, first_that_works, mounted, mounting

SHM = Path("/dev/shm")
NOBODY = 65534
LIMITS = [Limit(Rate(50, 3600), scope="shared memory")]

# An app as a worker makes it; says what its log says and how many of 30 requests pass.
WORKER = textwrap.dedent("""
    import json, logging, os, sys
    records = []
    class Keep(logging.Handler):
        def emit(self, record): records.append(record.getMessage())
    logging.getLogger("flask_tenant_auth").addHandler(Keep())
    from flask import Flask
    from flask_tenant_auth import TenantAuth
    from flask_tenant_auth.flask.state import state_of

    def client_of(app):
        TenantAuth(app)
        app.get("/")(lambda: "in")
        return app.test_client()

    if len(sys.argv) > 2:
        app = Flask("first", root_path="/")
        app.testing = True
        client_of(app).get("/")  # imports what the other user may not read
        os.setgroups([]), os.setgid(int(sys.argv[2])), os.setuid(int(sys.argv[2]))
    app = Flask("shop", root_path=sys.argv[1])
    client = client_of(app)
    passed = [client.get("/").status_code for _ in range(30)].count(200)
    status = state_of(app).limiter.status()
    print(json.dumps({"passed": passed, "log": records, "status": status}))
""")


# The files of the workers that have run; other processes of this host have theirs beside them.
_made: set[str] = set()


@pytest.fixture
def prefix() -> Iterator[str]:
    """A name for the counters of one test, whose files are gone at the end."""
    yield f"tests {uuid.uuid4()}"
    _core.reset_clock()
    while _made:
        Path(_made.pop()).unlink(missing_ok=True)


def run_worker(
    prefix: str, *, user: int | None = None, root: str = "/", wrap: str = "", **more: str
) -> Any:
    """Run an app in a process of its own; what it printed."""
    environment = os.environ | {
        "FLASK_ENV": "development",
        "REDIS_URL": "",
        "JWT_SECRET_KEY": SECRET,
        "RATELIMIT_DEFAULT": "50 per hour",
        "RATELIMIT_KEY_PREFIX": prefix,
    }
    command = [sys.executable, "-c", WORKER, root, *([str(user)] if user is not None else [])]
    if wrap:
        command = [*mounting(), "sh", "-c", f'{wrap}; exec "$@"', "sh", *command]
    done = subprocess.run(
        command, env=environment | more, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    if answer["status"]["path"]:
        _made.add(answer["status"]["path"])
    return answer


def stem_of(prefix: str) -> str:
    """What a file of the counters is called, as anybody can find out: ``fta-<purpose>``."""
    limiter = Limiter(prefix=prefix, shm_bytes=2**16)
    path = Path(limiter.status()["path"])
    limiter.close()
    assert not path.exists()
    return path.name.rpartition("-")[0]


# --- Another user, in a process of root ----------------------------------------------------------


@pytest.fixture
def two_users(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let the test run as root, in a process of its own if this one is not."""
    if os.geteuid() != 0:
        run_as_root(request.node)
    return


def run_as_root(item: pytest.Item) -> None:
    become = f"import os; os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})"
    prefix = first_that_works(ROOTS, sys.executable, "-c", become)
    pytest_there = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", item.nodeid]

    def run_there() -> None:
        done = subprocess.run(
            [*prefix, *pytest_there],
            cwd=item.config.rootpath,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout
        assert re.search(r"\b1 passed", done.stdout)

    item.obj = lambda **_fixtures: run_there()  # type: ignore[attr-defined]


# --- Another user -------------------------------------------------------------------------------


def plant(name: str, kind: str, precious: Path) -> Path:
    """Make something of that name that belongs to another user."""
    path = SHM / name
    if kind == "file":
        path.touch(0o600)
    elif kind == "open file":
        path.touch()
        path.chmod(0o666)
    elif kind == "link":
        path.symlink_to(precious)
    else:
        path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return path


@pytest.mark.usefixtures("two_users")
@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("file", ""),
        ("open file", "-0123456789abcdef"),
        ("link", ""),
        ("directory", "-0123456789abcdef"),
    ],
)
def test_a_file_that_another_user_made_first_does_no_harm(
    prefix: str, kind: str, suffix: str, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    planted = plant(stem_of(prefix) + suffix, kind, precious)
    try:
        first, second = run_worker(prefix), run_worker(prefix)
        assert (first["passed"], second["passed"]) == (30, 20)  # they count together
        for worker in (first, second):
            assert worker["status"]["path"] != str(planted)
            assert any(planted.name in line and "is not used" in line for line in worker["log"])
        assert planted.stat(follow_symlinks=False).st_uid == NOBODY  # and it is left alone
        assert precious.read_text() == "precious"
        if kind.endswith("file"):
            assert planted.read_bytes() == b""
    finally:
        planted.rmdir() if kind == "directory" else planted.unlink()
    third = run_worker(prefix)
    assert third["passed"] == 0
    # A positive control: nothing is told where nobody is.
    assert not any("is not used" in line for line in third["log"])


@pytest.mark.usefixtures("two_users")
def test_two_users_count_separately(prefix: str) -> None:
    ours = run_worker(prefix)
    theirs = run_worker(prefix, user=NOBODY)
    assert (ours["passed"], theirs["passed"]) == (30, 30)
    path = Path(theirs["status"]["path"])
    assert path.stat().st_uid == NOBODY
    assert path.stat().st_mode & 0o777 == 0o600
    assert run_worker(prefix, user=NOBODY)["passed"] == 20
    # Nobody sweeps what another user has left.
    _core.shift_clock(0, 7200)
    Limiter(prefix=prefix, app="another", shm_bytes=2**16).close()
    assert path.exists()


# The command as root runs it, beside the app of another user.
COMMAND = textwrap.dedent("""
    import sys
    from flask import Flask
    from flask_tenant_auth import TenantAuth
    app = Flask("shop", root_path="/")
    TenantAuth(app)
    app.get("/")(lambda: "in")
    result = app.test_cli_runner().invoke(args=["auth", "limits", *sys.argv[1:]])
    print(result.output)
    sys.exit(result.exit_code)
""")


@pytest.mark.xfail(os.geteuid() != 0, reason="only root can be two users", run=False)
@pytest.mark.parametrize("command", ["show", "reset", "status"])
def test_a_command_of_another_user_than_that_of_the_app_says_so(prefix: str, command: str) -> None:
    address = [] if command == "status" else ["--address", "127.0.0.1"]

    def run_command() -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "FLASK_ENV": "development",
            "REDIS_URL": "",
            "JWT_SECRET_KEY": SECRET,
            "RATELIMIT_KEY_PREFIX": prefix,
        }
        return subprocess.run(
            [sys.executable, "-c", COMMAND, command, *address],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    alone = run_command()  # a positive control
    assert alone.returncode == 0
    assert "has counters of this app as well" not in alone.stdout
    theirs = run_worker(prefix, user=NOBODY)
    done = run_command()
    assert done.returncode == 1
    file = Path(theirs["status"]["path"]).name
    assert f"user nobody has counters of this app as well, in {file}" in done.stdout, done.stderr
    assert "If the app runs as user nobody, run this command as that user" in done.stdout


@pytest.mark.parametrize("change", ["mode", "second name", "link", "directory", "pipe"])
def test_a_file_of_ours_that_others_could_use_stops_the_app(
    prefix: str, change: str, tmp_path: Path
) -> None:
    path = SHM / f"{stem_of(prefix)}-0123456789abcdef"
    second = SHM / f"{uuid.uuid4()}"
    if change == "mode":
        path.touch(0o600)
        path.chmod(0o640)
    elif change == "second name":
        path.touch(0o600)
        second.hardlink_to(path)
    elif change == "link":
        path.symlink_to(tmp_path / "nowhere")
    elif change == "directory":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)
    try:
        with pytest.raises(PermissionError, match="not this user's alone"):
            Limiter(prefix=prefix, shm_bytes=2**16)
        assert not (tmp_path / "nowhere").exists()
    finally:
        path.rmdir() if change == "directory" else path.unlink()
        second.unlink(missing_ok=True)
    Limiter(prefix=prefix, shm_bytes=2**16).close()


# --- Little room --------------------------------------------------------------------------------


def test_a_small_shared_memory_is_not_used_up(prefix: str) -> None:
    """64 MiB, as Docker gives them: several apps fit, and most is left to others."""
    status = run_worker(prefix, wrap=mounted("64m"))["status"]
    assert status["shared"]
    assert 7 * 2**20 < status["shm_bytes"] <= 8 * 2**20
    assert run_worker(prefix, wrap=mounted("1g"))["status"]["shm_bytes"] > 15 * 2**20


def test_a_full_shared_memory_names_the_setting_and_the_app_counts(prefix: str) -> None:
    fill = "head -c 2000000 /dev/zero > /dev/shm/other 2>/dev/null || true"
    worker = run_worker(prefix, wrap=f"{mounted('1m')}; {fill}")
    assert worker["passed"] == 30
    assert not worker["status"]["shared"]
    assert worker["status"]["not_shared_because"] == "No space left on device"
    assert any("RATELIMIT_SHM_BYTES" in line for line in worker["log"])
    # What was asked for and does not fit is no SIGBUS either.
    worker = run_worker(prefix, wrap=mounted("1m"), RATELIMIT_SHM_BYTES=str(2**24))
    assert (worker["passed"], worker["status"]["shared"]) == (30, False)
    assert run_worker(prefix, wrap=mounted("1m"))["status"]["shared"]  # a positive control


def test_a_new_size_waits_for_the_counters_that_are_there(prefix: str) -> None:
    before = run_worker(prefix, RATELIMIT_SHM_BYTES=str(2**17))
    assert before["log"] == []
    after = run_worker(prefix, RATELIMIT_SHM_BYTES=str(2**20))
    assert (before["passed"], after["passed"]) == (30, 20)
    assert after["status"]["path"] == before["status"]["path"]
    assert any("RATELIMIT_SHM_BYTES is 1048576" in line for line in after["log"])
    # As it says: without the file all start anew, with the new size.
    Path(after["status"]["path"]).unlink()
    again = run_worker(prefix, RATELIMIT_SHM_BYTES=str(2**20))
    assert (again["passed"], again["log"]) == (30, [])
    assert again["status"]["shm_bytes"] > 2**20 - 2**13


# --- Which counters are whose -------------------------------------------------------------------


def test_a_release_in_a_new_directory_keeps_the_counters_of_its_prefix(prefix: str) -> None:
    """A deploy that unpacks each release beside the last one gives nobody a new quota."""
    assert run_worker(prefix, root="/tmp")["passed"] == 30
    assert run_worker(prefix, root="/")["passed"] == 20


def test_two_apps_of_one_name_in_two_directories_count_separately(
    prefix: str, tmp_path: Path
) -> None:
    places = [tmp_path / "one", tmp_path / "two"]
    for place in places:
        place.mkdir()
    workers = [run_worker("", root=str(place)) for place in [*places, *places]]
    assert [worker["passed"] for worker in workers] == [30, 30, 20, 20]
