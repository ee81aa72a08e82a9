"""Apps whose keys come from a provider, and the clock by which they are fetched again."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask

from apps import make_app
from flask_tenant_auth import public_route, rate_limit, verify_tenant_context
from flask_tenant_auth.flask.extension import state_of
from provider import Answer, Handler, Provider, SigningKey
from waiting import until

SECOND = SigningKey("second")


class Clock:
    """The clock by which sources are fetched again, which a test moves or stops."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._stopped_at: float | None = None

    def stop(self) -> None:
        """Stand still: what follows takes no time, however slow the machine is."""
        self._stopped_at = time.monotonic()

    def __call__(self) -> float:
        return (self._stopped_at or time.monotonic()) + self.ahead


def moved_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that all modules look at which fetch keys again."""
    moved = Clock()
    for module in ("keys.jwk_sets", "keys.providers", "flask.state", "flask.extension"):
        monkeypatch.setattr(f"flask_tenant_auth.{module}.monotonic", moved)
    return moved


def app_of(provider: Provider | None = None, **config: Any) -> Flask:
    """An app that only verifies, with a protected view that counts and an open one."""
    if provider is not None:
        config = {"JWT_JWKS": provider.url} | config
    app = make_app(**{"JWT_ALGORITHM": "RS256", "JWT_SECRET_KEY": None} | config)
    app.get("/me", endpoint="me")(
        rate_limit("1000000 per second")(verify_tenant_context(lambda: "me"))
    )
    app.get("/open", endpoint="open")(public_route(lambda: "open"))
    return app


def settled(app: Flask) -> Flask:
    """The app, once no fetch runs."""
    until(lambda: not running(app), "the end of the fetch")
    return app


def running(app: Flask) -> bool:
    return any(source._running is not None for source in state_of(app).sources)  # type: ignore[attr-defined]


def get(app: Flask, key: SigningKey, **options: Any) -> int:
    return app.test_client().get("/me", headers=key.bearer(**options)).status_code


def after(seconds: float, answer: Answer) -> Answer:
    def answer_late(handler: Handler) -> None:
        time.sleep(seconds)
        answer(handler)

    return answer_late


def held(answer: Answer) -> tuple[threading.Event, Answer]:
    """An answer that waits for the event. A fetch gives it up after FETCH_SECONDS."""
    released = threading.Event()

    def answer_late(handler: Handler) -> None:
        released.wait(60)
        answer(handler)

    return released, answer_late


def away(handler: Handler) -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
