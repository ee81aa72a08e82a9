"""The example passes `flask auth check --url`."""

from __future__ import annotations

import json
from pathlib import Path

from apps import SECRET
from email_service import create_app
from email_service.database import create_tables
from served_here import served_here


def test_the_example_passes_the_checks_of_a_running_service(tmp_path: Path) -> None:
    app = create_app(
        {
            "FLASK_ENV": "production",
            "TESTING": True,
            "DATABASE_URL": f"sqlite:///{tmp_path}/email.sqlite3",
            "AUTH_SESSION_STORE": f"sqlite:///{tmp_path}/sessions.sqlite3",
            "JWT_SECRET_KEY": SECRET,
            "REDIS_URL": "",
        }
    )
    with app.app_context():
        create_tables()
    with served_here(app) as port:
        result = app.test_cli_runner().invoke(
            args=["auth", "check", "--url", f"http://127.0.0.1:{port}", "--json"]
        )
    app.extensions["engine"].dispose()
    found = {each["check"]: each["status"] for each in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 0, result.output
    assert found["closed"] == found["cache-control"] == found["frames"] == "ok"
