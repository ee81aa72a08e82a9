"""The tables of sessions in an SQL database, and how rows are read and written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.engine import Row
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from .store import ApiKey, Revocation, Session

# The databases whose clock `now_ms` reads.
DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")
_UUID = String(36)
_ROLE = String(255)
# SQLite numbers rows by itself only where the type is INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


@dataclass(frozen=True)
class Tables:
    """The tables of one MetaData."""

    store: Table
    session: Table
    revocation: Table
    api_key: Table

    @property
    def all(self) -> tuple[Table, ...]:
        """All of them."""
        return self.store, self.session, self.revocation, self.api_key


def session_tables(metadata: MetaData) -> Tables:
    """Return the tables of sessions in a MetaData, and add them to it where they are missing.

    So Alembic sees them, and `db.create_all()` makes them.
    """
    return Tables(
        store=_table(
            metadata,
            "fta_store",
            Column("one", SmallInteger, primary_key=True, autoincrement=False),  # always 1
            Column("id", String(32), nullable=False),  # random: another store has another one
        ),
        session=_table(
            metadata,
            "fta_session",
            Column("id", _UUID, primary_key=True),
            Column("tenant_id", _UUID, nullable=False),
            Column("user_id", _UUID, nullable=False),
            Column("role", _ROLE, nullable=False),
            Column("permissions", Text, nullable=False),  # JSON
            Column("claims", Text, nullable=False),  # JSON
            Column("device", Text),
            Column("address", String(255)),
            Column("salt", LargeBinary(32), nullable=False),
            Column("grace_ms", BigInteger),
            Column("counter", BigInteger, nullable=False),
            Column("rotated_1", BigInteger, nullable=False),
            Column("rotated_2", BigInteger, nullable=False),
            Column("rotated_3", BigInteger, nullable=False),
            Column("began_at", BigInteger, nullable=False),
            Column("used_at", BigInteger, nullable=False),
            Column("expires_at", BigInteger, nullable=False),
            Column("ends_at", BigInteger, nullable=False),
            Column("ended_at", BigInteger),
            Column("end_reason", String(64)),
            Index("ix_fta_session_user", "tenant_id", "user_id"),
            Index("ix_fta_session_expires_at", "expires_at"),
            Index("ix_fta_session_ended_at", "ended_at"),
        ),
        revocation=_table(
            metadata,
            "fta_revocation",
            Column("number", _NUMBER, primary_key=True, autoincrement=True),
            Column("kind", String(16), nullable=False),
            Column("tenant_id", _UUID),
            Column("user_id", _UUID),
            Column("id", Text),
            Column("except_session", _UUID),
            Column("at", BigInteger, nullable=False),
            Column("ends_at", BigInteger, nullable=False),
            Column("added_at", BigInteger, nullable=False),  # the store's now, whatever `at` is
            Column("reason", String(64), nullable=False),
            Index("ix_fta_revocation_of", "kind", "tenant_id", "user_id"),
            Index("ix_fta_revocation_added_at", "added_at"),
            Index("ix_fta_revocation_ends_at", "ends_at"),
            # Without it SQLite gives the number of a deleted row again.
            sqlite_autoincrement=True,
        ),
        api_key=_table(
            metadata,
            "fta_api_key",
            Column("id", String(32), primary_key=True),
            Column("tenant_id", _UUID, nullable=False),
            Column("user_id", _UUID, nullable=False),
            Column("role", _ROLE, nullable=False),
            Column("permissions", Text, nullable=False),  # JSON
            Column("digest", LargeBinary(32), nullable=False),
            Column("name", Text, nullable=False),
            Column("created_at", BigInteger, nullable=False),
            Column("expires_at", BigInteger),
            Column("ended_at", BigInteger),
            Column("used_at", BigInteger),
            Index("ix_fta_api_key_user", "tenant_id", "user_id"),
        ),
    )


def _table(metadata: MetaData, name: str, *items: Any, **options: Any) -> Table:
    known = metadata.tables.get(f"{metadata.schema}.{name}" if metadata.schema else name)
    return Table(name, metadata, *items, **options) if known is None else known


class now_ms(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The time of the database when the statement runs, in milliseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(now_ms, "sqlite")
def _of_sqlite(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    # unixepoch('subsec') needs SQLite 3.42. The time of SQLite is a whole number of milliseconds.
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)"


@compiles(now_ms, "postgresql")
def _of_postgresql(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    # Not now(), which is when the transaction began.
    return "CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT)"


@compiles(now_ms, "mysql")
@compiles(now_ms, "mariadb")
def _of_mysql(element: now_ms, compiler: SQLCompiler, **options: Any) -> str:
    return "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000)"


def session_values(session: Session) -> dict[str, Any]:
    """Return the values of all columns of a session."""
    return {
        "id": session.id,
        "tenant_id": session.tenant_id,
        "user_id": session.user_id,
        "salt": session.salt,
        "began_at": session.began,
        "ends_at": session.ends_at,
        **changing_values(session),
    }


def changing_values(session: Session) -> dict[str, Any]:
    """Return the values of those columns of a session that may change."""
    return {
        "role": session.role,
        "permissions": json.dumps(session.permissions),
        "claims": json.dumps(dict(session.claims)),
        "device": _storable(session.device),
        "address": _storable(session.address),
        "grace_ms": session.grace_ms,
        "counter": session.counter,
        "rotated_1": session.rotated[0],
        "rotated_2": session.rotated[1],
        "rotated_3": session.rotated[2],
        "used_at": session.used_at,
        "expires_at": min(session.expires_at, session.ends_at),
        "ended_at": session.ended_at,
        "end_reason": session.end_reason,
    }


def session_of(row: Row[Any]) -> Session:
    """Return the session of a row."""
    return Session(
        id=row.id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        role=row.role,
        salt=bytes(row.salt),
        counter=row.counter,
        permissions=tuple(json.loads(row.permissions)),
        claims=json.loads(row.claims),
        device=row.device,
        address=row.address,
        grace_ms=row.grace_ms,
        rotated=(row.rotated_1, row.rotated_2, row.rotated_3),
        used_at=row.used_at,
        expires_at=row.expires_at,
        ends_at=row.ends_at,
        ended_at=row.ended_at,
        end_reason=row.end_reason,
    )


def revocation_of(row: Row[Any]) -> Revocation:
    """Return the revocation of a row."""
    return Revocation(
        kind=row.kind,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        id=row.id,
        except_session=row.except_session,
        at=row.at,
        ends_at=row.ends_at,
        number=row.number,
    )


def key_values(key: ApiKey) -> dict[str, Any]:
    """Return the values of all columns of an API key."""
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "user_id": key.user_id,
        "role": key.role,
        "permissions": json.dumps(key.permissions),
        "digest": key.digest,
        "name": _storable(key.name),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "ended_at": key.ended_at,
        "used_at": key.used_at,
    }


def key_of(row: Row[Any]) -> ApiKey:
    """Return the API key of a row."""
    return ApiKey(
        id=row.id,
        tenant_id=row.tenant_id,
        user_id=row.user_id,
        role=row.role,
        digest=bytes(row.digest),
        permissions=tuple(json.loads(row.permissions)),
        name=row.name,
        created_at=row.created_at,
        expires_at=row.expires_at,
        ended_at=row.ended_at,
        used_at=row.used_at,
    )


def _storable(text: str | None) -> str | None:
    """Return a text of a client without what a database refuses: NUL, and halves of surrogates."""
    if text is None:
        return None
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return a sequence in parts: a statement takes a limited number of parameters."""
    return [items[start : start + size] for start in range(0, len(items), size)]
