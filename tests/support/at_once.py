"""Eight threads that do something at once, again and again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

THREADS = 8
SECONDS = float(os.environ.get("FTA_THREAD_SECONDS", "1"))

Work = Callable[[int], object]


def all_at_once(work: Work, *, times: int | None = None) -> list[list[Any]]:
    """Call work with its thread's number again and again, in eight threads: all results.

    Each thread calls it so many times, or else until the time is over and once at least.
    """
    gate = threading.Barrier(THREADS)
    results: list[list[Any]] = [[] for _ in range(THREADS)]
    errors: list[BaseException] = []
    end = time.monotonic() + SECONDS

    def run(number: int) -> None:
        gate.wait()
        try:
            while not errors:
                results[number].append(work(number))
                if len(results[number]) == times or (times is None and time.monotonic() > end):
                    break
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


def changing(change: Callable[[int], object], use: Callable[[], object]) -> None:
    """Two threads change what the six others use."""
    all_at_once(lambda number: change(number) if number < 2 else use())


def fresh(text: str) -> str:
    """The same text in memory of its own."""
    return text[:1] + text[1:]
