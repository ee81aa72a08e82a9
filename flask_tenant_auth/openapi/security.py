"""Writes the security of each operation into an OpenAPI document, as its view declares it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

from apispec import APISpec
from flask.app import Flask
from werkzeug.routing import Rule

from .._core import Roles
from ..flask.route_protection import protection_of
from ..flask.routes import ANY_METHOD, declarations_of_blueprints, first_endpoint, is_static_view
from ..flask.state import AppState, state_of
from ..identity.roles import RequiredRole
from ..limit.declarations import Declaration
from .components import (
    SCHEME,
    components_of,
    denial_headers,
    limit_headers,
    reference_to_header,
    reference_to_response,
)

Spec = TypeVar("Spec", APISpec, dict[str, Any])

_COMPONENT_NAME = re.compile(r"[a-zA-Z0-9._-]+")  # OpenAPI 3, "Components Object"
_PLACEHOLDER = re.compile(r"<(?:[^<>]*:)?([^<>:]+)>")


def describe_security(spec: Spec, app: Flask, *, scheme: str = "bearerAuth") -> Spec:
    """Write what the decorators of an app's views declare into its OpenAPI document.

    Each operation whose path and method are those of a route gets the security that its view asks
    for, the roles and permissions that it needs (in the description, in ``x-required-roles`` and
    in ``x-required-permissions``), the responses 401, 403 and 429 where they can occur, and the
    header fields of limits. A public route gets ``security: []``. What an operation says already
    stays: its ``security``, and a response that it has for one of these statuses.

    Call it when all views are registered, and after `TenantAuth`. It may be called again.

    :param spec: an `apispec.APISpec`, as Flask-Smorest's ``api.spec``; or the document as a dict,
        as APIFlask gives it to its ``spec_processor``. It is changed and returned.
    :param app: the app that has the views.
    :param scheme: the name of the security scheme in the document. One that is there stays.
    :raises TypeError: for another spec or app.
    :raises ValueError: for a document that is not OpenAPI 3, and a scheme that is no name.
    :raises ConfigurationError: for a view that names a role which the app does not have.
    """
    if not isinstance(app, Flask):
        raise TypeError(f"app must be a flask.Flask, not {type(app).__name__}")
    if not isinstance(scheme, str):
        raise TypeError(f"scheme must be a str, not {type(scheme).__name__}")
    if _COMPONENT_NAME.fullmatch(scheme) is None:
        raise ValueError(f"scheme must be letters, digits, '.', '_' or '-', not {scheme!r}")
    document = _document_of(spec)
    state = state_of(app)
    document.sections["securitySchemes"].setdefault(scheme, dict(SCHEME))
    for section, components in components_of(state.settings).items():
        document.sections[section].update(deepcopy(components))
    routes = _routes_of(app, state)
    headers = limit_headers(state.settings)
    roles = state.roles
    for path, operations in document.paths.items():
        for method, operation in operations.items():
            route = routes.get((path, method.upper()))
            if route is not None:
                needed = _Requirements.of(route.declaration, roles, route.endpoint)
                _describe(operation, route, needed, scheme, headers)
    return spec


class _Document(NamedTuple):
    """The parts of an OpenAPI document that are written."""

    paths: dict[str, dict[str, Any]]
    sections: dict[str, dict[str, Any]]  # of "components"


_SECTIONS = ("schemas", "headers", "responses", "securitySchemes")


def _document_of(spec: Any) -> _Document:
    """Return the parts of a spec, which change with it.

    :raises TypeError, ValueError: for what is no OpenAPI 3.
    """
    if isinstance(spec, APISpec):
        version = str(spec.openapi_version)
    elif isinstance(spec, dict):
        version = str(spec.get("openapi", spec.get("swagger", "")))
    else:
        raise TypeError(f"spec must be an apispec.APISpec or a dict, not {type(spec).__name__}")
    if not version.startswith("3."):
        raise ValueError(f"spec must be OpenAPI 3, not {version or 'without a version'}")
    if isinstance(spec, APISpec):
        own = spec.components
        sections = (own.schemas, own.headers, own.responses, own.security_schemes)
        # The paths of the dict are those of the spec itself.
        return _Document(spec.to_dict()["paths"], dict(zip(_SECTIONS, sections, strict=True)))
    components = spec.setdefault("components", {})
    return _Document(
        spec.setdefault("paths", {}), {name: components.setdefault(name, {}) for name in _SECTIONS}
    )


class _Route(NamedTuple):
    """What is known of one method of one path."""

    endpoint: str
    declaration: Declaration
    counted: bool  # whether a limit counts it
    limited: bool  # whether it can be answered with 429


def _routes_of(app: Flask, state: AppState) -> dict[tuple[str, str], _Route]:
    """Return the routes of an app by path, as OpenAPI writes it, and method."""
    routes: dict[tuple[str, str], _Route] = {}
    for rule in app.url_map.iter_rules():
        if rule.build_only or rule.redirect_to is not None:
            continue
        if is_static_view(app, app.view_functions.get(rule.endpoint)):
            continue
        for key, route in _routes_of_rule(app, state, rule):
            known = routes.get(key)  # of another host or subdomain
            routes[key] = route if known is None else _either(known, route)
    return routes


def _routes_of_rule(
    app: Flask, state: AppState, rule: Rule
) -> Iterator[tuple[tuple[str, str], _Route]]:
    path = _PLACEHOLDER.sub(r"{\1}", rule.rule)
    for method in rule.methods or ANY_METHOD:
        declaration = protection_of(app, rule.endpoint, method).declaration
        counted = _is_counted(app, state, rule.endpoint, method, declaration)
        at_once = state.settings.ratelimit_enabled and any(
            each.applies_to(method) for each in declaration.at_once
        )
        limited = counted or at_once or (declaration.verified and bool(state.failure_limits))
        yield (path, method), _Route(rule.endpoint, declaration, counted, limited)


def _is_counted(
    app: Flask, state: AppState, endpoint: str, method: str, declaration: Declaration
) -> bool:
    """Whether a limit counts a request; without `TenantAuth` the decorators alone do."""
    if not state.settings.ratelimit_enabled:
        return False
    if not state.hooked:
        return any(rule.applies_to(method) for rule in declaration.rules)
    view = first_endpoint(app, endpoint)
    declarations = [declaration, *declarations_of_blueprints(app, endpoint)]
    return bool(state.plans.plan(endpoint, method, view, declarations).rules)


def _either(one: _Route, other: _Route) -> _Route:
    return _Route(
        one.endpoint,
        one.declaration | other.declaration,
        one.counted or other.counted,
        one.limited or other.limited,
    )


class _Requirements(NamedTuple):
    """What an identity needs for an operation: one of the roles, and all permissions."""

    roles: tuple[str, ...] | None  # None: any role
    permissions: tuple[str, ...]

    @classmethod
    def of(cls, declaration: Declaration, roles: Roles, endpoint: str) -> _Requirements:
        """Return what a view declares, in an app of these roles.

        :raises ConfigurationError: where it names a role that the app does not have.
        """
        required = []
        if declaration.roles:
            required.append(RequiredRole(declaration.roles).passing(roles, endpoint))
        if declaration.at_least is not None:
            required.append(RequiredRole((), declaration.at_least).passing(roles, endpoint))
        passing = frozenset.intersection(*required) if required else None
        return cls(
            None if passing is None else tuple(name for name in roles.names if name in passing),
            declaration.permissions,
        )

    @property
    def restrict(self) -> bool:
        """Whether an identity can lack what is needed."""
        return self.roles is not None or bool(self.permissions)

    def sentences(self) -> Iterator[str]:
        """Yield what is needed in words."""
        if self.roles:
            yield f"Required role: {' or '.join(self.roles)}."
        if self.permissions:
            yield f"Required permission: {', '.join(self.permissions)}."

    def extensions(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what is needed as fields of an operation."""
        if self.roles is not None:
            yield "x-required-roles", list(self.roles)
        if self.permissions:
            yield "x-required-permissions", list(self.permissions)


def _describe(
    operation: dict[str, Any],
    route: _Route,
    needed: _Requirements,
    scheme: str,
    headers: tuple[str, ...],
) -> None:
    """Write what is known of a route into its operation."""
    declaration = route.declaration
    if declaration.verified:
        operation.setdefault("security", [{scheme: []}])
    elif declaration.public:
        operation.setdefault("security", [])
    operation.update(needed.extensions())
    for sentence in needed.sentences():
        description = operation.get("description") or ""
        if sentence not in description:
            operation["description"] = f"{description}\n\n{sentence}".strip()
    occurs = {401: declaration.verified, 403: needed.restrict, 429: route.limited}
    responses = operation.setdefault("responses", {})
    for status in (status for status, can_occur in occurs.items() if can_occur):
        response = responses.setdefault(str(status), reference_to_response(status))
        _add_headers(response, denial_headers(status))
    if route.counted:
        for response in responses.values():
            _add_headers(response, headers)


def _add_headers(response: dict[str, Any], names: tuple[str, ...]) -> None:
    """Add header fields to a response. One that is a reference says elsewhere what it has."""
    if "$ref" in response:
        return
    headers = response.setdefault("headers", {})
    for name in names:
        headers.setdefault(name, reference_to_header(name))
