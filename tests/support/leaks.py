"""Calls each callable of the core many times and prints by how many bytes the process grew.

``python leaks.py COUNT SLOW_COUNT``; SLOW_COUNT is for calls that take long. It is a process of its
own, so that nothing else allocates meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask_tenant_auth import _core
from flask_tenant_auth._core import (
    DEFAULT_ROLES,
    INVALID_TOKENS,
    AuditLog,
    Identity,
    Key,
    Keyring,
    Limit,
    Limiter,
    Rate,
    RequestRecord,
    Revocations,
    Roles,
    is_permission,
    permission_number,
    set_identity_codec,
)

TENANT, USER = "550e8400-e29b-41d4-a716-446655440000", "6ba7b810-9dad-41d1-80b4-00c04fd430c8"
SECRET = b"a secret of the tests, 32 bytes or more"

EC_PUBLIC = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAExMahfGgYPkv5mBTY3nz8dqb0TgQc
B8md5bKCS9CoUY2ZnxYtOviSpRZ0YP6PIU+vBrQhNePnhKa8YQMDRDq12g==
-----END PUBLIC KEY-----
"""

EC_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBcDCCARWgAwIBAgIUZcTRdTJpkly8yoOo7emTZUM1k38wCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBeDAgFw0yNjExMjgwMDQ4MTRaGA8yMTI2MTEwNDAwNDgxNFow
DDEKMAgGA1UEAwwBeDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGArSh2y2YjR
lsyYH7wa6+azLUz6QDtbGEXI8Q1OQBKxmBQezNUPpzr19ZOJzKsDBbtZSK1t9K6f
4MwEXfd8QQejUzBRMB0GA1UdDgQWBBSB16L4DX3PV9HK8eZWmvqaAnYFvTAfBgNV
HSMEGDAWgBSB16L4DX3PV9HK8eZWmvqaAnYFvTAPBgNVHRMBAf8EBTADAQH/MAoG
CCqGSM49BAMCA0kAMEYCIQDKSePtdhGKwOlwAOyHsiXHg5HqZL5Pih40Fzmx8hoQ
jgIhAIQubCXwI6GViluNNxqXh0JAb3dGaRkgJM2uFCwfpVl0
-----END CERTIFICATE-----
"""

key = Key.secret("HS256", SECRET)
keyring = Keyring([key])
claims = {"tenant_id": TENANT, "user_id": USER, "role": "user", "exp": int(time.time()) + 10**6}
payload = json.dumps(claims | {"more": {"a": [1, 2.5, None, True, "é"]}}).encode()
token = keyring.sign(payload)
refresh_token = _core.make_refresh_token(SECRET, b"salt", TENANT, 7)
broken = token[:-4] + "AAAA"
expired = keyring.sign(json.dumps(claims | {"exp": 1}).encode())
unlisted = keyring.sign(json.dumps(claims | {"role": "root", "more": ["x"] * 9}).encode())
identity = Identity(TENANT, USER)
rate = Rate(10, 60)
limit = Limit(rate, scope="leaks", per="tenant")
per_user = Limit(rate, scope="leaks")
limiter = Limiter(prefix="leaks", shared=False, shm_bytes=2**17)
NOW, END = int(time.time() * 1000), 2**50
table = Revocations("leaks", slots=16, shared=False)
table.mark_filled("1")
asking = Keyring([key], revocations=table)
table.add("session", at=NOW, ends_at=END, id="s")
revoked = keyring.sign(json.dumps(claims | {"iat": int(time.time()), "sid": "s"}).encode())
numbers = itertools.count()
AUDIT_KEY = bytes(range(64))
AUDIT_KEYS = (AUDIT_KEY, _core.audit_public_key(AUDIT_KEY))
metrics = _core.Metrics("leaks", shared=False, tenants=[TENANT], console=True)
served_record = RequestRecord(None)  # type: ignore[arg-type]
served_record.outcome, served_record.dispatched = identity, True
served_request = SimpleNamespace(record=served_record, environ={}, url_rule=None)
served = _core.ServedRequest(
    context=ContextVar("context", default=SimpleNamespace(request=served_request)),  # noqa: B039
    lent=ContextVar("lent", default=None),
    attribute="record",
)


def bind_served() -> None:
    """Bind an identity anew."""
    served_record.identity = None
    assert served.bind() is not None


def add_one_more() -> None:
    number = next(numbers)
    user = f"550e8400-e29b-41d4-a716-{number % 9:012}"
    table.add("token", at=NOW, ends_at=END, tenant_id=TENANT, user_id=user, id=f"{number}")


redis_client = _core.RedisClient("redis://127.0.0.1:1", timeout_ms=5)
set_identity_codec(lambda _: {}, lambda _: identity)
rules = {
    "places": {"role": ("/a/b", "c")},
    "role_map": {"x": "admin"},
    "default_role": "",
    "id_namespace": TENANT,
    "required": {"d": ("x", 5, True)},
    "on_default_role": print,
}
telling = Keyring([key], id_namespace=TENANT, places={"user_id": ("/a/0",)}, on_default_role=hash)
roleless = keyring.sign(json.dumps(claims | {"a": ["x"], "role": ["y"]}).encode())
acting = keyring.sign(
    json.dumps(claims | {"act": {"sub": "x"}, "permissions": ["a", "b"]}).encode()
)


def full() -> Identity:
    return Identity(
        TENANT,
        USER,
        "admin",
        permissions=["a", "b"],
        claims={"a": [1]},
        actor="x",
        expires_at=5.0,
        roles=DEFAULT_ROLES,
    )


decision = limiter.hit([limit, per_user], identity, "127.0.0.1")
hashed = _core.hash_password(b"password", 1000)
audit_log = AuditLog("/dev/null")
record = RequestRecord(None)  # type: ignore[arg-type]
environ = {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def cors_rules(*origins: str) -> _core.CorsRules:
    return _core.CorsRules(
        resources=("/api/",),
        origins=origins,
        methods=("GET",),
        allow_headers=("X-A",),
        expose_headers=("X-B",),
        max_age=600,
        credentials=True,
    )


def inner(asked: dict[str, Any], start_response: Any) -> list[bytes]:
    """A WSGI application whose answer has what the caller put into environ."""
    start_response.record.decision, start_response.record.limits = decision, (limit, per_user)
    start_response("200 OK", asked["headers"])
    return []


middleware = _core.Middleware(
    inner=inner,
    state=None,
    key="key",
    failure=print,
    replace=print,
    late_body=print,
    cors=cors_rules("https://a.example", "https://*.b.example"),
    audit_log=None,
    log=print,
    limit_fields=True,
    ietf_fields=True,
    metrics=None,
)


def answered(headers: list[Any], method: str = "GET") -> Callable[[], Any]:
    """A call of the middleware, from an origin whose fields are made anew for each request."""
    asked = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/api/x",
        "HTTP_ORIGIN": "https://x.b.example",
        "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "GET",
        "headers": headers,
    }
    return lambda: middleware(asked, lambda *_answer: print)


def refused(call: Callable[[], Any]) -> Callable[[], None]:
    """A call that raises. It has to free as much as a call that returns."""

    def run() -> None:
        with contextlib.suppress(TypeError, ValueError, ConnectionError):
            call()
            raise AssertionError("the call did not raise")

    return run


key_cache = _core.KeyCache("leaks", slots=4, shared=False)
permits = _core.Permits("leaks", shared=False)
CALLS: dict[str, Callable[[], Any]] = {
    "is_valid_uuid": lambda: (_core.is_valid_uuid(TENANT), _core.is_valid_uuid(object())),
    "plain_address": lambda: (_core.plain_address("[::1%a]:80"), _core.plain_address("x")),
    "plain_address refused": refused(lambda: _core.plain_address("\udc80")),
    "now": _core.now,
    "parse_bearer": lambda: (_core.parse_bearer(f"Bearer {token}"), _core.parse_bearer("x")),
    "find_cookie": lambda: (_core.find_cookie("a=1; b=2", "b"), _core.find_cookie("a=1", "b")),
    "find_cookie refused": refused(lambda: _core.find_cookie("a=1; a=2", "a")),
    "peek_token": lambda: (_core.peek_token(token, "iss"), _core.peek_token("x.y.z", "iss")),
    "is_http_token": lambda: (_core.is_http_token("GET"), _core.is_http_token("a b")),
    "is_http_token refused": refused(lambda: _core.is_http_token(7)),  # type: ignore[arg-type]
    "password_iterations": lambda: _core.password_iterations(hashed),
    "Identity": lambda: hash(Identity(TENANT, USER, "admin", source="headers")),
    "Identity refused": refused(lambda: Identity(TENANT, "me")),
    "Identity compared": lambda: (identity == Identity(TENANT, USER), repr(identity)),
    "Identity read": lambda: (identity.tenant_id, identity.user_id, identity.role),
    "Identity of everything": lambda: full(),
    "Identity in other roles": lambda: full().with_roles(DEFAULT_ROLES).permissions,
    "Identity of a token read": lambda: (lambda read: (read.claims, read.permissions, read.actor))(
        keyring.verify(acting)
    ),
    "Identity refused for its parts": refused(
        lambda: Identity(TENANT, USER, permissions=["a", 5])  # type: ignore[list-item]
    ),
    "Identity.to_headers": lambda: (identity.to_headers(), Identity.from_headers({})),
    "set_identity_codec": lambda: set_identity_codec(lambda _: {}, lambda _: identity),
    "Identity.permits": lambda: (full().permits("a"), full().permits("never numbered")),
    "Keyring that tells of a default role": lambda: telling.verify(roleless),
    "Keyring of names as ids": lambda: telling.decode(roleless),
    "Identity pickled": lambda: pickle.loads(pickle.dumps(full())),
    "Roles": lambda: Roles(("a", "b"), tenant_roles=("b",), grants=(("x:*",), ("y",))).names,
    "Roles refused": refused(lambda: Roles(("a", "a"))),
    "Identity of no app": lambda: Identity(TENANT, USER, "x", roles=()).roles,
    "Identity.permits all": lambda: full().permits(("a", 0, "never:asked")),
    "Identity.permits refused": refused(lambda: identity.permits((5.0,))),  # type: ignore[arg-type]
    "Identity.has_role": lambda: identity.has_role((identity.roles, frozenset({"user"}))),
    "Identity.has_role refused": refused(lambda: identity.has_role(("a",))),  # type: ignore[arg-type]
    "is_permission": lambda: (is_permission("a:b"), is_permission("a b")),
    "permission_number": lambda: permission_number("a:b"),
    "INVALID_TOKENS": lambda: INVALID_TOKENS["expired"],
    "Keyring of everything": lambda: Keyring([key], **rules),  # type: ignore[arg-type]
    "Keyring refused for its rules": refused(lambda: Keyring([key], places={"role": ("/~",)})),
    "Keyring.claimed_tenant": lambda: (
        keyring.claimed_tenant(token),
        keyring.claimed_tenant(broken),
    ),
    "Key.secret": lambda: Key.secret("HS256", SECRET, kid="one"),
    "Key.secret refused": refused(lambda: Key.secret("HS256", b"short")),
    "Key.jwk": lambda: Key.jwk({"kty": "oct", "alg": "HS256", "k": "A" * 44}),
    "Key.jwk refused": refused(lambda: Key.jwk({"kty": "oct", "alg": "HS256", "k": "!"})),
    "Key.public_jwk refused": refused(key.public_jwk),
    "Keyring": lambda: Keyring([key], issuer="i", audiences=["a", "b"]).keys,
    "Keyring refused": refused(lambda: Keyring([])),
    "Keyring.sign": lambda: keyring.sign(payload),
    "Keyring.issue": lambda: keyring.issue(identity, 1, 2, b'{"a":1}'),
    "Keyring.issue refused": refused(lambda: keyring.issue(identity, 1, 2, b'{"exp":1}')),
    "Keyring.sign refused": refused(lambda: keyring.sign(b'{"a":1,"a":2}')),
    "Keyring.verify": lambda: keyring.verify(token),
    "Keyring.verify rejected": lambda: (keyring.verify(broken), keyring.verify(expired)),
    "Keyring.verify refused": refused(lambda: keyring.verify(None)),  # type: ignore[arg-type]
    "Keyring.decode": lambda: keyring.decode(token),
    "Keyring.decode rejected": lambda: (keyring.decode(unlisted), keyring.decode(expired)),
    "Keyring.authenticate": lambda: keyring.authenticate(f"Bearer {token}"),
    "Keyring.authenticate rejected": lambda: keyring.authenticate(f"Bearer {broken}"),
    "AuditLog": lambda: AuditLog("/dev/null").path,
    "audit_public_key refused": refused(lambda: _core.audit_public_key(b"short")),
    "sign_audit_erasure refused": refused(lambda: _core.sign_audit_erasure(AUDIT_KEY, b"d")),
    "read_audit_head": lambda: _core.read_audit_head(b"h" * 144, AUDIT_KEYS[:1]),
    "read_audit_head refused": refused(lambda: _core.read_audit_head(b"h" * 144, (b"x",))),
    "verify_audit_lines refused": refused(
        lambda: _core.verify_audit_lines([None, 7], AUDIT_KEYS)  # type: ignore[list-item]
    ),
    "find_audit_lines": lambda: _core.find_audit_lines(b"a b\nb c\n", (b"b", b"c")),
    "find_audit_lines refused": refused(
        lambda: _core.find_audit_lines(b"a\n", (7,))  # type: ignore[arg-type]
    ),
    "Metrics.count": lambda: metrics.count("tenant_auth_session_events", "created"),
    "Metrics.count of a name": lambda: metrics.count("tenant_auth_jwks_fetches", "failed", "a"),
    "Metrics.count refused": refused(lambda: metrics.count("none", "created")),
    "Metrics.observe": lambda: metrics.observe("tenant_auth_verification_seconds", 7),
    "Metrics.touch": lambda: metrics.touch("tenant_auth_jwks_age_seconds", "a"),
    "Metrics.count_limited": lambda: metrics.count_limited(identity),
    "Metrics.count_limited refused": refused(
        lambda: metrics.count_limited(None)  # type: ignore[arg-type]
    ),
    "Metrics.last_hour": metrics.last_hour,
    "Metrics.most_limited": metrics.most_limited,
    "ServedRequest.count": lambda: served.count(None, "key", {}),  # type: ignore[arg-type]
    "ServedRequest.count refused": refused(lambda: served.count(None, "key", 7)),  # type: ignore[arg-type]
    "ServedRequest.bind": bind_served,
    "CorsRules": lambda: cors_rules("https://a.example", "https://*.b.example").is_preflight(
        "OPTIONS", "/api/x", "https://x.b.example", "PUT"
    ),
    "Middleware": answered([("A", "b")]),
    "Middleware with fields of the app": answered(
        [("Vary", "b"), ("vary", "c"), ("RateLimit", "")]
    ),
    "Middleware with a preflight": answered([("Allow", "GET, PUT")], "OPTIONS"),
    "Middleware refused": refused(answered([("Vary", "b"), "none"])),
    "CorsRules refused": refused(lambda: cors_rules(7)),  # type: ignore[arg-type]
    "make_api_key": lambda: _core.read_api_key(_core.make_api_key()[0]),
    "read_api_key rejected": lambda: _core.read_api_key("fta_x"),
    "KeyCache": lambda: _core.KeyCache("leaks", slots=4, shared=False).find("a" * 16),
    "KeyCache refused": refused(lambda: _core.KeyCache("leaks", slots=0)),
    "KeyCache.put": lambda: (
        key_cache.put("a" * 16, key_cache.begin("a" * 16), 1000, b"value"),
        key_cache.find("a" * 16),
        key_cache.drop("a" * 16),
    ),
    "KeyCache.put refused": refused(lambda: key_cache.put("a", (0, 0), 1, b"")),
    "Permits": lambda: _core.Permits("leaks", shared=False).status(),
    "Permits refused": refused(lambda: _core.Permits("\udc80")),
    "Permits.take": lambda: permits.take(1, "s", "user", identity, "::1", ""),
    "Permits.take of none": lambda: permits.take(0, "s", "user", identity, "::1"),
    "Permits.take refused": refused(lambda: permits.take(1, "s", "nobody", None, "")),
    "Permits.key": lambda: permits.key("s", "custom", identity, "::1", "key"),
    "Identity of an API key": lambda: Identity(TENANT, USER, api_key_id="a" * 16).api_key_id,
    "Rate": lambda: (hash(Rate(5, 60)), str(rate), rate == Rate(10, 60)),
    "Rate refused": refused(lambda: Rate(-1, 60)),
    "describe_redis_url": lambda: _core.describe_redis_url("redis://:pw@h/1"),
    "parse_rates": lambda: _core.parse_rates("50 per minute; 5 per second"),
    "parse_rates refused": refused(lambda: _core.parse_rates("50 per minute; many")),
    "Limit": lambda: Limit(rate, scope="x", per="tenant", cost=2).share(0.5),
    "Limit refused": refused(lambda: Limit(rate, scope="x", per="nobody")),
    "Limiter.hit": lambda: limiter.hit([limit, per_user], identity, "127.0.0.1").rate,
    "Limiter.hit refused": refused(lambda: limiter.hit([None], identity, "")),  # type: ignore[list-item]
    "Limiter.reserve": lambda: limiter.reserve([limit, per_user], identity, "::1").give_back(),
    "Limiter.reserve kept": lambda: limiter.reserve([limit], identity, "::1").decision.allowed,
    "Limiter.reserve refused": refused(lambda: limiter.reserve([None], identity, "")),  # type: ignore[list-item]
    "Reservation.give_back refused": refused(
        lambda: limiter.reserve([per_user], None, "::1").give_back(2, 1)
    ),
    "Limiter.peek": lambda: limiter.peek([per_user], None, "127.0.0.1").limit,
    "Limiter.reset": lambda: limiter.reset([limit], identity, ""),
    "Limiter.check_redis refused": refused(lambda: limiter.check_redis(100)),
    "RedisClient.call of what is no word": refused(lambda: redis_client.call("PING", 1.5)),  # type: ignore[arg-type]
    "Limiter.ask_redis refused": refused(lambda: limiter.ask_redis(["PING"], 100)),
    "Revocations.add": add_one_more,
    "Revocations.add refused": refused(lambda: table.add("session", at=1, ends_at=2)),
    "Revocations.check": lambda: table.check(TENANT, USER, "s", "j", 1.5, b"d" * 32),
    "Revocations.check refused": refused(lambda: table.check(TENANT, "x", None, None, None)),
    "Revocations.entries": table.entries,
    "Revocations.mark_filled": lambda: table.mark_filled("7"),
    "Revocations read": lambda: (table.position, table.silent_ms, table.lead(), table.status()),
    "Revocations.waive": lambda: table.waive(False),
    "Keyring.verify with revocations": lambda: asking.verify(token),
    "Keyring.verify of a revoked token": lambda: (asking.verify(revoked), asking.decode(revoked)),
    "RequestRecord": lambda: setattr(RequestRecord(None), "identity", identity),  # type: ignore[arg-type]
    "RequestRecord refused": refused(lambda: setattr(record, "decision", 7)),
    "open_record": lambda: _core.open_record(None, environ, "key"),  # type: ignore[arg-type]
    "authenticate_and_count": lambda: _core.authenticate_and_count(
        record, environ, keyring, limiter, (limit,), "127.0.0.1"
    ),
    "make_refresh_token": lambda: _core.make_refresh_token(SECRET, b"salt", TENANT, 7),
    "make_refresh_token refused": refused(lambda: _core.make_refresh_token(SECRET, b"", TENANT, 7)),
    "read_refresh_token": lambda: (
        _core.read_refresh_token(refresh_token),
        _core.read_refresh_token(refresh_token.encode()),
        _core.read_refresh_token("x"),
    ),
    "check_refresh_token": lambda: _core.check_refresh_token(
        (b"other", SECRET), b"salt", refresh_token
    ),
    "check_refresh_token refused": refused(
        lambda: _core.check_refresh_token((b"other", "x"), b"salt", refresh_token)  # type: ignore[arg-type]
    ),
    "uuid7": lambda: _core.uuid7(1_700_000_000_000),
    "uuid7 refused": refused(lambda: _core.uuid7(-1)),
    "derive_key": lambda: _core.derive_key(SECRET, b"salt", b"info", 64),
    "derive_key refused": refused(lambda: _core.derive_key(b"", b"salt", b"info", 64)),
    "authenticate_and_count by a cookie": lambda: _core.authenticate_and_count(
        RequestRecord(None),  # type: ignore[arg-type]
        {"HTTP_COOKIE": f"a=1; b={token}"},
        keyring,
        limiter,
        (limit,),
        "127.0.0.1",
        "b",
    ),
    "Decision read": lambda: (decision.rate, decision.store, decision.reset),
}
# Each of these takes long.
SLOW_CALLS: dict[str, Callable[[], Any]] = {
    "audit_public_key": lambda: _core.audit_public_key(AUDIT_KEY),
    "sign_audit_erasure": lambda: _core.sign_audit_erasure(AUDIT_KEY, b"d" * 32),
    "Metrics": lambda: _core.Metrics("leaks", shared=False).status(),
    "Metrics refused": refused(lambda: _core.Metrics("leaks", tenants=["x"])),
    # Its result is large: it takes some hundreds until the allocator has all arenas that it needs.
    "Metrics.read": lambda: [metrics.read() for _ in range(20)],
    "verify_audit_lines": lambda: _core.verify_audit_lines([None, b"a\n", b"b"], AUDIT_KEYS),
    "Key.pem": lambda: Key.pem("ES256", EC_PUBLIC),
    "Key.pem of a certificate": lambda: Key.pem("ES256", EC_CERTIFICATE).validity,
    "Key.pem of no key": refused(lambda: Key.pem("ES256", b"<html>")),
    "Key.secret of a key": refused(lambda: Key.secret("HS256", EC_PUBLIC)),
    "Key.pem refused": refused(lambda: Key.pem("RS256", b"-----BEGIN PUBLIC KEY-----")),
    "Limiter": lambda: Limiter(prefix="leaks", shared=False, shm_bytes=2**17).status(),
    "RedisClient.call refused": refused(lambda: redis_client.call("PING", b"x", 7)),
    "RedisClient": lambda: _core.RedisClient("redis://127.0.0.1:1").close(),
    "RedisClient refused": refused(lambda: _core.RedisClient("http://x")),
    "Limiter shared": lambda: Limiter(prefix=f"leaks {os.getpid()}", shm_bytes=2**17).close(),
    "Limiter refused": refused(
        lambda: Limiter(prefix="leaks", shm_bytes=2**17, redis_url="http://x")
    ),
    "Revocations": lambda: Revocations("leaks", slots=16, shared=False).close(),
    "Revocations shared": lambda: Revocations(f"leaks {os.getpid()}", slots=16).close(),
    "Revocations refused": refused(lambda: Revocations("leaks", slots=1)),
    "verify_password": lambda: _core.verify_password(b"password", hashed),
    "verify_password refused": refused(lambda: _core.verify_password(b"password", "$pbkdf2")),
}


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(call: Callable[[], Any], count: int) -> int:
    """The bytes by which the process grew in so many calls, after a tenth of them to warm up.

    Where it grew, it is measured once more: a leak goes on, and what the allocator opens does not.
    """
    for _ in range(count // 10 + 10):
        call()
    return measured(call, count) and measured(call, count)


def measured(call: Callable[[], Any], count: int) -> int:
    gc.collect()
    before = resident_bytes()
    for _ in range(count):
        call()
    gc.collect()
    return resident_bytes() - before


if __name__ == "__main__":
    count, slow_count = int(sys.argv[1]), int(sys.argv[2])
    grown = {name: growth(call, count) for name, call in CALLS.items()}
    grown |= {name: growth(call, slow_count) for name, call in SLOW_CALLS.items()}
    json.dump(grown, sys.stdout)
