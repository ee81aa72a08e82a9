"""What an app with sessions has open: their store, the table of this host, and who fills it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._core import InvalidToken, Revocations
from ..audit import logger
from ..ending import Ending
from ..errors import REVOCATIONS_UNKNOWN, ConfigurationError, SessionsUnavailable
from ..sessions.follower import SILENT_MS, Follower, add_revocation
from ..sessions.store import Revocation, SessionStore
from ..sessions.stores import store_of

if TYPE_CHECKING:
    from flask.app import Flask

    from ..config.settings import Settings

# Of a URL. Anybody may read the names of shared memory, and guess a password that is in one.
_USER_INFO = re.compile(r"//[^/]*@")
_IN_MEMORY = ("sqlite://", "sqlite:///:memory:")
_RETRY_SECONDS = 2


class LiveSessions:
    """The store of an app's sessions, and the table of revocations of this host.

    Nothing is opened, and no thread runs, before the first request or the first session.

    :param name: what tells the app from others of this host.
    :param shared: whether the processes of this host share the table.
    """

    def __init__(self, app: Flask, settings: Settings, name: str, *, shared: bool) -> None:
        setting = settings.auth_session_store
        self.store: SessionStore = store_of(setting, app.instance_path, app)
        where = app.instance_path
        if isinstance(setting, str):
            where = _USER_INFO.sub("//", setting.partition("?")[0])
        token_max_ms = int((settings.token_max_hours * 3600 + settings.jwt_leeway) * 1000)
        # A process whose tokens live shorter forgets sooner. So it has a table of its own.
        digest = hashlib.sha256(json.dumps([name, where, token_max_ms]).encode()).hexdigest()
        self._purpose = f"revocations {digest[:32]}"
        self._token_max_ms = token_max_ms
        self._settings = settings
        self._open_table(shared=shared and where not in _IN_MEMORY)

    def _open_table(self, *, shared: bool) -> None:
        self.shares_table = shared
        try:
            self.table = Revocations(
                self._purpose,
                shared=shared,
                token_max_ms=self._token_max_ms,
                silent_max_ms=SILENT_MS,
            )
        except (OSError, MemoryError) as error:
            raise ConfigurationError(
                f"The table of revocations cannot be made in shared memory: {error}"
            ) from None
        self.follower = Follower(
            self.store,
            self.table,
            allow=self._settings.auth_on_revocation_error == "allow",
            delay=self._settings.auth_revocation_max_delay_seconds,
        )

    def close_with(self, owner: object) -> None:
        """End the thread, and close all, when its owner is freed, or when the process ends."""
        self._closing = Ending(owner, self.follower.stop)

    def stop_sharing(self, owner: object) -> None:
        """Have a table of this app alone. The store stays."""
        self._closing.detach()
        self.follower.stop(keep_store=True)
        self._open_table(shared=False)
        self.close_with(owner)

    def forget(self, revoked: Revocation) -> None:
        """Let this host know at once what the store has."""
        try:
            add_revocation(self.table, revoked)
        except (TimeoutError, OSError, ValueError) as error:
            # The store has it: whoever leads this host will read it there.
            logger.error("A revocation was not added to the table of this host at once: %s", error)

    def once_known(self, invalid: InvalidToken, again: Callable[[], Any]) -> Any:
        """Ask again, once it is known what is revoked.

        :raises SessionsUnavailable: where that is not known, and AUTH_ON_REVOCATION_ERROR says so.
        """
        if invalid.reason == REVOCATIONS_UNKNOWN and self.follower.wait():
            invalid = again()
        if isinstance(invalid, InvalidToken) and invalid.reason == REVOCATIONS_UNKNOWN:
            raise SessionsUnavailable(_RETRY_SECONDS, reason=REVOCATIONS_UNKNOWN)
        return invalid
