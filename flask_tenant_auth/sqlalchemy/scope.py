"""On whose behalf the database is asked at this moment."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Final

from .._core import Identity
from ..context import current_identity
from .errors import TenantContextMissing

logger = logging.getLogger("flask_tenant_auth")


class Unscoped:
    """The type of UNSCOPED: everybody's rows, on purpose."""

    __slots__ = ()
    role: Final = "unscoped"


UNSCOPED: Final = Unscoped()

# The identity at the moment unscoped() was entered, in a tuple because that may be None.
_unscoped_from: ContextVar[tuple[Identity | None] | None] = ContextVar(
    "flask_tenant_auth_unscoped", default=None
)


def current_scope() -> Identity | Unscoped | None:
    """Whose rows the next statement may touch; None: nobody's."""
    identity = current_identity()
    entered = _unscoped_from.get()
    # The innermost wins: acting_as() inside unscoped() lends an Identity of its own, which may be
    # equal to the one before, and bounds again.
    return UNSCOPED if entered is not None and entered[0] is identity else identity


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Let the statements in this block touch every tenant's rows; logged with the reason."""
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
    token = _unscoped_from.set((current_identity(),))
    try:
        yield
    finally:
        _unscoped_from.reset(token)


def require_identity() -> Identity:
    """Return the identity; TenantContextMissing where there is none."""
    identity = current_identity()
    if identity is None:
        raise TenantContextMissing(
            "this statement reads or writes tenants' rows, but there is no identity: verify the "
            "request with @verify_tenant_context, or use acting_as() outside of a request"
        )
    return identity


# An application has few identities at a time and asks for each of them with every statement.
as_uuid = lru_cache(maxsize=1024)(uuid.UUID)
