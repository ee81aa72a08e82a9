"""What an operator has to know of the stores of counters: Redis, and the memory of the host."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..audit import logger

if TYPE_CHECKING:
    from .._core import Limiter
    from ..config.settings import Settings


class StoreLog:
    """Logs what happens to the stores of a limiter, once in each process.

    :param redis_is_away: called as often as Redis goes away.
    """

    def __init__(self, settings: Settings, redis_is_away: Callable[[], None]) -> None:
        self._settings = settings
        self._redis_is_away = redis_is_away
        self._changes = 0
        self._first_failures = 0
        self._evictions: float = 0
        self._lock = threading.Lock()

    def start(self, limiter: Limiter) -> None:
        """Log what is wrong with the memory of a new limiter. Later evictions are logged."""
        self._evictions = limiter.evictions
        self._log_memory(limiter.status())

    def _log_memory(self, status: Mapping[str, Any]) -> None:
        """Log what is wrong with the shared memory that was found or made."""
        if status["not_shared_because"] is not None:
            logger.warning(
                "Counters cannot be shared with other processes of this host (%s): each worker "
                "counts alone, and forgets when it ends, while there is no Redis. Give /dev/shm "
                "more room, or set RATELIMIT_SHM_BYTES to less",
                status["not_shared_because"],
            )
        if status["foreign_file"] is not None:
            logger.warning(
                "Another user has made %s in the directory of this host's shared memory, under "
                "the name of this app's counters: it is not used. The counters are in %s",
                status["foreign_file"],
                status["path"],
            )
        if status["has_other_size"]:
            logger.warning(
                "RATELIMIT_SHM_BYTES is %d, but the counters of this host are in a table of %d "
                "bytes, and some have not ended: the new size is taken at a start after that. To "
                "have it now, and all clients start anew, stop all workers and remove %s",
                self._settings.ratelimit_shm_bytes,
                status["shm_bytes"],
                status["path"],
            )

    def log_events(self, limiter: Limiter) -> None:
        """Log what has happened since the last call."""
        if limiter.changes != self._changes or limiter.first_failures != self._first_failures:
            self._log_redis(limiter)
        if limiter.evictions > self._evictions:
            self._log_evictions(limiter)

    def _log_evictions(self, limiter: Limiter) -> None:
        """Log that the table is full."""
        with self._lock:
            if self._evictions == math.inf:
                return
            self._evictions = math.inf
        logger.warning(
            "The counters' table is full: counters that end first are given up for fresh keys, "
            "and their clients start anew. Raise RATELIMIT_SHM_BYTES (now %d) if this is no attack",
            self._settings.ratelimit_shm_bytes or limiter.status()["shm_bytes"],
        )

    def _log_redis(self, limiter: Limiter) -> None:
        """Log that Redis went away or came back, or has never counted.

        While it has never counted, each new kind of failure is logged once: it may help to
        wait for the end of one and not of another.
        """
        with self._lock:
            changes, first_failures = limiter.changes, limiter.first_failures
            changed = changes != self._changes
            if not changed and first_failures == self._first_failures:
                return
            never_before = first_failures != self._first_failures
            self._changes, self._first_failures = changes, first_failures
        status = limiter.status()
        if changed and status["breaker"] == "closed":
            logger.warning("Redis at %s answers again and counts", status["redis_url"])
        elif never_before and not status["redis_has_counted"]:
            self._redis_is_away()
            logger.warning(
                "Redis at %s is away (%s: %s), and has never counted since this process started; "
                "until it does, RATELIMIT_ON_STORE_ERROR=%s decides",
                *self._failure(status),
            )
        elif changed:
            self._redis_is_away()
            logger.warning(
                "Redis at %s is away (%s: %s); until it is back, RATELIMIT_ON_STORE_ERROR=%s "
                "decides",
                *self._failure(status),
            )

    def _failure(self, status: Mapping[str, Any]) -> tuple[str, str, str, str]:
        return (
            status["redis_url"],
            status["failure"],
            status["failure_detail"],
            self._settings.ratelimit_on_store_error,
        )
