"""Cross-origin requests: which pages may read the answers (Fetch standard, CORS protocol).

The core decides (`CorsRules`) by plain prefixes of the path that Flask routes, and by the origin.
An origin is allowed if it is literally on the list, or if its host is below one that is listed with
``*.`` before it. No other origin is ever repeated in an answer, and "null" is never on the list.
With ``*`` the answer is the same for all origins. This module gives the settings to the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._core import CorsRules
from .config.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def cors_rules(settings: Settings) -> CorsRules:
    """Return the CORS rules of an app."""
    return CorsRules(
        resources=settings.cors_resources,
        origins=settings.cors_origins,
        methods=settings.cors_methods,
        allow_headers=settings.cors_allow_headers,
        expose_headers=settings.cors_expose_headers,
        max_age=settings.cors_max_age,
        credentials=settings.cors_supports_credentials,
    )


def is_preflight(rules: CorsRules, environ: WSGIEnvironment) -> bool:
    """Whether a request asks for permission (Fetch standard, CORS-preflight request).

    Its answer is the methods of the route, which the core completes. The view is not called: a
    preflight never carries credentials.
    """
    return rules.is_preflight(
        environ.get("REQUEST_METHOD"),
        environ.get("PATH_INFO"),
        environ.get("HTTP_ORIGIN"),
        environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD"),
    )
