"""The view that load balancers ask whether this instance can serve."""

from __future__ import annotations

from flask import Blueprint, current_app
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from flask_tenant_auth import rate_limit_exempt

from .database import session

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@rate_limit_exempt
def health() -> tuple[dict[str, str], int]:
    """Query the database. The view is public and never limited."""
    try:
        session().execute(text("SELECT 1"))
    except SQLAlchemyError:
        current_app.logger.exception("The database does not answer")
        return {"status": "unavailable"}, 503
    return {"status": "ok"}, 200
