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
from dataclasses import replace
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from typing import Any

import redis as redis_py
from flask import Flask, request

from flask_tenant_auth import create_jwt_token, revoke_user
from flask_tenant_auth._core import Limit, RequestRecord, authenticate_and_count, parse_rates
from flask_tenant_auth.flask.state import state_of
from tests.support.servers import PostgreSQL, Redis

from . import apps
from .harness import WALL, Plan, Samples, interleave
from .result import Figure, Subject, Table

REVOKED = 1_000  # users, in the table that each request looks into
MOST_ADDED = 0.3  # microseconds
MORE_LOOKUPS = 100
CONTROL = f"the control: {MORE_LOOKUPS} more look-ups"
MORE_ROUNDS = 16  # and shorter ones: neighbours in time are compared


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


def request_call(app: Flask, token: str) -> Callable[[], object]:
    """Return what a request of an app does in the core, as `TenantAuth` calls it.

    A whole request takes a hundred times as long as what sessions add to it. They would be less
    than its noise.
    """
    state = state_of(app)
    live, keyring, limiter = state.live, state.keyring, state.limiter
    environ = {"HTTP_AUTHORIZATION": f"Bearer {token}"}
    (rate,) = parse_rates(apps.NO_LIMIT)
    limits = (Limit(rate, scope="bench"),)

    def call() -> object:
        record = RequestRecord(state)
        if live is not None and not live.follower.runs:
            live.follower.start()
        return authenticate_and_count(record, environ, keyring, limiter, limits, "192.0.2.7")

    if call() is None:
        raise AssertionError("the token was denied")
    return call


def added_by_sessions(plan: Plan, folder: Path) -> dict[str, Samples]:
    """Return what sessions add to a request, in microseconds, and what the control adds."""
    plain, ours = apps.ours(), with_sessions(f"sqlite:///{folder}/requests.db")
    token = ours.test_client().post("/begin").get_json()["access_token"]
    with ours.app_context():
        for _ in range(REVOKED):
            revoke_user(apps.TENANT, str(uuid.uuid4()))
    with plain.app_context():
        without = request_call(plain, create_jwt_token(apps.TENANT, apps.USER))
    with_table = request_call(ours, token)
    live = state_of(ours).live
    if live is None:
        raise AssertionError("the app has no sessions")
    session_id = str(uuid.uuid4())

    def control() -> object:
        for _ in repeat(None, MORE_LOOKUPS):
            live.table.check(apps.TENANT, apps.USER, session_id, session_id, 1.5)
        return with_table()

    calls = {
        "without": without,
        "claims": request_call(plain, token),  # of a session, and no table to look into
        "with": with_table,
        "control": control,
    }
    timed = interleave(calls, replace(plan, rounds=plan.rounds * MORE_ROUNDS, turn_seconds=0.001))
    added = {
        "sessions and revocation": timed["with"].minus(timed["without"]),
        "of that, the look-up": timed["with"].minus(timed["claims"]),
        CONTROL: timed["control"].minus(timed["with"]),
    }
    if added[CONTROL].low <= MOST_ADDED:
        raise AssertionError(f"the measure does not see {MORE_LOOKUPS} more look-ups")
    return added


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
        added = added_by_sessions(plan, folder)
        # A session has a budget of 30 refreshes a minute, which this one would use up at once.
        apps_of = {
            title: with_sessions(url, RATELIMIT_ENABLED=False) for title, url in urls.items()
        }
        calls = {title: refreshing(app, True) for title, app in apps_of.items()}
        calls["peer"] = refreshing(extended(urls["Redis"]), False)
        refreshes = interleave(calls, plan, WALL)
    titles = {"peer": "Flask-JWT-Extended, blocklist in Redis"}
    ours = {"SQLite", "PostgreSQL", "Redis"}
    return Subject(
        "sessions",
        "Sessions",
        tables=(
            Table.of(f"Added to a request, {REVOKED:,} revocations in the table", "us", added),
            Table.of(
                "A refresh, from the request to the answer",
                "us",
                {titles.get(key, f"{key}"): each for key, each in refreshes.items()},
            ),
        ),
        figures=(
            Figure.at_most(
                "sessions and revocation add to a request",
                added["sessions and revocation"].median,
                MOST_ADDED,
                "us",
            ),
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
