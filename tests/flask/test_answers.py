"""Answers of one's own: error handlers, AUTH_PROBLEM_JSON, and what an `AuthError` tells them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, Response
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from apps import bare_app, bearer, error_of, make_app
from flask_tenant_auth import (
    AuthError,
    RateLimitExceeded,
    TenantAuth,
    create_auth_response,
    get_tenant_context,
    rate_limit,
    verify_permission,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.identity import denials
from flask_tenant_auth.identity.denials import OTHER_TENANT, Denial

PROBLEM = "application/problem+json"
STATUSES = (401, 403, 429)
CHALLENGES = {401: 'Bearer realm="api"', 403: 'Bearer realm="api", error="insufficient_scope"'}
REASONS = {401: "no_credentials", 403: "role_insufficient", 429: "rate_limit_exceeded"}
KEYS: dict[str, tuple[Any, ...]] = {
    "AuthError": (AuthError,),
    "status": STATUSES,
    "HTTPException": (HTTPException,),
}


@pytest.fixture(params=["with TenantAuth", "without"])
def app(request: pytest.FixtureRequest) -> Flask:
    return make_app() if request.param == "with TenantAuth" else bare_app()


def add_views(target: Any, *, is_async: bool = False) -> None:
    """/401, /403 and /429 deny for that reason; /200 lets in. Each is asked once before /429."""

    def view() -> str:
        return "in"

    async def async_view() -> str:
        return "in"

    inner: Any = async_view if is_async else view
    limited = rate_limit("1 per minute", scope="answers")
    for name, guarded in {
        "401": verify_tenant_context(inner),
        "403": verify_role("admin")(inner),
        "429": limited(verify_tenant_context(inner)),
        "200": verify_tenant_context(inner),
    }.items():
        methods = ["GET", "OPTIONS"]
        target.add_url_rule(f"/{name}", f"view{name}", guarded, methods=methods)


def ask(app: Flask, status: int, method: str = "GET", prefix: str = "") -> TestResponse:
    """The answer with a status: of a request that is denied with it or, for 200, let in."""
    client, headers = app.test_client(), {} if status == 401 else bearer()
    if status == 429:
        assert client.open(f"{prefix}/429", method=method, headers=headers).status_code == 200
    return client.open(f"{prefix}/{status}", method=method, headers=headers)


def own(error: HTTPException) -> tuple[dict[str, Any], int]:
    assert isinstance(error, AuthError)
    return {"own": error.reason}, error.status_code


def check_header_fields(answer: TestResponse) -> None:
    """The header fields that the status needs are there once, whoever has written the body."""
    challenge = CHALLENGES.get(answer.status_code)
    assert answer.headers.getlist("WWW-Authenticate") == ([challenge] if challenge else [])
    waits = answer.headers.getlist("Retry-After")
    assert [1 <= int(wait) <= 60 for wait in waits] == [True] * (answer.status_code == 429)


class TestWhichHandlerIsAsked:
    @pytest.mark.parametrize("is_async", [False, True])
    @pytest.mark.parametrize("key", KEYS)
    def test_a_handler_of_the_app_writes_the_answer_with_the_header_fields(
        self, app: Flask, key: str, is_async: bool
    ) -> None:
        for each in KEYS[key]:
            app.register_error_handler(each, own)
        add_views(app, is_async=is_async)
        for status in STATUSES:
            answer = ask(app, status)
            assert (answer.status_code, answer.get_json()) == (status, {"own": REASONS[status]})
            check_header_fields(answer)
        assert ask(app, 200).text == "in"

    @pytest.mark.parametrize("is_async", [False, True])
    @pytest.mark.parametrize("key", KEYS)
    def test_a_handler_of_a_blueprint_answers_its_denials_and_no_others(
        self, app: Flask, key: str, is_async: bool
    ) -> None:
        blueprint = Blueprint("inner", __name__, url_prefix="/inner")
        for each in KEYS[key]:
            blueprint.register_error_handler(each, own)
        add_views(blueprint, is_async=is_async)
        add_views(app)
        app.register_blueprint(blueprint)
        for status in STATUSES:
            answer = ask(app, status, prefix="/inner")
            assert (answer.status_code, answer.get_json()) == (status, {"own": REASONS[status]})
            check_header_fields(answer)
        assert error_of(ask(app, 401))[0] == 401
        assert ask(app, 200, prefix="/inner").text == "in"

    def test_without_a_handler_the_answer_is_the_documented_json(self, app: Flask) -> None:
        add_views(app)
        for status in STATUSES:
            answer = ask(app, status)
            assert error_of(answer)[0] == status
            check_header_fields(answer)

    @pytest.mark.parametrize("key", [AuthError, 403, HTTPException])
    def test_a_denied_options_request_is_answered_by_the_handler(
        self, app: Flask, key: Any
    ) -> None:
        app.register_error_handler(key, own)
        add_views(app)
        answer = ask(app, 403, "OPTIONS")
        assert (answer.status_code, answer.get_json()) == (403, {"own": "role_insufficient"})
        check_header_fields(answer)
        assert ask(app, 200, "OPTIONS").text == "in"

    @pytest.mark.parametrize("key", [AuthError, RateLimitExceeded, 429, HTTPException])
    @pytest.mark.parametrize("where", ["app", "blueprint"])
    def test_a_429_of_the_hook_is_answered_by_the_handler(self, key: Any, where: str) -> None:
        app = make_app(RATELIMIT_DEFAULT="1 per minute")
        blueprint = Blueprint("inner", __name__)
        target: Any = app if where == "app" else blueprint
        target.register_error_handler(key, own)
        blueprint.get("/")(lambda: "in")
        app.register_blueprint(blueprint)
        client = app.test_client()
        assert client.get("/").text == "in"
        answer = client.get("/")
        assert (answer.status_code, answer.get_json()) == (429, {"own": "rate_limit_exceeded"})
        check_header_fields(answer)

    def test_one_failed_authentication_too_many_is_answered_by_the_handler_of_429(self) -> None:
        app = make_app(AUTH_FAILURE_LIMIT="1 per minute")
        app.register_error_handler(RateLimitExceeded, own)
        add_views(app)
        answers = [app.test_client().get("/401") for _ in range(2)]
        assert error_of(answers[0])[0] == 401
        assert answers[1].get_json() == {"own": "rate_limit_exceeded"}
        check_header_fields(answers[1])

    def test_the_nearest_handler_is_asked(self, app: Flask) -> None:
        """Flask's own order: a status before a class, a class before its bases."""
        app.register_error_handler(HTTPException, lambda error: ("HTTPException", error.code))
        app.register_error_handler(AuthError, lambda error: ("AuthError", error.code))
        app.register_error_handler(RateLimitExceeded, lambda error: ("limit", 429))
        app.register_error_handler(403, lambda error: ("status", 403))
        add_views(app)
        texts = {status: ask(app, status).text for status in STATUSES}
        assert texts == {401: "AuthError", 403: "status", 429: "limit"}
        assert app.test_client().get("/none").text == "HTTPException"

    @pytest.mark.parametrize("is_async", [False, True])
    def test_an_async_handler_of_http_exceptions_is_asked(self, app: Flask, is_async: bool) -> None:
        async def handler(error: HTTPException) -> tuple[dict[str, Any], int]:
            return own(error)

        app.register_error_handler(HTTPException, handler)
        add_views(app, is_async=is_async)
        assert ask(app, 403).get_json() == {"own": "role_insufficient"}

    def test_a_handler_may_send_the_header_fields_itself(self, app: Flask) -> None:
        @app.errorhandler(AuthError)
        def handler(error: AuthError) -> Any:
            return {"own": error.reason}, error.status_code, error.headers

        add_views(app)
        for status in STATUSES:
            check_header_fields(ask(app, status))

    @pytest.mark.parametrize("key", KEYS)
    @pytest.mark.parametrize("is_async", [False, True])
    def test_a_denial_that_a_view_raises_is_answered_by_the_handler(
        self, app: Flask, key: str, is_async: bool
    ) -> None:
        for each in KEYS[key]:
            app.register_error_handler(each, own)

        def view() -> None:
            raise AuthError(
                "Only on Sundays", 403, reason="weekday", headers={"X-Open": "Sunday"}, scope=()
            )

        async def async_view() -> None:
            view()

        app.get("/")(verify_tenant_context(async_view if is_async else view))
        answer = app.test_client().get("/", headers=bearer())
        assert (answer.status_code, answer.get_json()) == (403, {"own": "weekday"})
        assert answer.headers["X-Open"] == "Sunday"
        check_header_fields(answer)

    def test_a_blueprint_s_handler_of_exception_is_asked_and_the_app_s_is_not(self) -> None:
        """The blueprint's is nearer than the documented JSON, which is a handler of the app."""
        app = make_app()
        app.register_error_handler(Exception, lambda error: ("app", 500))
        blueprint = Blueprint("inner", __name__, url_prefix="/inner")
        blueprint.register_error_handler(Exception, lambda error: ("blueprint", 500))
        add_views(blueprint)
        add_views(app)
        app.register_blueprint(blueprint)
        assert error_of(ask(app, 401))[0] == 401
        assert ask(app, 401, prefix="/inner").text == "blueprint"

    @pytest.mark.parametrize("key", [None, *KEYS])
    def test_a_denial_of_a_getter_has_its_challenge_whoever_answers(
        self, app: Flask, key: str | None
    ) -> None:
        for each in KEYS[key] if key else ():
            app.register_error_handler(each, own)
        app.get("/")(lambda: get_tenant_context())
        answer = app.test_client().get("/")
        assert answer.status_code == 401
        check_header_fields(answer)
        assert (answer.get_json() == {"own": "decorator_missing"}) is (key is not None)


def problem_of(answer: TestResponse) -> dict[str, Any]:
    assert answer.mimetype == PROBLEM
    body: dict[str, Any] = json.loads(answer.text)
    assert set(body) == {"type", "title", "status", "detail", "reason"}
    assert (body["type"], body["status"]) == ("about:blank", answer.status_code)
    return body


class TestProblemJson:
    @pytest.fixture(params=["with TenantAuth", "without"])
    def problems(self, request: pytest.FixtureRequest) -> Flask:
        make = make_app if request.param == "with TenantAuth" else bare_app
        return make(AUTH_PROBLEM_JSON="true")

    @pytest.mark.parametrize("is_async", [False, True])
    def test_every_denial_is_a_problem_with_the_same_header_fields(
        self, problems: Flask, is_async: bool
    ) -> None:
        add_views(problems, is_async=is_async)
        found = {status: ask(problems, status) for status in STATUSES}
        titles = {401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests"}
        plain = bare_app()
        add_views(plain)
        for status, answer in found.items():
            body = problem_of(answer)
            assert (body["title"], body["reason"]) == (titles[status], REASONS[status])
            assert body["detail"] == error_of(ask(plain, status))[1]
            check_header_fields(answer)
        assert ask(problems, 200).text == "in"

    def test_a_400_and_a_500_are_problems_too(
        self, problems: Flask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add_views(problems)
        client = problems.test_client()
        body = problem_of(client.get("/200", headers={"X-Tenant-ID": "x", "X-User-ID": "y"}))
        assert (body["status"], body["reason"]) == (400, "tenant_id_invalid")

        def broken(*_: object) -> None:
            raise OSError("out of order")

        module = "flask_tenant_auth.flask.authentication"
        monkeypatch.setattr(f"{module}.read_identity_headers", broken)
        assert problem_of(client.get("/200"))["reason"] == "internal_error"

    def test_a_denied_options_request_and_a_429_of_the_hook_are_problems(self) -> None:
        app = make_app(AUTH_PROBLEM_JSON=True, RATELIMIT_DEFAULT="3 per minute")
        add_views(app)
        assert problem_of(ask(app, 403, "OPTIONS"))["reason"] == "role_insufficient"
        answers = [app.test_client().get("/200", headers=bearer()) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert problem_of(answers[2])["detail"] == "3 per 1 minute"
        check_header_fields(answers[2])

    def test_one_failed_authentication_too_many_is_a_problem_after_the_request_too(self) -> None:
        app = make_app(AUTH_PROBLEM_JSON=True, AUTH_FAILURE_LIMIT="1 per minute")

        def late(_environ: Any, start_response: Callable[..., Any]) -> list[bytes]:
            start_response("401 UNAUTHORIZED", [("Content-Type", "text/plain")])
            return [b"no"]

        app.get("/")(lambda: Response("no", 401))
        outside = bare_app(AUTH_PROBLEM_JSON=True, AUTH_FAILURE_LIMIT="1 per minute")
        outside.wsgi_app = late  # type: ignore[method-assign]
        TenantAuth(outside)
        for each in (app, outside):
            answers = [each.test_client().get("/") for _ in range(2)]
            assert (answers[0].status_code, answers[0].text) == (401, "no")
            assert problem_of(answers[1])["reason"] == "rate_limit_exceeded"

    def test_an_error_that_an_undecorated_view_raises_is_a_problem(self, problems: Flask) -> None:
        @problems.get("/")
        def view() -> None:
            raise AuthError("Only on Sundays", 403, reason="weekday", headers={"X-Open": "Sunday"})

        answer = problems.test_client().get("/")
        body = problem_of(answer)
        assert (body["detail"], body["reason"]) == ("Only on Sundays", "weekday")
        assert answer.headers["X-Open"] == "Sunday"

    def test_a_handler_of_the_app_is_asked_all_the_same(self, problems: Flask) -> None:
        problems.register_error_handler(401, own)
        problems.register_error_handler(403, lambda error: error.get_response())
        add_views(problems)
        assert ask(problems, 401).get_json() == {"own": "no_credentials"}
        assert problem_of(ask(problems, 403))["reason"] == "role_insufficient"

    def test_a_direct_call_returns_the_documented_pair(self, problems: Flask) -> None:
        guarded = verify_tenant_context(lambda: "in")
        with problems.test_request_context("/"):
            body, status = guarded()
        assert (body, status) == create_auth_response(body["message"], 401)

    def test_an_app_whose_settings_are_not_valid_writes_the_documented_json(self) -> None:
        app = bare_app(AUTH_PROBLEM_JSON="perhaps")

        @app.get("/")
        def view() -> None:
            raise AuthError("Only on Sundays", 403)

        assert error_of(app.test_client().get("/")) == (403, "Only on Sundays")

    def test_an_error_outside_of_an_app_writes_the_documented_json(self) -> None:
        assert AuthError("x").get_response().mimetype == "application/json"

    @pytest.mark.parametrize("wrong", ["perhaps", 2, []])
    def test_another_word_stops_the_app(self, wrong: Any) -> None:
        with pytest.raises(ValueError, match="AUTH_PROBLEM_JSON"):
            make_app(AUTH_PROBLEM_JSON=wrong)

    def test_a_view_s_own_json_is_left_alone(self, problems: Flask) -> None:
        problems.get("/")(lambda: ({"error": "Unauthorized", "message": "mine"}, 401))
        assert problems.test_client().get("/").mimetype == "application/json"


class TestHeaders:
    def test_the_header_fields_are_those_of_the_status_and_those_given(self) -> None:
        error = AuthError("x", 403, headers={"X-A": "1"}, scope=("accounts:write",))
        challenge = 'Bearer realm="api", error="insufficient_scope", scope="accounts:write"'
        assert error.headers == (("WWW-Authenticate", challenge), ("X-A", "1"))
        assert AuthError("x", 403).headers == ()
        assert error.get_response().headers["X-A"] == "1"

    @pytest.mark.parametrize(
        "headers",
        [
            {"www-authenticate": "Basic", "X-B": "é"},
            [("www-authenticate", "Basic"), ("X-B", "é")],
            (["www-authenticate", "Basic"], ["X-B", "é"]),
            Headers({"www-authenticate": "Basic", "X-B": "é"}),
        ],
    )
    def test_what_is_given_replaces_what_the_status_needs(self, headers: Any) -> None:
        error = AuthError("x", headers=headers)
        assert error.headers == (("www-authenticate", "Basic"), ("X-B", "é"))
        assert error.get_response().headers.getlist("WWW-Authenticate") == ["Basic"]

    def test_the_header_fields_cannot_be_changed(self) -> None:
        error = AuthError("x")
        with pytest.raises(AttributeError):
            error.headers = ()  # type: ignore[misc]
        assert isinstance(error.headers, tuple)

    @pytest.mark.parametrize(
        ("headers", "raised"),
        [
            ("X-A: 1", TypeError),
            (7, TypeError),
            (None, TypeError),
            (["X-A"], TypeError),
            ([("X-A", 1)], TypeError),
            ([("X-A", "1", "2")], TypeError),
            ({"X A": "1"}, ValueError),
            ({"": "1"}, ValueError),
            ({"X-A\n": "1"}, ValueError),
            ({"X-A": "1\r\nSet-Cookie: a=b"}, ValueError),
            ({"X-A": "\x00"}, ValueError),
            ({"X-A": "\u20ac"}, ValueError),
            ({"content-type": "text/html"}, ValueError),
            ({"Content-Length": "0"}, ValueError),
        ],
    )
    def test_header_fields_that_cannot_be_sent_raise(self, headers: Any, raised: Any) -> None:
        with pytest.raises(raised, match="headers"):
            AuthError("x", headers=headers)

    def test_retry_after_of_a_limit_is_among_them(self) -> None:
        seen: list[tuple[tuple[str, str], ...]] = []
        app = make_app()

        @app.errorhandler(RateLimitExceeded)
        def handler(error: RateLimitExceeded) -> tuple[str, int]:
            seen.append(error.headers)
            return "wait", 429

        add_views(app)
        assert ask(app, 429).headers["Retry-After"] == dict(seen[0])["Retry-After"]


class TestScope:
    @pytest.mark.parametrize(
        ("scope", "named"),
        [
            ((), ""),
            (("accounts:write",), ', scope="accounts:write"'),
            (("a:read", "b:*"), ', scope="a:read b:*"'),
            (["!#[]~"], ', scope="!#[]~"'),
        ],
    )
    def test_a_403_names_the_permissions_that_are_missing(self, scope: Any, named: str) -> None:
        error = AuthError("x", 403, scope=scope)
        challenge = f'Bearer realm="api", error="insufficient_scope"{named}'
        assert error.get_response().headers["WWW-Authenticate"] == challenge
        assert error.scope == tuple(scope)

    @pytest.mark.parametrize("wrong", ["", "a b", 'a"b', "a\\b", "a\x7fb", "\u00e4", "a\n"])
    def test_a_permission_that_cannot_stand_there_raises(self, wrong: str) -> None:
        with pytest.raises(ValueError, match="scope holds"):
            AuthError("x", 403, scope=(wrong,))

    @pytest.mark.parametrize("wrong", ["accounts:write", 7, [7]])
    def test_a_scope_is_a_tuple_of_text(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="scope"):
            AuthError("x", 403, scope=wrong)

    def test_a_scope_with_another_status_raises(self) -> None:
        with pytest.raises(ValueError, match="403, not 401"):
            AuthError("x", 401, scope=())

    def test_a_denial_carries_scope_and_retry_after(self) -> None:
        missing = denials.error_of(Denial(403, "m", "permission_missing", scope=("a:write",)))
        assert missing.scope == ("a:write",)
        assert "a:write" in missing.get_response().headers["WWW-Authenticate"]
        away = denials.error_of(Denial(503, "Keys are not there yet", "no_keys", retry_after=7))
        answer = away.get_response()
        assert answer.headers["Retry-After"] == "7"
        assert json.loads(answer.get_data(as_text=True))["error"] == "Service unavailable"

    def test_verify_permission_names_what_it_needs(self, app: Flask) -> None:
        app.get("/")(verify_permission("accounts:write")(lambda: "in"))
        answer = app.test_client().get("/", headers=bearer())
        needed = "Insufficient permissions. Required permission: accounts:write"
        assert error_of(answer) == (403, needed)
        (challenge,) = answer.headers.getlist("WWW-Authenticate")
        assert challenge == f'{CHALLENGES[403]}, scope="accounts:write"'
        allowed = bearer(permissions=["accounts:write"])
        assert app.test_client().get("/", headers=allowed).text == "in"

    def test_somebody_else_s_resource_is_no_want_of_scope(self) -> None:
        """More permissions would not help there (RFC 6750, section 3.1)."""
        assert denials.error_of(OTHER_TENANT).headers == ()
