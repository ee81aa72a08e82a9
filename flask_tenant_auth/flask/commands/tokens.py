"""``flask auth create-token`` and ``decode-token``."""

from __future__ import annotations

import json
import sys

import click
from flask.cli import with_appcontext

from ..._core import InvalidToken
from ...identity.arguments import role_text
from ...identity.roles import WEAKEST_ROLE
from ...keys.keyrings import NoSigningKeyError
from ..state import current_state
from ..tokens import create_jwt_token


@click.command("create-token")
@click.argument("tenant_id")
@click.argument("user_id")
@click.option("--role", help="One of AUTH_ROLES; the weakest if not given.")
@click.option("--hours", type=float, help="Life in hours; JWT_EXPIRATION_HOURS if not given.")
@with_appcontext
def create_token(tenant_id: str, user_id: str, role: str | None, hours: float | None) -> None:
    """Print a token for USER_ID of TENANT_ID."""
    try:
        named = WEAKEST_ROLE if role is None else role
        role = role_text("--role", named, current_state().roles)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    try:
        click.echo(create_jwt_token(tenant_id, user_id, role, hours))
    except (ValueError, NoSigningKeyError) as error:
        raise click.ClickException(str(error)) from None


@click.command("decode-token")
@click.argument("token")
@with_appcontext
def decode_token(token: str) -> None:
    """Verify TOKEN and print its claims; exit 1 with the reason if it is invalid.

    With - the token is read from standard input, which keeps it out of the shell's history.
    """
    if token == "-":  # noqa: S105 - the usual sign for standard input
        token = sys.stdin.read().strip()
    claims = current_state().decode(token)
    if isinstance(claims, InvalidToken):
        raise click.ClickException(f"{claims.reason}: {claims.detail}")
    click.echo(json.dumps(claims, indent=2, ensure_ascii=False))
