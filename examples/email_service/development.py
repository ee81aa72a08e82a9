"""What helps in development and must not exist in production: create_app leaves it out there."""

from __future__ import annotations

from typing import Any

from flask import Blueprint

from flask_tenant_auth import UserRole, create_jwt_token, is_valid_uuid, public_route

from .requests import json_object, refuse

blueprint = Blueprint("development", __name__)


@blueprint.post("/generate-token")
@public_route
def generate_token() -> dict[str, str]:
    """Make a token for anybody."""
    body = json_object()
    tenant_id: Any = body.get("tenant_id")
    user_id: Any = body.get("user_id")
    role: Any = body.get("role", UserRole.USER)
    if not is_valid_uuid(tenant_id):
        refuse("Tenant ID must be valid UUID")
    if not is_valid_uuid(user_id):
        refuse("User ID must be valid UUID")
    roles = [known.value for known in UserRole]
    if role not in roles:
        refuse(f"Role must be one of: {', '.join(roles)}")
    return {"token": create_jwt_token(tenant_id, user_id, role)}
