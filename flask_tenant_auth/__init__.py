"""Authentication, tenancy, roles and rate limits for Flask APIs, on a C core."""

from ._core import is_valid_uuid

__all__ = ["is_valid_uuid"]
