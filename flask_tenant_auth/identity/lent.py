"""The identity that `acting_as` lends to a block of code."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from .._core import Identity


class LentIdentity:
    """An identity, and the request in which it was lent; None: outside of a request.

    Blocks may end in another order than they began, as those of two generators do. So each knows
    the one before it, and whether it has ended.
    """

    __slots__ = ("before", "ended", "identity", "request", "users")

    def __init__(self, identity: Identity, request: object | None) -> None:
        self.identity = identity
        self.request = request
        # The user object of the identity in each app that has loaded it, by the state of the app.
        self.users: dict[Any, Any] = {}
        self.ended = False
        self.before = lent_identity.get()
        lent_identity.set(self)

    def end(self) -> None:
        """End the block: the innermost one that has not ended is in force again."""
        self.ended = True
        innermost = lent_identity.get()
        while innermost is not None and innermost.ended:
            innermost = innermost.before
        lent_identity.set(innermost)


lent_identity: ContextVar[LentIdentity | None] = ContextVar("flask_tenant_auth_lent", default=None)
