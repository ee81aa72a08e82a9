"""Users: added, recognised by their passwords, and asked for when a session is refreshed."""

from __future__ import annotations

from uuid import UUID, uuid4

import click
from flask.cli import with_appcontext
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from flask_tenant_auth import (
    SessionInfo,
    UserRole,
    acting_as,
    hash_password,
    password_needs_rehash,
    verify_password,
)
from flask_tenant_auth.sqlalchemy import unscoped

from .database import session
from .models import User

ROLES = [role.value for role in UserRole]


def normal_email(email: str) -> str:
    """Return the form of an address in which it is stored and looked for."""
    return email.strip().lower()


def add_user(tenant_id: UUID, user_id: UUID, email: str, role: str, password: str) -> User:
    """Add a user.

    :raises IntegrityError: when another user has the address, or the id.
    """
    with acting_as(tenant_id, user_id):
        user = User(
            id=user_id,
            email=normal_email(email),
            role=role,
            password_hash=hash_password(password),
        )
        session().add(user)
        session().commit()
    return user


def user_with_password(email: str, password: str) -> User | None:
    """Return the user of an address if the password is right.

    An address that nobody has costs what a wrong password costs, so the time does not say who is a
    user.
    """
    with unscoped("log in: the address says which tenant it is"):
        user = session().scalar(select(User).where(User.email == normal_email(email)))
    right = verify_password(password, None if user is None else user.password_hash)
    if user is None or not right:
        return None
    if password_needs_rehash(user.password_hash):
        with acting_as(user.tenant_id, user.id):
            user.password_hash = hash_password(password)
            session().commit()
    return user


def role_at_refresh(refreshed: SessionInfo) -> str | None:
    """Return the role that a user has now. None ends the session of a user who is gone."""
    with acting_as(refreshed.tenant_id, refreshed.user_id):
        found = select(User.role).where(User.id == UUID(refreshed.user_id))
        role: str | None = session().scalar(found)
    return role


@click.command("add-user")
@click.argument("email")
@click.option("--tenant", "tenant_id", type=click.UUID, required=True, help="The tenant's id.")
@click.option("--role", type=click.Choice(ROLES), default=UserRole.USER.value, show_default=True)
@click.password_option()
@with_appcontext
def add_user_command(email: str, tenant_id: UUID, role: str, password: str) -> None:
    """Add a user. The password is asked for."""
    try:
        user = add_user(tenant_id, uuid4(), email, role, password)
    except IntegrityError:
        raise click.ClickException(f"{email} is the address of a user already") from None
    click.echo(f"{user.email} can log in; the user's id is {user.id}")
