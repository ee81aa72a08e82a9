"""`flask auth rls-check`: each way to take row-level security away is found, and named."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from sqlalchemy import Connection, ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

from flask_tenant_auth import TenantAuth
from flask_tenant_auth.sqlalchemy import TenantScoped, UserScoped, policies, policy_check
from mail import Base
from mail_database import Database
from servers import PostgreSQL

BY_TENANT = "tenant_id = NULLIF(current_setting('flask_tenant_auth.tenant_id', true), '')::uuid"
BY_USER = "user_id = NULLIF(current_setting('flask_tenant_auth.user_id', true), '')::uuid"
IS_ADMIN = "current_setting('flask_tenant_auth.role', true) = 'admin'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="module")
def database(server: PostgreSQL) -> Iterator[Database]:
    database = Database(server, "checked")
    database.run(database.owner, *policies.create_sql(metadata=Base.metadata))
    database.run(
        database.superuser,
        "CREATE ROLE reporting",
        "CREATE ROLE bystander",
        "CREATE ROLE bypassing BYPASSRLS",
    )
    yield database
    database.dispose()


@contextmanager
def sabotaged(database: Database, *statements: str) -> Iterator[Connection]:
    """Connected as the application, after the statements; all is rolled back."""
    with database.superuser.connect() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("SET SESSION AUTHORIZATION checked_app")
        yield connection
        connection.rollback()


def found(database: Database, *statements: str) -> list[str]:
    with sabotaged(database, *statements) as connection:
        return list(policies.problems(connection, Base.metadata))


def function(security: str = "SECURITY DEFINER", owner: str = "postgres", **more: str) -> list[str]:
    body = more.get("body", "SELECT count(*) FROM account")
    language = more.get("language", "sql")
    returns = more.get("returns", "bigint")
    return [
        f"CREATE FUNCTION leak() RETURNS {returns} LANGUAGE {language} {security} AS $${body}$$",
        f"ALTER FUNCTION leak() OWNER TO {owner}",
    ]


# Each: what is done, and what is found; all that is found, unless it ends with dots.
SABOTAGES: dict[str, tuple[list[str], list[str]]] = {
    # The role.
    "superuser": (
        ["ALTER ROLE checked_app SUPERUSER"],
        ["the role is superuser (checked_app), for whom no policy counts", "..."],
    ),
    "BYPASSRLS": (
        ["ALTER ROLE checked_app BYPASSRLS"],
        ["the role is a role with BYPASSRLS (checked_app), for whom no policy counts"],
    ),
    "a member of a role with BYPASSRLS": (
        ["GRANT bypassing TO checked_app"],
        ["the role can become a role with BYPASSRLS (bypassing), for whom no policy counts"],
    ),
    "a member through another, NOINHERIT": (
        [
            "ALTER ROLE checked_app NOINHERIT",
            "GRANT bypassing TO reporting",
            "GRANT reporting TO checked_app",
        ],
        ["the role can become a role with BYPASSRLS (bypassing), for whom no policy counts"],
    ),
    "CREATEROLE": (
        ["ALTER ROLE checked_app CREATEROLE"],
        ["the role is a role with CREATEROLE (checked_app), which can make itself a member of"],
    ),
    "CREATEROLE of another": (
        ["ALTER ROLE reporting CREATEROLE", "GRANT reporting TO checked_app"],
        ["the role can become a role with CREATEROLE (reporting), which can make itself a member"],
    ),
    "REPLICATION": (
        ["ALTER ROLE checked_app REPLICATION"],
        ["the role is a role with REPLICATION (checked_app), which can copy all rows"],
    ),
    "the server's files": (
        ["GRANT pg_read_server_files TO checked_app"],
        ["the role can become pg_read_server_files, which reaches the server's files"],
    ),
    "the server's programs": (
        ["GRANT pg_execute_server_program TO checked_app"],
        ["the role can become pg_execute_server_program, which reaches the server's files"],
    ),
    # What is set before anybody is known.
    "a setting of the session": (
        ["SET flask_tenant_auth.role = 'unscoped'"],
        ["the setting flask_tenant_auth.role is 'unscoped' before anybody is known"],
    ),
    # Ownership.
    "a member of the owner": (
        ["GRANT checked_owner TO checked_app"],
        ["account: the role owns it (checked_owner), and could switch its policies off", "..."],
    ),
    "the owner of the table": (
        ["ALTER TABLE note OWNER TO checked_app"],
        ["note: the role owns it (checked_app), and could switch its policies off"],
    ),
    "the owner of the schema": (
        ["ALTER SCHEMA public OWNER TO checked_app"],
        ["account: the role owns the schema public, and could drop the table", "..."],
    ),
    # The table.
    "disabled": (
        ["ALTER TABLE invoice DISABLE ROW LEVEL SECURITY"],
        ["invoice: row-level security is not enabled"],
    ),
    "not forced": (
        ["ALTER TABLE message NO FORCE ROW LEVEL SECURITY"],
        ["message: row-level security is not forced upon its owner"],
    ),
    "no table": (["ALTER TABLE note RENAME TO notes"], ["note: there is no such table"]),
    "a view in its place": (
        [
            "ALTER TABLE note RENAME TO notes",
            "CREATE VIEW note WITH (security_invoker) AS SELECT * FROM notes",
        ],
        ["note: it is no table, and can have no row-level security"],
    ),
    "a column of another type": (
        [
            "DROP POLICY flask_tenant_auth ON label",
            "ALTER TABLE label ALTER tenant_id TYPE text",
        ],
        [
            "label: its policies cannot be compared with those of rls-sql: operator does not exist",
        ],
    ),
    # Policies.
    "no policy": (
        ["DROP POLICY flask_tenant_auth ON message_label"],
        ["message_label: the policy flask_tenant_auth is missing"],
    ),
    "another permissive policy": (
        ["CREATE POLICY for_all ON account USING (true)"],
        ["account: the permissive policy for_all lets rows pass beside flask_tenant_auth"],
    ),
    "another permissive policy, for SELECT and the role": (
        ["CREATE POLICY app_reads ON label FOR SELECT TO checked_app USING (true)"],
        ["label: the permissive policy app_reads lets rows pass beside flask_tenant_auth"],
    ),
    "another permissive policy, for a role of the role": (
        [
            "GRANT reporting TO checked_app",
            "CREATE POLICY reports ON label FOR INSERT TO reporting WITH CHECK (true)",
        ],
        ["label: the permissive policy reports lets rows pass beside flask_tenant_auth"],
    ),
    "FOR SELECT alone": (
        [
            "DROP POLICY flask_tenant_auth ON label",
            f"CREATE POLICY flask_tenant_auth ON label FOR SELECT USING ({BY_TENANT})",
        ],
        ["label: the policy flask_tenant_auth is not FOR ALL"],
    ),
    "restrictive": (
        [
            "DROP POLICY flask_tenant_auth ON label",
            f"CREATE POLICY flask_tenant_auth ON label AS RESTRICTIVE USING ({BY_TENANT})",
        ],
        ["label: the policy flask_tenant_auth is not permissive"],
    ),
    "for another role": (
        ["ALTER POLICY flask_tenant_auth ON label TO bystander"],
        ["label: the policy flask_tenant_auth is not for this role"],
    ),
    "widened by OR": (
        [f"ALTER POLICY flask_tenant_auth ON label USING ({BY_TENANT} OR name = 'shared')"],
        ["label: USING of the policy flask_tenant_auth does not compare the owners as rls-sql"],
    ),
    "widened by OR true": (
        [
            f"ALTER POLICY flask_tenant_auth ON account USING ({BY_TENANT} AND "
            f"({IS_ADMIN} OR {BY_USER}) OR true)"
        ],
        ["account: USING of the policy flask_tenant_auth does not compare the owners as rls-sql"],
    ),
    "parentheses elsewhere": (
        [
            f"ALTER POLICY flask_tenant_auth ON account USING (({BY_TENANT} AND {IS_ADMIN})"
            f" OR {BY_USER})"
        ],
        ["account: USING of the policy flask_tenant_auth does not compare the owners as rls-sql"],
    ),
    "the user is forgotten": (
        [f"ALTER POLICY flask_tenant_auth ON account WITH CHECK ({BY_TENANT})"],
        ["account: WITH CHECK of the policy flask_tenant_auth does not compare the owners"],
    ),
    "every user is an admin": (
        [
            f"ALTER POLICY flask_tenant_auth ON note USING ({BY_TENANT} AND "
            f"(current_setting('flask_tenant_auth.role', true) = 'user' OR {BY_USER}))"
        ],
        ["note: USING of the policy flask_tenant_auth does not compare the owners as rls-sql"],
    ),
    "another column": (
        [f"ALTER POLICY flask_tenant_auth ON label WITH CHECK ({BY_TENANT.replace('=', '<>')})"],
        ["label: WITH CHECK of the policy flask_tenant_auth does not compare the owners"],
    ),
    "a link that follows one end only": (
        [
            "ALTER POLICY flask_tenant_auth ON message_label USING (EXISTS "
            "(SELECT 1 FROM label WHERE label.id = message_label.label_id))"
        ],
        ["message_label: USING of the policy flask_tenant_auth does not compare the owners"],
    ),
    "a link that follows anything": (
        [
            "ALTER POLICY flask_tenant_auth ON message_label WITH CHECK (EXISTS (SELECT 1 FROM "
            "label) AND EXISTS (SELECT 1 FROM message))"
        ],
        ["message_label: WITH CHECK of the policy flask_tenant_auth does not compare the owners"],
    ),
    "unscoped for everybody": (
        [
            "ALTER POLICY flask_tenant_auth_unscoped ON label USING "
            "(current_setting('flask_tenant_auth.role', true) <> 'unscoped')"
        ],
        ["label: USING of the policy flask_tenant_auth_unscoped does not compare the owners"],
    ),
    # Tables that share rows.
    "a table that inherits": (
        ["CREATE TABLE old_account () INHERITS (account)"],
        ["old_account (shares rows with account): row-level security is not enabled"],
    ),
    "a table that inherits from one that inherits": (
        [
            "CREATE TABLE old_account () INHERITS (account)",
            "ALTER TABLE old_account ENABLE ROW LEVEL SECURITY",
            "CREATE TABLE older_account () INHERITS (old_account)",
        ],
        ["older_account (shares rows with account): row-level security is not enabled"],
    ),
    "a table that inherits, with another policy": (
        [
            "CREATE TABLE old_account () INHERITS (account)",
            "ALTER TABLE old_account ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY all_of_them ON old_account USING (true)",
        ],
        [
            "old_account (shares rows with account): the permissive policy all_of_them lets rows "
            "pass beside flask_tenant_auth"
        ],
    ),
    "a table that it inherits from": (
        ["CREATE TABLE named (name varchar NOT NULL)", "ALTER TABLE label INHERIT named"],
        [
            "named (shares rows with label): its policies cannot be compared",
            "named (shares rows with label): row-level security is not enabled",
        ],
    ),
    # Privileges.
    "TRUNCATE": (
        ["GRANT TRUNCATE ON account TO checked_app"],
        ["account: TRUNCATE is granted to checked_app, and removes everybody's rows"],
    ),
    "TRUNCATE for PUBLIC": (
        ["GRANT TRUNCATE ON account TO PUBLIC"],
        ["account: TRUNCATE is granted to PUBLIC, and removes everybody's rows"],
    ),
    "TRIGGER for a role of the role": (
        ["GRANT TRIGGER ON message TO reporting", "GRANT reporting TO checked_app"],
        ["message: TRIGGER is granted to reporting, and lets a trigger see and change the rows"],
    ),
    "REFERENCES": (
        ["GRANT REFERENCES ON label TO checked_app"],
        ["label: REFERENCES is granted to checked_app, and lets a foreign key tell which rows"],
    ),
    "REFERENCES of a column": (
        ["GRANT REFERENCES (id) ON label TO PUBLIC"],
        ["label: REFERENCES is granted to PUBLIC, and lets a foreign key tell which rows"],
    ),
    "TRUNCATE of a table that inherits": (
        [
            "CREATE TABLE old_account () INHERITS (account)",
            "ALTER TABLE old_account ENABLE ROW LEVEL SECURITY",
            "GRANT TRUNCATE ON old_account TO checked_app",
        ],
        ["old_account (shares rows with account): TRUNCATE is granted to checked_app"],
    ),
    "TRUNCATE of tables to come": (
        [
            "ALTER DEFAULT PRIVILEGES FOR ROLE checked_owner IN SCHEMA public "
            "GRANT TRUNCATE ON TABLES TO checked_app"
        ],
        ["tables that checked_owner will create let checked_app TRUNCATE them"],
    ),
    "a rule": (
        ["CREATE RULE also AS ON UPDATE TO account DO ALSO DELETE FROM note"],
        [
            "account: the rule also rewrites statements on it with the rights of checked_owner",
        ],
    ),
    "a rule of another table": (
        [
            "CREATE RULE also AS ON UPDATE TO provider DO ALSO DELETE FROM note",
            "ALTER TABLE provider OWNER TO bypassing",
        ],
        ["note: a rule of provider reads it with the rights of bypassing"],
    ),
    # Views.
    "a view of the superuser's": (
        ["CREATE VIEW everybody AS SELECT * FROM account"],
        ["account: the view of postgres everybody shows its rows to everybody who may read it"],
    ),
    "a view of a role with BYPASSRLS": (
        [
            "CREATE VIEW everybody AS SELECT * FROM account",
            "ALTER VIEW everybody OWNER TO bypassing",
        ],
        ["account: the view of bypassing everybody shows its rows to everybody who may read it"],
    ),
    "a view of the owner's": (
        [
            "CREATE VIEW everybody AS SELECT * FROM account",
            "ALTER VIEW everybody OWNER TO checked_owner",
        ],
        ["account: the view everybody reads it with the rights of checked_owner: create it WITH"],
    ),
    "a view of the owner's, who is not bounded": (
        [
            "ALTER TABLE account NO FORCE ROW LEVEL SECURITY",
            "CREATE VIEW everybody AS SELECT * FROM account",
            "ALTER VIEW everybody OWNER TO checked_owner",
        ],
        [
            "account: row-level security is not forced upon its owner",
            "account: the view of checked_owner everybody shows its rows to everybody",
        ],
    ),
    "a view of a role that has a policy of its own": (
        [
            "CREATE POLICY all_of_them ON account FOR SELECT TO bystander USING (true)",
            "CREATE VIEW everybody AS SELECT * FROM account",
            "ALTER VIEW everybody OWNER TO bystander",
        ],
        ["account: the view of bystander everybody shows its rows to everybody who may read it"],
    ),
    "a view with security_invoker off": (
        ["CREATE VIEW everybody WITH (security_invoker = off) AS SELECT * FROM account"],
        ["account: the view of postgres everybody shows its rows to everybody who may read it"],
    ),
    "a view of a view": (
        [
            "CREATE VIEW one WITH (security_invoker) AS SELECT * FROM account",
            "CREATE VIEW two AS SELECT * FROM one",
        ],
        ["account: the view of postgres two shows its rows to everybody who may read it"],
    ),
    "a view of a function": (
        [
            *function("SECURITY INVOKER"),
            "CREATE VIEW two AS SELECT leak()",
        ],
        ["account: the view of postgres two shows its rows to everybody who may read it"],
    ),
    "a view of a partition": (
        [
            "CREATE TABLE old_account () INHERITS (account)",
            "ALTER TABLE old_account ENABLE ROW LEVEL SECURITY",
            "CREATE VIEW everybody AS SELECT * FROM old_account",
        ],
        ["account: the view of postgres everybody shows its rows to everybody who may read it"],
    ),
    "a materialized view": (
        ["CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM account"],
        ["account: the materialized view counted shows its rows to everybody who may read it"],
    ),
    "a materialized view of a view": (
        [
            "CREATE VIEW one WITH (security_invoker) AS SELECT * FROM note",
            "CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM one",
        ],
        ["note: the materialized view counted shows its rows to everybody who may read it"],
    ),
    # Functions.
    "a function of the superuser's": (
        function(),
        ["account: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function of a role with BYPASSRLS": (
        function(owner="bypassing"),
        ["account: the function leak() runs with the rights of bypassing (SECURITY DEFINER), and"],
    ),
    "a function of the owner's": (
        function(owner="checked_owner"),
        ["account: the function leak() runs with the rights of checked_owner (SECURITY DEFINER)"],
    ),
    "a function that names the table in another way": (
        function(body='SELECT count(*) FROM "public" . /* */ "account"'),
        ["account: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function with a body that was parsed": (
        [
            "CREATE FUNCTION leak() RETURNS bigint SECURITY DEFINER "
            "BEGIN ATOMIC SELECT count(*) FROM note; END"
        ],
        ["note: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function that calls a function": (
        [
            "CREATE FUNCTION inner_one() RETURNS bigint LANGUAGE sql AS "
            "'SELECT count(*) FROM note'",
            *function(body="SELECT inner_one()"),
        ],
        ["note: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function that reads a view": (
        [
            "CREATE VIEW one WITH (security_invoker) AS SELECT * FROM note",
            *function(body="SELECT count(*) FROM one"),
        ],
        ["note: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function that puts its SQL together": (
        function(
            body="DECLARE n bigint; BEGIN EXECUTE 'SELECT count(*) FROM acc' || 'ount' INTO n; "
            "RETURN n; END",
            language="plpgsql",
        ),
        ["the function leak() runs with the rights of postgres (SECURITY DEFINER), and what it"],
    ),
    "a trigger": (
        [
            *function(
                body="BEGIN INSERT INTO note SELECT * FROM note; RETURN NULL; END",
                language="plpgsql",
                returns="trigger",
            ),
            "REVOKE EXECUTE ON FUNCTION leak() FROM PUBLIC",
        ],
        ["note: the function leak() runs with the rights of postgres (SECURITY DEFINER), and"],
    ),
    "a function that sets the settings": (
        [*function("SET flask_tenant_auth.role = 'unscoped'")],
        ["the function leak() changes or uses the settings flask_tenant_auth.*"],
    ),
    "a function that calls set_config": (
        function(
            "SECURITY INVOKER",
            body="SELECT length(set_config('flask_tenant_auth.role', 'unscoped', true))::bigint",
        ),
        ["the function leak() changes or uses the settings flask_tenant_auth.*"],
    ),
}

# What looks like it, and is none.
HARMLESS: dict[str, list[str]] = {
    "nothing": [],
    "the same policies in other words": [
        f"ALTER POLICY flask_tenant_auth ON account USING (((({BY_TENANT}))) AND (({IS_ADMIN}) OR "
        "(user_id) = CAST(nullif(pg_catalog.current_setting('flask_tenant_auth.user_id'::text, "
        "TRUE),'') AS uuid)))"
    ],
    "no WITH CHECK, which is as USING": [
        "DROP POLICY flask_tenant_auth ON label",
        f"CREATE POLICY flask_tenant_auth ON label USING ({BY_TENANT})",
    ],
    "for the role alone": ["ALTER POLICY flask_tenant_auth ON label TO checked_app"],
    "without the policy for unscoped()": ["DROP POLICY flask_tenant_auth_unscoped ON label"],
    "a restrictive policy": ["CREATE POLICY narrower ON account AS RESTRICTIVE USING (size < 10)"],
    "a policy for somebody else": [
        "CREATE POLICY all_of_them ON account FOR SELECT TO bystander USING (true)"
    ],
    "a role of no consequence": ["GRANT reporting TO checked_app"],
    "privileges that policies bound": [
        "GRANT SELECT, INSERT, UPDATE, DELETE ON account TO PUBLIC",
        "GRANT pg_write_all_data TO checked_app",
        "GRANT pg_read_all_data TO checked_app",
    ],
    "privileges of somebody else": ["GRANT ALL ON account TO bystander"],
    "a table that inherits, closed": [
        "CREATE TABLE old_account () INHERITS (account)",
        "ALTER TABLE old_account ENABLE ROW LEVEL SECURITY",
    ],
    "a view with security_invoker": [
        "CREATE VIEW invoker WITH (security_invoker = true) AS SELECT * FROM account",
        "CREATE VIEW invoker2 WITH (security_invoker) AS SELECT * FROM invoker",
        "CREATE VIEW invoker3 WITH (security_invoker = on) AS SELECT * FROM invoker2",
    ],
    "a view of a global table": ["CREATE VIEW providers AS SELECT * FROM provider"],
    "a materialized view of a global table": [
        "CREATE MATERIALIZED VIEW providers AS SELECT * FROM provider"
    ],
    "a function of the caller's rights": function("SECURITY INVOKER"),
    "a function that reads a global table": function(body="SELECT count(*) FROM provider"),
    "a function of a role that is bounded": function(owner="bystander"),
    "a function that the role may not call": [
        *function(),
        "REVOKE EXECUTE ON FUNCTION leak() FROM PUBLIC",
    ],
    "a rule of a global table": [
        "CREATE RULE also AS ON UPDATE TO provider DO ALSO NOTIFY providers"
    ],
}


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_changes_are_no_problem(database: Database, name: str) -> None:
    assert found(database, *HARMLESS[name]) == []


@pytest.mark.parametrize("name", SABOTAGES)
def test_each_sabotage_is_found(database: Database, name: str) -> None:
    statements, expected = SABOTAGES[name]
    lines = found(database, *statements)
    wanted = [line for line in expected if line != "..."]
    for line in wanted:
        assert any(each.startswith(line) for each in lines), lines
    if len(wanted) == len(expected):
        assert len(lines) == len(wanted), lines


def test_the_role_of_the_application_can_run_the_check(database: Database) -> None:
    """Positive control: no transaction of a superuser's, and it leaves nothing behind."""
    engine = database.engine("app")
    with engine.connect() as connection:
        assert list(policies.problems(connection, Base.metadata)) == []
        assert list(policies.problems(connection, Base.metadata)) == []
        connection.exec_driver_sql("SELECT 1 FROM account").all()
    engine.dispose()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_the_command_exits_1_for_a_problem_and_0_without(
    database: Database, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The command asks for the classes of the app; the tests of this process have others.
    monkeypatch.setattr(policy_check, "tables", lambda _: policies.tables(Base.metadata))
    url = database.url.replace("postgres@", "checked_app@").replace("+psycopg", f"+{driver}")
    app = Flask("checked")
    app.config["JWT_SECRET_KEY"] = "a secret of the tests, longer than thirty-two bytes"
    TenantAuth(app)
    ask = ["auth", "rls-check", "--url", url]
    result = app.test_cli_runner().invoke(args=ask)
    assert (result.exit_code, result.output) == (
        0,
        "Row-level security bounds the role checked_app.\n",
    )
    database.run(database.superuser, "GRANT TRUNCATE ON account TO PUBLIC")
    try:
        result = app.test_cli_runner().invoke(args=ask)
    finally:
        database.run(database.superuser, "REVOKE TRUNCATE ON account FROM PUBLIC")
    assert result.exit_code == 1
    assert result.output == (
        "Problem: account: TRUNCATE is granted to PUBLIC, and removes everybody's rows\n"
    )


@pytest.mark.parametrize("whose", ["ROLE checked_app", "DATABASE checked"])
def test_a_setting_that_every_connection_begins_with_is_found(
    database: Database, whose: str
) -> None:
    engine = create_engine(database.url.replace("postgres@", "checked_app@"), poolclass=NullPool)
    try:
        database.run(database.superuser, f"ALTER {whose} SET flask_tenant_auth.role = 'unscoped'")
        with engine.connect() as connection:
            lines = list(policies.problems(connection, Base.metadata))
        assert len(lines) == 1
        assert lines[0].startswith("the setting flask_tenant_auth.role is 'unscoped' before")
    finally:
        database.run(database.superuser, f"ALTER {whose} RESET flask_tenant_auth.role")
    with engine.connect() as connection:
        assert list(policies.problems(connection, Base.metadata)) == []


def test_a_role_that_may_make_no_temporary_table_cannot_be_compared(database: Database) -> None:
    with sabotaged(database, "REVOKE TEMPORARY ON DATABASE checked FROM PUBLIC") as connection:
        lines = list(policies.problems(connection, Base.metadata))
    assert lines
    assert all(
        "cannot be compared with those of rls-sql: permission denied" in each for each in lines
    )


def test_set_role_can_be_taken_back(database: Database) -> None:
    with database.superuser.connect() as connection:
        connection.exec_driver_sql("SET ROLE checked_app")
        lines = list(policies.problems(connection, Base.metadata))
        connection.rollback()
    assert "the role can become superuser (postgres), for whom no policy counts" in lines


# --- Partitions, other schemas, names that need quotes ------------------------------


class OddBase(DeclarativeBase):
    pass


class Parted(UserScoped, OddBase):
    __tablename__ = "Parted %s"
    __table_args__ = ({"schema": "Odd"},)
    id: Mapped[int] = mapped_column("the id", primary_key=True)
    tenant_id: Mapped[str] = mapped_column('Owner\'s "tenant"')


class Child(Parted):
    __tablename__ = "child"
    __table_args__ = ({"schema": "Odd"},)
    id: Mapped[int] = mapped_column(ForeignKey("Odd.Parted %s.the id"), primary_key=True)


def test_names_that_need_quotes_are_checked(server: PostgreSQL) -> None:
    database = Database(server, "odd")
    database.run(database.superuser, 'CREATE SCHEMA "Odd" AUTHORIZATION odd_owner')
    owner = database.engine("owner")
    OddBase.metadata.create_all(owner)
    with owner.begin() as connection:
        for statement in policies.create_sql(metadata=OddBase.metadata):
            connection.exec_driver_sql(statement.replace("%", "%%"))
        connection.exec_driver_sql('GRANT USAGE ON SCHEMA "Odd" TO odd_app')
    app = database.engine("app")

    def lines() -> list[str]:
        with app.connect() as connection:
            return list(policies.problems(connection, OddBase.metadata))

    assert lines() == []
    with owner.begin() as connection:
        connection.exec_driver_sql(
            'CREATE TABLE "Odd"."a partition" () INHERITS ("Odd"."Parted %%s")'
        )
    assert lines() == [
        '"Odd"."a partition" (shares rows with "Odd"."Parted %s"): row-level security is not '
        "enabled"
    ]
    with owner.begin() as connection:
        connection.exec_driver_sql('ALTER TABLE "Odd"."a partition" ENABLE ROW LEVEL SECURITY')
    assert lines() == []
    with database.superuser.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS "
            """$$SELECT count(*) FROM "Odd"."Parted %%s"$$"""
        )
    assert len(lines()) == 1
    database.dispose()


class PartitionedBase(DeclarativeBase):
    pass


class Event(TenantScoped, PartitionedBase):
    __tablename__ = "event"
    __table_args__ = ({"postgresql_partition_by": "LIST (id)"},)
    id: Mapped[int] = mapped_column(primary_key=True)


def test_partitions_are_checked(server: PostgreSQL) -> None:
    database = Database(server, "parted")
    owner, app = database.engine("owner"), database.engine("app")
    PartitionedBase.metadata.create_all(owner)
    database.run(
        owner,
        *policies.create_sql(metadata=PartitionedBase.metadata),
        "CREATE TABLE event_1 PARTITION OF event FOR VALUES IN (1)",
    )
    with app.connect() as connection:
        assert list(policies.problems(connection, PartitionedBase.metadata)) == [
            "event_1 (shares rows with event): row-level security is not enabled"
        ]
    database.run(owner, "ALTER TABLE event_1 ENABLE ROW LEVEL SECURITY")
    with app.connect() as connection:
        assert list(policies.problems(connection, PartitionedBase.metadata)) == []
    database.dispose()


# --- Several at once -------------------------------------------------------------------

# These end the others: the table is another one, or the role is bounded by nothing.
ALONE = {"superuser", "a view in its place", "no table", "a column of another type"}

# Harmless, and no repair of any of them.
BESIDES = [
    statements
    for statements in HARMLESS.values()
    if not re.search(r"leak\(|POLICY flask|old_account", " ".join(statements))
]


def combine(database: Database, choose: random.Random) -> None:
    names = choose.sample([name for name in SABOTAGES if name not in ALONE], 3)
    with database.superuser.connect() as connection:
        applied = []
        for name in names:
            savepoint = connection.begin_nested()
            try:
                for statement in SABOTAGES[name][0]:
                    connection.exec_driver_sql(statement)
            except Exception:  # noqa: BLE001 - two that cannot be done together
                savepoint.rollback()
            else:
                applied.append(name)
        for statement in choose.choice(BESIDES):
            with connection.begin_nested() as savepoint:
                try:
                    with connection.begin_nested():
                        connection.exec_driver_sql(statement)
                except Exception:  # noqa: BLE001 - the same
                    savepoint.rollback()
        connection.exec_driver_sql("SET SESSION AUTHORIZATION checked_app")
        lines = list(policies.problems(connection, Base.metadata))
        connection.rollback()
    for name in applied:
        table = SABOTAGES[name][1][0].partition(":")[0]
        assert any(line.startswith(table) for line in lines), (applied, name, lines)
    assert lines


def test_random_combinations_are_found(database: Database) -> None:
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    print(f"SEED={seed}")  # noqa: T201 - shown when it fails
    choose = random.Random(seed)
    for _ in range(12):
        combine(database, choose)


@pytest.mark.soak
def test_many_random_combinations_are_found(database: Database) -> None:
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    print(f"SEED={seed}")  # noqa: T201 - shown when it fails
    choose = random.Random(seed)
    for _ in range(300):
        combine(database, choose)
