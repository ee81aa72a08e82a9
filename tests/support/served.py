"""The app of served_app.py under gunicorn, in production."""

from __future__ import annotations

import http.client
import json
import uuid
from pathlib import Path
from typing import Any

from apps import SECRET, bearer
from paths import SUPPORT
from servers import Gunicorn


class ServedApp(Gunicorn):
    """Workers of four threads each, not preloaded; settings of the app may be given."""

    def __init__(self, workers: int = 4, *options: str, **settings: str) -> None:
        production = {
            "FLASK_ENV": "production",
            "JWT_SECRET_KEY": SECRET,
            "RATELIMIT_KEY_PREFIX": f"served {uuid.uuid4()}",
            "RATELIMIT_SHM_BYTES": str(2**20),
            "REDIS_URL": "",
        }
        super().__init__(
            "served_app:app",
            *("--workers", str(workers), "--worker-class", "gthread", "--threads", "4"),
            *("--backlog", "1024", "--keep-alive", "60"),
            *("--pythonpath", str(SUPPORT), "--worker-tmp-dir", "/dev/shm"),
            *options,
            environment=production | settings,
        )
        self.workers = workers
        self.counters: set[str] = set()

    def ready(self) -> bool:
        """Whether a worker answers: gunicorn listens before its workers have imported the app."""
        try:
            status, counters = self.get("/public/counters")
        except OSError:
            return False
        if counters.get("path"):
            self.counters.add(counters["path"])
        return status == 200

    def close(self) -> None:
        """End the server, and remove counters whose windows have not ended."""
        super().close()
        for path in self.counters:
            Path(path).unlink(missing_ok=True)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Ask on a connection of its own, so that any worker may answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("GET", path, headers={"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def worker_pids(self) -> set[int]:
        """The processes that serve at the moment."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}


def new_user() -> dict[str, str]:
    """The Authorization header of a user that no other test has."""
    return bearer(user_id=str(uuid.uuid4()))
