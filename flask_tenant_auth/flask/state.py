"""What one app has made of its configuration: settings, keys, counters, plans.

`TenantAuth` makes it at init and adds the hooks. An app without `TenantAuth` gets one at first use,
without hooks; so does code outside any app, from the environment alone.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import cached_property, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast

import flask

from .._core import Decision, Identity, Key, Keyring, Limit, Limiter, parse_rates, plain_address
from ..audit import logger
from ..config.settings import Settings, is_testing, says_testing
from ..errors import ConfigurationError
from ..keys import NoSigningKeyError, TenantKeyrings, Verifier, own_keyring
from ..limits import default_rules
from .plans import Plans
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
        self._app = None if app is None else weakref.ref(app)
        self._testing_counts = settings.flask_env == "testing" or (
            app is not None and says_testing(app)
        )
        # Under this key of environ the WSGI layer of this app, and of no other that serves the same
        # environ, leaves the `StartResponse` that waits for the record of a request.
        self.start_response_key = f"flask_tenant_auth.start_response.{id(self)}"
        # Counters of a test belong to its app alone, not to every process of this host.
        self._shared = app is None or not app.testing
        self._place = _place_of(app)
        self.store_events = 0
        self._store_changes = 0
        self._first_failures = 0
        self._evictions: float = 0
        self._logging = threading.Lock()
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
        self._is_gateway = lru_cache(maxsize=4096)(self._looks_like_gateway)
        for weakness in settings.weaknesses():
            logger.warning("%s: fit for development only; production will not start", weakness)
        if app is not None:
            _remember(self)

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the client are on now.

        The word testing in FLASK_ENV, and no word in an app that is set up for testing, mean
        development for as long as the app's `testing` is set: a fixture may set it after the app is
        made, and what is no test any more trusts nobody. All else is as it was at init.
        """
        if self._testing_counts:
            app = None if self._app is None else self._app()
            return app is not None and is_testing(app)
        return self.settings.development

    @property
    def app_name(self) -> str:
        """The name of the app; empty for the state of the environment."""
        app = None if self._app is None else self._app()
        return "" if app is None else app.name

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
        self.store_events = limiter.store_events
        # When the app goes, or at the latest when the process ends.
        weakref.finalize(self, limiter.close)
        self._log_memory(limiter.status())
        return limiter

    def _log_memory(self, status: Mapping[str, Any]) -> None:
        """Log what an operator has to know of the shared memory that was found or made."""
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
                self.settings.ratelimit_shm_bytes,
                status["shm_bytes"],
                status["path"],
            )

    def _make_limiter(self) -> Limiter:
        settings = self.settings
        try:
            return Limiter(
                prefix=settings.ratelimit_key_prefix,
                app=self._place,
                strategy=settings.ratelimit_strategy,
                shm_bytes=settings.ratelimit_shm_bytes or 0,
                shared=self._shared,
                redis_url=settings.redis_url,
                timeout_ms=settings.ratelimit_store_timeout_ms,
                on_store_error=settings.ratelimit_on_store_error,
            )
        except PermissionError as error:
            raise ConfigurationError(
                f"RATELIMIT_KEY_PREFIX {settings.ratelimit_key_prefix!r} cannot be used: {error}: "
                "it is this user's, but others may use it, it has a second name, or it is no file. "
                "Remove it (fta-* in /dev/shm), or set another prefix"
            ) from None
        except ValueError as error:
            raise ConfigurationError(_say_of_setting(str(error))) from None
        except (MemoryError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise ConfigurationError(
                f"RATELIMIT_SHM_BYTES {settings.ratelimit_shm_bytes} cannot be had: {reason}"
            ) from None

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
        if limiter.store_events != self.store_events:
            self.log_store_events()
        return decision

    def log_store_events(self) -> None:
        """Log what has happened to the stores since the last time."""
        limiter = self.limiter
        self.store_events = limiter.store_events
        if limiter.changes != self._store_changes or limiter.first_failures != self._first_failures:
            self._log_store_change()
        if limiter.evictions > self._evictions:
            self._log_evictions()

    def _log_evictions(self) -> None:
        """Log, once in each process, that the table is full."""
        with self._logging:
            if self._evictions == math.inf:
                return
            self._evictions = math.inf
        logger.warning(
            "The counters' table is full: counters that end first are given up for fresh keys, "
            "and their clients start anew. Raise RATELIMIT_SHM_BYTES (now %d) if this is no attack",
            self.settings.ratelimit_shm_bytes or self.limiter.status()["shm_bytes"],
        )

    def _log_store_change(self) -> None:
        """Log, once in each process, that Redis went away or came back, or has never counted.

        While it has never counted, each new way of failing is logged once: waiting may help
        against the first and not against the second.
        """
        limiter = self.limiter
        with self._logging:
            changes, first_failures = limiter.changes, limiter.first_failures
            changed = changes != self._store_changes
            if not changed and first_failures == self._first_failures:
                return
            never_before = first_failures != self._first_failures
            self._store_changes, self._first_failures = changes, first_failures
        status = limiter.status()
        if changed and status["breaker"] == "closed":
            logger.warning("Redis at %s answers again and counts", status["redis_url"])
        elif never_before and not status["redis_has_counted"]:
            logger.warning(
                "Redis at %s is away (%s: %s), and has never counted since this process started; "
                "until it does, RATELIMIT_ON_STORE_ERROR=%s decides",
                *self._failure(status),
            )
        elif changed:
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
            self.settings.ratelimit_on_store_error,
        )

    def table_of_another_user(self) -> tuple[int, str] | None:
        """Return the user id and the name of the file of another user's counters of this app."""
        if not self._shared:
            return None
        return Limiter.table_of_another_user(self.settings.ratelimit_key_prefix, self._place)

    def signing_keyring(self, tenant_id: str) -> Keyring:
        """Return the keys that sign for a tenant.

        :raises NoSigningKeyError: when the app only verifies.
        """
        keyring = self._own
        if isinstance(self.keyring, TenantKeyrings):
            keyring = self.keyring.keyring(tenant_id)
        if keyring is self._own and not self.settings.signs:
            keyring = None
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

    def trusts_identity_headers(self, peer: str) -> bool:
        """Whether identity headers from this peer count: in development, or from a gateway."""
        return self.development or self._is_gateway(peer)

    def _looks_like_gateway(self, peer: str) -> bool:
        try:
            plain = plain_address(peer)
        except ValueError:  # no Unicode text
            plain = None
        if plain is None:
            return False
        address = ip_address(plain)
        return any(address in network for network in self.settings.auth_trusted_gateways)


# The setting that each argument of `Limiter` is from.
_SETTING_OF = {
    "prefix": "RATELIMIT_KEY_PREFIX",
    "strategy": "RATELIMIT_STRATEGY",
    "shm_bytes": "RATELIMIT_SHM_BYTES",
    "redis_url": "REDIS_URL",
    "timeout_ms": "RATELIMIT_STORE_TIMEOUT_MS",
    "on_store_error": "RATELIMIT_ON_STORE_ERROR",
}


def _say_of_setting(error: str) -> str:
    """Name the setting where an error of `Limiter` names, as its first word, the argument."""
    argument, _, problem = error.partition(" ")
    if argument in _SETTING_OF:
        return f"{_SETTING_OF[argument]} {problem}"
    # The path of the app, which may have no Unicode text.
    return f"RATELIMIT_KEY_PREFIX must be set, because the app has no name to count under: {error}"


def _place_of(app: flask.Flask | None) -> str:
    """Return what tells an app from another one of its name on this host: the directory it is in.

    Nothing where RATELIMIT_KEY_PREFIX is set: the counters are then those of the prefix, as they
    are in Redis, and a release in a new directory goes on with them.
    """
    key = "RATELIMIT_KEY_PREFIX"
    if app is None or app.config.get(key) or os.environ.get(key):
        return ""
    return f"{app.name} {app.root_path}"


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
    """Return the state of the current app; of the environment where there is no app.

    :raises ConfigurationError: where there is no app and the environment cannot work alone.
    """
    if current_app:
        return state_of(current_app._get_current_object())
    try:
        return state_of(None)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}. {_OUTSIDE}") from None


def signing_state() -> AppState:
    """Return the current state for making a token, which some app is to accept.

    :raises ConfigurationError: where there is no app, and the environment cannot work alone or is
        not what any app of this process goes by.
    """
    state = current_state()
    if current_app:
        return state
    difference = _difference_from_apps(state.settings)
    if difference:
        gc.collect()  # an app that nobody can use any more says nothing about this call
        difference = _difference_from_apps(state.settings)
    if difference:
        raise ConfigurationError(f"{difference}. {_OUTSIDE}")
    return state


_OUTSIDE = (
    "This was called outside an app context, where the environment alone is read: call it inside "
    "`with app.app_context():`, or set in the environment what the app is to have"
)
# What a token depends on.
_OF_TOKENS = tuple(
    each.name
    for each in fields(Settings)
    if each.name.startswith("jwt_") and each.name != "jwt_jwks_route"
)
# The states of apps, in the order in which they were made.
_states: weakref.WeakValueDictionary[int, AppState] = weakref.WeakValueDictionary()
_numbers = itertools.count()
_states_lock = threading.Lock()


def _remember(state: AppState) -> None:
    with _states_lock:
        _states[next(_numbers)] = state


def _difference_from_apps(settings: Settings) -> str | None:
    """Say in what the apps of this process differ from the environment, if each of them does.

    Of several the one that differs least is named, and of these the one that was made last.
    """
    with _states_lock:
        states = list(_states.values())
    found = [(_different_keys(state.settings, settings), state) for state in reversed(states)]
    if not found:
        return None
    keys, state = min(found, key=lambda each: len(each[0]))
    if not keys:
        return None
    return f"{' and '.join(keys)} of the app {state.app_name!r} and of the environment differ"


def _different_keys(one: Settings, other: Settings) -> list[str]:
    return [name.upper() for name in _OF_TOKENS if getattr(one, name) != getattr(other, name)]


_KEYS = tuple(each.name.upper() for each in fields(Settings))


@lru_cache(maxsize=8)
def _state_of_environment(_values: tuple[str | None, ...]) -> AppState:
    return AppState(None)
