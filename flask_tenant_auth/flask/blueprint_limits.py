"""The limits of blueprints: declared on the blueprint, and counted with those of its routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flask import Blueprint

from ..limit.arguments import rule_of
from ..limit.declarations import declaration_of, declare
from .records import current_request, record_of

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..limit.arguments import LimitArguments


def limit_blueprint(
    blueprint: Blueprint,
    limit: str | Callable[..., str | None],
    **arguments: Unpack[LimitArguments],
) -> None:
    """Limit each route of a blueprint, and of the blueprints in it. May be called several times.

    Each route has a count of its own, unless `scope` is given. The limits of a view, and of a
    blueprint further in, replace it. It holds for routes that are added later as well, and needs
    `TenantAuth`: without it, requests to the blueprint are answered with 500.

    :param blueprint: one that no app has registered yet.
    :param limit: as of `rate_limit`.
    :param arguments: those of `rate_limit`.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    _require_blueprint("limit_blueprint", blueprint)
    rule = rule_of(limit=limit, **arguments)
    declared = declaration_of(blueprint)
    if declared.exempt:
        raise ValueError(_BOTH)
    blueprint.before_request(_require_tenant_auth)
    declare(blueprint, rules=(*declared.rules, rule))


def exempt_blueprint(blueprint: Blueprint) -> None:
    """Exempt each route of a blueprint, and of the blueprints in it, from what is further out.

    That is RATELIMIT_DEFAULT, and the limits of blueprints around it. A view with a limit of its
    own keeps it.

    :param blueprint: one that no app has registered yet.
    :raises TypeError: for what is no blueprint.
    :raises ValueError: for one that has limits.
    """
    _require_blueprint("exempt_blueprint", blueprint)
    if declaration_of(blueprint).rules:
        raise ValueError(_BOTH)
    blueprint.record(lambda _state: None)  # raises where an app has registered it
    declare(blueprint, exempt=True)


_BOTH = "limit_blueprint and exempt_blueprint exclude each other: remove one"


def _require_blueprint(function: str, blueprint: Any) -> None:
    if not isinstance(blueprint, Blueprint):
        raise TypeError(f"{function} takes a Blueprint, not {type(blueprint).__name__}")


def _require_tenant_auth() -> None:
    """Raise where nothing counts the limits of a blueprint.

    :raises RuntimeError: it names the blueprint.
    """
    request = current_request()
    assert request is not None  # noqa: S101 - Flask calls hooks inside a request
    if not record_of(request).state.hooked:
        raise RuntimeError(
            f"limit_blueprint has no effect without TenantAuth: no limit counts "
            f"{request.endpoint}. Set up TenantAuth for this app"
        )
