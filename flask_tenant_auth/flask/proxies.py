"""`current_identity` and `current_user`: what the running code acts for, as an object to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from werkzeug.local import LocalProxy

from .. import errors
from .._core import Identity
from ..identity.denials import Denial
from ..identity.lent import lent_identity
from .context import identity_in_force, logged_error, required_identity
from .records import current_request
from .state import UserLoader, current_state

# The attribute of a Request object with the identity that is bound to it and its user.
_USER = "_tenant_auth_user"


class _IdentityProxy(LocalProxy[Identity]):
    """False, and without a denial in the log, where nothing was verified."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return identity_in_force() is not None

    def __repr__(self) -> str:
        identity = identity_in_force()
        return "<no identity>" if identity is None else repr(identity)


class _UserProxy(LocalProxy[Any]):
    """False where nothing was verified; there is no user then."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return identity_in_force() is not None and bool(_loaded_user())

    def __repr__(self) -> str:
        return "<no identity>" if identity_in_force() is None else repr(_loaded_user())


def _loaded_user() -> Any:
    """Return the app's user object of the identity in force, loaded when first asked for.

    :raises AuthError: 401, where nothing was verified, and where the loader returns None.
    :raises RuntimeError: where the app has no loader.
    """
    identity = required_identity("current_user")
    request = current_request()
    lent = lent_identity.get()
    if lent is not None and lent.identity is identity and lent.request is request:
        if not lent.user:
            lent.user.append(_load(identity))
        return lent.user[0]
    known = None if request is None else request.__dict__.get(_USER)
    if known is None or known[0] is not identity:
        known = (identity, _load(identity))
        if request is not None:
            request.__dict__[_USER] = known
    return known[1]


def _load(identity: Identity) -> Any:
    loader: UserLoader | None = current_state().user_loader
    function: Callable[[Identity], Any] | None = None if loader is None else loader.function
    if function is None:
        raise RuntimeError(
            "current_user needs a loader of users: decorate a function of the identity with "
            "@auth.user_loader, where auth is the TenantAuth of the app"
        )
    user = function(identity)
    if user is None:
        denial = Denial(
            401,
            errors.TOKEN_INVALID,
            "user_unknown",
            "the function of user_loader knows no user of this identity",
        )
        raise logged_error(denial, identity)
    return user


# LocalProxy has the type of what it stands for.
current_identity = cast("Identity", _IdentityProxy(lambda: required_identity("current_identity")))
current_user: Any = _UserProxy(_loaded_user)
