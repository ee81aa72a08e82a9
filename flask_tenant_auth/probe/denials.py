"""Checks of what a stranger gets of the routes that ask for an identity."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .exchange import Answer, shown
from .outcome import Check, NotAsked, Problem
from .session import Session

_JSON, _PROBLEM = "application/json", "application/problem+json"
_BEARER = re.compile(r"(?:^|,)\s*Bearer(?:\s|,|$)", re.IGNORECASE)
_NO_TOKEN = "not.a.token"  # noqa: S105 - it is none


def look_for_open_routes(session: Session) -> Iterator[Problem]:
    """Yield a problem for each closed route that does not answer a stranger with 401."""
    for path, answer in session.denied_answers.items():
        if answer.status == 401:
            continue
        change = (
            "look at what stands between the clients and the app: the route asks for an identity, "
            "and something else answers in its place, such as a cache or another app"
        )
        if answer.status == 404:
            change = "give --url with the prefix of the app, and deploy the code that is checked"
        elif answer.status >= 500:
            change = "look at the log of the service"
        yield Problem(f"GET {path} without credentials", f"{answer} in place of 401", change)


def look_at_json(session: Session) -> Iterator[Problem]:
    """Yield a problem where a 401 is not the documented JSON."""
    if session.facts.custom_denials:
        raise NotAsked("an error handler of the app writes the answers")
    for path, answer in session.closed_answers.items():
        body = answer.json()
        wanted = ("title", "status", "detail") if answer.media_type == _PROBLEM else _MEMBERS
        if answer.media_type in (_JSON, _PROBLEM) and all(each in body for each in wanted):
            continue
        yield Problem(
            f"GET {path} without credentials",
            f"a 401 of {shown(answer.media_type or 'no media type')}, not the documented JSON",
            "let the 401 of the app pass: take `error_page`, `proxy_intercept_errors` and the like "
            "from the proxy, and look whether the app answers at all",
        )
        return


_MEMBERS = ("error", "message")


def look_at_challenge(session: Session) -> Iterator[Problem]:
    """Yield a problem where a 401 does not say how to authenticate (RFC 6750, section 3)."""
    path, answer = next(iter(session.closed_answers.items()))
    if not _BEARER.search(answer.get("WWW-Authenticate") or ""):
        yield _challenge_problem(f"GET {path} without credentials", answer)
        return
    if not session.client.sends_tokens:
        return
    answer = session.get(path, {"Authorization": f"Bearer {_NO_TOKEN}"})
    if answer.status == 401 and 'error="invalid_token"' not in (
        answer.get("WWW-Authenticate") or ""
    ):
        yield _challenge_problem(f"GET {path} with an invalid token", answer)


def _challenge_problem(asked: str, answer: Answer) -> Problem:
    value = answer.get("WWW-Authenticate")
    return Problem(
        asked,
        "no WWW-Authenticate" if value is None else f"WWW-Authenticate: {shown(value)}",
        "let WWW-Authenticate of the app pass, and send `error.headers` in an error handler of "
        "AuthError: clients learn from it that a token is to be refreshed",
    )


CHECKS = (
    Check(
        "closed", "routes that ask for an identity answer a stranger with 401", look_for_open_routes
    ),
    Check("denial-json", "a 401 is the documented JSON", look_at_json),
    Check(
        "challenge",
        "a 401 names Bearer, and says of an invalid token that it is",
        look_at_challenge,
    ),
)
