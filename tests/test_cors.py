"""Which pages may read the answers, and that no other is ever told it may."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, Response, session
from werkzeug.test import TestResponse

from apps import bearer, make_app
from flask_tenant_auth import rate_limit, verify_tenant_context

ORIGIN = "https://app.example.com"


def cors_app(**config: Any) -> Flask:
    app = make_app(**{"CORS_ORIGINS": "app.example.com, localhost:3000"} | config)
    app.get("/api/open")(lambda: "in")
    app.get("/api/closed", endpoint="closed")(verify_tenant_context(lambda: "in"))
    app.route("/api/edit", methods=["PUT", "PATCH"], endpoint="edit")(
        verify_tenant_context(lambda: "in")
    )
    app.get("/page", endpoint="page")(lambda: "in")
    return app


def ask(app: Flask, path: str, origin: str | None = ORIGIN, **headers: str) -> TestResponse:
    given = headers if origin is None else {"Origin": origin} | headers
    return app.test_client().get(path, headers=given)


def preflight(app: Flask, path: str, method: str, origin: str = ORIGIN) -> TestResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    return app.test_client().options(path, headers=headers)


def permissions(response: TestResponse) -> dict[str, str]:
    return {k: v for k, v in response.headers.items() if k.startswith("Access-Control-")}


class TestAnswers:
    def test_a_listed_origin(self) -> None:
        response = ask(cors_app(), "/api/open")
        assert permissions(response) == {
            "Access-Control-Allow-Origin": ORIGIN,
            "Access-Control-Expose-Headers": (
                "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After"
            ),
        }
        assert response.headers["Vary"] == "Origin"

    @pytest.mark.parametrize(
        "origin",
        [
            "null",
            "http://app.example.com",
            "https://app.example.com.evil.example",
            "https://evil.example/app.example.com",
            "https://evilapp.example.com",
            "https://app.example.com:8443",
            "https://app.example.com,https://evil.example",
            "https://app.example.com\t",
            "http://localhost",
            "http://localhost:30000",
            "*",
            "",
            "\xff",
        ],
    )
    def test_any_other_is_told_nothing(self, origin: str) -> None:
        app = cors_app()
        for response in (ask(app, "/api/open", origin), preflight(app, "/api/open", "GET", origin)):
            assert response.status_code == 200
            assert permissions(response) == {}
            assert response.headers["Vary"].startswith("Origin")

    def test_the_default_is_a_local_page(self) -> None:
        app = make_app()
        app.get("/api/open")(lambda: "in")
        for origin in ("http://localhost:3000", "https://localhost:3000"):
            assert permissions(ask(app, "/api/open", origin))
        assert not permissions(ask(app, "/api/open"))

    def test_without_an_origin_it_varies_all_the_same(self) -> None:
        response = ask(cors_app(), "/api/open", None)
        assert permissions(response) == {}
        assert response.headers["Vary"] == "Origin"

    def test_only_covered_paths(self) -> None:
        response = ask(cors_app(), "/page")
        assert permissions(response) == {}
        assert "Vary" not in response.headers

    def test_on_refusals_and_errors_too(self) -> None:
        app = cors_app(AUTH_FAILURE_LIMIT="1 per minute", PROPAGATE_EXCEPTIONS=False)
        app.get("/api/broken", endpoint="broken")(lambda: 1 / 0)
        app.get("/api/slow", endpoint="slow")(rate_limit("1 per minute")(lambda: "in"))
        statuses = []
        for path in ("closed", "closed", "slow", "slow", "broken", "missing"):
            response = ask(app, f"/api/{path}")
            statuses.append(response.status_code)
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert statuses == [401, 429, 200, 429, 500, 404]

    def test_every_origin(self) -> None:
        app = cors_app(CORS_ORIGINS="*")
        response = ask(app, "/api/open", "https://anything.example")
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in response.headers
        assert permissions(ask(app, "/api/open", "null")) == {}

    def test_credentials(self) -> None:
        app = cors_app(CORS_SUPPORTS_CREDENTIALS=True)
        for response in (ask(app, "/api/open"), preflight(app, "/api/edit", "PUT")):
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert not permissions(ask(app, "/api/open", "https://evil.example"))

    def test_nobody_at_all(self) -> None:
        response = ask(cors_app(CORS_ORIGINS=""), "/api/open")
        assert permissions(response) == {}
        assert "Vary" not in response.headers

    def test_vary_is_added_to_what_is_there(self) -> None:
        app = cors_app(SECRET_KEY="x" * 32)

        @app.get("/api/varies")
        def varies() -> Response:
            session["seen"] = True
            return Response("in", headers={"Vary": "Accept"})

        response = ask(app, "/api/varies")
        (vary,) = response.headers.getlist("Vary")
        assert sorted(vary.split(", ")) == ["Accept", "Cookie", "Origin"]

    def test_a_view_does_not_widen_it(self) -> None:
        app = cors_app()
        app.get("/api/own", endpoint="own")(
            lambda: ("in", {"Access-Control-Allow-Origin": "https://old.example"})
        )
        response = ask(app, "/api/own")
        assert response.headers.getlist("Access-Control-Allow-Origin") == [ORIGIN]


class TestPreflight:
    def test_of_a_method_that_exists(self) -> None:
        response = preflight(cors_app(), "/api/edit", "PUT")
        assert response.status_code == 200
        assert permissions(response) == {
            "Access-Control-Allow-Origin": ORIGIN,
            "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Content-Type, Authorization",
            "Access-Control-Max-Age": "600",
        }
        assert response.headers["Vary"] == (
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        )

    @pytest.mark.parametrize("method", ["DELETE", "PATCH", "put", "X", ""])
    def test_of_a_method_that_is_not_there_or_not_allowed(self, method: str) -> None:
        response = preflight(cors_app(), "/api/edit", method)
        assert "Access-Control-Allow-Methods" not in response.headers

    def test_of_no_route(self) -> None:
        assert preflight(cors_app(), "/api/missing", "GET").status_code == 404

    def test_outside_of_what_is_covered(self) -> None:
        assert permissions(preflight(cors_app(), "/page", "GET")) == {}

    def test_needs_no_credentials_and_counts_for_nothing(self) -> None:
        app = cors_app(RATELIMIT_DEFAULT="1 per minute", AUTH_FAILURE_LIMIT="1 per minute")
        for _ in range(3):
            response = preflight(app, "/api/closed", "GET")
            assert response.status_code == 200
            assert "X-RateLimit-Limit" not in response.headers
        assert ask(app, "/api/closed", **bearer()).status_code == 200

    def test_is_not_given_to_a_view_of_its_own(self) -> None:
        app = cors_app()
        called = []

        @app.route("/api/own", methods=["GET", "OPTIONS"])
        def own() -> str:
            called.append(1)
            return "in"

        assert preflight(app, "/api/own", "GET").headers["Access-Control-Allow-Origin"] == ORIGIN
        assert called == []

    def test_own_methods_and_headers(self) -> None:
        app = cors_app(CORS_METHODS="get, patch", CORS_ALLOW_HEADERS=["X-A"], CORS_MAX_AGE="0")
        response = preflight(app, "/api/edit", "PATCH")
        assert response.headers["Access-Control-Allow-Methods"] == "GET, PATCH"
        assert response.headers["Access-Control-Allow-Headers"] == "X-A"
        assert response.headers["Access-Control-Max-Age"] == "0"


class TestPaths:
    @pytest.mark.parametrize(
        ("resources", "path", "covered"),
        [
            ("/api/", "/api/x", True),
            ("/api/", "/api", False),
            ("/api/", "/apis", False),
            ("/api/", "/x/api/", False),
            ("/api", "/api", True),
            ("/api", "/api/x", True),
            ("/api", "/apis", False),
            ("/api/*", "/api/x", True),
            ("*", "/", True),
            ("/", "/anything", True),
            ("/a, /b", "/b/x", True),
            ("/api/", "/API/x", False),
            ("/api/", "/%61pi/x", True),
        ],
    )
    def test_by_plain_prefixes_of_the_routed_path(
        self, resources: str, path: str, covered: bool
    ) -> None:
        app = make_app(CORS_RESOURCES=resources, CORS_ORIGINS="app.example.com")
        app.get("/<path:rest>")(lambda rest: "in")
        app.get("/", endpoint="root")(lambda: "in")
        assert bool(permissions(ask(app, path))) is covered
