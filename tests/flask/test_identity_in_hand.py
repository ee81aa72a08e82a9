"""The identity as an object: current_identity, request attributes, users, copies, actors."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import multiprocessing
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import flask
import pytest
from flask import Flask, request

from apps import (
    OTHER_TENANT,
    OTHER_USER,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    make_app,
    token,
)
from flask_tenant_auth import (
    AuthError,
    Identity,
    TenantAuth,
    TenantRequest,
    acting_as,
    create_jwt_token,
    current_identity,
    current_user,
    verify_resource_access,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.errors import CREDENTIALS_REQUIRED
from flask_tenant_auth.signals import request_authenticated


class TestCurrentIdentity:
    def test_it_is_the_identity_of_the_request(self) -> None:
        app = make_app()

        @app.get("/")
        @verify_tenant_context
        def view() -> dict[str, Any]:
            assert isinstance(current_identity, Identity)
            assert current_identity
            return {
                "ids": [current_identity.tenant_id, current_identity.user_id],
                "role": current_identity.role,
                "plan": current_identity.claims["plan"],
            }

        answer = app.test_client().get("/", headers=bearer(plan="gold"))
        assert answer.get_json() == {"ids": [TENANT, USER], "role": "user", "plan": "gold"}

    def test_without_one_it_is_false_and_an_attribute_is_a_401(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app()

        @app.get("/")
        def view() -> str:
            assert not current_identity
            assert repr(current_identity) == "<no identity>"
            assert not caplog.records
            return current_identity.user_id

        assert app.test_client().get("/", headers=bearer()).status_code == 401
        assert caplog.records[-1].reason == "decorator_missing"  # type: ignore[attr-defined]
        with pytest.raises(AuthError):
            current_identity.role  # noqa: B018

    def test_without_one_tools_that_look_at_the_name_see_a_proxy(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        with make_app().test_request_context(headers=bearer()):
            for proxy in (current_identity, current_user):
                assert not isinstance(proxy, Identity | str)
                assert callable(inspect.unwrap(proxy))  # as LocalProxy has it
                assert dir(proxy) == []
        assert not caplog.records

    def test_without_one_what_needs_an_identity_is_a_401(self) -> None:
        app = make_app()
        uses: list[Callable[[], Any]] = [
            lambda: current_identity.user_id,
            lambda: str(current_identity),
            lambda: current_identity.to_headers(),
            lambda: pickle.dumps(current_identity),
            lambda: current_user.name,
            lambda: current_user["name"],
        ]
        for number, use in enumerate(uses):
            app.add_url_rule(f"/{number}", str(number), lambda use=use: str(use()))
        for number in range(len(uses)):
            answer = app.test_client().get(f"/{number}", headers=bearer())
            assert error_of(answer) == (401, CREDENTIALS_REQUIRED), number

    def test_a_thread_has_none(self) -> None:
        with acting_as(TENANT, USER), ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: bool(current_identity)).result() is False

    def test_the_claims_cannot_be_changed(self) -> None:
        with acting_as(Identity(TENANT, USER, claims={"a": 1})) as identity:
            assert current_identity == identity
            with pytest.raises(TypeError):
                current_identity.claims["a"] = 2  # type: ignore[index]

    def test_acting_as_takes_an_identity(self) -> None:
        made = Identity(TENANT, USER, "admin", permissions=["x"], claims={"a": 1}, actor="me")
        with acting_as(made):
            assert current_identity.permits("x")
            assert current_identity.reaches_tenant
            assert (current_identity.claims["a"], current_identity.actor) == (1, "me")
        with pytest.raises(TypeError, match="Identity alone"), acting_as(made, USER):
            pass
        with (
            pytest.raises(ValueError, match="role must be one of"),
            acting_as(Identity(TENANT, USER, "root")),
        ):
            pass


class TestRequestAttributes:
    def test_the_decorator_sets_them(self) -> None:
        app = make_app()

        @app.get("/")
        @verify_role("admin")
        def view() -> list[str]:
            return [request.tenant_id, request.user_id, request.user_role]  # type: ignore[attr-defined]

        answer = app.test_client().get("/", headers=bearer(role="admin"))
        assert answer.get_json() == [TENANT, USER, "admin"]

    def test_a_request_that_is_not_verified_has_none(self) -> None:
        app = make_app()

        @app.get("/")
        def view() -> list[bool]:
            return [hasattr(request, name) for name in ("tenant_id", "user_id", "user_role")]

        assert app.test_client().get("/", headers=bearer()).get_json() == [False] * 3

    def test_a_request_class_may_declare_them(self) -> None:
        app = make_app()
        app.request_class = TenantRequest

        @app.get("/")
        @verify_tenant_context
        def view() -> list[str]:
            verified = cast("TenantRequest", request)
            return [verified.tenant_id, verified.user_id, verified.user_role]

        @app.get("/public")
        def public() -> list[bool]:
            return [hasattr(request, name) for name in ("tenant_id", "user_id", "user_role")]

        client = app.test_client()
        assert client.get("/", headers=bearer()).get_json() == [TENANT, USER, "user"]
        assert client.get("/public", headers=bearer()).get_json() == [False] * 3

    def test_a_request_class_with_properties_of_these_names_keeps_them(self) -> None:
        class Own(flask.Request):
            @property
            def tenant_id(self) -> str:
                return "own"

        app = make_app()
        app.request_class = Own
        app.add_url_rule("/", "view", verify_tenant_context(lambda: request.tenant_id))  # type: ignore[attr-defined]
        assert app.test_client().get("/", headers=bearer()).text == "own"

    def test_acting_as_leaves_them_as_they_are(self) -> None:
        app = make_app()

        @verify_tenant_context
        def inner() -> None:
            """Check the identity of the block, which binds nothing to the request."""

        @app.get("/")
        def view() -> list[Any]:
            with acting_as(OTHER_TENANT, OTHER_USER):
                inner()
                before = hasattr(request, "tenant_id")
            return [before, *later()]

        @verify_tenant_context
        def later() -> list[str]:
            with acting_as(OTHER_TENANT, OTHER_USER):
                return [request.tenant_id, request.user_id, current_identity.user_id]  # type: ignore[attr-defined]

        answer = app.test_client().get("/", headers=bearer())
        assert answer.get_json() == [False, TENANT, USER, OTHER_USER]

    def test_a_receiver_sees_them(self) -> None:
        app = make_app()
        seen: list[str] = []

        def look(sender: object, **_: object) -> None:
            seen.append(request.tenant_id)  # type: ignore[attr-defined]

        app.add_url_rule("/", "view", verify_tenant_context(lambda: ""))
        with request_authenticated.connected_to(look, app):
            app.test_client().get("/", headers=bearer())
        assert seen == [TENANT]

    def test_a_receiver_that_raises_takes_them_back(self) -> None:
        app = make_app()
        seen: list[bool] = []

        def deny(sender: object, **_: object) -> None:
            seen.append(hasattr(request, "tenant_id"))
            raise AuthError("No", 403)

        @app.get("/")
        @verify_tenant_context
        def view() -> str:
            return ""

        @app.errorhandler(AuthError)
        def answer(error: AuthError) -> tuple[str, int]:
            seen.append(hasattr(request, "tenant_id"))
            return "", error.status_code

        with request_authenticated.connected_to(deny, app):
            assert app.test_client().get("/", headers=bearer()).status_code == 403
        assert seen == [True, False]


class TestCurrentUser:
    def app_with(self, users: dict[str, Any], **config: Any) -> tuple[Flask, list[str]]:
        asked: list[str] = []
        app = bare_app(**config)
        auth = TenantAuth(app)

        @auth.user_loader
        def load(identity: Identity) -> Any:
            asked.append(identity.user_id)
            return users.get(identity.user_id)

        @app.get("/")
        @verify_tenant_context
        def view() -> dict[str, Any]:
            assert current_user
            return {"name": current_user["name"], "again": current_user["name"]}

        return app, asked

    def test_it_is_loaded_once_a_request_when_first_asked_for(self) -> None:
        app, asked = self.app_with({USER: {"name": "Ann"}, OTHER_USER: {"name": "Bob"}})

        @app.get("/without")
        @verify_tenant_context
        def without() -> str:
            return ""

        client = app.test_client()
        assert client.get("/without", headers=bearer()).status_code == 200
        assert asked == []
        assert client.get("/", headers=bearer()).get_json() == {"name": "Ann", "again": "Ann"}
        assert asked == [USER]
        other = client.get("/", headers=bearer(user_id=OTHER_USER)).get_json()
        assert other["name"] == "Bob"
        assert asked == [USER, OTHER_USER]

    def test_a_user_who_is_not_known_is_a_401(self, caplog: pytest.LogCaptureFixture) -> None:
        app, _ = self.app_with({})
        assert error_of(app.test_client().get("/", headers=bearer())) == (401, "Invalid token")
        assert caplog.records[-1].reason == "user_unknown"  # type: ignore[attr-defined]

    def test_a_user_who_is_not_known_is_audited_and_asked_for_once(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit.log"
        app, asked = self.app_with({}, AUDIT_LOG=str(log))

        @app.get("/twice")
        @verify_tenant_context
        def twice() -> str:
            for _ in range(2):
                with pytest.raises(AuthError) as caught:
                    current_user.name  # noqa: B018
                assert (caught.value.status_code, caught.value.reason) == (401, "user_unknown")
            return str(bool(current_user))

        answer = app.test_client().get("/twice", headers=bearer())
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert asked == [USER]
        reasons = [getattr(record, "reason", None) for record in caplog.records]
        assert reasons.count("user_unknown") == 1
        [line] = [json.loads(each) for each in log.read_text().splitlines() if each]
        assert (line["status"], line["reason"], line["user_id"]) == (401, "user_unknown", USER)

    @pytest.mark.parametrize("use", [bool, lambda user: user.name, lambda u: isinstance(u, str)])
    @pytest.mark.parametrize("kind", [RuntimeError, LookupError])
    def test_an_error_of_the_loader_is_the_apps_own(
        self, kind: type[Exception], use: Callable[[Any], Any]
    ) -> None:
        app = bare_app(PROPAGATE_EXCEPTIONS=False)

        @TenantAuth(app).user_loader
        def load(_: Identity) -> Any:
            raise kind("the database is away")

        @app.get("/")
        @verify_tenant_context
        def view() -> str:
            return str(use(current_user))

        assert app.test_client().get("/", headers=bearer()).status_code == 500

    def test_it_is_an_instance_of_the_class_of_the_user(self) -> None:
        app, _ = self.app_with({USER: {"name": "Ann"}})
        with app.app_context(), acting_as(TENANT, USER):
            assert isinstance(current_user, dict)
            assert current_user == {"name": "Ann"}

    def test_an_async_view_has_its_user(self) -> None:
        app, asked = self.app_with({USER: {"name": "Ann"}, OTHER_USER: {"name": "Bob"}})

        @app.get("/async")
        @verify_tenant_context
        async def later() -> list[str]:
            async def name() -> str:
                await asyncio.sleep(0)
                return f"{current_user['name']} {current_identity.role}"

            return list(await asyncio.gather(name(), name()))

        answer = app.test_client().get("/async", headers=bearer())
        assert answer.get_json() == ["Ann user", "Ann user"]
        assert asked == [USER]

    def test_requests_at_once_have_each_its_own_user(self) -> None:
        names = {f"{number:08d}-0000-4000-8000-000000000000": number for number in range(40)}
        app = bare_app(RATELIMIT_ENABLED=False)
        TenantAuth(app).user_loader(lambda identity: names[identity.user_id])

        @app.get("/")
        @verify_tenant_context
        def view() -> list[int]:
            time.sleep(0.001)
            return [current_user + 0, names[current_identity.user_id]]

        def ask(user_id: str) -> Any:
            return app.test_client().get("/", headers=bearer(user_id=user_id)).get_json()

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, names)) == [[number] * 2 for number in names.values()]

    def test_each_app_that_a_block_enters_has_its_own_user(self) -> None:
        one, other = bare_app(), bare_app()
        TenantAuth(one).user_loader(lambda _: "of one")
        TenantAuth(other).user_loader(lambda _: "of the other")
        with acting_as(TENANT, USER):
            for _ in range(2):
                with one.app_context():
                    assert current_user == "of one"
                with other.app_context():
                    assert current_user == "of the other"
            with pytest.raises(RuntimeError, match="app context"):
                str(current_user)

    def test_without_an_identity_there_is_no_user(self) -> None:
        app, asked = self.app_with({USER: {"name": "Ann"}})

        @app.get("/public")
        def public() -> str:
            return str(bool(current_user))

        assert app.test_client().get("/public", headers=bearer()).text == "False"
        assert asked == []

    def test_without_a_loader_the_error_says_how_to_set_one(self) -> None:
        app = make_app()
        with (
            app.app_context(),
            acting_as(TENANT, USER),
            pytest.raises(RuntimeError, match="user_loader"),
        ):
            current_user.name  # noqa: B018

    def test_acting_as_has_its_own_user(self) -> None:
        app, asked = self.app_with({USER: {"name": "Ann"}, OTHER_USER: {"name": "Bob"}})

        @app.get("/as_bob")
        @verify_tenant_context
        def as_bob() -> list[str]:
            names = [current_user["name"]]
            with acting_as(TENANT, OTHER_USER):
                names += [current_user["name"], current_user["name"]]
            return [*names, current_user["name"]]

        answer = app.test_client().get("/as_bob", headers=bearer())
        assert answer.get_json() == ["Ann", "Bob", "Bob", "Ann"]
        assert asked == [USER, OTHER_USER]

    def test_one_extension_of_several_apps_has_one_loader(self) -> None:
        auth = TenantAuth()
        apps = [bare_app(), bare_app()]
        auth.init_app(apps[0])
        auth.user_loader(lambda identity: identity.user_id)
        auth.init_app(apps[1])
        for app in apps:
            with app.app_context(), acting_as(TENANT, USER):
                assert current_user == USER

    @pytest.mark.parametrize("wrong", [None, "name", 5])
    def test_what_cannot_be_called_is_no_loader(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="user_loader"):
            TenantAuth().user_loader(wrong)

        async def later(identity: Identity) -> None: ...

        with pytest.raises(TypeError, match="async"):
            TenantAuth().user_loader(later)


def send_back(received: Any, sent: Any) -> None:
    """In another process: return an identity, and what it is there."""
    identity = received.get(timeout=300)
    ids = [identity.tenant_id, identity.user_id, identity.role]
    rights = [sorted(identity.permissions), identity.actor, identity.session_id]
    sent.put((identity, ids + rights))


class TestCopies:
    def of_token(self, **claims: Any) -> Identity:
        app = make_app(AUTH_PERMISSIONS={"user": ["mail:read"]})
        with app.test_request_context(headers=bearer(**claims)):
            found: list[Identity] = []
            verify_tenant_context(lambda: found.append(copy.copy(current_identity)) or "")()
            return found[0]

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_a_pickle_is_the_same_identity_without_its_token(self, protocol: int) -> None:
        made = token(permissions=["x"], act={"sub": "me"}, nested={"a": [1]})
        identity = self.of_token(permissions=["x"], act={"sub": "me"}, nested={"a": [1]})
        octets = pickle.dumps(identity, protocol)
        again = pickle.loads(octets)
        assert again == identity
        assert hash(again) == hash(identity)
        for name in ("role", "permissions", "actor", "expires_at", "source", "issuer"):
            assert getattr(again, name) == getattr(identity, name), name
        assert dict(again.claims) == dict(identity.claims)
        for part in made.split("."):
            assert part.encode() not in octets

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_the_proxy_is_pickled_and_copied_as_the_identity(self, protocol: int) -> None:
        with acting_as(Identity(TENANT, USER, "admin", permissions=["x"], claims={"a": 1})) as made:
            again = pickle.loads(pickle.dumps(current_identity, protocol))
            assert copy.copy(current_identity) is made
            assert copy.deepcopy({"who": current_identity})["who"] is made
        assert type(again) is Identity
        assert (again, again.permissions, dict(again.claims)) == (made, {"x"}, {"a": 1})

    def test_another_process_gets_it_by_a_queue(self) -> None:
        identity = self.of_token(permissions=["x"], act={"sub": "me"}, sid="s1")
        context = multiprocessing.get_context("spawn")
        sent, received = context.Queue(), context.Queue()
        process = context.Process(target=send_back, args=(sent, received))
        process.start()
        sent.put(identity)
        again, shown = received.get(timeout=300)
        process.join(60)
        for queue in (sent, received):
            queue.close()
            queue.join_thread()
        assert again == identity
        assert shown == [TENANT, USER, "user", ["mail:read", "x"], "me", "s1"]
        assert process.exitcode == 0

    def test_an_identity_is_its_own_copy(self) -> None:
        identity = self.of_token()
        assert copy.copy(identity) is identity
        assert copy.deepcopy([identity])[0] is identity

    def test_an_identity_outlives_its_request(self) -> None:
        identity = self.of_token(permissions=["x"])
        assert identity.permissions == {"x", "mail:read"}
        assert identity.claims["user_id"] == USER


class TestActor:
    def test_the_audit_line_names_both(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit.log"
        app = make_app(AUDIT_LOG=str(log))

        @app.get("/")
        @verify_tenant_context
        def view() -> str:
            return ""

        @app.get("/admin")
        @verify_role("admin")
        def admin() -> str:
            return ""

        with app.app_context():
            made = create_jwt_token(TENANT, USER, actor=(TENANT, OTHER_USER))
        headers = {"Authorization": f"Bearer {made}"}
        with caplog.at_level(logging.INFO, "flask_tenant_auth"):
            assert app.test_client().get("/", headers=headers).status_code == 200
            assert app.test_client().get("/admin", headers=headers).status_code == 403
            assert app.test_client().get("/", headers=bearer()).status_code == 200
        lines = [line for line in caplog.messages if "method=GET" in line]
        assert [f"actor={OTHER_USER}" in line for line in lines] == [True, True, True, False]
        written = [json.loads(line) for line in log.read_text().splitlines() if line]
        assert [line.get("actor") for line in written] == [OTHER_USER, OTHER_USER, None]
        assert [line["user_id"] for line in written] == [USER] * 3
        assert "actor" not in written[2]

    def test_an_actor_of_a_provider_is_in_both_logs(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit.log"
        app = make_app(AUDIT_LOG=str(log))
        app.add_url_rule("/", "view", verify_tenant_context(lambda: str(current_identity.actor)))
        actors = ["someone@example.com", 'a "b"\ntenant_id=x', "\u202e"]
        with caplog.at_level(logging.INFO, "flask_tenant_auth"):
            for actor in actors:
                answer = app.test_client().get("/", headers=bearer(act={"sub": actor}))
                assert answer.text == actor
        written = [json.loads(line) for line in log.read_text().splitlines() if line]
        assert [line["actor"] for line in written] == actors
        lines = [line for line in caplog.messages if "method=GET" in line]
        assert [line.partition(" actor=")[2] for line in lines] == [
            "someone@example.com",
            'a\\x20\\"b\\"\\ntenant_id=x',
            "\\u202e",
        ]

    def test_the_permissions_are_those_of_the_user(self) -> None:
        app = make_app(AUTH_PERMISSIONS={"user": ["mail:read"], "admin": ["mail:*"]})
        app.add_url_rule(
            "/", "view", verify_tenant_context(lambda: sorted(current_identity.permissions))
        )
        nested = {"sub": OTHER_USER, "role": "admin", "permissions": ["mail:write"]}
        headers = bearer(permissions=["x"], act=nested)
        assert app.test_client().get("/", headers=headers).get_json() == ["mail:read", "x"]

    def test_a_token_with_an_actor_of_another_tenant_is_a_401_in_both_logs(
        self, caplog: pytest.LogCaptureFixture, tmp_path: Path
    ) -> None:
        log = tmp_path / "audit.log"
        app = make_app(AUDIT_LOG=str(log))
        app.add_url_rule("/", "view", verify_tenant_context(lambda: ""))
        foreign = {"sub": USER, "tenant_id": OTHER_TENANT}
        assert app.test_client().get("/", headers=bearer(act=foreign)).status_code == 401
        assert caplog.records[-1].reason == "actor_foreign"  # type: ignore[attr-defined]
        assert json.loads(log.read_text())["reason"] == "actor_foreign"

    def test_a_foreign_actor_cannot_be_written(self) -> None:
        app = make_app()
        with app.app_context():
            for wrong in ((OTHER_TENANT, USER), (TENANT,), "me", (TENANT, "no id")):
                with pytest.raises((TypeError, ValueError), match="actor"):
                    create_jwt_token(TENANT, USER, actor=wrong)  # type: ignore[arg-type]


class TestAnotherApp:
    """What a role reaches and permits is what the current app says."""

    def apps(self) -> tuple[Flask, Flask]:
        one = make_app(AUTH_PERMISSIONS={"admin": ["a:b"]})
        two = make_app(AUTH_ROLES="admin, boss", AUTH_TENANT_ROLES="boss")
        return one, two

    def test_a_lent_identity_has_the_roles_of_the_current_app(self) -> None:
        one, two = self.apps()
        with one.app_context(), acting_as(TENANT, USER, "admin"):
            assert current_identity.reaches_tenant
            assert current_identity.permits("a:b")
            with two.app_context():
                assert not current_identity.reaches_tenant
                assert not current_identity.permits("a:b")
                with pytest.raises(AuthError):
                    verify_resource_access(TENANT, OTHER_USER)
            with make_app(AUTH_ROLES="user").app_context(), pytest.raises(ValueError, match="role"):
                current_identity.user_id  # noqa: B018
            assert current_identity.reaches_tenant

    def test_the_identity_of_a_request_does_too(self) -> None:
        one, two = self.apps()

        @one.get("/")
        @verify_role("admin")
        def view() -> list[bool]:
            before = current_identity.reaches_tenant
            with two.app_context():
                return [before, current_identity.reaches_tenant, current_identity.permits("a:b")]

        answer = one.test_client().get("/", headers=bearer(role="admin"))
        assert answer.get_json() == [True, False, False]

    def test_blocks_may_end_in_the_order_in_which_they_began(self) -> None:
        def block(user_id: str) -> Iterator[str]:
            with acting_as(TENANT, user_id) as identity:
                yield identity.user_id

        first, second = block(USER), block(OTHER_USER)
        next(first)
        next(second)
        assert current_identity.user_id == OTHER_USER
        first.close()  # type: ignore[attr-defined]
        assert current_identity.user_id == OTHER_USER
        second.close()  # type: ignore[attr-defined]
        assert not current_identity
