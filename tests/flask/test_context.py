"""Whose identity the running code has."""

from __future__ import annotations

import asyncio
import threading
import uuid
from types import SimpleNamespace

import pytest

from apps import OTHER_TENANT, OTHER_USER, TENANT, USER, bearer, make_app
from flask_tenant_auth import (
    AuthError,
    UserRole,
    acting_as,
    extract_tenant_context,
    get_tenant_context,
    get_user_role,
    verify_resource_access,
    verify_tenant_context,
)
from flask_tenant_auth.flask.context import identity_in_force


class TestActingAs:
    def test_acting_as_sets_the_identity_and_restores_the_one_before(self) -> None:
        assert identity_in_force() is None
        with acting_as(TENANT, USER) as identity:
            assert identity_in_force() is identity
            assert identity.source == "local"
        assert identity_in_force() is None

    def test_the_innermost_acting_as_is_in_force(self) -> None:
        with acting_as(TENANT, USER, "admin"):
            with acting_as(OTHER_TENANT, OTHER_USER):
                assert get_tenant_context() == (OTHER_TENANT, OTHER_USER)
                assert get_user_role() == "user"
            assert get_user_role() == "admin"

    def test_an_exception_ends_acting_as(self) -> None:
        with pytest.raises(KeyError), acting_as(TENANT, USER):
            raise KeyError
        assert identity_in_force() is None

    def test_acting_as_works_as_a_decorator(self) -> None:
        job = acting_as(TENANT, UUID_OF_USER, UserRole.ADMIN)(get_user_role)
        assert [job(), job()] == ["admin", "admin"]

    def test_a_new_thread_has_no_identity(self) -> None:
        seen = []
        with acting_as(TENANT, USER):
            thread = threading.Thread(target=lambda: seen.append(identity_in_force()))
            thread.start()
            thread.join()
        assert seen == [None]

    def test_concurrent_tasks_keep_their_identities(self) -> None:
        async def work(tenant_id: str, delay: float) -> str:
            with acting_as(tenant_id, USER):
                await asyncio.sleep(delay)
                return get_tenant_context()[0]

        async def both() -> list[str]:
            return await asyncio.gather(work(TENANT, 0.002), work(OTHER_TENANT, 0.001))

        assert asyncio.run(both()) == [TENANT, OTHER_TENANT]

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (("x", USER), "tenant_id"),
            ((TENANT, None), "user_id"),
            ((TENANT, USER, "root"), "role"),
            ((TENANT, USER, 7), "role"),
        ],
    )
    def test_arguments_that_are_not_valid_raise_with_their_name(
        self, arguments: tuple[object], named: str
    ) -> None:
        with pytest.raises(ValueError, match=named), acting_as(*arguments):  # type: ignore[arg-type]
            pass


UUID_OF_USER = uuid.UUID(USER)


class TestRequests:
    def test_a_request_inside_of_another_has_its_own_identity(self) -> None:
        app = make_app()

        @app.get("/outer")
        @verify_tenant_context
        def outer() -> list[str | None]:
            inner = app.test_client().get("/inner").get_json()["who"]
            return [inner, get_tenant_context()[1]]

        @app.get("/inner")
        def inner() -> dict[str, str | None]:
            identity = identity_in_force()
            return {"who": identity and identity.user_id}

        assert app.test_client().get("/outer", headers=bearer()).get_json() == [None, USER]

    def test_extracting_an_identity_does_not_bind_it(self) -> None:
        with make_app().test_request_context(headers=bearer()):
            assert extract_tenant_context() == (TENANT, USER, "user")
            with pytest.raises(AuthError):
                get_tenant_context()

    def test_extract_returns_the_identity_of_acting_as(self) -> None:
        with acting_as(TENANT, USER, "admin"):
            assert extract_tenant_context() == (TENANT, USER, "admin")

    def test_extract_returns_nothing_outside_of_a_request(self) -> None:
        assert extract_tenant_context() == (None, None, None)

    def test_a_token_is_verified_once_a_request(self) -> None:
        app = make_app()
        seen = []

        class Counting:
            def authenticate(self, authorization: str | None) -> object:
                seen.append(authorization)
                return keyring.authenticate(authorization)

        keyring = app.extensions["tenant_auth"].keyring
        app.extensions["tenant_auth"].keyring = Counting()

        @app.get("/")
        @verify_tenant_context
        def view() -> list[str | None]:
            return list(extract_tenant_context())

        assert app.test_client().get("/", headers=bearer()).get_json() == [TENANT, USER, "user"]
        assert len(seen) == 1


class TestResources:
    """verify_resource_access with the object itself."""

    @pytest.mark.parametrize(
        ("role", "resource", "allowed"),
        [
            ("user", SimpleNamespace(tenant_id=TENANT, user_id=USER), True),
            ("user", SimpleNamespace(tenant_id=uuid.UUID(TENANT), user_id=UUID_OF_USER), True),
            ("user", SimpleNamespace(tenant_id=TENANT, user_id=OTHER_USER), False),
            ("admin", SimpleNamespace(tenant_id=TENANT, user_id=OTHER_USER), True),
            ("admin", SimpleNamespace(tenant_id=OTHER_TENANT, user_id=USER), False),
            ("user", SimpleNamespace(tenant_id=TENANT), True),
            ("user", SimpleNamespace(tenant_id=OTHER_TENANT), False),
        ],
    )
    def test_an_object_is_permitted_by_its_owner_and_role(
        self, role: str, resource: object, allowed: bool
    ) -> None:
        with acting_as(TENANT, USER, role):
            if allowed:
                assert verify_resource_access(resource) is True
            else:
                with pytest.raises(AuthError) as caught:
                    verify_resource_access(resource)
                assert caught.value.status_code == 403

    def test_an_object_whose_owner_is_none_raises(self) -> None:
        with acting_as(TENANT, USER, "admin"), pytest.raises(ValueError, match="resource_user_id"):
            verify_resource_access(SimpleNamespace(tenant_id=TENANT, user_id=None))


class Broken:
    """A resource whose user is found through something that is not there."""

    tenant_id = TENANT

    @property
    def user_id(self) -> str:
        return self.owner.user_id  # type: ignore[attr-defined]


class Everybodys:
    tenant_id = TENANT


def test_an_object_whose_owner_cannot_be_read_raises() -> None:
    with acting_as(TENANT, USER):
        with pytest.raises(AttributeError, match="owner"):
            verify_resource_access(Broken())
        assert verify_resource_access(Everybodys())
