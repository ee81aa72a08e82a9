"""What happens to requests and sessions, as events that the rules of AUTH_ALERTS count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..alerts.alert import Event

if TYPE_CHECKING:
    from flask import Request

    from .._core import Identity
    from .state import AppState

# The events of a 403; every other reason is "forbidden" alone.
_CROSS_TENANT_REASON = "other_tenant"
# The attribute of a Request object that holds the events that were counted for it.
_COUNTED = "_tenant_auth_events"


def note_failure(state: AppState, request: Request | None, address: str, reason: str) -> None:
    """Count a 401. The caller calls this once for a request."""
    _note(state, "failures", request, None, address, reason)


def note_denial(
    state: AppState, request: Request, status: int, reason: str, identity: Identity | None
) -> None:
    """Count a 403."""
    if state.alerts is None or status != 403:
        return
    address = request.remote_addr or ""
    _note(state, "forbidden", request, identity, address, reason)
    if reason == _CROSS_TENANT_REASON:
        _note(state, "cross_tenant", request, identity, address, reason)


def note_limited(state: AppState, request: Request, reason: str, identity: Identity | None) -> None:
    """Count a 429."""
    _note(state, "limited", request, identity, request.remote_addr or "", reason)


def note_reuse(state: AppState, request: Request | None, user_id: str, tenant_id: str) -> None:
    """Count a refresh token that was used again, for which its session has ended."""
    if state.alerts is not None:
        state.alerts.note(
            Event(
                name="reused",
                address="" if request is None else request.remote_addr or "",
                user_id=user_id,
                tenant_id=tenant_id,
                endpoint="" if request is None else request.endpoint or "",
                reason="session_reused",
            )
        )


def _note(
    state: AppState,
    name: str,
    request: Request | None,
    identity: Identity | None,
    address: str,
    reason: str,
) -> None:
    """Count an event of a request, once."""
    alerts = state.alerts
    if alerts is None:
        return
    if request is not None:
        counted: set[str] = request.__dict__.setdefault(_COUNTED, set())
        if name in counted:
            return
        counted.add(name)
    alerts.note(
        Event(
            name=name,
            address=address,
            user_id="" if identity is None else identity.user_id,
            tenant_id="" if identity is None else identity.tenant_id,
            endpoint="" if request is None else request.endpoint or "",
            reason=reason,
        )
    )
