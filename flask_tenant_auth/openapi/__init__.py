"""OpenAPI: the security of each operation, as the decorators of its view declare it."""

from .security import describe_security

__all__ = ["describe_security"]
