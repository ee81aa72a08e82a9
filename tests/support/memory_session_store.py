"""A store of sessions in the memory of one process: the interface in its shortest form."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from flask_tenant_auth.sessions.store import ApiKey, Changes, Read, Revocation, Session


class MemorySessionStore:
    """Keeps everything under one lock. `away` makes each call raise what it is set to."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.moved = 0  # ms by which its clock is ahead of the machine's
        self.away: Exception | None = None
        self.rows: dict[str, Session] = {}
        self.revocations: list[Revocation] = []
        self.api_keys: dict[str, ApiKey] = {}
        self.calls = 0

    def __enter__(self) -> None:
        self.calls += 1
        if self.away is not None:
            raise self.away
        self.lock.acquire()

    def __exit__(self, *_exc: object) -> None:
        self.lock.release()

    def describe(self) -> str:
        return "memory"

    def now(self) -> int:
        with self:
            return time.time_ns() // 1_000_000 + self.moved

    def _revoked_at(self, tenant_id: str, user_id: str, session_id: str | None) -> int:
        def concerns(each: Revocation) -> bool:
            if each.kind == "everything":
                return True
            if each.kind == "tenant":
                return each.tenant_id == tenant_id
            of_user = (each.tenant_id, each.user_id) == (tenant_id, user_id)
            spared = session_id is not None and each.except_session == session_id
            return each.kind == "user" and of_user and not spared

        return max((each.at for each in self.revocations if concerns(each)), default=0)

    def _goes_on(self, row: Session) -> bool:
        now = self.now()
        return (
            row.ended_at is None
            and now < min(row.expires_at, row.ends_at)
            and row.began > self._revoked_at(row.tenant_id, row.user_id, row.id)
        )

    def create(self, session: Session, most: int | None) -> list[Session]:
        with self:
            self.rows[session.id] = session
            live = self.sessions(session.tenant_id, session.user_id)
            ended = [] if most is None else [each for each in live if each.id != session.id]
            ended = ended[most - 1 :] if most is not None else []
            for each in ended:
                self.revoke(
                    Revocation(
                        kind="session",
                        tenant_id=each.tenant_id,
                        user_id=each.user_id,
                        id=each.id,
                        ends_at=each.ends_at,
                    ),
                    "too_many",
                )
            return [self.rows[each.id] for each in ended]

    def read(self, session_id: str) -> Read:
        with self:
            row = self.rows.get(session_id)
            around = 0 if row is None else self._revoked_at(row.tenant_id, row.user_id, row.id)
            return Read(self.now(), row, around)

    def revoked_at(self, tenant_id: str, user_id: str) -> int:
        with self:
            return self._revoked_at(tenant_id, user_id, None)

    def advance(self, before: Session, after: Session) -> int | None:
        with self:
            row = self.rows.get(before.id)
            if row is None or (row.counter, row.ended_at) != (before.counter, before.ended_at):
                return None
            if row.began <= self._revoked_at(row.tenant_id, row.user_id, row.id):
                return None
            now = self.now()
            if after.counter != before.counter:
                after = replace(after, used_at=now, rotated=(now, *after.rotated[1:]))
            self.rows[before.id] = replace(after, expires_at=min(after.expires_at, after.ends_at))
            return now

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        with self:
            number = len(self.revocations) + 1
            added = replace(revocation, at=revocation.at or self.now(), number=number)
            self.revocations.append(added)
            for key in self.api_keys.values():
                if self._ends_key(added, key) and key.ended_at is None:
                    self.api_keys[key.id] = replace(key, ended_at=self.now())
            row = self.rows.get(added.id or "") if added.kind == "session" else None
            if row is not None and row.ended_at is None:
                self.rows[row.id] = replace(row, ended_at=added.at, end_reason=reason)
            return added

    @staticmethod
    def _ends_key(revocation: Revocation, key: ApiKey) -> bool:
        if revocation.kind == "token":
            return revocation.id == f"key:{key.id}"
        concerned = {
            "everything": True,
            "tenant": key.tenant_id == revocation.tenant_id,
            "user": (key.tenant_id, key.user_id) == (revocation.tenant_id, revocation.user_id),
        }
        return concerned.get(revocation.kind, False) and key.created_at <= revocation.at

    def sessions(self, tenant_id: str, user_id: str) -> list[Session]:
        with self:
            live = [row for row in self.rows.values() if self._goes_on(row)]
            live = [row for row in live if (row.tenant_id, row.user_id) == (tenant_id, user_id)]
            return sorted(live, key=lambda row: row.id, reverse=True)

    def changes(self, position: str, wait_ms: int) -> Changes:
        deadline = time.monotonic() + wait_ms / 1000
        while True:
            with self:
                last = len(self.revocations)
                since = int(position or 0)
                older = since > last
                if since < last or older or not position or time.monotonic() >= deadline:
                    found = self.revocations[0 if older else since :]
                    return Changes(self.now(), found, str(last), older)
            time.sleep(0.005)

    def restore(self, revocations: Sequence[Revocation]) -> None:
        for each in revocations:
            self.revoke(each, "restored")

    def add_key(self, key: ApiKey) -> None:
        with self:
            self.api_keys[key.id] = key

    def read_key(self, key_id: str) -> tuple[int, ApiKey | None, int]:
        with self:
            key = self.api_keys.get(key_id)
            around = 0 if key is None else self._revoked_at(key.tenant_id, key.user_id, None)
            return self.now(), key, around

    def keys(self, tenant_id: str, user_id: str | None) -> list[ApiKey]:
        with self:
            found = [each for each in self.api_keys.values() if each.tenant_id == tenant_id]
            found = [each for each in found if user_id in (None, each.user_id)]
            return sorted(found, key=lambda each: each.created_at, reverse=True)

    def end_key(self, tenant_id: str, key_id: str) -> bool:
        with self:
            key = self.api_keys.get(key_id)
            if key is None or key.tenant_id != tenant_id:
                return False
            self.api_keys[key_id] = replace(key, ended_at=key.ended_at or self.now())
            return True

    def note_key_use(self, key_id: str) -> None:
        with self:
            if key_id in self.api_keys:
                self.api_keys[key_id] = replace(self.api_keys[key_id], used_at=self.now())

    def purge(self) -> int:
        with self:
            now = self.now()
            over = [row.id for row in self.rows.values() if now >= row.ends_at]
            for each in over:
                del self.rows[each]
            return len(over)

    def close(self) -> None:
        """Nothing is open."""

    # --- What a test does behind its back ---

    def move(self, by: int) -> None:
        """Set the times of all rows back."""
        with self:
            for row in list(self.rows.values()):
                self.rows[row.id] = replace(
                    row,
                    used_at=row.used_at - by,
                    expires_at=row.expires_at - by,
                    ends_at=row.ends_at - by,
                    rotated=(row.rotated[0] - by, row.rotated[1] - by, row.rotated[2] - by),
                )

    def snapshot(self) -> Any:
        """Return all that it has."""
        with self:
            return copy.deepcopy((self.rows, self.revocations, self.api_keys))

    def put_back(self, snapshot: Any) -> None:
        """Have what it had."""
        with self:
            self.rows, self.revocations, self.api_keys = copy.deepcopy(snapshot)
