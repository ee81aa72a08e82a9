"""Data isolation for SQLAlchemy: the current identity bounds what statements read and write."""

from .errors import ForeignRow, IsolationError, TenantContextMissing, UnscopedStatement
from .isolation import isolate
from .models import TenantScoped, UserScoped, global_table
from .scope import unscoped

__all__ = [
    "ForeignRow",
    "IsolationError",
    "TenantContextMissing",
    "TenantScoped",
    "UnscopedStatement",
    "UserScoped",
    "global_table",
    "isolate",
    "unscoped",
]
