"""What an app says of itself: the part of it that a check needs, as plain values."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

# A shorter text of a token may be part of any answer.
_SHORTEST_TEXT = 8


@dataclass(frozen=True)
class Person:
    """A user of a tenant, and a token of that user. The ids are None where they are not known."""

    token: str
    tenant_id: str | None = None
    user_id: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The header fields of a request of this user."""
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids; where they are not known, all texts of the token, among which they are."""
        known = tuple(each for each in (self.tenant_id, self.user_id) if each)
        return known or self.texts

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of the token; none where it cannot be read."""
        try:
            payload = self.token.split(".")[1]
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (ValueError, IndexError, RecursionError):
            return ()
        return tuple(each for each in _texts_in(claims) if len(each) >= _SHORTEST_TEXT)


def _texts_in(value: object) -> Iterator[str]:
    """Yield the texts in what JSON can hold."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an app says of itself.

    Paths are of GET routes without parameters.
    """

    protected: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    # Who asks, and somebody of another tenant; None: the app signs no token, and none was given.
    person: Person | None = None
    other: Person | None = None
    # Tokens that must be denied, by the name of their check.
    bad_tokens: tuple[tuple[str, str], ...] = ()
    own_path: str | None = None  # only the tenant of `person` may read it

    strongest_role: str = "admin"
    limit_headers: bool = True
    custom_denials: bool = (
        False  # an error handler of the app writes the answers to denied requests
    )
    cookies: bool = False

    cors_paths: tuple[str, ...] = ()  # prefixes
    cors_origins: tuple[str, ...] = ()
    cors_credentials: bool = False

    metrics_path: str | None = None
    console_path: str | None = None
