"""The model checker of leases, with few events. `make lease-model` has more of them.

`make lease-simulation` says what leases cost.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model() -> Path:
    """tests/lease/model.c, with the core's arithmetic and the script."""
    subprocess.run(["make", "-s", "build/plain/lease_model"], cwd=ROOT, check=True)
    return ROOT / "build" / "plain" / "lease_model"


def test_conservation_and_timeliness_hold_in_all_orders_of_events(model: Path) -> None:
    found = subprocess.run([model], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count("states") == 11


def test_without_any_one_rule_something_breaks(model: Path) -> None:
    found = subprocess.run([model, "--rules"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert found.stdout.count(" needed") == 18
