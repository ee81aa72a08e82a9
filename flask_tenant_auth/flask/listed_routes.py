"""The routes of an app, for people: what protects each, and what limits it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flask.app import Flask

from ..identity.roles import RequiredRole
from ..limit.declarations import Declaration
from .route_protection import methods_of, protection_of
from .routes import is_static_view, plan_of
from .state import state_of

# The methods that change nothing, as IANA has them (RFC 9110, section 9.2.1).
SAFE = frozenset(
    {"GET", "HEAD", "OPTIONS", "PRI", "PROPFIND", "QUERY", "REPORT", "SEARCH", "TRACE"}
)


class Route(NamedTuple):
    """One method of one route, and what is declared on it and its before_request functions."""

    method: str
    path: str
    endpoint: str
    declaration: Declaration
    limits: tuple[str, ...]
    static: bool
    behind: tuple[str, ...]  # functions that are called before a decorator of ours, and may answer

    @property
    def unprotected(self) -> bool:
        """Whether nothing is declared about who may call it."""
        declared = self.declaration
        return not (declared.verified or declared.public or declared.elsewhere or self.static)

    @property
    def changes_something(self) -> bool:
        """Whether the method is one that may change something."""
        return self.method not in SAFE

    @property
    def name(self) -> str:
        """What the sentences on problems call it."""
        return f"{self.method} {self.path} ({self.endpoint})"

    @property
    def protection(self) -> str:
        """What is known of who may call it."""
        rights = list(_rights_of(self.declaration))
        if rights:
            protection = ", ".join(rights)
        elif self.declaration.verified:
            protection = "authenticated"
        elif self.declaration.elsewhere:
            protection = f"protected by {self.declaration.elsewhere}"
        elif self.static:
            protection = "static files"
        else:
            protection = "public" if self.declaration.public else "open"
        if self.behind:
            protection += f", behind {', '.join(self.behind)}"
        return protection

    def __str__(self) -> str:
        counted = "; ".join(self.limits) or "no limit"
        return f"{self.method:<7} {self.path}  [{self.protection}]  {counted}"


def routes_of(app: Flask) -> list[Route]:
    """Return every method of every route of an app, as far as a view answers it in its own way."""
    state = state_of(app)
    routes = []
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        static = is_static_view(app, app.view_functions.get(rule.endpoint))
        for method in sorted(methods_of(app, rule)):
            declaration, behind = protection_of(app, rule.endpoint, method)
            plan = plan_of(app, state.plans, rule.endpoint, method)
            described: tuple[str, ...] = ()
            if state.settings.ratelimit_enabled:
                at_once = (each for each in declaration.at_once if each.applies_to(method))
                described = (
                    *(each.describe() for each in plan.rules),
                    *(each.describe() for each in at_once),
                )
            routes.append(
                Route(method, rule.rule, rule.endpoint, declaration, described, static, behind)
            )
    return routes


def _rights_of(declaration: Declaration) -> Iterator[str]:
    """Yield what an identity needs for a route, beside being one."""
    if declaration.roles:
        yield "role " + " or ".join(declaration.roles)
    if declaration.at_least is not None:
        yield f"role {RequiredRole((), declaration.at_least)}"
    if declaration.permissions:
        yield "permission " + " and ".join(declaration.permissions)
