"""The policies of PostgreSQL's row-level security: what to create, and whether it is in force."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, Connection, MetaData, Table, Uuid, text
from sqlalchemy.dialects import postgresql

from .catalogue import OwnedTable, catalogue
from .row_level_security import PREFIX

POLICY = PREFIX
UNSCOPED_POLICY = f"{PREFIX}_unscoped"
UNSCOPED_CONDITION = f"current_setting('{PREFIX}.role', true) = 'unscoped'"

_quote = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]


def name_of(table: Table) -> str:
    """Return the table as it is written in SQL."""
    return _quote.format_table(table)


def is_own(column: Column[Any], setting: str) -> str:
    """Return the condition that a column holds what the transaction was told.

    Without an identity the setting is absent or empty, the comparison is with NULL, and no row
    passes.
    """
    value = f"NULLIF(current_setting('{PREFIX}.{setting}', true), '')"
    if isinstance(column.type, Uuid) and column.type.native_uuid:
        value += "::uuid"
    return f"{_quote.quote(column.name)} = {value}"


def condition(owned: OwnedTable) -> str:
    """Which rows of a table the identity sees, and which it may write."""
    if owned.tenant is None:
        return " AND ".join(follows(owned)) or "false"
    mine = is_own(owned.tenant, "tenant_id")
    if owned.user is None:
        return mine
    return (
        f"{mine} AND (current_setting('{PREFIX}.role', true) = 'admin' "
        f"OR {is_own(owned.user, 'user_id')})"
    )


def follows(owned: OwnedTable) -> Iterator[str]:
    """For a table without owners: its rows follow the rows that they point to.

    The policies of those tables apply inside of these subqueries.
    """
    for link in owned.links:
        target = name_of(link.target.table)
        pairs = zip(link.target_columns, link.columns, strict=True)
        same = " AND ".join(
            f"{target}.{_quote.quote(theirs.name)} = "
            f"{name_of(owned.table)}.{_quote.quote(ours.name)}"
            for theirs, ours in pairs
        )
        yield f"EXISTS (SELECT 1 FROM {target} WHERE {same})"


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
    """Return the statements that put row-level security into force; they may be run again."""
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
    """Return the statements that take it back."""
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


# --- Is it in force? ----------------------------------------------------------

ROLES = text(
    "SELECT rolname, rolname = current_user AS itself, rolsuper, rolbypassrls FROM pg_roles"
    " WHERE (rolsuper OR rolbypassrls) AND pg_has_role(current_user, oid, 'MEMBER')"
)
TABLE = text(
    "SELECT c.oid, relrowsecurity, relforcerowsecurity, rolname AS owner,"
    " pg_has_role(current_user, relowner, 'MEMBER') AS owned"
    " FROM pg_class AS c JOIN pg_roles AS r ON r.oid = relowner"
    " WHERE c.oid = to_regclass(:name)"
)
POLICIES = text(
    "SELECT polname, polcmd, pg_get_expr(polqual, polrelid) AS visible,"
    " pg_get_expr(polwithcheck, polrelid) AS writable"
    " FROM pg_policy WHERE polrelid = :oid AND polpermissive"
)
# A view reads with the rights of its owner, and a materialized view has read already.
VIEWS = text(
    "SELECT DISTINCT v.oid::regclass::text AS name, v.relkind, r.rolname AS owner"
    " FROM pg_depend AS d JOIN pg_rewrite AS w ON w.oid = d.objid"
    " JOIN pg_class AS v ON v.oid = w.ev_class JOIN pg_roles AS r ON r.oid = v.relowner"
    " WHERE d.classid = 'pg_rewrite'::regclass AND d.refobjid = :oid AND v.oid <> :oid"
    " AND (v.relkind = 'm' OR (v.relkind = 'v' AND (r.rolsuper OR r.rolbypassrls)"
    " AND NOT coalesce('security_invoker=true' = ANY (v.reloptions), false)))"
)


def problems(connection: Connection, metadata: MetaData | None = None) -> Iterator[str]:
    """Everything that keeps row-level security from bounding the role that is connected."""
    if connection.dialect.name != "postgresql":
        yield f"{connection.dialect.name} has no row-level security"
        return
    for role in connection.execute(ROLES):
        verb = "is" if role.itself else "can become"
        what = "superuser" if role.rolsuper else "a role with BYPASSRLS"
        yield f"the role {verb} {what} ({role.rolname}), for whom no policy counts"
    if not tables(metadata):
        yield "no class is TenantScoped or UserScoped: were the models imported?"
    for owned in tables(metadata):
        yield from table_problems(connection, owned)


def table_problems(connection: Connection, owned: OwnedTable) -> Iterator[str]:
    """Return what is wrong with one table."""
    name = name_of(owned.table)
    found = connection.execute(TABLE, {"name": name}).one_or_none()
    if found is None:
        yield f"{name}: there is no such table"
        return
    if found.owned:
        yield f"{name}: the role owns it ({found.owner}), and could switch its policies off"
    if not found.relrowsecurity:
        yield f"{name}: row-level security is not enabled"
    if not found.relforcerowsecurity:
        yield f"{name}: row-level security is not forced upon its owner"
    policies = {
        policy.polname: policy for policy in connection.execute(POLICIES, {"oid": found.oid})
    }
    yield from policy_problems(name, owned, policies)
    for view in connection.execute(VIEWS, {"oid": found.oid}):
        kind = "materialized view" if view.relkind == "m" else f"view of {view.owner}"
        yield f"{name}: the {kind} {view.name} shows its rows to everybody who may read it"


def policy_problems(name: str, owned: OwnedTable, policies: dict[str, Any]) -> Iterator[str]:
    """Return what is wrong with the policies of a table."""
    own = policies.pop(POLICY, None)
    policies.pop(UNSCOPED_POLICY, None)
    if own is None:
        yield f"{name}: the policy {POLICY} is missing"
    elif own.polcmd not in ("*", b"*"):
        yield f"{name}: the policy {POLICY} is not FOR ALL"
    else:
        settings = [
            f"{PREFIX}.{setting}"
            for setting, column in (("tenant_id", owned.tenant), ("user_id", owned.user))
            if column is not None
        ] or ["EXISTS"]
        for clause, expression in (("USING", own.visible), ("WITH CHECK", own.writable)):
            if any(setting not in (expression or "") for setting in settings):
                yield f"{name}: {clause} of the policy {POLICY} does not compare the owners"
    for other in sorted(policies):
        yield f"{name}: the permissive policy {other} lets rows pass beside {POLICY}"
