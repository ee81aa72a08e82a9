"""No callable of the core keeps memory, whether it succeeds or refuses."""

from __future__ import annotations

import json
import subprocess
import sys

from flask_tenant_auth import _core
from paths import SUPPORT

SCRIPT = SUPPORT / "leaks.py"
# A leak of one byte a call would be 100,000; an arena that the allocator opens once is less.
ALLOWED = 64 * 1024


def test_a_hundred_thousand_calls_of_each_callable_take_no_memory() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "100000", "1000"], capture_output=True, text=True, check=True
    )
    grown = json.loads(done.stdout)
    assert {name: size for name, size in grown.items() if size > ALLOWED} == {}


def test_every_callable_is_measured() -> None:
    source = SCRIPT.read_text("utf-8")
    missing = [name for name in dir(_core) if name[0] != "_" and name not in source]
    # Those of a whole app, those of the core alone, constants, and the clock's.
    assert missing == [
        "ALGORITHMS",
        "API_KEY_PREFIX",
        "InvalidToken",
        "LEASE_PART_MAX",
        "LIMITER_RANGES",
        "METRICS",
        "METRIC_BOUNDS",
        "METRIC_TENANTS",
        "ON_STORE_ERRORS",
        "PASSWORD_ITERATIONS",
        "PERMITS_MOST",
        "STRATEGIES",
        "StartResponse",
        "reset_clock",
        "shift_clock",
    ]
