"""flask auth."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Blueprint, Flask, request
from flask.views import MethodView
from werkzeug.routing import Rule

from apps import (
    OTHER_USER,
    SECRET,
    TENANT,
    USER,
    bare_app,
    bearer,
    make_app,
    production_app,
    token,
)
from flask_tenant_auth import (
    TenantAuth,
    protected_elsewhere,
    public_route,
    rate_limit,
    verify_role,
    verify_tenant_context,
)
from flask_tenant_auth.config.settings import Settings
from flask_tenant_auth.errors import ConfigurationError
from key_pairs import RSA_PRIVATE, RSA_PUBLIC


def run(app: Flask, *arguments: str, **kwargs: Any) -> Result:
    return app.test_cli_runner().invoke(args=["auth", *arguments], **kwargs)


def values(output: str) -> dict[str, str]:
    return dict(line.strip().split("=", 1) for line in output.splitlines() if "=" in line)


class TestKeys:
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_generate_key_makes_a_key_that_production_accepts(self, algorithm: str) -> None:
        outputs = [run(make_app(), "generate-key", "--algorithm", algorithm) for _ in "ab"]
        made = [values(output.output) for output in outputs]
        assert made[0]["JWT_SECRET_KEY"] != made[1]["JWT_SECRET_KEY"]
        production_app(**made[0])

    @pytest.mark.parametrize(
        ("algorithm", "curve"), [("RS256", "RSA"), ("ES384", "P-384"), ("EdDSA", "ED25519")]
    )
    def test_generate_key_pair_prints_commands_that_work(
        self, algorithm: str, curve: str, tmp_path: Path
    ) -> None:
        output = run(make_app(), "generate-key", "--algorithm", algorithm).output
        commands = [line for line in output.splitlines() if line.startswith("openssl ")]
        assert curve in commands[0]
        for command in commands:
            subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
        public = (tmp_path / "public.pem").read_text()
        production_app(JWT_ALGORITHM=algorithm, JWT_PUBLIC_KEY=public)

    def test_generate_key_needs_no_working_app(self, tmp_path: Path) -> None:
        """It is what a production app without a key is told to run."""
        (tmp_path / "app.py").write_text(
            "from flask import Flask\n"
            "from flask_tenant_auth import TenantAuth\n"
            "app = Flask(__name__)\n"
            "TenantAuth(app)\n"
        )
        environment = {k: v for k, v in os.environ.items() if k not in ("FLASK_ENV", "FLASK_DEBUG")}
        flask = [sys.executable, "-m", "flask", "auth"]
        made = subprocess.run(
            [*flask, "generate-key"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert "JWT_SECRET_KEY=" in made.stdout, made.stderr
        refused = subprocess.run(
            [*flask, "check"], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert refused.returncode != 0
        assert "JWT_SECRET_KEY is the documented default" in refused.stderr

    def test_rotate_key_prints_three_rounds_of_settings_that_work(self) -> None:
        output = run(make_app(JWT_SECRET_KEY_FALLBACKS=["f" * 40]), "rotate-key").output
        lines = [line.strip() for line in output.splitlines()]
        assert [line[0] for line in lines if line[1:2] == "."] == ["1", "2", "3"]
        add = next(line for line in lines if line.startswith("JWT_SECRET_KEY_FALLBACKS="))
        new = next(line for line in lines if line.startswith("JWT_SECRET_KEY="))
        secret = new.partition("=")[2]
        assert add.partition("=")[2].split(",")[0] == secret
        assert len(secret) >= 64
        assert SECRET not in output
        assert "f" * 40 not in output

    @pytest.mark.parametrize("pair", [False, True])
    def test_rotate_key_gives_the_new_key_another_id(self, pair: bool) -> None:
        """Under one id, the tokens of the old key would be tried with the new key alone."""
        config: dict[str, Any] = (
            {"JWT_ALGORITHM": "RS256", "JWT_PRIVATE_KEY": RSA_PRIVATE} if pair else {}
        )
        line = "     JWT_KEY_ID=<another id than that of today>"
        assert line not in run(make_app(**config), "rotate-key").output
        lines = run(make_app(JWT_KEY_ID="1", **config), "rotate-key").output.splitlines()
        starts = [place for place, each in enumerate(lines) if each.startswith(("2.", "3."))]
        assert lines.count(line) == 1
        assert starts[0] < lines.index(line) < starts[1]

    @pytest.mark.parametrize("odd", [f"{'a' * 40},{'b' * 40}", "c" * 64 + "\n", " " + "d" * 64])
    def test_rotate_key_never_loses_a_secret_in_a_comma_list(self, odd: str) -> None:
        """All who are logged in would be logged out."""
        in_the_app = 'app.config["JWT_SECRET_KEY_FALLBACKS"] = [<the JWT_SECRET_KEY of today>'
        in_a_list = "JWT_SECRET_KEY_FALLBACKS=<the JWT_SECRET_KEY of today>"
        output = run(make_app(JWT_SECRET_KEY=odd), "rotate-key").output
        assert f"{in_the_app}]" in output
        assert in_a_list not in output
        app = make_app(JWT_SECRET_KEY=odd, JWT_SECRET_KEY_FALLBACKS=["e" * 40])
        assert f"{in_the_app},<the fallbacks of today>]" in run(app, "rotate-key").output
        output = run(make_app(JWT_SECRET_KEY=odd.strip().replace(",", "")), "rotate-key").output
        assert in_a_list in output
        assert in_the_app not in output

    def test_rotate_key_prints_commands_and_no_private_key_for_a_key_pair(self) -> None:
        app = make_app(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=RSA_PRIVATE)
        output = run(app, "rotate-key").output
        assert "openssl genpkey -algorithm RSA" in output
        assert "PRIVATE KEY-----" not in output


class TestTokens:
    def test_decode_token_prints_the_claims_of_create_token(self) -> None:
        app = make_app()
        made = run(app, "create-token", TENANT, USER, "--role", "admin", "--hours", "2").output
        result = run(app, "decode-token", made.strip())
        claims = json.loads(result.output)
        assert (claims["tenant_id"], claims["user_id"]) == (TENANT, USER)
        assert (claims["role"], claims["exp"] - claims["iat"]) == ("admin", 7200)

    def test_decode_token_reads_standard_input(self) -> None:
        result = run(make_app(), "decode-token", "-", input=token(name="é") + "\n")
        assert json.loads(result.output)["name"] == "é"

    def test_decode_token_says_why_a_token_is_invalid(self) -> None:
        result = run(make_app(), "decode-token", token(exp=1))
        assert result.exit_code == 1
        assert "expired" in result.output

    def test_arguments_that_are_not_valid_fail_with_their_name(self) -> None:
        result = run(make_app(), "create-token", "x", USER)
        assert result.exit_code == 1
        assert "tenant_id" in result.output
        assert run(make_app(), "create-token", TENANT, USER, "--role", "root").exit_code == 2


class TestCheck:
    def test_an_app_without_problems_exits_with_0(self) -> None:
        app = production_app()
        app.get("/open", endpoint="open")(lambda: "in")
        app.get("/mine", endpoint="mine")(verify_tenant_context(lambda: "in"))
        app.delete("/all", endpoint="all")(
            rate_limit("5 per hour", per="tenant", cost=2)(verify_role("admin")(lambda: "in"))
        )
        app.post("/login", endpoint="login")(public_route(lambda: "in"))
        result = run(app, "check")
        assert result.exit_code == 0, result.output
        lines = [line.strip() for line in result.output.splitlines()]
        assert "GET     /open  [open]  50 per minute per user" in lines
        assert "GET     /mine  [authenticated]  50 per minute per user" in lines
        assert "DELETE  /all  [role admin]  5 per hour per tenant (cost 2)" in lines
        assert "POST    /login  [public]  50 per minute per user" in lines
        assert "No problems found." in lines

    def test_check_shows_every_setting_and_no_secret(self) -> None:
        app = make_app(JWT_SECRET_KEY_FALLBACKS=["f" * 40])
        output = run(app, "check").output
        shown = values(output)
        for name in Settings.__dataclass_fields__:
            assert name.upper() in shown
        assert shown["JWT_SECRET_KEY"] == "(hidden)"
        for secret in (SECRET, "f" * 40):
            assert secret not in output

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_an_unprotected_route_that_changes_something_is_a_problem(self, method: str) -> None:
        app = production_app()
        app.route("/x", methods=[method], endpoint="x")(lambda: "in")
        result = run(app, "check")
        assert result.exit_code == 1
        assert f"{method} /x (x) changes something" in result.output

    @pytest.mark.parametrize(("method", "exit_code"), [("MKCOL", 1), ("PROPFIND", 0)])
    def test_a_route_of_an_unknown_method_is_checked(self, method: str, exit_code: int) -> None:
        app = production_app()
        app.add_url_rule("/", "dav", lambda: "in", methods=[method])
        assert run(app, "check").exit_code == exit_code
        app.view_functions["dav"] = verify_tenant_context(app.view_functions["dav"])
        assert run(app, "check").exit_code == 0

    def test_a_route_of_any_method_is_checked(self) -> None:
        """It was not on the list at all, and anybody could post to it."""
        app = production_app()
        app.url_map.add(Rule("/any", endpoint="any"))
        app.view_functions["any"] = lambda: "in"
        assert app.test_client().post("/any").status_code == 200
        result = run(app, "check")
        assert result.exit_code == 1
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert f"{method} /any (any) changes something" in result.output
        app.view_functions["any"] = verify_tenant_context(app.view_functions["any"])
        assert run(app, "check").exit_code == 0
        assert app.test_client().post("/any").status_code == 401

    def test_methods_of_a_class_are_checked_one_by_one(self) -> None:
        class Items(MethodView):
            @verify_tenant_context
            def post(self) -> None: ...

            def delete(self) -> None: ...

        app = production_app()
        app.add_url_rule("/x", view_func=Items.as_view("items"))
        result = run(app, "check")
        assert "DELETE /x (items)" in result.output
        assert "POST /x" not in result.output

    def test_a_guard_of_the_blueprint_protects(self) -> None:
        app = production_app()
        outer, inner = Blueprint("outer", __name__), Blueprint("inner", __name__)
        outer.before_request(verify_role("admin")(lambda: None))
        inner.post("/x")(lambda: "in")
        outer.register_blueprint(inner)
        app.register_blueprint(outer)
        result = run(app, "check")
        assert result.exit_code == 0, result.output
        assert "POST    /x  [role admin]" in result.output

    def test_strict_finds_an_unprotected_route_of_any_method(self) -> None:
        app = production_app()
        app.get("/open", endpoint="open")(lambda: "in")
        app.get("/mine", endpoint="mine")(verify_tenant_context(lambda: "in"))
        app.get("/health", endpoint="health")(public_route(lambda: "in"))
        app.add_url_rule("/", "dav", lambda: "in", methods=["PROPFIND", "OPTIONS"])
        app.add_url_rule("/head", "head", lambda: "in", methods=["HEAD"])
        assert run(app, "check").exit_code == 0
        result = run(app, "check", "--strict")
        assert result.exit_code == 1
        problems = [line for line in result.output.splitlines() if line.startswith("Problem: ")]
        assert [line.split(" and asks")[0] for line in problems] == [
            "Problem: OPTIONS / (dav) shows something",
            "Problem: PROPFIND / (dav) shows something",
            "Problem: HEAD /head (head) shows something",
            "Problem: GET /open (open) shows something",
        ]
        for endpoint in ("open", "dav", "head"):
            app.view_functions[endpoint] = verify_tenant_context(app.view_functions[endpoint])
        assert run(app, "check", "--strict").exit_code == 0

    def test_strict_permits_the_static_files_of_flask_and_no_other_view_of_that_name(
        self, tmp_path: Path
    ) -> None:
        app = Flask("static", static_folder=str(tmp_path))
        app.config.update(FLASK_ENV="production", REDIS_URL="", JWT_SECRET_KEY=SECRET, TESTING=True)
        TenantAuth(app)
        files = Blueprint("files", __name__, static_folder=str(tmp_path), url_prefix="/files")
        app.register_blueprint(files)
        result = run(app, "check", "--strict")
        assert result.exit_code == 0, result.output
        assert result.output.count("[static files]") == 2
        named = Blueprint("named", __name__)
        named.get("/reports", endpoint="static")(lambda: "everybody's")
        app.register_blueprint(named)
        result = run(app, "check", "--strict")
        assert result.exit_code == 1
        assert "GET /reports (named.static) shows something" in result.output

    def test_a_view_whose_decorator_stands_above_the_route_is_a_problem(self) -> None:
        app = production_app()
        kept: list[Any] = []

        def registrar(function: Any) -> Any:
            app.get("/open", endpoint="open")(function)
            app.get("/closed", endpoint="closed")(verify_tenant_context(function))
            kept.append(function)
            return function

        @registrar
        def view() -> str:
            return "in"

        result = run(app, "check")
        assert result.exit_code == 1
        problems = [line for line in result.output.splitlines() if line.startswith("Problem: ")]
        assert len(problems) == 1
        assert problems[0].startswith("Problem: open: a decorator stands above the route decorator")
        app.view_functions["open"] = public_route(kept[0])
        result = run(app, "check", "--strict")
        assert result.exit_code == 0, result.output

    def test_a_view_that_another_library_protects_is_declared(self) -> None:
        """By a decorator of its own kind, which knows nothing of this library."""

        def login_required(function: Any) -> Any:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function(*args, **kwargs) if "user" in request.args else ("who?", 403)

            return wrapper

        app = production_app()
        app.post("/above", endpoint="above")(
            protected_elsewhere("Flask-Login")(login_required(lambda: "in"))
        )
        app.get("/below", endpoint="below")(
            login_required(protected_elsewhere("Flask-Login")(lambda: "in"))
        )
        app.get("/plain", endpoint="plain")(login_required(lambda: "in"))
        result = run(app, "check", "--strict")
        assert "POST    /above  [protected by Flask-Login]" in result.output
        assert "GET     /below  [protected by Flask-Login]" in result.output
        assert result.output.count("Problem: ") == 1
        assert "GET /plain (plain) shows something" in result.output
        app.view_functions["plain"] = protected_elsewhere("Flask-Login")(
            app.view_functions["plain"]
        )
        assert run(app, "check", "--strict").exit_code == 0
        # It is a declaration: nobody is let in or kept out by it.
        client = app.test_client()
        for path, method in (("/above", "POST"), ("/below", "GET"), ("/plain", "GET")):
            assert client.open(path, method=method).status_code == 403
            assert client.open(f"{path}?user=1", method=method).status_code == 200

    def test_a_guard_of_another_library_is_declared_for_all_views_behind_it(self) -> None:
        app = production_app()
        admin = Blueprint("admin", __name__, url_prefix="/admin")
        admin.before_request(protected_elsewhere("single  sign-on\n")(lambda: None))
        admin.post("/x")(lambda: "in")
        app.register_blueprint(admin)
        app.post("/y", endpoint="y")(lambda: "in")
        result = run(app, "check", "--strict")
        assert "POST    /admin/x  [protected by single sign-on]" in result.output
        assert result.output.count("Problem: ") == 1
        assert "POST /y (y) changes something" in result.output

    def test_what_protects_a_view_has_a_name(self) -> None:
        with pytest.raises(TypeError, match=r'write @protected_elsewhere\("'):
            protected_elsewhere(lambda: "in")  # type: ignore[arg-type,return-value]
        with pytest.raises(ValueError, match="by must say"):
            protected_elsewhere("  ")
        with pytest.raises(TypeError, match="takes a view function"):
            protected_elsewhere("SSO")(MethodView)

    def test_an_unknown_setting_is_a_problem(self) -> None:
        result = run(make_app(JWT_LEWAY=7), "check")
        assert result.exit_code == 1
        assert "Problem: JWT_LEWAY (in app.config)" in result.output
        assert run(make_app(JWT_LEEWAY=7), "check").exit_code == 0
        ignored = make_app(JWT_LEWAY=7, AUTH_IGNORE_CONFIG="JWT_LEWAY")
        assert run(ignored, "check").exit_code == 0

    def test_a_weak_key_is_a_problem(self) -> None:
        for secret in (None, "short"):
            result = run(make_app(JWT_SECRET_KEY=secret), "check")
            assert result.exit_code == 1
            assert "Problem: JWT_SECRET_KEY" in result.output

    @pytest.mark.parametrize(
        ("gateways", "exit_code"),
        [
            ("0.0.0.0/0", 1),
            ("0.0.0.0/1", 1),
            ("::/0", 1),
            ("203.0.112.0/22", 1),
            ("8.8.8.0/24", 1),
            ("8.8.8.8", 0),
            ("10.0.0.0/8, fc00::/7, fd00::/8, 127.0.0.0/8, 127.0.0.1", 0),
        ],
    )
    def test_trusted_gateways_that_include_strangers_are_a_problem(
        self, gateways: str, exit_code: int
    ) -> None:
        result = run(production_app(AUTH_TRUSTED_GATEWAYS=gateways), "check")
        assert result.exit_code == exit_code
        assert ("Problem: AUTH_TRUSTED_GATEWAYS" in result.output) is bool(exit_code)

    def test_check_shows_where_keys_come_from_and_what_is_off(self) -> None:
        def keys_of_tenants(tenant_id: str, kid: str | None) -> None: ...

        app = production_app(
            JWT_ALGORITHM="RS256",
            JWT_PRIVATE_KEY=RSA_PRIVATE,
            JWT_PUBLIC_KEY=RSA_PUBLIC,
            JWT_SECRET_KEY_FALLBACKS=["f" * 40],
            JWT_TENANT_KEYS=keys_of_tenants,
            RATELIMIT_ENABLED=False,
        )
        output = run(app, "check").output
        assert "each tenant's own, from JWT_TENANT_KEYS" in output
        assert values(output)["JWT_TENANT_KEYS"].endswith("keys_of_tenants")
        assert values(output)["JWT_PUBLIC_KEY"] == "(PEM)"
        assert [line.split()[0] for line in output.splitlines() if "verifies" in line] == [
            "RS256",
            "HS256",
        ]
        assert "off (RATELIMIT_ENABLED)" in output

    @pytest.mark.parametrize("enabled", [True, False])
    @pytest.mark.parametrize(
        "url",
        [
            "redis://user:hunter%2F2@localhost:1/3",
            "redis://user:hunter@2@localhost:1/3",
            "redis://localhost:1/3?username=user&password=hunter2",
        ],
    )
    def test_the_password_of_redis_is_not_shown(self, url: str, enabled: bool) -> None:
        output = run(make_app(REDIS_URL=url, RATELIMIT_ENABLED=enabled), "check").output
        assert values(output)["REDIS_URL"] == "redis://localhost:1/3"
        assert "hunter" not in output
        assert "user" not in output.split("REDIS_URL", 1)[1].splitlines()[0]

    @pytest.mark.parametrize("enabled", [True, False])
    @pytest.mark.parametrize(
        "url",
        [
            "redis://user:hun/ter2@localhost/0",
            "redis://user:6379/hunter2@localhost/0",
            "redis+sentinel://:26379/hunter2@localhost/service",
            "redis://user:hun?ter2@localhost/0",
            "redis://user:hun#ter2@localhost/0",
            "hunter2://localhost/0",
            "redis://user:hunter2@localhost:port/0",
        ],
    )
    def test_a_url_of_redis_that_cannot_be_read_stops_the_app_and_is_not_quoted(
        self, url: str, enabled: bool
    ) -> None:
        with pytest.raises(ConfigurationError, match=r"^REDIS_URL cannot be used: ") as raised:
            make_app(REDIS_URL=url, RATELIMIT_ENABLED=enabled)
        assert re.search("hun|ter2", str(raised.value)) is None

    def test_an_app_that_serves_imports_no_command(self) -> None:
        program = (
            "import sys; from apps import make_app; app = make_app(); before = list(sys.modules)\n"
            "app.test_cli_runner().invoke(args=['auth', 'check']); after = list(sys.modules)\n"
            "at = 'flask_tenant_auth.flask.commands.'\n"
            "print(*(sum(name.startswith(at) for name in each) for each in (before, after)))"
        )
        support = str(Path(__file__).parents[1] / "support")
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": support},
            capture_output=True,
            text=True,
            check=True,
        )
        before, after = map(int, done.stdout.split())
        assert before == 0
        assert after > 0

    def test_check_works_without_tenant_auth(self) -> None:
        from flask_tenant_auth.flask.commands import auth_cli

        app = bare_app()
        app.cli.add_command(auth_cli)
        assert run(app, "check").exit_code == 0


class TestLimits:
    @pytest.fixture
    def app(self) -> Flask:
        app = make_app(RATELIMIT_DEFAULT="5 per minute", RATELIMIT_TENANT_DEFAULT="9 per hour")
        app.get("/", endpoint="root")(lambda: "in")
        app.get("/key", endpoint="key")(
            rate_limit("3 per hour", per=lambda: request.headers["X-Key"])(lambda: "in")
        )
        app.get("/closed", endpoint="closed")(verify_tenant_context(lambda: "in"))
        app.get("/role", endpoint="role")(
            rate_limit("4 per hour", per=lambda identity: identity.role)(lambda: "in")
        )
        return app

    @staticmethod
    def remaining(result: Result) -> dict[str, int]:
        assert result.exit_code == 0, result.output
        lines = [line.rpartition(": ") for line in result.output.splitlines()]
        return {scope: int(rest.partition("remaining=")[2].split()[0]) for scope, _, rest in lines}

    def test_show_prints_the_limits_of_a_user_and_counts_nothing(self, app: Flask) -> None:
        client = app.test_client()
        for _ in range(2):
            client.get("/", headers=bearer())
        for _ in range(2):
            shown = self.remaining(run(app, "limits", "show", "--tenant", TENANT, "--user", USER))
            assert (shown["default"], shown["default tenant"]) == (3, 7)
        other = self.remaining(run(app, "limits", "show", "--tenant", TENANT, "--user", OTHER_USER))
        assert (other["default"], other["default tenant"]) == (5, 7)

    def test_show_prints_only_the_limits_of_a_tenant(self, app: Flask) -> None:
        app.test_client().get("/", headers=bearer())
        assert self.remaining(run(app, "limits", "show", "--tenant", TENANT)) == {
            "default tenant": 8
        }

    def test_show_prints_the_limits_of_an_address(self, app: Flask) -> None:
        app.test_client().get("/")
        app.test_client().get("/closed")
        shown = self.remaining(run(app, "limits", "show", "--address", "127.0.0.1"))
        assert shown["default"] == 3
        assert shown["authentication failures"] == 29

    def test_reset_lets_a_limited_user_in_again(self, app: Flask) -> None:
        client = app.test_client()
        statuses = [client.get("/", headers=bearer()).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]
        result = run(app, "limits", "reset", "--tenant", TENANT, "--user", USER)
        assert result.output.startswith("reset ")
        assert client.get("/", headers=bearer()).status_code == 200

    def test_a_command_finds_the_counts_of_a_running_server(self, tmp_path: Path) -> None:
        """The command is a process of its own, and finds what the server's have counted."""
        (tmp_path / "shop.py").write_text(
            "from flask import Flask\n"
            "from flask_tenant_auth import TenantAuth\n"
            "app = Flask(__name__)\n"
            "TenantAuth(app)\n"
            "app.get('/')(lambda: 'in')\n"
            "if __name__ == '__main__':\n"
            "    client = app.test_client()\n"
            "    client.get('/')\n"
            "    print('counted', flush=True)\n"
            "    input()\n"
            "    print(client.get('/').headers['X-RateLimit-Remaining'])\n"
        )
        environment = {**os.environ, "FLASK_ENV": "development", "REDIS_URL": ""}
        run_here: dict[str, Any] = {"cwd": tmp_path, "env": environment, "text": True}
        limits = [sys.executable, "-m", "flask", "--app", "shop", "auth", "limits"]
        address = ["--address", "127.0.0.1"]
        server = subprocess.Popen(
            [sys.executable, "shop.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **run_here,
        )
        assert server.stdout is not None
        assert server.stdout.readline() == "counted\n"
        shown = subprocess.run([*limits, "show", *address], capture_output=True, **run_here)
        assert "default: 50 per 1 minute per=user remaining=49" in shown.stdout, shown.stderr
        subprocess.run([*limits, "reset", *address], capture_output=True, check=True, **run_here)
        rest, _ = server.communicate("\n", timeout=300)
        assert rest == "49\n"

    @pytest.mark.parametrize(
        "arguments",
        [
            (),
            ("--user", USER),
            ("--tenant", "x"),
            ("--address", "x"),
            ("--tenant", TENANT, "--address", "127.0.0.1"),
        ],
    )
    def test_a_command_without_one_subject_is_a_usage_error(
        self, app: Flask, arguments: tuple[str, ...]
    ) -> None:
        for command in ("show", "reset"):
            assert run(app, "limits", command, *arguments).exit_code == 2

    def test_a_command_fails_where_limits_are_off(self) -> None:
        app = make_app(RATELIMIT_ENABLED=False)
        result = run(app, "limits", "show", "--address", "127.0.0.1")
        assert result.exit_code == 1
        assert "RATELIMIT_ENABLED" in result.output
