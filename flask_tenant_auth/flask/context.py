"""Who the running code acts for: one identity, verified once.

Two places set it. ``@verify_tenant_context`` (or ``@verify_role``) binds an identity to the request
object. It ends with that object, follows it into async views, copied contexts and streamed answers,
and cannot reach another request. `acting_as` lends an identity to a block of code. The innermost of
the two counts: a request that is served inside an ``acting_as`` block does not get the lent one.
"""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import flask

from .. import errors
from .._core import Identity, RequestRecord
from ..errors import AuthError
from ..identity.access import denied_access
from ..identity.arguments import permission_name, role_text, uuid_text
from ..identity.denials import Denial, error_of
from ..identity.lent import LentIdentity, lent_identity
from ..identity.roles import WEAKEST_ROLE
from .answers import note_error
from .authentication import identity_of
from .denials import report_denial
from .records import RECORD, current_request, record_of
from .state import current_roles, state_of
from .threads import require_threads_apart

if TYPE_CHECKING:
    from contextvars import ContextVar

    from flask import Request

# The context variable behind `flask.current_app`, which is read for each identity.
_app_context = cast("ContextVar[Any]", flask.current_app.__wrapped__)  # type: ignore[attr-defined]


def identity_in_force() -> Identity | None:
    """Return who the running code acts for; None where nothing was verified."""
    return identity_in(current_request())


def identity_in(request: Request | None) -> Identity | None:
    """Return who the running code acts for, given the request it runs in, if any.

    It is in the roles of the current app, whatever app it is of: what a role reaches and permits is
    what that app says.

    :raises ValueError: where the current app has no such role.
    """
    identity = held_identity(request)
    context = None if identity is None else _app_context.get(None)
    if identity is None or context is None:
        return identity
    roles = state_of(context.app).roles
    return identity if identity.roles is roles else identity.with_roles(roles)


def held_identity(request: Request | None) -> Identity | None:
    """Return the identity that was lent, or bound to a request, as it was then."""
    lent = lent_identity.get()
    if lent is not None and lent.request is request:
        return lent.identity
    if request is None:
        return None
    record: RequestRecord | None = request.__dict__.get(RECORD)
    return None if record is None else record.identity


def required_identity(asked_by: str) -> Identity:
    """Return who the running code acts for.

    :raises AuthError: 401, where nothing was verified; it is logged once a request.
    """
    identity = identity_in_force()
    if identity is None:
        raise _no_identity(asked_by)
    return identity


def _no_identity(asked_by: str) -> AuthError:
    """Return the 401 of code that needs an identity where none is bound. It is logged once."""
    denial = Denial(
        401,
        errors.CREDENTIALS_REQUIRED,
        "decorator_missing",
        f"{asked_by}() in a request that no @verify_tenant_context has verified: the decorator is "
        "missing on the view",
    )
    request = current_request()
    if request is not None:
        record = record_of(request)
        if record.reason is None:
            report_denial(denial, request, record)
    return _noted(error_of(denial))


def logged_error(denial: Denial, identity: Identity) -> AuthError:
    """Log a denial of the current request, if there is one, and return it as an error."""
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request), identity)
    return _noted(error_of(denial))


def _noted(error: AuthError) -> AuthError:
    """Return an error, after noting what the answer needs if a handler of the app writes it."""
    note_error(error)
    return error


def get_tenant_context() -> tuple[str, str]:
    """Return (tenant_id, user_id) of the current identity, as canonical lower-case UUID text.

    :raises AuthError: 401, where no ``@verify_tenant_context`` and no `acting_as` gave one.
    """
    identity = required_identity("get_tenant_context")
    return identity.tenant_id, identity.user_id


def get_user_role() -> str:
    """Return the role of the current identity, one of AUTH_ROLES: "user" or "admin" if not set.

    :raises AuthError: 401, where no ``@verify_tenant_context`` and no `acting_as` gave one.
    """
    return required_identity("get_user_role").role


def has_permission(permission: str) -> bool:
    """Whether the current identity has a permission, of its role or of its token.

    :param permission: a name, as ``"accounts:write"``.
    :raises AuthError: 401, where no ``@verify_tenant_context`` and no `acting_as` gave one.
    :raises ValueError: for what can be no permission's name.
    """
    identity = required_identity("has_permission")
    return identity.permits(permission_name("permission", permission))


def extract_tenant_context() -> tuple[str | None, str | None, str | None]:
    """Return (tenant_id, user_id, role) that the current request proves; three Nones if none.

    It binds nothing: a public view may use it to greet users who are signed in. An invalid token,
    or a header that is no UUID, proves nothing. A bearer token has precedence over headers.
    """
    identity = identity_in_force()
    request = current_request()
    if identity is None and request is not None:
        identity = identity_of(record_of(request), request)
    if identity is None:
        return None, None, None
    return identity.tenant_id, identity.user_id, identity.role


def verify_resource_access(
    resource_tenant_id: str | uuid.UUID | object,
    resource_user_id: str | uuid.UUID | None = None,
) -> bool:
    """Return True when a resource is the current user's own, or in the tenant of an admin.

    An admin is whoever has one of AUTH_TENANT_ROLES.

    Called with two UUIDs, compared as UUIDs so that letter case does not matter; or with the
    resource itself: its ``tenant_id`` is compared and, where it has one, its ``user_id``.

    :param resource_tenant_id: the tenant that the resource belongs to, or the resource.
    :param resource_user_id: the user that the resource belongs to.
    :raises AuthError: 403 where it is somebody else's; 401 where nothing was verified.
    :raises ValueError: for what is no UUID; the message names the argument.
    """
    owner: object = resource_user_id
    of_tenant = False  # whether it belongs to every user of its tenant
    if resource_user_id is None and hasattr(resource_tenant_id, "tenant_id"):
        resource = resource_tenant_id
        resource_tenant_id = resource.tenant_id
        try:
            owner = resource.user_id  # type: ignore[attr-defined]
        except AttributeError:
            # A property that fails does not mean that the resource has no user.
            if inspect.getattr_static(resource, "user_id", None) is not None:
                raise
            of_tenant = True
    tenant_id = uuid_text("resource_tenant_id", resource_tenant_id)
    user_id = None if of_tenant else uuid_text("resource_user_id", owner)
    identity = required_identity("verify_resource_access")
    denial = denied_access(identity, tenant_id, user_id)
    if denial is not None:
        raise logged_error(denial, identity)
    return True


@contextmanager
def acting_as(
    tenant_id: str | uuid.UUID | Identity,
    user_id: str | uuid.UUID | None = None,
    role: str = WEAKEST_ROLE,
) -> Iterator[Identity]:
    """Give the enclosed block an identity without a request: a job, a CLI command, a test.

    A request that is served inside the block does not get this identity: it must prove its own.
    Called with two ids and a role, or with an `Identity`, whose own permissions it keeps. What the
    role permits is what it permits in the current app; without one, AUTH_ROLES of the environment.

    :param tenant_id: UUID, or the `Identity`.
    :param user_id: UUID.
    :param role: one of AUTH_ROLES; the weakest if not given.
    :raises ValueError: for what is no UUID or no role; the message names the argument.
    :raises TypeError: for an `Identity` and a user or role beside it.
    :raises ConfigurationError: where threads inherit the context of those that start them.
    """
    require_threads_apart()
    identity = _lent(tenant_id, user_id, role)
    lent = LentIdentity(identity, current_request())
    try:
        yield identity
    finally:
        lent.end()


def _lent(tenant_id: object, user_id: object, role: object) -> Identity:
    roles = current_roles()
    if isinstance(tenant_id, Identity):
        if user_id is not None or role is not WEAKEST_ROLE:
            raise TypeError("acting_as takes an Identity alone, or tenant_id, user_id and role")
        return tenant_id.with_roles(roles)
    return Identity(
        uuid_text("tenant_id", tenant_id),
        uuid_text("user_id", user_id),
        role_text("role", role, roles),
        roles=roles,
    )
