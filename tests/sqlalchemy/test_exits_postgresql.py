"""No process ends by a signal, or hangs, where threads use a store in PostgreSQL at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from exit_runs import ORDINARY, SOAK, failures_of
from servers import PostgreSQL

NAMES = ["store in PostgreSQL"]


@pytest.mark.parametrize("count", [2 * ORDINARY, pytest.param(SOAK, marks=pytest.mark.soak)])
def test_each_process_ends_well_while_threads_read(
    postgresql: PostgreSQL, tmp_path: Path, count: int
) -> None:
    assert failures_of(tmp_path, count, NAMES, postgresql_url=postgresql.url) == []
