"""The views: a user's own accounts and, for an admin, the accounts of the whole tenant."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, current_app
from sqlalchemy import Select, func, select

from flask_tenant_auth import (
    get_tenant_context,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.sqlalchemy import unscoped

from .database import session
from .models import Account
from .requests import ACCOUNT, bad_request, json_fields, page

blueprint = Blueprint("accounts", __name__)

Json = dict[str, Any]


def own_account(account_id: UUID) -> Account:
    """Return one of the user's own accounts. Without the account: 404. Of another user: 403."""
    with unscoped("an account of another user is a 403, an account that does not exist a 404"):
        account = session().get(Account, account_id)
    if account is None:
        abort(404, "There is no such account")
    verify_resource_access(account)
    return account


def one_page(accounts: Select[Any]) -> tuple[list[Account], int]:
    """Return one page of the accounts of a query, oldest first, and the number of all of them."""
    limit, offset = page()
    total = session().scalar(select(func.count()).select_from(accounts.subquery())) or 0
    ordered = accounts.order_by(Account.created_at, Account.id).limit(limit).offset(offset)
    return list(session().scalars(ordered)), total


@blueprint.get("/accounts")
@verify_tenant_context
def list_accounts() -> Json:
    """List the user's own accounts."""
    user_id = get_tenant_context()[1]  # an admin's query sees the whole tenant
    accounts, total = one_page(select(Account).where(Account.user_id == UUID(user_id)))
    return {"accounts": [account.summary() for account in accounts], "total": total}


@blueprint.post("/accounts")
@verify_tenant_context
def add_account() -> tuple[Json, int, dict[str, str]]:
    """Add an account for the user."""
    values = json_fields(ACCOUNT)
    if values["password"] is not None:
        cipher = current_app.extensions["password_cipher"]
        if not cipher.has_key:
            bad_request("password cannot be stored: the service has no MAIL_PASSWORD_KEY")
        values["password"] = cipher.encrypt(values["password"])
    account = Account(**values)
    session().add(account)
    session().commit()
    return account.details(), 201, {"Location": f"/api/v1/accounts/{account.id}"}


@blueprint.get("/accounts/<uuid:account_id>")
@verify_tenant_context
def show_account(account_id: UUID) -> Json:
    """Show one of the user's accounts."""
    return own_account(account_id).details()


@blueprint.delete("/accounts/<uuid:account_id>")
@verify_tenant_context
def delete_account(account_id: UUID) -> tuple[str, int]:
    """Delete one of the user's accounts."""
    session().delete(own_account(account_id))
    session().commit()
    return "", 204


@blueprint.get("/admin/accounts")
@verify_tenant_context
@verify_role("admin")
def list_accounts_of_tenant() -> Json:
    """List the accounts of all users of the admin's tenant."""
    accounts, total = one_page(select(Account))
    shown = [account.summary() | {"user_id": str(account.user_id)} for account in accounts]
    return {"accounts": shown, "total": total}
