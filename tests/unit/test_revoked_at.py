"""What a store says of the last revocation around a user, which ends its device cookies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER
from flask_tenant_auth.sessions.store import Kind, Revocation, SessionStore
from flask_tenant_auth.sessions.stores import store_of
from memory_session_store import MemorySessionStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionStore]:
    if request.param == "memory":
        yield MemorySessionStore()
        return
    made = store_of(f"sqlite:///{tmp_path}/sessions.db", str(tmp_path))
    yield made
    made.close()


@pytest.mark.parametrize(
    ("kind", "tenant_id", "user_id", "except_session", "concerns"),
    [
        ("user", TENANT, USER, None, True),
        # Nobody knows of a device whose session was spared.
        ("user", TENANT, USER, "0198a3b0-7c3e-7000-8000-000000000001", True),
        ("tenant", TENANT, None, None, True),
        ("everything", None, None, None, True),
        ("user", TENANT, OTHER_USER, None, False),
        ("user", OTHER_TENANT, USER, None, False),
        ("tenant", OTHER_TENANT, None, None, False),
        ("session", TENANT, USER, None, False),
    ],
)
def test_the_last_revocation_of_a_user_its_tenant_or_everything_counts(
    store: SessionStore,
    kind: Kind,
    tenant_id: str | None,
    user_id: str | None,
    except_session: str | None,
    concerns: bool,
) -> None:
    assert store.revoked_at(TENANT, USER) == 0
    added = store.revoke(
        Revocation(
            kind=kind,
            tenant_id=tenant_id,
            user_id=user_id,
            id="0198a3b0-7c3e-7000-8000-000000000002" if kind == "session" else None,
            except_session=except_session,
            ends_at=store.now() + 86_400_000,
        ),
        "revoked",
    )
    assert added.at > 0
    assert store.revoked_at(TENANT, USER) == (added.at if concerns else 0)
