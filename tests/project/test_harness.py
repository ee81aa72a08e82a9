"""The harness itself: a skipped test fails the run, and the servers are real."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from redis import Redis as RedisClient

from paths import ROOT, SUPPORT
from servers import PostgreSQL, Redis, listens

pytest_plugins = ["pytester"]


@pytest.fixture
def run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], pytest.RunResult]:
    """Run a test file under our own conftest."""
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    pytester.makeconftest((SUPPORT.parent / "conftest.py").read_text())

    def run_source(source: str) -> pytest.RunResult:
        pytester.makepyfile(source)
        return pytester.runpytest_subprocess()

    return run_source


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_it():\n    pytest.skip('why')\n",
        "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass\n",
        "import pytest\n@pytest.mark.skipif(True, reason='why')\ndef test_it(): pass\n",
        "import pytest\npytest.skip('why', allow_module_level=True)\n",
        "import pytest\npytest.importorskip('no_such_module_why')\n",
        "import pytest\n@pytest.fixture\ndef f():\n    pytest.skip('why')\ndef test_it(f): pass\n",
        "import pytest\ndef test_it():\n    pytest.xfail('why')\n",
        "import pytest\n@pytest.mark.xfail(run=False, reason='why')\ndef test_it(): pass\n",
        "import pytest\n@pytest.fixture\ndef f():\n    pytest.xfail('why')\ndef test_it(f): pass\n",
    ],
)
def test_a_skipped_test_fails_the_run_with_its_reason(
    run: Callable[[str], pytest.RunResult], source: str
) -> None:
    result = run(source)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*a skipped test counts as failed here:*why*"])
    assert "skipped" not in result.parseoutcomes()


def test_passed_and_xfailed_tests_are_reported_unchanged(
    run: Callable[[str], pytest.RunResult],
) -> None:
    result = run(
        "import pytest\ndef test_good(): pass\n@pytest.mark.xfail\ndef test_bad(): assert False\n"
        "@pytest.mark.xfail(reason='known')\ndef test_worse(): assert False\n"
    )
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=2)


PASSES = "def test_it(): pass\ndef test_another(): pass\n"


def run_in_processes(root: Path, **sources: str) -> tuple[int, list[str]]:
    """Run folders of tests with scripts/run_tests.py; the exit code, and the lines printed."""
    (root / "scripts").mkdir()
    shutil.copy(ROOT / "scripts/run_tests.py", root / "scripts")
    (root / "pytest.ini").write_text("[pytest]\n")
    for folder, source in sources.items():
        (root / "tests" / folder).mkdir(parents=True)
        (root / "tests" / folder / f"test_{folder}.py").write_text(source)
    command = [sys.executable, "scripts/run_tests.py", "2"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines()


def test_the_last_line_of_several_processes_is_their_sum(tmp_path: Path) -> None:
    code, lines = run_in_processes(tmp_path, one=PASSES, two=PASSES, beside="1 / 0")
    assert code == 0
    assert lines[-1].startswith("=== 4 passed, 0 failed in ")


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("def test_it(): assert False\n", "2 passed, 1 failed in"),
        ("import pytest\ndef test_it(): pytest.skip('why')\n", "2 passed, 1 failed in"),
        ("import no_such_module\n", "2 passed, 1 failed in"),
        ("", "2 passed, 0 failed in"),
        ("import os\ndef test_it(): os._exit(0)\n", "2 passed, 0 failed in"),
    ],
    ids=["failed", "skipped", "broken", "no test", "ended early"],
)
def test_a_folder_that_fails_or_has_no_test_fails_the_run(
    tmp_path: Path, source: str, counted: str
) -> None:
    code, lines = run_in_processes(tmp_path, one=PASSES, two=source)
    assert code == 1
    assert lines[-1].startswith(f"=== {counted} ")
    assert lines[-2].startswith("--- failed: tests/two ")
    start = lines.index("--- tests/one")
    assert lines[start + 2].startswith("2 passed in "), "the output of a process stands together"


def test_redis_answers_until_it_is_closed() -> None:
    with Redis("--maxmemory", "8mb") as server:
        with RedisClient.from_url(server.url) as client:
            assert client.ping()
            assert client.config_get("maxmemory") == {"maxmemory": str(8 * 2**20)}
        server.stop()
        assert not listens(server.port)
        server.start()
        assert listens(server.port)
    assert not listens(server.port)
    assert not server.directory.exists()


def test_postgresql_answers(postgresql: PostgreSQL) -> None:
    with psycopg.connect(host="127.0.0.1", port=postgresql.port, user="postgres") as connection:
        row = connection.execute("SELECT version()").fetchone()
    assert row is not None
    assert row[0].startswith("PostgreSQL")


@pytest.mark.xfail(os.geteuid() != 0, reason="only root can enter a root directory", run=False)
def test_a_command_in_a_root_may_have_mounts_of_its_own(tmp_path: Path) -> None:
    """The tests in there mount a /dev/shm. unshare --mount refuses a root that is no mount."""
    root = tmp_path / "root"
    for name in ("etc", "usr"):
        (root / name).mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for name in ("bin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    mounting = "unshare --mount sh -c 'mount -t tmpfs -o size=64k own /dev/shm && df /dev/shm'"
    done = subprocess.run(
        [ROOT / "scripts/run_in_root.sh", "--bind", "/usr:/usr", root, "sh", "-c", mounting],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[:2] == ["own", "64"]
