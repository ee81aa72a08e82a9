"""Whose a row is, by the values in its owners' columns."""

from __future__ import annotations

import uuid
from enum import Enum
from typing import Any

from sqlalchemy import Column, TypeDecorator, Uuid

from .._core import Identity
from .errors import ForeignRow
from .scope import as_uuid, reaches_tenant


def same(value: object, expected: str) -> bool:
    """Whether a value, in any form of a UUID, is this UUID; an SQL expression never is."""
    if isinstance(value, uuid.UUID):
        return value == as_uuid(expected)
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == expected
    except ValueError:
        return False


def may_own(owner: str, value: object, identity: Identity) -> bool:
    """Whether the identity may write a row with this tenant_id or user_id."""
    if owner == "tenant_id":
        return same(value, identity.tenant_id)
    if reaches_tenant(identity):
        return isinstance(value, uuid.UUID) or (isinstance(value, str) and is_uuid(value))
    return same(value, identity.user_id)


def is_uuid(value: str) -> bool:
    """Whether the text is a UUID in any of its forms."""
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


class Form(Enum):
    """The Python values of an owner's column."""

    OBJECT = "uuid.UUID"
    TEXT = "text with hyphens"
    HEX = "32 digits, as SQLite's Uuid is reflected"


def form_of(column: Column[Any]) -> Form:
    """Return the form of a column's Python values."""
    type_: Any = column.type
    while isinstance(type_, TypeDecorator):
        type_ = type_.impl
    if isinstance(type_, Uuid):
        return Form.OBJECT if type_.as_uuid else Form.TEXT
    return Form.HEX if getattr(type_, "length", None) == 32 else Form.TEXT


def in_form(value: uuid.UUID, form: Form) -> uuid.UUID | str:
    """Return a UUID as a column holds it."""
    if form is Form.OBJECT:
        return value
    return str(value) if form is Form.TEXT else value.hex


def own_value(owner: str, identity: Identity, form: Form) -> uuid.UUID | str:
    """Return the tenant_id or user_id of a row of the identity."""
    value: str = getattr(identity, owner)
    return value if form is Form.TEXT else in_form(as_uuid(value), form)


def written_value(owner: str, value: object, identity: Identity, form: Form) -> Any:
    """Return a value as its column holds it, if the identity may write it; else the value."""
    if isinstance(value, uuid.UUID | str) and may_own(owner, value, identity):
        return in_form(value if isinstance(value, uuid.UUID) else uuid.UUID(value), form)
    return value


def foreign(what: str, owner: str) -> ForeignRow:
    """Return the error for a row of somebody else."""
    return ForeignRow(f"{what} belongs, or would belong, to another {owner.removesuffix('_id')}")
