"""The harness itself: a skipped test, however it is skipped, fails the run."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py").read_text()


@pytest.mark.parametrize(
    "source",
    [
        "import pytest\ndef test_it():\n    pytest.skip('why')\n",
        "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass\n",
        "import pytest\n@pytest.mark.skipif(True, reason='why')\ndef test_it(): pass\n",
        "import pytest\npytest.skip('why', allow_module_level=True)\n",
        "import pytest\npytest.importorskip('no_such_module_why')\n",
        "import pytest\n@pytest.fixture\ndef f():\n    pytest.skip('why')\ndef test_it(f): pass\n",
    ],
)
def test_a_skip_fails_the_run_and_tells_its_reason(pytester: pytest.Pytester, source: str) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(source)
    result = pytester.runpytest_subprocess()
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*a skipped test counts as failed here:*why*"])
    assert "skipped" not in result.parseoutcomes()


def test_passing_and_expected_failures_stay_what_they_are(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        "import pytest\ndef test_good(): pass\n@pytest.mark.xfail\ndef test_bad(): assert False\n"
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == 0
    result.assert_outcomes(passed=1, xfailed=1)
