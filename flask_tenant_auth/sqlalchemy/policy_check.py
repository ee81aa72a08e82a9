"""Whether row-level security bounds the role that is connected, and if not, why not.

Policies are compared in the form in which PostgreSQL writes them. For that, the policies that
rls-sql prints are created on a temporary table of the same columns, read back, and rolled back.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import DDL, Connection, MetaData, text
from sqlalchemy.exc import DBAPIError

from .catalogue import OwnedTable
from .policies import (
    POLICY,
    UNSCOPED_CONDITION,
    UNSCOPED_POLICY,
    condition,
    name_of,
    quoted,
    tables,
)
from .row_level_security import PREFIX

# The roles that the connection has, or can take by SET ROLE and RESET ROLE.
ROLES = text(
    "SELECT oid, rolname, rolname = current_user AS itself, rolsuper, rolbypassrls, rolcreaterole,"
    " rolreplication FROM pg_catalog.pg_roles"
    " WHERE pg_has_role(current_user, oid, 'MEMBER') OR pg_has_role(session_user, oid, 'MEMBER')"
    " ORDER BY itself DESC, rolname"
)
# Predefined roles that read the files of the server, in which there are no policies.
SERVER_ROLES = ("pg_read_server_files", "pg_write_server_files", "pg_execute_server_program")

PRESETS = text(
    "SELECT name, current_setting(name, true) AS value FROM unnest(CAST(:names AS text[])) AS name"
    " WHERE coalesce(current_setting(name, true), '') <> ''"
)

# A table, and what it inherits from or to (partitions are the same to PostgreSQL).
FAMILY = text(
    "WITH RECURSIVE family AS (SELECT to_regclass(:name)::oid AS oid"
    " UNION SELECT CASE WHEN i.inhrelid = f.oid THEN i.inhparent ELSE i.inhrelid END"
    " FROM family AS f JOIN pg_catalog.pg_inherits AS i ON f.oid IN (i.inhrelid, i.inhparent))"
    " SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relkind::text, c.relrowsecurity,"
    " c.relforcerowsecurity, o.oid AS owner_oid, o.rolname AS owner,"
    " c.relowner = ANY (CAST(:reachable AS oid[])) AS owned,"
    " n.nspowner = ANY (CAST(:reachable AS oid[])) AS schema_owned, n.nspname AS schema,"
    " c.oid = to_regclass(:name)::oid AS itself"
    " FROM family AS f JOIN pg_catalog.pg_class AS c USING (oid)"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_roles AS o ON o.oid = c.relowner"
    " ORDER BY itself DESC, name"
)

POLICIES = text(
    "SELECT p.polname, p.polpermissive, p.polcmd::text AS polcmd, p.polroles::bigint[],"
    " pg_get_expr(p.polqual, p.polrelid) AS visible,"
    " pg_get_expr(coalesce(p.polwithcheck, p.polqual), p.polrelid) AS writable,"
    " EXISTS (SELECT 1 FROM unnest(p.polroles) AS r(oid) WHERE r.oid = 0 OR"
    " r.oid = ANY (CAST(:reachable AS oid[]))) AS applies"
    " FROM pg_catalog.pg_policy AS p WHERE p.polrelid = :oid ORDER BY p.polname"
)

COLUMNS = text(
    "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_catalog.pg_attribute"
    " WHERE attrelid = :oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)

TEMPORARY = text("SELECT CAST(to_regclass(:name) AS oid)")

# Of the table, and of its columns.
GRANTS = text(
    "SELECT DISTINCT a.privilege_type AS privilege, coalesce(g.rolname, 'PUBLIC') AS grantee"
    " FROM (SELECT relacl AS acl FROM pg_catalog.pg_class WHERE oid = :oid"
    " UNION ALL SELECT attacl FROM pg_catalog.pg_attribute WHERE attrelid = :oid) AS acls,"
    " aclexplode(acls.acl) AS a LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee"
    " WHERE a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')"
    " AND (a.grantee = 0 OR (a.grantee <> :owner"
    " AND a.grantee = ANY (CAST(:reachable AS oid[])))) ORDER BY 1, 2"
)
DEFAULT_GRANTS = text(
    "SELECT DISTINCT a.privilege_type AS privilege, coalesce(g.rolname, 'PUBLIC') AS grantee,"
    " o.rolname AS owner FROM pg_catalog.pg_default_acl AS d"
    " JOIN pg_catalog.pg_roles AS o ON o.oid = d.defaclrole,"
    " aclexplode(d.defaclacl) AS a LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee"
    " WHERE d.defaclobjtype = 'r' AND a.privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')"
    " AND a.grantee <> d.defaclrole"
    " AND (a.grantee = 0 OR a.grantee = ANY (CAST(:reachable AS oid[]))) ORDER BY 1, 2, 3"
)
UNBOUNDED = {
    "TRUNCATE": "removes everybody's rows",
    "REFERENCES": "lets a foreign key tell which rows of others there are",
    "TRIGGER": "lets a trigger see and change the rows that others write",
}

RULES = text(
    "SELECT r.rulename FROM pg_catalog.pg_rewrite AS r"
    " JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class"
    " WHERE r.ev_class = :oid AND c.relkind <> 'v' ORDER BY 1"
)

# Views, materialized views and tables with rules, and what their queries name.
READERS = text(
    "SELECT DISTINCT c.oid, c.oid::regclass::text AS name, c.relname AS simple_name,"
    " c.relkind::text, c.reloptions, c.relowner AS owner_oid, d.refobjid AS read"
    " FROM pg_catalog.pg_depend AS d"
    " JOIN pg_catalog.pg_rewrite AS r ON r.oid = d.objid"
    " JOIN pg_catalog.pg_class AS c ON c.oid = r.ev_class"
    " WHERE d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.refclassid IN"
    " ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass) AND d.refobjid <> c.oid"
    " AND c.oid >= 16384 ORDER BY name"  # what is below came with PostgreSQL
)

FUNCTIONS = text(
    "SELECT p.oid, p.oid::regprocedure::text AS name, p.proname AS simple_name, p.prosrc,"
    " p.prosecdef,"
    " coalesce(p.proconfig, '{}') AS config, l.lanname, p.proowner AS owner_oid,"
    " p.prorettype = 'trigger'::regtype OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles AS r"
    " WHERE r.oid = ANY (CAST(:reachable AS oid[]))"
    " AND has_function_privilege(r.oid, p.oid, 'EXECUTE'))"
    " AS runs, ARRAY(SELECT d.refobjid::bigint FROM pg_catalog.pg_depend AS d"
    " WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.refclassid IN"
    " ('pg_catalog.pg_class'::regclass, 'pg_catalog.pg_proc'::regclass)) AS read"
    " FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang"
    " WHERE p.oid >= 16384 AND NOT EXISTS"  # nor what an extension brought
    " (SELECT 1 FROM pg_catalog.pg_depend AS e WHERE e.deptype = 'e'"
    " AND e.classid = 'pg_catalog.pg_proc'::regclass AND e.objid = p.oid) ORDER BY name"
)

# For whom policies do not count, and whose roles a role has.
EVERY_ROLE = text(
    "SELECT r.oid, r.rolname, r.rolsuper OR r.rolbypassrls AS exempt,"
    " ARRAY(SELECT m.oid::bigint FROM pg_catalog.pg_roles AS m"
    " WHERE pg_has_role(r.oid, m.oid, 'USAGE')) AS roles FROM pg_catalog.pg_roles AS r"
)

TRUE = ("true", "on", "yes", "1", "t", "y")


@dataclass
class Schema:
    """What is known of the database so far."""

    connection: Connection
    # The roles that the connection has, or can take.
    reachable: list[int] = field(default_factory=list)
    # Tables with tenants' rows by oid, and those that share rows with them.
    scoped: dict[int, str] = field(default_factory=dict)
    # The same by name.
    words: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    owners: dict[int, int] = field(default_factory=dict)
    # Roles for whom the policies of a table do not count, or others count as well.
    exempt: dict[int, set[int]] = field(default_factory=dict)

    def execute(self, query: Any, **values: Any) -> Any:
        """Ask the catalogue."""
        return self.connection.execute(query, {**values, "reachable": self.reachable})


def problems(connection: Connection, metadata: MetaData | None = None) -> Iterator[str]:
    """Return why row-level security does not bound the role that is connected."""
    if connection.dialect.name != "postgresql":
        yield f"{connection.dialect.name} has no row-level security"
        return
    schema = Schema(connection)
    yield from role_problems(schema)
    scoped = tables(metadata)
    if not scoped:
        yield "no class is TenantScoped or UserScoped: were the models imported?"
    for owned in scoped:
        yield from table_problems(schema, owned, {name_of(each.table) for each in scoped})
    for grant in schema.execute(DEFAULT_GRANTS):
        yield (
            f"tables that {grant.owner} will create let {grant.grantee} {grant.privilege} them "
            f"(ALTER DEFAULT PRIVILEGES): that {UNBOUNDED[grant.privilege]}"
        )
    yield from reader_problems(schema)


def role_problems(schema: Schema) -> Iterator[str]:
    """Return what the role is, or can become, that no policy bounds."""
    roles = schema.execute(ROLES).all()
    schema.reachable = [role.oid for role in roles]
    for role in roles:
        verb = "is" if role.itself else "can become"
        if role.rolsuper or role.rolbypassrls:
            what = "superuser" if role.rolsuper else "a role with BYPASSRLS"
            yield f"the role {verb} {what} ({role.rolname}), for whom no policy counts"
        if role.rolsuper:
            continue
        if role.rolcreaterole:
            yield (
                f"the role {verb} a role with CREATEROLE ({role.rolname}), which can make itself "
                "a member of other roles"
            )
        if role.rolreplication:
            yield (
                f"the role {verb} a role with REPLICATION ({role.rolname}), which can copy all "
                "rows of the server"
            )
        if role.rolname in SERVER_ROLES:
            yield f"the role {verb} {role.rolname}, which reaches the server's files past policies"
    names = [f"{PREFIX}.{name}" for name in ("tenant_id", "user_id", "role")]
    for preset in schema.execute(PRESETS, names=names):
        yield (
            f"the setting {preset.name} is {preset.value!r} before anybody is known: it is set "
            "for the role, the database, the server or in the URL"
        )


def table_problems(schema: Schema, owned: OwnedTable, known: set[str]) -> Iterator[str]:
    """Return what is wrong with one table, and with those that share rows with it."""
    name = name_of(owned.table)
    family = schema.execute(FAMILY, name=name).all()
    if not family:
        yield f"{name}: there is no such table"
        return
    for found in family:
        # Its policies do not count where rows are read through another table of the family.
        if found.itself or found.name not in known:
            schema.scoped[found.oid] = name
            schema.words[found.relname.lower()].add(found.oid)
            schema.owners[found.oid] = found.owner_oid
            yield from relation_problems(schema, owned, name if found.itself else found.name, found)


def relation_problems(schema: Schema, owned: OwnedTable, name: str, found: Any) -> Iterator[str]:
    """Return what is wrong with a table, or with another that shares rows with it."""
    if not found.itself:
        name = f"{name} (shares rows with {name_of(owned.table)})"
    if found.relkind not in ("r", "p"):
        yield f"{name}: it is no table, and can have no row-level security"
        return
    if not found.relrowsecurity:
        yield f"{name}: row-level security is not enabled"
    if not found.relforcerowsecurity and found.itself:
        yield f"{name}: row-level security is not forced upon its owner"
    policies = {each.polname: each for each in schema.execute(POLICIES, oid=found.oid)}
    schema.exempt[found.oid] = set(() if found.relforcerowsecurity else (found.owner_oid,)).union(
        *(
            set(policy.polroles) - {0}
            for policy in policies.values()
            if policy.polpermissive and policy.polname not in (POLICY, UNSCOPED_POLICY)
        )
    )
    try:
        expected = expected_policies(schema, owned, found)
    except DBAPIError as error:
        yield f"{name}: its policies cannot be compared with those of rls-sql: {error.orig}"
    else:
        yield from policy_problems(name, found.itself, expected, policies)
    yield from privilege_problems(schema, name, found)


def privilege_problems(schema: Schema, name: str, found: Any) -> Iterator[str]:
    """Return what the role may do with a table that no policy bounds."""
    if found.owned:
        yield f"{name}: the role owns it ({found.owner}), and could switch its policies off"
    if found.schema_owned:
        yield f"{name}: the role owns the schema {found.schema}, and could drop the table"
    for rule in schema.execute(RULES, oid=found.oid).scalars():
        yield f"{name}: the rule {rule} rewrites statements on it with the rights of {found.owner}"
    for grant in schema.execute(GRANTS, oid=found.oid, owner=found.owner_oid):
        yield (
            f"{name}: {grant.privilege} is granted to {grant.grantee}, and "
            f"{UNBOUNDED[grant.privilege]}"
        )


def expected_policies(schema: Schema, owned: OwnedTable, found: Any) -> dict[str, str]:
    """Return the conditions of our policies on this table as PostgreSQL writes them.

    They are created on a temporary table of its name and columns, so that no right on the table
    itself is needed, and rolled back.
    """
    connection, table = schema.connection, quoted(found.relname)
    columns = ", ".join(
        f"{quoted(column.attname)} {column.type}"
        for column in schema.execute(COLUMNS, oid=found.oid)
    )
    wanted = {POLICY: condition(owned, table), UNSCOPED_POLICY: UNSCOPED_CONDITION}
    savepoint = connection.begin_nested()
    try:
        run(connection, f"CREATE TEMPORARY TABLE {table} ({columns})")
        for policy, allowed in wanted.items():
            run(connection, f"CREATE POLICY {policy} ON pg_temp.{table} USING ({allowed})")
        oid = schema.execute(TEMPORARY, name=f"pg_temp.{table}").scalar()
        return {policy.polname: policy.visible for policy in schema.execute(POLICIES, oid=oid)}
    finally:
        savepoint.rollback()


def run(connection: Connection, sql: str) -> None:
    """Execute a statement as it is. DDL() would replace text behind a percent sign."""
    connection.execute(DDL(sql.replace("%", "%%")))  # type: ignore[no-untyped-call]


def policy_problems(
    name: str, itself: bool, expected: dict[str, str], policies: dict[str, Any]
) -> Iterator[str]:
    """Return what is wrong with the policies of a table."""
    if itself and POLICY not in policies:
        yield f"{name}: the policy {POLICY} is missing"
    for policy in policies.values():
        wanted = expected.get(policy.polname)
        if wanted is None:
            if policy.polpermissive and policy.applies:
                yield (
                    f"{name}: the permissive policy {policy.polname} lets rows pass beside {POLICY}"
                )
            continue
        if not policy.polpermissive:
            yield f"{name}: the policy {policy.polname} is not permissive"
        if policy.polcmd != "*":
            yield f"{name}: the policy {policy.polname} is not FOR ALL"
        if not policy.applies:
            yield f"{name}: the policy {policy.polname} is not for this role"
        for clause, expression in (("USING", policy.visible), ("WITH CHECK", policy.writable)):
            if expression != wanted:
                yield (
                    f"{name}: {clause} of the policy {policy.polname} does not compare the owners "
                    f"as rls-sql does: {expression}{other_roles(expression, wanted)}"
                )


ROLE_TESTED = re.compile(
    rf"current_setting\('{PREFIX}\.role'::text, true\) = "
    r"(?:ANY \(ARRAY\[)?(?P<roles>'(?:[^']|'')*'::text(?:, '(?:[^']|'')*'::text)*)"
)


def tested_roles(expression: str | None) -> list[str]:
    """Return the roles that a condition asks for, as PostgreSQL writes them."""
    return sorted(
        {
            role
            for found in ROLE_TESTED.finditer(expression or "")
            for role in re.findall(r"'(?:[^']|'')*'", found["roles"])
        }
    )


def other_roles(expression: str | None, wanted: str) -> str:
    """Return what to say where a policy is for other roles than AUTH_TENANT_ROLES names."""
    theirs, ours = tested_roles(expression), tested_roles(wanted)
    if theirs == ours:
        return ""
    return (
        f" (the rows of a whole tenant are for the roles {', '.join(theirs) or 'none'} there, and "
        f"for {', '.join(ours) or 'none'} in AUTH_TENANT_ROLES: run what rls-sql prints)"
    )


# Views, rules and functions that read the tables with the rights of others


@dataclass
class Reader:
    """A view, a rule or a function, and the tenants' tables that it reaches."""

    row: Any
    read: set[int]
    reaches: set[int] = field(default_factory=set)


def reader_problems(schema: Schema) -> Iterator[str]:
    """Return the views and functions that show tenants' rows with the rights of others."""
    readers: dict[int, Reader] = {}
    for row in schema.execute(READERS):
        readers.setdefault(row.oid, Reader(row, set())).read.add(row.read)
    functions = {row.oid: Reader(row, set(row.read)) for row in schema.execute(FUNCTIONS)}
    follow(schema, readers, functions)
    roles = {role.oid: role for role in schema.execute(EVERY_ROLE)}
    has_invoker = (schema.connection.dialect.server_version_info or ()) >= (15,)
    for oid, reader in readers.items():
        if oid not in schema.scoped:
            yield from view_problems(schema, reader, roles, has_invoker)
    for reader in functions.values():
        yield from function_problems(schema, reader, roles)


def follow(schema: Schema, readers: dict[int, Reader], functions: dict[int, Reader]) -> None:
    """Set on each view and function which tenants' tables it reaches, also through others.

    The body of a function is text, so names are searched for as words. A name is found in a
    comment as well, but none is missed, unless the function puts its SQL together.
    """
    names = defaultdict(set, {name: set(oids) for name, oids in schema.words.items()})
    for oid, reader in (*readers.items(), *functions.items()):
        names[reader.row.simple_name.lower()].add(oid)
    for reader in functions.values():
        body = reader.row.prosrc.lower()
        words = set(re.findall(r"\w+", body))
        for name, oids in names.items():
            if name in (words if re.fullmatch(r"\w+", name) else body):
                reader.read |= oids
    everything = {**readers, **functions}
    for reader in everything.values():
        reader.reaches = reader.read & schema.scoped.keys()
    changed = True
    while changed:
        changed = False
        for reader in everything.values():
            further = [everything[oid].reaches for oid in reader.read & everything.keys()]
            reached = reader.reaches.union(*further)
            changed = changed or reached != reader.reaches
            reader.reaches = reached


def tables_of(schema: Schema, reader: Reader) -> str:
    """Return the tenants' tables that something reaches."""
    return ", ".join(sorted({schema.scoped[oid] for oid in reader.reaches}))


def bypasses(schema: Schema, owner: Any, tables: Iterable[int]) -> bool:
    """Whether what runs with the rights of a role may see more than our policies show."""
    return owner.exempt or any(
        not schema.exempt.get(oid, set()).isdisjoint(owner.roles) for oid in tables
    )


def view_problems(
    schema: Schema, reader: Reader, roles: dict[int, Any], has_invoker: bool
) -> Iterator[str]:
    """Return what is wrong with a view, a materialized view or a rule that reads tenants' rows."""
    if not reader.reaches:
        return
    row, owner = reader.row, roles[reader.row.owner_oid]
    names, kind = tables_of(schema, reader), row.relkind
    options = dict(option.split("=", 1) for option in row.reloptions or ())
    if kind == "m":
        yield (
            f"{names}: the materialized view {row.name} shows its rows to everybody who may read it"
        )
    elif kind != "v":
        yield f"{names}: a rule of {row.name} reads it with the rights of {owner.rolname}"
    elif options.get("security_invoker", "").lower() in TRUE:
        return
    elif bypasses(schema, owner, reader.reaches):
        yield (
            f"{names}: the view of {owner.rolname} {row.name} shows its rows to everybody who may "
            "read it"
        )
    elif has_invoker:
        yield (
            f"{names}: the view {row.name} reads it with the rights of {owner.rolname}: create it "
            "WITH (security_invoker = true)"
        )


def function_problems(schema: Schema, reader: Reader, roles: dict[int, Any]) -> Iterator[str]:
    """Return what is wrong with a function."""
    row, owner = reader.row, roles[reader.row.owner_oid]
    if not row.runs:
        return
    if PREFIX in row.prosrc.lower() or any(
        option.lower().startswith(f"{PREFIX}.") for option in row.config
    ):
        yield f"the function {row.name} changes or uses the settings {PREFIX}.*"
    if not row.prosecdef:
        return
    rights = f"the function {row.name} runs with the rights of {owner.rolname} (SECURITY DEFINER)"
    owns = {oid for oid, role in schema.owners.items() if role in owner.roles}
    if reader.reaches and (owns & reader.reaches or bypasses(schema, owner, reader.reaches)):
        yield f"{tables_of(schema, reader)}: {rights}, and reads it"
    elif owns or bypasses(schema, owner, schema.scoped):
        if row.lanname not in ("sql", "plpgsql"):
            yield f"{rights}, and what it reads cannot be told: its language is {row.lanname}"
        elif re.search(r"\bexecute\b|u&\"", row.prosrc, re.IGNORECASE):
            yield f"{rights}, and what it reads cannot be told: it puts its SQL together"
