"""Decorators above the route decorator: an error, early or at the first request, never silence."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Blueprint, Flask

from apps import bare_app, bearer, make_app
from flask_tenant_auth import (
    TenantAuth,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.flask.registration import bare_views, known_apps

DECORATORS = [
    verify_tenant_context,
    verify_role("user"),
    rate_limit("9 per minute"),
    rate_limit_exempt,
    public_route,
]
ERROR = "does nothing above the route decorator"


def own(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapped


@pytest.fixture(params=["app", "app without TenantAuth", "blueprint"])
def target(request: pytest.FixtureRequest) -> Any:
    if request.param == "blueprint":
        return Blueprint("inner", __name__)
    return make_app() if request.param == "app" else bare_app()


class TestWhereTheDecoratorIsApplied:
    @pytest.mark.parametrize("decorator", DECORATORS)
    def test_a_decorator_above_the_route_is_an_error(self, target: Any, decorator: Any) -> None:
        with pytest.raises(RuntimeError, match=ERROR) as caught:

            @decorator
            @target.get("/")
            def secret() -> str:
                return "secret"

        assert "secret" in str(caught.value)
        assert target.name in str(caught.value)

    @pytest.mark.parametrize("decorator", DECORATORS)
    def test_a_decorator_below_the_route_is_no_error(self, target: Any, decorator: Any) -> None:
        @target.get("/")
        @decorator
        def secret() -> str:
            return "secret"

    def test_a_decorator_above_the_route_and_others_is_an_error(self, target: Any) -> None:
        with pytest.raises(RuntimeError, match=ERROR):

            @verify_tenant_context
            @own
            @target.get("/")
            def secret() -> str:
                return "secret"

    def test_a_route_between_two_decorators_is_an_error(self, target: Any) -> None:
        with pytest.raises(RuntimeError, match=ERROR):

            @verify_tenant_context
            @target.get("/")
            @rate_limit("9 per minute")
            def secret() -> str:
                return "secret"

    def test_a_route_of_an_attribute_is_found(self, target: Any) -> None:
        holder = SimpleNamespace(inner=SimpleNamespace(target=target))
        del target
        with pytest.raises(RuntimeError, match=ERROR):

            @verify_tenant_context
            @holder.inner.target.get("/")
            def secret() -> str:
                return "secret"

    def test_a_decorator_above_the_route_of_an_async_view_is_an_error(self, target: Any) -> None:
        with pytest.raises(RuntimeError, match=ERROR):

            @verify_tenant_context
            @target.get("/")
            async def secret() -> str:
                return "secret"

    def test_a_decorator_called_with_a_routed_view_is_an_error(self, target: Any) -> None:
        with pytest.raises(RuntimeError, match=ERROR):
            verify_tenant_context(target.get("/")(lambda: "secret"))


class TestWhatIsRight:
    def test_one_view_may_be_registered_with_and_without_a_decorator(self) -> None:
        app = make_app()

        def view() -> str:
            return "in"

        app.get("/open")(view)
        app.get("/closed", endpoint="closed")(verify_tenant_context(view))
        client = app.test_client()
        assert [client.get(path).status_code for path in ("/open", "/closed")] == [200, 401]

    def test_a_decorated_view_may_replace_the_registered_one(self) -> None:
        app = make_app()
        app.add_url_rule("/", "view", lambda: "in")
        app.view_functions["view"] = verify_tenant_context(app.view_functions["view"])
        assert app.test_client().get("/").status_code == 401
        assert app.test_client().get("/", headers=bearer()).status_code == 200

    def test_several_routes_of_one_view_are_no_error(self) -> None:
        app = make_app()

        @app.get("/a")
        @app.get("/b", endpoint="b")
        @own
        @verify_tenant_context
        @own
        def view() -> str:
            return "in"

        client = app.test_client()
        assert [client.get(path).status_code for path in ("/a", "/b")] == [401, 401]
        assert not bare_views(app)

    def test_one_definition_may_be_registered_with_and_without_a_decorator(
        self, target: Any
    ) -> None:
        """A decorator of the app registers a function twice; ours is not above the definition's."""

        def registrar(function: Callable[..., Any]) -> Callable[..., Any]:
            target.add_url_rule("/open", "open", public_route(function))
            target.add_url_rule("/closed", "closed", verify_tenant_context(function))
            return function

        @registrar
        def view() -> str:
            return "in"

        app = target
        if isinstance(target, Blueprint):
            app = make_app()
            app.register_blueprint(target)
        client = app.test_client()
        assert [client.get(path).status_code for path in ("/open", "/closed")] == [200, 401]
        assert not bare_views(app)

    def test_an_undeclared_view_is_an_error_at_the_first_request(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False)

        def registrar(function: Callable[..., Any]) -> Callable[..., Any]:
            app.add_url_rule("/open", "open", function)
            app.add_url_rule("/closed", "closed", verify_tenant_context(function))
            return function

        @registrar
        def view() -> str:
            return "in"

        client = app.test_client()
        assert [client.get(path).status_code for path in ("/open", "/closed")] == [500, 401]
        assert "with public_route or protected_elsewhere around it" in caplog.text


class TestWhatItCosts:
    @pytest.fixture
    def scans(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """What looked through all objects of the process."""
        found: list[int] = []
        original = gc.get_objects
        monkeypatch.setattr(gc, "get_objects", lambda: found.append(1) or original())
        return found

    def test_decorators_in_a_factory_do_not_search_all_objects(self, scans: list[int]) -> None:
        app = make_app()

        @app.get("/")
        @verify_tenant_context
        @own
        @verify_role("user")
        @own
        @public_route
        @rate_limit("9 per minute")
        @rate_limit("8 per minute", per="tenant")
        def view() -> str:
            return "in"

        app.get("/lambda", endpoint="lambda")(verify_tenant_context(rate_limit_exempt(lambda: "")))
        assert scans == []

    def test_only_the_first_decorator_searches_all_objects(self, scans: list[int]) -> None:
        kept = []

        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            kept.append(function)
            return function

        @rate_limit("9 per minute")
        @verify_tenant_context
        @keep
        def view() -> str:
            return "in"

        assert scans == [1]

    def test_a_decorator_that_finds_its_app_in_variables_does_not_search(
        self, target: Any, scans: list[int]
    ) -> None:
        class Holder:
            def __init__(self, target: Any) -> None:
                self.target = target

        found = Holder(target)
        del target
        with pytest.raises(RuntimeError, match=ERROR):

            @verify_tenant_context
            @own
            @found.target.get("/")
            def secret() -> str:
                return "secret"

        assert scans == []


def hidden(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a bare view where no check at its definition sees it."""
    from flask_tenant_auth.flask import registration

    monkeypatch.setattr(registration, "_scaffolds", lambda frame, *, everywhere: [])

    @verify_tenant_context
    @app.get("/secret")
    def secret() -> str:
        return "secret"

    monkeypatch.undo()
    app.get("/other")(verify_tenant_context(lambda: "other"))


class TestWhatWasOutOfReach:
    def test_init_app_raises_for_a_hidden_decorator_above_the_route(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = bare_app()
        hidden(app, monkeypatch)
        assert list(bare_views(app)) == ["secret"]
        with pytest.raises(RuntimeError, match="secret: a decorator"):
            TenantAuth(app)
        assert app not in known_apps

    @pytest.mark.parametrize("enabled", [True, False])
    def test_only_requests_of_the_hidden_view_are_a_500(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, enabled: bool
    ) -> None:
        app = make_app(PROPAGATE_EXCEPTIONS=False, RATELIMIT_ENABLED=enabled)
        hidden(app, monkeypatch)
        client = app.test_client()
        for _ in range(2):
            answer = client.get("/secret", headers=bearer())
            assert (answer.status_code, b"secret" in answer.data) == (500, False)
        assert "the view is not protected" in caplog.text
        assert client.get("/other", headers=bearer()).status_code == 200
