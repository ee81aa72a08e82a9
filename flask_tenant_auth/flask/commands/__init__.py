"""``flask auth``: keys, tokens, what protects each route, and what is counted."""

from __future__ import annotations

from flask.cli import AppGroup

from .alerts import alerts_cli
from .api_keys import api_keys_cli
from .audit import audit_cli
from .check import check
from .isolation import rls_check, rls_sql
from .keys import generate_key, rotate_key
from .limits import limits_cli
from .sessions import revoke_cli, sessions
from .tokens import create_token, decode_token
from .top import top

__all__ = ["auth_cli"]

auth_cli = AppGroup("auth", help="Keys, tokens, protection and limits of this app.")
for _command in (
    generate_key,
    rotate_key,
    create_token,
    decode_token,
    check,
    limits_cli,
    revoke_cli,
    sessions,
    api_keys_cli,
    alerts_cli,
    audit_cli,
    top,
    rls_sql,
    rls_check,
):
    auth_cli.add_command(_command)
