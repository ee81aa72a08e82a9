"""What an app says of itself to the checks of its service: its routes, settings and tokens."""

from __future__ import annotations

import base64
import json
import math
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from flask.app import Flask

from ..._core import Keyring, Limit
from ...errors import AuthError
from ...limit.declarations import Declaration
from ...probe.facts import Facts, Person
from ...probe.tokens import forged_tokens
from ..route_protection import methods_of, protection_of
from ..routes import plan_of
from ..state import AppState, state_of
from ..tokens import create_jwt_token

# How long the tokens of a check live: longer than all of its waits.
_TOKEN_HOURS = 0.25
_ANOTHER = "https://another.example"


def facts_of(
    app: Flask,
    *,
    paths: Sequence[str] = (),
    own_path: str | None = None,
    token: str | None = None,
    other_token: str | None = None,
) -> Facts:
    """Return what an app says of itself. To be called in its context.

    :param paths: further paths that ask for an identity.
    :param own_path: a path that only the tenant of `token` may read.
    :param token: a token of a user; None: one is made, where the app has a key that signs.
    :param other_token: likewise, of another tenant.
    """
    state = state_of(app)
    settings = state.settings
    person = new_person(state) if token is None else Person(token)
    other = new_person(state) if other_token is None else Person(other_token)
    return Facts(
        protected=tuple(dict.fromkeys([*paths, *(each.path for each in closed_routes(app))])),
        public=tuple(each.path for each in _routes(app) if each.declaration.public),
        person=person,
        other=other,
        bad_tokens=() if person is None else tuple(_bad_tokens(state, person)),
        own_path=own_path,
        strongest_role=settings.auth_roles[-1],
        limit_headers=settings.ratelimit_enabled and settings.ratelimit_headers_enabled,
        custom_denials=_writes_denials(app),
        cookies=settings.uses_cookies,
        cors_paths=settings.cors_resources,
        cors_origins=settings.cors_origins,
        cors_credentials=settings.cors_supports_credentials,
        metrics_path=settings.auth_metrics_route,
        console_path=settings.auth_console_route,
    )


class PlainRoute(NamedTuple):
    """A GET route without parameters."""

    path: str
    endpoint: str
    declaration: Declaration
    limits: tuple[Limit, ...] | None  # None: callables decide


def _routes(app: Flask) -> Iterator[PlainRoute]:
    plans = state_of(app).plans
    for rule in sorted(app.url_map.iter_rules(), key=lambda each: each.rule):
        elsewhere = rule.host or rule.subdomain or rule.websocket
        if not rule.arguments and not elsewhere and "GET" in methods_of(app, rule):
            declaration = protection_of(app, rule.endpoint, "GET").declaration
            limits = plan_of(app, plans, rule.endpoint, "GET").limits
            yield PlainRoute(rule.rule, rule.endpoint, declaration, limits)


def closed_routes(app: Flask) -> list[PlainRoute]:
    """Return the routes that ask for an identity: those first that let most requests pass."""
    return sorted((each for each in _routes(app) if each.declaration.verified), key=_narrowness)


def _narrowness(route: PlainRoute) -> float:
    if route.limits is None:
        return 0
    per_minute = (60 * each.rate.limit / each.rate.period for each in route.limits)
    return -min(per_minute, default=math.inf)


def new_person(state: AppState) -> Person | None:
    """Return a user that nobody has seen, with a token of the weakest role.

    :return: None where the app makes no token.
    """
    tenant_id, user_id = str(uuid.uuid4()), str(uuid.uuid4())
    try:
        token = create_jwt_token(
            tenant_id, user_id, state.settings.auth_roles[0], expires_in_hours=_TOKEN_HOURS
        )
    except Exception:  # noqa: BLE001 - no key that signs, or claims and keys of the app's callables
        return None
    return Person(token, tenant_id, user_id)


def _bad_tokens(state: AppState, person: Person) -> Iterator[tuple[str, str]]:
    """Yield tokens that the service must deny, by the name of their check."""
    yield from forged_tokens(person.token, tenant_id=person.tenant_id)
    if person.tenant_id is None or person.user_id is None:
        return
    settings = state.settings
    hours = -1 - settings.jwt_leeway / 3600
    expired = create_jwt_token(person.tenant_id, person.user_id, expires_in_hours=hours)
    yield "token-expired", expired
    # A keyring that says nothing about audience and issuer signs what one that does denies.
    keyring = Keyring(state.signing_keyring(person.tenant_id).keys[:1], without_identity=True)
    claims = _claims_of(person.token)
    if settings.jwt_audience:
        yield "token-audience", keyring.sign(json.dumps({**claims, "aud": _ANOTHER}).encode())
    if settings.jwt_issuer:
        yield "token-issuer", keyring.sign(json.dumps({**claims, "iss": _ANOTHER}).encode())


def _claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token that this app has made."""
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(
        base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    )
    return claims


def _writes_denials(app: Flask) -> bool:
    """Whether an error handler of the app may write the answers to denied requests."""
    spec = app.error_handler_spec
    if any(handlers.get(401) for handlers in spec.values()):
        return True
    if any(spec[name].get(None) for name in list(spec) if name is not None):
        return True
    handler = spec[None][None].get(AuthError)
    ours = __package__.rpartition(".")[0]
    return handler is not None and not getattr(handler, "__module__", "").startswith(ours)
