"""What `flask auth check` says of roles and permissions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from ...identity.roles import unknown_role
from ...limit.declarations import Declaration
from ..declared_roles import named_roles
from ..state import AppState


def role_lines(state: AppState) -> Iterator[str]:
    """Yield each role of an app, weakest first, and what it has beside what weaker ones have."""
    permissions = state.settings.auth_permissions or {}
    for name in state.roles.names:
        granted = ", ".join(permissions.get(name, ())) or "no permission of its own"
        reach = "; reaches its whole tenant" if name in state.settings.tenant_roles else ""
        yield f"{name}: {granted}{reach}"


def unknown_roles(state: AppState, routes: Iterable[tuple[str, Declaration]]) -> list[str]:
    """Return a sentence on each role that a route names and the app does not have.

    :param routes: what each is called, and what is declared on it.
    """
    return [
        unknown_role(name, state.roles, route)
        for route, declaration in routes
        for name in dict.fromkeys(named_roles(declaration))
        if name not in state.roles.names
    ]


def ungranted_permissions(state: AppState, routes: Iterable[tuple[str, Declaration]]) -> list[str]:
    """Return a sentence on each permission that a route needs and no role is granted.

    A token may bring it. Where JWT_PERMISSIONS_CLAIM is set, that is what somebody means.
    """
    if state.settings.jwt_permissions_claim:
        return []
    granted = dict.fromkeys(
        each for names in (state.settings.auth_permissions or {}).values() for each in names
    )
    needed: dict[str, list[str]] = {}
    for route, declaration in routes:
        for permission in declaration.permissions:
            if not state.roles.grants(state.roles.names[-1], permission):
                needed.setdefault(permission, []).append(route)
    return [
        f"{permission}, which {', '.join(dict.fromkeys(used_by))} needs, is granted to no role in "
        f"AUTH_PERMISSIONS: only a token can bring it, in its claim permissions"
        f"{_nearest(permission, granted)}"
        for permission, used_by in needed.items()
    ]


def _nearest(permission: str, granted: Iterable[str]) -> str:
    near = difflib.get_close_matches(permission, list(granted), n=1, cutoff=0.6)
    return f". The nearest one that is granted is {near[0]}" if near else ""
