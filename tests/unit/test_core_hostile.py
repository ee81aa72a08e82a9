"""Every callable of the core, with each argument in turn an object that fights back.

What is wrong here is found by a build with AddressSanitizer, for which `make test` runs this file
too: on an ordinary build a use after free often goes well.
"""

from __future__ import annotations

import contextlib
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apps import TENANT, USER, nested_payload, token
from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    AuditLog,
    Identity,
    Key,
    Keyring,
    Limit,
    Limiter,
    Rate,
    Revocations,
)
from hostile import Attack, Fresh, Shrinking, hostile_class, variants
from key_pairs import EC_PRIVATE
from middleware import cors_rules

SECRET = b"s" * 64
REFUSALS = (TypeError, ValueError, OverflowError, OSError, MemoryError, KeyError, IndexError)


def limits() -> list[Limit]:
    """Made anew for each call, so that nobody else holds them."""
    return [Limit(Rate(1000000 + n, 3600), scope=f"scope {n}", per="custom") for n in range(3)]


AUDIT_KEY = bytes(range(64))


class Core:
    """One of each object, and every call there is, with arguments that are right."""

    def __init__(self, directory: Path) -> None:
        self.key = Key.secret("HS256", SECRET)
        self.pair = Key.pem("ES256", EC_PRIVATE.encode())
        self.roles = _core.Roles(("user", "admin"), grants=(("a",), ("b:*",)))
        self.cors = cors_rules(resources=("/api/",), origins=("https://*.b.example",))
        self.keyring = Keyring([self.pair, self.key])
        self.token = self.keyring.sign(nested_payload())
        self.refresh_token = _core.make_refresh_token(SECRET, b"salt", TENANT, 7)
        self.limiter = Limiter(prefix="hostile", shm_bytes=2**16, shared=False)
        self.api_key = _core.make_api_key()[0]
        self.metrics = _core.Metrics("hostile", shared=False)
        self.key_cache = _core.KeyCache("hostile", slots=4, shared=False)
        self.table = Revocations("hostile", slots=16, shared=False)
        self.redis = _core.RedisClient("redis://127.0.0.1:1", timeout_ms=5)
        self.log = AuditLog(str(directory / "log"))
        self.chained = AuditLog(str(directory / "chained"), (AUDIT_KEY,))
        self.path = str(directory / "log")

    def calls(self) -> dict[str, tuple[Callable[..., Any], list[Any], dict[str, Any]]]:
        identity = Identity(TENANT, USER)
        hit = [limits(), identity, "192.0.2.1", ["a", "b", "c"]]
        stored = _core.hash_password(b"password", 1000)
        return {
            "is_valid_uuid": (_core.is_valid_uuid, [TENANT], {}),
            "plain_address": (_core.plain_address, ["[2001:db8::1%eth0]:443"], {}),
            "describe_redis_url": (_core.describe_redis_url, ["redis://:pw@h/1"], {}),
            "shift_clock": (_core.shift_clock, [0.0, 0.0], {}),
            "hash_password": (_core.hash_password, [b"password", 1000], {}),
            "verify_password": (_core.verify_password, [b"password", stored], {}),
            "password_iterations": (_core.password_iterations, [stored], {}),
            "parse_bearer": (_core.parse_bearer, [f"Bearer {self.token}"], {}),
            "find_cookie": (_core.find_cookie, ["a=1; b=2", "b"], {}),
            "peek_token": (_core.peek_token, [self.token, "iss"], {}),
            "is_http_token": (_core.is_http_token, ["GET"], {}),
            "CorsRules": (
                _core.CorsRules,
                [],
                {
                    "resources": ("/api/",),
                    "origins": ("https://a.example", "https://*.b.example"),
                    "methods": ("GET",),
                    "allow_headers": ("*",),
                    "expose_headers": ("X-A", "X-B"),
                    "max_age": 600,
                    "credentials": True,
                },
            ),
            "allows": (self.cors.allows, ["https://x.b.example"], {}),
            "is_preflight": (
                self.cors.is_preflight,
                ["OPTIONS", "/api/x", "https://x.b.example", "PUT"],
                {},
            ),
            "read_api_key": (_core.read_api_key, [self.api_key], {}),
            "KeyCache": (
                _core.KeyCache,
                ["hostile"],
                {"app": "a", "slots": 4, "shared": False, "directory": "."},
            ),
            "begin": (self.key_cache.begin, [self.api_key[4:20]], {}),
            "put": (self.key_cache.put, [self.api_key[4:20], (0, 0), 5, b"value"], {}),
            "find": (self.key_cache.find, [self.api_key[4:20]], {}),
            "drop": (self.key_cache.drop, [self.api_key[4:20]], {}),
            "Metrics": (
                _core.Metrics,
                ["hostile"],
                {"app": "a", "shared": False, "tenants": [TENANT]},
            ),
            "count": (self.metrics.count, ["tenant_auth_jwks_fetches", "failed", "https://a"], {}),
            "observe": (self.metrics.observe, ["tenant_auth_verification_seconds", 5], {}),
            "touch": (self.metrics.touch, ["tenant_auth_jwks_age_seconds", "https://a"], {}),
            "parse_rates": (_core.parse_rates, ["5 per minute; 9 per hour"], {}),
            "Identity": (
                Identity,
                [TENANT, USER, "admin"],
                {
                    "source": "token",
                    "permissions": ["a", "b"],
                    "claims": {"a": [1]},
                    "actor": "somebody",
                    "expires_at": 5.5,
                    "roles": self.roles,
                    "api_key_id": self.api_key[4:20],
                },
            ),
            "permits": (identity.permits, ["a"], {}),
            "has_role": (identity.has_role, [(self.roles, frozenset({"user"}))], {}),
            "with_roles": (identity.with_roles, [self.roles], {}),
            "Roles": (
                _core.Roles,
                [("user", "admin")],
                {"tenant_roles": ("admin",), "grants": (("a", "b:*"), ("*",))},
            ),
            "grants": (self.roles.grants, ["user", "a"], {}),
            "is_permission": (_core.is_permission, ["a"], {}),
            "permission_number": (_core.permission_number, ["a"], {}),
            "Key.secret": (Key.secret, ["HS256", SECRET], {"kid": "k", "allow_weak": True}),
            "Key.pem": (Key.pem, ["ES256", EC_PRIVATE.encode()], {"kid": "k"}),
            "Key.jwk": (Key.jwk, [self.pair.public_jwk() | {"key_ops": ["verify"]}], {}),
            "Keyring": (
                Keyring,
                [[Key.secret("HS256", SECRET), self.pair]],
                {
                    "issuer": "me",
                    "audiences": ["a", "b"],
                    "leeway": 1.0,
                    "max_token_bytes": 99,
                    "roles": self.roles,
                    "places": {"role": ("/a/b", "c"), "user_id": ("sub",)},
                    "role_map": {"Owner": "admin", "Member": "user"},
                    "default_role": "user",
                    "id_namespace": TENANT,
                    "required": {"d": ("x", 5, True), "/e/f": ("y",)},
                    "without_identity": False,
                    "on_default_role": print,
                    "revocations": self.table,
                },
            ),
            "sign": (self.keyring.sign, [nested_payload()], {}),
            "issue": (self.keyring.issue, [identity, 1, 2, b'{"a":[1]}'], {}),
            "claimed_tenant": (self.keyring.claimed_tenant, [self.token], {}),
            "verify": (self.keyring.verify, [self.token], {}),
            "decode": (self.keyring.decode, [self.token], {}),
            "authenticate": (self.keyring.authenticate, [f"Bearer {self.token}"], {}),
            "make_refresh_token": (
                _core.make_refresh_token,
                [],
                {"key": SECRET, "salt": b"salt", "session_id": TENANT, "counter": 7},
            ),
            "read_refresh_token": (_core.read_refresh_token, [self.refresh_token], {}),
            "check_refresh_token": (
                _core.check_refresh_token,
                [(SECRET, SECRET + b"2"), b"salt", self.refresh_token],
                {},
            ),
            "uuid7": (_core.uuid7, [1_700_000_000_000], {}),
            "derive_key": (_core.derive_key, [SECRET, b"salt", b"info", 32], {}),
            "Revocations": (
                Revocations,
                ["hostile"],
                {
                    "slots": 16,
                    "shared": False,
                    "directory": "/nowhere",
                    "token_max_ms": 1000,
                    "silent_max_ms": 1000,
                },
            ),
            "add": (
                self.table.add,
                ["user"],
                {
                    "at": 1,
                    "ends_at": 2**50,
                    "tenant_id": TENANT,
                    "user_id": USER,
                    "except_session": "s",
                },
            ),
            "check": (self.table.check, [TENANT, USER, "s", "j", 1.5, b"d" * 32], {}),
            "mark_filled": (self.table.mark_filled, ["7"], {}),
            "waive": (self.table.waive, [True], {}),
            "AuditLog": (AuditLog, [self.path], {"keys": (AUDIT_KEY,)}),
            "note": (self.chained.note, ["signed", 7], {}),
            "audit_public_key": (_core.audit_public_key, [AUDIT_KEY], {}),
            "sign_audit_erasure": (_core.sign_audit_erasure, [AUDIT_KEY, b"d" * 32], {}),
            "read_audit_head": (_core.read_audit_head, [b"h" * 144, (AUDIT_KEY,)], {}),
            "verify_audit_lines": (
                _core.verify_audit_lines,
                [[None, b"a\n", b"b"], (AUDIT_KEY, _core.audit_public_key(AUDIT_KEY))],
                {},
            ),
            "find_audit_lines": (
                _core.find_audit_lines,
                [b"a b\nb c\n", (b"b", b"c")],
                {"since": b"2026", "until": b"2027"},
            ),
            "write": (self.log.write, ["GET", "/", 200, identity, "::1", "agent", None], {}),
            "Rate": (Rate, [5, 60], {}),
            "Limit": (Limit, [Rate(5, 60)], {"scope": "s", "per": "tenant", "cost": 1}),
            "share": (Limit(Rate(5, 60), scope="s", per="tenant").share, [0.5], {}),
            "Limiter": (
                Limiter,
                [],
                {
                    "prefix": "hostile",
                    "app": "a",
                    "strategy": "gcra",
                    "shm_bytes": 2**16,
                    "shared": False,
                    "redis_url": "redis://127.0.0.1:1",
                    "timeout_ms": 5,
                    "on_store_error": "deny",
                    "lease": 0.5,
                },
            ),
            "RedisClient": (
                _core.RedisClient,
                ["redis://127.0.0.1:1"],
                {"tag": "t", "timeout_ms": 5},
            ),
            "call": (self.call_redis, ["SET", b"key", 7], {"wait_ms": 1}),
            "hit": (self.limiter.hit, hit, {}),
            "peek": (self.limiter.peek, hit, {}),
            "reserve": (self.limiter.reserve, hit, {}),
            "give_back": (self.limiter.reserve(*hit).give_back, [0, 3], {}),
            "reset": (self.limiter.reset, hit, {}),
            "table_of_another_user": (Limiter.table_of_another_user, ["hostile", "a"], {}),
        }

    def call_redis(self, *words: Any, **options: Any) -> None:
        """Call a Redis that is not there."""
        with contextlib.suppress(ConnectionError):
            self.redis.call(*words, **options)

    def again(self) -> None:
        """The core, called from within a call into the core."""
        self.keyring.verify(self.token)
        self.keyring.decode(self.token)
        self.limiter.hit(limits(), None, "192.0.2.2", ["x"])
        self.table.add("tenant", at=1, ends_at=2**50, tenant_id=TENANT)
        self.table.check(TENANT, USER, None, None, None)
        self.log.write("GET", "/again", 200, None, None, None, None)
        self.log.reopen()
        _core.parse_rates("1 per day")


NAMES = [
    *(
        "is_valid_uuid",
        "plain_address",
        "describe_redis_url",
        "shift_clock",
        "hash_password",
        "verify_password",
    ),
    "password_iterations",
    *(
        "find_cookie",
        "parse_bearer",
        "is_http_token",
        "parse_rates",
        "Identity",
        "Key.secret",
        "Key.pem",
    ),
    *("Key.jwk", "Keyring", "sign", "issue", "verify", "decode", "authenticate", "AuditLog"),
    *("permits", "has_role", "with_roles", "Roles", "grants", "permission_number", "is_permission"),
    *("read_api_key", "KeyCache", "begin", "put", "find", "drop"),
    *("uuid7", "derive_key"),
    *("note", "audit_public_key", "sign_audit_erasure", "read_audit_head"),
    *("verify_audit_lines", "find_audit_lines"),
    *("make_refresh_token", "read_refresh_token", "check_refresh_token"),
    *("peek_token", "claimed_tenant", "Revocations", "add", "check", "mark_filled", "waive"),
    *("write", "Rate", "Limit", "share", "Limiter", "hit", "peek", "reset"),
    *("reserve", "give_back"),
    *("Metrics", "count", "observe", "touch"),
    *("RedisClient", "call"),
    *("table_of_another_user", "CorsRules", "allows", "is_preflight"),
]


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Core:
    """Made where files of whatever name an attack gives to an audit log do no harm."""
    monkeypatch.chdir(tmp_path)
    return Core(tmp_path)


def test_the_list_of_calls_has_every_callable_of_the_core(core: Core) -> None:
    """Those of one request's object have a file of their own."""
    assert sorted(core.calls()) == sorted(NAMES)
    functions = {
        name
        for name, value in vars(_core).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("__")
    }
    of_requests = {"authenticate_and_count", "open_record"}  # test_hostile_environ.py
    of_the_process = {"set_identity_codec"}  # other tests need what it has been given
    no_argument = {"now", "reset_clock", "make_api_key"}
    assert functions - set(NAMES) - of_requests - of_the_process <= no_argument
    kinds = (Identity, Key, Keyring, AuditLog, Limit, Limiter, _core.Reservation, _core.Roles)
    for kind in (*kinds, Revocations, _core.KeyCache, _core.RedisClient):
        methods = {name for name, value in vars(kind).items() if callable(value) and name[0] != "_"}
        known = {name.rpartition(".")[2] for name in NAMES}
        no_argument = {"public_jwk", "reopen", "status", "close", "check_redis", "ask_redis"}
        no_argument |= {"entries", "lead", "clear"}
        of_python = {"to_headers", "from_headers"}  # call what set_identity_codec was given
        assert methods - known <= no_argument | of_python, kind


@pytest.mark.parametrize("name", NAMES)
def test_the_listed_arguments_are_accepted(core: Core, name: str) -> None:
    function, args, kwargs = core.calls()[name]
    function(*args, **kwargs)


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_that_mutates_the_others_during_the_call_does_no_harm(
    core: Core, name: str
) -> None:
    attack = Attack()
    attack.again = core.again
    function, args, kwargs = core.calls()[name]
    places: list[Any] = [*range(len(args)), *kwargs]
    refused = taken = 0
    for place in places:
        value = args[place] if isinstance(place, int) else kwargs[place]
        for index in range(len(list(variants(value, Attack())))):
            # Everything anew: an attack empties the lists that it is given.
            function, fresh_args, fresh_kwargs = core.calls()[name]
            target: Any = fresh_args if isinstance(place, int) else fresh_kwargs
            hostile = list(variants(target[place], attack))[index]
            target[place] = hostile
            attack.containers = [
                one
                for one in (*fresh_args, *fresh_kwargs.values(), hostile, fresh_kwargs)
                if isinstance(one, list | dict | bytearray)
            ]
            try:
                function(*fresh_args, **fresh_kwargs)
                taken += 1
            except REFUSALS:
                refused += 1
            attack.containers = []
            del hostile, target, fresh_args, fresh_kwargs
    assert refused + taken >= 6 * len(places)
    assert attack.runs > 0
    # The core is none the worse for it.
    assert isinstance(core.keyring.verify(core.token), Identity)
    assert core.limiter.hit(limits(), None, "192.0.2.9").allowed


@pytest.mark.parametrize("made", [list, tuple])
def test_a_sequence_that_shrinks_during_iteration_does_no_harm(core: Core, made: type) -> None:
    attack = Attack()
    attack.again = core.again
    keyring = Keyring(Shrinking([Key.secret("HS256", SECRET) for _ in range(1)], attack))
    assert len(keyring.keys) == 1
    assert isinstance(keyring.verify(token(key=None)), _core.InvalidToken)
    items = Shrinking(limits(), attack)
    decision = core.limiter.hit(items, None, "192.0.2.1", Shrinking(["a", "b"], attack))
    assert decision.allowed
    with pytest.raises(TypeError):
        core.limiter.hit(made([made()]), None, "192.0.2.1")
    assert attack.runs > 4


def test_a_mapping_that_makes_its_values_anew_does_no_harm(core: Core) -> None:
    attack = Attack()
    attack.again = core.again
    jwk = core.pair.public_jwk()
    key = Key.jwk(Fresh(jwk | {"kid": "from a mapping"}, attack))
    assert key.kid == "from a mapping"
    assert attack.runs >= len(jwk)


def test_a_str_subclass_counts_by_its_characters_whatever_its_methods_say(core: Core) -> None:
    liar = hostile_class(str, Attack())
    assert _core.is_valid_uuid(liar(TENANT))
    assert Identity(liar(TENANT), liar(USER)) == Identity(TENANT, USER)
    assert isinstance(core.keyring.verify(liar(core.token)), Identity)
    assert Limit(Rate(1, 1), scope=liar("s")).scope == "s"


def test_a_finalizer_that_calls_back_during_deallocation_does_no_harm(core: Core) -> None:
    attack = Attack()
    attack.again = core.again
    kind = hostile_class(str, attack)
    for _ in range(20):
        limit = Limit(Rate(9, 9), scope=kind("scope"))
        core.limiter.hit([limit], None, kind("192.0.2.1"), [kind("c")])
        del limit
        core.log.write(kind("GET"), kind("/"), 200, None, kind("::1"), kind("a"), kind("r"))
    gc.collect()
    assert attack.runs > 50


def test_buffers_that_can_be_resized_are_not_taken(core: Core) -> None:
    for wrong in (bytearray(b"x" * 64), memoryview(bytearray(64))):
        with pytest.raises(TypeError):
            core.keyring.sign(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            core.keyring.verify(wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            _core.hash_password(wrong, 1000)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            Key.secret("HS256", wrong)  # type: ignore[arg-type]


def test_a_garbage_collection_during_decoding_does_no_harm(
    core: Core,
) -> None:
    """A finalizer, run by an allocation, empties every container that it can find.

    Where the collector has one generation it finds the dicts of other tests and of types too.
    """
    mark, last = "decoded during a collection", "list"  # the first claim and the last one
    token = core.keyring.sign(json.dumps({"mark": mark} | json.loads(nested_payload())).encode())

    class Garbage:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            for one in gc.get_objects(generation=0):
                if type(one) is dict and one.get("mark") == mark and last not in one:
                    one.clear()

    before = gc.get_threshold()
    gc.set_threshold(3)
    try:
        for _ in range(200):
            Garbage()
            decoded = core.keyring.decode(token)
            assert isinstance(decoded, dict)
    finally:
        gc.set_threshold(*before)


def test_the_core_can_be_called_while_the_interpreter_ends() -> None:
    program = """
import os
from flask_tenant_auth import _core
class Last:
    def __init__(self):
        self.key = _core.Key.secret("HS256", b"s" * 64)
        self.ring = _core.Keyring([self.key])
        self.limiter = _core.Limiter(prefix="last", shm_bytes=65536, shared=False)
        self.limit = _core.Limit(_core.Rate(5, 60), scope="s")
        self.me = self
        self.write = os.write
    def __del__(self):
        r = self.ring.verify("a.b.c"); self.ring.authenticate("Bearer a.b.c")
        d = self.limiter.hit([self.limit], None, "::1"); d.reset
        self.write(1, (r.reason + " " + d.store).encode())
last = Last()
import sys; sys.modules["kept"] = last
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "memory" in done.stdout
