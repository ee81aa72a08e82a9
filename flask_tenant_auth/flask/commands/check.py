"""``flask auth``: keys, tokens, what protects each route, and what is counted."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from ..._core import ROLES, Identity, Limit, Rejection, is_valid_uuid, plain_address
from ...config.settings import (
    ALGORITHMS,
    KEYS,
    SYMMETRIC,
    Network,
    Settings,
    option_lines,
    unknown_settings,
)
from ...keys.keyrings import NoSigningKeyError
from ...limit.rules import Marks, is_static_view
from ..registration import bare_views
from ..route_protection import methods_of, protection_of
from ..state import AppState, state_of
from ..tokens import create_jwt_token
from .isolation import isolation_lines, rls_check, rls_sql
from .redis_check import check_redis

# The methods that change nothing, as IANA has them (RFC 9110, section 9.2.1).
SAFE = frozenset(
    {"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"}
)

# How to make a key pair, where the algorithm wants one.
_KEY_PAIRS = {
    "RS": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    "PS": "openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072",
    "ES256": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    "ES384": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384",
    "ES512": "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521",
    "EdDSA": "openssl genpkey -algorithm ED25519",
}

auth_cli = AppGroup("auth", help="Keys, tokens, protection and limits of this app.")
auth_cli.add_command(rls_sql)
auth_cli.add_command(rls_check)


def _app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def _state() -> AppState:
    return state_of(_app())


# Keys


@auth_cli.command("generate-key", with_appcontext=False)
@click.option("--algorithm", type=click.Choice(ALGORITHMS), default="HS256", show_default=True)
def generate_key(algorithm: str) -> None:
    """Make a key; print the configuration lines for it.

    For an algorithm with key pairs the OpenSSL commands are printed instead: the private key then
    never passes through this terminal.
    """
    if algorithm in SYMMETRIC:
        click.echo(f"JWT_ALGORITHM={algorithm}")
        click.echo(f"JWT_SECRET_KEY={new_secret()}")
        return
    for line in _key_pair_commands(algorithm):
        click.echo(line)
    click.echo(f"JWT_ALGORITHM={algorithm}")
    click.echo("JWT_PRIVATE_KEY=private.pem   # where tokens are signed")
    click.echo("JWT_PUBLIC_KEY=public.pem     # where they are only verified")


def new_secret() -> str:
    """Return 64 random bytes as text: enough for every HMAC algorithm (RFC 7518, section 3.2)."""
    return secrets.token_urlsafe(64)


def _key_pair_commands(algorithm: str) -> Iterator[str]:
    command = _KEY_PAIRS.get(algorithm) or _KEY_PAIRS[algorithm[:2]]
    yield f"{command} -out private.pem"
    yield "openssl pkey -in private.pem -pubout -out public.pem"


@auth_cli.command("rotate-key")
def rotate_key() -> None:
    """Print how to change the key without a token refused, and the new values.

    Three rounds, since during each of them workers with the old and with the new configuration
    answer side by side.
    """
    settings = _state().settings
    if settings.symmetric:
        steps = _secret_rotation(settings, new_secret())
    else:
        steps = _key_pair_rotation(settings)
    for line in steps:
        click.echo(line)


def _rotation(add: str, sign: Iterable[str], retire: str, hours: float) -> Iterator[str]:
    yield "1. Add. On every host set this, and restart its workers one after the other:"
    yield f"     {add}"
    yield "   From then on every worker verifies what the new key will sign."
    yield "2. Sign. When round 1 is through everywhere, set this and restart again:"
    yield from (f"     {line}" for line in sign)
    yield "   From then on new tokens are signed with the new key; older ones still verify."
    yield f"3. Retire. {hours:g} hours later (JWT_EXPIRATION_HOURS) no older token is left:"
    yield f"     {retire}"
    yield "   If the old key has leaked, do rounds 2 and 3 at once: its tokens end there."


def _secret_rotation(settings: Settings, secret: str) -> Iterator[str]:
    older = ",<the fallbacks of today>" if settings.jwt_secret_key_fallbacks else ""
    yield from _rotation(
        add=f"JWT_SECRET_KEY_FALLBACKS={secret}{older}",
        sign=[f"JWT_SECRET_KEY={secret}", *_secret_of_today(settings, older)],
        retire="JWT_SECRET_KEY_FALLBACKS=",
        hours=settings.jwt_expiration_hours,
    )


def _secret_of_today(settings: Settings, older: str) -> Iterator[str]:
    secret = settings.jwt_secret_key.decode("utf-8", "replace")
    if "," not in secret and secret == secret.strip():
        yield f"JWT_SECRET_KEY_FALLBACKS=<the JWT_SECRET_KEY of today>{older}"
        return
    yield f'app.config["JWT_SECRET_KEY_FALLBACKS"] = [<the JWT_SECRET_KEY of today>{older}]'
    yield "(in the app, because this secret has a comma or begins or ends with white space, which"
    yield "is lost in the comma list of an environment variable)"


def _key_pair_rotation(settings: Settings) -> Iterator[str]:
    yield "0. Make the new key pair:"
    yield from (f"     {line}" for line in _key_pair_commands(settings.jwt_algorithm))
    yield from _rotation(
        add="JWT_SECRET_KEY_FALLBACKS=<the text of the new public.pem>",
        sign=[
            "JWT_PRIVATE_KEY=<the new private.pem>",
            "JWT_PUBLIC_KEY=<the new public.pem>",
            "JWT_SECRET_KEY_FALLBACKS=<the text of the old public.pem>",
        ],
        retire="JWT_SECRET_KEY_FALLBACKS=",
        hours=settings.jwt_expiration_hours,
    )


# Tokens


@auth_cli.command("create-token")
@click.argument("tenant_id")
@click.argument("user_id")
@click.option("--role", type=click.Choice(ROLES), default="user", show_default=True)
@click.option("--hours", type=float, help="Life in hours; JWT_EXPIRATION_HOURS if not given.")
def create_token(tenant_id: str, user_id: str, role: str, hours: float | None) -> None:
    """Print a token for USER_ID of TENANT_ID."""
    try:
        click.echo(create_jwt_token(tenant_id, user_id, role, hours))
    except (ValueError, NoSigningKeyError) as error:
        raise click.ClickException(str(error)) from None


@auth_cli.command("decode-token")
@click.argument("token")
def decode_token(token: str) -> None:
    """Verify TOKEN and print its claims; exit 1 with the reason if it is refused.

    With - the token is read from standard input, which keeps it out of the shell's history.
    """
    if token == "-":  # noqa: S105 - the usual sign for standard input
        token = sys.stdin.read().strip()
    claims = _state().keyring.decode(token)
    if isinstance(claims, Rejection):
        raise click.ClickException(f"{claims.reason}: {claims.detail}")
    click.echo(json.dumps(claims, indent=2, ensure_ascii=False))


# Check


class Route(NamedTuple):
    """One method of one route, and what its decorators and its blueprints' guards declare."""

    method: str
    path: str
    endpoint: str
    marks: Marks
    limits: tuple[str, ...]
    static: bool
    behind: tuple[str, ...]  # functions that answer before a decorator of ours is asked

    @property
    def unprotected(self) -> bool:
        """Whether nobody said who may call this, or that everybody may."""
        marks = self.marks
        return not (marks.verified or marks.public or marks.elsewhere or self.static)

    @property
    def changes_something(self) -> bool:
        """Whether the method is one that may change something."""
        return self.method not in SAFE

    def __str__(self) -> str:
        if self.marks.roles:
            protection = "role " + " or ".join(self.marks.roles)
        elif self.marks.verified:
            protection = "authenticated"
        elif self.marks.elsewhere:
            protection = f"protected by {self.marks.elsewhere}"
        elif self.static:
            protection = "static files"
        else:
            protection = "public" if self.marks.public else "open"
        if self.behind:
            protection += f", behind {', '.join(self.behind)}"
        counted = "; ".join(self.limits) or "no limit"
        return f"{self.method:<7} {self.path}  [{protection}]  {counted}"


def routes_of(app: Flask) -> list[Route]:
    """Return every method of every route of an app, as far as a view answers it in its own way."""
    state = state_of(app)
    routes = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        static = is_static_view(app, app.view_functions.get(rule.endpoint))
        for method in sorted(methods_of(app, rule)):
            marks, behind = protection_of(app, rule.endpoint, method)
            plan = state.plans.plan(app, rule.endpoint, method)
            counted = plan.rules if state.settings.ratelimit_enabled else ()
            described = tuple(each.describe() for each in counted)
            routes.append(Route(method, rule.rule, rule.endpoint, marks, described, static, behind))
    return routes


def problems_of(app: Flask, *, strict: bool = False) -> list[str]:
    """Return what should not go to production, one sentence each.

    :param strict: also the routes that show something to everybody, and nobody said so; and those
        where something stands between the route and the decorator that protects it.
    """
    settings = state_of(app).settings
    problems = settings.weaknesses()
    problems += [each.sentence(KEYS) for each in unknown_settings(settings, app)]
    problems += [
        f"AUTH_TRUSTED_GATEWAYS {network} takes in public addresses, whose senders could be any "
        "user: list the gateways themselves"
        for network in settings.auth_trusted_gateways
        if _believes_strangers(network)
    ]
    problems += [
        f"{endpoint}: a decorator stands above the route decorator and does nothing there: write "
        "it below; or @public_route there, if that is meant"
        for endpoint in bare_views(app)
    ]
    problems += [
        f"{route.method} {route.path} ({route.endpoint}) "
        f"{'changes' if route.changes_something else 'shows'} something and asks for no identity: "
        "add @verify_tenant_context; or @public_route if that is meant, or "
        "@protected_elsewhere if another library protects it"
        for route in routes_of(app)
        if route.unprotected and (strict or route.changes_something)
    ]
    if strict:
        problems += [
            f"{route.method} {route.path} ({route.endpoint}) asks for an identity behind "
            f"{', '.join(route.behind)}, which may answer anybody before that: put "
            "our decorator above it, right below the route decorator"
            for route in routes_of(app)
            if route.behind and not route.static
        ]
    return problems


def _believes_strangers(network: Network) -> bool:
    return network.num_addresses > 1 and not network.is_private


# Further checks of other rooms: each yields lines to print, given the app.
further_checks: list[Callable[[Flask], Iterable[str]]] = [isolation_lines]


@auth_cli.command("check")
@click.option(
    "--strict", is_flag=True, help="Exit 1 on every unprotected route, and on Redis, too."
)
def check(strict: bool) -> None:
    """Show the configuration and each route's protection, roles and limits.

    Exit 1 on an unprotected mutating route, a weak key, a setting that is not known, or trust in
    identity headers that strangers can send; with --strict, on an unprotected route of any method,
    and on one where a function that may answer by itself, as a cache, stands above the decorator.
    """
    app, state = _app(), _state()
    click.secho("Configuration", bold=True)
    for line in option_lines(state.settings):
        click.echo(f"  {line}")
    click.secho("Keys", bold=True)
    for line in _key_lines(state):
        click.echo(f"  {line}")
    click.secho("Redis", bold=True)
    of_redis = _redis_problems(state)
    click.secho("Counters", bold=True)
    for line in _store_lines(state):
        click.echo(f"  {line}")
    click.secho("Routes", bold=True)
    for route in routes_of(app):
        click.echo(f"  {route}")
    for further in further_checks:
        for line in further(app):
            click.echo(f"  {line}")
    problems = problems_of(app, strict=strict)
    for problem in problems:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    if problems or (strict and of_redis):
        raise click.exceptions.Exit(1)
    click.secho("No problems found." if not of_redis else "No other problems found.", fg="green")


def _redis_problems(state: AppState) -> list[str]:
    """Print what there is to know of Redis; return what is wrong with it."""
    found = check_redis(state)
    for line in found.lines:
        click.echo(f"  {line}")
    for problem in found.problems:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    return found.problems


def _key_lines(state: AppState) -> Iterator[str]:
    if state.settings.jwt_tenant_keys is not None:
        yield "each tenant's own, from JWT_TENANT_KEYS"
    for place, key in enumerate(state.own_keys):
        use = "signs and verifies" if place == 0 and key.can_sign else "verifies"
        yield f"{key.algorithm} kid={key.kid} {use}"


def _store_lines(state: AppState) -> Iterator[str]:
    if not state.settings.ratelimit_enabled:
        yield "off (RATELIMIT_ENABLED)"
        return
    for name, value in state.limiter.status().items():
        yield f"{name}={value}"


# Limits


@auth_cli.group("limits")
def limits_cli() -> None:
    """Show or reset what is counted for a user, a tenant or an address."""


class Client(NamedTuple):
    """Whose counts are meant."""

    identity: Identity | None
    address: str
    tenant_only: bool

    def concerns(self, limit: Limit) -> bool:
        """Whether this limit counts this client."""
        return limit.per == "tenant" if self.tenant_only else True


def _client_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--address", help="IP address: what is counted without an identity."),
        click.option("--user", help="UUID of a user; needs --tenant."),
        click.option("--tenant", help="UUID of a tenant."),
    ):
        command = option(command)
    return command


def _client(tenant: str | None, user: str | None, address: str | None) -> Client:
    for name, value in (("--tenant", tenant), ("--user", user)):
        if value is not None and not is_valid_uuid(value):
            raise click.UsageError(f"{name} must be a UUID")
    if address is not None and plain_address(address) is None:
        raise click.UsageError("--address must be an IP address")
    if user is not None and tenant is None:
        raise click.UsageError("--user needs --tenant")
    if (tenant is None) == (address is None):
        raise click.UsageError("give --tenant, --tenant and --user, or --address")
    identity = None if tenant is None else Identity(tenant, user or tenant)
    return Client(identity, address or "", tenant_only=tenant is not None and user is None)


class Counted(NamedTuple):
    """One limit, and the key it counts under when that is the app's own."""

    limit: Limit
    custom: tuple[str, ...]


def _limits_of(app: Flask, client: Client) -> list[Counted]:
    """Return each limit that counts a client, once, though many routes may share it."""
    state = state_of(app)
    found: dict[tuple[str, str, str], Counted] = {}
    plans = [state.plans.unrouted]
    plans += [state.plans.plan(app, each.endpoint, each.method) for each in routes_of(app)]
    for plan in plans:
        for limit, custom in plan.resolved_outside_a_request(client.identity):
            found[limit.scope, str(limit.rate), limit.per] = Counted(limit, custom)
    if client.identity is None:
        for limit in state.failure_limits:
            found[limit.scope, str(limit.rate), limit.per] = Counted(limit, ())
    return [counted for counted in found.values() if client.concerns(counted.limit)]


def _counting_app() -> Flask:
    if not _state().settings.ratelimit_enabled:
        raise click.ClickException("RATELIMIT_ENABLED is false: nothing is counted")
    return _app()


def _counters_of_another_user(state: AppState) -> str | None:
    """Name another user's counters of this app, which this command can neither show nor reset.

    Whether the app runs as that user is not known: anybody can make a file of that name.
    """
    if state.limiter.status()["store"] == "redis":
        return None
    found = state.table_of_another_user()
    if found is None:
        return None
    user, file = _name_of_user(found[0]), found[1]
    return (
        f"user {user} has counters of this app as well, in {file}, which user "
        f"{_name_of_user(os.geteuid())} cannot see. If the app runs as user {user}, run this "
        "command as that user"
    )


def _name_of_user(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


@limits_cli.command("status")
def limits_status() -> None:
    """Show where requests are counted; exit 1 if Redis should count and does not.

    Exit 1, too, if another user of this host has counters of this app.
    """
    state = state_of(_counting_app())
    of_redis = _redis_problems(state)
    for line in _store_lines(state):
        click.echo(f"  {line}")
    of_others = _counters_of_another_user(state)
    if of_others is not None:
        click.secho(f"Problem: {of_others}", fg="red", err=True)
    if of_redis or of_others:
        raise click.exceptions.Exit(1)


@limits_cli.command("show")
@_client_options
def show_limits(tenant: str | None, user: str | None, address: str | None) -> None:
    """Show what is left of each limit. Nothing is counted by asking."""
    client, app = _client(tenant, user, address), _counting_app()
    limiter = state_of(app).limiter
    for limit, custom in _limits_of(app, client):
        decision = limiter.peek([limit], client.identity, client.address, custom)
        click.echo(
            f"{limit.scope}: {limit.rate} per={limit.per} "
            f"remaining={decision.remaining} reset={decision.reset}"
        )
    failure = limiter.status().get("failure")
    if failure:
        detail = limiter.status()["failure_detail"]
        click.secho(
            f"Redis does not count ({failure}: {detail}): this is what this host has counted",
            fg="red",
            err=True,
        )
    of_others = _counters_of_another_user(state_of(app))
    if of_others is not None:
        raise click.ClickException(f"these may not be the counts of the app: {of_others}")


@limits_cli.command("reset")
@_client_options
def reset_limits(tenant: str | None, user: str | None, address: str | None) -> None:
    """Forget what was counted; who was refused by Redis may stay so for up to a minute."""
    client, app = _client(tenant, user, address), _counting_app()
    limiter = state_of(app).limiter
    counted = _limits_of(app, client)
    try:
        for limit, custom in counted:
            limiter.reset([limit], client.identity, client.address, custom)
    except ConnectionError as error:
        raise click.ClickException(f"not everything was reset: {error}") from None
    click.echo(f"reset {len(counted)} limit{'' if len(counted) == 1 else 's'}")
    of_others = _counters_of_another_user(state_of(app))
    if of_others is not None:
        raise click.ClickException(f"this may not be all that the app has counted: {of_others}")
