"""Checks of what a user gets, and of what another tenant gets in the same place."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from secrets import randbelow

from .exchange import Answer, shown
from .outcome import Check, NotAsked, Problem
from .session import Session, accepts

_PRIVATE = frozenset({"private", "no-store"})
# How a service behind a proxy that authenticates may be told of a user.
_NAMES_OF_USERS = ("X-Forwarded-User", "X-Remote-User", "Remote-User", "X-Auth-Request-User")
_TRIES = 3


def look_at_acceptance(session: Session) -> Iterator[Problem]:
    """Yield a problem where no closed route accepts the token.

    A 403 accepts it, too. Without that, the checks that follow could not tell why a request is
    denied.
    """
    answers = session.token_answers
    if any(accepts(each) for each in answers.values()):
        return
    path, answer = next(iter(answers.items()))
    if answer.status != 401:
        yield Problem(
            f"GET {path} with a token", f"{answer}", "look at the log of the service and the proxy"
        )
    else:
        yield Problem(
            f"GET {path} with a token",
            f"401: {shown(answer.json().get('message', ''))}",
            "give this command the settings of the service (JWT_SECRET_KEY and the like); where a "
            "user has to exist, give --token and --other-token",
        )


def look_for_limit_fields(session: Session) -> Iterator[Problem]:
    """Yield a problem where no answer says what is left of a limit."""
    if not session.facts.limit_headers:
        raise NotAsked("the settings turn limits or their header fields off")
    answers = {**session.denied_answers, **_with_token(session)}
    names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
    if not any(
        all(answer.number(name) is not None for name in names) for answer in answers.values()
    ):
        yield Problem(
            f"GET {next(iter(answers))}",
            "no X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset",
            "set RATELIMIT_ENABLED and RATELIMIT_HEADERS_ENABLED, keep the address of this machine "
            "out of RATELIMIT_EXEMPT_NETWORKS, and let the proxy pass the fields",
        )


def _with_token(session: Session) -> dict[str, Answer]:
    try:
        return session.own_answers
    except NotAsked:
        return {}


def look_at_caching(session: Session) -> Iterator[Problem]:
    """Yield a problem where a cache may keep what one user was shown (RFC 9111, section 3.5)."""
    for path, answer in session.own_answers.items():
        value = answer.get("Cache-Control") or ""
        said = _directives(value)
        if _may_be_shared(said):
            yield Problem(
                f"GET {path} with a token",
                f"Cache-Control: {shown(value)}",
                "send Cache-Control: private or no-store with what is a user's: this lets a cache "
                "give it to others",
            )
        elif session.facts.cookies and answer.status < 300 and not said & _PRIVATE:
            yield Problem(
                f"GET {path} with a token",
                f"Cache-Control: {shown(value)}" if value else "no Cache-Control",
                "send Cache-Control: private or no-store: AUTH_TOKEN_LOCATIONS has cookies, and no "
                "cache knows that an answer to a cookie is a user's",
            )


def _directives(value: str) -> set[str]:
    """Return the names of the directives of a Cache-Control."""
    return {each.partition("=")[0].strip().lower() for each in value.split(",")}


def _may_be_shared(directives: set[str]) -> bool:
    """Whether a shared cache may give an answer to a request with Authorization to others."""
    if directives & _PRIVATE:
        return False
    # With no-cache the app is asked again, with the credentials of whoever asks.
    again = "must-revalidate" in directives and "no-cache" not in directives
    return again or bool(directives & {"public", "s-maxage"})


def look_for_shared_answers(session: Session) -> Iterator[Problem]:
    """Yield a problem where an answer to one user is given to another one, or to a stranger."""
    shown_answers = {path: each for path, each in session.own_answers.items() if each.status < 400}
    if not shown_answers:
        raise NotAsked("no route shows the user anything: give --path")
    for path in shown_answers:
        stranger = session.get(path)
        if stranger.status != 401:
            yield Problem(
                f"GET {path} without credentials, after a user asked",
                f"{stranger} in place of 401",
                "let the cache in front of the app keep no answer to a request with Authorization, "
                "or add Authorization to its key",
            )
            continue
        theirs = _answer_to_other(session, path)
        own = set(session.person.ids).difference(session.other.texts)
        if not own:
            raise NotAsked("--token is no token whose ids can be read")
        leaked = _named(theirs, sorted(own))
        if leaked:
            yield Problem(
                f"GET {path} with a token of another tenant",
                f"an answer that names {leaked}, of the tenant that asked before",
                "add Authorization to the key of the cache in front of the app, and look for what "
                "the app keeps between requests",
            )


def _answer_to_other(session: Session, path: str) -> Answer:
    """Return what the user of the other tenant gets.

    :raises NotAsked: where that token is denied as one that is not valid: then its 401 says nothing
        of tenants.
    """
    answer = session.get(path, session.other.fields)
    if answer.status == 401:
        raise NotAsked(f"GET {path} denies the token of the other tenant: give --other-token anew")
    return answer


def _named(answer: Answer, ids: Iterable[str]) -> str | None:
    """Return the first of these ids that an answer names."""
    return next((each for each in ids if each.encode() in answer.body), None)


def look_at_own_path(session: Session) -> Iterator[Problem]:
    """Yield a problem where the path of --own-path is shown to another tenant, or to a stranger."""
    path = session.facts.own_path
    if path is None:
        raise NotAsked("--own-path was not given")
    own = session.get(path, session.person.fields)
    if own.status >= 400:
        raise NotAsked(f"GET {path} with the token was answered with {own}")
    askers: tuple[tuple[str, Callable[[str], Answer]], ...] = (
        ("a stranger", session.get),
        ("another tenant", partial(_answer_to_other, session)),
    )
    for who, ask in askers:
        answer = ask(path)
        if answer.status < 400:
            yield Problem(
                f"GET {path} as {who}",
                f"{answer}",
                "ask for the rows of the identity only: isolate the database session "
                "(docs/data_isolation.md), or call verify_resource_access in the view",
            )


def look_for_trust_in_headers(session: Session) -> Iterator[Problem]:
    """Yield a problem where identity headers of a client change an answer."""
    other_tenant, other_user = str(uuid.uuid4()), str(uuid.uuid4())
    ids = (other_tenant, other_user)
    fields = {
        "X-Tenant-ID": other_tenant,
        "X-User-ID": other_user,
        "X-User-Role": session.facts.strongest_role,
    }
    # Servers that turn "-" and "_" into one sign let the second form by a proxy that removes the
    # first.
    spellings = (
        ("X-Tenant-ID, X-User-ID and X-User-Role", fields),
        ("X_Tenant_ID and the like", {name.replace("-", "_"): fields[name] for name in fields}),
        ("X-Forwarded-User and the like", dict.fromkeys(_NAMES_OF_USERS, other_user)),
    )
    path = next(iter(session.closed_answers))
    query = f"{'&' if '?' in path else '?'}tenant_id={other_tenant}&user_id={other_user}"
    for name, sent in spellings:
        yield from _stranger_believed(name, path, session.get(path, sent))
    asked = session.get(path + query)
    yield from _stranger_believed("the query parameters tenant_id and user_id", path, asked)
    for path, first in _with_token(session).items():
        again = session.get(path, session.person.fields)
        changed = session.get(path, {**session.person.fields, **fields})
        same = (first.status, first.body) == (again.status, again.body)
        differs = changed.status != first.status or (same and changed.body != first.body)
        if differs or _named(changed, ids):
            yield _believed(
                f"GET {path} with a token, and X-Tenant-ID, X-User-ID and X-User-Role of another "
                "tenant",
                f"another answer than without them ({first}, then {changed})",
            )


def _stranger_believed(name: str, path: str, answer: Answer) -> Iterator[Problem]:
    if answer.status != 401:
        yield _believed(f"GET {path} without a token, with {name}", f"{answer} in place of 401")


def _believed(asked: str, came: str) -> Problem:
    return Problem(
        asked,
        came,
        "set FLASK_ENV=production, list in AUTH_TRUSTED_GATEWAYS only gateways that set or remove "
        "X-Tenant-ID, X-User-ID and X-User-Role, and take the tenant of a request from "
        "get_tenant_context() only; on a gateway itself, give the --url that clients have",
    )


def look_for_trust_in_addresses(session: Session) -> Iterator[Problem]:
    """Yield a problem where each X-Forwarded-For that a client sends has a limit of its own."""
    path = next(iter(session.closed_answers))
    found = 0
    for _ in range(_TRIES):
        before, plain = (_left(session.get(path)) for _ in range(2))
        one, two = (_left(session.get(path, {"X-Forwarded-For": _address()})) for _ in range(2))
        if plain >= before:
            continue  # a window has ended, or what is left has grown: nothing can be compared
        if one != two:
            return
        found += 1
        if found == 2:
            yield Problem(
                f"GET {path} with two addresses in X-Forwarded-For",
                f"X-RateLimit-Remaining: {one} twice, a new limit for each address",
                "give ProxyFix(app.wsgi_app, x_for=N) the number of proxies that you have, none of "
                "them: no ProxyFix; let the first proxy add the address of the client to "
                "X-Forwarded-For, or replace the field",
            )
            return
    raise NotAsked("what is left of the limit changes too fast to be compared")


def _left(answer: Answer) -> int:
    left = answer.number("X-RateLimit-Remaining")
    if left is None:
        raise NotAsked("an answer to a stranger does not say what is left of a limit")
    return left


def _address() -> str:
    """Return an address of no client: of the networks for documents (RFC 3849)."""
    return f"2001:db8:{randbelow(65536):x}:{randbelow(65536):x}::1"


CHECKS = (
    Check("token-accepted", "a token of the app opens a route", look_at_acceptance),
    Check("limit-headers", "answers say what is left of a limit", look_for_limit_fields),
    Check("cache-control", "no cache may keep what a user is shown", look_at_caching),
    Check("shared-answers", "nobody is given the answer to another user", look_for_shared_answers),
    Check("own-path", "only its own tenant is shown --own-path", look_at_own_path),
    Check(
        "identity-headers", "identity headers of clients change nothing", look_for_trust_in_headers
    ),
    Check(
        "forwarded-for",
        "X-Forwarded-For of clients gives no new limit",
        look_for_trust_in_addresses,
    ),
)
