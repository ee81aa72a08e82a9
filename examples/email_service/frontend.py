"""Serves the front end. It may as well be served by another server, from another origin."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request

from flask_tenant_auth import public_route, rate_limit_exempt

DIRECTORY = Path(__file__).parent / "frontend"
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}

# Scripts and styles are files of this origin: what an attacker gets into the page does not run.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

blueprint = Blueprint("frontend", __name__)


@blueprint.get("/")
@blueprint.get("/<any('app.js', 'style.css'):name>")
@public_route
@rate_limit_exempt
def show_file(name: str = "index.html") -> Response:
    """Serve the page, its script or its style sheet."""
    path = DIRECTORY / name  # the route lets no other name pass
    response = Response(path.read_bytes(), mimetype=TYPES[path.suffix])
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response
