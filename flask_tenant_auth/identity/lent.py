"""The identity that `acting_as` lends to a block of code."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

from .._core import Identity


class LentIdentity(NamedTuple):
    """An identity, and the request in which it was lent; None: outside of a request."""

    identity: Identity
    request: object | None
    # The user object of the identity in each app that has loaded it, by the state of the app.
    users: dict[Any, Any]


lent_identity: ContextVar[LentIdentity | None] = ContextVar("flask_tenant_auth_lent", default=None)
