"""Waits for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# Nothing that happens takes so many seconds, however busy the machine is.
PATIENCE = 120


def until(condition: Callable[[], Any], what: str, pause: float = 0.01) -> None:
    """Wait until the condition holds.

    :param what: what has to happen, for the message where it does not.
    :param pause: the seconds between two looks.
    """
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} seconds: {what}"
        time.sleep(pause)
