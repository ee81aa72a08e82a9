"""Exempt requests: those of exempt networks, and those that a filter names."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from flask import Flask, g, request

from apps import bare_app, bearer, make_app
from flask_tenant_auth import (
    ConfigurationError,
    TenantAuth,
    login_limit,
    rate_limit,
    verify_tenant_context,
)

INSIDE, OUTSIDE = "10.1.2.3", "192.0.2.1"


def counted_app(*, hooked: bool = True, **config: Any) -> tuple[Flask, TenantAuth]:
    app, auth = bare_app(**({"RATELIMIT_DEFAULT": "1 per minute"} | config)), TenantAuth()
    if hooked:
        auth.init_app(app)
    app.get("/")(lambda: "in")
    app.get("/own", endpoint="own")(rate_limit("1 per minute")(lambda: "in"))
    return app, auth


def statuses(app: Flask, path: str, address: str = OUTSIDE, times: int = 3) -> list[int]:
    client = app.test_client()
    return [
        client.get(path, environ_base={"REMOTE_ADDR": address}).status_code for _ in range(times)
    ]


class TestNetworks:
    @pytest.mark.parametrize("path", ["/", "/own", "/missing"])
    def test_requests_from_an_exempt_network_are_not_counted(self, path: str) -> None:
        app, _ = counted_app(RATELIMIT_EXEMPT_NETWORKS="10.0.0.0/8, fd00::/8")
        ok = 404 if path == "/missing" else 200
        for address in (INSIDE, "fd00::7", "::ffff:10.9.9.9", "10.0.0.1:4711"):
            assert statuses(app, path, address) == [ok] * 3, address
        for address in (OUTSIDE, "11.0.0.1", "fe80::1", ""):
            assert statuses(app, path, address) == [ok, 429, 429], address

    def test_without_tenantauth_the_decorator_exempts_them_too(self) -> None:
        app, _ = counted_app(hooked=False, RATELIMIT_EXEMPT_NETWORKS="10.0.0.0/8")
        assert statuses(app, "/own", INSIDE) == [200] * 3
        assert statuses(app, "/own", OUTSIDE) == [200, 429, 429]

    def test_the_answer_to_an_exempt_request_has_no_headers_of_limits(self) -> None:
        app, _ = counted_app(RATELIMIT_EXEMPT_NETWORKS="10.0.0.0/8")
        client = app.test_client()
        for address, has_headers in ((INSIDE, False), (OUTSIDE, True)):
            response = client.get("/", environ_base={"REMOTE_ADDR": address})
            assert ("X-RateLimit-Limit" in response.headers) is has_headers

    def test_failed_authentications_and_log_ins_still_count(self) -> None:
        app = make_app(RATELIMIT_EXEMPT_NETWORKS="10.0.0.0/8", AUTH_FAILURE_LIMIT="2 per minute")
        app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
        app.get("/login", endpoint="login")(
            login_limit("1 per hour", key="email", methods=["GET"])(lambda: ("", 401))
        )
        assert statuses(app, "/me", INSIDE) == [401, 401, 429]
        app = make_app(RATELIMIT_EXEMPT_NETWORKS="10.0.0.0/8", AUTH_FAILURE_LIMIT="")
        app.get("/login", endpoint="login")(
            login_limit("1 per hour", key="email", methods=["GET"])(lambda: ("", 401))
        )
        assert statuses(app, "/login?email=ann", INSIDE) == [401, 429, 429]

    @pytest.mark.parametrize("wrong", ["10.0.0.1/8", "intranet"])
    def test_what_is_no_network_stops_the_app(self, wrong: str) -> None:
        with pytest.raises(ConfigurationError, match="RATELIMIT_EXEMPT_NETWORKS"):
            make_app(RATELIMIT_EXEMPT_NETWORKS=wrong)


class TestFilters:
    @pytest.mark.parametrize("path", ["/", "/own", "/missing"])
    def test_a_true_value_of_any_filter_exempts(self, path: str) -> None:
        app, auth = counted_app()
        auth.request_filter(lambda: request.headers.get("X-Probe") == "first")
        auth.request_filter(lambda: request.headers.get("X-Probe") == "second")
        client = app.test_client()
        for probe in ("first", "second"):
            found = [client.get(path, headers={"X-Probe": probe}).status_code for _ in range(3)]
            assert 429 not in found
        assert statuses(app, path)[1:] == [429, 429]

    def test_it_is_a_decorator_that_returns_the_function(self) -> None:
        auth = TenantAuth()

        @auth.request_filter
        def function() -> bool:
            return True

        assert function() is True

    def test_it_is_called_once_for_each_request(self) -> None:
        app, auth = counted_app()
        calls: list[str] = []
        auth.request_filter(lambda: calls.append(request.path))
        statuses(app, "/own", times=1)
        assert calls == ["/own"]

    def test_it_reads_what_earlier_hooks_have_set(self) -> None:
        app, auth = bare_app(RATELIMIT_DEFAULT="1 per minute"), TenantAuth()

        @app.before_request
        def find_probe() -> None:
            g.probe = request.args.get("probe")

        auth.init_app(app)
        auth.request_filter(lambda: g.probe == "1")
        app.get("/")(lambda: "in")
        assert statuses(app, "/?probe=1") == [200] * 3
        assert statuses(app, "/?probe=0") == [200, 429, 429]

    @pytest.mark.parametrize(
        ("path", "endpoint"), [("/own", "own"), ("/missing", "a request without a route")]
    )
    def test_one_that_raises_is_logged_with_the_endpoint_and_the_request_is_counted(
        self, path: str, endpoint: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        app, auth = counted_app()

        @auth.request_filter
        def broken() -> bool:
            raise KeyError("x")

        with caplog.at_level(logging.ERROR):
            assert statuses(app, path)[1:] == [429, 429]
        assert f"broken raised at {endpoint}: the request is counted" in caplog.text
        assert "KeyError" in caplog.text

    def test_filters_of_one_tenantauth_are_those_of_all_its_apps(self) -> None:
        auth = TenantAuth()
        apps = [bare_app(RATELIMIT_DEFAULT="1 per minute") for _ in range(2)]
        for app in apps:
            auth.init_app(app)
            app.get("/")(lambda: "in")
        auth.request_filter(lambda: True)
        assert [statuses(app, "/") for app in apps] == [[200] * 3] * 2

    @pytest.mark.parametrize("wrong", [5, "x", None, lambda request: True])
    def test_what_takes_an_argument_is_a_type_error(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="request_filter takes a function without arguments"):
            TenantAuth().request_filter(wrong)

    def test_an_async_filter_is_a_type_error(self) -> None:
        async def function() -> bool:
            return True

        with pytest.raises(TypeError, match="not async"):
            TenantAuth().request_filter(function)

    def test_a_filter_that_turns_out_to_be_async_exempts_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def function() -> bool:
            return True

        app, auth = counted_app()
        auth.request_filter(lambda: function())
        assert statuses(app, "/") == [200, 429, 429]
        assert "request_filter must be a callable that is not async" in caplog.text

    def test_an_exempt_request_is_authenticated_all_the_same(self) -> None:
        app, auth = counted_app()
        auth.request_filter(lambda: True)
        app.get("/me", endpoint="me")(verify_tenant_context(lambda: "in"))
        assert statuses(app, "/me", times=1) == [401]
        assert app.test_client().get("/me", headers=bearer()).status_code == 200
