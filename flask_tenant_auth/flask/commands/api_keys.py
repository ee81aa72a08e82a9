"""``flask auth api-keys``: make, list and revoke API keys."""

from __future__ import annotations

from datetime import datetime, timedelta

import click
from flask.cli import AppGroup

from ...errors import AuthError, ConfigurationError
from ..api_keys import create_api_key, list_api_keys, revoke_api_key

api_keys_cli = AppGroup("api-keys", help="Make, list or revoke API keys.")


@api_keys_cli.command("create")
@click.argument("tenant_id")
@click.argument("user_id")
@click.option("--role", required=True, help="One of AUTH_ROLES.")
@click.option("--name", required=True, help="What lists call it.")
@click.option("--permission", multiple=True, help="One beside those of the role; may be repeated.")
@click.option("--days", type=float, help="Life in days; until it is revoked if not given.")
def create(
    tenant_id: str,
    user_id: str,
    role: str,
    name: str,
    permission: tuple[str, ...],
    days: float | None,
) -> None:
    """Print a new API key for USER_ID of TENANT_ID. It is shown this once."""
    try:
        expires = None if days is None else timedelta(days=days)
        made = create_api_key(
            tenant_id, user_id, role, permissions=permission, name=name, expires=expires
        )
    except (ValueError, OverflowError, AuthError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(made.key)


@api_keys_cli.command("list")
@click.argument("tenant_id")
@click.argument("user_id", required=False)
def list_keys(tenant_id: str, user_id: str | None) -> None:
    """Print the API keys of TENANT_ID, or of its user USER_ID."""
    try:
        keys = list_api_keys(tenant_id, user_id)
    except (ValueError, AuthError) as error:
        raise click.ClickException(str(error)) from None
    for key in keys:
        state = "ended" if key.ended_at else f"expires {_day(key.expires_at)}"
        used = f"used {_day(key.used_at)}"
        click.echo(f"{key.id}  {key.user_id}  {key.role}  {state}  {used}  {key.name}")


@api_keys_cli.command("revoke")
@click.argument("tenant_id")
@click.argument("key_id")
def revoke(tenant_id: str, key_id: str) -> None:
    """End the API key KEY_ID of TENANT_ID, on every host."""
    try:
        ended = revoke_api_key(tenant_id, key_id)
    except (ValueError, ConfigurationError, AuthError) as error:
        raise click.ClickException(str(error)) from None
    if not ended:
        raise click.ClickException(f"the tenant has no API key {key_id}")
    click.echo(f"revoked {key_id}")


def _day(time: datetime | None) -> str:
    return "never" if time is None else f"{time:%Y-%m-%d}"
