"""The public functions of API keys: make one, end one, list those of a user or a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, NamedTuple

from ..audit import logger
from ..errors import ConfigurationError
from ..identity.arguments import permission_names, role_text, uuid_text
from ..sessions.api_keys import ApiKeys
from ..sessions.store import ApiKey, StoreUnavailable
from .api_key_check import api_keys_of, require_no_api_key
from .sessions import unavailable
from .state import current_state

if TYPE_CHECKING:
    import uuid

_LONGEST_NAME = 255
# A row with more does not fit into the memory that caches it.
_MOST_PERMISSIONS = 64
_OFF = "API keys need the store of sessions: set AUTH_SESSION_STORE, or AUTH_SESSION_ROUTES"
# A later time is no datetime: a key that had it could not be listed.
_LAST_MS = int(datetime(9999, 1, 1, tzinfo=timezone.utc).timestamp() * 1000)


class CreatedApiKey(NamedTuple):
    """A new API key."""

    key: str  # shown once: nobody can tell it afterwards
    id: str  # what lists, logs and `revoke_api_key` call it

    def __repr__(self) -> str:
        """Return it without the key: it may stand in a log or in a traceback."""
        return f"CreatedApiKey(id={self.id!r})"


@dataclass(frozen=True, kw_only=True)
class ApiKeyInfo:
    """What may be shown of an API key. Nothing of it makes a key."""

    id: str
    tenant_id: str
    user_id: str
    role: str
    permissions: tuple[str, ...]
    name: str
    created_at: datetime
    expires_at: datetime | None
    ended_at: datetime | None
    used_at: datetime | None  # some minutes late


def create_api_key(
    tenant_id: str | uuid.UUID,
    user_id: str | uuid.UUID,
    role: str,
    *,
    permissions: Sequence[str] = (),
    name: str,
    expires: datetime | timedelta | None = None,
) -> CreatedApiKey:
    """Make an API key, with which a machine acts as a user of a tenant.

    :param tenant_id: UUID.
    :param user_id: UUID.
    :param role: one of AUTH_ROLES.
    :param permissions: those beside the ones of the role.
    :param name: what people call it in lists: 1 to 255 characters.
    :param expires: when it ends, or in how long; None: when it is revoked.
    :raises ValueError: for what is no UUID, role, permission or name, and an end that has passed;
        the message names the argument.
    :raises TypeError: for arguments of other types.
    :raises AuthError: 403, in a request that was sent with an API key.
    :raises SessionsUnavailable: 503, when the store is away.
    :raises ConfigurationError: where sessions are off.
    """
    keys = _keys()
    require_no_api_key("create_api_key")
    state = current_state()
    tenant, user = uuid_text("tenant_id", tenant_id), uuid_text("user_id", user_id)
    named = role_text("role", role, state.roles)
    own = _permissions(permissions)
    label = _name(name)
    _check_expiry(expires)
    try:
        text, key = keys.create(
            tenant,
            user,
            named,
            permissions=own,
            name=label,
            expires=lambda at: _expiry(expires, at),
        )
    except StoreUnavailable as error:
        raise unavailable(error, "create_api_key") from None
    logger.info("API key %s was made for user %s of tenant %s", key.id, user, tenant)
    return CreatedApiKey(text, key.id)


def revoke_api_key(tenant_id: str | uuid.UUID, key_id: str) -> bool:
    """End an API key of a tenant, on every host within AUTH_REVOCATION_MAX_DELAY_SECONDS.

    Both are needed, so that a view which takes the id from its URL reaches no other tenant's keys.

    :param tenant_id: UUID.
    :param key_id: as `create_api_key` and `list_api_keys` return it, not the key.
    :return: False where the tenant has no such key.
    :raises ValueError: for what is no UUID, and no id.
    :raises SessionsUnavailable: 503, when it is not known to have ended: call it again.
    :raises ConfigurationError: where sessions are off.
    """
    keys = _keys()
    tenant = uuid_text("tenant_id", tenant_id)
    if not isinstance(key_id, str) or not is_key_id(key_id):
        raise ValueError("key_id must be the id of an API key: 16 characters of a-z and 2-7")
    try:
        ended = keys.end(tenant, key_id)
    except StoreUnavailable as error:
        raise unavailable(error, "revoke_api_key") from None
    if ended:
        logger.info("API key %s of tenant %s was revoked", key_id, tenant)
    return ended


def list_api_keys(
    tenant_id: str | uuid.UUID, user_id: str | uuid.UUID | None = None
) -> list[ApiKeyInfo]:
    """Return the API keys of a user, or of a tenant, the newest first, with those that have ended.

    :param tenant_id: UUID.
    :param user_id: UUID; None: those of all users of the tenant.
    :raises ValueError: for what is no UUID.
    :raises SessionsUnavailable: 503, when the store is away.
    :raises ConfigurationError: where sessions are off.
    """
    keys = _keys()
    tenant = uuid_text("tenant_id", tenant_id)
    user = None if user_id is None else uuid_text("user_id", user_id)
    try:
        return [_info(key) for key in keys.list(tenant, user)]
    except StoreUnavailable as error:
        raise unavailable(error, "list_api_keys") from None


def is_key_id(text: str) -> bool:
    """Whether this can be the id of an API key."""
    return len(text) == 16 and all(each in "abcdefghijklmnopqrstuvwxyz234567" for each in text)


def _keys() -> ApiKeys:
    keys = api_keys_of(current_state())
    if keys is None:
        raise ConfigurationError(_OFF)
    return keys


def _permissions(permissions: Sequence[str]) -> tuple[str, ...]:
    named = tuple(sorted(set(permission_names("permissions", permissions))))
    if len(named) > _MOST_PERMISSIONS:
        raise ValueError(f"permissions must be at most {_MOST_PERMISSIONS}: give the key a role")
    return named


def _name(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {type(name).__name__}")
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"name must be 1 to {_LONGEST_NAME} printable characters")
    return name


def _check_expiry(expires: datetime | timedelta | None) -> None:
    if expires is None or isinstance(expires, timedelta):
        return
    if not isinstance(expires, datetime):
        raise TypeError(f"expires must be a datetime or timedelta, not {type(expires).__name__}")
    if expires.tzinfo is None:
        raise ValueError("expires must have a time zone, as datetime.now(timezone.utc) has")


def _expiry(expires: datetime | timedelta | None, at: int) -> int | None:
    """Return when a key ends, in milliseconds, given the store's now."""
    if expires is None:
        return None
    if isinstance(expires, timedelta):
        ends = at + expires // timedelta(milliseconds=1)
    else:
        ends = int(expires.timestamp() * 1000)
    if ends <= at:
        raise ValueError("expires must be in the future")
    if ends > _LAST_MS:
        raise ValueError("expires must be before the year 9999")
    return ends


def _info(key: ApiKey) -> ApiKeyInfo:
    return ApiKeyInfo(
        id=key.id,
        tenant_id=key.tenant_id,
        user_id=key.user_id,
        role=key.role,
        permissions=key.permissions,
        name=key.name,
        created_at=datetime.fromtimestamp(key.created_at / 1000, tz=timezone.utc),
        expires_at=_time(key.expires_at),
        ended_at=_time(key.ended_at),
        used_at=_time(key.used_at),
    )


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, tz=timezone.utc)
