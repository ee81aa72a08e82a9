"""Every key, its default and its check, in one frozen `Settings`, read once per app.

A value comes from ``app.config``, else from the environment, else it is the default. None, and an
empty string where empty says nothing, count as not set; white space is no empty string. Whatever
cannot work is refused here, with a `ConfigurationError` that names the key and what to write
instead; no later code checks again.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

from .._core import SHM_BYTES_MAX, SHM_BYTES_MIN, describe_redis_url, parse_rates
from ..audit import logger
from ..errors import ConfigurationError
from .key_sources import (
    PairText,
    read_fallbacks,
    read_jwks,
    read_pair,
    read_passphrase,
    read_secret,
)
from .names import Unknown, unknown_names, way_out

if TYPE_CHECKING:
    from flask import Flask

T = TypeVar("T")
Network: TypeAlias = IPv4Network | IPv6Network
Reader: TypeAlias = Callable[[Any], T]

DEFAULT_SECRET_KEY = b"your-secret-key-change-in-production"
SYMMETRIC = ("HS256", "HS384", "HS512")
ALGORITHMS = (
    *SYMMETRIC,
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
STRATEGIES = ("fixed-window", "sliding-window-counter", "gcra")
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
ANY = "*"
ANY_SUBDOMAIN = "*."

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NO_ORIGIN = re.compile(r"[/?#@\\\s]")  # what urlsplit would take, or take away, in a host
_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
# IDNA 2003, which Python has, makes another name of these than browsers do (UTS 46, section 7).
_AMBIGUOUS_IN_HOSTS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
_PATTERN_OR_SPACE = frozenset("*?[]() \t\r\n")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
MAX_HOURS = 24 * 366 * 100


# Readers: a raw value in, the checked value out. A reader's error completes "<KEY> ...".


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {type(raw).__name__}")
    try:
        raw.encode()
    except UnicodeEncodeError:  # as octets of the environment that are no UTF-8
        raise ValueError("must be Unicode text, and holds octets that are no UTF-8") from None
    return raw.strip()


def _path(raw: Any) -> str:
    """Take a path as the file system has it, whatever octets it consists of."""
    if not isinstance(raw, str | os.PathLike) or not isinstance(os.fspath(raw), str):
        raise TypeError(f"must be a path, not {type(raw).__name__}")
    return os.fspath(raw).strip()


def _boolean(raw: Any) -> bool:
    if isinstance(raw, int) and raw in (0, 1):  # bool, and what app.config.from_prefixed_env reads
        return bool(raw)
    word = raw.strip().lower() if isinstance(raw, str) else None
    if word not in _TRUE | _FALSE:
        raise ValueError(f"must be true or false, not {raw!r}")
    return word in _TRUE


def _number(raw: Any, low: float, high: float) -> float:
    try:
        number = math.nan if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"must be a number from {_plain(low)} to {_plain(high)}, not {raw!r}")
    return number


def _plain(number: float) -> str:
    """Write a bound of a range; 4294967296 and not 4.29497e+09."""
    return str(int(number)) if float(number).is_integer() else f"{number:g}"


def _number_between(low: float, high: float) -> Reader[float]:
    return lambda raw: _number(raw, low, high)


def _whole_between(low: int, high: int) -> Reader[int]:
    def read(raw: Any) -> int:
        number = _number(raw, low, high)
        if not number.is_integer():
            raise ValueError(f"must be a whole number, not {raw!r}")
        return int(number)

    return read


def _one_of(*choices: str) -> Reader[str]:
    def read(raw: Any) -> str:
        word = _text(raw)
        if word not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}, not {raw!r}")
        return word

    return read


def _is_empty(raw: Any) -> bool:
    return isinstance(raw, str | bytes) and not raw


def _is_blank(raw: Any) -> bool:
    """Whether text holds something, and that is white space and commas only; a list likewise.

    It is what a template leaves of a variable that is not set.
    """
    if isinstance(raw, list | tuple | set | frozenset):
        return bool(raw) and all(_is_empty(item) or _is_blank(item) for item in raw)
    if isinstance(raw, bytes):
        return bool(raw) and not raw.replace(b",", b" ").strip()
    return isinstance(raw, str) and bool(raw) and not raw.replace(",", " ").strip()


def _items(raw: Any) -> list[Any]:
    """Take a comma list, or a list, tuple or set, whose items stay as they are; no empty ones."""
    if isinstance(raw, str):
        raw = [item.strip() for item in raw.split(",")]
    elif not isinstance(raw, list | tuple | set | frozenset):
        raise TypeError(f"must be a comma list or a list, not {type(raw).__name__}")
    return [item for item in raw if not _is_empty(item)]


def _words(raw: Any) -> tuple[str, ...]:
    return tuple(word for item in _items(raw) if (word := _text(item)))


def _http_tokens(raw: Any) -> tuple[str, ...]:
    """Return HTTP tokens, or ``("*",)``. An asterisk is a character of tokens, but of none here."""
    words = _words(raw)
    for word in words:
        if not is_http_token(word):
            raise ValueError(f"holds {word!r}, which is no HTTP token (RFC 9110, section 5.6.2)")
        if ANY in word and word != ANY:
            raise ValueError(f"holds {word!r}: write whole names, or '*' alone for all")
    return (ANY,) if ANY in words else words


def is_http_token(word: str) -> bool:
    """Whether this can be a method or the name of a header field (RFC 9110, section 5.6.2)."""
    return _HTTP_TOKEN.fullmatch(word) is not None


def _methods(raw: Any) -> tuple[str, ...]:
    return tuple(word.upper() for word in _http_tokens(raw))


def _route(raw: Any) -> str:
    route = _text(raw)
    if not route.startswith("/"):
        raise ValueError(f"must begin with a slash, as '/.well-known/jwks.json', not {raw!r}")
    return route


def _callable(raw: Any) -> Callable[..., Any]:
    if not callable(raw):
        raise TypeError(f"must be a callable of tenant_id and kid, not {type(raw).__name__}")
    function: Callable[..., Any] = raw
    return function


def _rates(raw: Any) -> str:
    text = _text(raw)
    if text:
        parse_rates(text)
    return text


def _rates_or_callable(raw: Any) -> str | Callable[..., str | None]:
    if callable(raw):
        function: Callable[..., str | None] = raw
        return function
    return _rates(raw)


def _network(text: str) -> Network:
    """Take an IPv4 network as such also where it is written as one of IPv6 (RFC 4291, 2.5.5.2)."""
    network = ip_network(text)
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        first = network.network_address.ipv4_mapped
        return ip_network(f"{first}/{network.prefixlen - _IPV4_MAPPED.prefixlen}")
    return network


def _networks(raw: Any) -> tuple[Network, ...]:
    return tuple(_network(word) for word in _words(raw))


def _redis_url(raw: Any) -> str:
    """Take a URL that the core can read; an error repeats nothing of it."""
    url = _text(raw)
    if url:
        try:
            describe_redis_url(url)
        except ValueError as error:
            raise ValueError(f"cannot be used: {error} (empty is for no Redis)") from None
    return url


def _environment(raw: Any) -> str:
    """Whatever is not known to be development is production: a misspelt word opens nothing."""
    word = _text(raw).lower()
    return word if word in ("development", "testing") else "production"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _serialized_origin(scheme: str, rest: str, given: str) -> str:
    """Write an origin as a browser would (RFC 6454, section 6.2), perhaps after ``*.``."""
    below = rest.startswith(ANY_SUBDOMAIN)
    place = rest.removeprefix(ANY_SUBDOMAIN)
    try:
        parts = urlsplit(f"{scheme}://{place}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or ANY in place or _NO_ORIGIN.search(place) or place.endswith(":"):
        raise ValueError(
            f"holds {given!r}: an origin is scheme://host or scheme://host:port, with no path and "
            "no pattern but '*.' before the host, as https://*.example.com"
        )
    host = f"[{host}]" if ":" in host else _ascii_host(host, given)
    if below:
        _require_domain(host, given)
        host = ANY_SUBDOMAIN + host
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def _ascii_host(host: str, given: str) -> str:
    if _AMBIGUOUS_IN_HOSTS & set(host):
        raise ValueError(
            f"holds {given!r}, whose host browsers write in another way than older software: "
            "write it in its ASCII form, which begins with xn--"
        )
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise ValueError(f"holds {given!r}: an origin is scheme://host, and this is no host")
    return ascii_host


def _require_domain(host: str, given: str) -> None:
    """Refuse ``*.`` before what owns no names, or before everybody's."""
    *above, top = host.split(".")
    if host.startswith("[") or top[:1].isdigit():
        raise ValueError(f"holds {given!r}: an IP address has no names below it")
    if not top:
        raise ValueError(f"holds {given!r}: write the host without the dot at its end")
    if not above and top != "localhost":
        raise ValueError(
            f"holds {given!r}, which is every host of .{top}, and no pattern for the hosts of one "
            "owner: write at least two names after '*.', as https://*.example.com"
        )


def _origins(raw: Any) -> tuple[str, ...]:
    """Return serialized origins, or ``("*",)``.

    Without a scheme, a loopback host stands for http and https, any other host for https alone.
    """
    origins: list[str] = []
    for item in _words(raw):
        if item == ANY:
            origins.append(ANY)
            continue
        if item.lower() == "null":
            raise ValueError("holds 'null', which every sandboxed page of anybody sends: remove it")
        scheme, separator, rest = item.partition("://")
        if separator:
            origins.append(_serialized_origin(scheme.lower(), rest, item))
            continue
        secure = _serialized_origin("https", item, item)
        origins.append(secure)
        if _is_loopback(urlsplit(secure).hostname or ""):
            origins.append(_serialized_origin("http", item, item))
    return (ANY,) if ANY in origins else tuple(origins)


def _foreign_names(raw: Any) -> tuple[str, ...]:
    """Names of settings that are not ours. A pattern would let misspelt names through again."""
    words = _words(raw)
    for word in words:
        if set(word) & _PATTERN_OR_SPACE:
            raise ValueError(f"holds {word!r}: list whole names, with no pattern")
        if word in KEYS:
            raise ValueError(f"holds {word}, which is a setting of this library: remove it")
    return words


def _prefixes(raw: Any) -> tuple[str, ...]:
    """Path prefixes. A trailing ``*`` is allowed, as people write it; other patterns are not."""
    prefixes = []
    for item in _words(raw):
        prefix = item[:-1] if item.endswith("/*") else item
        prefix = "/" if prefix == "*" else prefix
        if not prefix.startswith("/") or set(prefix) & set("*^$()[]?\\"):
            raise ValueError(f"holds {item!r}: write a plain path prefix as '/api/'")
        prefixes.append(prefix)
    return tuple(prefixes)


def _key(default: Any, read: Reader[Any], *, secret: bool = False, blank: bool = False) -> Any:
    """One key. secret: never shown; blank: an empty string is a value of its own."""
    return field(default=default, repr=not secret, metadata={"read": read, "blank": blank})


# ruff: noqa: RUF009 - _key() makes the dataclass field that it is the default of
@dataclass(frozen=True, kw_only=True)
class Settings:
    """One app's configuration: checked, complete and unchangeable.

    Each attribute is the key in lower case. `from_app` makes it; nothing else should.
    """

    jwt_secret_key: bytes = _key(DEFAULT_SECRET_KEY, read_secret, secret=True)
    jwt_secret_key_fallbacks: tuple[bytes | PairText, ...] = _key((), read_fallbacks, secret=True)
    jwt_algorithm: str = _key("HS256", _one_of(*ALGORITHMS))
    jwt_private_key: PairText | None = _key(None, read_pair, secret=True)
    jwt_private_key_passphrase: bytes | None = _key(None, read_passphrase, secret=True)
    jwt_public_key: PairText | None = _key(None, read_pair)
    jwt_jwks: Mapping[str, Any] | str | None = _key(None, read_jwks, secret=True)
    jwt_jwks_route: str | None = _key(None, _route)
    jwt_tenant_keys: Callable[..., Any] | None = _key(None, _callable)
    jwt_expiration_hours: float = _key(24, _number_between(1 / 3600, MAX_HOURS))
    jwt_leeway: float = _key(0, _number_between(0, 86400))
    jwt_issuer: str | None = _key(None, _text)
    jwt_audience: tuple[str, ...] = _key((), _words)
    jwt_max_token_bytes: int = _key(8192, _whole_between(128, 2**20))

    redis_url: str = _key("redis://localhost:6379/0", _redis_url, secret=True, blank=True)
    ratelimit_enabled: bool = _key(True, _boolean)
    ratelimit_default: str | Callable[..., str | None] = _key(
        "50 per minute", _rates_or_callable, blank=True
    )
    ratelimit_tenant_default: str = _key("", _rates, blank=True)
    ratelimit_fair_share: float = _key(1, _number_between(0.01, 1))
    ratelimit_headers_enabled: bool = _key(True, _boolean)
    ratelimit_ietf_headers_enabled: bool = _key(False, _boolean)
    ratelimit_strategy: str = _key("fixed-window", _one_of(*STRATEGIES))
    ratelimit_key_prefix: str = _key("", _text)
    ratelimit_store_timeout_ms: int = _key(50, _whole_between(1, 60_000))
    ratelimit_on_store_error: str = _key("memory", _one_of("memory", "allow", "deny"))
    # None: as much as suits the directory that shared memory is in.
    ratelimit_shm_bytes: int | None = _key(None, _whole_between(SHM_BYTES_MIN, SHM_BYTES_MAX))

    auth_failure_limit: str = _key("30 per minute", _rates, blank=True)
    auth_trusted_gateways: tuple[Network, ...] = _key((), _networks)
    auth_ignore_config: tuple[str, ...] = _key((), _foreign_names)

    audit_log: str | None = _key(None, _path)

    cors_origins: tuple[str, ...] = _key(_origins("localhost:3000"), _origins, blank=True)
    cors_supports_credentials: bool = _key(False, _boolean)
    cors_expose_headers: tuple[str, ...] = _key(RATE_HEADERS, _http_tokens, blank=True)
    cors_max_age: int = _key(600, _whole_between(0, 86400))
    cors_methods: tuple[str, ...] = _key(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), _methods
    )
    cors_allow_headers: tuple[str, ...] = _key(("Content-Type", "Authorization"), _http_tokens)
    cors_resources: tuple[str, ...] = _key(("/api/",), _prefixes)

    flask_env: str = _key("production", _environment)
    flask_host: str = _key("0.0.0.0", _text)  # noqa: S104 - documented default of `make run`
    flask_port: int = _key(5000, _whole_between(0, 65535))

    @classmethod
    def from_app(cls, app: Flask | None) -> Settings:
        """Read and check every key of an app; of the environment alone without one.

        :raises ConfigurationError: it names the key and says what to write instead.
        """
        settings = cls(**_values(app))
        _check_names(settings, app)
        for check in (_check_secrets, _check_keys, _check_cors):
            check(settings)
        return settings

    @property
    def development(self) -> bool:
        """Whether the app is held to the rules of development when it is set up.

        `AppState.development` says whether it is while a request is served.
        """
        return self.flask_env != "production"

    @property
    def symmetric(self) -> bool:
        """Whether JWT_ALGORITHM signs with a shared secret."""
        return self.jwt_algorithm in SYMMETRIC

    @property
    def signs(self) -> bool:
        """Whether the app's own keys sign: fallbacks and JWT_JWKS verify only."""
        return self.symmetric or self.jwt_private_key is not None

    @property
    def secret_bytes(self) -> int:
        """The shortest secret JWT_ALGORITHM may have: its hash's length (RFC 7518, section 3.2)."""
        return int(self.jwt_algorithm[-3:]) // 8 if self.symmetric else 32

    @property
    def own_keys(self) -> bool:
        """Whether the app has keys of its own, beside those of its tenants."""
        if not self.symmetric:
            return bool(self.jwt_private_key or self.jwt_public_key or self.jwt_jwks)
        return self.jwt_tenant_keys is None or self.jwt_secret_key != DEFAULT_SECRET_KEY

    def weaknesses(self) -> list[str]:
        """Say what is wrong with the secrets, one sentence each. In production nothing is."""
        if not self.own_keys:
            return []
        secrets = [("JWT_SECRET_KEY", self.jwt_secret_key)] if self.symmetric else []
        secrets += [
            ("JWT_SECRET_KEY_FALLBACKS", secret)
            for secret in self.jwt_secret_key_fallbacks
            if isinstance(secret, bytes)
        ]
        return [problem for key, secret in secrets if (problem := self._weakness(key, secret))]

    def _weakness(self, key: str, secret: bytes) -> str | None:
        # A file's line end or quotes make it no secret.
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


def _values(app: Flask | None) -> dict[str, Any]:
    config: Mapping[str, Any] = app.config if app is not None else {}
    values = {
        key.name: value for name, key in KEYS.items() if (value := _value(name, config)) is not None
    }
    values["flask_env"] = _environment_of(app, values.get("flask_env"))
    if app is not None:
        values.setdefault("ratelimit_key_prefix", app.name)
    return values


def _value(name: str, config: Mapping[str, Any]) -> Any:
    """Return what is set for a key, checked; None: nothing is."""
    key = KEYS[name]
    for raw in (config.get(name), os.environ.get(name)):
        if raw is None or (_is_empty(raw) and not key.metadata["blank"]):
            continue
        if _is_blank(raw):
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


def is_testing(app: Flask) -> bool:
    """Whether an app's `testing` is set. A text such as "false" sets nothing."""
    return _is_on(app.testing)


def _is_on(value: object) -> bool:
    return value.strip().lower() in _TRUE if isinstance(value, str) else bool(value)


def says_testing(app: Flask) -> bool:
    """Whether FLASK_ENV is the word testing, whatever that means for the app now."""
    return bool(_value("FLASK_ENV", app.config) == "testing")


def unknown_settings(settings: Settings, app: Flask | None) -> list[Unknown]:
    """Return the names in an app's configuration that begin as ours do and are not ours."""
    known = {*KEYS, *settings.auth_ignore_config}
    if app is None:
        return unknown_names({}, os.environ, known)
    return unknown_names(app.config, os.environ, known, type(app).default_config)


def _check_names(settings: Settings, app: Flask | None) -> None:
    """Stop a production app that has names which are not known; in development, warn of them."""
    unknown = unknown_settings(settings, app)
    if not unknown:
        return
    sentences = [each.sentence(KEYS) for each in unknown]
    if not settings.development:
        raise ConfigurationError(f"{'. '.join(sentences)}. {way_out(unknown)}")
    for sentence in sentences:
        logger.warning("%s: it is not read, and production will not start", sentence)


def _check_secrets(settings: Settings) -> None:
    weaknesses = settings.weaknesses()
    if weaknesses and not settings.development:
        raise ConfigurationError(
            f"{weaknesses[0]}. Make a key with `flask auth generate-key`, or with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(64))'`, and set it; "
            "or set FLASK_ENV=development if this is a development machine (FLASK_ENV=testing is "
            "production unless TESTING is set before TenantAuth)"
        )


def _check_keys(settings: Settings) -> None:
    if not settings.symmetric and not settings.own_keys and settings.jwt_tenant_keys is None:
        raise ConfigurationError(
            f"JWT_ALGORITHM {settings.jwt_algorithm} needs a key: set JWT_PRIVATE_KEY to sign and "
            "verify, or JWT_PUBLIC_KEY or JWT_JWKS to verify only"
        )
    if settings.symmetric and (settings.jwt_private_key or settings.jwt_public_key):
        raise ConfigurationError(
            f"JWT_ALGORITHM {settings.jwt_algorithm} signs with JWT_SECRET_KEY: set it to the "
            "algorithm of JWT_PRIVATE_KEY and JWT_PUBLIC_KEY (RS256, ES256, ...), or remove them"
        )


def _check_cors(settings: Settings) -> None:
    if not settings.cors_supports_credentials:
        return
    if ANY in settings.cors_origins:
        raise ConfigurationError(
            "CORS_ORIGINS is '*' while CORS_SUPPORTS_CREDENTIALS is true, which would let every "
            "site act as the user: list the origins, or turn the credentials off"
        )
    if ANY in settings.cors_expose_headers:
        raise ConfigurationError(
            "CORS_EXPOSE_HEADERS is '*' while CORS_SUPPORTS_CREDENTIALS is true, where browsers "
            "take it for the name of a header field: list the names"
        )


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
        return ", ".join(map(str, value)) or "(none)"
    if callable(value):
        return getattr(value, "__qualname__", "(callable)")
    return "(none)" if value in (None, "") else value
