"""Who the request is: one identity, proved once, for every one who asks.

Two writers only. A request's identity is bound by ``@verify_tenant_context`` (or ``@verify_role``)
and lives on the request object itself, so it is gone with it, follows it into async views, copied
contexts and streamed answers, and cannot reach another request. `acting_as` lends an identity to a
block of code. The innermost of the two counts: a request that is served inside an ``acting_as``
block is not that identity's.
"""

from __future__ import annotations

import inspect
import re
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import flask

from .. import errors
from .._core import ROLES, Identity, InvalidToken, RequestRecord, is_valid_uuid, open_record
from ..arguments import role_text, uuid_text
from ..audit import logger
from ..errors import AuthError
from ..roles import TENANT_ROLE, UserRole
from .denials import (
    BAD_ROLE,
    BAD_TENANT_ID,
    BAD_USER_ID,
    NO_CREDENTIALS,
    OTHER_TENANT,
    OTHER_USER,
    STRAY_BEARER,
    UNTRUSTED_HEADERS,
    Denial,
    error_of,
    report_denial,
)
from .state import AppState, state_of

if TYPE_CHECKING:
    from types import FrameType

    from flask import Request

# Where a Request object keeps its record: among its own attributes, so that no other request finds
# it, whatever environ that one is made from.
RECORD = "_tenant_auth_record"
# What Flask's proxies look into. Asked directly, because every request asks several times and the
# proxy takes as long as all else here.
_flask_context = cast("ContextVar[Any]", flask.request.__wrapped__)  # type: ignore[attr-defined]

# A bearer scheme where no token was found: alone, or in "Basic x,Bearer y", which is what a server
# makes of two Authorization lines (RFC 9110, section 5.2).
_STRAY_BEARER = re.compile(r"(^|,)\s*bearer(\s|$)", re.IGNORECASE)


def current_request() -> Request | None:
    """Return the request being served, itself and not its proxy."""
    context = _flask_context.get(None)
    if context is None:
        return None
    try:
        request: Request = context.request
    except RuntimeError:  # an app context without a request, where Flask has one type for both
        return None
    return request


def record_of(request: Request) -> RequestRecord:
    """Return what is known of a request, which is the current one.

    Its `dispatched` says whether Flask dispatches the request now, so that an exception becomes the
    answer.
    """
    record: RequestRecord | None = request.__dict__.get(RECORD)
    if record is None or not record.dispatched:
        return _record_by_callers(record, request)
    return record


def _record_by_callers(record: RequestRecord | None, request: Request) -> RequestRecord:
    """Return the record of a request that was not seen in dispatch so far, if it has one.

    Only a request that Flask dispatches takes the response that the app's WSGI layer waits for, at
    the first use of its record in dispatch: code that runs earlier, such as a session interface,
    may have begun the record. Every other request is judged by itself: one that is pushed by hand,
    on a copy of an environ or on the same, or by Flask-SocketIO for an event.
    """
    if is_dispatched_by_flask(request):
        state = state_of(_flask_context.get().app) if record is None else record.state
        record = open_record(state, request.environ, state.start_response_key, record)
        record.dispatched = True
    elif record is None:
        record = RequestRecord(state_of(_flask_context.get().app))
    request.__dict__[RECORD] = record
    return record


def is_dispatched_by_flask(request: Request) -> bool:
    """Whether the running code was called by Flask for this request, looking at its callers."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_method_of_app(frame, "full_dispatch_request"):
            dispatched = _request_dispatched_in(frame)
            return dispatched is None or dispatched is request
        frame = frame.f_back
    return False


def _is_method_of_app(frame: FrameType, name: str) -> bool:
    return frame.f_code.co_name == name and isinstance(frame.f_locals.get("self"), flask.Flask)


def _request_dispatched_in(dispatch: FrameType) -> Request | None:
    """Return the request of a call of `full_dispatch_request`; None where a test has called it."""
    context = dispatch.f_locals.get("ctx")
    frame = dispatch.f_back
    while context is None and frame is not None:
        if _is_method_of_app(frame, "full_dispatch_request"):
            break
        if _is_method_of_app(frame, "wsgi_app"):
            context = frame.f_locals.get("ctx")
            break
        frame = frame.f_back
    return None if context is None else cast("Request", context.request)


def note_error(error: AuthError) -> None:
    """Keep the reason of an `AuthError` that leaves as the answer, unless there is one."""
    request = current_request()
    if request is not None:
        record = record_of(request)
        if record.reason is None:
            record.reason = error.reason


# Credentials


def outcome_of(record: RequestRecord, request: Request) -> Identity | Denial:
    """Judge the credentials of a request, once. Nothing is raised and nothing is bound."""
    outcome = record.outcome
    if outcome is None:
        try:
            authorization = request.environ.get("HTTP_AUTHORIZATION")
            judged = record.invalid_token or record.state.keyring.authenticate(authorization)
            if isinstance(judged, Identity):
                outcome = judged
            else:
                outcome = _without_token(record.state, request, authorization, judged)
        except Exception as error:  # noqa: BLE001 - a fault of ours is a 500 that says nothing
            outcome = _failure(error)
        record.outcome = outcome
    return outcome


def identity_of(record: RequestRecord, request: Request) -> Identity | None:
    """Return the identity that a request's credentials prove, bound or not."""
    outcome = outcome_of(record, request)
    return outcome if isinstance(outcome, Identity) else None


def _without_token(
    state: AppState, request: Request, authorization: str | None, judged: InvalidToken | None
) -> Identity | Denial:
    """Judge a request that has no good token: what is wrong with it, or with its headers."""
    if isinstance(judged, InvalidToken):
        message = errors.TOKEN_EXPIRED if judged.expired else errors.TOKEN_INVALID
        return Denial(401, message, judged.reason, judged.detail)
    if authorization is not None and _STRAY_BEARER.search(authorization):
        return STRAY_BEARER
    if state.trusts_identity_headers(_peer(request)):
        return _identity_from_headers(state, request)
    if any(name in request.environ for name in _IDENTITY_HEADERS):
        return UNTRUSTED_HEADERS
    return NO_CREDENTIALS


_IDENTITY_HEADERS = ("HTTP_X_TENANT_ID", "HTTP_X_USER_ID", "HTTP_X_USER_ROLE")


def _peer(request: Request) -> str:
    """Return the address that connected to the server, whatever a proxy header made of it.

    ProxyFix replaces REMOTE_ADDR by what X-Forwarded-For says, and keeps the original.
    """
    original = request.environ.get("werkzeug.proxy_fix.orig", request.environ)
    return cast("str", original.get("REMOTE_ADDR") or "")


def _identity_from_headers(state: AppState, request: Request) -> Identity | Denial:
    """Take the identity from X-Tenant-ID, X-User-ID and X-User-Role.

    In development the query parameters tenant_id and user_id may stand in for the first two. Two
    values for one thing come joined by a comma, from the server or from here, and are invalid.
    """
    environ = request.environ
    tenant_id = environ.get("HTTP_X_TENANT_ID")
    user_id = environ.get("HTTP_X_USER_ID")
    role = environ.get("HTTP_X_USER_ROLE", UserRole.USER.value)
    if state.development:
        tenant_id = tenant_id if tenant_id is not None else _parameter(request, "tenant_id")
        user_id = user_id if user_id is not None else _parameter(request, "user_id")
    if tenant_id is None or user_id is None:
        return NO_CREDENTIALS
    if not is_valid_uuid(tenant_id):
        return BAD_TENANT_ID
    if not is_valid_uuid(user_id):
        return BAD_USER_ID
    if role not in ROLES:
        return BAD_ROLE
    return Identity(tenant_id, user_id, role, source="headers")


def _parameter(request: Request, name: str) -> str | None:
    try:
        values = request.args.getlist(name)
    except UnicodeDecodeError:  # octets in the query string that are no UTF-8
        return None
    return ",".join(values) if values else None


def _failure(error: Exception) -> Denial:
    """Log a fault of the authentication itself, without its text: that may hold what was sent."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        place = f"{code.co_filename}:{traceback.tb_lineno} in {code.co_name}"
        traceback = traceback.tb_next
    logger.error("Authentication failed with %s at %s", type(error).__name__, place)
    detail = f"{type(error).__name__} while authenticating"
    return Denial(500, errors.AUTHENTICATION_FAILED, "internal_error", detail)


# Getters


class _Lent(NamedTuple):
    """An identity lent by acting_as, and the request inside which it was, if any."""

    identity: Identity
    request: Request | None


lent_identity: ContextVar[_Lent | None] = ContextVar("flask_tenant_auth_lent", default=None)


def current_identity() -> Identity | None:
    """Return who the running code acts for; None where nothing was verified.

    The one answer that everything else is made of.
    """
    return identity_in(current_request())


def identity_in(request: Request | None) -> Identity | None:
    """Return who the running code acts for, given the request it runs in, if any."""
    lent = lent_identity.get()
    if lent is not None and lent.request is request:
        return lent.identity
    if request is None:
        return None
    record: RequestRecord | None = request.__dict__.get(RECORD)
    return None if record is None else record.identity


def _required_identity(asked_by: str) -> Identity:
    identity = current_identity()
    if identity is None:
        raise _nobody(asked_by)
    return identity


def _nobody(asked_by: str) -> AuthError:
    """Return the 401 of code that needs an identity where none is bound; tell of it once."""
    denial = Denial(
        401,
        errors.CREDENTIALS_REQUIRED,
        "decorator_missing",
        f"{asked_by}() in a request that no @verify_tenant_context has let in: the decorator is "
        "missing on the view",
    )
    request = current_request()
    if request is not None:
        record = record_of(request)
        if record.reason is None:
            report_denial(denial, request, record)
    return error_of(denial)


def _forbidden(denial: Denial, identity: Identity) -> AuthError:
    request = current_request()
    report_denial(denial, request, None if request is None else record_of(request), identity)
    return error_of(denial)


def get_tenant_context() -> tuple[str, str]:
    """Return (tenant_id, user_id) of the current identity, as canonical lower-case UUID text.

    :raises AuthError: 401, where no ``@verify_tenant_context`` and no `acting_as` gave one.
    """
    identity = _required_identity("get_tenant_context")
    return identity.tenant_id, identity.user_id


def get_user_role() -> str:
    """Return the role of the current identity, "user" or "admin".

    :raises AuthError: 401, where no ``@verify_tenant_context`` and no `acting_as` gave one.
    """
    return _required_identity("get_user_role").role


def extract_tenant_context() -> tuple[str | None, str | None, str | None]:
    """Return (tenant_id, user_id, role) that the current request proves; three Nones if none.

    It binds nothing: for a public view that greets those who happen to be signed in. A bad token,
    or a header that is no UUID, proves nothing. A bearer token wins over headers.
    """
    identity = current_identity()
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
    """Return True when a resource is the current user's own, or an admin's tenant's.

    Called with two UUIDs, compared as UUIDs so that letter case does not matter; or with the
    resource itself: its ``tenant_id`` is compared and, where it has one, its ``user_id``.

    :param resource_tenant_id: the tenant that the resource belongs to, or the resource.
    :param resource_user_id: the user that the resource belongs to.
    :raises AuthError: 403 where it is somebody else's; 401 where nothing was verified.
    :raises ValueError: for what is no UUID; the message names the argument.
    """
    owner: object = resource_user_id
    anybodys = False
    if resource_user_id is None and hasattr(resource_tenant_id, "tenant_id"):
        resource = resource_tenant_id
        resource_tenant_id = resource.tenant_id
        try:
            owner = resource.user_id  # type: ignore[attr-defined]
        except AttributeError:
            # A property that fails is no resource without a user.
            if inspect.getattr_static(resource, "user_id", None) is not None:
                raise
            anybodys = True
    tenant_id = uuid_text("resource_tenant_id", resource_tenant_id)
    user_id = None if anybodys else uuid_text("resource_user_id", owner)
    identity = _required_identity("verify_resource_access")
    if identity.tenant_id != tenant_id:
        raise _forbidden(OTHER_TENANT, identity)
    if not anybodys and identity.user_id != user_id and identity.role != TENANT_ROLE:
        raise _forbidden(OTHER_USER, identity)
    return True


@contextmanager
def acting_as(
    tenant_id: str | uuid.UUID, user_id: str | uuid.UUID, role: str = "user"
) -> Iterator[Identity]:
    """Give the enclosed block an identity without a request: a job, a CLI command, a test.

    A request that is served inside the block is not touched by it: it must prove its own.

    :raises ValueError: for what is no UUID or no role; the message names the argument.
    """
    identity = Identity(
        uuid_text("tenant_id", tenant_id), uuid_text("user_id", user_id), role_text("role", role)
    )
    token = lent_identity.set(_Lent(identity, current_request()))
    try:
        yield identity
    finally:
        lent_identity.reset(token)
