"""The policies of PostgreSQL's row-level security: what to create.

policy_check.py checks whether they are in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, Uuid
from sqlalchemy.dialects import postgresql

from ..flask.state import current_tenant_roles
from ..identity.roles import RESERVED_ROLE
from .catalogue import OwnedTable, catalogue
from .row_level_security import PREFIX, literal

POLICY = PREFIX
UNSCOPED_POLICY = f"{PREFIX}_unscoped"
UNSCOPED_CONDITION = f"current_setting('{PREFIX}.role', true) = {literal(RESERVED_ROLE)}"

# With this parameter style a percent sign in a name stays one.
_quote = postgresql.dialect(paramstyle="named").identifier_preparer  # type: ignore[no-untyped-call]


def name_of(table: Table) -> str:
    """Return the table as it is written in SQL."""
    return _quote.format_table(table)


def is_own(column: Column[Any], setting: str) -> str:
    """Return the condition that a column holds the value of a setting of the transaction.

    Without an identity the setting is absent or empty, the comparison is with NULL, and no row
    passes.
    """
    value = f"NULLIF(current_setting('{PREFIX}.{setting}', true), '')"
    if isinstance(column.type, Uuid) and column.type.native_uuid:
        value += "::uuid"
    return f"{_quote.quote(column.name)} = {value}"


def quoted(name: str) -> str:
    """Return a name as it is written in SQL."""
    return _quote.quote(name)


def has_tenant_role() -> str | None:
    """Return the condition that the role reaches the rows of its whole tenant; None: no role does.

    The roles are those of AUTH_TENANT_ROLES now. Policies keep them until they are created anew.
    """
    roles = [literal(role) for role in sorted(current_tenant_roles())]
    if not roles:
        return None
    compared = f"= {roles[0]}" if len(roles) == 1 else f"IN ({', '.join(roles)})"
    return f"current_setting('{PREFIX}.role', true) {compared}"


def condition(owned: OwnedTable, name: str | None = None) -> str:
    """Return the condition on rows that the identity may see and write.

    The table may have another name, as a partition of it has.
    """
    parts = []
    if owned.tenant is not None:
        parts.append(is_own(owned.tenant, "tenant_id"))
    if owned.user is not None:
        own, reaches = is_own(owned.user, "user_id"), has_tenant_role()
        parts.append(own if reaches is None else f"({reaches} OR {own})")
    parts += follows(owned, name or name_of(owned.table))
    return " AND ".join(parts)


def follows(owned: OwnedTable, name: str) -> Iterator[str]:
    """Return the conditions on a table whose rows follow rows of other tables.

    The policies of those tables apply inside of these subqueries.
    """
    optional = [link for link in owned.links if link.optional]
    for link in owned.links:
        target = name_of(link.target.table)
        ours = [f"{name}.{_quote.quote(column.name)}" for column in link.columns]
        theirs = [f"{target}.{_quote.quote(column.name)}" for column in link.target_columns]
        same = " AND ".join(f"{left} = {right}" for left, right in zip(theirs, ours, strict=True))
        seen = f"EXISTS (SELECT 1 FROM {target} WHERE {same})"
        absent = " OR ".join(f"{column} IS NULL" for column in ours)
        yield f"({absent} OR {seen})" if link.optional else seen
    if optional and len(optional) == len(owned.links) and not owned.owners:
        named = (
            " AND ".join(f"{name}.{_quote.quote(each.name)} IS NOT NULL" for each in link.columns)
            for link in optional
        )
        yield f"({' OR '.join(named)})"


def tables(metadata: MetaData | None = None) -> list[OwnedTable]:
    """Return all tables that need a policy, or one MetaData's; first those that others point to."""
    order = {"rows": 0, "subclass": 1, "link": 2}
    found = (
        owned
        for owned in catalogue.all().values()
        if metadata is None or owned.table.metadata is metadata
    )
    return sorted(found, key=lambda owned: (order[owned.kind], owned.table.name))


def create_sql(with_unscoped: bool = True, metadata: MetaData | None = None) -> Iterator[str]:
    """Return the statements that turn row-level security on. They may be run again."""
    for owned in tables(metadata):
        name = name_of(owned.table)
        allowed = condition(owned)
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY"
        yield f"DROP POLICY IF EXISTS {POLICY} ON {name}"
        yield f"CREATE POLICY {POLICY} ON {name}\n    USING ({allowed})\n    WITH CHECK ({allowed})"
        yield f"DROP POLICY IF EXISTS {UNSCOPED_POLICY} ON {name}"
        if with_unscoped:
            yield (
                f"CREATE POLICY {UNSCOPED_POLICY} ON {name}\n    USING ({UNSCOPED_CONDITION})\n"
                f"    WITH CHECK ({UNSCOPED_CONDITION})"
            )


def drop_sql(metadata: MetaData | None = None) -> Iterator[str]:
    """Return the statements that turn it off."""
    for owned in reversed(tables(metadata)):
        name = name_of(owned.table)
        yield f"DROP POLICY IF EXISTS {UNSCOPED_POLICY} ON {name}"
        yield f"DROP POLICY IF EXISTS {POLICY} ON {name}"
        yield f"ALTER TABLE {name} NO FORCE ROW LEVEL SECURITY"
        yield f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"


def alembic_operations(with_unscoped: bool = True) -> str:
    """Return the same as the two functions of an Alembic migration."""

    def function(name: str, statements: Iterator[str]) -> str:
        lines = [f"    op.execute({statement!r})" for statement in statements] or ["    pass"]
        return "\n".join([f"def {name}() -> None:", *lines])

    return "\n\n\n".join(
        [function("upgrade", create_sql(with_unscoped)), function("downgrade", drop_sql())]
    )


def problems(connection: Connection, metadata: MetaData | None = None) -> Iterator[str]:
    """Return why row-level security does not bound the role that is connected."""
    from .policy_check import problems

    return problems(connection, metadata)
