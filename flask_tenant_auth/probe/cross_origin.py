"""Checks of CORS, as a page in a browser sees it (Fetch standard, CORS protocol)."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from .exchange import Answer, shown
from .outcome import Check, NotAsked, Problem
from .session import Session, seen

_ALLOW_ORIGIN = "Access-Control-Allow-Origin"
_ALLOW_CREDENTIALS = "Access-Control-Allow-Credentials"


def _path(session: Session) -> str:
    """Return the route that a page asks.

    :raises NotAsked: where there is none.
    """
    prefixes = session.facts.cors_paths
    for path in (*session.facts.protected, *session.facts.public):
        if any(path.startswith(each) or path == each.rstrip("/") for each in prefixes):
            return path
    raise NotAsked("no GET route without parameters is below CORS_RESOURCES")


def _listed(session: Session) -> str:
    """Return an origin whose pages may read answers.

    :raises NotAsked: where there is none.
    """
    for origin in session.facts.cors_origins:
        return (
            f"https://{_name()}.example" if origin == "*" else origin.replace("*.", f"{_name()}.")
        )
    raise NotAsked("CORS_ORIGINS is empty")


def _name() -> str:
    return f"a{secrets.token_hex(6)}"


def _foreign(session: Session) -> Iterator[str]:
    """Yield origins whose pages may not read answers, some of them close to one that may."""
    yield f"https://{_name()}.example"
    yield "null"
    for origin in session.facts.cors_origins:
        parts = urlsplit(origin.replace("*.", ""))
        yield f"{parts.scheme}://{parts.hostname}.{_name()}.example"
        yield f"{parts.scheme}://{_name()}{parts.netloc}"
        return


def _reads(answer: Answer, origin: str) -> bool:
    """Whether a page of an origin may read an answer."""
    value = (answer.get(_ALLOW_ORIGIN) or "").strip()
    return value in ("*", origin)


def _came(answer: Answer) -> str:
    value = answer.get(_ALLOW_ORIGIN)
    return f"no {_ALLOW_ORIGIN}" if value is None else f"{_ALLOW_ORIGIN}: {shown(value)}"


def look_at_listed_origin(session: Session) -> Iterator[Problem]:
    """Yield what keeps a page of a listed origin from reading an answer."""
    path, origin = _path(session), _listed(session)
    answer = session.get(path, {"Origin": origin})
    asked = f"GET {path} as a page of {origin}"
    if not _reads(answer, origin):
        yield Problem(
            asked,
            _came(answer),
            "set CORS_ORIGINS and CORS_RESOURCES in the service as here, and let the proxy neither "
            f"add nor remove {_ALLOW_ORIGIN}: two values are as none",
        )
        return
    if answer.get(_ALLOW_ORIGIN) != "*" and "origin" not in _words(answer.get("Vary")):
        yield Problem(
            asked,
            f"Vary: {shown(answer.get('Vary') or '')}",
            "let the Vary of the app pass: a cache may else give the answer to a page of another "
            "origin",
        )
    credentials = (answer.get(_ALLOW_CREDENTIALS) or "").strip() == "true"
    if credentials != session.facts.cors_credentials:
        yield Problem(
            asked,
            f"{_ALLOW_CREDENTIALS}: {shown(answer.get(_ALLOW_CREDENTIALS) or '(none)')}",
            f"set CORS_SUPPORTS_CREDENTIALS in the service as here, and let the proxy not add "
            f"{_ALLOW_CREDENTIALS}",
        )


def _words(value: str | None) -> set[str]:
    return {each.strip().lower() for each in (value or "").split(",")}


def look_at_foreign_origins(session: Session) -> Iterator[Problem]:
    """Yield a problem where pages of an origin that is not listed may read an answer."""
    path = _path(session)
    if "*" in session.facts.cors_origins:
        raise NotAsked("CORS_ORIGINS is *, which lists every origin")
    for origin in _foreign(session):
        answer = seen(session.client.ask("OPTIONS", path, _preflight(origin)))
        for asked, each in (
            (f"OPTIONS {path} (a preflight) as a page of {origin}", answer),
            (f"GET {path} as a page of {origin}", session.get(path, {"Origin": origin})),
        ):
            if _reads(each, origin):
                yield Problem(
                    asked,
                    _came(each),
                    "set CORS_ORIGINS to the origins of your pages, and let no other library and "
                    f"no proxy add {_ALLOW_ORIGIN}",
                )
                return


def _preflight(origin: str) -> Mapping[str, str]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }


def look_at_preflight(session: Session) -> Iterator[Problem]:
    """Yield what keeps a page of a listed origin from sending a token."""
    path, origin = _path(session), _listed(session)
    answer = seen(session.client.ask("OPTIONS", path, _preflight(origin)))
    asked = f"OPTIONS {path} (a preflight) as a page of {origin}"
    if not 200 <= answer.status < 300:
        yield Problem(
            asked,
            f"{answer}",
            "let the proxy pass OPTIONS without credentials to the app, which answers it itself",
        )
    elif not _reads(answer, origin):
        yield Problem(asked, _came(answer), "let the proxy pass OPTIONS to the app, and not answer")
    elif "authorization" not in _words(answer.get("Access-Control-Allow-Headers")):
        yield Problem(
            asked,
            f"Access-Control-Allow-Headers: "
            f"{shown(answer.get('Access-Control-Allow-Headers') or '(none)')}",
            "list Authorization in CORS_ALLOW_HEADERS: an asterisk does not stand for it",
        )


CHECKS = (
    Check("cors-listed", "pages of CORS_ORIGINS may read answers", look_at_listed_origin),
    Check("cors-foreign", "pages of other origins may not", look_at_foreign_origins),
    Check("cors-preflight", "pages of CORS_ORIGINS may send a token", look_at_preflight),
)
