"""``flask auth limits``: what is counted for a user, a tenant or an address."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from typing import NamedTuple

import click
from flask import current_app
from flask.app import Flask
from flask.cli import AppGroup

from ..._core import Decision, Identity, Limit, is_valid_uuid, plain_address
from ..listed_routes import routes_of
from ..routes import ANY_METHOD, plan_of
from ..state import AppState, state_of
from .stores import print_redis, store_lines

limits_cli = AppGroup(
    "limits", help="Show or reset what is counted for a user, a tenant or an address."
)


class Client(NamedTuple):
    """The client whose counts are shown or reset."""

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
    """One limit, and the key of its count where a callable of the app returns that."""

    limit: Limit
    custom: tuple[str, ...]


def _limits_of(app: Flask, client: Client) -> list[Counted]:
    """Return each limit that counts a client, once, though many routes may share it."""
    state = state_of(app)
    found: dict[tuple[str, str, str], Counted] = {}
    plans = [state.plans.unrouted(method) for method in sorted(ANY_METHOD)]
    plans += [plan_of(app, state.plans, each.endpoint, each.method) for each in routes_of(app)]
    for plan in plans:
        for limit, custom in plan.resolve_outside_a_request(client.identity):
            found[limit.scope, str(limit.rate), limit.per] = Counted(limit, custom)
    if client.identity is None:
        for limit in state.failure_limits:
            found[limit.scope, str(limit.rate), limit.per] = Counted(limit, ())
    return [counted for counted in found.values() if client.concerns(counted.limit)]


def _denied_by(app: Flask, client: Client) -> list[tuple[Limit, Decision]]:
    """Return the limits of denied requests, which this host counts, and what is left of them."""
    denied = state_of(app).denied
    return [] if denied is None or client.identity is not None else denied.decisions(client.address)


def _line(limit: Limit, decision: Decision) -> str:
    return (
        f"{limit.scope}: {limit.rate} per={limit.per} "
        f"remaining={decision.remaining} reset={decision.reset}"
    )


def _counting_app() -> Flask:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    if not state_of(app).settings.ratelimit_enabled:
        raise click.ClickException("RATELIMIT_ENABLED is false: nothing is counted")
    return app


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
    of_redis = print_redis(state)
    for line in store_lines(state):
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
        click.echo(_line(limit, decision))
    for limit, decision in _denied_by(app, client):
        click.echo(_line(limit, decision))
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
    """Forget what was counted. A client that Redis has denied may stay denied for a minute."""
    client, app = _client(tenant, user, address), _counting_app()
    limiter = state_of(app).limiter
    counted = _limits_of(app, client)
    try:
        for limit, custom in counted:
            limiter.reset([limit], client.identity, client.address, custom)
    except ConnectionError as error:
        raise click.ClickException(f"not everything was reset: {error}") from None
    denied = state_of(app).denied
    if denied is not None and client.identity is None:
        denied.reset(client.address)
    count = len(counted) + len(_denied_by(app, client))
    click.echo(f"reset {count} limit{'' if count == 1 else 's'}")
    of_others = _counters_of_another_user(state_of(app))
    if of_others is not None:
        raise click.ClickException(f"this may not be all that the app has counted: {of_others}")
