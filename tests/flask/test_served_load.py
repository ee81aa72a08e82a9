"""flask auth check --load: real workers that count together, and workers that do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from click.testing import Result
from flask import Flask

from apps import TENANT, USER, make_app, token
from flask_tenant_auth import rate_limit, verify_tenant_context
from flask_tenant_auth.probe.load import LimitUnderTest, Tally, verdict
from paths import ROOT, SUPPORT
from served import ServedApp
from served_here import served_here

DEFAULT = "5 per minute"


@pytest.fixture(scope="module")
def server() -> Iterator[ServedApp]:
    with ServedApp(RATELIMIT_DEFAULT=DEFAULT) as server:
        yield server


@pytest.fixture(scope="module")
def app() -> Flask:
    return app_of()


def nothing() -> dict[str, str]:
    return {}


def app_of(**config: str) -> Flask:
    app = make_app(**{"RATELIMIT_DEFAULT": DEFAULT, **config})
    app.get("/api/who", endpoint="who")(verify_tenant_context(nothing))
    return app


def load(app: Flask, port: int, *arguments: str) -> Result:
    url = ["--url", f"http://127.0.0.1:{port}"]
    return app.test_cli_runner().invoke(
        args=["auth", "check", *url, "--load", "1", "--json", *arguments]
    )


def tally_of(result: Result) -> dict[str, object]:
    assert isinstance(result.exception, SystemExit | None), result.exception
    found: dict[str, object] = json.loads(result.stdout)["load"]
    assert result.exit_code == (0 if found["status"] == "ok" else 1)
    return found


class TestServed:
    def test_the_command_finds_the_smallest_limit_and_that_exactly_so_many_pass(
        self, server: ServedApp
    ) -> None:
        """As a user calls it, with the settings of the service."""
        command = [sys.executable, "-m", "flask", "--app", "served_app", "auth", "check"]
        paths = os.pathsep.join([str(ROOT), str(SUPPORT)])
        done = subprocess.run(
            [*command, "--load", "1"],
            env={
                **os.environ,
                **server.environment,
                "PYTHONPATH": paths,
                "FLASK_PORT": str(server.port),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("Load: GET /api/who: exactly 5 of ")
        assert "the limit 5 per 60 seconds on all workers together" in done.stdout

    @pytest.mark.parametrize("strategy", ["fixed-window", "sliding-window-counter", "gcra"])
    def test_each_strategy_lets_as_many_pass_as_it_says(self, strategy: str) -> None:
        app = app_of(RATELIMIT_STRATEGY=strategy)
        with served_here(app) as port:
            found = tally_of(load(app, port))
        assert found["status"] == "ok", found
        assert found["limited"]
        assert found["unanswered"] == 0
        passed = int(str(found["passed"]))
        most = 5 if strategy != "gcra" else 5 + 1 + int(float(str(found["seconds"])) / 12)
        assert 5 <= passed <= most

    def test_workers_that_count_apart_are_found(self, app: Flask) -> None:
        with ServedApp(2, RATELIMIT_DEFAULT=DEFAULT, SERVED_APART="1") as server:
            found = tally_of(load(app, server.port))
        assert found["status"] == "problem"
        assert found["passed"] == 10
        assert "where the limit 5 per 60 seconds lets 5 pass" in str(found["came"])

    def test_a_limit_that_is_not_reached_is_a_problem(self, app: Flask, server: ServedApp) -> None:
        limit = ["--load-path", "/many", "--load-limit", "1000000 per hour"]
        found = tally_of(load(app, server.port, *limit))
        assert found["status"] == "problem"
        assert "was not reached" in str(found["came"])

    def test_another_limit_than_that_of_the_service_is_named(
        self, app: Flask, server: ServedApp
    ) -> None:
        found = tally_of(
            load(app, server.port, "--load-path", "/fifty", "--load-limit", "40 per hour")
        )
        assert "is limited to 50" in str(found["came"])

    @pytest.mark.parametrize(
        ("path", "message"),
        [("/public/counters", "without X-RateLimit-Limit"), ("/none", "without a limit")],
    )
    def test_a_route_without_a_limit_is_named(
        self, path: str, message: str, app: Flask, server: ServedApp
    ) -> None:
        if path == "/none":
            found = tally_of(load(app, server.port, "--load-path", path))
            assert "--load-limit" in str(found["came"])
            return
        limit = ["--load-path", path, "--load-limit", "5 per minute"]
        assert message in str(tally_of(load(app, server.port, *limit))["came"])

    def test_a_token_that_is_denied_is_named(self, app: Flask, server: ServedApp) -> None:
        found = tally_of(load(app, server.port, "--token", token(exp=1)))
        assert "denies the token" in str(found["came"])

    def test_a_service_that_is_not_there_is_named(self, app: Flask) -> None:
        result = app.test_cli_runner().invoke(
            args=["auth", "check", "--url", "http://127.0.0.1:9", "--load", "1"]
        )
        assert result.exit_code == 1
        assert "Problem: load: GET /api/who has no answer" in result.stderr

    def test_a_limit_that_is_used_already_is_waited_for(self) -> None:
        limit = "5 per 8 seconds"
        app, used = app_of(RATELIMIT_DEFAULT=limit), token(TENANT, USER)
        app.test_client().get("/api/who", headers={"Authorization": f"Bearer {used}"})
        arguments = ["--load-path", "/api/who", "--load-limit", limit, "--token", used]
        with served_here(app) as port:
            found = tally_of(load(app, port, *arguments))
        assert (found["status"], found["passed"]) == ("ok", 5)

    def test_another_machine_is_asked_only_where_that_is_said(
        self, app: Flask, server: ServedApp
    ) -> None:
        """0.0.0.0 is no loopback address, and reaches this machine."""
        arguments = ["auth", "check", "--url", f"http://0.0.0.0:{server.port}", "--load", "1"]
        denied = app.test_cli_runner().invoke(args=arguments)
        assert denied.exit_code == 2
        assert "--load-remote" in denied.output
        without_tls = app.test_cli_runner().invoke(args=[*arguments, "--load-remote"])
        assert without_tls.exit_code == 1
        assert "no token is sent" in without_tls.stderr
        asked = app.test_cli_runner().invoke(args=[*arguments, "--load-remote", "--plain-tokens"])
        assert "exactly 5 of" in asked.stdout, asked.output


class TestDeclarations:
    @pytest.mark.parametrize(
        ("limit", "expected"),
        [
            ("7 per minute", (7, 60)),
            ("100 per hour; 30 per minute", (30, 60)),
            ("30 per minute; 100 per hour", (30, 60)),
            ("20 per hour; 30 per minute", (20, 60)),  # until the first window ends
        ],
    )
    def test_the_limit_that_denies_first_is_tested(
        self, limit: str, expected: tuple[int, int]
    ) -> None:
        from flask_tenant_auth.flask.commands.load_test import declared_limits

        app = make_app(RATELIMIT_DEFAULT="1 per second")
        app.get("/x", endpoint="x")(rate_limit(limit)(verify_tenant_context(nothing)))
        with app.app_context():
            [(path, found)] = declared_limits(app)
        assert (path, found.limit, found.period) == ("/x", *expected)

    def test_a_cost_is_counted(self) -> None:
        from flask_tenant_auth.flask.commands.load_test import declared_limits

        app = make_app()
        app.get("/x", endpoint="x")(
            rate_limit("10 per minute", cost=3)(verify_tenant_context(nothing))
        )
        with app.app_context():
            [(_, found)] = declared_limits(app)
        assert found.most == 3

    def test_limits_of_callables_and_of_seconds_have_to_be_given(self) -> None:
        for limit in (lambda: "5 per minute", "5 per second"):
            app = make_app()
            app.get("/x", endpoint="x")(rate_limit(limit)(verify_tenant_context(nothing)))
            result = app.test_cli_runner().invoke(args=["auth", "check", "--load", "1"])
            assert result.exit_code == 1
            assert "--load-path and --load-limit" in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--load-limit", "5 per minute"], "needs --load-path"),
            (["--load-path", "/x", "--load-limit", "many"], "cannot be read"),
            (["--load-path", "/x", "--load-limit", "0 per minute"], "1 or more"),
            (["--load-path", "/x", "--load-limit", "5 per minute; 6 per hour"], "one limit"),
        ],
    )
    def test_a_limit_that_cannot_be_tested_is_named(
        self, arguments: list[str], message: str, app: Flask
    ) -> None:
        result = app.test_cli_runner().invoke(args=["auth", "check", "--load", "1", *arguments])
        assert result.exit_code == 1
        assert message in result.stderr


LIMIT = LimitUnderTest(50, 60)


@pytest.mark.parametrize(
    ("limit", "tally", "held", "sentence"),
    [
        (LIMIT, (50, 10, 0), True, "exactly 50 of 60"),
        (LIMIT, (51, 10, 0), False, "lets 50 pass"),
        (LIMIT, (49, 10, 0), False, "lets 50 pass"),
        (LIMIT, (49, 10, 1), False, "may have been counted"),
        (LIMIT, (50, 10, 1), True, "exactly 50 of 61"),
        (LIMIT, (49, 0, 0), False, "was not reached"),
        (LIMIT, (50, 0, 0), False, "none was limited"),
        (LimitUnderTest(50, 60, 7), (7, 1, 0), True, "exactly 7 of 8"),
        (LimitUnderTest(60, 60, 1, "gcra"), (70, 9, 0), True, "at most 71"),
        (LimitUnderTest(60, 60, 1, "gcra"), (72, 9, 0), False, "lets 60 pass"),
    ],
)
def test_a_limit_holds_if_exactly_as_many_pass_as_it_says(
    limit: LimitUnderTest, tally: tuple[int, int, int], held: bool, sentence: str
) -> None:
    result = verdict(Tally(*tally, seconds=10, statuses=Counter()), limit)
    assert result[0] is held
    assert sentence in result[1]
