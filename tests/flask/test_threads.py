"""What the threads of an app make once, whoever of them comes first."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from apps import make_app
from flask_tenant_auth.flask import state as states
from flask_tenant_auth.sqlalchemy import catalogue as catalogues


def test_threads_that_count_first_at_once_count_in_one_limiter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second one would count a part of the requests: each of them would allow all of a limit."""
    made: list[object] = []
    make = states.limiter_of

    def make_slowly(*args: Any, **kwargs: Any) -> Any:
        time.sleep(0.05)  # all threads come meanwhile
        made.append(make(*args, **kwargs))
        return made[-1]

    app = make_app()  # it makes its own limiter
    monkeypatch.setattr(states, "limiter_of", make_slowly)
    state = states.AppState(app)
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(state.limiter)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 8


def test_a_table_that_is_defined_while_the_catalogue_is_built_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue = catalogues.Catalogue()
    builds: list[int] = []

    def define_meanwhile() -> dict[Any, Any]:
        builds.append(len(builds))
        if len(builds) < 3:
            catalogue.outdate()
        return {}

    monkeypatch.setattr(catalogues, "_owned_tables", define_meanwhile)
    catalogue.all()
    assert builds == [0, 1, 2]
    catalogue.all()
    assert builds == [0, 1, 2]  # a control: it is not built again for nothing
