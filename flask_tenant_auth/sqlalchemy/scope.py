"""For whom the database is asked at this moment."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .._core import Identity
from ..flask.context import held_identity, identity_in, identity_in_force
from ..flask.records import current_request
from ..flask.threads import require_threads_apart
from ..identity.roles import RESERVED_ROLE
from .errors import TenantContextMissing

if TYPE_CHECKING:
    from flask import Request

logger = logging.getLogger("flask_tenant_auth")


class Unscoped:
    """The type of UNSCOPED: the rows of all tenants, on purpose."""

    __slots__ = ()
    role: Final = RESERVED_ROLE
    reaches_tenant: Final = False


UNSCOPED: Final = Unscoped()

# The identity and the request, if any, at the moment unscoped() was entered.
_unscoped_from: ContextVar[tuple[Identity | None, Request | None] | None] = ContextVar(
    "flask_tenant_auth_unscoped", default=None
)


def current_scope() -> Identity | Unscoped | None:
    """Return whose rows the next statement may read and write; None: nobody's."""
    request = current_request()
    entered = _unscoped_from.get()
    # The innermost counts. acting_as() inside unscoped() lends an Identity of its own, which may be
    # equal to the one before, and bounds again. So does a request that is served inside.
    if entered is not None and entered[0] is held_identity(request) and entered[1] is request:
        return UNSCOPED
    return identity_in(request)


def reaches_tenant(scope: Identity | Unscoped | None) -> bool:
    """Whether the identity sees the rows of its whole tenant."""
    return scope is not None and scope.reaches_tenant


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Let the statements of this block read and write every tenant's rows. The reason is logged."""
    require_threads_apart()
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    if not reason.strip():
        raise ValueError("reason must say why every tenant's rows are needed here")
    caller = sys._getframe(2)  # past contextlib's __enter__
    logger.warning(
        "Isolation is off at %s:%d: %s",
        caller.f_code.co_filename,
        caller.f_lineno,
        reason.encode("unicode_escape").decode("ascii"),
        extra={"reason": reason},
    )
    request = current_request()
    token = _unscoped_from.set((held_identity(request), request))
    try:
        yield
    finally:
        _unscoped_from.reset(token)


def require_identity() -> Identity:
    """Return the identity; TenantContextMissing where there is none."""
    identity = identity_in_force()
    if identity is None:
        raise TenantContextMissing(
            "this statement reads or writes tenants' rows, but there is no identity: verify the "
            "request with @verify_tenant_context, or use acting_as() outside of a request"
        )
    return identity


# An application has few identities at a time, and needs their ids with every statement.
as_uuid = lru_cache(maxsize=1024)(uuid.UUID)
