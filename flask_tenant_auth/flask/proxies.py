"""`current_identity` and `current_user`: what the running code acts for, as an object to import."""

from __future__ import annotations

from typing import Any, Final, SupportsIndex, cast

from werkzeug.local import LocalProxy

from .. import errors
from .._core import Identity
from ..errors import AuthError
from ..identity.denials import Denial, error_of
from ..identity.lent import lent_identity
from .context import identity_in_force, logged_error, required_identity
from .records import current_request, record_of
from .state import AppState, current_app, state_of

# The attribute of a Request object with the users of the identity that is bound to it.
_USERS = "_tenant_auth_users"

_UNKNOWN: Final = object()  # the user of an identity that the loader does not know
_USER_UNKNOWN = Denial(
    401,
    errors.TOKEN_INVALID,
    "user_unknown",
    "the function of user_loader knows no user of this identity",
)


class _NoIdentity(AuthError, RuntimeError):  # noqa: N818 - it leaves this module as an AuthError
    """The 401 of code that needs an identity.

    LocalProxy takes a RuntimeError to mean that there is no object. Then `isinstance`, `dir` and
    their like describe the proxy, and do not fail in tools that look at every name of a module.
    """

    def __init__(self) -> None:
        super().__init__(errors.CREDENTIALS_REQUIRED, 401, reason="decorator_missing")


class _Proxy(LocalProxy[Any]):
    """False where nothing was verified. There an attribute is a 401, which is logged."""

    __slots__ = ()
    _name = ""

    def __getattr__(self, name: str) -> Any:
        required_identity(self._name)
        return getattr(self._get_current_object(), name)

    def __repr__(self) -> str:
        return "<no identity>" if identity_in_force() is None else repr(self._get_current_object())


class _IdentityProxy(_Proxy):
    __slots__ = ()
    _name = "current_identity"

    def __bool__(self) -> bool:
        return identity_in_force() is not None

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        # What is pickled is the Identity. In another process the proxy is another one.
        return self._get_current_object().__reduce_ex__(protocol)


class _UserProxy(_Proxy):
    __slots__ = ()
    _name = "current_user"

    def __bool__(self) -> bool:
        return identity_in_force() is not None and bool(self._get_current_object())

    @property
    def __class__(self) -> type:
        # Not by LocalProxy, which would hide a RuntimeError of the loader.
        return type(self if identity_in_force() is None else self._get_current_object())

    @__class__.setter
    def __class__(self, _: type) -> None:
        raise TypeError("the class of current_user cannot be set")


def _identity() -> Identity:
    identity = identity_in_force()
    if identity is None:
        raise _NoIdentity
    return identity


def _user() -> Any:
    """Return the app's user object of the identity in force, loaded when first asked for.

    :raises AuthError: 401, where nothing was verified, and where the loader returns None.
    :raises RuntimeError: where the app has no loader.
    """
    identity = _identity()
    users, state = _users()
    if state not in users:
        users[state] = user = _load(identity, state)
        if user is _UNKNOWN:
            raise logged_error(_USER_UNKNOWN, identity)
    if users[state] is _UNKNOWN:
        raise error_of(_USER_UNKNOWN)
    return users[state]


def _users() -> tuple[dict[AppState | None, Any], AppState | None]:
    """Return the users that were loaded for the identity by app, and the app that is asked now."""
    request = current_request()
    lent = lent_identity.get()
    if lent is not None and lent.request is request:
        # The block may enter the contexts of several apps, each with its own users.
        return lent.users, state_of(current_app._get_current_object()) if current_app else None
    assert request is not None  # noqa: S101 - an identity that is not lent is bound to a request
    return request.__dict__.setdefault(_USERS, {}), record_of(request).state


def _load(identity: Identity, state: AppState | None) -> Any:
    if state is None:
        raise RuntimeError("current_user needs an app context: use `with app.app_context():`")
    if state.loaders is None or state.loaders.of_user is None:
        raise RuntimeError(
            "current_user needs a loader of users: decorate a function of the identity with "
            "@auth.user_loader, where auth is the TenantAuth of the app"
        )
    user = state.loaders.of_user(identity)
    return _UNKNOWN if user is None else user


# LocalProxy has the type of what it stands for.
current_identity = cast("Identity", _IdentityProxy(_identity))
current_user: Any = _UserProxy(_user)
