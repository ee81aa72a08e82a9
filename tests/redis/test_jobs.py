"""The recipe of jobs, in real workers of Celery and RQ on a real Redis."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client
from rq import Queue

from apps import OTHER_USER, TENANT, USER
from pages import blocks_of
from paths import ROOT
from servers import Redis

RECIPE = ROOT / "docs" / "recipes" / "jobs.md"

# Rows of a task, which the recipe leaves to the app: the isolated session sees those of the sender.
ROWS = """
from sqlalchemy import ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column
from sqlalchemy import String
from flask_tenant_auth.sqlalchemy import TenantScoped, isolate


class Base(DeclarativeBase):
    pass


class Mailbox(TenantScoped, Base):
    __tablename__ = "mailbox"
    id = mapped_column(String, primary_key=True)
    tenant_id = mapped_column(String)
    user_id = mapped_column(String)


@celery.task(name="mailboxes")
def mailboxes():
    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with engine.begin() as connection:
        for user in USERS:
            connection.execute(
                Mailbox.__table__.insert(), {"id": user, "tenant_id": TENANT, "user_id": user}
            )
    isolate(engine)
    with Session(engine) as session:
        return list(session.scalars(select(Mailbox.id)))
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, Redis]]:
    """The modules of the recipe in a directory, and a Redis that they use."""
    blocks = [block.text for block in blocks_of(RECIPE) if block.language == "python"]
    (tmp_path / "jobs.py").write_text(blocks[0], "utf-8")
    (tmp_path / "rq_jobs.py").write_text(f"from jobs import *\n{blocks[1]}", "utf-8")
    with Redis() as redis:
        monkeypatch.setenv("BROKER", redis.url)
        monkeypatch.setenv("REDIS_URL", "")
        monkeypatch.setenv("FLASK_ENV", "development")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("jobs", "rq_jobs"):
            sys.modules.pop(name, None)
        yield tmp_path, redis
        for name in ("jobs", "rq_jobs"):
            sys.modules.pop(name, None)


@contextmanager
def worker(directory: Path, *command: str) -> Iterator[None]:
    environment = os.environ | {"PYTHONPATH": str(directory)}
    log = (directory / "worker.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=directory, env=environment, stdout=log, stderr=log
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        log.close()


def test_a_task_of_celery_runs_as_its_sender(recipe: tuple[Path, Redis]) -> None:
    directory, _ = recipe
    import jobs  # type: ignore[import-not-found]

    from flask_tenant_auth import acting_as, create_jwt_token
    from flask_tenant_auth.identity.job_headers import HEADER

    command = ("celery", "-A", "jobs", "worker", "-P", "solo", "--without-gossip", "-l", "INFO")
    with worker(directory, *command), jobs.app.app_context():
        token = create_jwt_token(TENANT, USER, "admin")
        headers = {"Authorization": f"Bearer {token}"}
        answer = jobs.app.test_client().post("/api/exports", headers=headers)
        result = jobs.celery.AsyncResult(answer.get_json()["job"])
        assert result.get(timeout=60) == [TENANT, USER, "admin", "mail"]
        with acting_as(TENANT, OTHER_USER):
            assert jobs.export.delay("x").get(timeout=60) == [TENANT, OTHER_USER, "user", "x"]
        send: Any = super(jobs.IdentityTask, jobs.export).apply_async
        for wrong in ({}, {HEADER: "forged"}):
            with pytest.raises(ValueError, match=HEADER):
                send(("mail",), headers=wrong).get(timeout=60)


def test_the_queries_of_a_task_see_the_rows_of_its_sender(recipe: tuple[Path, Redis]) -> None:
    directory, _ = recipe
    names = f"TENANT = {TENANT!r}\nUSERS = {(USER, OTHER_USER)!r}\n"
    with (directory / "jobs.py").open("a") as module:
        module.write(names + ROWS)
    import jobs

    from flask_tenant_auth import acting_as

    command = ("celery", "-A", "jobs", "worker", "-P", "solo", "--without-gossip", "-l", "INFO")
    with worker(directory, *command), jobs.app.app_context():
        for user in (USER, OTHER_USER):
            with acting_as(TENANT, user):
                assert jobs.mailboxes.delay().get(timeout=60) == [user]
        with acting_as(TENANT, USER, "admin"):
            assert sorted(jobs.mailboxes.delay().get(timeout=60)) == sorted((USER, OTHER_USER))


def test_a_job_of_rq_runs_as_its_sender(recipe: tuple[Path, Redis]) -> None:
    directory, redis = recipe
    import rq_jobs  # type: ignore[import-not-found]

    from flask_tenant_auth import acting_as, current_identity

    with Client.from_url(redis.url) as connection:
        queue = Queue(connection=connection)
        with rq_jobs.app.app_context(), acting_as(TENANT, USER):
            good = queue.enqueue(rq_jobs.rename, current_identity.to_headers(), "Ann")
            bad = queue.enqueue(rq_jobs.rename, {}, "Ann")
        subprocess.run(
            [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", redis.url],
            cwd=directory,
            env=os.environ | {"PYTHONPATH": str(directory)},
            check=True,
            capture_output=True,
            timeout=60,
        )
        assert good.return_value() == [USER, "Ann"]
        assert bad.is_failed
