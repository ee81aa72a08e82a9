"""Hooks and fixtures of all tests."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from flask_tenant_auth._core import reset_clock
from servers import PostgreSQL, Redis

if TYPE_CHECKING:
    # They need cryptography, which not every CPython has; the tests that need neither run there.
    from provider import Provider
    from provider_apps import Clock

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def refuse_skip(report: Report) -> Report:
    """Turn a skip into a failure: a skipped test finds nothing, and nobody notices.

    Debian and Ubuntu have everything that the tests need, and `make test` installs it. Other
    platforms may lack something. A test that ran and failed as expected is no skip.
    """
    if report.skipped and not hasattr(report, "wasxfail") and sys.platform == "linux":
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{report.nodeid}: a skipped test counts as failed here: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, pytest.xfail.Exception):
        # A call of pytest.xfail, or run=False: the test did not run to its end.
        report.longrepr = report.__dict__.pop("wasxfail", report.longrepr)
    return refuse_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return refuse_skip((yield))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse a name that another process of pytest would not give to the same test."""
    for item in items:
        if re.search(" at 0x[0-9a-f]", item.nodeid):
            raise pytest.UsageError(f"{item.nodeid}: an address is no part of a test's name")


@pytest.fixture(autouse=True)
def _clock_is_reset() -> Iterator[None]:
    """The core has one clock for the process: no test leaves it shifted."""
    yield
    reset_clock()


@pytest.fixture(autouse=True, scope="module")
def _apps_are_freed() -> Iterator[None]:
    """An app with sessions has a thread until it is freed, and is in a cycle of references."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    """A Redis for all tests of a process. A test that stops it, or needs it empty, has its own."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests of a process."""
    with PostgreSQL() as server:
        yield server


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """An identity provider whose certificate this process trusts."""
    from provider import Provider

    with Provider(tmp_path) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca))
        yield server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which keys are fetched again, which a test moves."""
    from provider_apps import moved_clock

    return moved_clock(monkeypatch)
