"""What the console shows, as plain values: the page and the terminal are made of these alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

# The outcomes of a request for which it did not get what it asked for.
TURNED_AWAY = ("denied", "limited", "failed")
OUTCOMES = ("allowed", *TURNED_AWAY)


@dataclass(frozen=True, kw_only=True)
class Minute:
    """The requests of one minute, by their outcome."""

    ago: int  # whole minutes before now
    allowed: int = 0
    denied: int = 0
    limited: int = 0
    failed: int = 0

    def of(self, outcome: str) -> int:
        """Return the requests with one of OUTCOMES."""
        return int(getattr(self, outcome))

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(map(self.of, OUTCOMES))

    @property
    def turned_away(self) -> int:
        """Requests that were denied, limited or failed."""
        return sum(map(self.of, TURNED_AWAY))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A user, or a tenant, and how many of its requests were limited in the last hour."""

    tenant_id: str
    user_id: str | None = None
    limited: int


class RedisState(Enum):
    """What is known of Redis, without asking it."""

    UNUSED = "not used"
    UNTRIED = "not asked yet"
    ANSWERS = "answers"
    AWAY = "away"


@dataclass(frozen=True, kw_only=True)
class Redis:
    """The Redis of an app, as its processes found it when they last counted."""

    state: RedisState
    url: str = ""  # without a password
    failure: str = ""  # the last one of this process
    without_it: str = ""  # RATELIMIT_ON_STORE_ERROR
    processes_away: int = 0
    processes: int = 0


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The counters of limits in the memory of this host."""

    slots: int
    used: int
    evictions: int
    shared: bool

    @property
    def percent(self) -> int:
        """The part that is used, rounded up: a table that is nearly full is not called empty."""
        return -(-100 * self.used // self.slots) if self.slots else 0


@dataclass(frozen=True, kw_only=True)
class KeyFact:
    """A key, without anything that is secret."""

    kid: str
    algorithm: str
    origin: str  # the setting, or where the keys of a provider are
    use: str
    age: str
    next_step: str


@dataclass(frozen=True, kw_only=True)
class RouteFact:
    """One method of a route, and what protects it."""

    method: str
    path: str
    protection: str
    limits: tuple[str, ...]
    unprotected: bool  # nothing is declared


@dataclass(frozen=True, kw_only=True)
class SessionFact:
    """A session of a user that goes on."""

    id: str
    role: str
    device: str
    address: str
    began_at: datetime
    used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class UserSessions:
    """The newest sessions of one user."""

    tenant_id: str
    user_id: str
    sessions: tuple[SessionFact, ...]
    more: int = 0  # how many older ones there are


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the console shows of an app at one time."""

    app: str
    at: datetime
    minutes: tuple[Minute, ...]  # the oldest first
    reasons: tuple[tuple[str, int], ...]  # of denials, the most frequent first
    users: tuple[Subject, ...]
    tenants: tuple[Subject, ...]
    redis: Redis
    memory: Memory | None  # None: no limits are counted
    keys: tuple[KeyFact, ...]
    routes: tuple[RouteFact, ...]
    session_store: str | None  # None: sessions are off
    problems: tuple[str, ...] = ()  # whole sentences

    def total(self, outcome: str) -> int:
        """Return the requests of the hour with one of OUTCOMES."""
        return sum(minute.of(outcome) for minute in self.minutes)

    @property
    def requests(self) -> int:
        """All requests of the hour."""
        return sum(minute.requests for minute in self.minutes)


def problems_of(
    redis: Redis, memory: Memory | None, routes: Sequence[RouteFact], keys: Sequence[str]
) -> tuple[str, ...]:
    """Return what an operator should look at, a sentence each.

    :param keys: the sentences about keys that cannot be fetched.
    """
    found = list(keys)
    if redis.state is RedisState.AWAY:
        found.append(
            f"Redis is away: until it is back, RATELIMIT_ON_STORE_ERROR={redis.without_it} decides."
        )
    if memory is not None and memory.evictions:
        found.append(
            f"Counters were given up {memory.evictions} times because the memory of limits was "
            "full: raise RATELIMIT_SHM_BYTES."
        )
    if memory is not None and not memory.shared:
        found.append("The memory of limits is not shared: each worker counts alone.")
    open_routes = sum(route.unprotected for route in routes)
    if open_routes:
        what = "method of a route says" if open_routes == 1 else "methods of routes say"
        found.append(f"{open_routes} {what} nothing about who may call it: see Routes.")
    return tuple(found)
