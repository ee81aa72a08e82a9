"""Revocations in an SQL database: added, and read by those who follow the store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)

from .sql_database import Database
from .sql_part import AT_ONCE, SqlPart
from .sql_tables import Tables, chunks, now_ms, revocation_of
from .store import KEY_PREFIX, Changes, Revocation

# How long a transaction may take from its revocation to its commit; see `sql_database`.
LATE_MS = 30_000
_LATE_NUMBERS = 64
_POLL_SECONDS = 0.1
# However many revocations there are, one call of `Database.run`, which has a deadline, reads no
# more rows than these, or writes AT_ONCE of them.
_PAGE = 10_000
_CONDITIONS_AT_ONCE = 100  # each has up to three parameters


@dataclass(frozen=True)
class _Position:
    """How far a store was read: to the revocation of this number, at this time.

    A store that was restored has no such revocation, or another one of its number. So the last
    revocation is never purged.
    """

    store_id: str
    number: int = 0  # 0: it had none
    added_at: int = 0
    now: int = 0

    def __str__(self) -> str:
        return f"{self.store_id}.{self.number}.{self.added_at}.{self.now}"

    @classmethod
    def of(cls, text: str) -> _Position | None:
        """Return a position; None for "" and for what another kind of store has written."""
        store_id, *numbers = text.split(".")
        if len(numbers) != 3 or not all(each.isascii() and each.isdigit() for each in numbers):
            return None
        return cls(store_id, *map(int, numbers))


class SqlRevocations(SqlPart):
    """The methods of a `SessionStore` for revocations."""

    def __init__(self, database: Database, tables: Tables) -> None:
        super().__init__(database, tables)
        # The position that `changes` returned last, and the numbers in its window, which whoever
        # continues from there has.
        self._returned: tuple[str, frozenset[int]] = ("", frozenset())

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        """As in the protocol."""

        def work(connection: Connection) -> Revocation:
            added = self._insert(connection, revocation, reason)
            self._end_what_they_name(connection, [added], reason)
            return added

        return self._database.run(work, atomic=True)

    def _insert(self, connection: Connection, revocation: Revocation, reason: str) -> Revocation:
        table = self._tables.revocation
        inserted = connection.execute(self._inserting(reason), _values(revocation))
        (number,) = inserted.inserted_primary_key or (0,)
        at = revocation.at
        if not at:
            at = connection.scalars(select(table.c.at).where(table.c.number == number)).one()
        return replace(revocation, at=at, number=number)

    def _inserting(self, reason: str) -> Insert:
        """Return the statement that adds the `_values` of one or more revocations."""
        table = self._tables.revocation
        at = func.coalesce(bindparam("given_at", type_=table.c.at.type), now_ms())
        return insert(table).values(at=at, added_at=now_ms(), reason=reason)

    def _end_what_they_name(
        self, connection: Connection, revocations: Sequence[Revocation], reason: str
    ) -> None:
        """End the sessions and the API keys that revocations name.

        Keys may outlive the revocation. So they are ended by themselves.
        """
        sessions = [each.id for each in revocations if each.kind == "session" and each.id]
        if sessions:
            self._end_sessions(connection, sessions, reason)
        key = self._tables.api_key
        named = [keys for each in revocations for keys in self._keys_of(each)]
        for some in chunks(named, _CONDITIONS_AT_ONCE):
            ending = update(key).where(or_(*some), key.c.ended_at.is_(None))
            connection.execute(ending.values(ended_at=now_ms()))

    def _keys_of(self, revocation: Revocation) -> list[ColumnElement[bool]]:
        """Return the condition of the API keys that a revocation names, if it can name any."""
        key = self._tables.api_key.c
        if revocation.kind == "session":
            return []
        if revocation.kind == "token":
            prefix, _, key_id = (revocation.id or "").partition(KEY_PREFIX)
            return [] if prefix or not key_id else [key.id == key_id]
        named = key.created_at <= (revocation.at or now_ms())
        if revocation.kind != "everything":
            named &= key.tenant_id == revocation.tenant_id
        if revocation.kind == "user":
            named &= key.user_id == revocation.user_id
        return [named]

    def _end_sessions(self, connection: Connection, ids: Sequence[str], reason: str) -> int:
        """End sessions; return how many of them went on until now."""
        table = self._tables.session
        change = (
            update(table)
            .where(table.c.id.in_(ids), table.c.ended_at.is_(None))
            .values(ended_at=now_ms(), end_reason=reason)
        )
        return connection.execute(change).rowcount

    def changes(self, position: str, wait_ms: int) -> Changes:
        """As in the protocol: asked again and again until there is one."""
        deadline = time.monotonic() + wait_ms / 1000
        while True:
            found = self._look(position)
            left = deadline - time.monotonic()
            if found.revocations or found.is_older or not position or left <= 0:
                return found
            time.sleep(min(_POLL_SECONDS, left))

    def _look(self, text: str) -> Changes:
        position = _Position.of(text)
        if position is None:
            return replace(self._all(), is_older=text != "")
        known, returned = self._returned
        store, table = self._tables.store, self._tables.revocation
        last = select(table.c.added_at).where(table.c.number == position.number).scalar_subquery()
        since = position.now - LATE_MS
        window = or_(
            table.c.number > position.number - _LATE_NUMBERS,
            table.c.added_at > since,
            # The clock of the store was set back.
            table.c.added_at > now_ms() - LATE_MS,
        )
        asked = select(
            store.c.id, now_ms().label("store_now"), last.label("last"), table.c.number
        ).select_from(store.outerjoin(table, window))

        def work(connection: Connection) -> Sequence[Any]:
            return connection.execute(asked).all()

        rows = self._database.run(work)
        is_same = bool(rows) and rows[0].id == position.store_id
        if not is_same or (position.number and rows[0].last != position.added_at):
            return replace(self._all(), is_older=True)
        numbers = frozenset(row.number for row in rows if row.number is not None)
        unknown = sorted(numbers - returned) if known == text else sorted(numbers)
        found = self._of_numbers(unknown)
        return self._changes(position, rows[0].store_now, found, numbers)

    def _of_numbers(self, numbers: Sequence[int]) -> list[Any]:
        table = self._tables.revocation
        rows: list[Any] = []
        for some in chunks(numbers, AT_ONCE):
            asked = select(table).where(table.c.number.in_(some)).order_by(table.c.number)
            rows += self._rows(asked)
        return rows

    def _rows(self, asked: Select[Any]) -> Sequence[Any]:
        return self._database.run(lambda connection: connection.execute(asked).all())

    def _live(self) -> Iterator[Sequence[Any]]:
        """Yield the rows of all revocations that matter, and of the last one in any case."""
        table = self._tables.revocation
        last = select(func.max(table.c.number)).scalar_subquery()
        matters = or_(table.c.ends_at > now_ms(), table.c.number == last)
        asked = select(table).where(matters).order_by(table.c.number).limit(_PAGE)
        rows = self._rows(asked)
        while rows:
            yield rows
            rows = self._rows(asked.where(table.c.number > rows[-1].number))

    def _all(self) -> Changes:
        """Return all revocations that matter."""
        store_id = self._database.store_id()
        # The time before the rows: what commits in between is in the window.
        now = self._database.run(lambda connection: connection.scalars(select(now_ms())).one())
        rows = [row for page in self._live() for row in page]
        numbers = frozenset(row.number for row in rows)
        return self._changes(_Position(store_id), now, rows, numbers)

    def _changes(
        self, before: _Position, now: int, rows: Sequence[Any], numbers: frozenset[int]
    ) -> Changes:
        position = replace(before, now=now)
        if rows and rows[-1].number > before.number:
            position = replace(position, number=rows[-1].number, added_at=rows[-1].added_at)
        self._returned = (str(position), numbers)
        live = [revocation_of(row) for row in rows if row.ends_at > now]
        return Changes(now=now, revocations=live, position=str(position))

    def restore(self, revocations: Sequence[Revocation]) -> None:
        """As in the protocol. What several hosts restore is added once, as far as it is seen.

        However many they are, a transaction has a few statements: a store that is far away takes
        them within its time limit too.
        """
        there: dict[Revocation, list[Revocation]] = {_what(each): [] for each in revocations}
        for page in self._live():
            for each in map(revocation_of, page):
                if _what(each) in there:
                    there[_what(each)].append(each)
        missing = [each for each in revocations if not _is_done(each, there[_what(each)])]
        for some in chunks(missing, AT_ONCE):
            self._database.run(partial(self._add_restored, some), atomic=True)

    def _add_restored(self, revocations: Sequence[Revocation], connection: Connection) -> None:
        connection.execute(self._inserting("restored"), [_values(each) for each in revocations])
        self._end_what_they_name(connection, revocations, "restored")


def _what(revocation: Revocation) -> Revocation:
    """Return what a revocation revokes, whenever that was."""
    return replace(revocation, at=0, ends_at=0, number=0)


def _is_done(revocation: Revocation, others: Sequence[Revocation]) -> bool:
    """Whether one of the others, which revoke the same, covers a revocation."""
    return any(each.at >= revocation.at and each.ends_at >= revocation.ends_at for each in others)


def _values(revocation: Revocation) -> dict[str, Any]:
    """Return the parameters of a revocation; given_at is None for the store's now."""
    return {
        "kind": revocation.kind,
        "tenant_id": revocation.tenant_id,
        "user_id": revocation.user_id,
        "id": revocation.id,
        "except_session": revocation.except_session,
        "given_at": revocation.at or None,
        "ends_at": revocation.ends_at,
    }
