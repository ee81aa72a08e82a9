"""``flask auth check``: what should not go to production, and what a running service answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
from flask import current_app
from flask.app import Flask
from flask.cli import with_appcontext

from ...config.networks import Network
from ...config.settings import KEYS, option_lines, unknown_settings
from ...errors import ConfigurationError
from ...keys.jwks import shown_kid
from ...limit.declarations import Declaration
from ..listed_routes import Route, routes_of
from ..registration import bare_views
from ..routes import unknown_endpoints
from ..state import AppState, state_of
from .isolation import isolation_lines
from .load_test import check_load
from .rights import role_lines, ungranted_permissions, unknown_roles
from .service import check_service
from .service_options import ServiceOptions, service_options
from .sessions import session_lines
from .stores import print_redis, store_lines


def problems_of(app: Flask, *, strict: bool = False) -> list[str]:
    """Return what should not go to production, one sentence each.

    :param strict: also the routes that show something to everybody without a declaration, and those
        where another function stands between the route and the decorator that protects it.
    """
    state = state_of(app)
    settings, routes = state.settings, routes_of(app)
    problems = settings.weaknesses()
    try:
        state.require_unchanged()
    except ConfigurationError as error:
        problems.append(str(error))
    problems += [each.sentence(KEYS) for each in unknown_settings(settings, app)]
    problems += [
        f"AUTH_TRUSTED_GATEWAYS {network} takes in public addresses, whose senders could be any "
        "user: list the gateways themselves"
        for network in settings.auth_trusted_gateways
        if _has_public_addresses(network)
    ]
    problems += [
        f"{endpoint}: a decorator stands above the route decorator and does nothing there: write "
        "it below; or @public_route there, if that is meant"
        for endpoint in bare_views(app)
    ]
    problems += [
        f"{route.name} "
        f"{'changes' if route.changes_something else 'shows'} something and asks for no identity: "
        "add @verify_tenant_context; or @public_route if that is meant, or "
        "@protected_elsewhere if another library protects it"
        for route in routes
        if route.unprotected and (strict or route.changes_something)
    ]
    problems += unknown_endpoints(app, state.plans.configured)
    problems += unknown_roles(state, _declarations(routes))
    if strict:
        problems += [
            f"{route.name} asks for an identity behind "
            f"{', '.join(route.behind)}, which may answer anybody before that: put "
            "our decorator above it, right below the route decorator"
            for route in routes
            if route.behind and not route.static
        ]
    return problems


def _declarations(routes: Iterable[Route]) -> list[tuple[str, Declaration]]:
    return [(route.name, route.declaration) for route in routes]


def _has_public_addresses(network: Network) -> bool:
    # To an older Python a network is private where both of its ends are: those of 0.0.0.0/0 are.
    # The largest private ones are 10.0.0.0/8 and fc00::/7.
    largest = 8 if network.version == 4 else 7
    is_private = network.is_private and network.prefixlen >= largest
    return network.num_addresses > 1 and not is_private


def _show(title: str, lines: Iterable[str]) -> None:
    """Print lines under a title, if there are any."""
    shown = list(lines)
    if shown:
        click.secho(title, bold=True)
    for line in shown:
        click.echo(f"  {line}")


@click.command("check")
@click.option(
    "--strict",
    is_flag=True,
    help="Exit 1 on every unprotected route, on Redis, and on keys that cannot be fetched, too.",
)
@service_options
@with_appcontext
def check(strict: bool, **options: Any) -> None:
    """Show the configuration, the roles, and each route's protection and limits.

    Exit 1 on an unprotected mutating route, a weak key, a setting or role that is not known, or
    trust in identity headers that strangers can send; with --strict, on an unprotected route of any
    method, and on one where a function that may answer by itself, as a cache, stands above the
    decorator.

    With --url, ask the running service instead, as a stranger, a browser page and another tenant
    would, and exit 1 with what to change. With --load, count how many requests a limit of the
    service lets pass; without --url, that is the service at FLASK_PORT of this machine. Both send
    GET and OPTIONS only.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    asked = ServiceOptions(**options)
    asked.require_fitting(strict=strict)
    if not asked.asks:
        _check_app(app, strict=strict)
        return
    good = check_service(app, asked) if asked.load is None else check_load(app, asked, asked.load)
    if not good:
        raise click.exceptions.Exit(1)


def _check_app(app: Flask, *, strict: bool) -> None:
    """Print what is known of an app, and exit with 1 on a problem."""
    state = state_of(app)
    click.secho("Configuration", bold=True)
    for line in option_lines(state.settings):
        click.echo(f"  {line}")
    click.secho("Keys", bold=True)
    for line in _key_lines(state):
        click.echo(f"  {line}")
    without_keys = _print_sources(state)
    click.secho("Roles", bold=True)
    for line in role_lines(state):
        click.echo(f"  {line}")
    click.secho("Redis", bold=True)
    of_redis = print_redis(state)
    _show("Counters", store_lines(state))
    _show("Sessions", session_lines(state))
    click.secho("Routes", bold=True)
    routes = routes_of(app)
    for route in routes:
        click.echo(f"  {route}")
    for line in isolation_lines(app):
        click.echo(f"  {line}")
    for warning in ungranted_permissions(state, _declarations(routes)):
        click.secho(f"Warning: {warning}", fg="yellow", err=True)
    problems = problems_of(app, strict=strict)
    for problem in problems:
        click.secho(f"Problem: {problem}", fg="red", err=True)
    others = of_redis or without_keys
    if problems or (strict and others):
        raise click.exceptions.Exit(1)
    click.secho("No problems found." if not others else "No other problems found.", fg="green")


def _key_lines(state: AppState) -> Iterator[str]:
    if state.settings.jwt_tenant_keys is not None:
        yield "each tenant's own, from JWT_TENANT_KEYS"
    fetched = {key for source in state.sources for key in source.keys or ()}
    for place, key in enumerate(state.own_keys):
        if key in fetched:
            continue
        use = "signs and verifies" if place == 0 and key.can_sign else "verifies"
        yield f"{key.algorithm} kid={key.kid} {use}"


def _print_sources(state: AppState) -> bool:
    """Print where keys come from that are not set; return whether one of them has none."""
    sources = state.sources
    for source in sources:  # all of them at once
        source.refresh()
    for source in sources:
        source.wait()
        keys = source.keys or ()
        age = "" if source.age is None else f", fetched {source.age:.0f} s ago"
        kids = ", ".join(f"{key.algorithm} kid={shown_kid(key.kid)}" for key in keys) or "no keys"
        colour = None if keys and source.failure is None else "red"
        click.secho(f"  {source.name} from {source.where}{age}: {kids}", fg=colour)
        if source.failure is not None:
            click.secho(f"    last failure: {source.failure}", fg=colour)
    return any(source.keys is None for source in sources)
