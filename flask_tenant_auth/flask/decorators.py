"""The decorators of views: who may call them, in what role, with what permissions, how often.

Each decorator works alone and in any order, and denies in doubt: ``@verify_role`` authenticates
when nothing has yet. None of them needs `TenantAuth`. `answers` says how a denial is answered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .._core import Identity
from ..identity.arguments import permission_name, role_name
from ..identity.roles import RequiredRole
from ..limit.arguments import rule_of
from ..limit.concurrency import concurrency_rule_of
from ..limit.declarations import declaration_of, declare, rule_of_view
from ..limit.logins import login_rule_of
from ..limit.rules import MOST_LIMITS
from .checked_view import add_attempt, add_check, require_function
from .concurrency import begin_running
from .counting import count_rule
from .identity_check import permission_check, require_identity, role_check
from .logins import begin_login

F = TypeVar("F", bound=Callable[..., Any])


def _no_check(_known: Identity | None) -> None:
    """Let every request pass: the check of decorators that only declare.

    They wrap the view all the same, so that the declaration is not on the function itself.
    """


def verify_tenant_context(view: F) -> F:
    """Call a view only with an identity, and bind the identity to the request.

    Without one the view is not called and the answer is 401 (no or invalid credentials, with
    ``WWW-Authenticate``, RFC 6750), 400 (identity headers that are no UUID or no role), 429 (more
    401s from one address than AUTH_FAILURE_LIMIT) or 500 (a fault of the authentication itself).
    An OPTIONS request without an identity gets the methods, without a call of the view.

    :param view: plain or async view function, or a method of a class-based view.
    :raises TypeError: when applied to something else.
    """
    require_function("verify_tenant_context", view)
    return declare(add_check(view, require_identity), verified=True)


def verify_role(*roles: str, at_least: str | None = None) -> Callable[[F], F]:
    """Call a view only for identities that have one of these roles; 403 for the others.

    It implies ``@verify_tenant_context``: above it, below it or without it, no unverified request
    reaches the view.
    Which roles there are, the app says (AUTH_ROLES). One that it does not have stops the app:
    `TenantAuth` raises for the views that are there; every request to a later one is answered with
    500.

    :param roles: role names or `UserRole` members.
    :param at_least: in place of roles: the weakest role that passes.
    :raises TypeError: for a function, as in a bare ``@verify_role``.
    :raises ValueError: for no role at all, both forms at once, or what can be no role's name.
    """
    if roles and inspect.isroutine(roles[0]):
        raise TypeError('roles are missing: write @verify_role("admin")')
    if at_least is None:
        if not roles:
            raise ValueError(
                'roles must name at least one: write @verify_role("admin"), or '
                '@verify_role(at_least="admin") for it and all that are stronger'
            )
        names = tuple(dict.fromkeys(role_name("roles", role) for role in roles))
        required = RequiredRole(names)
    elif roles:
        raise ValueError(
            "roles and at_least exclude each other: write @verify_role(at_least=...) for a role "
            "and all that are stronger, or the names of all roles that pass"
        )
    else:
        required = RequiredRole((), role_name("at_least", at_least))

    def decorate(view: F) -> F:
        require_function("verify_role", view)
        declared = declaration_of(view)
        check = role_check(required, getattr(view, "__qualname__", "a view"))
        return declare(
            add_check(view, check),
            verified=True,
            roles=declared.roles + required.names,
            at_least=required.at_least or declared.at_least,
        )

    return decorate


def verify_permission(*permissions: str) -> Callable[[F], F]:
    """Call a view only for identities that have all of these permissions; 403 for the others.

    An identity has the permissions that its role is granted (AUTH_PERMISSIONS) and those that its
    token names (JWT_PERMISSIONS_CLAIM). It implies ``@verify_tenant_context``, as `verify_role`
    does.

    :param permissions: names, as ``"accounts:write"``. ``accounts:*`` is for AUTH_PERMISSIONS only.
    :raises TypeError: for a function, as in a bare ``@verify_permission``.
    :raises ValueError: for no permission at all, or what can be no permission's name.
    """
    if not permissions:
        raise ValueError(
            'permissions must name at least one: write @verify_permission("accounts:write")'
        )
    if inspect.isroutine(permissions[0]):
        raise TypeError('permissions are missing: write @verify_permission("accounts:write")')
    wanted = tuple(dict.fromkeys(permission_name("permissions", each) for each in permissions))
    check = permission_check(wanted)

    def decorate(view: F) -> F:
        require_function("verify_permission", view)
        declared = tuple(dict.fromkeys(declaration_of(view).permissions + wanted))
        return declare(add_check(view, check), verified=True, permissions=declared)

    return decorate


def public_route(view: F) -> F:
    """Declare that a view needs no identity on purpose, for `flask auth check`.

    :raises TypeError: when applied to something that is no function.
    """
    require_function("public_route", view)
    return declare(add_check(view, _no_check), public=True)


def protected_elsewhere(by: str) -> Callable[[F], F]:
    """Declare that something else protects a view, for `flask auth check`. It protects nothing.

    For views behind another library's decorator. On a function of `before_request` it declares all
    views that the function runs for. For a view of the library itself, put the decorated function
    into ``app.view_functions``.

    :param by: what protects it, in a few words; `flask auth check` shows them.
    :raises TypeError: for what is no text, as in a bare ``@protected_elsewhere``.
    :raises ValueError: for an empty text.
    """
    if not isinstance(by, str):
        raise TypeError('by must be a str: write @protected_elsewhere("Flask-Login")')
    words = " ".join(by.split())
    if not words:
        raise ValueError("by must say what protects the view")

    def decorate(view: F) -> F:
        require_function("protected_elsewhere", view)
        return declare(add_check(view, _no_check), elsewhere=words)

    return decorate


def rate_limit(
    limit: str | Callable[..., str | None],
    *,
    per: str | Callable[..., object] = "user",
    cost: int | Callable[..., int] = 1,
    methods: Iterable[str] | None = None,
    scope: str | None = None,
    exempt_when: Callable[..., bool] | None = None,
    deduct_when: Callable[[Any], bool] | None = None,
    fair_share: float = 1,
    override_defaults: bool = True,
) -> Callable[[F], F]:
    """Limit how often a view is called, instead of RATELIMIT_DEFAULT. May be stacked.

    All limits of a view count together or not at all: a request that one limit denies is not
    counted by the others.
    Beyond the limit the answer is 429 with ``Retry-After`` (RFC 6585, section 4). Callables take
    the `Identity` of the request (None: no identity), or nothing.

    :param limit: as ``"100 per minute"`` or ``"10 per second; 1000 per hour"``; or a callable that
        returns such text, say by the tenant's plan, or None for no limit.
    :param per: whom it counts: "user", "tenant", "address", or a callable that returns a key.
        Requests without an identity, and an empty key, are counted by address.
    :param cost: how many calls one call counts for, 1 or more; or a callable that returns it, where
        0 is not counted, and more than the limit is denied.
    :param methods: the HTTP methods it counts; None: all. OPTIONS counts where the view answers it.
    :param scope: a name under which several views share one count; None: each its own.
    :param exempt_when: a callable; where it returns true the request is not counted.
    :param deduct_when: a callable of the response; where it returns false the request does not
        count. It is counted before the view runs and given back then, so a burst cannot pass.
    :param fair_share: with ``per="tenant"``: the part of the limit, over 0 up to 1, that one user
        may take. With 0.5, whatever one user does, half of the limit is left to the others. It is
        rounded down, but enough for one request.
    :param override_defaults: whether it replaces the limits of the view's blueprints and
        RATELIMIT_DEFAULT; False: it counts beside them.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    rule = rule_of(
        limit=limit,
        per=per,
        cost=cost,
        methods=methods,
        scope=scope,
        exempt_when=exempt_when,
        deduct_when=deduct_when,
        fair_share=fair_share,
        override_defaults=override_defaults,
    )

    def decorate(view: F) -> F:
        require_function("rate_limit", view)
        if declaration_of(view).exempt:
            raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
        own = rule_of_view(rule, view)
        rules = (own, *declaration_of(view).rules)
        if sum(each.size for each in rules) > MOST_LIMITS:
            raise ValueError(f"limit: a view can have at most {MOST_LIMITS} limits")
        return declare(add_check(view, lambda _: count_rule(own)), rules=rules)

    return decorate


def login_limit(
    limit: str,
    *,
    key: str | Callable[[Any], str | None],
    address_limit: str | None = None,
    methods: Iterable[str] | None = None,
    scope: str | None = None,
) -> Callable[[F], F]:
    """Limit how often a log in may fail, by account and by address at once.

    A failure is an `AuthError` with a status of 400 to 499 but 429, or a 401. Each attempt is
    counted before the view runs, and given back if it is no failure, so a burst cannot pass. Beyond
    a limit the view is not called, whatever the password is, and the answer is 429 with
    ``Retry-After``. A success clears the account's count, never the address's. It also sets a
    device cookie: attempts with it are counted by themselves, so that nobody can lock the user of
    that device out.

    A success is a status below 300 to a method other than GET and HEAD; where sessions are on, a
    session must have begun in the request.

    :param limit: as ``"5 per 15 minutes"``; of failures.
    :param key: the account: the name of a JSON or form field, as ``"email"``, or a callable of the
        request, which is not async. It is compared without case, width and surplus spaces. An
        attempt without one is counted by address alone.
    :param address_limit: of the failures from one address; None: the same limit.
    :param methods: the HTTP methods it counts; None: all but OPTIONS.
    :param scope: a name under which several views share their counts; None: each its own.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    rule = login_rule_of(
        limit=limit, key=key, address_limit=address_limit, methods=methods, scope=scope
    )

    def decorate(view: F) -> F:
        require_function("login_limit", view)
        own = rule.of_view(getattr(view, "__module__", ""), getattr(view, "__qualname__", ""))
        return add_attempt(view, lambda: begin_login(own))

    return decorate


def concurrency_limit(
    limit: int | Callable[..., int | None],
    *,
    per: str | Callable[..., object] = "user",
    methods: Iterable[str] | None = None,
    scope: str | None = None,
) -> Callable[[F], F]:
    """Limit how many calls of a view run at once, over all workers of a host. May be stacked.

    A call begins when the view is called, and ends when its response is closed: for a stream when
    all was sent or the client has gone. It also ends when the view raises, and when its worker
    ends, even by ``kill -9``. Beyond the limit the answer is 429 without ``Retry-After``, because
    nobody knows when a call will end. Rate limits count such a request. Callables take the
    `Identity` of the request (None: no identity), or nothing.

    :param limit: a number; or a callable that returns one, say by the tenant's plan, or None for no
        limit.
    :param per: whom it counts: "user", "tenant", "address", or a callable that returns a key.
        Requests without an identity, and an empty key, are counted by address.
    :param methods: the HTTP methods it holds for; None: all.
    :param scope: a name under which several views share one limit; None: each its own.
    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    rule = concurrency_rule_of(limit=limit, per=per, methods=methods, scope=scope)

    def decorate(view: F) -> F:
        require_function("concurrency_limit", view)
        declared = declaration_of(view).at_once
        own = rule.of_view(view, len(declared))
        return declare(add_attempt(view, lambda: begin_running(own)), at_once=(own, *declared))

    return decorate


def rate_limit_exempt(view: F) -> F:
    """Exempt a view from RATELIMIT_DEFAULT.

    :raises TypeError: when applied to something that is no function.
    :raises ValueError: for a view that has a ``@rate_limit`` of its own.
    """
    require_function("rate_limit_exempt", view)
    if declaration_of(view).rules:
        raise ValueError("rate_limit and rate_limit_exempt exclude each other: remove one")
    return declare(add_check(view, _no_check), exempt=True)
