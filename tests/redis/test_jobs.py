"""The recipe of jobs, in real workers of Celery and RQ on a real Redis."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from redis import Redis as Client
from rq import Queue

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, make_app
from flask_tenant_auth import (
    AuthError,
    Identity,
    IdentityHeadersError,
    acting_as,
    create_jwt_token,
)
from flask_tenant_auth.identity.job_headers import HEADER
from pages import blocks_of
from paths import ROOT
from servers import Redis
from waiting import until

RECIPE = ROOT / "docs" / "recipes" / "jobs.md"
SECONDS = 60

# Tasks beside those of the recipe.
MORE_TASKS = f"""
from uuid import UUID

from celery import chain, chord, group
from sqlalchemy import String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, mapped_column, sessionmaker
from flask_tenant_auth.sqlalchemy import TenantContextMissing, UserScoped, isolate, unscoped


class Base(DeclarativeBase):
    pass


class Mailbox(UserScoped, Base):
    __tablename__ = "mailbox"
    name = mapped_column(String, primary_key=True)


OWNERS = {{
    "ann": ({TENANT!r}, {USER!r}),
    "bob": ({TENANT!r}, {OTHER_USER!r}),
    "eve": ({OTHER_TENANT!r}, {USER!r}),
}}


engine = create_engine(os.environ["DATABASE"])
Base.metadata.create_all(engine)
engine.dispose()  # the processes of the worker open it anew
sessions = isolate(sessionmaker(engine))


def add_mailboxes():
    with unscoped("the rows of a test"), sessions.begin() as session:
        for name, (tenant_id, user_id) in OWNERS.items():
            session.add(Mailbox(name=name, tenant_id=UUID(tenant_id), user_id=UUID(user_id)))


def names_of_mailboxes():
    with sessions() as session:
        return sorted(session.scalars(select(Mailbox.name)))


@celery.task(base=IdentityTask)
def mailboxes():
    return names_of_mailboxes()


@celery.task
def mailboxes_of_nobody():
    try:
        return names_of_mailboxes()
    except TenantContextMissing:
        return "missing"


@celery.task(base=IdentityTask, bind=True, max_retries=2)
def second_try(self):
    if self.request.retries < 1:
        raise self.retry(countdown=0)
    return [current_identity.user_id, self.request.retries]


@celery.task(base=IdentityTask)
def whose(before=()):
    return [*before, [current_identity.user_id, sorted(current_identity.own_permissions)]]


@celery.task(base=IdentityTask)
def from_within():
    return whose.delay().id
"""


@pytest.fixture(scope="module")
def broker() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, broker: Redis) -> Iterator[Path]:
    """The modules of the recipe in a directory, and the environment of the apps in them."""
    directory = tmp_path_factory.mktemp("recipe")
    celery_block, rq_block = (
        block.text for block in blocks_of(RECIPE) if block.language == "python"
    )
    (directory / "jobs.py").write_text(celery_block + MORE_TASKS, "utf-8")
    (directory / "rq_jobs.py").write_text(rq_block, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BROKER", broker.url)
        patch.setenv("DATABASE", f"sqlite:///{directory}/rows.db")
        patch.setenv("REDIS_URL", "")
        patch.setenv("FLASK_ENV", "development")
        patch.setenv("PYTHONPATH", str(directory))
        patch.syspath_prepend(str(directory))
        for name in ("jobs", "rq_jobs"):
            patch.delitem(sys.modules, name, raising=False)
        yield directory
        for name in ("jobs", "rq_jobs"):
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def jobs(recipe: Path) -> Iterator[Any]:
    """The module of the recipe for Celery, with a worker of two processes."""
    module: Any = importlib.import_module("jobs")
    module.add_mailboxes()
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "jobs.celery",
        "worker",
        "-P",
        "prefork",
        "-c",
        "2",
    ]
    with (recipe / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "-l", "INFO"],
            cwd=recipe,
            stdout=log,
            stderr=log,
        )
    try:
        until(
            lambda: process.poll() is not None or bool(module.celery.control.ping(timeout=0.5)),
            "a worker of Celery",
        )
        assert process.poll() is None, (recipe / "worker.log").read_text("utf-8")
        yield module
        gc.collect()  # results look at the broker when they are freed
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        module.celery.close()
        module.engine.dispose()


@pytest.fixture
def rq_jobs(jobs: Any) -> ModuleType:
    return importlib.import_module("rq_jobs")


def result_of(sent: Any) -> Any:
    return sent.get(timeout=SECONDS)


class TestCelery:
    def test_a_task_runs_as_its_sender(self, jobs: Any) -> None:
        with jobs.app.app_context():
            token = create_jwt_token(TENANT, USER, "admin")
        headers = {"Authorization": f"Bearer {token}"}
        answer = jobs.app.test_client().post("/api/exports", headers=headers)
        assert answer.status_code == 202
        sent = jobs.celery.AsyncResult(answer.get_json()["job"])
        assert result_of(sent) == [TENANT, USER, "admin", "mail"]
        with jobs.app.app_context(), acting_as(TENANT, OTHER_USER):
            assert result_of(jobs.export.delay("x")) == [TENANT, OTHER_USER, "user", "x"]

    def test_the_queries_of_a_task_see_the_rows_of_its_sender(self, jobs: Any) -> None:
        seen = {
            (TENANT, USER): ["ann"],
            (TENANT, OTHER_USER): ["bob"],
            (OTHER_TENANT, USER): ["eve"],
        }
        sent = []
        with jobs.app.app_context():
            for who in seen:
                with acting_as(*who):
                    sent.append(jobs.mailboxes.delay())
            with acting_as(TENANT, USER, "admin"):
                by_admin = jobs.mailboxes.delay()
        assert [result_of(each) for each in sent] == list(seen.values())
        assert result_of(by_admin) == ["ann", "bob"]
        # The same process runs it after tasks with an identity.
        assert [result_of(jobs.mailboxes_of_nobody.delay()) for _ in range(4)] == ["missing"] * 4

    def test_what_a_task_sends_runs_as_the_same_sender(self, jobs: Any) -> None:
        who = Identity(TENANT, OTHER_USER, permissions=["x"])
        shown = [OTHER_USER, ["x"]]
        with jobs.app.app_context(), acting_as(who):
            retried = jobs.second_try.delay()
            chained = jobs.chain(jobs.whose.s(), jobs.whose.s(), jobs.whose.s())()
            grouped = jobs.group(jobs.whose.s() for _ in range(3))()
            chord = jobs.chord((jobs.whose.s() for _ in range(2)), jobs.whose.s())()
            within = jobs.from_within.delay()
        assert result_of(retried) == [OTHER_USER, 1]
        assert result_of(chained) == [shown] * 3
        assert result_of(grouped) == [[shown]] * 3
        assert result_of(chord) == [[shown], [shown], shown]
        assert result_of(jobs.celery.AsyncResult(result_of(within))) == [shown]

    def test_a_task_with_a_forged_header_or_none_fails(self, jobs: Any) -> None:
        with make_app(JWT_SECRET_KEY="f" * 64).app_context():
            foreign = Identity(TENANT, USER, "admin").to_headers()
        send = super(jobs.IdentityTask, jobs.export).apply_async
        for headers in (None, {}, {HEADER: "forged"}, foreign):
            sent = send(("mail",), headers=headers)
            with pytest.raises(IdentityHeadersError, match=HEADER):
                result_of(sent)
            assert sent.state == "FAILURE"

    def test_nobody_sends_no_task(self, jobs: Any) -> None:
        with jobs.app.app_context(), pytest.raises(AuthError):
            jobs.export.delay("mail")

    def test_a_task_that_is_called_has_no_sender(self, jobs: Any) -> None:
        with jobs.app.app_context(), acting_as(TENANT, USER), pytest.raises(IdentityHeadersError):
            jobs.export("mail")

    def test_an_eager_task_runs_as_its_sender(self, jobs: Any) -> None:
        jobs.celery.conf.update(task_always_eager=True)
        try:
            with jobs.app.app_context(), acting_as(TENANT, OTHER_USER):
                assert result_of(jobs.export.delay("x")) == [TENANT, OTHER_USER, "user", "x"]
                assert result_of(jobs.second_try.delay()) == [OTHER_USER, 1]
        finally:
            jobs.celery.conf.update(task_always_eager=False)


def work(directory: Path, broker: Redis, *options: str) -> None:
    """Let a worker of RQ do all jobs that wait."""
    subprocess.run(
        [sys.executable, "-m", "rq.cli", "worker", "--burst", "--url", broker.url, *options],
        cwd=directory,
        env=os.environ,
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )


class TestRQ:
    @pytest.mark.parametrize("serializer", ["DefaultSerializer", "JSONSerializer"])
    def test_a_job_of_rq_runs_as_its_sender(
        self, recipe: Path, broker: Redis, rq_jobs: Any, serializer: str
    ) -> None:
        name = f"rq.serializers.{serializer}"
        with Client.from_url(broker.url) as connection:
            queue = rq_jobs.IdentityQueue(connection=connection, serializer=name)
            with rq_jobs.app.app_context():
                with acting_as(TENANT, USER):
                    one = queue.enqueue(rq_jobs.rename, "Ann", meta={"kept": 1})
                with acting_as(TENANT, OTHER_USER):
                    other = queue.enqueue(rq_jobs.rename, "Bob", depends_on=one)
                    many = queue.enqueue_many([Queue.prepare_data(rq_jobs.rename, ("Cid",))])
                with pytest.raises(AuthError):
                    queue.enqueue(rq_jobs.rename, "Eve")
            work(recipe, broker, "--serializer", name)
            assert one.return_value() == [USER, "Ann"]
            assert one.get_meta()["kept"] == 1
            assert other.return_value() == [OTHER_USER, "Bob"]
            assert [each.return_value() for each in many] == [[OTHER_USER, "Cid"]]

    def test_a_job_of_rq_without_a_header_of_the_app_fails(
        self, recipe: Path, broker: Redis, rq_jobs: Any
    ) -> None:
        with make_app(JWT_SECRET_KEY="f" * 64).app_context():
            foreign = Identity(TENANT, USER, "admin").to_headers()
        with Client.from_url(broker.url) as connection:
            queue = Queue(connection=connection)
            sent = [
                queue.enqueue(rq_jobs.rename, "Ann", meta=meta)
                for meta in ({}, {HEADER: "forged"}, foreign)
            ]
            work(recipe, broker)
            for job in sent:
                until(lambda job=job: job.is_failed, "a failed job")  # type: ignore[misc]
                result = job.latest_result()
                assert result is not None
                assert "IdentityHeadersError" in str(result.exc_string)
