"""What sessions add to a request, and how many refreshes a second each store takes.

The peer is Flask-JWT-Extended as its documentation has it: a blocklist of revoked tokens in Redis,
which each request asks, and a refresh token that is revoked when it is used.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import redis as redis_py
from flask import Flask, request

from tests.support.servers import PostgreSQL, Redis

from . import apps
from .harness import WALL, Plan, Samples, interleave
from .result import Figure, Row, Subject, Table

REVOKED = 1_000  # sessions of others, in the table that each request looks into


def with_sessions(store: str, **config: Any) -> Flask:
    app = apps.ours(AUTH_SESSION_STORE=store, **config)
    from flask_tenant_auth import create_session, public_route, refresh_session

    def begin() -> dict[str, Any]:
        return create_session(apps.TENANT, apps.USER)._asdict()

    def refresh() -> dict[str, Any]:
        return refresh_session(request.get_data(as_text=True))._asdict()

    for path, view in (("/begin", begin), ("/refresh", refresh)):
        app.add_url_rule(path, path, public_route(view), methods=["POST"])
    return app


def extended(store: str) -> Flask:
    """Flask-JWT-Extended: JWTManager.token_in_blocklist_loader, as "Blocklist / Redis" shows it."""
    from flask_jwt_extended import (
        JWTManager,
        create_access_token,
        create_refresh_token,
        get_jwt,
        jwt_required,
    )

    app = Flask("bench_blocklist")
    app.config.update(JWT_SECRET_KEY=apps.SECRET, JWT_ACCESS_TOKEN_EXPIRES=timedelta(minutes=15))
    manager = JWTManager(app)
    blocklist = redis_py.Redis.from_url(store)

    @manager.token_in_blocklist_loader
    def is_revoked(_header: dict[str, Any], payload: dict[str, Any]) -> bool:
        return blocklist.get(payload["jti"]) is not None

    names = {"tenant_id": apps.TENANT, "user_id": apps.USER, "role": "user"}

    @app.post("/begin")
    def begin() -> dict[str, str]:
        return tokens()

    def tokens() -> dict[str, str]:
        return {
            "access_token": create_access_token(apps.USER, additional_claims=names),
            "refresh_token": create_refresh_token(apps.USER, additional_claims=names),
        }

    @app.post("/refresh")
    @jwt_required(refresh=True)
    def refresh() -> dict[str, str]:
        blocklist.set(get_jwt()["jti"], "", ex=timedelta(days=30))
        return tokens()

    apps.add_view(app, lambda view: jwt_required()(view))
    return app


def refreshing(app: Flask, is_ours: bool) -> Callable[[], object]:
    """Return a call that refreshes one session again and again."""
    client = app.test_client()
    last = client.post("/begin").get_json()

    def call() -> object:
        nonlocal last
        token = last["refresh_token"]
        headers = {} if is_ours else {"Authorization": f"Bearer {token}"}
        answer = client.post("/refresh", data=token if is_ours else b"", headers=headers)
        if answer.status_code != 200:
            raise AssertionError(f"refresh: {answer.status}: {answer.text}")
        last = answer.get_json()
        return answer

    return call


def requests_of(plan: Plan, folder: Path, redis: str) -> dict[str, Samples]:
    """Return the time of a request without sessions, with them, and of the peer."""
    plain = apps.ours()
    with_table = with_sessions(f"sqlite:///{folder}/requests.db")
    client = with_table.test_client()
    token = client.post("/begin").get_json()["access_token"]
    from flask_tenant_auth import revoke_user

    with with_table.app_context():
        for _ in range(REVOKED):
            revoke_user(apps.TENANT, str(uuid.uuid4()))
    bearer = apps.HEADERS | {"Authorization": f"Bearer {token}"}
    peer = extended(redis)
    theirs = peer.test_client().post("/begin").get_json()["access_token"]
    calls = {
        "without sessions": apps.wsgi_call(plain, bearer),
        "with sessions": apps.wsgi_call(with_table, bearer),
        "peer": apps.wsgi_call(peer, apps.HEADERS | {"Authorization": f"Bearer {theirs}"}),
    }
    for name, call in calls.items():
        if not str(call()[0]).startswith("200"):  # type: ignore[index]
            raise AssertionError(f"{name}: the request was denied")
    return interleave(calls, plan)


@contextlib.contextmanager
def stores(folder: Path) -> Iterator[Mapping[str, str]]:
    with Redis("--maxmemory-policy", "noeviction") as redis, PostgreSQL() as postgresql:
        yield {
            "SQLite": f"sqlite:///{folder}/refreshes.db",
            "PostgreSQL": postgresql.url,
            "Redis": redis.url,
        }


def run(plan: Plan) -> Subject:
    logging.getLogger("flask_tenant_auth").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name, stores(Path(name)) as urls:
        folder = Path(name)
        timed = requests_of(plan, folder, urls["Redis"])
        # A session has a budget of 30 refreshes a minute, which this one would use up at once.
        apps_of = {
            title: with_sessions(url, RATELIMIT_ENABLED=False) for title, url in urls.items()
        }
        calls = {title: refreshing(app, True) for title, app in apps_of.items()}
        calls["peer"] = refreshing(extended(urls["Redis"]), False)
        refreshes = interleave(calls, plan, WALL)
    adds = timed["with sessions"].minus(timed["without sessions"])
    titles = {"peer": "Flask-JWT-Extended, blocklist in Redis"}
    ours = {"SQLite", "PostgreSQL", "Redis"}
    return Subject(
        "sessions",
        "Sessions",
        tables=(
            Table(
                "Added to a request, 1,000 revocations in the table",
                "us",
                (Row.of("flask_tenant_auth", adds),),
            ),
            Table.of(
                "A refresh, from the request to the answer",
                "us",
                {titles.get(key, f"{key}"): each for key, each in refreshes.items()},
            ),
        ),
        figures=(
            Figure.at_most("sessions and revocation add to a request", adds.median, 0.3, "us"),
            *(
                Figure.no_less(
                    f"refreshes a second of one client, {key}",
                    1e6 / refreshes[key].median,
                    1e6 / refreshes["peer"].median if key == "Redis" else 0,
                    "/s",
                )
                for key in refreshes
                if key in ours
            ),
        ),
        notes=(
            "Flask-JWT-Extended asks Redis at each request; we ask nothing.",
            f"Its refresh: {1e6 / refreshes['peer'].median:.0f} a second.",
        ),
    )
