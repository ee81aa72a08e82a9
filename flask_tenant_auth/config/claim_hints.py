"""What the log says of a token whose claims are not where the settings look for them.

A provider calls its claims otherwise than an app does. Then the tenant is missing, and every token
is invalid, or the role is missing, and everybody has the weakest one. The log says once which
claims a token has that look like these, and which setting would read them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from .._core import Identity
from ..audit import logger

# How providers call a claim. A name that is a URL is looked at by its end.
_NAMES = {
    "JWT_TENANT_CLAIM": (
        *("tenant_id", "tenant", "tid", "org_id", "org", "organization", "organization_id"),
        *("custom:tenant_id", "custom:org_id", "account_id"),
    ),
    "JWT_USER_CLAIM": ("user_id", "sub", "oid", "uid", "username"),
    "JWT_ROLE_CLAIM": (
        *("role", "roles", "groups", "cognito:groups", "realm_access", "resource_access"),
    ),
    "JWT_PERMISSIONS_CLAIM": ("permissions", "scope", "scp"),
}
_MISSING = {"tenant_id_missing": "JWT_TENANT_CLAIM", "user_id_missing": "JWT_USER_CLAIM"}
# How many tokens without a role are looked at: each takes a few microseconds.
_MOST_TOKENS = 100


class ClaimHints:
    """The hints of one app, each given once."""

    def __init__(self) -> None:
        self._left = _MOST_TOKENS
        self._given: set[str] = set()

    def about_role(self, identity: Identity) -> None:
        """Look at a token that names no role that is known."""
        if self._left <= 0:
            return
        self._left -= 1
        found = list(_claims_for("JWT_ROLE_CLAIM", identity.claims))
        if found:
            self._left = 0
            logger.warning(
                "A token has no role that is known, so its user has the role %r. It has %s: "
                "JWT_ROLE_CLAIM says where a role is, and JWT_ROLE_MAP which role a word stands "
                "for. This is logged once",
                identity.role,
                ", ".join(f"{_escaped(name)}={_escaped(value)}" for name, value in found),
            )

    def about_invalid_token(self, reason: str, token: str) -> None:
        """Look at a token with a valid signature that was invalid for this reason."""
        missing = _MISSING.get(reason)
        if missing is None or missing in self._given:
            return
        self._given.add(missing)
        claims = _claims_of(token)
        known = [
            f"{_escaped(name)} ({setting})"
            for setting in _NAMES
            for name, _ in _claims_for(setting, claims)
        ]
        logger.warning(
            "A token is invalid, because %s finds nothing in it. Of the claims that providers use "
            "it has: %s. The setting behind each would read it. This is logged once",
            missing,
            ", ".join(known) or "none",
        )


def _claims_for(setting: str, claims: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the claims that look like what a setting reads."""
    for name, value in claims.items():
        if name in _NAMES[setting] or name.rpartition("/")[2] in _NAMES[setting]:
            yield name, value


def _claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a token whose signature has been verified."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _escaped(value: object) -> str:
    """Return what a token says for the log: on one line, and short."""
    return str(value).encode("unicode_escape").decode("ascii")[:100]
