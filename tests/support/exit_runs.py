"""Runs `exits.py`, and says which of its processes did not end well."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from exits import ALL_ENDED
from paths import SUPPORT

# How many schedules of each object the ordinary tests play; `make soak` plays many.
ORDINARY, SOAK = int(os.environ.get("FTA_EXIT_SCHEDULES", "1")), 40


def failures_of(
    folder: Path, count: int, names: list[str], *, redis_url: str = "", postgresql_url: str = ""
) -> list[dict[str, Any]]:
    """Play the schedules of some objects; return what became of the processes that ended badly."""
    played = subprocess.run(
        [sys.executable, str(SUPPORT / "exits.py"), str(folder), "1", str(count), *names],
        env=os.environ | {"EXITS_REDIS": redis_url, "EXITS_POSTGRESQL": postgresql_url},
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes: list[dict[str, Any]] = json.loads(played.stdout)
    assert len(outcomes) == count * len(names)
    return [each for each in outcomes if not _ended_well(each)]


def _ended_well(outcome: dict[str, Any]) -> bool:
    """Whether a process ended by itself as it was to, and no thread of it by an exception."""
    error = outcome["error"]
    return (
        not outcome["hangs"]
        and outcome["status"] == outcome["expected"]
        and ("the end of this process" in error) is (outcome["expected"] == 1)
        and ALL_ENDED.decode() in error
        and "Exception in thread" not in error
        and "Fatal Python error" not in error
    )
