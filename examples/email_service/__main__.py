"""Serve the example with gunicorn: `make run`.

Every setting has a default: FLASK_ENV=development, a SQLite file, limits in shared memory, and keys
that are made once and stored in instance/. The environment overrides each of them.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Callable
from typing import Any

from cryptography.fernet import Fernet
from flask import Flask
from gunicorn.app.base import BaseApplication

from flask_tenant_auth import ConfigurationError

from . import CONSOLE_PERMISSION, INSTANCE, create_app
from .curl_lines import (
    EMAIL,
    add_example_account,
    add_example_users,
    console_line,
    curl_lines,
)
from .database import create_tables


def load_or_make_secret(name: str, make: Callable[[], bytes]) -> str:
    """Return a secret of this machine. It is made once, and only its owner can read the file."""
    path = INSTANCE / name
    if not path.exists():
        INSTANCE.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(make())
        new.rename(path)  # the file is complete or absent
    return path.read_text()


def set_defaults() -> None:
    """Set what the environment does not. In production it has to set JWT_SECRET_KEY itself."""
    os.environ.setdefault("FLASK_ENV", "development")
    os.environ.setdefault("REDIS_URL", "")
    if os.environ["FLASK_ENV"] == "development":
        # They may read the metrics. In development everybody may send identity headers anyway.
        os.environ.setdefault("AUTH_TRUSTED_GATEWAYS", "127.0.0.1,::1")
    if not os.environ.get("MAIL_PASSWORD_KEY"):
        os.environ["MAIL_PASSWORD_KEY"] = load_or_make_secret(
            "mail_password_key", Fernet.generate_key
        )
    if "AUDIT_LOG" not in os.environ:
        os.environ["AUDIT_LOG"] = str(INSTANCE / "audit.jsonl")
        os.environ["AUDIT_CHAIN"] = "true"
        os.environ["AUDIT_KEY"] = load_or_make_secret(
            "audit_key", lambda: secrets.token_hex(32).encode()
        )
    if not os.environ.get("JWT_SECRET_KEY") and os.environ["FLASK_ENV"] == "development":
        os.environ["JWT_SECRET_KEY"] = load_or_make_secret(
            "jwt_secret_key", lambda: secrets.token_hex(32).encode()
        )


def check_port_is_free(host: str, port: int) -> None:
    """Exit with a message when the port is taken. gunicorn itself would try five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(
                f"Cannot listen on {host}, port {port}: {error.strerror}.\n"
                "FLASK_PORT=5001 make run uses another port."
            )


def host_in_url(host: str) -> str:
    """Return a host as a URL writes it: an IPv6 address has brackets."""
    return f"[{host}]" if ":" in host else host


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with the options of this program."""

    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self.app = app
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            if name in self.cfg.settings:  # older versions lack control_socket_disable
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return self.app


def main() -> None:
    """Create the tables, then serve until Ctrl-C."""
    # The audit log writes a line for each request at INFO.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    set_defaults()
    try:
        app = create_app()
    except (ConfigurationError, RuntimeError) as error:
        sys.exit(f"The service cannot start: {error}")
    settings = app.extensions["tenant_auth"].settings
    host, port = settings.flask_host, settings.flask_port
    check_port_is_free(host, port)
    password = ""
    with app.app_context():
        create_tables()
        if settings.development:
            password = load_or_make_secret(
                "example_password", lambda: secrets.token_urlsafe(9).encode()
            )
            add_example_users(password)
            add_example_account()
    # The workers are forks of this process. They must not share its connections.
    app.extensions["engine"].dispose()

    wildcards = ("0.0.0.0", "::")  # noqa: S104 - only compared with
    base = f"http://{host_in_url('127.0.0.1' if host in wildcards else host)}:{port}"
    greeting = f"The e-mail service answers at {base}. Ctrl-C stops it."
    if settings.development:
        greeting = (
            f"{curl_lines(app, base, password)}\n\n"
            f"{console_line(app, base, CONSOLE_PERMISSION)}\n"
            f"Its front end is at {base}/. Log in as {EMAIL} with the password {password}\n"
            f"{greeting}\n"
            f"Prometheus on this machine may read {base}/metrics.\n"
            "This is a development server: everybody who reaches it can make a token for any user. "
            "FLASK_HOST=127.0.0.1 make run serves this machine only."
        )
    Server(
        app,
        {
            "bind": f"{host_in_url(host)}:{port}",
            "workers": 2,
            "threads": 4,
            "control_socket_disable": True,
            "when_ready": lambda _server: print(greeting, flush=True),
        },
    ).run()


if __name__ == "__main__":
    main()
