"""API keys: made, verified and ended. Knows no Flask.

The store decides. What it has answered is shared by the processes of a host for a minute at most,
and never beyond the end of the key. `KeyCache` drops it when the key is ended meanwhile.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from .._core import KeyCache, make_api_key, now, read_api_key
from ..audit import logger
from .store import KEY_PREFIX, ApiKey, Revocation, SessionStore, StoreUnavailable

_MOST_CACHED_MS = 60_000
_USE_NOTED_MS = 300_000
# What a table of revocations answers where the store has to be asked: it does not know, or knows
# too little of this key. What else it answers means that the key has ended.
_REVOKED = "token_revoked"

Check = Callable[[str, str, "str | None", "str | None", "float | None"], "str | None"]


class ApiKeyDenied(Exception):  # noqa: N818 - the answer to a client, not a mistake
    """An API key that is denied."""

    def __init__(self, reason: str, key_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key_id = key_id  # where the key is one of the store


class ApiKeys:
    """The API keys of one app.

    :param revoke: adds a revocation to the store, and lets every host know.
    :param check: `Revocations.check` of the table of this host; None: there is none. Then nothing
        is cached for longer than `most_delay_ms`.
    :param most_delay_ms: how long after a revocation a key may still be accepted elsewhere.
    :param revocation_kept_ms: how long a revocation of a key is kept.
    """

    def __init__(
        self,
        store: SessionStore,
        cache: KeyCache,
        revoke: Callable[[Revocation, str], object],
        *,
        check: Check | None,
        most_delay_ms: int,
        revocation_kept_ms: int,
    ) -> None:
        self.store = store
        self._cache = cache
        self._revoke = revoke
        self._check = check
        self._most_ms = _MOST_CACHED_MS if check else min(_MOST_CACHED_MS, most_delay_ms)
        self._kept_ms = revocation_kept_ms

    def create(
        self,
        tenant_id: str,
        user_id: str,
        role: str,
        *,
        permissions: Sequence[str],
        name: str,
        expires: Callable[[int], int | None],
    ) -> tuple[str, ApiKey]:
        """Add a key. Return its text, which nobody can tell afterwards, and what is kept of it.

        :param expires: returns when it expires, given the store's now.
        :raises StoreUnavailable: when it is not known to be stored.
        """
        text, key_id, digest = make_api_key()
        created_at = self.store.now()
        key = ApiKey(
            id=key_id,
            tenant_id=tenant_id,
            user_id=user_id,
            role=role,
            digest=digest,
            permissions=tuple(permissions),
            name=name,
            created_at=created_at,
            expires_at=expires(created_at),
        )
        self.store.add_key(key)
        return text, key

    def verify(self, text: str) -> ApiKey:
        """Return the key of a text that a client has sent.

        :raises ApiKeyDenied: for what is no key, or one that has ended. A malformed text is denied
            before any store is asked.
        :raises StoreUnavailable: when it is not known here and the store did not answer.
        """
        said = read_api_key(text)
        if said is None:
            raise ApiKeyDenied("api_key_malformed")
        key_id, digest = said
        found = self._cache.find(key_id)
        if found is not None:
            key = _key_of(found)
            _require_digest(key, digest)
            reason = self._revoked(key)
            # The clock of this host stands for that of the store: either may end a key sooner.
            is_over = key.expires_at is not None and now() * 1000 >= key.expires_at
            if key.ended_at is not None or reason == _REVOKED:
                raise ApiKeyDenied("api_key_ended", key_id)
            if reason is None and not is_over:
                return key
        return self._ask(key_id, digest)

    def _revoked(self, key: ApiKey) -> str | None:
        """Return why the table of this host denies a key."""
        if self._check is None:
            return None
        created_at = key.created_at / 1000
        return self._check(key.tenant_id, key.user_id, None, token_id(key.id), created_at)

    def _ask(self, key_id: str, digest: bytes) -> ApiKey:
        """Return a key as the store says."""
        ticket = self._cache.begin(key_id)
        at, key, revoked_at = self.store.read_key(key_id)
        if key is None:
            raise ApiKeyDenied("api_key_unknown")
        left = self._most_ms if key.expires_at is None else key.expires_at - at
        is_revoked = key.created_at <= revoked_at
        if key.ended_at is None and is_revoked:
            key = self._ended(key, at)
        if left > 0:
            self._cache.put(key_id, ticket, min(left, self._most_ms), _value_of(key))
        _require_digest(key, digest)
        # A store that was restored from yesterday does not know what the table still does.
        if key.ended_at is not None or self._revoked(key) == _REVOKED:
            raise ApiKeyDenied("api_key_ended", key_id)
        if left <= 0:
            raise ApiKeyDenied("api_key_expired", key_id)
        if key.used_at is None or at - key.used_at >= _USE_NOTED_MS:
            self._note_use(key_id)
        return key

    def _ended(self, key: ApiKey, at: int) -> ApiKey:
        """End a key that a revocation of its user or tenant has ended.

        A key may live for longer than the store keeps revocations.
        """
        try:
            self.store.end_key(key.tenant_id, key.id)
        except StoreUnavailable as error:
            logger.warning("The API key %s was revoked and could not be ended: %s", key.id, error)
        return replace(key, ended_at=at)

    def _note_use(self, key_id: str) -> None:
        """Note that a key was used. The request does not fail where that fails."""
        try:
            self.store.note_key_use(key_id)
        except StoreUnavailable as error:
            logger.warning("The use of the API key %s could not be noted: %s", key_id, error)

    def end(self, tenant_id: str, key_id: str) -> bool:
        """End a key, here and on every host. False: the tenant has none of this id.

        It may be called again after `StoreUnavailable`: what has ended is ended again.

        :raises StoreUnavailable: when it is not known to have ended.
        """
        try:
            if not self.store.end_key(tenant_id, key_id):
                return False
        finally:
            # Also where the store has not answered: it may have ended the key.
            self._cache.drop(key_id)
        revocation = Revocation(
            kind="token",
            tenant_id=tenant_id,
            id=token_id(key_id),
            ends_at=int(now() * 1000) + self._kept_ms,
        )
        self._revoke(revocation, "api_key_revoked")
        self._cache.drop(key_id)
        return True

    def forget(self, revocation: Revocation) -> None:
        """Drop what a revocation of this host may have ended."""
        if revocation.kind in ("user", "tenant", "everything"):
            self._cache.clear()

    def list(self, tenant_id: str, user_id: str | None) -> list[ApiKey]:
        """Return the keys of a user, or of a tenant, the newest first."""
        return self.store.keys(tenant_id, user_id)


def key_cache_of(store: SessionStore, *, app: str, shared: bool) -> KeyCache:
    """Return what the processes of this host share of a store's answers about keys."""
    if shared:
        try:
            return KeyCache(store.describe(), app=app)
        except OSError as error:
            logger.warning("API keys: each process asks the store for itself: %s", error)
    return KeyCache(store.describe(), app=app, shared=False)


def token_id(key_id: str) -> str:
    """Return the id under which a revocation of a token names a key."""
    return KEY_PREFIX + key_id


def _require_digest(key: ApiKey, digest: bytes) -> None:
    if not hmac.compare_digest(key.digest, digest):
        raise ApiKeyDenied("api_key_mismatch", key.id)


def _value_of(key: ApiKey) -> bytes:
    """Return a key as the cache keeps it."""
    values = [
        *(key.id, key.tenant_id, key.user_id, key.role, key.digest.hex(), key.permissions),
        *(key.created_at, key.expires_at, key.ended_at),
    ]
    return json.dumps(values, separators=(",", ":")).encode()


@lru_cache(maxsize=1024)
def _key_of(value: bytes) -> ApiKey:
    """Return a key that the cache has kept: all of it that a request needs."""
    key_id, tenant_id, user_id, role, digest, permissions, created, expires, ended = json.loads(
        value
    )
    return ApiKey(
        id=key_id,
        tenant_id=tenant_id,
        user_id=user_id,
        role=role,
        digest=bytes.fromhex(digest),
        permissions=tuple(permissions),
        name="",
        created_at=created,
        expires_at=expires,
        ended_at=ended,
    )
