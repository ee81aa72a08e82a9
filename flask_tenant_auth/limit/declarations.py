"""What decorators declare on a view, and what limits of blueprints declare on those.

A declaration is an attribute of the function, or of the blueprint. functools.wraps carries it
outwards through other decorators. It protects nothing: the wrappers of the decorators do that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .concurrency import ConcurrencyRule
from .rules import Rule

T = TypeVar("T")

_DECLARATION = "_tenant_auth_declaration"


@dataclass(frozen=True)
class Declaration:
    """What the decorators of a view declare."""

    verified: bool = False
    roles: tuple[str, ...] = ()
    at_least: str | None = None  # the weakest role that passes
    permissions: tuple[str, ...] = ()  # all of them are needed
    rules: tuple[Rule, ...] = ()
    at_once: tuple[ConcurrencyRule, ...] = ()
    exempt: bool = False
    public: bool = False
    elsewhere: str = ""  # what protects it, where that is not this library

    def __or__(self, other: Declaration) -> Declaration:
        return Declaration(
            verified=self.verified or other.verified,
            roles=self.roles + other.roles,
            at_least=self.at_least or other.at_least,
            permissions=tuple(dict.fromkeys(self.permissions + other.permissions)),
            rules=self.rules + tuple(rule for rule in other.rules if rule not in self.rules),
            at_once=self.at_once
            + tuple(rule for rule in other.at_once if rule not in self.at_once),
            exempt=self.exempt or other.exempt,
            public=self.public or other.public,
            elsewhere=self.elsewhere or other.elsewhere,
        )


def declaration_of(view: object) -> Declaration:
    """Return what is declared on one callable."""
    declaration = getattr(view, _DECLARATION, None)
    return declaration if isinstance(declaration, Declaration) else Declaration()


def declare(view: T, **changes: Any) -> T:
    """Declare something more on a view, or on a blueprint."""
    setattr(view, _DECLARATION, replace(declaration_of(view), **changes))
    return view


def declaration_of_view(view: object, method: str) -> Declaration:
    """Return what is declared on a view function, on its class and on the method of the class."""
    declaration = declaration_of(view)
    view_class = getattr(view, "view_class", None)
    if view_class is None:
        return declaration
    dispatch = getattr(view_class, "dispatch_request", None)
    return (
        declaration | declaration_of(dispatch) | declaration_of(method_of_class(view_class, method))
    )


def method_of_class(view_class: Any, method: str) -> Any:
    """Return the function of a class-based view that answers a method; GET's answers HEAD too."""
    handler = getattr(view_class, method.lower(), None)
    if handler is None and method == "HEAD":
        handler = getattr(view_class, "get", None)
    return handler


def rule_of_view(rule: Rule, view: object) -> Rule:
    """Return a rule under a name of its own, so that two rules or two views never share a count."""
    position = len(declaration_of(view).rules)
    name = f"{getattr(view, '__qualname__', type(view).__name__)} {position}"
    return rule.named(name)
