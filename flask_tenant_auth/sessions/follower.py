"""Follows the revocations of a store, in a thread of each process.

One process of a host leads: it reads the store into the table of the host, which all its processes
share. The others only say that they run. Whoever leads says so every 100 ms. So a leader that was
stopped, and not only one that ended, is replaced.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from time import monotonic
from typing import Any

from .._core import Revocations
from ..audit import logger
from .store import Changes, Revocation, SessionStore, StoreUnavailable

HEARTBEAT_SECONDS = 0.1
# How long requests wait for the first reading of the store.
FIRST_FILL_SECONDS = 2.0
# How long a table may be relied on after the store was read.
SILENT_MS = 60_000
_PURGE_SECONDS = 60.0
_WAIT_STEP_SECONDS = 0.02


class Follower:
    """Keeps the table of this host as the store is.

    It knows nothing of an app: a thread that holds it keeps no app alive.

    :param allow: whether tokens are accepted while it is not known what is revoked.
    :param delay: seconds within which a revocation has to be seen.
    """

    def __init__(
        self, store: SessionStore, table: Revocations, *, allow: bool, delay: float
    ) -> None:
        self.store = store
        self.table = table
        self._allow = allow
        # Several readings fit into the delay: one may fail, and one leader may be replaced.
        self._pause = max(0.0, (delay - 1) / 5)
        self._waived = False
        self._keeps_store = False
        self._after_fork()
        _followers.add(self)

    def _after_fork(self) -> None:
        # Reentrant: the collector of garbage may call `stop` in a thread that holds it.
        self._lock = threading.RLock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.runs = False  # whether the thread of this process was started
        self._started = 0.0
        self._failing = False
        self._next_purge = monotonic() + _PURGE_SECONDS

    def after_fork(self) -> None:
        """Know that this process is a child, which has no thread of its parent."""
        self._after_fork()

    def start(self) -> None:
        """Start the thread of this process, if it does not run."""
        with self._lock:
            if self._thread is not None or self._stopped.is_set():
                return
            self._started = monotonic()
            thread = threading.Thread(
                target=self._run, name="flask_tenant_auth revocations", daemon=True
            )
            thread.start()
            # Only now: where no thread could be started, the next request tries again.
            self._thread = thread
            self.runs = True

    def stop(self, *, keep_store: bool = False) -> None:
        """End the thread, and then close the table and, unless it is kept, the store."""
        with self._lock:
            self._keeps_store = keep_store
            self._stopped.set()
            if self._thread is None:
                self._close()

    def _close(self) -> None:
        self.table.close()
        if not self._keeps_store:
            self.store.close()

    @property
    def is_known(self) -> bool:
        """Whether the table says what is revoked."""
        silent_ms = self.table.silent_ms
        return silent_ms is not None and silent_ms < SILENT_MS

    def wait(self) -> bool:
        """Wait for the first reading of the store, within its bound; return whether to go on.

        Where tokens are accepted without it, the table denies none of them any more after that.
        """
        self.start()
        while not self.is_known:
            if monotonic() >= self._started + FIRST_FILL_SECONDS or self._stopped.is_set():
                return self._waive()
            self._stopped.wait(_WAIT_STEP_SECONDS)
        return True

    def _waive(self) -> bool:
        if not self._allow:
            return False
        with self._lock:
            if self._waived:
                return True
            self._waived = True
            self.table.waive(True)
        logger.error(
            "It is not known what was revoked, because the store of sessions (%s) does not answer: "
            "tokens are accepted all the same, as AUTH_ON_REVOCATION_ERROR=allow says",
            self._name_of_store(),
        )
        return True

    def _run(self) -> None:
        next_reading = 0.0
        try:
            while not self._stopped.is_set():
                if self._step(monotonic() >= next_reading):
                    next_reading = monotonic() + self._pause
        finally:
            self._close()

    def _step(self, may_read: bool) -> bool:
        """Do what is due, for about as long as a heartbeat; return whether the store was read."""
        try:
            leads = self.table.lead()
            if leads and may_read:
                read_at = monotonic()
                self.read_store(0 if _greenlets() else int(HEARTBEAT_SECONDS * 1000))
                self._log_recovery()
                self._withdraw_waiver()
                self._purge()
                # A store that answers at once is not asked more often than the heart beats.
                self._stopped.wait(max(0.0, read_at + HEARTBEAT_SECONDS - monotonic()))
                return True
            self._withdraw_waiver()
        except Exception as error:  # noqa: BLE001 - the thread goes on, whatever a store raises
            self._log_failure(error)
        self._stopped.wait(HEARTBEAT_SECONDS)
        return False

    def read_store(self, wait_ms: int) -> None:
        """Add to the table what was revoked since its position.

        :raises StoreUnavailable: when the store did not answer.
        """
        changes = self.store.changes(self.table.position, wait_ms)
        if changes.is_older:
            self._restore(changes)
        for each in changes.revocations:
            add_revocation(self.table, each)
        # A process that was stopped since it asked may know less than the table has by now.
        if self.table.lead():
            self.table.mark_filled(changes.position)

    def _restore(self, changes: Changes) -> None:
        """Add to a store that is older, or another one, what this host still has."""
        entries = [Revocation(**each) for each in self.table.entries()]
        known = {_identity_of(each): each for each in changes.revocations}
        missing = [each for each in entries if not _is_known(each, known)]
        if missing:
            logger.warning(
                "The store of sessions (%s) is older than it was, or another one: %d revocations "
                "of this host are added to it again",
                self._name_of_store(),
                len(missing),
            )
            self.store.restore(missing)

    def _purge(self) -> None:
        if monotonic() >= self._next_purge:
            self._next_purge = monotonic() + _PURGE_SECONDS
            self.store.purge()

    def _withdraw_waiver(self) -> None:
        """Deny again what is revoked only as far as it is known, once it is."""
        if self._waived and self.is_known:
            with self._lock:
                self._waived = False
                self.table.waive(False)
            logger.warning("It is known again what was revoked")

    def _name_of_store(self) -> str:
        """Return what the log calls the store, also where the store cannot say it."""
        try:
            return self.store.describe()
        except Exception as error:  # noqa: BLE001 - the engine of an app may not be there
            return f"unknown, {type(error).__name__}"

    def _log_failure(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            logger.error(
                "The store of sessions (%s) cannot be read, so what other hosts revoke is not "
                "known here: %s",
                self._name_of_store(),
                error if isinstance(error, StoreUnavailable) else repr(error),
            )

    def _log_recovery(self) -> None:
        if self._failing:
            self._failing = False
            logger.warning("The store of sessions (%s) can be read again", self._name_of_store())


def add_revocation(table: Revocations, revocation: Revocation) -> None:
    """Add a revocation of the store to the table of this host.

    :raises ValueError: for one that the table does not take; it says which.
    """
    of_user = revocation.kind in ("user", "session")
    try:
        table.add(
            revocation.kind,
            at=revocation.at,
            ends_at=revocation.ends_at,
            tenant_id=None if revocation.kind == "everything" else revocation.tenant_id,
            user_id=revocation.user_id if of_user else None,
            id=revocation.id,
            except_session=revocation.except_session,
        )
    except ValueError as error:
        what = f"revocation {revocation.number}, of kind {revocation.kind}"
        raise ValueError(f"{what}: {error}") from None


_Identity = tuple[str, str | None, str | None, str | None, str | None]


def _identity_of(each: Revocation) -> _Identity:
    return each.kind, each.tenant_id, each.user_id, each.id, each.except_session


def _is_known(each: Revocation, known: dict[_Identity, Revocation]) -> bool:
    found = known.get(_identity_of(each))
    return found is not None and found.at >= each.at and found.ends_at >= each.ends_at


def _greenlets() -> bool:
    """Whether threads are greenlets, all of which a call that waits in C would hold up."""
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


_followers: weakref.WeakSet[Follower] = weakref.WeakSet()


def _after_fork() -> None:
    for follower in list(_followers):
        follower.after_fork()


os.register_at_fork(after_in_child=_after_fork)
