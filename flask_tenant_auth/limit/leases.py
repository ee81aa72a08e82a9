"""The requests that run at once on many hosts: leases in Redis.

A lease is taken in one round trip. It ends by itself `LEASE_MS` after it was taken or renewed, by
the clock of Redis. A thread of each process renews all that the process has in one call. So the
leases of a host that dies end within that time, and those of a request that runs stay.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import weakref
from pathlib import Path
from time import monotonic
from typing import Any

from .._core import RedisClient

LEASE_MS = 15_000
# Three renewals may fail before a lease ends.
_RENEW_SECONDS = LEASE_MS / 4000
_RENEWED_AT_ONCE = 500
# How long Redis is left alone once a call has failed.
_PAUSE_SECONDS = 1.0

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


class Leases:
    """The leases of the requests of one app."""

    def __init__(self, url: str, prefix: str, timeout_ms: int) -> None:
        tag = f"fta:{prefix}"
        self._client = RedisClient(url, tag=tag, timeout_ms=timeout_ms)
        self._prefix = f"{{{tag}}}:at-once:"
        self._stopped = threading.Event()
        self._away_until = 0.0
        self.is_away = False
        self._begin_process()

    def _begin_process(self) -> None:
        """Know nothing of the leases and the thread of a parent."""
        self._lock = threading.Lock()
        self._held: dict[str, weakref.ref[Lease]] = {}
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def take(self, name: bytes, most: int) -> Lease | None:
        """Take a lease of a client; None where so many run already.

        :raises ConnectionError: when Redis does not answer, or did not a moment ago.
        """
        if self._process != os.getpid():
            self._begin_process()
        if self.is_away:
            if monotonic() < self._away_until:
                raise ConnectionError("Redis has not answered a moment ago")
            self._away_until = monotonic() + _PAUSE_SECONDS  # others go on without it meanwhile
        lease = Lease(self, self._prefix + name.hex(), secrets.token_hex(12))
        if self._call(1, lease.key, "take", most, lease.id, LEASE_MS) != 1:
            return None
        with self._lock:
            self._held[lease.id] = weakref.ref(lease, self._forget(lease.id))
            self._start()
        return lease

    def release(self, lease: Lease) -> None:
        """Give a lease of this process back, once."""
        if self._process != os.getpid():
            return  # it is the parent's
        if self._held.pop(lease.id, None) is not None:
            try:
                self._call(1, lease.key, "release", lease.id)
            except ConnectionError:
                return

    def _forget(self, id_: str) -> Any:
        """Return a function that stops to renew a lease that nobody has any more."""
        held = self._held
        return lambda _: held.pop(id_, None)

    def _call(self, keys: int, *words: str | int) -> Any:
        try:
            answer = self._run(keys, words)
        except ConnectionError:
            self._away_until = monotonic() + _PAUSE_SECONDS
            self.is_away = True
            raise
        self.is_away = False
        return answer

    def _run(self, keys: int, words: tuple[str | int, ...]) -> Any:
        try:
            return self._client.call("EVALSHA", _HASH, keys, *words)
        except ConnectionError as error:
            if getattr(error, "code", "") != "redis_no_script":
                raise
        return self._client.call("EVAL", _SCRIPT, keys, *words)

    # -- renewing --------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._renew_until_stopped, name="flask_tenant_auth leases", daemon=True
            )
            self._thread.start()

    def _renew_until_stopped(self) -> None:
        while not self._stopped.wait(_RENEW_SECONDS):
            self.renew()

    def renew(self) -> None:
        """Renew the leases that this process has. What Redis has lost is there again then."""
        found = (reference() for reference in list(self._held.values()))
        leases = [each for each in found if each is not None]
        for start in range(0, len(leases), _RENEWED_AT_ONCE):
            part = leases[start : start + _RENEWED_AT_ONCE]
            keys = (each.key for each in part)
            ids = (each.id for each in part)
            try:
                self._call(len(part), *keys, "renew", LEASE_MS, *ids)
            except ConnectionError:
                return  # the next round tries again

    def close(self) -> None:
        """Stop renewing, and close the connections."""
        self._stopped.set()
        self._client.close()
