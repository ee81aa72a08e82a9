"""Which apps follow a store of sessions, from when and until when."""

from __future__ import annotations

import gc
import os
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from apps import SECRET, bare_app, bearer, make_app
from flask_tenant_auth import TenantAuth, rate_limit_exempt, verify_tenant_context
from flask_tenant_auth._core import Keyring
from flask_tenant_auth.flask.extension import state_of

NAME = "flask_tenant_auth revocations"


# Of apps of other tests, which are not freed yet.
others: set[threading.Thread] = set()


def threads() -> list[threading.Thread]:
    running = {each for each in threading.enumerate() if each.name == NAME}
    return list(running - others)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    others.clear()
    others.update(threads())
    yield
    gc.collect()
    for each in threads():
        each.join(5)
    assert not threads()


def with_route(app: Flask) -> Flask:
    view = verify_tenant_context(lambda: "known")
    app.get("/who", endpoint="who")(view)
    exempt = rate_limit_exempt(verify_tenant_context(lambda: "known"))
    app.get("/exempt", endpoint="exempt")(exempt)
    return app


def test_an_app_without_sessions_has_no_table_no_file_and_no_thread(tmp_path: Path) -> None:
    app = with_route(make_app())
    app.instance_path = str(tmp_path)
    state = state_of(app)
    assert app.test_client().get("/who", headers=bearer()).status_code == 200
    assert state.live is None
    assert state.session_store is None
    assert state.rules.revocations is None
    # A request meets the same objects as before sessions were there: the keyring, without a table.
    assert type(state.keyring) is Keyring
    assert state.keyring.revocations is None
    assert not threads()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["/who", "/exempt"])
@pytest.mark.parametrize("counting", [True, False])
def test_the_first_request_with_a_token_starts_the_thread(
    tmp_path: Path, path: str, counting: bool
) -> None:
    app = with_route(
        make_app(
            AUTH_SESSION_STORE=f"sqlite:///{tmp_path}/s.db",
            RATELIMIT_ENABLED=counting,
        )
    )
    table = state_of(app).live.table  # type: ignore[union-attr]
    assert not threads()
    assert not (tmp_path / "s.db").exists()
    # As where another process of the host has filled the table.
    table.mark_filled("")
    assert app.test_client().get(path, headers=bearer()).status_code == 200
    assert len(threads()) == 1
    assert app.test_client().get(path, headers=bearer()).status_code == 200
    assert len(threads()) == 1


def test_a_child_starts_a_thread_of_its_own(tmp_path: Path) -> None:
    app = with_route(make_app(AUTH_SESSION_STORE=f"sqlite:///{tmp_path}/s.db"))
    client = app.test_client()
    assert client.get("/who", headers=bearer()).status_code == 200
    child = os.fork()
    if child == 0:
        status = 1
        try:
            before = state_of(app).live.follower.runs  # type: ignore[union-attr]
            answer = client.get("/who", headers=bearer()).status_code
            status = 0 if (before, answer, len(threads())) == (False, 200, 1) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("of_app", [False, True])
def test_the_thread_ends_with_its_app(tmp_path: Path, of_app: bool) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    app = bare_app(AUTH_SESSION_STORE=url)
    if of_app:
        db = SQLAlchemy()
        app.config.update(SQLALCHEMY_DATABASE_URI=url, AUTH_SESSION_STORE=db)
        db.init_app(app)
    TenantAuth(app)
    with_route(app)
    if of_app:
        with app.app_context():
            db.create_all()
    assert app.test_client().get("/who", headers=bearer()).status_code == 200
    [thread] = threads()
    freed = weakref.ref(state_of(app))
    engines = []
    if of_app:
        with app.app_context():
            engines.append(db.engine)
        del db
    del app
    gc.collect()
    assert freed() is None
    thread.join(5)
    assert not thread.is_alive()
    for engine in engines:
        engine.dispose()  # only now: the thread may have connected once more


def test_a_loader_that_is_registered_later_turns_sessions_on(tmp_path: Path) -> None:
    auth = TenantAuth()
    apps = []
    for name in ("one", "two"):
        app = bare_app()
        app.instance_path = str(tmp_path / name)
        auth.init_app(app)
        apps.append(with_route(app))
    assert all(state_of(app).live is None for app in apps)

    @auth.session_loader
    def load(_session: Any) -> str:
        return "user"

    for app in apps:
        state = state_of(app)
        assert state.session_loader is load
        assert isinstance(state.keyring, Keyring)
        assert state.keyring.revocations is state.live.table  # type: ignore[union-attr]
        assert app.test_client().get("/who", headers=bearer()).status_code == 200
    one, two = (state_of(app).live for app in apps)
    assert one is not two
    assert len(threads()) == 2


def test_keys_that_change_later_do_not_replace_those_with_a_table(tmp_path: Path) -> None:
    """The fetch of keys that began before sessions were turned on ends after that."""
    auth = TenantAuth()
    app = bare_app(AUTH_SESSION_STORE=None)
    app.instance_path = str(tmp_path)
    auth.init_app(app)
    state = state_of(app)
    before = state._provider
    auth.session_loader(lambda session: "user")
    assert before is not None
    assert before is not state._provider
    before.changed()
    assert isinstance(state.keyring, Keyring)
    assert state.keyring.revocations is not None


@pytest.mark.parametrize("wrong", [None, "user", 5])
def test_a_loader_that_cannot_be_called_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="session_loader"):
        TenantAuth().session_loader(wrong)


def test_an_async_loader_is_refused() -> None:
    async def load(_session: Any) -> str:
        return "user"

    with pytest.raises(TypeError, match="not async"):
        TenantAuth().session_loader(load)


def test_the_name_of_a_table_does_not_depend_on_a_password() -> None:
    apps = []  # the table of an app that is freed is closed
    for password in ("one", "two"):
        app = Flask("passwords")
        url = f"postgresql://user:{password}@host/{uuid.uuid5(uuid.NAMESPACE_URL, __file__)}"
        app.config.update(JWT_SECRET_KEY=SECRET, REDIS_URL="", AUTH_SESSION_STORE=url)
        TenantAuth(app)
        apps.append(app)
    paths = {state_of(app).live.table.status()["path"] for app in apps}  # type: ignore[union-attr]
    assert len(paths) == 1
    assert None not in paths
