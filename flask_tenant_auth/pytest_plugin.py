"""`pytest_plugins = ["flask_tenant_auth.pytest_plugin"]` brings the fixtures of `testing`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from flask.app import Flask

from ._core import Identity
from .flask.state import state_of
from .testing import Clock, foreign_answers


@pytest.fixture
def auth_clock() -> Iterator[Clock]:
    """Return a clock to move; at the end of the test it is the present again."""
    with Clock() as clock:
        yield clock


@pytest.fixture
def reset_auth_limits(app: Flask) -> None:
    """Forget what the fixture `app` has counted before this test.

    :raises RuntimeError: where it is not testing, or counts in Redis.
    """
    state_of(app).reset_limits()


@pytest.fixture
def assert_get_routes_isolated() -> Callable[..., None]:
    """Return a function that calls every GET route as a stranger: `testing.foreign_answers`."""

    def check(
        app: Flask,
        rows: Iterable[Any],
        owner: Identity,
        stranger: Identity,
        ignore: Iterable[str] = (),
    ) -> None:
        found = foreign_answers(app, rows, owner, stranger, ignore)
        if found:
            pytest.fail("\n".join(map(str, found)), pytrace=False)

    return check
