"""``flask auth revoke`` and ``flask auth sessions``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from flask.cli import AppGroup, with_appcontext

from ...errors import AuthError, ConfigurationError
from ..revocations import (
    revoke_everything,
    revoke_session,
    revoke_tenant,
    revoke_token,
    revoke_user,
)
from ..sessions import list_sessions
from ..state import AppState

revoke_cli = AppGroup(
    "revoke", help="Deny the tokens of a session, user, tenant, one token, or all of them."
)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except (ValueError, AuthError, ConfigurationError) as error:
        raise click.ClickException(str(error)) from None


def _revoke(what: str, revoke: Callable[[], None]) -> None:
    with _problems():
        revoke()
    click.echo(f"revoked: {what}")


@revoke_cli.command("session")
@click.argument("session_id")
def session(session_id: str) -> None:
    """End the session SESSION_ID."""
    _revoke(f"session {session_id}", lambda: revoke_session(session_id))


@revoke_cli.command("user")
@click.argument("tenant_id")
@click.argument("user_id")
@click.option("--except-session", help="Id of the session that goes on.")
def user(tenant_id: str, user_id: str, except_session: str | None) -> None:
    """End the sessions and API keys of USER_ID of TENANT_ID, and deny the tokens of now."""
    _revoke(
        f"user {user_id} of tenant {tenant_id}",
        lambda: revoke_user(tenant_id, user_id, except_session=except_session),
    )


@revoke_cli.command("tenant")
@click.argument("tenant_id")
def tenant(tenant_id: str) -> None:
    """End the sessions and API keys of TENANT_ID, and deny the tokens of now."""
    _revoke(f"tenant {tenant_id}", lambda: revoke_tenant(tenant_id))


@revoke_cli.command("token")
@click.argument("token")
def token(token: str) -> None:
    """Deny TOKEN; - reads it from standard input, which keeps it out of the shell's history."""
    text = sys.stdin.read().strip() if token == "-" else token  # noqa: S105 - standard input
    _revoke("the token", lambda: revoke_token(text))


@revoke_cli.command("everything")
@click.confirmation_option(prompt="Log everybody out, on every host?")
def everything() -> None:
    """End all sessions and API keys, and deny all tokens of now."""
    _revoke("everything", revoke_everything)


@click.command("sessions")
@click.argument("tenant_id")
@click.argument("user_id")
@with_appcontext
def sessions(tenant_id: str, user_id: str) -> None:
    """Print the sessions of USER_ID of TENANT_ID that go on."""
    with _problems():
        found = list_sessions(tenant_id, user_id)
    for each in found:
        times = f"began {each.began_at:%Y-%m-%d %H:%M}  used {each.used_at:%Y-%m-%d %H:%M}"
        click.echo(f"{each.id}  {each.role}  {times}  {each.address or '-'}  {each.device or '-'}")


def session_lines(state: AppState) -> Iterator[str]:
    """Return what `flask auth check` shows of sessions."""
    live = state.live
    if live is None:
        return
    yield f"store={live.store.describe()}"
    status = live.table.status()
    silent = live.table.silent_ms
    yield f"table={status['path'] or 'of this process'}"
    yield f"revocations={status['entries']} of {status['slots']}, {status['widened']} widened"
    yield f"read={'never' if silent is None else f'{silent / 1000:.1f} s ago'}"
