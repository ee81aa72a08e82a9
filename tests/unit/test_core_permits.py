"""`Permits` of the core: what counts together, and what is given back."""

from __future__ import annotations

import gc
import os
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from flask_tenant_auth._core import PERMITS_MOST, Identity, Permits

ADDRESS = "192.0.2.7"


@pytest.fixture
def permits() -> Permits:
    return Permits("test", shared=False)


def taken(permits: Permits) -> int:
    count: int = permits.status()["taken"]
    return count


def identity(tenant: int, user: int) -> Identity:
    return Identity(str(uuid.UUID(int=tenant)), str(uuid.UUID(int=user)))


ANN = identity(1, 1)


class TestTake:
    def test_gives_as_many_as_there_are(self, permits: Permits) -> None:
        held = [permits.take(2, "s", "user", None, ADDRESS) for _ in range(3)]
        assert [each is not None for each in held] == [True, True, False]
        assert taken(permits) == 2

    @pytest.mark.parametrize(
        ("per", "other", "together"),
        [
            ("user", {"identity": identity(1, 2)}, False),
            ("user", {"address": "192.0.2.8"}, True),
            ("tenant", {"identity": identity(1, 2)}, True),
            ("tenant", {"identity": identity(2, 1)}, False),
            ("address", {"identity": identity(2, 2)}, True),
            ("address", {"address": "192.0.2.8"}, False),
            ("custom", {"custom": "two"}, False),
            ("custom", {"identity": identity(2, 2)}, True),
            ("user", {"scope": "another"}, False),
        ],
    )
    def test_counts_whom_it_is_told_to(
        self, permits: Permits, per: str, other: dict[str, Any], together: bool
    ) -> None:
        def take(
            scope: str = "s",
            identity: Identity | None = ANN,
            address: str = ADDRESS,
            custom: str = "one",
        ) -> object:
            return permits.take(1, scope, per, identity, address, custom)

        kept = take()
        assert kept is not None
        assert (take(**other) is None) == together

    def test_gives_one_back_once(self, permits: Permits) -> None:
        one = permits.take(2, "s", "user", None, ADDRESS)
        two = permits.take(2, "s", "user", None, ADDRESS)
        assert one is not None
        one.release()
        one.release()
        assert taken(permits) == 1
        assert two is not None

    def test_a_permit_that_nobody_has_is_given_back(self, permits: Permits) -> None:
        permit = permits.take(2, "s", "user", None, ADDRESS)
        assert taken(permits) == 1
        del permit
        gc.collect()
        assert taken(permits) == 0

    def test_a_permit_outlives_the_name_of_its_table(self) -> None:
        permit = Permits("test", shared=False).take(1, "s", "user", None, ADDRESS)
        gc.collect()
        assert permit is not None
        permit.release()

    def test_a_child_does_not_give_back_what_its_parent_holds(self, permits: Permits) -> None:
        permit = permits.take(1, "s", "user", None, ADDRESS)
        assert permit is not None
        child = os.fork()
        if child == 0:
            permit.release()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert taken(permits) == 1

    def test_threads_give_back_one_permit_once(self, permits: Permits) -> None:
        for _ in range(50):
            one = permits.take(3, "s", "user", None, ADDRESS)
            other = permits.take(3, "s", "user", None, ADDRESS)
            assert one is not None
            threads = [threading.Thread(target=one.release) for _ in range(4)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert taken(permits) == 1
            del other


class TestArguments:
    @pytest.mark.parametrize("place", range(6))
    @pytest.mark.parametrize("wrong", [object(), b"x", 1.5, []])
    def test_a_wrong_type_is_named(self, permits: Permits, place: int, wrong: Any) -> None:
        arguments: list[Any] = [1, "s", "user", None, ADDRESS, "one"]
        arguments[place] = wrong
        name = ("most", "scope", "per", "dentity", "address", "custom")[place]
        with pytest.raises(TypeError, match=name):
            permits.take(*arguments)
        assert taken(permits) == 0

    @pytest.mark.parametrize("most", [-1, PERMITS_MOST + 1, 2**70, -(2**70)])
    def test_a_number_out_of_range_is_an_error(self, permits: Permits, most: int) -> None:
        with pytest.raises(ValueError, match="most must be from 0 to 1000"):
            permits.take(most, "s", "user", None, ADDRESS)

    def test_other_values_out_of_range_are_errors(self, permits: Permits) -> None:
        with pytest.raises(ValueError, match="scope must be at most 255 bytes"):
            permits.take(1, "s" * 256, "user", None, ADDRESS)
        with pytest.raises(ValueError, match="per"):
            permits.take(1, "s", "nobody", None, ADDRESS)
        with pytest.raises(TypeError, match="5 or 6 arguments"):
            permits.take(1)  # type: ignore[call-arg]

    def test_a_permit_cannot_be_made(self, permits: Permits) -> None:
        permit = permits.take(1, "s", "user", None, ADDRESS)
        with pytest.raises(TypeError):
            type(permit)()


class TestStatus:
    def test_of_a_table_that_is_not_shared(self, permits: Permits) -> None:
        assert permits.status() == {
            "shared": False,
            "path": None,
            "not_shared_because": None,
            "foreign_file": None,
            "taken": 0,
        }

    def test_of_a_shared_one_and_its_end(self) -> None:
        prefix = f"test {uuid.uuid4()}"
        one, other = Permits(prefix), Permits(prefix)
        permit = one.take(1, "s", "user", None, ADDRESS)
        assert permit is not None
        assert other.take(1, "s", "user", None, ADDRESS) is None
        path = other.status()["path"]
        assert one.status()["path"] == path
        assert Path(path).exists()
        permit.release()
        one.close()
        other.close()
        del one, other, permit
        gc.collect()
        assert not Path(path).exists()
