"""What a compiled statement asks of its execution: values to set, and values to check."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, Table

from .catalogue import Link, OwnedTable
from .values import Form, form_of


@dataclass(frozen=True)
class Treatment:
    """How scoped tables and text are treated. Statements are cached by it."""

    # Rows of all users of the tenant, or the user's own.
    whole_tenant: bool = False
    # Text is allowed: the database bounds it (row-level security), or no session is isolated.
    allows_text: bool = False
    # Global tables with the name of a scoped one, which are in another database than that.
    elsewhere: frozenset[Table] = frozenset()
    # Every use of a scoped table raises: the connection is of no isolated session.
    forbids: bool = False


class WrittenOwner:
    """A value that is written into a column that says whose a row is."""

    def __init__(self, owner: str, table: str, form: Form, *, stamps: bool) -> None:
        self.owner = owner
        self.table = table
        self.form = form
        # Whether None, or no value, stands for the identity itself.
        self.stamps = stamps
        # The name of the bind parameter, once it is written.
        self.names: list[str | None] = [None]


class WrittenLink:
    """Values that are written into columns that name a row of an owned table."""

    def __init__(self, link: Link) -> None:
        self.link = link
        # The names of the bind parameters, once they are written.
        self.names: list[str | None] = [None] * len(link.columns)


class Bounds:
    """What is set and checked when a compiled statement is executed, by bind name."""

    def __init__(self) -> None:
        # The owner and the form of each value of a condition.
        self.own: dict[str, tuple[str, Form]] = {}
        self.owners: list[WrittenOwner] = []
        self.links: list[WrittenLink] = []
        self.holds_text = False

    @property
    def need_identity(self) -> bool:
        """Whether the statement reads or writes rows of tenants."""
        return bool(self.own or self.owners or self.links)


# A part of the names of our bind parameters, so that no parameter of an application has one.
RANDOM = secrets.token_hex(4)


class OwnValue(BindParameter[Any]):
    """The tenant or user of the identity in force when the statement is executed."""

    inherit_cache = True
    owner: str
    form: Form

    @classmethod
    def make(cls, owner: str, column: Column[Any]) -> OwnValue:
        """Return one to be compared with a column."""
        value = cls(f"{owner}_{RANDOM}", None, type_=column.type, unique=True)
        value.owner, value.form = owner, form_of(column)
        return value


class WrittenValue(BindParameter[Any]):
    """A value of the application for a column that says whose a row is."""

    inherit_cache = True
    # What it means, and its position there: a column can be an owner and a part of a link.
    written: tuple[tuple[WrittenOwner | WrittenLink, int], ...] = ()

    def also(self, meaning: WrittenOwner | WrittenLink, position: int = 0) -> WrittenValue:
        """Return it with one more meaning."""
        self.written = (*self.written, (meaning, position))
        return self


class BoundedWhere(ColumnElement[bool]):
    """The WHERE of a statement that writes: the application's conditions, and ours."""

    __visit_name__ = "flask_tenant_auth_where"
    inherit_cache = False

    def __init__(self, criteria: Sequence[Any], owned: OwnedTable, prefix: str) -> None:
        self.criteria = tuple(criteria)
        self.owned = owned
        self.prefix = prefix
