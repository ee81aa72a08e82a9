"""For the tests of an app: a client that signs in, a clock to move, and a look through every route.

    client = AuthClient(app).as_user(tenant_id, user_id, "admin")
    with Clock() as clock:
        clock.move(hours=25)
        assert client.get("/api/accounts").status_code == 401

`foreign_answers()` calls every GET route as a stranger and returns what it should not have shown;
`pytest_plugins = ["flask_tenant_auth.pytest_plugin"]` in a conftest.py makes a fixture of it.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from flask.app import Flask
from flask.testing import FlaskClient
from werkzeug.routing import BuildError, Rule
from werkzeug.test import TestResponse

from ._core import Identity, reset_clock, shift_clock
from .config.settings import is_testing
from .flask.own_routes import HOST
from .flask.routes import is_static_view
from .flask.state import EXTENSION
from .flask.tokens import create_jwt_token
from .identity.roles import WEAKEST_ROLE

# A shorter text may be in any row: "imap", a port, a small number.
DISTINCTIVE_LENGTH = 6


class AuthClient(FlaskClient):
    """Flask's test client, which can sign in.

    :raises RuntimeError: when TESTING was set after the first request of the app. Then it still
        counts with all processes of the host.
    """

    def __init__(self, app: Flask, *args: Any, **options: Any) -> None:
        state = app.extensions.get(EXTENSION)
        if state is not None and state.settled and is_testing(app):
            raise RuntimeError(
                f"TESTING was set after the first request of the app {app.name!r}, which has no "
                "effect any more: set it before"
            )
        options.setdefault("use_cookies", True)
        super().__init__(app, *(args or (app.response_class,)), **options)

    def as_user(
        self,
        tenant_id: str | uuid.UUID,
        user_id: str | uuid.UUID,
        role: str = WEAKEST_ROLE,
        **options: Any,
    ) -> AuthClient:
        """Return a client whose requests carry a token for this user.

        The role is one of AUTH_ROLES; the weakest if not given. Further options are those of
        `create_jwt_token`. The client it is called on stays as it is.
        """
        with self.application.app_context():
            token = create_jwt_token(str(tenant_id), str(user_id), role, **options)
        client = type(self)(self.application)
        client.environ_base = {**self.environ_base, "HTTP_AUTHORIZATION": f"Bearer {token}"}
        return client


class Clock:
    """A context in which the clock can be moved: tokens expire, limits begin anew."""

    def __enter__(self) -> Clock:
        return self

    def __exit__(self, *_: object) -> None:
        reset_clock()

    def move(self, seconds: float = 0, **units: float) -> None:
        """Move forward, by seconds or by what `datetime.timedelta` takes."""
        step = timedelta(seconds=seconds, **units).total_seconds()
        if step < 0:
            raise ValueError("the clock moves forward only: counters never go back")
        shift_clock(step, step)


# Every GET route, as a stranger


class ForeignAnswer(NamedTuple):
    """An answer that shows a stranger what belongs to somebody else."""

    url: str
    endpoint: str
    status: int
    shown: str

    def __str__(self) -> str:
        return f"GET {self.url} ({self.endpoint}) answers {self.status} and shows {self.shown!r}"


def foreign_answers(
    app: Flask,
    rows: Iterable[Any],
    owner: Identity,
    stranger: Identity,
    ignore: Iterable[str] = (),
) -> list[ForeignAnswer]:
    """Call every GET route of an app as a stranger, with the ids of somebody else's rows.

    :param rows: the owner's rows: objects of mapped classes, or mappings; their keys and
        their texts of six characters and more are searched for in the answers. A key is what is
        called "id" or ends in "_id", or a mapped class' primary key.
    :param owner: who sees these rows.
    :param stranger: who must not.
    :param ignore: texts that the stranger may see all the same.
    :raises AssertionError: where the check could not have failed: no route shows the rows to their
        owner, or a limit was reached (turn RATELIMIT_ENABLED off in the app under test).
    """
    values = [values_of(row) for row in rows]
    keys = list(dict.fromkeys(key for each in values for key in each.keys))
    texts = {text for each in values for text in each.texts} - set(ignore)
    calls = list(calls_of(app, keys))
    theirs = client_of(app, owner)
    if not any(shown_by(theirs.get(url), texts) for url, _ in calls):
        raise AssertionError("no GET route shows these rows to their owner: nothing was checked")
    return list(answers_to(client_of(app, stranger), calls, texts, owner))


class Values(NamedTuple):
    """What is known of a row."""

    keys: list[Any]
    texts: list[str]


def values_of(row: Any) -> Values:
    """Return a row's keys and the texts that distinguish it from others."""
    if isinstance(row, Mapping):
        columns = dict(row)
        primary = {name for name in columns if name == "id" or name.endswith("_id")}
    else:
        from sqlalchemy import inspect

        mapper = inspect(row).mapper
        columns = {name: getattr(row, name) for name in mapper.columns.keys()}  # noqa: SIM118
        primary = {mapper.get_property_by_column(column).key for column in mapper.primary_key}
    columns = {name: value for name, value in columns.items() if value is not None}
    keys = [value for name, value in columns.items() if name in primary]
    texts = [
        str(value)
        for name, value in columns.items()
        if isinstance(value, (str, uuid.UUID)) and name not in {"tenant_id", "user_id"}
    ]
    return Values(keys, [text for text in texts if len(text) >= DISTINCTIVE_LENGTH])


def client_of(app: Flask, identity: Identity) -> AuthClient:
    """Return a client that is signed in as an identity."""
    return AuthClient(app).as_user(identity.tenant_id, identity.user_id, identity.role)


def calls_of(app: Flask, keys: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield (URL, endpoint) for every GET route, with every key in every place of its path."""
    for rule in app.url_map.iter_rules():
        view = app.view_functions.get(rule.endpoint)
        if "GET" in (rule.methods or {"GET"}) and not is_static_view(app, view):
            for url in urls_of(app, rule, keys):
                yield url, rule.endpoint


def urls_of(app: Flask, rule: Rule, keys: list[Any]) -> Iterator[str]:
    """Yield the URLs of a rule; a key that a converter does not take is left out."""
    adapter = app.url_map.bind(app.config["SERVER_NAME"] or "localhost")
    own_host = {HOST: adapter.server_name} if HOST in rule.arguments else {}
    names = sorted(rule.arguments - set(rule.defaults or ()) - set(own_host))
    for chosen in itertools.product(keys, repeat=len(names)):
        values = {**dict(zip(names, chosen, strict=True)), **own_host}
        with suppress(BuildError, ValueError, TypeError, AttributeError):
            yield adapter.build(rule.endpoint, values, "GET")


def answers_to(
    client: AuthClient, calls: list[tuple[str, str]], texts: set[str], owner: Identity
) -> Iterator[ForeignAnswer]:
    """Yield what a stranger is shown, with and without the headers and parameters of the owner."""
    claims = {"X-Tenant-ID": owner.tenant_id, "X-User-ID": owner.user_id}
    query = {"tenant_id": owner.tenant_id, "user_id": owner.user_id}
    for url, endpoint in calls:
        for extra in ({}, {"headers": claims, "query_string": query}):
            response = client.get(url, **extra)
            if response.status_code == 429:
                raise AssertionError(f"GET {url} was limited: set RATELIMIT_ENABLED to False")
            shown = shown_by(response, texts)
            # A redirect or an error may repeat the path, which the client has named itself.
            if shown is not None:
                yield ForeignAnswer(url, endpoint, response.status_code, shown)


def shown_by(response: TestResponse, texts: set[str]) -> str | None:
    """Return a text of the rows that an answer with a success status shows."""
    if not 200 <= response.status_code < 300:
        return None
    body = response.get_data(as_text=True)
    return next((text for text in sorted(texts) if text in body), None)
