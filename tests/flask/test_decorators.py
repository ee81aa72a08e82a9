"""The decorators on every kind of view, in every order, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, copy_current_request_context, request
from flask.views import MethodView, View

from apps import (
    OTHER_TENANT,
    TENANT,
    USER,
    bare_app,
    bearer,
    error_of,
    identity_headers,
    make_app,
    production_app,
    token,
)
from flask_tenant_auth import (
    acting_as,
    get_tenant_context,
    get_user_role,
    protected_elsewhere,
    public_route,
    rate_limit,
    rate_limit_exempt,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.signals import rate_limit_exceeded, request_authenticated, request_denied

REQUIRED = (401, "Bearer token or X-Tenant-ID and X-User-ID headers required")


@pytest.fixture(params=["with TenantAuth", "without"])
def app(request: pytest.FixtureRequest) -> Flask:
    return make_app() if request.param == "with TenantAuth" else bare_app()


def outcomes(app: Flask, path: str, method: str = "GET") -> tuple[int, int, int, int]:
    """The status for nobody, a bad token, a user and an admin."""
    client = app.test_client()
    headers = ({}, {"Authorization": "Bearer a.b.c"}, bearer(), bearer(role="admin"))
    statuses = [client.open(path, method=method, headers=each).status_code for each in headers]
    return statuses[0], statuses[1], statuses[2], statuses[3]


class TestKindsOfViews:
    def test_a_plain_view_is_protected(self, app: Flask) -> None:
        app.get("/")(verify_tenant_context(lambda: "in"))
        assert outcomes(app, "/") == (401, 401, 200, 200)

    def test_an_async_view_is_protected(self, app: Flask) -> None:
        @app.get("/")
        @verify_tenant_context
        @verify_role("admin")
        async def view() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"who": get_tenant_context(), "role": get_user_role()}

        assert outcomes(app, "/") == (401, 401, 403, 200)
        answer = app.test_client().get("/", headers=bearer(role="admin")).get_json()
        assert answer == {"who": [TENANT, USER], "role": "admin"}

    def test_async_tasks_see_the_identity(self, app: Flask) -> None:
        @app.get("/")
        @verify_tenant_context
        async def view() -> list[str]:
            async def user(delay: float) -> str:
                await asyncio.sleep(delay)
                return get_tenant_context()[1]

            return list(await asyncio.gather(user(0.002), user(0)))

        assert app.test_client().get("/", headers=bearer()).get_json() == [USER, USER]

    def test_a_view_of_a_blueprint_is_protected(self, app: Flask) -> None:
        blueprint = Blueprint("inner", __name__, url_prefix="/inner")
        blueprint.get("/")(verify_tenant_context(lambda: "in"))
        app.register_blueprint(blueprint)
        assert outcomes(app, "/inner/") == (401, 401, 200, 200)

    def test_a_hook_of_a_blueprint_protects_all_its_views(self, app: Flask) -> None:
        blueprint = Blueprint("inner", __name__)
        blueprint.before_request(verify_role("admin")(lambda: None))
        blueprint.get("/")(lambda: get_user_role())
        app.register_blueprint(blueprint)
        assert outcomes(app, "/") == (401, 401, 403, 200)

    def test_decorators_of_a_class_protect_it(self, app: Flask) -> None:
        class Admins(View):
            # The first is applied first and so is the innermost: the role is asked first.
            decorators: ClassVar[list[Callable[..., Any]]] = [
                verify_tenant_context,
                verify_role("admin"),
            ]

            def dispatch_request(self) -> str:
                return get_user_role()

        app.add_url_rule("/", view_func=Admins.as_view("admins"))
        assert outcomes(app, "/") == (401, 401, 403, 200)

    def test_methods_of_a_class_are_protected_one_by_one(self, app: Flask) -> None:
        class Items(MethodView):
            def get(self) -> str:
                return "public"

            @verify_tenant_context
            def post(self) -> str:
                return get_user_role()

            @verify_role("admin")
            async def delete(self) -> str:
                return get_user_role()

        app.add_url_rule("/", view_func=Items.as_view("items"))
        assert outcomes(app, "/", "GET") == (200, 200, 200, 200)
        assert outcomes(app, "/", "POST") == (401, 401, 200, 200)
        assert outcomes(app, "/", "DELETE") == (401, 401, 403, 200)

    @pytest.mark.parametrize(
        "decorator",
        [verify_tenant_context, verify_role("user"), rate_limit("9 per minute"), rate_limit_exempt],
    )
    def test_the_view_keeps_its_name(self, decorator: Any) -> None:
        def view() -> None:
            """Doc."""

        decorated = decorator(view)
        assert (decorated.__name__, decorated.__doc__) == ("view", "Doc.")
        assert decorated.__module__ == __name__

    @pytest.mark.parametrize(
        "decorator",
        [
            verify_tenant_context,
            verify_role("user"),
            rate_limit("9 per minute"),
            rate_limit_exempt,
            public_route,
            protected_elsewhere("SSO"),
        ],
    )
    def test_a_class_or_a_value_cannot_be_decorated(self, decorator: Any) -> None:
        for wrong in (View, None, 7):
            with pytest.raises(TypeError, match="takes a view function"):
                decorator(wrong)


class TestFailsClosed:
    def test_a_denied_request_does_not_call_the_view(self, app: Flask) -> None:
        called = []
        app.get("/")(verify_role("admin")(lambda: called.append(1) or "in"))
        outcomes(app, "/")
        assert called == [1]

    def test_options_without_an_identity_does_not_call_the_view(self, app: Flask) -> None:
        @app.route("/", methods=["GET", "OPTIONS"])
        @verify_tenant_context
        def view() -> str:
            return get_tenant_context()[1]

        client = app.test_client()
        response = client.options("/")
        assert (response.status_code, response.data) == (200, b"")
        assert response.allow == {"GET", "HEAD", "OPTIONS"}
        assert client.options("/", headers=bearer()).text == USER

    def test_a_view_called_outside_of_a_request_needs_acting_as(self) -> None:
        view = verify_tenant_context(lambda: "in")
        with pytest.raises(RuntimeError, match="outside a request"):
            view()
        with acting_as(TENANT, USER):
            assert view() == "in"

    def test_acting_as_around_a_request_does_not_help_it(self, app: Flask) -> None:
        app.get("/")(verify_tenant_context(lambda: "in"))
        with acting_as(TENANT, USER):
            assert error_of(app.test_client().get("/")) == REQUIRED

    def test_acting_as_inside_a_request_gives_the_identity(self, app: Flask) -> None:
        view = verify_role("admin")(lambda: get_tenant_context())
        with app.test_request_context(headers=bearer()):
            with acting_as(OTHER_TENANT, USER, "admin"):
                assert view() == (OTHER_TENANT, USER)
            assert view()[1] == 403

    def test_a_thread_has_the_identity_of_its_request_or_none(self, app: Flask) -> None:
        from concurrent.futures import ThreadPoolExecutor

        @app.get("/")
        @verify_tenant_context
        def view() -> list[Any]:
            def who() -> str | None:
                from flask_tenant_auth.flask.context import identity_in_force

                identity = identity_in_force()
                return identity and identity.user_id

            with ThreadPoolExecutor(1) as pool:
                copied = pool.submit(copy_current_request_context(who)).result()
                return [copied, pool.submit(who).result()]

        assert app.test_client().get("/", headers=bearer()).get_json() == [USER, None]


class TestCredentials:
    @pytest.fixture(autouse=True)
    def _view(self, app: Flask) -> None:
        app.get("/")(verify_tenant_context(lambda: list(get_tenant_context())))

    @pytest.mark.parametrize(
        "authorization",
        [
            "Bearer",
            "Bearer ",
            "Bearer a.b.c",
            f"Bearer {token()}, Bearer {token()}",
            f"Bearer {token()} x",
            f"Basic eA==,Bearer {token()}",
            f"Basic eA==, bearer {token()}",
        ],
    )
    def test_an_invalid_authorization_is_401_even_with_headers(
        self, app: Flask, authorization: str
    ) -> None:
        headers = identity_headers() | {"Authorization": authorization}
        assert error_of(app.test_client().get("/", headers=headers)) == (401, "Invalid token")

    def test_two_authorization_headers_are_401(self, app: Flask) -> None:
        headers = [("Authorization", f"Bearer {token()}")] * 2
        assert error_of(app.test_client().get("/", headers=headers))[0] == 401

    def test_another_scheme_leaves_the_identity_headers_valid(self, app: Flask) -> None:
        headers = identity_headers() | {"Authorization": 'Digest username="x", realm="y"'}
        assert app.test_client().get("/", headers=headers).status_code == 200

    @pytest.mark.parametrize("name", ["X-Tenant-ID", "X-User-ID", "X-User-Role"])
    def test_doubled_identity_headers_are_400(self, app: Flask, name: str) -> None:
        headers = [*identity_headers(**{"X-User-Role": "user"}).items()]
        headers.append((name, dict(headers)[name]))
        assert error_of(app.test_client().get("/", headers=headers))[0] == 400

    def test_doubled_parameters_are_400(self, app: Flask) -> None:
        query = f"?tenant_id={TENANT}&tenant_id={OTHER_TENANT}&user_id={USER}"
        status = error_of(app.test_client().get(f"/{query}"))
        assert status == (400, "Tenant ID must be valid UUID")

    @pytest.mark.parametrize("missing", ["X-Tenant-ID", "X-User-ID"])
    def test_an_incomplete_identity_is_no_identity(self, app: Flask, missing: str) -> None:
        headers = identity_headers()
        del headers[missing]
        assert error_of(app.test_client().get("/", headers=headers)) == REQUIRED

    @pytest.mark.parametrize(
        ("headers", "challenge"),
        [
            ({}, 'Bearer realm="api"'),
            (
                {"Authorization": "Bearer a.b.c"},
                'Bearer realm="api", error="invalid_token", error_description="Invalid token"',
            ),
            (
                bearer(exp=1),
                'Bearer realm="api", error="invalid_token", error_description="Token expired"',
            ),
        ],
    )
    def test_a_401_has_one_challenge(
        self, app: Flask, headers: dict[str, str], challenge: str
    ) -> None:
        response = app.test_client().get("/", headers=headers)
        assert response.headers.getlist("WWW-Authenticate") == [challenge]


class TestGateways:
    """Identity headers in production."""

    @staticmethod
    def status(app: Flask, peer: str, **environ: Any) -> int:
        app.view_functions.get("who") or app.get("/", endpoint="who")(
            verify_tenant_context(lambda: "in")
        )
        base = {"REMOTE_ADDR": peer, **environ}
        headers = identity_headers()
        return app.test_client().get("/", headers=headers, environ_overrides=base).status_code

    @pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1", "::1", "", "unix:", "x"])
    def test_identity_headers_are_not_trusted_by_default(self, peer: str) -> None:
        assert self.status(production_app(), peer) == 401

    def test_query_parameters_are_never_trusted_in_production(self) -> None:
        app = production_app(AUTH_TRUSTED_GATEWAYS="0.0.0.0/0")
        app.get("/")(verify_tenant_context(lambda: "in"))
        query = {"tenant_id": TENANT, "user_id": USER}
        assert app.test_client().get("/", query_string=query).status_code == 401

    @pytest.mark.parametrize(
        ("peer", "status"),
        [
            ("10.1.2.3", 200),
            ("::ffff:10.1.2.3", 200),
            ("fd00::7", 200),
            ("10.1.2.3:50312", 200),
            ("[fd00::7%eth0]:50312", 200),
            ("11.1.2.3", 401),
            ("11.1.2.3:50312", 401),
            ("", 401),
            ("unix:", 401),
            ("::1", 401),
            ("10.1.2.3, 11.1.1.1", 401),
        ],
    )
    def test_identity_headers_of_listed_gateways_are_trusted(self, peer: str, status: int) -> None:
        app = production_app(AUTH_TRUSTED_GATEWAYS=["10.0.0.0/8", "fd00::/8"])
        assert self.status(app, peer) == status

    @pytest.mark.parametrize(
        ("peer", "forwarded", "status"),
        [("203.0.113.9", "10.1.2.3", 401), ("10.1.2.3", "203.0.113.9", 200)],
    )
    def test_the_address_of_the_peer_decides_and_not_a_forwarded_one(
        self, peer: str, forwarded: str, status: int
    ) -> None:
        from werkzeug.middleware.proxy_fix import ProxyFix

        app = production_app(AUTH_TRUSTED_GATEWAYS="10.0.0.0/8")
        app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]
        assert self.status(app, peer, HTTP_X_FORWARDED_FOR=forwarded) == status

    def test_an_invalid_header_of_a_gateway_is_400(self) -> None:
        app = production_app(AUTH_TRUSTED_GATEWAYS="127.0.0.1")
        app.get("/")(verify_tenant_context(lambda: "in"))
        response = app.test_client().get("/", headers=identity_headers("x"))
        assert error_of(response) == (400, "Tenant ID must be valid UUID")


class TestSignals:
    def test_each_outcome_sends_its_signal(self) -> None:
        app = make_app()
        app.get("/")(rate_limit("2 per minute")(verify_role("admin")(lambda: "in")))
        seen: list[tuple[Any, ...]] = []

        def on_authenticated(sender: Flask, identity: Any) -> None:
            seen.append(("authenticated", sender, identity.user_id))

        def on_denied(sender: Flask, status: int, message: str, reason: str) -> None:
            seen.append(("denied", sender, status, reason))

        def on_exceeded(sender: Flask, decision: Any, identity: Any, **_more: Any) -> None:
            seen.append(("exceeded", sender, str(decision.rate), identity.user_id))

        client = app.test_client()
        with (
            request_authenticated.connected_to(on_authenticated),
            request_denied.connected_to(on_denied),
            rate_limit_exceeded.connected_to(on_exceeded),
        ):
            client.get("/")
            client.get("/", headers=bearer())
            client.get("/", headers=bearer())
            client.get("/", headers=bearer())
        assert seen == [
            ("denied", app, 401, "no_credentials"),
            *[
                ("authenticated", app, USER),
                ("denied", app, 403, "role_insufficient"),
            ]
            * 2,
            ("exceeded", app, "2 per 1 minute", USER),
        ]


def test_a_view_s_401_keeps_its_own_challenge() -> None:
    app = make_app()

    @app.get("/")
    def basic() -> Any:
        assert request.path == "/"
        return "no", 401, {"WWW-Authenticate": 'Basic realm="x"'}

    response = app.test_client().get("/")
    assert response.headers.getlist("WWW-Authenticate") == ['Basic realm="x"']
