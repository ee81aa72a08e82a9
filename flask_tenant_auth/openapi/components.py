"""What operations refer to: the security scheme, schemas, header fields and responses."""

from __future__ import annotations

from typing import Any

from ..config.settings import Settings
from ..errors import CREDENTIALS_REQUIRED, JSON_TYPE, PROBLEM_TYPE, AuthError

Component = dict[str, Any]

SCHEME: Component = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "A signed token (RFC 7519) in the Authorization header field (RFC 6750).",
}

_DENIAL = "TenantAuthDenial"
_PROBLEM = "TenantAuthProblem"
_SCHEMAS: dict[str, Component] = {
    _DENIAL: {
        "type": "object",
        "description": "Why a request was denied.",
        "required": ["error", "message"],
        "properties": {
            "error": {"type": "string", "description": "The title of the status."},
            "message": {"type": "string", "description": "Why the request was denied."},
        },
    },
    _PROBLEM: {
        "type": "object",
        "description": "Why a request was denied, as a problem (RFC 9457).",
        "required": ["type", "title", "status", "detail", "reason"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string", "description": "The phrase of the status."},
            "status": {"type": "integer", "description": "The status of the answer."},
            "detail": {"type": "string", "description": "Why the request was denied."},
            "reason": {"type": "string", "description": "Why it was denied, as one stable word."},
        },
    },
}

_CHALLENGE = "WWW-Authenticate"
_RETRY_AFTER = "Retry-After"


def _header(kind: str, description: str) -> Component:
    return {"description": description, "schema": {"type": kind}}


_HEADERS: dict[str, Component] = {
    _CHALLENGE: _header("string", "What the request lacks (RFC 6750, section 3)."),
    _RETRY_AFTER: _header("integer", "Seconds until the client may ask again."),
    "X-RateLimit-Limit": _header("integer", "How many requests the limit allows."),
    "X-RateLimit-Remaining": _header("integer", "How many requests are left."),
    "X-RateLimit-Reset": _header(
        "integer", "When the whole limit is available again, in seconds since 1970."
    ),
    "RateLimit": _header("string", "What is left of the limit, as a structured field."),
    "RateLimit-Policy": _header("string", "The limit, as a structured field."),
}

# The responses of denials: what they are, the header field that the status needs, an example.
_RESPONSES: dict[int, tuple[str, str, AuthError]] = {
    401: (
        "No credentials, or a token that is not valid.",
        _CHALLENGE,
        AuthError(CREDENTIALS_REQUIRED, reason="no_credentials"),
    ),
    403: (
        "Another role or permission is required.",
        _CHALLENGE,
        AuthError(
            "Insufficient permissions. Required role: admin", 403, reason="role_insufficient"
        ),
    ),
    429: (
        "A limit denies the request.",
        _RETRY_AFTER,
        AuthError("50 per 1 minute", 429, reason="rate_limit_exceeded"),
    ),
}


def limit_headers(settings: Settings) -> tuple[str, ...]:
    """Return the names of the header fields that tell a client about its limits."""
    return (
        *(_named("X-RateLimit") if settings.ratelimit_headers_enabled else ()),
        *(_named("RateLimit") if settings.ratelimit_ietf_headers_enabled else ()),
    )


def _named(prefix: str) -> tuple[str, ...]:
    return tuple(name for name in _HEADERS if name.startswith(prefix))


def denial_headers(status: int) -> tuple[str, ...]:
    """Return the names of the header fields that a denial with this status has."""
    return (_RESPONSES[status][1],)


def reference_to_header(name: str) -> Component:
    """Return a reference to the header field of this name."""
    return {"$ref": f"#/components/headers/{name}"}


def reference_to_response(status: int) -> Component:
    """Return a reference to the response of denials with this status."""
    return {"$ref": f"#/components/responses/{_response_name(status)}"}


def _response_name(status: int) -> str:
    return f"TenantAuth{status}"


def components_of(settings: Settings) -> dict[str, dict[str, Component]]:
    """Return the schemas, header fields and responses of an app, by section and name."""
    schema, media_type = (
        (_PROBLEM, PROBLEM_TYPE) if settings.auth_problem_json else (_DENIAL, JSON_TYPE)
    )
    limits = limit_headers(settings)
    responses = {}
    for status, (description, _, example) in _RESPONSES.items():
        body = example.problem if settings.auth_problem_json else example.data
        responses[_response_name(status)] = {
            "description": description,
            "headers": {
                name: reference_to_header(name) for name in (*denial_headers(status), *limits)
            },
            "content": {
                media_type: {
                    "schema": {"$ref": f"#/components/schemas/{schema}"},
                    "example": body,
                }
            },
        }
    headers = {name: _HEADERS[name] for name in (_CHALLENGE, _RETRY_AFTER, *limits)}
    return {"schemas": {schema: _SCHEMAS[schema]}, "headers": headers, "responses": responses}
