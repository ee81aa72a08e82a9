"""What one app has made of its configuration: settings, keys, counters, plans.

`TenantAuth` makes it at init and adds the hooks. An app without `TenantAuth` gets one at first use,
without hooks; so does code outside any app, from the environment alone.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, cast

import flask

from ._core import Decision, Identity, Key, Keyring, Limit, Limiter, parse_rates
from .audit import logger
from .config import Settings
from .errors import ConfigurationError
from .keys import NoSigningKeyError, TenantKeyrings, Verifier, own_keyring
from .limits import Plans, default_rules
from .registration import known_apps

if TYPE_CHECKING:
    from werkzeug.local import LocalProxy

EXTENSION = "tenant_auth"

current_app = cast("LocalProxy[flask.Flask]", flask.current_app)


class AppState:
    """One app's share: nothing of it is on the extension, and nothing is shared between apps."""

    def __init__(self, app: flask.Flask | None, *, hooked: bool = False) -> None:
        self.settings = settings = Settings.from_app(app)
        self.hooked = hooked
        # Where the edge of this app, and of no other app that serves the same environ, leaves what
        # is known of a request.
        self.visit_key = f"flask_tenant_auth.visit.{id(self)}"
        # Counters of a test belong to its app alone, not to every process of this host; those of
        # two apps of one name to that in its own directory.
        self._shared = app is None or not app.testing
        self._place = "" if app is None else f"{app.name} {app.root_path}"
        self.news = 0
        self._store_changes = 0
        self._evictions: float = 0
        self._telling = threading.Lock()
        self._own = own_keyring(settings)
        self.keyring: Verifier = self._verifier()
        self.plans = Plans(
            default_rules(
                settings.ratelimit_default,
                settings.ratelimit_tenant_default,
                settings.ratelimit_fair_share,
            )
        )
        self.failure_limits: tuple[Limit, ...] = ()
        if settings.ratelimit_enabled and settings.auth_failure_limit:
            self.failure_limits = tuple(
                Limit(rate, scope="authentication failures", per="address")
                for rate in parse_rates(settings.auth_failure_limit)
            )
        self.believes = lru_cache(maxsize=4096)(self._believes)
        for weakness in settings.weaknesses():
            logger.warning("%s: fit for development only; production will not start", weakness)

    def _verifier(self) -> Verifier:
        lookup = self.settings.jwt_tenant_keys
        if lookup is not None:
            return TenantKeyrings(lookup, self.settings, self._own)
        return cast("Keyring", self._own)  # without tenants' keys there are own ones

    @cached_property
    def limiter(self) -> Limiter:
        """The app's counters; made at init by `TenantAuth`, else when the first limit counts."""
        limiter = self._make_limiter()
        self._evictions = limiter.evictions
        self.news = limiter.news
        # When the app goes, or at the latest when the process ends.
        weakref.finalize(self, limiter.close)
        reason = limiter.status()["not_shared_because"]
        if reason is not None:
            logger.warning(
                "Counters cannot be shared with other processes of this host (%s): each worker "
                "counts alone while there is no Redis",
                reason,
            )
        return limiter

    def _make_limiter(self) -> Limiter:
        settings = self.settings
        try:
            return Limiter(
                prefix=settings.ratelimit_key_prefix,
                app=self._place,
                strategy=settings.ratelimit_strategy,
                shm_bytes=settings.ratelimit_shm_bytes,
                shared=self._shared,
                redis_url=settings.redis_url,
                timeout_ms=settings.ratelimit_store_timeout_ms,
                on_store_error=settings.ratelimit_on_store_error,
            )
        except PermissionError as error:
            raise ConfigurationError(
                f"RATELIMIT_KEY_PREFIX {settings.ratelimit_key_prefix!r} cannot be used: {error}. "
                "Remove that file, fta-* in /dev/shm, or set another prefix"
            ) from None
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"REDIS_URL or RATELIMIT_*: {error}") from None

    def hit(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
    ) -> Decision:
        """Count a request against all limits or, where one refuses, against none."""
        limiter = self.limiter
        decision = limiter.hit(limits, identity, address, custom)
        if limiter.news != self.news:
            self.tell_news()
        return decision

    def tell_news(self) -> None:
        """Log what has happened to the stores since the last time."""
        limiter = self.limiter
        self.news = limiter.news
        if limiter.changes != self._store_changes:
            self._tell_store_change()
        if limiter.evictions > self._evictions:
            self._tell_evictions()

    def _tell_evictions(self) -> None:
        """Log, once in each process, that the table is full."""
        with self._telling:
            if self._evictions == math.inf:
                return
            self._evictions = math.inf
        logger.warning(
            "The counters' table is full: counters that end first are given up for fresh keys, "
            "and their clients start anew. Raise RATELIMIT_SHM_BYTES (now %d) if this is no attack",
            self.settings.ratelimit_shm_bytes,
        )

    def _tell_store_change(self) -> None:
        """Log, once in each process, that Redis went away or came back."""
        with self._telling:
            changes = self.limiter.changes
            if changes == self._store_changes:
                return
            self._store_changes = changes
        status = self.limiter.status()
        if status["breaker"] == "closed":
            logger.warning("Redis at %s answers again and counts", status["redis_url"])
            return
        logger.warning(
            "Redis at %s is away (%s: %s); until it is back, RATELIMIT_ON_STORE_ERROR=%s decides",
            status["redis_url"],
            status["failure"],
            status["failure_detail"],
            self.settings.ratelimit_on_store_error,
        )

    def signing_keyring(self, tenant_id: str) -> Keyring:
        """Return the keys that sign for a tenant.

        :raises NoSigningKeyError: when the app only verifies.
        """
        keyring = self._own
        if isinstance(self.keyring, TenantKeyrings):
            keyring = self.keyring.keyring(tenant_id)
        if keyring is None or not keyring.keys[0].can_sign:
            raise NoSigningKeyError(
                "this app only verifies tokens: set JWT_PRIVATE_KEY (or JWT_SECRET_KEY for HS256) "
                "to sign them"
            )
        return keyring

    @property
    def own_keys(self) -> tuple[Key, ...]:
        """The app's own keys, without those of its tenants."""
        return self._own.keys if self._own is not None else ()

    def public_keys(self) -> list[dict[str, str]]:
        """Return the app's verification keys as JWKs; shared secrets are never among them."""
        return [key.public_jwk() for key in self.own_keys if not key.algorithm.startswith("HS")]

    def _believes(self, peer: str) -> bool:
        """Whether identity headers from this peer count: in development, or from a gateway."""
        if self.settings.development:
            return True
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self.settings.auth_trusted_gateways)


def state_of(app: flask.Flask | None) -> AppState:
    """Return an app's state, made now for an app without `TenantAuth`; None: the environment's.

    :raises ConfigurationError: when it is made now and the configuration cannot work.
    """
    if app is None:
        return _state_of_environment(tuple(os.environ.get(key) for key in _KEYS))
    state = app.extensions.get(EXTENSION)
    if state is None:
        state = app.extensions.setdefault(EXTENSION, AppState(app))
        known_apps.add(app)
    return cast("AppState", state)


def current_state() -> AppState:
    """Return the state of the current app; of the environment where there is no app."""
    return state_of(current_app._get_current_object() if current_app else None)


_KEYS = tuple(each.name.upper() for each in fields(Settings))


@lru_cache(maxsize=8)
def _state_of_environment(_values: tuple[str | None, ...]) -> AppState:
    return AppState(None)
