"""``flask auth``: keys, tokens, what protects each route, and what is counted."""

from __future__ import annotations

from flask.cli import AppGroup

from .check import check
from .isolation import rls_check, rls_sql
from .keys import generate_key, rotate_key
from .limits import limits_cli
from .tokens import create_token, decode_token

auth_cli = AppGroup("auth", help="Keys, tokens, protection and limits of this app.")
for command in (
    check,
    create_token,
    decode_token,
    generate_key,
    limits_cli,
    rls_check,
    rls_sql,
    rotate_key,
):
    auth_cli.add_command(command)
