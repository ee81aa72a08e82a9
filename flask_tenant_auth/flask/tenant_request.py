"""The request of a verified view, as type checkers see it."""

from __future__ import annotations

from flask import Request


class TenantRequest(Request):
    """A request that ``@verify_tenant_context`` has verified: ``cast(TenantRequest, request)``.

    The attributes are set on every request, whatever its class. Before that they are absent.
    """

    tenant_id: str
    user_id: str
    user_role: str
