"""What an identity may reach."""

from __future__ import annotations

from .._core import Identity
from .denials import OTHER_TENANT, OTHER_USER, Denial


def denied_access(identity: Identity, tenant_id: str, user_id: str | None) -> Denial | None:
    """Return why an identity may not reach a resource; None where it may.

    :param tenant_id: the tenant of the resource.
    :param user_id: the user of the resource; None: it belongs to every user of its tenant.
    """
    if identity.tenant_id != tenant_id:
        return OTHER_TENANT
    if user_id is None or identity.user_id == user_id or identity.reaches_tenant:
        return None
    return OTHER_USER
