"""Every key, its default and its check, in one frozen `Settings`, read once per app.

A value comes from ``app.config``, else from the environment, else it is the default. None, and an
empty string where empty says nothing, count as not set. Whatever cannot work is refused here, with
a `ConfigurationError` that names the key and what to write instead; no later code checks again.
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

from ._core import parse_rates
from .errors import ConfigurationError

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
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
ANY_ORIGIN = "*"

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_DEVELOPMENT = frozenset({"development", "testing", "test"})
_HTTP_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_NO_ORIGIN = re.compile(r"[/?#@\\\s]")  # what urlsplit would take, or take away, in a host
_DEFAULT_PORTS = {"http": 80, "https": 443}
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")
_MAX_HOURS = 24 * 366 * 100


# Readers: a raw value in, the checked value out. A reader's error completes "<KEY> ...".


def _text(raw: Any) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"must be text, not {type(raw).__name__}")
    return raw.strip()


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
        raise ValueError(f"must be a number from {low:g} to {high:g}, not {raw!r}")
    return number


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
    words = _words(raw)
    for word in words:
        if not _HTTP_TOKEN.fullmatch(word):
            raise ValueError(f"holds {word!r}, which is no HTTP token (RFC 9110, section 5.6.2)")
    return words


def _methods(raw: Any) -> tuple[str, ...]:
    return tuple(word.upper() for word in _http_tokens(raw))


def _secret(raw: Any) -> bytes:
    if isinstance(raw, str):
        return raw.encode("utf-8", "surrogatepass")
    if isinstance(raw, bytes):
        return raw
    raise TypeError(f"must be str or bytes, not {type(raw).__name__}")


def _secrets(raw: Any) -> tuple[bytes, ...]:
    if isinstance(raw, bytes):
        raw = [raw]
    return tuple(_fallback(item) for item in _items(raw))


def _fallback(raw: Any) -> bytes:
    """Take a secret, or what `_pem` takes: the path of a key never becomes a secret itself."""
    secret = _secret(raw)
    named = secret.endswith(b".pem") or os.path.isfile(secret)  # noqa: PTH113 - Path takes no bytes
    return _pem(secret) if named or is_pem(secret) else secret


def _pem(raw: Any) -> bytes:
    """PEM text, also with its line ends written as backslash-n, or the path of a PEM file."""
    content = _secret(raw).strip()
    if content.startswith(b"-----BEGIN "):
        return content.replace(b"\\n", b"\n") + b"\n"
    try:
        with open(content, "rb") as file:  # noqa: PTH123 - Path takes no bytes
            return file.read()
    except (OSError, ValueError):
        raise ValueError("is neither PEM text nor the path of a readable PEM file") from None


def _jwks(raw: Any) -> Mapping[str, Any] | str:
    if isinstance(raw, Mapping):
        return dict(raw)
    return _text(raw)


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
    """Take a URL as it is: look at its scheme only, and repeat nothing of it in an error."""
    url = _text(raw)
    if url and url.partition("://")[0].lower() not in REDIS_SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in REDIS_SCHEMES)
        raise ValueError(f"must begin with one of {schemes}, or be empty for no Redis")
    return url


def _environment(raw: Any) -> str:
    """Whatever is not known to be development is production: a misspelt word opens nothing."""
    return "development" if _text(raw).lower() in _DEVELOPMENT else "production"


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _serialized_origin(scheme: str, rest: str, given: str) -> str:
    """Write an origin as a browser would (RFC 6454, section 6.2)."""
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or "*" in rest or _NO_ORIGIN.search(rest) or rest.endswith(":"):
        raise ValueError(
            f"holds {given!r}: an origin is scheme://host or scheme://host:port, "
            "with no path and no pattern"
        )
    host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    if port is None or port == _DEFAULT_PORTS.get(scheme):
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{port}"


def _origins(raw: Any) -> tuple[str, ...]:
    """Return serialized origins, or ``("*",)``.

    Without a scheme, a loopback host stands for http and https, any other host for https alone.
    """
    origins: list[str] = []
    for item in _words(raw):
        if item == ANY_ORIGIN:
            return (ANY_ORIGIN,)
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
    return tuple(origins)


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

    jwt_secret_key: bytes = _key(DEFAULT_SECRET_KEY, _secret, secret=True)
    jwt_secret_key_fallbacks: tuple[bytes, ...] = _key((), _secrets, secret=True)
    jwt_algorithm: str = _key("HS256", _one_of(*ALGORITHMS))
    jwt_private_key: bytes | None = _key(None, _pem, secret=True)
    jwt_public_key: bytes | None = _key(None, _pem)
    jwt_jwks: Mapping[str, Any] | str | None = _key(None, _jwks, secret=True)
    jwt_jwks_route: str | None = _key(None, _route)
    jwt_tenant_keys: Callable[..., Any] | None = _key(None, _callable)
    jwt_expiration_hours: float = _key(24, _number_between(1 / 3600, _MAX_HOURS))
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
    ratelimit_shm_bytes: int | None = _key(None, _whole_between(2**16, 2**32))

    auth_failure_limit: str = _key("30 per minute", _rates, blank=True)
    auth_trusted_gateways: tuple[Network, ...] = _key((), _networks)

    audit_log: str | None = _key(None, _text)

    cors_origins: tuple[str, ...] = _key(_origins("localhost:3000"), _origins, blank=True)
    cors_supports_credentials: bool = _key(False, _boolean)
    cors_expose_headers: tuple[str, ...] = _key(RATE_HEADERS, _http_tokens, blank=True)
    cors_max_age: int = _key(600, _whole_between(0, 86400))
    cors_methods: tuple[str, ...] = _key(("GET", "POST", "PUT", "DELETE", "OPTIONS"), _methods)
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
        for check in (_check_secrets, _check_keys, _check_cors):
            check(settings)
        return settings

    @property
    def development(self) -> bool:
        """Whether conveniences that trust the client are on."""
        return self.flask_env == "development"

    @property
    def symmetric(self) -> bool:
        """Whether JWT_ALGORITHM signs with a shared secret."""
        return self.jwt_algorithm in SYMMETRIC

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
            if not is_pem(secret)
        ]
        return [problem for key, secret in secrets if (problem := self._weakness(key, secret))]

    def _weakness(self, key: str, secret: bytes) -> str | None:
        if secret.strip() == DEFAULT_SECRET_KEY:  # a file's line end makes it no secret
            return f"{key} is the documented default, which everybody knows"
        if len(secret) < self.secret_bytes:
            return (
                f"{key} has {len(secret)} bytes; {self.jwt_algorithm} needs "
                f"{self.secret_bytes} or more"
            )
        return None


def is_pem(key: bytes) -> bool:
    """Whether a key is PEM text rather than a shared secret."""
    return key.lstrip().startswith(b"-----BEGIN ")


def _values(app: Flask | None) -> dict[str, Any]:
    config: Mapping[str, Any] = app.config if app is not None else {}
    values: dict[str, Any] = {}
    for each in fields(Settings):
        key = each.name.upper()
        for raw in (config.get(key), os.environ.get(key)):
            if raw is None or (_is_empty(raw) and not each.metadata["blank"]):
                continue
            try:
                values[each.name] = each.metadata["read"](raw)
            except (TypeError, ValueError) as error:
                raise ConfigurationError(f"{key} {error}") from None
            break
    if app is not None:
        if app.debug or app.testing:
            values.setdefault("flask_env", "development")
        values.setdefault("ratelimit_key_prefix", app.name)
    return values


def _check_secrets(settings: Settings) -> None:
    weaknesses = settings.weaknesses()
    if weaknesses and not settings.development:
        raise ConfigurationError(
            f"{weaknesses[0]}. Make a key with `flask auth generate-key`, or with "
            "`python -c 'import secrets; print(secrets.token_urlsafe(64))'`, and set it; "
            "or set FLASK_ENV=development if this is a development machine"
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
    if settings.cors_supports_credentials and ANY_ORIGIN in settings.cors_origins:
        raise ConfigurationError(
            "CORS_ORIGINS is '*' while CORS_SUPPORTS_CREDENTIALS is true, which would let every "
            "site act as the user: list the origins, or turn the credentials off"
        )


def redacted_url(url: str) -> str:
    """Return a store's URL without its password and parameters, fit to be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


def option_lines(settings: Settings) -> Iterable[str]:
    """KEY=value for every key that may be shown, for `flask auth check`."""
    for each in fields(settings):
        if each.name == "redis_url":
            shown: object = redacted_url(settings.redis_url) if settings.redis_url else "(none)"
        elif each.repr:
            shown = _shown(getattr(settings, each.name))
        else:
            shown = "(hidden)" if getattr(settings, each.name) else "(none)"
        yield f"{each.name.upper()}={shown}"


def _shown(value: object) -> object:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "(none)"
    if isinstance(value, bytes):
        return "(PEM)"
    if callable(value):
        return getattr(value, "__qualname__", "(callable)")
    return "(none)" if value in (None, "") else value
