from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, final

# What the core keeps for those who call it, and does not look into.
_State = Any  # of an app
_Denial = Any
_Rule = Any
_Response = Any

ALGORITHMS: tuple[str, ...]
DEFAULT_ROLES: Roles
INVALID_TOKENS: dict[str, InvalidToken]
PASSWORD_ITERATIONS: int
STRATEGIES: tuple[str, ...]
ON_STORE_ERRORS: tuple[str, ...]
PERMITS_MOST: int
LEASE_PART_MAX: float
LIMITER_RANGES: dict[str, tuple[int, int]]

def is_valid_uuid(value: object, /) -> bool: ...
def plain_address(text: str, /) -> str | None:
    """Return the IP address that a text is, without port, brackets and zone; or None."""

def describe_redis_url(url: str, /) -> str:
    """Return the URL of a Redis without user, password and parameters, fit to be shown.

    ValueError, which quotes nothing of it, for what cannot be one.
    """

def now() -> float: ...
def shift_clock(realtime: float, monotonic: float) -> None: ...
def reset_clock() -> None: ...
def is_http_token(text: str, /) -> bool: ...
def hash_password(password: bytes, iterations: int) -> str:
    """Return a salted PBKDF2-HMAC-SHA512 hash as a PHC string. Other threads run meanwhile."""

def verify_password(password: bytes, stored: str) -> bool:
    """Return whether it is the password of a stored string, compared in constant time.

    ValueError, at once, for a string that asks for over ten times PASSWORD_ITERATIONS.
    """

def password_iterations(stored: str) -> int:
    """Return the iterations of a stored string, to see whether it should be renewed."""

def make_refresh_token(key: bytes, salt: bytes, session_id: str, counter: int) -> str:
    """Return the refresh token of a session."""

def read_refresh_token(token: str | bytes) -> tuple[str, int] | None:
    """Return the session id and counter that a refresh token says; None for a malformed one.

    They are not trusted yet.
    """

def check_refresh_token(keys: tuple[bytes, ...], salt: bytes, token: str | bytes) -> int:
    """Return the place of the key that has made a refresh token with this salt; -1: none."""

def uuid7(ms: int, /) -> str:
    """Return a new UUID of version 7 of a time in milliseconds since 1970."""

API_KEY_PREFIX: str

def make_api_key() -> tuple[str, str, bytes]:
    """Return a new API key: its text, its id and the SHA-256 of its secret."""

def read_api_key(key: str | bytes) -> tuple[str, bytes] | None:
    """Return the id that an API key says, not yet trusted, and the SHA-256 of its secret.

    None for a malformed one.
    """

def derive_key(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """Return a key that is derived from a secret: HKDF with SHA-256 (RFC 5869)."""

def audit_public_key(key: bytes, /) -> bytes:
    """Return the Ed25519 public key (RFC 8032), 32 bytes, of the key of a chain."""

def sign_audit_erasure(key: bytes, digest: bytes) -> str:
    """Return the signature, in base64url, that an erased line of this digest has."""

def read_audit_head(head: bytes, keys: tuple[bytes, ...]) -> tuple[int, str, int, int, int] | None:
    """Return what the head of a chain says: n, digest, inode, offset, intended.

    None if none of the keys has made it.
    """

def verify_audit_lines(
    parts: Iterable[bytes | None], keys: tuple[bytes, ...]
) -> tuple[str, int, int, int, int, str, int, int, int, int]:
    """Verify the lines of a chain. Other threads run meanwhile.

    Returns finding, file, line, first, n, digest, signed, pruned, before, erased. The finding is
    empty, or says what is wrong with this line of this file, which begin with 1 and 0.

    :param parts: None before each file, the oldest first, and bytes that are whole lines.
    :param keys: of 64 bytes, or of 32 if they are public.
    """

def find_audit_lines(
    text: bytes, words: tuple[bytes, ...], since: bytes | None = None, until: bytes | None = None
) -> list[bytes]:
    """Return the lines that have all words in them and whose time is in this range."""

def parse_bearer(authorization: str) -> str | None:
    """Return the token in the value of an Authorization header; None when there is none."""

def find_cookie(header: str, name: str, /) -> str | None:
    """Return the value of the cookie of exactly this name; None when there is none.

    ValueError when there is more than one.
    """

def is_permission(value: str, /) -> bool:
    """Whether this can be the name of a permission. It gets no number."""

def permission_number(permission: str, /) -> int: ...
def set_identity_codec(
    to_headers: Callable[[Identity], dict[str, str]],
    from_headers: Callable[[Mapping[str, str]], Identity],
    /,
) -> None: ...
def peek_token(token: str | bytes, claim: str) -> tuple[str | None, str | None] | None:
    """Return a claim and the kid that an unverified token says; None for a malformed token.

    They serve only to find the keys that the token is verified with.
    """
@final
class Roles:
    """The roles of an app, weakest first, and what each is granted. Immutable."""

    def __new__(
        cls,
        names: tuple[str, ...],
        *,
        tenant_roles: tuple[str, ...] = (),
        grants: tuple[tuple[str, ...], ...] = (),
    ) -> Roles: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    def grants(self, role: str, permission: str, /) -> bool: ...

@final
class Identity:
    """Who a request is: a user of a tenant, in a role. Immutable, equal and hashed by these.

    :param permissions: those that it has beside the ones of its role.
    :param roles: the roles of the app; None: those of an app that configures none; ``()``: of no
        app. Then its role reaches and permits nothing until `with_roles`, as after unpickling.
    """

    def __new__(
        cls,
        tenant_id: str,
        user_id: str,
        role: str = "user",
        *,
        source: str = "local",
        permissions: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
        actor: str | None = None,
        expires_at: float | None = None,
        roles: Roles | tuple[()] | None = None,
        api_key_id: str | None = None,
    ) -> Identity: ...
    @property
    def tenant_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def roles(self) -> Roles | None: ...
    @property
    def role_is_default(self) -> bool: ...
    @property
    def reaches_tenant(self) -> bool: ...
    @property
    def permissions(self) -> frozenset[str]: ...
    @property
    def own_permissions(self) -> frozenset[str]: ...
    @property
    def claims(self) -> Mapping[str, Any]: ...
    @property
    def issuer(self) -> str | None: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def actor(self) -> str | None: ...
    @property
    def api_key_id(self) -> str | None: ...
    @property
    def source(self) -> str: ...
    @property
    def expires_at(self) -> float | None: ...
    def permits(self, permission: str | int | tuple[str | int, ...], /) -> bool: ...
    def has_role(self, passing: tuple[Roles | None, frozenset[str]], /) -> bool: ...
    def with_roles(self, roles: Roles, /) -> Identity: ...
    def to_headers(self) -> dict[str, str]: ...
    @classmethod
    def from_headers(cls, headers: Mapping[str, str], /) -> Identity: ...
    def __copy__(self) -> Identity: ...
    def __deepcopy__(self, memo: Any, /) -> Identity: ...
    def __getnewargs_ex__(self) -> tuple[tuple[str, str, str], dict[str, Any]]: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class InvalidToken:
    """Why a token is invalid: one object per reason, with nothing of the token in it."""

    @property
    def reason(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def expired(self) -> bool: ...

@final
class Key:
    """One key, bound to one algorithm. Immutable; secrets are wiped when it is freed."""

    @classmethod
    def secret(
        cls, algorithm: str, secret: bytes, *, kid: str | None = None, allow_weak: bool = False
    ) -> Key:
        """Return a key for HS256, HS384 or HS512; as long as the hash, unless allow_weak.

        ValueError for a secret that is a public or private key, in an encoding or not.
        """

    @classmethod
    def pem(
        cls, algorithm: str, pem: bytes, *, kid: str | None = None, passphrase: bytes | None = None
    ) -> Key:
        """Return a key pair from PEM text or DER: private, public or of a certificate.

        ValueError, which says what it is instead, for anything else. It never makes a secret.
        """

    @classmethod
    def jwk(cls, jwk: Mapping[str, Any], /) -> Key:
        """Return a key from a JWK (RFC 7517), private or public; members of None are absent."""

    def public_jwk(self) -> dict[str, str]:
        """Return the public part as a JWK (RFC 7517). ValueError for a secret."""

    @property
    def algorithm(self) -> str: ...
    @property
    def kid(self) -> str: ...
    @property
    def can_sign(self) -> bool: ...
    @property
    def is_private(self) -> bool: ...
    @property
    def validity(self) -> tuple[int, int] | None:
        """When its certificate begins and ends to be good, in seconds since 1970."""

@final
class Keyring:
    """The keys of an application and what its tokens must say. Immutable, safe between threads."""

    def __new__(
        cls,
        keys: Sequence[Key],
        *,
        issuer: str | None = None,
        audiences: Sequence[str] = (),
        leeway: float = 0,
        max_token_bytes: int = 8192,
        roles: Roles = ...,
        places: dict[str, tuple[str, ...]] | None = None,
        role_map: dict[str, str] | None = None,
        default_role: str | None = None,
        id_namespace: str | None = None,
        required: dict[str, tuple[str | int | bool, ...]] | None = None,
        without_identity: bool = False,
        on_default_role: Callable[[Identity], object] | None = None,
        revocations: Revocations | None = None,
    ) -> Keyring: ...
    @property
    def keys(self) -> tuple[Key, ...]: ...
    @property
    def roles(self) -> Roles: ...
    @property
    def revocations(self) -> Revocations | None: ...
    @property
    def core_claims(self) -> tuple[str, ...]: ...
    def sign(self, payload: bytes, /) -> str:
        """Return a token of the payload, the UTF-8 text of an object, signed by the first key."""

    def issue(self, identity: Identity, issued_at: int, expires_at: int, further: bytes, /) -> str:
        """Return a token of the claims of core_claims and of further, the text of an object."""

    def verify(self, token: str | bytes, /) -> Identity | InvalidToken:
        """Return the Identity of a token, or the InvalidToken that says what is wrong with it."""

    def decode(self, token: str | bytes, /) -> dict[str, Any] | InvalidToken:
        """Return all claims of a token; as strict as verify()."""

    def claimed_tenant(self, token: str | bytes, /) -> str | None:
        """Return the tenant that an unverified token claims, to find a key."""

    def authenticate(self, authorization: str | None, /) -> Identity | InvalidToken | None:
        """Do as verify() from an Authorization header; return None without a bearer token."""

@final
class Revocations:
    """What is revoked, in memory that the processes of this host share.

    A Keyring asks it for each token whose signature is right, with no lock. Without identity, it
    asks only whether the token lives too long, and `check` is for whoever knows the identity.

    :param name: processes that give the same name use the same table.
    :param slots: how many revocations fit at least. When it is full, what is revoked widens.
    :param shared: with processes that are not children, too.
    :param token_max_ms: how long a token may be accepted, from its iat to its exp and the leeway.
        Tokens that live longer are denied. A revocation is looked up as long (and five minutes, in
        which clocks may differ), or until its ends_at.
    :param silent_max_ms: how long after `mark_filled` the table may be relied on.
    """

    def __new__(
        cls,
        name: str,
        *,
        slots: int = 16384,
        shared: bool = True,
        directory: str = "",
        token_max_ms: int = 86_400_000,
        silent_max_ms: int = 60_000,
    ) -> Revocations: ...
    def add(
        self,
        kind: str,
        *,
        at: int,
        ends_at: int,
        tenant_id: str | None = None,
        user_id: str | None = None,
        id: str | None = None,  # noqa: A002
        except_session: str | None = None,
    ) -> None:
        """Add a revocation: of a session, user, tenant, token or everything. The same is no more.

        A session needs an id, a user tenant_id and user_id, a tenant tenant_id. The id of a token
        is its jti, or "sha256:" and, in base64url, the SHA-256 of the token up to its last dot (the
        signature has two valid forms in ECDSA). ids have up to 96 bytes.
        TimeoutError: another process was stopped while it wrote.
        """

    def check(
        self,
        tenant_id: str,
        user_id: str,
        session_id: str | None,
        jti: str | None,
        issued_at: float | None,
        digest: bytes | None = None,
    ) -> str | None:
        """Return the reason why a token is revoked, one of INVALID_TOKENS; None: it is not.

        :param digest: SHA-256 of the token up to its last dot.
        """

    def entries(self) -> list[dict[str, Any]]:
        """Return what is revoked and has not ended, in the words of add, without what widened."""

    def lead(self) -> bool:
        """Say that this process runs. True: it leads the host, whose leader was silent for 300 ms.

        To be called every 100 ms, by one thread of the process.
        """

    def mark_filled(self, position: str) -> None:
        """Say that all that the store had at this position is in the table."""

    @property
    def position(self) -> str:
        """What was marked last; empty: nothing."""

    @property
    def silent_ms(self) -> int | None:
        """Milliseconds since mark_filled, on this host; None: it was not called yet."""

    def waive(self, waived: bool, /) -> None:
        """Let a table that is not filled, or was not for silent_max_ms, deny nothing more."""

    def status(self) -> dict[str, Any]:
        """Return what there is to know, for people.

        path: None where only this process and its children share it; not_shared_because: why;
        slots; entries; widened: how many of those.
        """

    def close(self) -> None:
        """Remove the memory if nothing in it matters and nobody else uses it.

        A Keyring that has the table denies every token from then on.
        """

@final
class KeyCache:
    """What the store said of API keys, in memory that the processes of this host share.

    :param name: with app: processes that give the same use the same memory.
    :param slots: how many keys fit.
    :param shared: with processes that are not children, too.
    """

    def __new__(
        cls,
        name: str,
        *,
        app: str = "",
        slots: int = 1024,
        shared: bool = True,
        directory: str = "",
    ) -> KeyCache: ...
    def begin(self, key_id: str, /) -> tuple[int, int]:
        """Return what `put` has to be given. To be called before the store is asked."""

    def put(self, key_id: str, ticket: tuple[int, int], ms: int, value: bytes, /) -> None:
        """Keep what the store has answered, until `ms`, at most 60,000, after `begin`.

        Nobody finds it if the key was dropped since.
        """

    def find(self, key_id: str, /) -> bytes | None:
        """Return what was put of a key and has not ended."""

    def drop(self, key_id: str, /) -> None:
        """Let nobody find what the store has said of a key up to now, on this host."""

    def clear(self) -> None:
        """Drop all keys."""

@final
class AuditLog:
    def __new__(cls, path: str, keys: tuple[bytes, ...] = ()) -> AuditLog: ...
    @property
    def path(self) -> str: ...
    @property
    def lost(self) -> int:
        """How many lines were lost since the log was opened, in this process."""

    def write(
        self,
        method: str | None,
        endpoint: str | None,
        status: int,
        identity: Identity | None,
        address: str | None,
        user_agent: str | None,
        reason: str | None,
        /,
    ) -> str | None: ...
    def note(self, event: str, count: int, /) -> None:
        """Write a signed control line into the chain."""

    def reopen(self) -> None: ...

@final
class Rate:
    def __new__(cls, limit: int, period: int) -> Rate: ...
    @property
    def limit(self) -> int: ...
    @property
    def period(self) -> int: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def parse_rates(text: str, /) -> tuple[Rate, ...]: ...
@final
class Limit:
    def __new__(cls, rate: Rate, *, scope: str, per: str = "user", cost: int = 1) -> Limit: ...
    @property
    def rate(self) -> Rate: ...
    @property
    def scope(self) -> str: ...
    @property
    def per(self) -> str: ...
    @property
    def cost(self) -> int: ...
    def share(self, fraction: float, /) -> Limit: ...

@final
class RedisClient:
    def __new__(cls, url: str, *, tag: str = "", timeout_ms: int = 3000) -> RedisClient: ...
    def call(self, *words: bytes | str | int, wait_ms: int = 0, resend: bool = True) -> Any: ...
    def close(self) -> None: ...

@final
class Limiter:
    def __new__(
        cls,
        *,
        prefix: str,
        app: str = "",
        strategy: str = "fixed-window",
        shm_bytes: int = 0,
        shared: bool = True,
        redis_url: str = "",
        timeout_ms: int = 50,
        on_store_error: str = "memory",
        metrics: Metrics | None = None,
        lease: float = 0.0,
    ) -> Limiter: ...
    def hit(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
        /,
    ) -> Decision: ...
    def reserve(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
        /,
    ) -> Reservation: ...
    def peek(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
        /,
    ) -> Decision: ...
    def reset(
        self,
        limits: Sequence[Limit],
        identity: Identity | None,
        address: str,
        custom: Sequence[str] = (),
        /,
    ) -> None: ...
    def status(self) -> dict[str, Any]: ...
    def check_redis(self, timeout_ms: int, /) -> None: ...
    def ask_redis(self, words: Sequence[str], timeout_ms: int, /) -> Any: ...
    def close(self) -> None: ...
    @staticmethod
    def table_of_another_user(prefix: str, app: str, /) -> tuple[int, str] | None: ...
    @property
    def first_failures(self) -> int: ...
    @property
    def store_events(self) -> int: ...
    @property
    def changes(self) -> int: ...
    @property
    def evictions(self) -> int: ...

METRICS: tuple[tuple[str, str, str, tuple[str, ...], tuple[str, ...]], ...]
METRIC_BOUNDS: tuple[float, ...]
METRIC_TENANTS: int

@final
class Metrics:
    def __new__(
        cls,
        prefix: str,
        *,
        app: str = "",
        shared: bool = True,
        tenants: Sequence[str] = (),
        console: bool = False,
    ) -> Metrics: ...
    def count(self, name: str, word: str, of: str = ..., /) -> None: ...
    def observe(self, name: str, nanoseconds: int, /) -> None: ...
    def touch(self, name: str, of: str, /) -> None: ...
    def unshare(self) -> None: ...
    def count_limited(self, identity: Identity, /) -> None: ...
    def last_hour(self) -> dict[str, Any]: ...
    def most_limited(self) -> dict[str, list[tuple[Any, ...]]]: ...
    def read(self) -> dict[str, list[tuple[tuple[str, ...], Any]]]: ...
    def status(self) -> dict[str, Any]: ...

@final
class Permits:
    def __new__(cls, prefix: str, *, app: str = "", shared: bool = True) -> Permits: ...
    def take(
        self,
        most: int,
        scope: str,
        per: str,
        identity: Identity | None,
        address: str,
        custom: str = "",
        /,
    ) -> Permit | None: ...
    def key(
        self, scope: str, per: str, identity: Identity | None, address: str, custom: str = "", /
    ) -> bytes: ...
    def status(self) -> dict[str, Any]: ...
    def close(self) -> None: ...

@final
class Permit:
    def release(self) -> None: ...

@final
class Reservation:
    @property
    def decision(self) -> Decision: ...
    def give_back(self, start: int = 0, stop: int = 16, /) -> bool: ...

@final
class Decision:
    @property
    def allowed(self) -> bool: ...
    @property
    def limit(self) -> int: ...
    @property
    def remaining(self) -> int: ...
    @property
    def reset(self) -> int: ...
    @property
    def retry_after(self) -> int: ...
    @property
    def rate(self) -> Rate | None: ...
    @property
    def index(self) -> int: ...
    @property
    def store(self) -> str: ...

@final
class RequestRecord:
    """What is known of one request so far. It belongs to one Request object."""

    def __new__(cls, state: _State) -> RequestRecord: ...
    @property
    def state(self) -> _State: ...
    @property
    def invalid_token(self) -> InvalidToken | None: ...
    @property
    def has_answer(self) -> bool: ...
    outcome: Identity | _Denial | None
    identity: Identity | None
    subject: Identity | None
    counted: tuple[_Rule, ...]
    limits: tuple[Limit, ...]
    decision: Decision | None
    reason: str | None
    dispatched: bool
    failure_counted: bool

@final
class StartResponse:
    """What a Middleware gives the application inside as start_response, for one request."""

    @property
    def environ(self) -> dict[str, Any]: ...
    @property
    def record(self) -> RequestRecord: ...
    @property
    def begun(self) -> bool: ...
    @property
    def sent(self) -> bool: ...
    replacement: _Response | None
    replaced: bool
    def leave(self) -> None: ...
    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]: ...
    def send(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]: ...

def open_record(
    state: _State,
    environ: dict[str, Any],
    key: str,
    record: RequestRecord | None = None,
    /,
) -> RequestRecord: ...
def authenticate_and_count(
    record: RequestRecord,
    environ: dict[str, Any],
    keyring: Keyring,
    limiter: Limiter,
    limits: tuple[Limit, ...],
    address: str,
    cookie: str | None = None,
    /,
) -> Decision | None: ...
@final
class ServedRequest:
    """The request that Flask serves in the running context."""

    def __new__(
        cls, *, context: ContextVar[Any], lent: ContextVar[Any], attribute: str
    ) -> ServedRequest: ...
    def count(
        self,
        state: _State,
        key: str,
        routes: dict[str, dict[str, tuple[tuple[_Rule, ...], tuple[Limit, ...]]]],
        /,
    ) -> Literal[True] | Decision | None: ...
    def bind(self) -> Identity | None: ...

@final
class CorsRules:
    """The CORS rules of one app, from its settings."""

    def __new__(
        cls,
        *,
        resources: tuple[str, ...],
        origins: tuple[str, ...],
        methods: tuple[str, ...],
        allow_headers: tuple[str, ...],
        expose_headers: tuple[str, ...],
        max_age: int,
        credentials: bool,
    ) -> CorsRules: ...
    def allows(self, origin: str | None, /) -> bool: ...
    def is_preflight(
        self,
        method: str | None,
        path: str | None,
        origin: str | None,
        requested_method: str | None,
        /,
    ) -> bool: ...

@final
class Middleware:
    def __new__(
        cls,
        *,
        inner: Any,
        state: _State,
        key: str,
        failure: Callable[..., Any],
        replace: Callable[..., Any],
        late_body: Callable[..., Any],
        cors: CorsRules,
        audit_log: AuditLog | None,
        log: Callable[[str], object],
        limit_fields: bool,
        ietf_fields: bool,
        metrics: Metrics | None,
    ) -> Middleware: ...
    def __call__(self, environ: dict[str, Any], start_response: Any, /) -> Iterable[bytes]: ...
