"""The requests that run at once on many hosts: leases in Redis.

A lease is taken in one round trip. It ends by itself `LEASE_MS` after it was taken or renewed, by
the clock of Redis. A thread of each process renews all that the process has in one call. So the
leases of a host that dies end within that time, and those of a request that runs stay. The thread
also gives back what no request has given back: there is one queue of these leases.
"""

from __future__ import annotations

import hashlib
import os
import queue
import secrets
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from .._core import RedisClient
from ..audit import logger

LEASE_MS = 15_000
# Three renewals may fail before a lease ends.
_RENEW_SECONDS = LEASE_MS / 4000
_RENEWED_AT_ONCE = 500
# How long Redis is left alone once a call has failed.
_PAUSE_SECONDS = 1.0
# The failures that say nothing of the next call.
_OF_THE_CALL = frozenset({"redis_pool_empty", "redis_try_again", "redis_ask"})

_SCRIPT = (Path(__file__).parent / "lua" / "leases.lua").read_text("utf-8")
_HASH = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Lease:
    """What one request holds in Redis."""

    __slots__ = ("__weakref__", "_leases", "id", "key")

    def __init__(self, leases: Leases, key: str, id_: str) -> None:
        self._leases = leases
        self.key = key
        self.id = id_

    def release(self) -> None:
        """Give the lease back, once. Where Redis does not answer, it ends by itself."""
        self._leases.release(self)


class _Held(NamedTuple):
    """A lease of this process, which it does not keep alive."""

    key: str
    id: str
    reference: weakref.ref[Lease]


class _Ended(NamedTuple):
    """A lease to give back, and when there is no need to any more."""

    key: str
    id: str
    until: float


class Leases:
    """The leases of the requests of one app."""

    def __init__(self, url: str, prefix: str, timeout_ms: int) -> None:
        tag = f"fta:{prefix}"
        self._client = RedisClient(url, tag=tag, timeout_ms=timeout_ms)
        self._prefix = f"{{{tag}}}:at-once:"
        self._away_until = 0.0
        self.is_away = False
        self.after_fork()
        _all.add(self)

    def after_fork(self) -> None:
        """Know nothing of the leases and the thread of a parent."""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._held: dict[str, _Held] = {}
        # `put` is reentrant: the collector of garbage may call it in any thread, whatever that
        # holds.
        self._ended: queue.SimpleQueue[_Ended | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._renew_at = monotonic() + _RENEW_SECONDS
        self._failing = False

    def take(self, name: bytes, most: int) -> Lease | None:
        """Take a lease of a client; None where so many run already.

        :raises ConnectionError: when Redis does not answer, or did not a moment ago.
        """
        with self._lock:
            self._start()
            if self.is_away:
                now = monotonic()
                if now < self._away_until:
                    raise ConnectionError("Redis has not answered a moment ago")
                self._away_until = now + _PAUSE_SECONDS  # others go on without it meanwhile
        lease = Lease(self, self._prefix + name.hex(), secrets.token_hex(12))
        try:
            taken = self._run(1, (lease.key, "take", most, lease.id, LEASE_MS)) == 1
        except ConnectionError as error:
            if getattr(error, "code", "") not in _OF_THE_CALL:
                with self._lock:
                    self._away_until = monotonic() + _PAUSE_SECONDS
                    self.is_away = True
                self._end(lease.key, lease.id)  # it may have been taken all the same
            raise
        self.is_away = False
        if not taken:
            return None
        reference = weakref.ref(lease, self._when_dropped(lease.key, lease.id))
        self._held[lease.id] = _Held(lease.key, lease.id, reference)
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease of this process back, once. Where Redis is away, the thread does it."""
        if self._held.pop(lease.id, None) is None:
            return  # it is the parent's, or was given back
        if self.is_away:
            self._end(lease.key, lease.id)
        else:
            try:
                self._give_back(lease.key, lease.id)
            except (ConnectionError, MemoryError):
                self._end(lease.key, lease.id)

    def _when_dropped(self, key: str, id_: str) -> Callable[[object], None]:
        """Return what has a lease given back that nobody has any more. It waits for nothing."""

        def end(_: object) -> None:
            if self._held.pop(id_, None) is not None:
                self._end(key, id_)

        return end

    def _end(self, key: str, id_: str) -> None:
        """Have the thread give a lease back."""
        self._ended.put(_Ended(key, id_, monotonic() + LEASE_MS / 1000))

    def _give_back(self, key: str, id_: str) -> None:
        self._run(1, (key, "release", id_))

    def _run(self, keys: int, words: tuple[str | int, ...]) -> Any:
        try:
            return self._client.call("EVALSHA", _HASH, keys, *words)
        except ConnectionError as error:
            if getattr(error, "code", "") != "redis_no_script":
                raise
        return self._client.call("EVAL", _SCRIPT, keys, *words)

    # -- the thread ------------------------------------------------------------------------------

    def _start(self) -> None:
        """Start the thread of this process, if it does not run."""
        if self._stopped.is_set() or (self._thread is not None and self._thread.is_alive()):
            return
        thread = threading.Thread(target=self._serve, name="flask_tenant_auth leases", daemon=True)
        thread.start()
        # Only now: where no thread could be started, the next request tries again.
        self._thread = thread

    def _serve(self) -> None:
        while not self._stopped.is_set():
            if not self._step():
                self._stopped.wait(_PAUSE_SECONDS)

    def _step(self) -> bool:
        """Do what is due, or wait for it; return whether that went well."""
        try:
            if monotonic() >= self._renew_at:
                self._renew_at = monotonic() + _RENEW_SECONDS
                self.renew()
            self._give_next_back(self._renew_at)
        except ConnectionError:
            return False  # the log has it from the requests
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever a call raises
            if not self._failing:
                self._failing = True
                logger.error("The leases of requests cannot be renewed or given back: %r", error)
            return False
        self._failing = False
        return True

    def _give_next_back(self, until: float) -> None:
        """Wait for a lease to give back, at most until then, and give it back."""
        try:
            ended = self._ended.get(timeout=max(0.0, until - monotonic()))
        except queue.Empty:
            return
        if ended is None or ended.until <= monotonic():
            return  # it is closed, or the lease has ended by itself
        try:
            self._give_back(ended.key, ended.id)
        except BaseException:
            self._ended.put(ended)
            raise

    def renew(self) -> None:
        """Renew the leases that this process has. What Redis has lost is there again then.

        :raises ConnectionError: when Redis does not answer.
        """
        ids = list(self._held)
        for start in range(0, len(ids), _RENEWED_AT_ONCE):
            found = [self._held.get(each) for each in ids[start : start + _RENEWED_AT_ONCE]]
            part = [each for each in found if each is not None]
            if part:
                self._renew_part(part)

    def _renew_part(self, part: list[_Held]) -> None:
        keys = [each.key for each in part]
        try:
            self._run(len(part), (*keys, "renew", LEASE_MS, *(each.id for each in part)))
        finally:
            # What was given back meanwhile may be there again.
            for each in part:
                if each.id not in self._held:
                    self._end(each.key, each.id)

    def close(self) -> None:
        """Stop renewing, and close the connections."""
        self._stopped.set()
        self._ended.put(None)
        self._client.close()


_all: weakref.WeakSet[Leases] = weakref.WeakSet()


def _after_fork() -> None:
    for leases in list(_all):
        leases.after_fork()


os.register_at_fork(after_in_child=_after_fork)
