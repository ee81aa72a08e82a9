"""The store that AUTH_SESSION_STORE names."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from ..errors import ConfigurationError
from .store import SessionStore

TIMEOUT_MS = 3000
_REDIS = ("redis", "rediss", "unix")
_INSTALL = "AUTH_SESSION_STORE needs SQLAlchemy: pip install 'flask_tenant_auth[sqlalchemy]'"


def store_of(setting: Any, instance_path: str, app: Any = None) -> SessionStore:
    """Return the store of a setting. It connects when it is first asked.

    :param setting: AUTH_SESSION_STORE: None for a SQLite file in the instance folder, a URL of
        SQLAlchemy or Redis, an `Engine`, or Flask-SQLAlchemy's `db`.
    :param app: the Flask app, in whose context `db` has its engine.
    :raises ConfigurationError: for what is no store, and where a package is missing.
    """
    if isinstance(setting, str) and setting.partition(":")[0].partition("+")[0] in _REDIS:
        # A module of another store is loaded only where it is used.
        store = import_module(f"{__package__}.redis_store")
        found: SessionStore = store.RedisStore(setting, TIMEOUT_MS)
        return found
    if find_spec("sqlalchemy") is None:
        raise ConfigurationError(_INSTALL)
    from .sql_engines import sql_store_of

    return sql_store_of(setting, instance_path, app, TIMEOUT_MS)
