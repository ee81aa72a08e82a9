"""Every key, its default and its check, in one frozen `Settings`, read once per app.

A value comes from ``app.config``, else from the environment, else it is the default. None, and an
empty string where empty says nothing, count as not set; white space is no empty string. Whatever
is not valid raises `ConfigurationError` here, which names the key and what to write instead; no
later code checks again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._core import (
    ALGORITHMS,
    DEFAULT_ROLES,
    LEASE_PART_MAX,
    LIMITER_RANGES,
    ON_STORE_ERRORS,
    PASSWORD_ITERATIONS,
    STRATEGIES,
    describe_redis_url,
)
from ..audit import logger
from ..errors import ConfigurationError
from .alert_settings import (
    AlertRule,
    MailServer,
    check_alerts,
    read_alert_rules,
    read_mail_address,
    read_mail_addresses,
    read_mail_server,
    read_webhook,
    read_webhook_key,
)
from .checks import (
    check_audit,
    check_claims,
    check_cors,
    check_fetched_keys,
    check_issuers,
    check_keys,
    check_roles,
    check_secrets,
)
from .console_settings import check_console
from .issuers import Issuer, read_issuers
from .key_sources import (
    PairText,
    read_fallbacks,
    read_jwks,
    read_key_id,
    read_pair,
    read_passphrase,
    read_secret,
)
from .limit_arguments import Arguments, Limits, read_endpoint_limits, read_limits
from .metrics_settings import read_permission, read_tenants
from .names import Unknown, advice_on, unknown_names
from .networks import Network, read_networks
from .origins import read_origins
from .readers import (
    TRUE,
    Reader,
    is_blank,
    is_empty,
    number_between,
    one_of,
    read_boolean,
    read_callable,
    read_environment,
    read_http_tokens,
    read_methods,
    read_path,
    read_plain_path,
    read_prefixes,
    read_rates,
    read_redis_url,
    read_route,
    read_text,
    read_words,
    text_of_bytes,
    whole_between,
)
from .session_settings import (
    COOKIES,
    HEADERS,
    check_sessions,
    read_cookie_name,
    read_locations,
    read_same_site,
    read_session_keys,
    read_store,
)
from .token_claims import (
    RequiredValue,
    read_identity_callable,
    read_namespace,
    read_permissions,
    read_places,
    read_required_claims,
    read_role_map,
)

if TYPE_CHECKING:
    from flask.app import Flask

DEFAULT_SECRET_KEY = b"your-secret-key-change-in-production"
SYMMETRIC = tuple(name for name in ALGORITHMS if name.startswith("HS"))
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
MAX_HOURS = 24 * 366 * 100

_PATTERN_OR_SPACE = frozenset("*?[]() \t\r\n")


def _read_other_names(raw: Any) -> tuple[str, ...]:
    """Return names of settings that are not ours.

    A pattern is not valid: it would match misspelt names of ours as well.
    """
    words = read_words(raw)
    for word in words:
        if set(word) & _PATTERN_OR_SPACE:
            raise ValueError(f"holds {word!r}: list whole names, with no pattern")
        if word in KEYS:
            raise ValueError(f"holds {word}, which is a setting of this library: remove it")
    return words


def _key(default: Any, read: Reader[Any], *, secret: bool = False, blank: bool = False) -> Any:
    """Return the field of one key.

    :param secret: its value is never shown.
    :param blank: an empty string is a value of its own.
    """
    return field(default=default, repr=not secret, metadata={"read": read, "blank": blank})


# ruff: noqa: RUF009 - _key() makes the dataclass field that it is the default of
@dataclass(frozen=True, kw_only=True)
class Settings:
    """One app's configuration: checked, complete and unchangeable.

    Each attribute is the key in lower case. `from_app` makes it; nothing else should.
    """

    jwt_secret_key: bytes = _key(DEFAULT_SECRET_KEY, read_secret, secret=True)
    jwt_secret_key_fallbacks: tuple[bytes | PairText, ...] = _key((), read_fallbacks, secret=True)
    jwt_algorithm: str = _key("HS256", one_of(*ALGORITHMS))
    jwt_private_key: PairText | None = _key(None, read_pair, secret=True)
    jwt_private_key_passphrase: bytes | None = _key(None, read_passphrase, secret=True)
    jwt_public_key: PairText | None = _key(None, read_pair)
    jwt_key_id: str | None = _key(None, read_key_id)
    jwt_jwks: Mapping[str, Any] | str | None = _key(None, read_jwks, secret=True)
    jwt_issuers: tuple[Issuer, ...] = _key((), read_issuers)
    jwt_discovery: bool = _key(False, read_boolean)
    jwt_jwks_max_age_seconds: float = _key(300, number_between(10, 7 * 86400))
    jwt_jwks_stale_seconds: float = _key(86400, number_between(10, 90 * 86400))
    jwt_jwks_route: str | None = _key(None, read_route)
    jwt_tenant_keys: Callable[..., Any] | None = _key(None, read_callable)
    jwt_expiration_hours: float = _key(24, number_between(1 / 3600, MAX_HOURS))
    jwt_leeway: float = _key(0, number_between(0, 86400))
    jwt_issuer: str | None = _key(None, read_text)
    jwt_audience: tuple[str, ...] = _key((), read_words)
    jwt_tenant_claim: tuple[str, ...] = _key((), read_places)
    jwt_user_claim: tuple[str, ...] = _key((), read_places)
    jwt_role_claim: tuple[str, ...] = _key((), read_places)
    jwt_permissions_claim: tuple[str, ...] = _key((), read_places)
    jwt_role_map: Mapping[str, str] | None = _key(None, read_role_map)
    # None: the weakest role. Empty: none, so a token must name a role.
    jwt_default_role: str | None = _key(None, read_text, blank=True)
    jwt_id_namespace: str | None = _key(None, read_namespace)
    jwt_required_claims: Mapping[str, tuple[RequiredValue, ...]] | None = _key(
        None, read_required_claims
    )
    jwt_identity: Callable[..., Any] | None = _key(None, read_identity_callable)
    jwt_max_token_bytes: int = _key(8192, whole_between(128, 2**20))

    redis_url: str = _key("redis://localhost:6379/0", read_redis_url, secret=True, blank=True)
    ratelimit_enabled: bool = _key(True, read_boolean)
    ratelimit_default: Limits = _key("50 per minute", read_limits, blank=True)
    ratelimit_tenant_default: Limits = _key("", read_limits, blank=True)
    ratelimit_endpoints: Mapping[str, tuple[Arguments, ...]] | None = _key(
        None, read_endpoint_limits
    )
    ratelimit_fair_share: float = _key(1, number_between(0.01, 1))
    ratelimit_denied: str = _key("", read_rates, blank=True)
    ratelimit_exempt_networks: tuple[Network, ...] = _key((), read_networks)
    ratelimit_headers_enabled: bool = _key(True, read_boolean)
    ratelimit_ietf_headers_enabled: bool = _key(False, read_boolean)
    ratelimit_strategy: str = _key(STRATEGIES[0], one_of(*STRATEGIES))
    ratelimit_key_prefix: str = _key("", text_of_bytes(*LIMITER_RANGES["prefix"]))
    ratelimit_store_timeout_ms: int = _key(50, whole_between(*LIMITER_RANGES["timeout_ms"]))
    ratelimit_on_store_error: str = _key(ON_STORE_ERRORS[0], one_of(*ON_STORE_ERRORS))
    # The part of what is left of a limit that a host takes from Redis at once.
    ratelimit_lease: float = _key(0, number_between(0, LEASE_PART_MAX))
    # None: as much as suits the directory that shared memory is in.
    ratelimit_shm_bytes: int | None = _key(None, whole_between(*LIMITER_RANGES["shm_bytes"]))

    auth_failure_limit: str = _key("30 per minute", read_rates, blank=True)
    auth_trusted_gateways: tuple[Network, ...] = _key((), read_networks)
    auth_roles: tuple[str, ...] = _key(DEFAULT_ROLES.names, read_words)
    # None: "admin", if that is one of the roles.
    auth_tenant_roles: tuple[str, ...] | None = _key(None, read_words, blank=True)
    auth_permissions: Mapping[str, tuple[str, ...]] | None = _key(None, read_permissions)
    auth_problem_json: bool = _key(False, read_boolean)
    auth_job_max_age_seconds: float | None = _key(None, number_between(1, MAX_HOURS * 3600))
    auth_ignore_config: tuple[str, ...] = _key((), _read_other_names)

    # None: a SQLite file in the instance folder.
    auth_session_store: Any = _key(None, read_store, secret=True)
    # Empty: derived from the keys that sign. The first one makes refresh tokens.
    auth_session_key: tuple[bytes, ...] = _key((), read_session_keys, secret=True)
    auth_session_routes: str | None = _key(None, read_plain_path("/auth"))
    auth_session_days: float = _key(30, number_between(1 / 1440, 3650))
    auth_session_max_days: float = _key(90, number_between(1 / 1440, 3650))
    auth_sessions_per_user: int | None = _key(None, whole_between(1, 100_000))
    auth_access_minutes: float = _key(15, number_between(1 / 60, 1440 * 31))
    auth_refresh_grace_seconds: float = _key(30, number_between(0, 3600))
    auth_token_locations: tuple[str, ...] = _key((HEADERS,), read_locations)
    auth_cookie_name: str = _key("fta", read_cookie_name)
    auth_cookie_samesite: str = _key("Lax", read_same_site)
    auth_revocation_max_delay_seconds: float = _key(1, number_between(0.2, 60))
    auth_on_revocation_error: str = _key("allow", one_of("allow", "deny"))
    # None: the larger of JWT_EXPIRATION_HOURS and 24. How long a token may live where sessions are
    # on, and so how long each host keeps a revocation.
    auth_token_max_hours: float | None = _key(None, number_between(1 / 60, MAX_HOURS))
    auth_password_iterations: int = _key(
        PASSWORD_ITERATIONS, whole_between(1_000, 10 * PASSWORD_ITERATIONS)
    )

    auth_traces: bool = _key(True, read_boolean)
    auth_alerts: tuple[AlertRule, ...] = _key((), read_alert_rules)
    auth_alert_webhook: str | None = _key(None, read_webhook, secret=True)
    auth_alert_webhook_key: bytes | None = _key(None, read_webhook_key, secret=True)
    auth_alert_email: tuple[str, ...] = _key((), read_mail_addresses)
    auth_alert_email_from: str | None = _key(None, read_mail_address)
    auth_alert_smtp: MailServer | None = _key(None, read_mail_server, secret=True)

    audit_log: str | None = _key(None, read_path)
    audit_chain: bool = _key(False, read_boolean)
    # Empty: derived from the keys that sign. The first one signs the chain.
    audit_key: tuple[bytes, ...] = _key((), read_session_keys, secret=True)
    audit_sink: str = _key("both", one_of("both", "audit_log"))

    auth_metrics_route: str | None = _key(None, read_route)
    # None: none lets anybody read them.
    auth_metrics_permission: str | None = _key(None, read_permission)
    auth_metrics_tenants: tuple[str, ...] = _key((), read_tenants)

    auth_console_route: str | None = _key(None, read_plain_path("/console"))
    auth_console_permission: str | None = _key(None, read_permission)

    cors_origins: tuple[str, ...] = _key(read_origins("localhost:3000"), read_origins, blank=True)
    cors_supports_credentials: bool = _key(False, read_boolean)
    cors_expose_headers: tuple[str, ...] = _key(RATE_HEADERS, read_http_tokens, blank=True)
    cors_max_age: int = _key(600, whole_between(0, 86400))
    cors_methods: tuple[str, ...] = _key(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), read_methods
    )
    cors_allow_headers: tuple[str, ...] = _key(("Content-Type", "Authorization"), read_http_tokens)
    cors_resources: tuple[str, ...] = _key(("/api/",), read_prefixes)

    flask_env: str = _key("production", read_environment)
    flask_host: str = _key("0.0.0.0", read_text)  # noqa: S104 - documented default of `make run`
    flask_port: int = _key(5000, whole_between(0, 65535))

    @classmethod
    def from_app(cls, app: Flask | None) -> Settings:
        """Read and check every key of an app; of the environment alone without one.

        :raises ConfigurationError: it names the key and says what to write instead.
        """
        settings = cls(**values_of(app))
        _check_names(settings, app)
        for check in (
            *(check_secrets, check_keys, check_fetched_keys, check_issuers, check_cors),
            *(check_claims, check_roles, check_sessions, check_alerts, check_audit, check_console),
        ):
            check(settings)
        return settings

    @property
    def development(self) -> bool:
        """Whether the rules of development apply when the app is set up.

        `AppState.development` says whether they apply while a request is served.
        """
        return self.flask_env != "production"

    @property
    def symmetric(self) -> bool:
        """Whether JWT_ALGORITHM signs with a shared secret."""
        return self.jwt_algorithm in SYMMETRIC

    @property
    def signs(self) -> bool:
        """Whether the app's own keys sign: fallbacks and JWT_JWKS verify only."""
        return self.own_secret or self.jwt_private_key is not None

    @property
    def own_secret(self) -> bool:
        """Whether JWT_SECRET_KEY is a key: it is set, or nothing else verifies tokens."""
        return self.symmetric and (
            self.jwt_secret_key != DEFAULT_SECRET_KEY
            or not (self.jwt_tenant_keys or self.jwt_jwks or self.jwt_discovery or self.jwt_issuers)
        )

    @property
    def signing_secrets(self) -> tuple[bytes, ...]:
        """What other keys are derived from: the key that signs, then the retired ones."""
        if self.own_secret:
            retired = (each for each in self.jwt_secret_key_fallbacks if isinstance(each, bytes))
            return (self.jwt_secret_key, *retired)
        return () if self.jwt_private_key is None else (self.jwt_private_key.content,)

    @property
    def secret_bytes(self) -> int:
        """The shortest secret JWT_ALGORITHM may have: its hash's length (RFC 7518, section 3.2)."""
        return int(self.jwt_algorithm[-3:]) // 8 if self.symmetric else 32

    @property
    def own_keys(self) -> bool:
        """Whether the app has keys of its own, beside those of its tenants."""
        if self.jwt_jwks or self.jwt_discovery or self.own_secret:
            return True
        return not self.symmetric and bool(self.jwt_private_key or self.jwt_public_key)

    @property
    def claim_places(self) -> dict[str, tuple[str, ...]]:
        """Where claims are that are not at their usual places."""
        places = {
            "tenant_id": self.jwt_tenant_claim,
            "user_id": self.jwt_user_claim,
            "role": self.jwt_role_claim,
            "permissions": self.jwt_permissions_claim,
        }
        return {claim: place for claim, place in places.items() if place}

    @property
    def tenant_roles(self) -> tuple[str, ...]:
        """The roles that reach the rows of their whole tenant."""
        if self.auth_tenant_roles is not None:
            return self.auth_tenant_roles
        return ("admin",) if "admin" in self.auth_roles else ()

    @property
    def token_max_hours(self) -> float:
        """How long a token may live where sessions are on."""
        if self.auth_token_max_hours is not None:
            return self.auth_token_max_hours
        return max(self.jwt_expiration_hours, 24)

    @property
    def uses_cookies(self) -> bool:
        """Whether tokens are taken from cookies."""
        return COOKIES in self.auth_token_locations

    @property
    def names_sessions(self) -> bool:
        """Whether a setting turns sessions on; `TenantAuth.session_loader` does so too."""
        return bool(
            self.auth_session_store is not None
            or self.auth_session_routes
            or self.auth_session_key
            or self.uses_cookies
        )

    def weaknesses(self) -> list[str]:
        """Return what is wrong with the secrets, one sentence each; nothing in production."""
        if not self.own_keys:
            return []
        secrets = [("JWT_SECRET_KEY", self.jwt_secret_key)] if self.own_secret else []
        secrets += [
            ("JWT_SECRET_KEY_FALLBACKS", secret)
            for secret in self.jwt_secret_key_fallbacks
            if isinstance(secret, bytes)
        ]
        return [problem for key, secret in secrets if (problem := self._weakness(key, secret))]

    def _weakness(self, key: str, secret: bytes) -> str | None:
        # The default stays known to everybody inside quotes or with a line end behind it.
        if secret.strip().strip(b"\"'").strip() == DEFAULT_SECRET_KEY:
            return f"{key} is the documented default, which everybody knows"
        if len(secret) < self.secret_bytes:
            return (
                f"{key} has {len(secret)} bytes; {self.jwt_algorithm} needs "
                f"{self.secret_bytes} or more"
            )
        return None


# Every key by its name.
KEYS = {each.name.upper(): each for each in fields(Settings)}


def values_of(app: Flask | None, names: Collection[str] = KEYS) -> dict[str, Any]:
    """Return the checked value of each key that is set, by its name in lower case.

    :raises ConfigurationError: for a value that is not valid.
    """
    config: Mapping[str, Any] = app.config if app is not None else {}
    values = {name.lower(): value for name in names if (value := _value(name, config)) is not None}
    if "FLASK_ENV" in names:
        values["flask_env"] = _environment_of(app, values.get("flask_env"))
    if app is not None and "RATELIMIT_KEY_PREFIX" in names:
        values.setdefault("ratelimit_key_prefix", _prefix_of(app.name))
    return values


def _prefix_of(name: str) -> str:
    """Return the key prefix of an app that sets none: its name, or the digest of a long name."""
    octets = name.encode("utf-8", "surrogatepass")
    _, most = LIMITER_RANGES["prefix"]
    return name if len(octets) <= most else hashlib.sha256(octets).hexdigest()


def _value(name: str, config: Mapping[str, Any]) -> Any:
    """Return the checked value of a key; None where it is not set."""
    key = KEYS[name]
    for raw in (config.get(name), os.environ.get(name)):
        if raw is None or (is_empty(raw) and not key.metadata["blank"]):
            continue
        if is_blank(raw):
            raise ConfigurationError(
                f"{name} is set to white space or to empty items only: set it to what is meant, "
                f"or remove it{', or make it empty' if key.metadata['blank'] else ''}"
            )
        try:
            return key.metadata["read"](raw)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{name} {error}") from None
    return None


def _environment_of(app: Flask | None, word: str | None) -> str:
    """Return what FLASK_ENV means for an app, as the app stands now.

    "testing" is development for as long as the app's `testing` is set; `AppState.development` asks.
    """
    if word is None:
        if app is not None and _is_on(app.debug):
            return "development"
        word = "testing"
    if word == "testing":
        return "testing" if app is not None and is_testing(app) else "production"
    return word


ROLE_KEYS = ("AUTH_ROLES", "AUTH_TENANT_ROLES", "AUTH_PERMISSIONS")


def role_settings() -> Settings:
    """Return the settings of roles that the environment alone configures; all others are defaults.

    Code outside of any app acts in a role without the other settings.

    :raises ConfigurationError: for a value that is not valid.
    """
    values = {name.lower(): _value(name, {}) for name in ROLE_KEYS}
    settings = Settings(**{name: value for name, value in values.items() if value is not None})
    check_roles(settings)
    return settings


def is_testing(app: Flask) -> bool:
    """Whether an app's `testing` is set. A text such as "false" sets nothing."""
    return _is_on(app.testing)


def _is_on(value: object) -> bool:
    return value.strip().lower() in TRUE if isinstance(value, str) else bool(value)


def says_testing(app: Flask) -> bool:
    """Whether FLASK_ENV is the word testing, whatever that means for the app now."""
    return bool(_value("FLASK_ENV", app.config) == "testing")


def names_redis(app: Flask) -> bool:
    """Whether REDIS_URL is set, if only to its default."""
    return _value("REDIS_URL", app.config) is not None


def unknown_settings(settings: Settings, app: Flask | None) -> list[Unknown]:
    """Return the names in an app's configuration that begin like ours and are not ours."""
    known = {*KEYS, *settings.auth_ignore_config}
    if app is None:
        return unknown_names({}, os.environ, known)
    return unknown_names(app.config, os.environ, known, type(app).default_config)


def _check_names(settings: Settings, app: Flask | None) -> None:
    """Raise for unknown names in production; log a warning about them in development."""
    unknown = unknown_settings(settings, app)
    if not unknown:
        return
    sentences = [each.sentence(KEYS) for each in unknown]
    if not settings.development:
        raise ConfigurationError(f"{'. '.join(sentences)}. {advice_on(unknown)}")
    for sentence in sentences:
        logger.warning("%s: it is not read, and production will not start", sentence)


def option_lines(settings: Settings) -> Iterable[str]:
    """KEY=value for every key that may be shown, for `flask auth check`."""
    for each in fields(settings):
        if each.name == "redis_url":
            url = settings.redis_url
            shown: object = describe_redis_url(url) if url else "(none)"
        elif each.repr:
            shown = _shown(getattr(settings, each.name))
        else:
            shown = "(hidden)" if getattr(settings, each.name) else "(none)"
        yield f"{each.name.upper()}={shown}"


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return ", ".join(str(_shown(each)) for each in value) or "(none)"
    if isinstance(value, Mapping):
        return json.dumps(dict(value), ensure_ascii=False, default=_shown) if value else "(none)"
    if callable(value):
        return getattr(value, "__qualname__", "(callable)")
    return "(none)" if value in (None, "") else value
