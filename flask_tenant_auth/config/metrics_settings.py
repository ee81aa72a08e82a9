"""Readers of the settings of metrics."""

from __future__ import annotations

from typing import Any

from .._core import METRIC_TENANTS, is_permission, is_valid_uuid
from .readers import read_text, read_words


def read_permission(raw: Any) -> str:
    """Return the name of one permission."""
    permission = read_text(raw)
    if not is_permission(permission) or permission.endswith("*"):
        raise ValueError(f"must be the name of one permission, as metrics:read, not {raw!r}")
    return permission


def read_tenants(raw: Any) -> tuple[str, ...]:
    """Return the UUIDs of tenants, each once."""
    tenants = tuple(dict.fromkeys(word.lower() for word in read_words(raw)))
    for tenant in tenants:
        if not is_valid_uuid(tenant):
            raise ValueError(f"must list UUIDs, not {tenant!r}")
    if len(tenants) > METRIC_TENANTS:
        raise ValueError(f"must list at most {METRIC_TENANTS} tenants, not {len(tenants)}")
    return tenants
