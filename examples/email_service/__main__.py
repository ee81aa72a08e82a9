"""Serve the example with gunicorn: `make run`.

Everything has a default: a development environment, a SQLite file, limits in shared memory, and
keys that are made once and kept in instance/. The environment overrides each of them.
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

from . import INSTANCE, create_app
from .database import create_tables
from .tour import make_first_account, tour


def kept(name: str, make: Callable[[], bytes]) -> str:
    """A secret of this machine: made once, readable by its owner alone."""
    path = INSTANCE / name
    if not path.exists():
        INSTANCE.mkdir(exist_ok=True)
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(make())
        new.rename(path)  # whole or not at all
    return path.read_text()


def set_defaults() -> None:
    """Fill in what the environment leaves open, but for the JWT key of a production."""
    os.environ.setdefault("FLASK_ENV", "development")
    os.environ.setdefault("REDIS_URL", "")
    if not os.environ.get("MAIL_PASSWORD_KEY"):
        os.environ["MAIL_PASSWORD_KEY"] = kept("mail_password_key", Fernet.generate_key)
    if not os.environ.get("JWT_SECRET_KEY") and os.environ["FLASK_ENV"] == "development":
        os.environ["JWT_SECRET_KEY"] = kept(
            "jwt_secret_key", lambda: secrets.token_hex(32).encode()
        )


def refuse_taken_port(host: str, port: int) -> None:
    """Say that somebody else listens there before gunicorn tries five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(
                f"Cannot listen on {host}, port {port}: {error.strerror}.\n"
                "Another port: FLASK_PORT=5001 make run"
            )


def in_url(host: str) -> str:
    """A host as it stands before a port."""
    return f"[{host}]" if ":" in host else host


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn, run from here."""

    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self.app = app
        self.options = options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.options.items():
            if name in self.cfg.settings:  # older versions have no control socket
                self.cfg.set(name, value)

    def load(self) -> Flask:
        return self.app


def main() -> None:
    """Prepare, then serve until Ctrl-C."""
    # The audit line of every request is written at INFO.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    set_defaults()
    try:
        app = create_app()
    except (ConfigurationError, RuntimeError) as error:
        sys.exit(f"The service cannot start: {error}")
    settings = app.extensions["tenant_auth"].settings
    host, port = settings.flask_host, settings.flask_port
    refuse_taken_port(host, port)
    with app.app_context():
        create_tables()
        if settings.development:
            make_first_account()
    # The workers are forks, and a connection must not be shared by two processes.
    app.extensions["engine"].dispose()

    everywhere = ("0.0.0.0", "::")  # noqa: S104 - the settings' word, only compared with
    base = f"http://{in_url('127.0.0.1' if host in everywhere else host)}:{port}"
    greeting = f"The e-mail service answers at {base}. Ctrl-C stops it."
    if settings.development:
        greeting = (
            f"{tour(app, base)}\n\n{greeting}\n"
            "This is a development server: whoever reaches it can make tokens for anybody. "
            "FLASK_HOST=127.0.0.1 keeps it to this machine."
        )
    Server(
        app,
        {
            "bind": f"{in_url(host)}:{port}",
            "workers": 2,
            "threads": 4,
            "control_socket_disable": True,
            "when_ready": lambda _server: print(greeting, flush=True),
        },
    ).run()


if __name__ == "__main__":
    main()
