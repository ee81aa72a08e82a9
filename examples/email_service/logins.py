"""Log in, and log out on every device. AUTH_SESSION_ROUTES adds the other routes below /auth."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from flask_tenant_auth import (
    AuthError,
    create_session,
    delete_session_cookies,
    get_tenant_context,
    login_limit,
    public_route,
    revoke_user,
    set_session_cookies,
    verify_tenant_context,
)

from .requests import LOGIN, json_fields
from .users import user_with_password

blueprint = Blueprint("logins", __name__)


@blueprint.post("/login")
@public_route
@login_limit("5 per 15 minutes", key="email")
def log_in() -> Response:
    """Begin a session. Its tokens are in cookies that no script can read."""
    fields = json_fields(LOGIN)
    user = user_with_password(fields["email"], fields["password"])
    if user is None:
        raise AuthError("Wrong e-mail address or password", 401)
    tokens = create_session(user.tenant_id, user.id, user.role)
    response = jsonify(user=user.summary(), session_id=tokens.session_id)
    set_session_cookies(response, tokens)
    return response


@blueprint.post("/logout-everywhere")
@verify_tenant_context
def log_out_everywhere() -> Response:
    """End all sessions of the user, this one too."""
    revoke_user(*get_tenant_context())
    response = Response(status=204)
    delete_session_cookies(response)
    return response
