"""Identities of the core that outlive what they were read from, and code that runs meanwhile."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flask_tenant_auth._core import (
    Identity,
    InvalidToken,
    Key,
    Keyring,
    Roles,
    is_permission,
    permission_number,
    set_identity_codec,
)
from flask_tenant_auth.flask.job_headers import from_headers, to_headers
from hostile import Attack, hostile_class

SECRET = b"a secret of the tests, 32 bytes or more"
TENANT = "6f0b1c2e-3d4a-4b5c-8d6e-7f8091a2b3c4"
USER = "550e8400-e29b-41d4-a716-446655440000"


def payload(**more: Any) -> bytes:
    claims = {"tenant_id": TENANT, "user_id": USER, "exp": int(time.time()) + 600, **more}
    return json.dumps({name: value for name, value in claims.items() if value is not None}).encode()


def keyring_of(**rules: Any) -> Keyring:
    return Keyring([Key.secret("HS256", SECRET)], **rules)


def verified(keyring: Keyring, **more: Any) -> Identity:
    identity = keyring.verify(keyring.sign(payload(**more)))
    assert isinstance(identity, Identity)
    return identity


@pytest.fixture
def codec() -> Iterator[None]:
    """The test may set one: the package's own is there again afterwards."""
    yield
    set_identity_codec(to_headers, from_headers)


class TestLife:
    def test_an_identity_outlives_its_keyring_roles_and_token(self) -> None:
        roles = Roles(("one", "two"), grants=((), ("life:*",)))
        number = permission_number("life:read")
        keyring = keyring_of(roles=roles, places={"role": ("/r/0",)})
        identity = verified(keyring, r=["two"], permissions=["p"], act={"sub": "somebody"})
        del keyring, roles
        gc.collect()
        assert (identity.role, identity.actor) == ("two", "somebody")
        assert {"p", "life:read"} <= identity.permissions
        assert identity.permits(number)
        assert identity.claims["r"] == ["two"]
        assert "two" in repr(identity)

    def test_what_is_read_of_an_identity_is_its_own(self) -> None:
        identity = verified(keyring_of(), nested={"a": [1]}, permissions=["p"])
        identity.claims["nested"]["a"].clear()
        with pytest.raises(TypeError):
            identity.claims["exp"] = 1  # type: ignore[index]
        assert identity.permissions == frozenset({"p"})
        assert identity.expires_at == identity.claims["exp"]
        assert copy.copy(identity) is identity
        assert copy.deepcopy(identity) is identity

    def test_a_pickle_has_the_permissions_and_claims_and_no_token(self) -> None:
        keyring = keyring_of(roles=Roles(("user",), grants=(("kept:*",),)))
        permission_number("kept:x")
        token = keyring.sign(payload(permissions=["p"], sid="s"))
        identity = keyring.verify(token)
        pickled = pickle.dumps(identity)
        assert token.encode().split(b".")[2] not in pickled
        again = pickle.loads(pickled)
        assert again == identity
        assert again.permissions == frozenset({"p", "kept:x"})
        assert (again.claims, again.session_id) == (identity.claims, "s")

    def test_a_permission_that_gets_its_number_late_counts(self) -> None:
        keyring = keyring_of(roles=Roles(("user",), grants=(("late:a", "late-b:*"),)))
        before = verified(keyring, permissions=["late-c"])
        assert before.permits("late-c")
        numbers = [permission_number(name) for name in ("late:a", "late-b:x", "late-c", "late-d")]
        for identity in (before, verified(keyring, permissions=["late-c"])):
            assert [identity.permits(number) for number in numbers] == [True, True, True, False]
            assert identity.permits("late-b:never numbered".replace(" ", "-"))
            assert not identity.permits("late-b:")
        assert not before.permits(10**6)
        with pytest.raises(OverflowError):
            before.permits(-1)

    @pytest.mark.parametrize("value", [True, 1.5, None, b"p", ["p"]])
    def test_a_permission_is_a_name_or_a_number(self, value: Any) -> None:
        with pytest.raises(TypeError, match="permission must be str"):
            Identity(TENANT, USER).permits(value)

    def test_a_name_is_a_permission_or_not(self) -> None:
        assert is_permission("mail:read")
        assert not is_permission("mail read")
        with pytest.raises(TypeError):
            is_permission(7)  # type: ignore[arg-type]


class TestDefaultRole:
    def test_who_asked_is_told_of_a_role_that_is_not_known(self) -> None:
        told: list[Identity] = []
        keyring = keyring_of(on_default_role=told.append)
        identity = verified(keyring, role="root")
        assert identity.role_is_default
        assert told == [identity]
        assert not verified(keyring, role=["x", "admin"]).role_is_default
        assert len(told) == 1
        assert isinstance(keyring.verify(keyring.sign(payload(exp=1))), InvalidToken)
        assert isinstance(keyring.decode(keyring.sign(payload())), dict)
        assert len(told) == 1

    def test_an_exception_of_it_is_no_fault_of_the_token(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Any] = []
        monkeypatch.setattr(sys, "unraisablehook", seen.append)

        def fail(_identity: Identity) -> None:
            raise RuntimeError("no log")

        assert verified(keyring_of(on_default_role=fail)).role == "user"
        assert [type(each.exc_value) for each in seen] == [RuntimeError]

    def test_it_may_drop_the_keyring_and_call_the_core(self) -> None:
        held: list[Keyring] = []
        seen: list[str] = []

        def drop(identity: Identity) -> None:
            held.clear()
            gc.collect()
            seen.append(identity.user_id + str(sorted(identity.claims)))
            keyring_of().sign(payload())

        held.append(keyring_of(on_default_role=drop))
        token = held[0].sign(payload())
        verify = held[0].verify
        assert verify(token) == Identity(TENANT, USER)
        assert held == []
        assert len(seen) == 1


@pytest.mark.usefixtures("codec")
class TestCodec:
    def test_the_codec_makes_and_reads_the_headers(self) -> None:
        identity = Identity(TENANT, USER)
        set_identity_codec(lambda given: {"who": given.user_id}, lambda headers: identity)
        assert identity.to_headers() == {"who": USER}
        assert Identity.from_headers({"who": USER}) is identity

    def test_a_codec_that_replaces_itself_during_its_call_does_no_harm(self) -> None:
        identity = Identity(TENANT, USER)

        class Codec:
            def __init__(self, depth: int) -> None:
                self.depth = depth
                self.text = str(depth) * 100

            def __call__(self, _value: object) -> Any:
                if self.depth:
                    set_identity_codec(Codec(self.depth - 1), Codec(self.depth - 1))
                    gc.collect()
                    identity.to_headers()
                return self.text

        set_identity_codec(Codec(3), Codec(3))
        assert identity.to_headers() == "3" * 100  # type: ignore[comparison-overlap]
        assert identity.to_headers() == "0" * 100  # type: ignore[comparison-overlap]

    def test_an_exception_of_the_codec_is_raised(self) -> None:
        set_identity_codec(lambda _: 1 // 0, None)  # type: ignore[arg-type, return-value]
        with pytest.raises(ZeroDivisionError):
            Identity(TENANT, USER).to_headers()
        with pytest.raises(TypeError, match="not callable"):
            Identity.from_headers({})

    @pytest.mark.parametrize("arguments", [(), (print,), (print, print, print)])
    def test_there_are_two_of_them(self, arguments: Any) -> None:
        with pytest.raises(TypeError):
            set_identity_codec(*arguments)


class TestAttacks:
    def test_a_mapping_of_claims_that_calls_back_does_no_harm(self) -> None:
        attack = Attack()
        attack.again = lambda: verified(keyring_of()).claims
        kind = hostile_class(str, attack)
        for _ in range(20):
            identity = Identity(
                TENANT,
                USER,
                kind("admin"),
                permissions=hostile_class(set, attack)({kind("a"), kind("b")}),
                claims=hostile_class(dict, attack)({kind("x"): [kind("y")]}),
                actor=kind("somebody"),
            )
            assert identity.permissions >= {"a", "b"}
            assert identity.with_roles(Roles(("admin",))).role == "admin"
            assert hash(identity) == hash(Identity(TENANT, USER, "admin"))
            pickle.loads(pickle.dumps(Identity(TENANT, USER, permissions=["a"])))
        assert attack.runs > 50

    def test_the_kind_of_a_role_is_str_whatever_was_given(self) -> None:
        kind = hostile_class(str, Attack())
        identity = Identity(TENANT, USER, kind("some role"), actor=kind("x"))
        assert (type(identity.role), type(identity.actor)) == (str, str)
        roles = Roles((kind("a"), kind("b")))
        assert {type(name) for name in roles.names} == {str}
        assert Identity(TENANT, USER, "b", roles=roles).role is roles.names[1]

    def test_arguments_that_are_emptied_meanwhile_were_copied(self) -> None:
        attack = Attack()
        kind = hostile_class(str, attack)
        for name, value in (
            ("places", {"role": (kind("a"), kind("b")), kind("user_id"): (kind("user_id"),)}),
            ("role_map", {kind("x"): kind("admin"), "y": "user"}),
            ("required", {kind("x"): (kind("y"), 7, True)}),
        ):
            attack.containers = [value]
            assert keyring_of(**{name: value}).core_claims
        attack.containers = []
