"""Views for development only. create_app does not register them in production."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from flask_tenant_auth import UserRole, create_jwt_token, is_valid_uuid, public_route

from .requests import bad_request, json_object

blueprint = Blueprint("development", __name__)


@blueprint.post("/generate-token")
@public_route
def generate_token() -> dict[str, str]:
    """Make a token for any user of any tenant."""
    body = json_object()
    tenant_id: Any = body.get("tenant_id")
    user_id: Any = body.get("user_id")
    role: Any = body.get("role", UserRole.USER)
    if not is_valid_uuid(tenant_id):
        bad_request("Tenant ID must be valid UUID")
    if not is_valid_uuid(user_id):
        bad_request("User ID must be valid UUID")
    roles = [known.value for known in UserRole]
    if role not in roles:
        bad_request(f"Role must be one of: {', '.join(roles)}")
    return {"token": create_jwt_token(tenant_id, user_id, role)}
