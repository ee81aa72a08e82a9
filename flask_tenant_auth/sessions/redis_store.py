"""Sessions in Redis. A method is one round trip: one script, which Redis runs as a whole."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from .redis_connection import RedisConnection
from .redis_rows import (
    changing_words,
    key_of,
    key_words,
    number_of,
    revocation_of,
    revocation_words,
    session_of,
    session_words,
)
from .store import ApiKey, Changes, Read, Revocation, Session

Row = TypeVar("Row")

_MOST_PURGED = 1000
_MOST_RESTORED = 200  # in one call of the script
_DAY_MS = 86_400_000
_KEY_KEPT_MS = 30 * _DAY_MS
_TIMEOUT_MS = 3000


class RedisStore:
    """A `SessionStore` in Redis. The URL is one of RATELIMIT's: see docs/redis.md.

    :raises ConfigurationError: for a URL that cannot be used.
    """

    def __init__(self, url: str, timeout_ms: int = _TIMEOUT_MS) -> None:
        self._redis = RedisConnection(url, timeout_ms)

    def describe(self) -> str:
        """As in the protocol."""
        return self._redis.describe()

    def now(self) -> int:
        """As in the protocol."""
        return self._redis.ask(_int, "now")

    def close(self) -> None:
        """As in the protocol."""
        self._redis.close()

    # Sessions

    def create(self, session: Session, most: int | None) -> list[Session]:
        """As in the protocol."""
        return self._redis.ask(
            lambda rows: _rows(session_of, rows),
            "create",
            session.id,
            session.tenant_id,
            session.user_id,
            "" if most is None else most,
            *session_words(session),
        )

    def read(self, session_id: str) -> Read:
        """As in the protocol."""

        def convert(reply: Any) -> Read:
            at, row, revoked_at = reply
            return Read(_int(at), session_of(session_id, row) if row else None, _int(revoked_at))

        return self._redis.ask(convert, "read", session_id)

    def advance(self, before: Session, after: Session) -> int | None:
        """As in the protocol."""
        return self._redis.ask(
            lambda reply: None if reply is None else _int(reply),
            "advance",
            before.id,
            before.counter,
            "" if before.ended_at is None else before.ended_at,
            int(after.counter != before.counter),
            *changing_words(after),
            # A second run would find that the counter has moved, as if somebody had used the
            # refresh token before. The other methods may be run twice.
            resend=False,
        )

    def sessions(self, tenant_id: str, user_id: str) -> list[Session]:
        """As in the protocol."""
        return self._pages(session_of, "sessions", tenant_id, user_id)

    def _pages(self, convert: Callable[[str, Any], Row], *words: str) -> list[Row]:
        """Return all rows of a method; many take more than one reply, which is bounded."""
        found: list[Row] = []
        place = 0
        while place >= 0:
            place, rows = self._redis.ask(_page(convert, place), *words, place)
            found += rows
        return found

    # Revocations

    def revoke(self, revocation: Revocation, reason: str) -> Revocation:
        """As in the protocol."""

        def convert(reply: Any) -> Revocation:
            entry, at = reply
            return replace(revocation, at=_int(at), number=number_of(entry))

        return self._redis.ask(convert, "revoke", reason, *revocation_words(revocation))

    def revoked_at(self, tenant_id: str, user_id: str) -> int:
        """As in the protocol."""
        return self._redis.ask(_int, "revoked_at", tenant_id, user_id)

    def changes(self, position: str, wait_ms: int) -> Changes:
        """As in the protocol. Redis says at once when there is one (XREAD with BLOCK)."""
        deadline = time.monotonic() + wait_ms / 1000
        while True:
            found = self._look(position)
            left = int((deadline - time.monotonic()) * 1000)
            if found.revocations or found.is_older or not position or left <= 0:
                return found
            # Entries that do not matter any more are no revocations, and are passed over.
            position = found.position
            self._redis.wait("revocations", position.partition(".")[2], left)

    def _look(self, position: str) -> Changes:
        """Return what is there now, from one reply or, where that is full, from several."""
        store_id, _, entry = position.partition(".")
        is_known = _is_entry(entry)
        found: list[Revocation] = []
        first = self._page_of_changes(store_id, entry if is_known else "0-0", False)
        page = first
        while page.revocations:
            found += page.revocations
            page = self._page_of_changes(first.store_id, page.entry, True)
            if page.store_id != first.store_id:
                return self._look(position)  # it was emptied in the middle
        return Changes(
            now=page.now,
            revocations=[each for each in found if each.ends_at > page.now],
            position=f"{first.store_id}.{page.entry}",
            is_older=first.is_older or (position != "" and not is_known),
        )

    def _page_of_changes(self, store_id: str, entry: str, goes_on: bool) -> _Page:
        def convert(reply: Any) -> _Page:
            return _Page(reply, entry)

        words = (secrets.token_hex(8), store_id, entry, int(goes_on))
        return self._redis.ask(convert, "changes", *words)

    def restore(self, revocations: Sequence[Revocation]) -> None:
        """As in the protocol. What several hosts restore is added once."""
        for start in range(0, len(revocations), _MOST_RESTORED):
            some = revocations[start : start + _MOST_RESTORED]
            self._redis.ask(
                _int, "restore", *(word for each in some for word in revocation_words(each))
            )

    # API keys

    def add_key(self, key: ApiKey) -> None:
        """As in the protocol."""
        kept_until = "" if key.expires_at is None else key.expires_at + _KEY_KEPT_MS
        words = (key.id, key.tenant_id, key.created_at, kept_until)
        self._redis.ask(_int, "add_key", *words, *key_words(key))

    def read_key(self, key_id: str) -> tuple[int, ApiKey | None, int]:
        """As in the protocol."""

        def convert(reply: Any) -> tuple[int, ApiKey | None, int]:
            at, row, revoked_at = reply
            return _int(at), key_of(key_id, row) if row else None, _int(revoked_at)

        return self._redis.ask(convert, "read_key", key_id)

    def keys(self, tenant_id: str, user_id: str | None) -> list[ApiKey]:
        """As in the protocol."""
        return self._pages(key_of, "keys", tenant_id, user_id or "")

    def end_key(self, tenant_id: str, key_id: str) -> bool:
        """As in the protocol."""
        return self._redis.ask(_int, "end_key", tenant_id, key_id) == 1

    def note_key_use(self, key_id: str) -> None:
        """As in the protocol."""
        self._redis.ask(_int, "note_key_use", key_id)

    # Purging

    def purge(self) -> int:
        """As in the protocol. Rows of sessions and keys expire by themselves."""
        return self._redis.ask(_int, "purge", _MOST_PURGED)


class _Page:
    """A reply to `changes`."""

    def __init__(self, reply: Any, asked: str) -> None:
        at, store_id, last, older, entries = reply
        self.now = _int(at)
        self.store_id: str = store_id.decode("ascii")
        self.is_older = _int(older) == 1
        self.revocations = [revocation_of(entry) for entry in entries]
        # Where this page ends. The last one of an emptied stream is not the one that was asked.
        ends = entries[-1][0] if entries else (last if self.is_older else asked.encode())
        self.entry: str = ends.decode("ascii")
        number_of(ends)
        if not self.store_id or "." in self.store_id:
            raise ValueError("no id of a store")


def _int(reply: Any) -> int:
    if type(reply) is not int:
        raise TypeError("no number")
    return reply


def _rows(convert: Callable[[str, Any], Row], rows: Any) -> list[Row]:
    return [convert(row_id.decode("ascii"), row) for row_id, row in rows]


def _page(convert: Callable[[str, Any], Row], place: int) -> Callable[[Any], tuple[int, list[Row]]]:
    def read(reply: Any) -> tuple[int, list[Row]]:
        following, rows = reply
        if following != -1 and _int(following) <= place:
            raise ValueError("the same page again")
        return following, _rows(convert, rows)

    return read


def _is_entry(text: str) -> bool:
    numbers = text.split("-")
    return len(numbers) == 2 and all(
        each.isascii() and each.isdigit() and len(each) < 20 for each in numbers
    )
