"""The Redis of a session store: its script, its errors, and what is required of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from .._core import RedisClient, describe_redis_url
from ..audit import logger
from ..errors import ConfigurationError
from .store import StoreUnavailable

Result = TypeVar("Result")

# All keys begin with it. It is their hash tag, so a cluster has them on one node.
TAG = "fta:sessions"
PREFIX = f"{{{TAG}}}:"

_SCRIPT = (Path(__file__).parent / "lua" / "sessions.lua").read_text("utf-8")
_HASH = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()
_NO_EVICTION = "noeviction"
_CHECK_SECONDS = 30


class RedisConnection:
    """One Redis, which is asked by one script."""

    def __init__(self, url: str, timeout_ms: int) -> None:
        try:
            self._client = RedisClient(url, tag=TAG, timeout_ms=timeout_ms)
            # A command that blocks takes no connection from the requests.
            self._waiting = RedisClient(url, tag=TAG, timeout_ms=timeout_ms)
        except (ValueError, ConnectionError) as error:
            raise ConfigurationError(f"AUTH_SESSION_STORE: {error}") from None
        self._description = describe_redis_url(url)
        self._check_at = 0.0  # by time.monotonic(); 0: before the next call
        self._warned = False

    def describe(self) -> str:
        """Return what it is, without a password."""
        return self._description

    def ask(
        self,
        convert: Callable[[Any], Result],
        *words: str | bytes | int,
        resend: bool = True,
    ) -> Result:
        """Return what the script answers, converted.

        :param resend: whether the script may be run twice: where a connection that was idle closes,
            nobody knows whether it was run.
        :raises StoreUnavailable: for no answer, and one that the script does not give.
        """
        # Each process checks, whether it leads its host or not: somebody may change the settings.
        if time.monotonic() >= self._check_at:
            self.require_fit()
        try:
            reply = self._run(words, resend)
        except ConnectionError as error:
            self._check_at = 0.0  # it may be another Redis that comes back
            raise StoreUnavailable(str(error)) from None
        return _converted(convert, reply)

    def wait(self, name: str, entry: str, wait_ms: int) -> None:
        """Wait until a stream has an entry after this one, or for so long.

        :raises StoreUnavailable: when Redis goes away.
        """
        words = ("XREAD", "COUNT", 1, "BLOCK", wait_ms, "STREAMS", PREFIX + name, entry)
        try:
            self._waiting.call(*words, wait_ms=wait_ms)
        except ConnectionError as error:
            self._check_at = 0.0
            raise StoreUnavailable(str(error)) from None

    def require_fit(self) -> None:
        """Raise StoreUnavailable for a Redis that is a replica, or may remove what is kept.

        A revocation that was evicted would admit what it revoked.
        """
        self._check_at = 0.0
        try:
            found = _converted(_facts, self._client.call("INFO"))
        except ConnectionError as error:
            if getattr(error, "code", "") != "redis_denied":
                raise StoreUnavailable(str(error)) from None
            found = {}
        if found.get("role") == "slave":
            raise StoreUnavailable("this Redis is a replica")
        policy, most = found.get("maxmemory_policy"), found.get("maxmemory", "0")
        if policy is None:
            self._warn(
                "Sessions in Redis: the user may not call INFO, so it is not known whether Redis "
                "evicts keys. maxmemory-policy must be noeviction"
            )
        elif policy != _NO_EVICTION and most != "0":
            text = (
                f"Redis evicts keys when maxmemory is used up (maxmemory-policy {policy}), and "
                f"with them sessions and revocations: set {_NO_EVICTION}"
            )
            self._warn(f"AUTH_SESSION_STORE: {text}")
            raise StoreUnavailable(text)
        self._check_at = time.monotonic() + _CHECK_SECONDS

    def close(self) -> None:
        """Close the connections of this process."""
        self._client.close()
        self._waiting.close()

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            logger.error(text)

    def _run(self, words: tuple[str | bytes | int, ...], resend: bool) -> Any:
        try:
            return self._client.call("EVALSHA", _HASH, 1, PREFIX, *words, resend=resend)
        except ConnectionError as error:
            if getattr(error, "code", "") != "redis_no_script":
                raise
        # Redis was restarted, flushed, or another node has taken over. EVAL makes the script known.
        return self._client.call("EVAL", _SCRIPT, 1, PREFIX, *words, resend=resend)


def _facts(reply: bytes) -> dict[str, str]:
    lines = [line.partition(":") for line in reply.decode("utf-8", "replace").splitlines()]
    found = {name: value for name, _, value in lines}
    if "role" not in found:
        raise ValueError("no answer to INFO")
    return found


def _converted(convert: Callable[[Any], Result], reply: Any) -> Result:
    """Return a reply, converted; what comes over a connection is not trusted."""
    try:
        return convert(reply)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        text = f"Redis answered what the script does not answer ({type(error).__name__})"
        raise StoreUnavailable(text) from None
