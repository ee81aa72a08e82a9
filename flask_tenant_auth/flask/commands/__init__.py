"""The commands of ``flask auth``."""

from .check import auth_cli

__all__ = ["auth_cli"]
