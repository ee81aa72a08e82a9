"""The harness itself: a skipped test fails the run, and the servers are real."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from redis import Redis as RedisClient

from paths import SUPPORT
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
