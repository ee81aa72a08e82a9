"""A store of sessions in the memory of the process, for tests that are about something else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask import Flask

from flask_tenant_auth._core import now
from flask_tenant_auth.flask.state import state_of
from flask_tenant_auth.sessions.store import Changes, Read, Revocation, Session, StoreUnavailable


class MemorySessionStore:
    """Keeps sessions and revocations in two containers; `away` makes every method raise."""

    def __init__(self) -> None:
        self.rows: dict[str, Session] = {}
        self.revocations: list[Revocation] = []
        self.away = False
        self._lock = threading.RLock()

    def _check(self) -> None:
        if self.away:
            raise StoreUnavailable("it is switched off")

    def describe(self) -> str:
        return "memory"

    def now(self) -> int:
        self._check()
        return int(now() * 1000)

    def create(self, session: Session, most: int | None) -> list[Session]:
        with self._lock:
            self._check()
            self.rows[session.id] = session
            own = self.sessions(session.tenant_id, session.user_id)
            over = [] if most is None else own[most:]
            for each in over:
                self.rows[each.id] = replace(each, ended_at=self.now(), end_reason="too_many")
            return over

    def read(self, session_id: str) -> Read:
        with self._lock:
            self._check()
            session = self.rows.get(session_id)
            return Read(self.now(), session, 0 if session is None else self._revoked_at(session))

    def _revoked_at(self, session: Session) -> int:
        return max(
            (
                each.at
                for each in self.revocations
                if each.except_session != session.id
                and (
                    each.kind == "everything"
                    or (each.kind == "tenant" and each.tenant_id == session.tenant_id)
                    or (each.kind == "user" and each.user_id == session.user_id)
                )
            ),
            default=0,
        )

    def advance(self, before: Session, after: Session) -> int | None:
        with self._lock:
            self._check()
            row = self.rows.get(before.id)
            if row is None or (row.counter, row.ended_at) != (before.counter, before.ended_at):
                return None
            if row.began <= self._revoked_at(row):
                return None
            at = self.now()
            self.rows[before.id] = replace(after, used_at=at, rotated=(at, *after.rotated[1:]))
            return at

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        with self._lock:
            self._check()
            made = replace(
                revocation,
                at=revocation.at or self.now(),
                number=len(self.revocations) + 1,
            )
            self.revocations.append(made)
            row = self.rows.get(revocation.id or "")
            if row is not None and row.ended_at is None:
                self.rows[row.id] = replace(row, ended_at=made.at, end_reason=reason)
            return made

    def sessions(self, tenant_id: str, user_id: str) -> list[Session]:
        with self._lock:
            self._check()
            found = [
                each
                for each in self.rows.values()
                if (each.tenant_id, each.user_id) == (tenant_id, user_id)
                and each.ended_at is None
                and each.began > self._revoked_at(each)
            ]
            return sorted(found, key=lambda each: each.id, reverse=True)

    def changes(self, position: str, wait_ms: int) -> Changes:
        self._check()
        return Changes(self.now(), tuple(self.revocations), str(len(self.revocations)))

    def restore(self, revocations: Sequence[Revocation]) -> None:
        self.revocations.extend(revocations)

    def purge(self) -> int:
        return 0

    def close(self) -> None:
        pass


def with_memory_store(app: Flask) -> MemorySessionStore:
    """Give an app a store in memory in place of the one of its settings."""
    store = MemorySessionStore()
    state: Any = state_of(app)
    state.session_store = store
    return store
