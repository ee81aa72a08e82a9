"""How many requests of a client run at once: on this host, and on all hosts with Redis.

A request takes a permit of this host first, which costs no round trip. So a client that has as many
running here as it may is denied without Redis. Then it takes a lease in Redis, where there is one.
While Redis is away, and where one call of it fails, RATELIMIT_ON_STORE_ERROR decides.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .._core import Permit, Permits, describe_redis_url
from ..audit import logger
from ..errors import ConfigurationError
from .leases import Lease, Leases

if TYPE_CHECKING:
    from .._core import Identity
    from ..config.settings import Settings


class Held:
    """What one request holds while it runs."""

    __slots__ = ("_lease", "_permit")

    def __init__(self, permit: Permit, lease: Lease | None) -> None:
        self._permit = permit
        self._lease = lease

    def release(self) -> None:
        """Give it back, once."""
        self._permit.release()
        if self._lease is not None:
            self._lease.release()


class AtOnce:
    """The requests of one app that run at once."""

    def __init__(self, settings: Settings, permits: Permits, leases: Leases | None) -> None:
        self.permits = permits
        self._leases = leases
        self._denies = settings.ratelimit_on_store_error == "deny"
        self._on_store_error = settings.ratelimit_on_store_error
        self._url = settings.redis_url
        self._said_away = False
        self._lock = threading.Lock()

    def take(
        self, most: int, scope: str, per: str, identity: Identity | None, address: str, key: str
    ) -> Held | None:
        """Let a request run; None where so many of its client run already.

        :raises OSError: where nobody can say how many run.
        """
        permit = self.permits.take(most, scope, per, identity, address, key)
        if permit is None or self._leases is None:
            return None if permit is None else Held(permit, None)
        try:
            name = self.permits.key(scope, per, identity, address, key)
            lease = self._leases.take(name, most)
        except ConnectionError as error:
            if self._leases.is_away:
                self._log_away(error)
            if self._denies:
                permit.release()
                return None
            return Held(permit, None)
        self._log_back()
        if lease is None:
            permit.release()
            return None
        return Held(permit, lease)

    def _log_away(self, error: ConnectionError) -> None:
        with self._lock:
            if self._said_away:
                return
            self._said_away = True
        logger.warning(
            "Redis at %s does not count the requests that run at once (%s); until it does, "
            "RATELIMIT_ON_STORE_ERROR=%s decides",
            describe_redis_url(self._url),
            error,
            self._on_store_error,
        )

    def _log_back(self) -> None:
        if self._said_away:
            with self._lock:
                if not self._said_away:
                    return
                self._said_away = False
            logger.warning(
                "Redis at %s counts the requests that run at once again",
                describe_redis_url(self._url),
            )

    def close(self) -> None:
        """Remove what nobody else uses, and close the connections."""
        self.permits.close()
        if self._leases is not None:
            self._leases.close()


def at_once_of(settings: Settings, *, app: str, shared: bool) -> AtOnce:
    """Return what counts the requests of an app that run at once.

    :param app: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host count together.
    :raises ConfigurationError: when it cannot be made; the message names the setting.
    """
    leases = None
    if settings.redis_url:
        try:
            leases = Leases(
                settings.redis_url,
                settings.ratelimit_key_prefix,
                settings.ratelimit_store_timeout_ms,
            )
        except (ValueError, ConnectionError) as error:
            raise ConfigurationError(f"REDIS_URL {error}") from None
    return AtOnce(settings, _permits_of(settings, app=app, shared=shared), leases)


def _permits_of(settings: Settings, *, app: str, shared: bool) -> Permits:
    prefix = settings.ratelimit_key_prefix
    try:
        permits = Permits(prefix, app=app, shared=shared)
    except PermissionError as error:
        raise ConfigurationError(
            f"RATELIMIT_KEY_PREFIX {prefix!r} cannot be used: {error}. Remove that file, or set "
            "another prefix"
        ) from None
    reason = permits.status()["not_shared_because"]
    if reason is not None:
        logger.warning(
            "Concurrency limits cannot be shared with other processes of this host (%s): each "
            "worker lets as many requests run as the limit says",
            reason,
        )
    return permits
