"""The names of settings: which are known, and what to say of one that is not.

A misspelt name would leave the default in force without a word: a limit, an issuer or an origin
that somebody believes to be set. So every name that begins like ours has to be one of ours, or has
to be listed in AUTH_IGNORE_CONFIG.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

PREFIXES = ("JWT_", "AUTH_", "RATELIMIT_", "CORS_")
IGNORE = "AUTH_IGNORE_CONFIG"


class Counterpart(NamedTuple):
    """What there is here for a setting of another library."""

    library: str
    advice: str  # completes "<NAME> is a setting of <library>; "


def _same(library: str, pairs: Mapping[str, str]) -> dict[str, Counterpart]:
    """Return settings for which one of ours does the same: its name, and how it differs."""
    return {name: Counterpart(library, f"{own} does the same here") for name, own in pairs.items()}


def _none(library: str, reasons: Mapping[str, str]) -> dict[str, Counterpart]:
    """Return settings that have no counterpart here, from their names to the reason."""
    return {
        name: Counterpart(library, f"it has no counterpart here: {reason}")
        for names, reason in reasons.items()
        for name in names.split()
    }


_JWT = "Flask-JWT-Extended"
_LIMITER = "Flask-Limiter"
_CORS = "Flask-Cors"

_DECORATOR = "each @rate_limit says it for its own view"
_COOKIE = "AUTH_COOKIE_NAME (the cookies have the prefixes __Host- and __Secure-)"
_CSRF = "with cookies, requests from origins that CORS_ORIGINS does not list are denied"

# The settings of the libraries that this one replaces, and of their older versions. Names that are
# settings here too, with the same meaning, are left out: JWT_ALGORITHM, CORS_ORIGINS and so on.
COUNTERPARTS: dict[str, Counterpart] = {
    **_same(
        _JWT,
        {
            "JWT_ACCESS_TOKEN_EXPIRES": "JWT_EXPIRATION_HOURS (in hours)",
            "JWT_DECODE_ALGORITHMS": "JWT_ALGORITHM (one; each key of JWT_JWKS may have its own)",
            "JWT_DECODE_AUDIENCE": "JWT_AUDIENCE",
            "JWT_ENCODE_AUDIENCE": "JWT_AUDIENCE",
            "JWT_DECODE_ISSUER": "JWT_ISSUER",
            "JWT_ENCODE_ISSUER": "JWT_ISSUER",
            "JWT_DECODE_LEEWAY": "JWT_LEEWAY (in seconds)",
            "JWT_TOKEN_LOCATION": "AUTH_TOKEN_LOCATIONS (headers, cookies or both)",
            "JWT_ACCESS_COOKIE_NAME": _COOKIE,
            "JWT_REFRESH_COOKIE_NAME": _COOKIE,
            "JWT_REFRESH_COOKIE_PATH": "AUTH_SESSION_ROUTES (the path of that cookie)",
            "JWT_COOKIE_SAMESITE": "AUTH_COOKIE_SAMESITE",
            "JWT_REFRESH_TOKEN_EXPIRES": "AUTH_SESSION_DAYS (in days since the last refresh)",
        },
    ),
    **_none(
        _JWT,
        {
            "JWT_QUERY_STRING_NAME JWT_QUERY_STRING_VALUE_PREFIX JWT_JSON_KEY": (
                "a token is taken from the Authorization header, or from a cookie"
            ),
            "JWT_HEADER_NAME JWT_HEADER_TYPE": (
                "a token is taken from 'Authorization: Bearer' (RFC 6750)"
            ),
            "JWT_ACCESS_COOKIE_PATH JWT_COOKIE_DOMAIN": (
                "the cookie of the access token is of one host and has the path /"
            ),
            "JWT_COOKIE_SECURE": (
                "cookies are Secure everywhere but on a loopback host in development"
            ),
            "JWT_SESSION_COOKIE": "a cookie lives as long as its token",
            "JWT_COOKIE_CSRF_PROTECT JWT_ACCESS_CSRF_COOKIE_NAME JWT_ACCESS_CSRF_COOKIE_PATH "
            "JWT_ACCESS_CSRF_FIELD_NAME "
            "JWT_ACCESS_CSRF_HEADER_NAME JWT_CSRF_CHECK_FORM JWT_CSRF_IN_COOKIES JWT_CSRF_METHODS "
            "JWT_REFRESH_CSRF_COOKIE_NAME JWT_REFRESH_CSRF_COOKIE_PATH "
            "JWT_REFRESH_CSRF_FIELD_NAME JWT_REFRESH_CSRF_HEADER_NAME": _CSRF,
            "JWT_REFRESH_JSON_KEY": "the refresh token is the member refresh_token of the JSON",
            "JWT_CLAIMS_IN_REFRESH_TOKEN": "a refresh token has no claims",
            "JWT_IDENTITY_CLAIM": "the identity is in the claims tenant_id, user_id and role",
            "JWT_USER_CLAIMS": "further claims are an argument of create_jwt_token",
            "JWT_ENCODE_NBF": "tokens are made without the claim nbf; one that has it is held to",
            "JWT_VERIFY_SUB": "a claim sub has to be text (RFC 7519, section 4.1.2)",
            "JWT_ERROR_MESSAGE_KEY": "denials have one documented JSON form",
            "JWT_BLACKLIST_ENABLED JWT_BLACKLIST_TOKEN_CHECKS": "each token is looked up",
        },
    ),
    **_same(
        _LIMITER,
        {
            "RATELIMIT_STORAGE_URI": "REDIS_URL",
            "RATELIMIT_STORAGE_URL": "REDIS_URL",
            "RATELIMIT_STORAGE_OPTIONS": "REDIS_URL (in its parameters)",
            "RATELIMIT_GLOBAL": "RATELIMIT_DEFAULT",
            "RATELIMIT_META": "RATELIMIT_DENIED",
            "RATELIMIT_APPLICATION": (
                "RATELIMIT_DEFAULT (one count for all views without a @rate_limit of their own)"
            ),
            "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": "RATELIMIT_ON_STORE_ERROR=memory",
            "RATELIMIT_IN_MEMORY_FALLBACK": "RATELIMIT_ON_STORE_ERROR=memory (same limits)",
            "RATELIMIT_SWALLOW_ERRORS": "RATELIMIT_ON_STORE_ERROR=allow",
            **{
                f"RATELIMIT_{of}_{name}": f"RATELIMIT_DEFAULT (a dict with {name.lower()})"
                for of in ("DEFAULTS", "APPLICATION")
                for name in ("COST", "EXEMPT_WHEN", "DEDUCT_WHEN")
            },
        },
    ),
    **_none(
        _LIMITER,
        {
            "RATELIMIT_KEY_FUNC": f"whom a limit counts, {_DECORATOR} (per=)",
            "RATELIMIT_DEFAULTS_PER_METHOD RATELIMIT_APPLICATION_PER_METHOD": (
                "RATELIMIT_DEFAULT may be a list of dicts, one for the methods of each limit"
            ),
            "RATELIMIT_REQUEST_IDENTIFIER": f"what is counted together, {_DECORATOR} (scope=)",
            "RATELIMIT_FAIL_ON_FIRST_BREACH": "all limits of a request are counted in one step",
            "RATELIMIT_ON_BREACH_CALLBACK RATELIMIT_ON_META_BREACH_CALLBACK": (
                "connect to the signal rate_limit_exceeded"
            ),
            "RATELIMIT_HEADER_LIMIT RATELIMIT_HEADER_REMAINING RATELIMIT_HEADER_RESET "
            "RATELIMIT_HEADER_RETRY_AFTER RATELIMIT_HEADER_RETRY_AFTER_VALUE": (
                "the names of the header fields are fixed"
            ),
        },
    ),
    **_same(
        _CORS,
        {
            "CORS_HEADERS": "CORS_ALLOW_HEADERS",
        },
    ),
    **_none(
        _CORS,
        {
            "CORS_SEND_WILDCARD CORS_ALWAYS_SEND": "CORS_ORIGINS='*' is in every answer",
            "CORS_VARY_HEADER": "Vary names Origin wherever the answer depends on it",
            "CORS_AUTOMATIC_OPTIONS": "preflights of existing routes are always answered",
            "CORS_INTERCEPT_EXCEPTIONS": "answers to errors always have the header fields",
            "CORS_ALLOW_PRIVATE_NETWORK": "no page is let into a private network",
        },
    ),
}

# Settings of libraries that an app uses beside this one, whose names begin like ours. They are
# ignored here: APIFlask puts them into every app.config.
NEIGHBOURS: dict[str, str] = {
    "AUTH_ERROR_DESCRIPTION": "APIFlask",
    "AUTH_ERROR_STATUS_CODE": "APIFlask",
}


class Unknown(NamedTuple):
    """A name that begins like ours and is not one of ours."""

    name: str
    place: str

    def sentence(self, known: Iterable[str]) -> str:
        """Say where it was found, and what may have been meant."""
        counterpart = COUNTERPARTS.get(self.name)
        if counterpart is not None:
            return f"{self.name} (in {self.place}) is a setting of {counterpart.library}; " + (
                counterpart.advice
            )
        return (
            f"{self.name} (in {self.place}) is no setting of this library; the nearest name is "
            f"{nearest(self.name, known)}"
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like this one."""
    return difflib.get_close_matches(name, sorted(known), n=1, cutoff=0)[0]


def unknown_names(
    config: Mapping[str, object],
    environ: Mapping[str, str],
    known: Collection[str],
    defaults: Mapping[str, object] | None = None,
) -> list[Unknown]:
    """Return the names that begin like ours and are not ours, in alphabetical order.

    None in app.config is no setting. An empty environment variable is one: under the right name it
    could mean something. A value of app.config that equals the default of the app's class was set
    by nobody.
    """
    found: dict[object, str] = dict.fromkeys(environ, "the environment")
    found |= {
        name: "app.config"
        for name, value in config.items()
        if value is not None and not _is_default(name, value, defaults or {})
    }
    return [
        Unknown(name, place)
        for name, place in sorted(found.items(), key=lambda item: str(item[0]))
        if isinstance(name, str)
        and name.startswith(PREFIXES)
        and name not in known
        and name not in NEIGHBOURS
    ]


def _is_default(name: str, value: object, defaults: Mapping[str, object]) -> bool:
    """Whether a value is the default that the class of the app gives to all its apps."""
    if name not in defaults:
        return False
    default = defaults[name]
    return value is default or (type(value) is type(default) and value == default)


def advice_on(unknown: Iterable[Unknown]) -> str:
    """Return what to do about unknown names."""
    names = ",".join(each.name for each in unknown)
    return (
        "Correct or remove what is meant for this library; what another library of this app or "
        f"another program of this machine reads, list in {IGNORE}: {IGNORE}={names}"
    )
