"""Which pages may read the answers: those of allowed origins, and no others."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, session
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from apps import bare_app, bearer, make_app
from flask_tenant_auth import rate_limit, verify_tenant_context
from flask_tenant_auth.config.settings import Settings
from flask_tenant_auth.errors import ConfigurationError
from middleware import cors_rules, sent_headers

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
    def test_a_listed_origin_may_read_the_response(self) -> None:
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
    def test_an_origin_that_is_not_listed_gets_no_cors_headers(self, origin: str) -> None:
        app = cors_app()
        for response in (ask(app, "/api/open", origin), preflight(app, "/api/open", "GET", origin)):
            assert response.status_code == 200
            assert permissions(response) == {}
            assert response.headers["Vary"].startswith("Origin")

    def test_the_default_origin_is_a_local_page(self) -> None:
        app = make_app()
        app.get("/api/open")(lambda: "in")
        for origin in ("http://localhost:3000", "https://localhost:3000"):
            assert permissions(ask(app, "/api/open", origin))
        assert not permissions(ask(app, "/api/open"))

    def test_a_response_varies_by_origin_without_an_origin_too(self) -> None:
        response = ask(cors_app(), "/api/open", None)
        assert permissions(response) == {}
        assert response.headers["Vary"] == "Origin"

    def test_paths_outside_of_the_resources_get_no_cors_headers(self) -> None:
        response = ask(cors_app(), "/page")
        assert permissions(response) == {}
        assert "Vary" not in response.headers

    def test_denials_and_errors_have_cors_headers_too(self) -> None:
        app = cors_app(AUTH_FAILURE_LIMIT="1 per minute", PROPAGATE_EXCEPTIONS=False)
        app.get("/api/broken", endpoint="broken")(lambda: 1 / 0)
        app.get("/api/slow", endpoint="slow")(rate_limit("1 per minute")(lambda: "in"))
        statuses = []
        for path in ("closed", "closed", "slow", "slow", "broken", "missing"):
            response = ask(app, f"/api/{path}")
            statuses.append(response.status_code)
            assert response.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert statuses == [401, 429, 200, 429, 500, 404]

    @pytest.mark.parametrize(
        "origin", ["https://anything.example", "null", None, "", "*", "file://", "\xff"]
    )
    @pytest.mark.parametrize("ietf", [False, True])
    def test_any_origin_puts_an_asterisk_on_every_response(
        self, origin: str | None, ietf: bool
    ) -> None:
        """A cache may keep one answer for all origins."""
        app = cors_app(CORS_ORIGINS="*", RATELIMIT_IETF_HEADERS_ENABLED=ietf)
        for path in ("open", "closed", "missing"):
            response = ask(app, f"/api/{path}", origin)
            assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
            assert "X-RateLimit-Limit" in response.headers["Access-Control-Expose-Headers"]
            assert "Access-Control-Allow-Credentials" not in response.headers
            assert "Vary" not in response.headers
        assert permissions(ask(app, "/page", origin)) == {}

    def test_any_origin_includes_the_origins_listed_with_it(self) -> None:
        app = cors_app(CORS_ORIGINS="*, https://*.example.com, app.example.com")
        for origin in (ORIGIN, "https://a.example.com", "https://b.example", None):
            assert ask(app, "/api/open", origin).headers["Access-Control-Allow-Origin"] == "*"

    def test_any_origin_puts_an_asterisk_on_a_preflight_response(self) -> None:
        app = cors_app(CORS_ORIGINS="*")
        for origin in ("https://anything.example", "null"):
            response = preflight(app, "/api/edit", "PUT", origin)
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "PUT" in response.headers["Access-Control-Allow-Methods"]
            assert "Access-Control-Allow-Credentials" not in response.headers
        assert "Access-Control-Allow-Methods" not in preflight(app, "/api/edit", "GET").headers

    def test_credentials_are_permitted_to_listed_origins_only(self) -> None:
        app = cors_app(CORS_SUPPORTS_CREDENTIALS=True)
        for response in (ask(app, "/api/open"), preflight(app, "/api/edit", "PUT")):
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
        assert not permissions(ask(app, "/api/open", "https://evil.example"))

    def test_no_origin_is_permitted_where_none_is_listed(self) -> None:
        response = ask(cors_app(CORS_ORIGINS=""), "/api/open")
        assert permissions(response) == {}
        assert "Vary" not in response.headers

    def test_origin_is_added_to_a_vary_header_that_is_there(self) -> None:
        app = cors_app(SECRET_KEY="x" * 32)

        @app.get("/api/varies")
        def varies() -> Response:
            session["seen"] = True
            return Response("in", headers={"Vary": "Accept"})

        response = ask(app, "/api/varies")
        (vary,) = response.headers.getlist("Vary")
        assert sorted(vary.split(", ")) == ["Accept", "Cookie", "Origin"]

    def test_a_view_cannot_permit_more_than_the_settings(self) -> None:
        app = cors_app()
        app.get("/api/own", endpoint="own")(
            lambda: ("in", {"Access-Control-Allow-Origin": "https://old.example"})
        )
        response = ask(app, "/api/own")
        assert response.headers.getlist("Access-Control-Allow-Origin") == [ORIGIN]


class TestPreflight:
    def test_a_preflight_of_an_allowed_method_is_answered(self) -> None:
        response = preflight(cors_app(), "/api/edit", "PUT")
        assert response.status_code == 200
        assert permissions(response) == {
            "Access-Control-Allow-Origin": ORIGIN,
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            "Access-Control-Allow-Headers": "Content-Type, Authorization",
            "Access-Control-Max-Age": "600",
        }
        assert response.headers["Vary"] == (
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
        )

    @pytest.mark.parametrize("method", ["DELETE", "HEAD", "put", "X", "", "*"])
    @pytest.mark.parametrize("methods", [None, "*"])
    def test_a_preflight_of_a_method_without_a_route_is_not_allowed(
        self, method: str, methods: str | None
    ) -> None:
        response = preflight(cors_app(CORS_METHODS=methods), "/api/edit", method)
        assert "Access-Control-Allow-Methods" not in response.headers

    def test_a_preflight_of_a_method_that_is_not_listed_is_not_allowed(self) -> None:
        response = preflight(cors_app(CORS_METHODS="PUT"), "/api/edit", "PATCH")
        assert "Access-Control-Allow-Methods" not in response.headers

    def test_patch_and_head_are_among_the_methods_by_default(self) -> None:
        for path, method in (("/api/edit", "PATCH"), ("/api/open", "HEAD")):
            allowed = preflight(cors_app(), path, method).headers["Access-Control-Allow-Methods"]
            assert method in allowed.split(", ")

    @pytest.mark.parametrize("credentials", [False, True])
    def test_all_methods_are_listed_as_the_methods_of_the_route(self, credentials: bool) -> None:
        """With credentials, browsers take an asterisk for a method of that name."""
        app = cors_app(CORS_METHODS="*", CORS_SUPPORTS_CREDENTIALS=credentials)
        headers = preflight(app, "/api/edit", "PATCH").headers
        assert headers["Access-Control-Allow-Methods"] == "OPTIONS, PATCH, PUT"
        headers = preflight(app, "/api/open", "HEAD").headers
        assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"

    @pytest.mark.parametrize(
        ("requested", "allowed"),
        [
            ("authorization,content-type", "authorization, content-type"),
            ("X-A , X-B", "X-A, X-B"),
            ("authorization", "authorization"),
            ("", None),
            ("*", None),
            ("x-a, *", None),
            ("x-a,,x-b", None),
            ("x a", None),
            ("x-a: 1", None),
            ("x" * 5000, None),
        ],
    )
    def test_all_headers_are_listed_as_the_requested_ones(
        self, requested: str, allowed: str | None
    ) -> None:
        """An asterisk never stands for Authorization, and for nothing with credentials."""
        for credentials in (False, True):
            app = cors_app(CORS_ALLOW_HEADERS="*", CORS_SUPPORTS_CREDENTIALS=credentials)
            response = app.test_client().options(
                "/api/edit",
                headers={
                    "Origin": ORIGIN,
                    "Access-Control-Request-Method": "PUT",
                    "Access-Control-Request-Headers": requested,
                },
            )
            assert response.headers.get("Access-Control-Allow-Headers") == allowed
            assert "PUT" in response.headers["Access-Control-Allow-Methods"]
        assert "Access-Control-Request-Headers" in response.headers["Vary"]

    def test_listed_headers_are_allowed_whatever_is_requested(self) -> None:
        response = (
            cors_app()
            .test_client()
            .options(
                "/api/edit",
                headers={
                    "Origin": ORIGIN,
                    "Access-Control-Request-Method": "PUT",
                    "Access-Control-Request-Headers": "x-own",
                },
            )
        )
        assert response.headers["Access-Control-Allow-Headers"] == "Content-Type, Authorization"

    def test_a_preflight_without_a_route_is_a_404(self) -> None:
        assert preflight(cors_app(), "/api/missing", "GET").status_code == 404

    def test_a_preflight_outside_of_the_resources_has_no_cors_headers(self) -> None:
        assert permissions(preflight(cors_app(), "/page", "GET")) == {}

    def test_a_preflight_needs_no_credentials_and_is_not_counted(self) -> None:
        app = cors_app(RATELIMIT_DEFAULT="1 per minute", AUTH_FAILURE_LIMIT="1 per minute")
        for _ in range(3):
            response = preflight(app, "/api/closed", "GET")
            assert response.status_code == 200
            assert "X-RateLimit-Limit" not in response.headers
        assert ask(app, "/api/closed", **bearer()).status_code == 200

    def test_a_preflight_does_not_call_the_view(self) -> None:
        app = cors_app()
        called = []

        @app.route("/api/own", methods=["GET", "OPTIONS"])
        def own() -> str:
            called.append(1)
            return "in"

        assert preflight(app, "/api/own", "GET").headers["Access-Control-Allow-Origin"] == ORIGIN
        assert called == []

    def test_a_preflight_lists_the_configured_methods_and_headers(self) -> None:
        app = cors_app(CORS_METHODS="get, patch", CORS_ALLOW_HEADERS=["X-A"], CORS_MAX_AGE="0")
        response = preflight(app, "/api/edit", "PATCH")
        assert response.headers["Access-Control-Allow-Methods"] == "GET, PATCH"
        assert response.headers["Access-Control-Allow-Headers"] == "X-A"
        assert response.headers["Access-Control-Max-Age"] == "0"


PATTERN = "https://*.example.com, http://*.dev.example:8080"


class TestSubdomains:
    @pytest.mark.parametrize(
        "origin",
        [
            "https://a.example.com",
            "https://a.b.c.example.com",
            "https://xn--bcher-kva.example.com",
            "https://a_b-1.example.com",
            "https://example.com.example.com",
            "http://a.dev.example:8080",
            "https://" + "a" * 63 + ".example.com",
        ],
    )
    def test_one_or_more_labels_below_the_host_are_permitted(self, origin: str) -> None:
        app = cors_app(CORS_ORIGINS=PATTERN)
        for response in (ask(app, "/api/open", origin), preflight(app, "/api/edit", "PUT", origin)):
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert response.headers["Vary"].startswith("Origin")

    @pytest.mark.parametrize(
        "origin",
        [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://..example.com",
            "https://evil-example.com",
            "https://aexample.com",
            "https://a.example.com.evil.example",
            "https://a.example.com.",
            "https://evil.example/.example.com",
            "https://evil.example#.example.com",
            "https://evil.example?.example.com",
            "https://evil.example\\.example.com",
            "https://user@a.example.com",
            "https://evil.example:80@a.example.com",
            "https://a.example.com:443",
            "https://a.example.com:8443",
            "https://a:80.example.com",
            "https://a.example.com:",
            "https://a.example.com/",
            "http://a.example.com",
            "https:a.example.com",
            "https:///a.example.com",
            "HTTPS://a.example.com",
            "https://A.example.com",
            "https://a.EXAMPLE.com",
            "https://a.example.com ",
            " https://a.example.com",
            "https://a .example.com",
            "https://a%2e.example.com",
            "https://\xe4.example.com",
            "https://*.example.com",
            "https://[::1].example.com",
            "https://a.example.com,https://b.example.com",
            "https://" + "a" * 64 + ".example.com",
            "https://" + "a." * 125 + "example.com",
            "http://a.dev.example",
            "https://a.dev.example:8080",
            "http://a.dev.example:80800",
            "null",
            "*",
            "",
        ],
    )
    def test_any_other_host_gets_no_cors_headers(self, origin: str) -> None:
        app = cors_app(CORS_ORIGINS=PATTERN)
        for response in (ask(app, "/api/open", origin), preflight(app, "/api/edit", "PUT", origin)):
            assert permissions(response) == {}
            assert response.headers["Vary"].startswith("Origin")

    def test_the_host_itself_needs_an_entry_of_its_own(self) -> None:
        app = cors_app(CORS_ORIGINS="https://example.com, https://*.example.com")
        for origin in ("https://example.com", "https://a.example.com"):
            assert ask(app, "/api/open", origin).headers["Access-Control-Allow-Origin"] == origin

    def test_the_response_of_one_origin_does_not_permit_another(self) -> None:
        app = cors_app(CORS_ORIGINS=PATTERN, CORS_SUPPORTS_CREDENTIALS=True)
        for origin in ("https://a.example.com", "https://b.example.com"):
            found = permissions(ask(app, "/api/open", origin))
            assert found["Access-Control-Allow-Origin"] == origin
            assert found["Access-Control-Allow-Credentials"] == "true"

    @settings(max_examples=2000, deadline=None)
    @given(st.data())
    def test_an_origin_is_permitted_exactly_by_the_grammar_of_the_pattern(
        self, data: st.DataObject
    ) -> None:
        """Origins that are built like the right ones, with a fault in them or without."""
        host = data.draw(st.sampled_from(["example.com", "a.b.example", "localhost", "x-y.z"]))
        scheme = data.draw(st.sampled_from(["https", "http"]))
        port = data.draw(st.sampled_from(["", ":8443", ":1"]))
        pieces = [
            "a",
            "b-c",
            "1",
            "_",
            "xn--a",
            "A",
            "",
            ".",
            "..",
            "-",
            " ",
            "@",
            ":",
            "/",
            "\xe9",
        ]
        below = data.draw(
            st.one_of(
                st.lists(st.sampled_from(["a", "b-c", "1", "xn--a", "a" * 63]), max_size=4).map(
                    lambda labels: "".join(f"{label}." for label in labels)
                ),
                st.lists(st.sampled_from([*pieces, host, "example"]), max_size=5).map("".join),
            )
        )
        origin = data.draw(
            st.sampled_from(
                [
                    f"{scheme}://{below}{host}{port}",
                    f"{scheme}://{below}{host}",
                    f"{scheme}://{below}.{host}{port}",
                    f"{scheme}://{below}{host}.{port}",
                    f"https://{below}{host}:8443",
                    f"{below}{host}{port}",
                    f"{scheme}://{host}{port}{below}",
                ]
            )
        )
        [pattern] = Settings.from_app(
            bare_app(CORS_ORIGINS=[f"{scheme}://*.{host}{port}"])
        ).cors_origins
        label = "[a-z0-9_-]{1,63}"
        grammar = rf"{scheme}://({label}[.])+{re.escape(host)}{port}"
        expected = re.fullmatch(grammar, origin) is not None and len(urlsplit(origin).netloc) < 250
        rules = cors_rules(resources=("/",), origins=(pattern,))
        assert rules.allows(origin) is expected


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
    def test_a_resource_is_a_prefix_of_the_routed_path(
        self, resources: str, path: str, covered: bool
    ) -> None:
        app = make_app(CORS_RESOURCES=resources, CORS_ORIGINS="app.example.com")
        app.get("/<path:rest>")(lambda rest: "in")
        app.get("/", endpoint="root")(lambda: "in")
        assert bool(permissions(ask(app, path))) is covered

    @pytest.mark.parametrize("resource", ["//", "///", "//api", "/api/, //"])
    def test_a_resource_with_two_slashes_at_its_beginning_is_an_error(self, resource: str) -> None:
        with pytest.raises(ConfigurationError, match="CORS_RESOURCES holds '//"):
            make_app(CORS_RESOURCES=resource)

    def test_a_request_without_a_method_is_no_preflight(self) -> None:
        asked = {"HTTP_ORIGIN": ORIGIN, "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET"}
        rules = cors_rules(resources=("/api/",), origins=(ORIGIN,))
        assert sent_headers({"PATH_INFO": "/page", **asked}, [], rules) == []
        assert sent_headers({"PATH_INFO": "/api/open", **asked}, [], rules) == [
            ("Vary", "Origin"),
            ("Access-Control-Allow-Origin", ORIGIN),
        ]


@pytest.mark.parametrize("value", [None, 5, "Accept\u20ac"])
def test_a_vary_that_cannot_be_joined_is_an_error(value: object) -> None:
    rules = cors_rules(resources=("/",), origins=(ORIGIN,))
    environ = {"PATH_INFO": "/", "REQUEST_METHOD": "GET", "HTTP_ORIGIN": ORIGIN}
    with pytest.raises(TypeError, match="the values of Vary and Allow must be str"):
        sent_headers(environ, [("Vary", value)], rules)  # type: ignore[list-item]
    assert ("Vary", "Accept, Origin") in sent_headers(environ, [("Vary", "Accept")], rules)
