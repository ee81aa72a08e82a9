"""The state of one app, made from its configuration: settings, keys, counters, plans.

`TenantAuth` makes it at init and adds the hooks. An app without `TenantAuth` gets one at first use,
without hooks. Code outside of any app gets one from the environment alone.
"""

from __future__ import annotations

import gc
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cached_property, lru_cache, partial
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, Any, cast

import flask
from flask.app import Flask

from .._core import (
    Decision,
    Identity,
    InvalidToken,
    Key,
    Keyring,
    Limit,
    Limiter,
    Reservation,
    Roles,
)
from ..alerts.alert import Alert, Event
from ..alerts.alerts import Alerts
from ..alerts.outbox import Outbox
from ..alerts.sinks import log_alert, remote_sinks
from ..audit import logger
from ..config.changes import ConfigAtInit
from ..config.settings import (
    ROLE_KEYS,
    Settings,
    is_testing,
    names_redis,
    role_settings,
    says_testing,
)
from ..config.token_rules import TokenRules
from ..ending import Ending
from ..errors import ConfigurationError
from ..identity.headers import is_in_networks
from ..identity.roles import roles_of
from ..keys.identities import CalledIdentities
from ..keys.issuers import Issuers
from ..keys.jwk_sets import Source
from ..keys.keyrings import NoSigningKeyError, Verifier
from ..keys.providers import Provider, own_provider
from ..keys.tenants import TenantKeyrings
from ..limit.at_once import AtOnce, at_once_of
from ..limit.concurrency import ConcurrencyRule
from ..limit.configured import default_declaration, endpoint_declarations
from ..limit.denied import DeniedRequests
from ..limit.limiters import failure_limits_of, limiter_of
from ..limit.plans import Plans
from ..limit.store_log import StoreLog
from ..metrics.counters import REVOCATIONS, SESSIONS, VERIFICATION, count_fetch, metrics_of
from ..sessions.api_keys import ApiKeys, key_cache_of
from ..sessions.cookies import Cookies
from ..sessions.origins import Origins
from ..sessions.sessions import Sessions
from ..sessions.store import Revocation, Session, SessionStore
from ..signals import alert_raised
from .exemptions import Exemptions
from .live_sessions import LiveSessions
from .registration import known_apps
from .threads import require_threads_apart

if TYPE_CHECKING:
    from werkzeug.local import LocalProxy

EXTENSION = "tenant_auth"

current_app = cast("LocalProxy[Flask]", flask.current_app)


class Loaders:
    """What the loaders of a `TenantAuth` were given. All its apps share them."""

    def __init__(self) -> None:
        self.of_user: Callable[[Identity], Any] | None = None
        self.of_session: Callable[[Any], Any] | None = None
        self.request_filters: list[Callable[[], object]] = []


class AppState:
    """The state of one app. Nothing of it is on the extension, or shared between apps."""

    def __init__(
        self, app: Flask | None, *, hooked: bool = False, loaders: Loaders | None = None
    ) -> None:
        require_threads_apart()
        self._shared = app is None or not is_testing(app)
        self._names_redis = app is None or names_redis(app)
        self.settings = settings = Settings.from_app(app)
        if not self._shared:
            self.settings = settings = self._for_tests(settings)
        self.hooked = hooked
        self.loaders = loaders  # of the `TenantAuth`, if there is one
        # Of sessions, where they are on.
        self.live: LiveSessions | None = None
        self.session_store: SessionStore | None = None
        self.sessions: Sessions | None = None  # made when first asked for
        self.api_keys: ApiKeys | None = None  # likewise
        # Counts a refresh of a session whose token is right; it raises where there were too many.
        self.count_refresh: Callable[[str], object] | None = None
        # None: tokens are not taken from cookies.
        self.cookies = Cookies(settings) if settings.uses_cookies else None
        # None: there is no console.
        self.console_cookies = None if settings.auth_console_route is None else Cookies(settings)
        self.origins = None if self.cookies is None else Origins(settings, self.cookies)
        self._app = None if app is None else weakref.ref(app)
        self._testing_counts = settings.flask_env == "testing" or (
            app is not None and says_testing(app)
        )
        # Under this key of environ the WSGI layer of this app leaves the `StartResponse` that waits
        # for the record of a request. Another app that serves the same environ has another key.
        self.start_response_key = f"flask_tenant_auth.start_response.{id(self)}"
        self._limiter_lock = threading.RLock()
        self._config_at_init = None if app is None else ConfigAtInit(app, settings)
        self._begun = False  # whether a request was served
        # Whether app.config is not looked at any more.
        self.settled = app is None
        self._directory = _directory_of(app)
        # What is counted for Prometheus and the console, where one of their routes is set.
        self.metrics = metrics_of(settings, app=self._directory, shared=self._shared)
        self._at_once: AtOnce | None = None
        # The scopes of concurrency limits, by rule and endpoint.
        self.scopes_at_once: dict[tuple[ConcurrencyRule, str], str] = {}
        self._at_once_lock = threading.Lock()
        self.roles = roles_of(
            settings.auth_roles, settings.tenant_roles, settings.auth_permissions or {}
        )
        self.rules = TokenRules.of(settings, self.roles)
        if settings.names_sessions:
            self._open_sessions()
        self._make_verifier()
        self.plans = Plans(
            default_declaration(
                settings.ratelimit_default,
                settings.ratelimit_tenant_default,
                settings.ratelimit_fair_share,
            ),
            endpoint_declarations(settings.ratelimit_endpoints or {}),
        )
        self._failure_limits = failure_limits_of(settings)
        self.exemptions = Exemptions(
            settings.ratelimit_exempt_networks, () if loaders is None else loaders.request_filters
        )
        gateways = settings.auth_trusted_gateways
        self._is_gateway = lru_cache(maxsize=4096)(lambda peer: is_in_networks(peer, gateways))
        # What is sent goes on in a thread, also of an app that is testing from now on.
        self._outboxes = [Outbox(sink.name, sink.send) for sink in remote_sinks(settings)]
        # None: there are no rules.
        self.alerts = self._open_alerts() if settings.auth_alerts else None
        for weakness in settings.weaknesses():
            logger.warning("%s: fit for development only; production will not start", weakness)
        if app is not None:
            _remember(self)

    def _make_verifier(self) -> None:
        """Make what verifies tokens by the rules of now."""
        self._provider = own_provider(self.settings, self.rules)
        self._issuers: Issuers | None = None
        self._tenants: TenantKeyrings | None = None
        # What verifies the tokens of now: the `Keyring` itself where there is one, which the core
        # takes; else what chooses one for each token.
        self.keyring: Verifier = self._verifier()
        # What `refresh` has to be called on once its `due` has come; None: nothing changes, or the
        # verifier minds it.
        self.source: Source | None = None
        if isinstance(self.keyring, Provider):
            self._follow(self.keyring)
        if self.metrics is not None:
            for source in self.sources:
                source.fetched = partial(count_fetch, self.metrics, source.where)

    def _open_sessions(self) -> None:
        app = None if self._app is None else self._app()
        if app is None:
            return  # the environment alone is no app that has sessions
        name = self._directory or self.settings.ratelimit_key_prefix
        self.live = LiveSessions(app, self.settings, name, shared=self._shared)
        self.live.close_with(self)
        self.session_store = self.live.store
        self.rules = replace(self.rules, revocations=self.live.table)

    def turn_sessions_on(self) -> None:
        """Do as where a setting names sessions."""
        if self.live is None:
            self._open_sessions()
            self._make_verifier()

    @property
    def session_loader(self) -> Callable[[Any], Any] | None:
        """What says at a refresh what a session is granted."""
        return None if self.loaders is None else self.loaders.of_session

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the client are on now.

        FLASK_ENV=testing, and no FLASK_ENV in an app that is set up for testing, mean development
        for as long as the app's `testing` is set. A fixture may set it after the app is made, and
        an app that is no longer tested trusts nobody. Everything else is as it was at init.
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
        settings = self.settings
        verifier: Verifier | None = self._provider
        if settings.jwt_issuers:
            verifier = self._issuers = Issuers(settings, self.rules, self._provider)
        if settings.jwt_tenant_keys is not None:
            verifier = self._tenants = TenantKeyrings(
                settings.jwt_tenant_keys, settings, self.rules, verifier
            )
        # An app without keys of others has its own.
        found = cast("Verifier", verifier)
        if settings.jwt_identity is not None:
            return CalledIdentities(
                found, settings.jwt_identity, self.roles, self._issuers, self.rules.revocations
            )
        return found

    def _follow(self, provider: Provider) -> None:
        """Take the keyring of a provider, now and after each change of its keys."""
        weak_self = weakref.ref(self)

        def take_keyring() -> None:
            state = weak_self()
            # The keys of another provider may have no table of revocations.
            if state is not None and state._provider is provider:
                keyring = provider.keyring
                state.keyring = keyring if keyring is not None and provider.ready else provider

        provider.changed = take_keyring
        take_keyring()
        if provider.source is not None and provider.source.changes:
            self.source = provider.source

    def _follow_store(self) -> None:
        """Start to follow the store of sessions, if this process does not do so yet.

        Others of this host may have filled the table, and may end.
        """
        live = self.live
        if live is not None and not live.follower.runs:
            live.follower.start()

    def refresh_keys(self) -> None:
        """Do what is due for the keys that `keyring` verifies with."""
        source = self.source
        if source is not None and monotonic() >= source.due:
            source.refresh()

    def authenticate(self, authorization: str | None) -> Identity | InvalidToken | None:
        """Authenticate by an Authorization header; None where it has no bearer credentials.

        :raises KeysUnavailable: when the keys that may verify it are not there.
        :raises SessionsUnavailable: when it is not known what was revoked.
        """
        self.refresh_keys()
        self._follow_store()
        proved = self._verify(authorization)
        if self.live is not None and isinstance(proved, InvalidToken):
            return self.live.once_known(proved, lambda: self.keyring.authenticate(authorization))  # type: ignore[no-any-return]
        return proved

    def _verify(self, authorization: str | None) -> Identity | InvalidToken | None:
        if self.metrics is None:
            return self.keyring.authenticate(authorization)
        began = monotonic_ns()
        proved = self.keyring.authenticate(authorization)
        if proved is not None:
            self.metrics.observe(VERIFICATION, monotonic_ns() - began)
        return proved

    def decode(self, token: str | bytes) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token, verified as strictly as a request's.

        :raises KeysUnavailable, SessionsUnavailable: as `authenticate`.
        """
        self.refresh_keys()
        self._follow_store()
        claims = self.keyring.decode(token)
        if self.live is not None and isinstance(claims, InvalidToken):
            claims = self.live.once_known(claims, lambda: self.keyring.decode(token))
        if isinstance(claims, InvalidToken):
            self.look_for_key(claims, token)
        return claims

    def is_of_some_tenants(self, token: str | bytes) -> bool:
        """Whether a verified token is of a key that may speak for some tenants only.

        Who has such a key may be a customer, and grants any permission to itself.
        """
        if self._tenants is not None and self._tenants.has_own_key(token):
            return True
        return self._issuers is not None and self._issuers.is_limited(token)

    def look_for_key(self, invalid: InvalidToken, token: str | bytes | None) -> None:
        """Look for the key of an invalid token, where the verifier has not done so itself."""
        provider = self._provider
        if provider is not None and token is not None and type(self.keyring) is Keyring:
            provider.look_for_key(invalid, token)

    def settle(self) -> None:
        """Do what a request needs before it is served, until nothing of app.config can change.

        That is after the first request. An app that is testing never settles: each of its requests
        looks again at what a test may have changed.

        :raises ConfigurationError: when a setting was changed that has no effect any more.
        """
        app = None if self._app is None else self._app()
        if app is not None and self._config_at_init is not None:
            self.look_again()
            self.require_unchanged()
            self._begun = True
            self.settled = not is_testing(app)

    def require_unchanged(self) -> None:
        """Look at all of app.config as long as it is looked at.

        :raises ConfigurationError: when a setting was changed that has no effect any more.
        """
        if self.settled:
            return
        app = None if self._app is None else self._app()
        if app is not None and self._config_at_init is not None:
            self._config_at_init.require_unchanged(app, self.settings)

    def look_again(self) -> None:
        """Look at what may be set until the first request: TESTING and RATELIMIT_ENABLED.

        :raises ConfigurationError: for a value that is not valid.
        """
        app = None if self._app is None else self._app()
        if app is not None and self._config_at_init is not None:
            settings = self._config_at_init.with_late(app, self.settings)
            if settings is not self.settings:
                self.settings = settings
            if self._shared and not self._begun and is_testing(app):
                self._stop_sharing()

    def _stop_sharing(self) -> None:
        """Have counters and revocations of this app alone from now on."""
        with self._limiter_lock:
            if not self._shared:
                return
            self.settings = self._for_tests(self.settings)
            self._drop_at_once()
            if self.metrics is not None:
                self.metrics.unshare()
            if "limiter" in self.__dict__:
                self._renew_limiter(shared=False)
            self.api_keys = None  # made again, with a cache of its own
            self._renew_alerts(shared=False)
            if self.live is not None and self.live.shares_table:
                self.live.stop_sharing(self)
                self.rules = replace(self.rules, revocations=self.live.table)
                self._make_verifier()
            # Last: until then other requests wait for the lock.
            self._shared = False

    def _for_tests(self, settings: Settings) -> Settings:
        """Return settings for an app that is testing: the default Redis may be a developer's."""
        return settings if self._names_redis else replace(settings, redis_url="")

    @property
    def failure_limits(self) -> tuple[Limit, ...]:
        """The limits of failed authentications, by address."""
        return self._failure_limits if self.settings.ratelimit_enabled else ()

    @cached_property
    def limiter(self) -> Limiter:
        """The app's counters; made at init by `TenantAuth`, else when the first limit counts."""
        with self._limiter_lock:  # cached_property has none: two limiters would each count a part
            made: Limiter | None = self.__dict__.get("limiter")
            if made is None:
                made = self.__dict__["limiter"] = self._open_limiter(shared=self._shared)
            return made

    def _open_limiter(self, *, shared: bool) -> Limiter:
        limiter = limiter_of(
            self.settings, app=self._directory, shared=shared, metrics=self.metrics
        )
        self._store_log = StoreLog(self.settings, self._note_redis_away)
        self.store_events = limiter.store_events  # those that are logged
        # When the state is freed, or at the latest when the process ends.
        self._close_limiter = Ending(self, limiter.close)
        self._store_log.start(limiter)
        return limiter

    def _open_alerts(self, *, shared: bool | None = None) -> Alerts:
        return Alerts(
            self.settings,
            app=self.app_name,
            directory=self._directory,
            shared=self._shared if shared is None else shared,
            sinks=[log_alert, *(outbox.put for outbox in self._outboxes), self._send_alert],
        )

    def _renew_alerts(self, *, shared: bool) -> None:
        old = self.alerts
        if old is not None:
            self.alerts = self._open_alerts(shared=shared)
            old.close()

    def _send_alert(self, alert: Alert) -> None:
        """Send the signal of an alert."""
        app = None if self._app is None else self._app()
        if app is not None and alert_raised.receivers:
            alert_raised.send(app, alert=alert)

    def _note_redis_away(self) -> None:
        if self.alerts is not None:
            self.alerts.note(Event(name="redis_away"))

    @property
    def at_once(self) -> AtOnce:
        """The requests that run at once; made when the first concurrency limit asks."""
        at_once = self._at_once
        if at_once is None:
            with self._at_once_lock:
                at_once = self._at_once
                if at_once is None:
                    at_once = at_once_of(self.settings, app=self._directory, shared=self._shared)
                    Ending(self, at_once.close)
                    self._at_once = at_once
        return at_once

    def _drop_at_once(self) -> None:
        """Begin anew; requests that run give back what they hold to where they have it from."""
        with self._at_once_lock:
            self._at_once = None

    def _renew_limiter(self, *, shared: bool) -> None:
        with self._limiter_lock:
            close = self._close_limiter
            self.limiter = self._open_limiter(shared=shared)
            close()
            self.__dict__.pop("_denied", None)

    def reset_limits(self) -> None:
        """Forget all that was counted.

        :raises RuntimeError: in an app that is not testing, or that counts in Redis.
        """
        self.look_again()
        if self._shared:
            raise RuntimeError(
                f"reset_limits() is for tests, and the app {self.app_name!r} is not testing: set "
                "TESTING before its first request"
            )
        if self.settings.redis_url:
            raise RuntimeError(
                f"reset_limits() does not reach Redis, where the app {self.app_name!r} counts: "
                "make REDIS_URL empty in tests, or give each test a RATELIMIT_KEY_PREFIX of its own"
            )
        self._drop_at_once()
        if "limiter" in self.__dict__:
            self._renew_limiter(shared=False)
        self._renew_alerts(shared=False)

    def hit(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
    ) -> Decision:
        """Count a request against all limits or, where one denies it, against none."""
        limiter = self.limiter
        decision = limiter.hit(limits, identity, address, custom)
        if limiter.store_events != self.store_events:
            self.log_store_events()
        return decision

    def reserve(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
    ) -> Reservation:
        """Count a request as `hit` does, so that it can be given back."""
        limiter = self.limiter
        reservation = limiter.reserve(limits, identity, address, custom)
        if limiter.store_events != self.store_events:
            self.log_store_events()
        return reservation

    @property
    def denied(self) -> DeniedRequests | None:
        """The limit of denied requests."""
        settings = self.settings
        return self._denied if settings.ratelimit_enabled and settings.ratelimit_denied else None

    @cached_property
    def _denied(self) -> DeniedRequests:
        """Made when the first request is counted."""
        with self._limiter_lock:
            made: DeniedRequests | None = self.__dict__.get("_denied")
            if made is None:
                made = self.__dict__["_denied"] = DeniedRequests(
                    self.settings, app=self._directory, shared=self._shared
                )
            return made

    def log_store_events(self) -> None:
        """Log what has happened to the stores since the last call."""
        limiter = self.limiter
        self.store_events = limiter.store_events
        self._store_log.log_events(limiter)

    def table_of_another_user(self) -> tuple[int, str] | None:
        """Return the user id and the name of the file of another user's counters of this app."""
        if not self._shared:
            return None
        return Limiter.table_of_another_user(self.settings.ratelimit_key_prefix, self._directory)

    def signing_keyring(self, tenant_id: str) -> Keyring:
        """Return the keys that sign for a tenant.

        :raises NoSigningKeyError: when the app only verifies.
        """
        keyring = None if self._tenants is None else self._tenants.keyring(tenant_id)
        if keyring is None and self._provider is not None and self.settings.signs:
            keyring = self._provider.keyring
        if keyring is None or not keyring.keys[0].can_sign:
            raise NoSigningKeyError(
                "this app only verifies tokens: set JWT_PRIVATE_KEY (or JWT_SECRET_KEY for HS256) "
                "to sign them"
            )
        return keyring

    @property
    def own_provider(self) -> Provider | None:
        """What verifies with the app's own keys; None where only others have keys."""
        return self._provider

    @property
    def own_keys(self) -> tuple[Key, ...]:
        """The app's own keys, without those of its tenants."""
        return () if self._provider is None else self._provider.keys

    @property
    def sources(self) -> list[Source]:
        """Where keys come from that may change, and those of other issuers."""
        source = None if self._provider is None else self._provider.source
        own = [] if source is None or not source.changes else [source]
        return own if self._issuers is None else own + self._issuers.sources

    def public_keys(self) -> list[dict[str, str]]:
        """Return the app's verification keys as JWKs; shared secrets are never among them."""
        return [key.public_jwk() for key in self.own_keys if not key.algorithm.startswith("HS")]

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        """Add a revocation to the store, and so end what it names.

        :raises ConfigurationError: where sessions are off.
        :raises StoreUnavailable: when it is not known to be stored.
        """
        if self.session_store is None:
            raise ConfigurationError("sessions are off in this app")
        revoked = self.session_store.revoke(revocation, reason)
        self.count(REVOCATIONS, revocation.kind)
        if revocation.kind == "session":
            self.count(SESSIONS, "ended")
        if self.live is not None:
            self.live.forget(revoked)
        if self.api_keys is not None:
            self.api_keys.forget(revoked)
        return revoked

    def new_api_keys(self, store: SessionStore) -> ApiKeys:
        """Return the API keys of a store, whose answers the processes of this host share."""
        table = self.rules.revocations
        return ApiKeys(
            store,
            key_cache_of(store, app=self._directory, shared=self._shared),
            self.revoke,
            check=None if table is None else table.check,
            most_delay_ms=int(self.settings.auth_revocation_max_delay_seconds * 1000),
            revocation_kept_ms=int((self.settings.auth_session_max_days + 1) * 86_400_000),
        )

    def count(self, name: str, word: str) -> None:
        """Count an event for Prometheus."""
        if self.metrics is not None:
            self.metrics.count(name, word)

    def forget(self, session: Session) -> None:
        """Let this host know at once that a session has ended, which the store has ended."""
        self.count(SESSIONS, "ended")
        if self.live is not None:
            self.live.forget(
                Revocation(
                    kind="session",
                    tenant_id=session.tenant_id,
                    user_id=session.user_id,
                    id=session.id,
                    at=session.ended_at or session.used_at,
                    ends_at=session.ends_at,
                )
            )

    def trusts_identity_headers(self, peer: str) -> bool:
        """Whether identity headers from this peer count: in development, or from a gateway."""
        return self.development or self._is_gateway(peer)

    def is_gateway(self, peer: str) -> bool:
        """Whether this peer is in AUTH_TRUSTED_GATEWAYS."""
        return self._is_gateway(peer)


def _directory_of(app: Flask | None) -> str:
    """Return what distinguishes an app from others of its name on this host: its directory.

    It is empty where RATELIMIT_KEY_PREFIX is set. Then the counters are those of the prefix, as
    they are in Redis, and a release in a new directory goes on with them.
    """
    key = "RATELIMIT_KEY_PREFIX"
    if app is None or app.config.get(key) or os.environ.get(key):
        return ""
    return f"{app.name} {app.root_path}"


def state_of(app: Flask | None) -> AppState:
    """Return an app's state, made now for an app without `TenantAuth`; None: the environment's.

    :raises ConfigurationError: when it is made now and the configuration is not valid.
    """
    if app is None:
        return _state_of_environment(tuple(os.environ.get(key) for key in _KEYS))
    state = cast("AppState | None", app.extensions.get(EXTENSION))
    if state is None:
        state = app.extensions.setdefault(EXTENSION, AppState(app))
        known_apps.add(app)
    if not state.settled:
        state.look_again()
    return state


def current_state() -> AppState:
    """Return the state of the current app; of the environment where there is no app.

    :raises ConfigurationError: where there is no app and the environment alone is not valid; and
        when a setting of the app was changed that has no effect any more.
    """
    if current_app:
        state = state_of(current_app._get_current_object())
        state.require_unchanged()
        return state
    try:
        return state_of(None)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}. {_OUTSIDE}") from None


def current_roles() -> Roles:
    """Return the roles of the current app; those of the environment where there is no app.

    :raises ConfigurationError: when AUTH_ROLES and its like are not valid. Also where there is no
        app, and the environment differs from the roles of each app of this process: a role of the
        same name could reach more, or less, than it does in the app.
    """
    if current_app:
        return state_of(current_app._get_current_object()).roles
    return _roles_outside_an_app()[0]


def current_tenant_roles() -> tuple[str, ...]:
    """Return those of the current roles that reach the rows of their whole tenant.

    :raises ConfigurationError: as `current_roles`.
    """
    if current_app:
        return state_of(current_app._get_current_object()).settings.tenant_roles
    return _roles_outside_an_app()[1].tenant_roles


def _roles_outside_an_app() -> tuple[Roles, Settings]:
    found = _roles_of_environment(tuple(os.environ.get(key) for key in ROLE_KEYS))
    _require_an_app_like(found[1], _OF_ROLES)
    return found


def signing_state() -> AppState:
    """Return the current state for making a token, which some app is to accept.

    :raises ConfigurationError: where there is no app, and the environment alone is not valid or
        differs from the settings of each app of this process.
    """
    state = current_state()
    if current_app:
        return state
    _require_an_app_like(state.settings, _OF_TOKENS)
    return state


_OUTSIDE = (
    "This was called outside an app context, where the environment alone is read: call it inside "
    "`with app.app_context():`, or set in the environment what the app is to have"
)
# A token depends on these settings: it names one of AUTH_ROLES.
_OF_TOKENS = (
    *(
        each.name
        for each in fields(Settings)
        if each.name.startswith("jwt_") and each.name != "jwt_jwks_route"
    ),
    "auth_roles",
)
# What a role may do depends on these.
_OF_ROLES = ("auth_roles", "tenant_roles", "auth_permissions")
# The states of apps, in the order in which they were made.
_states: weakref.WeakValueDictionary[int, AppState] = weakref.WeakValueDictionary()
_numbers = itertools.count()
_states_lock = threading.Lock()


def _remember(state: AppState) -> None:
    with _states_lock:
        _states[next(_numbers)] = state


def _require_an_app_like(settings: Settings, names: Sequence[str]) -> None:
    """Raise where these settings of the environment are those of no app of this process.

    :raises ConfigurationError: it names the settings.
    """
    difference = _difference_from_apps(settings, names)
    if difference:
        gc.collect()  # an app that cannot be reached any more is of no account
        difference = _difference_from_apps(settings, names)
    if difference:
        raise ConfigurationError(f"{difference}. {_OUTSIDE}")


def _difference_from_apps(settings: Settings, names: Sequence[str]) -> str | None:
    """Return how the apps of this process differ from the environment, if each of them does.

    It names the app that differs least and, of several such apps, the one that was made last.
    """
    with _states_lock:
        states = list(_states.values())
    found = [(_different_keys(state.settings, settings, names), state) for state in states[::-1]]
    if not found:
        return None
    keys, state = min(found, key=lambda each: len(each[0]))
    if not keys:
        return None
    return f"{' and '.join(keys)} of the app {state.app_name!r} and of the environment differ"


def _different_keys(one: Settings, other: Settings, names: Sequence[str]) -> list[str]:
    return [
        key
        for name in names
        if getattr(one, name) != getattr(other, name)
        for key in [f"{'AUTH_' if name == 'tenant_roles' else ''}{name.upper()}"]
    ]


_KEYS = tuple(each.name.upper() for each in fields(Settings))


@lru_cache(maxsize=8)
def _roles_of_environment(_values: tuple[str | None, ...]) -> tuple[Roles, Settings]:
    settings = role_settings()
    permissions = settings.auth_permissions or {}
    return roles_of(settings.auth_roles, settings.tenant_roles, permissions), settings


@lru_cache(maxsize=8)
def _state_of_environment(_values: tuple[str | None, ...]) -> AppState:
    return AppState(None)
