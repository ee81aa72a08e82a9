"""What `flask auth check` finds out about Redis: whether it counts, and what may keep it from that.

Each question has a deadline of its own, and one that is not answered in time ends the questions, so
a Redis that hangs costs a few seconds. What the user of the app may not ask is reported as unknown:
the rights that counting needs (docs/redis.md) do not include it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from ._core import Limiter
    from .config import Settings
    from .state import AppState

# The longest wait for one answer: RATELIMIT_STORE_TIMEOUT_MS, but not less than this ...
QUESTION_MS = 1000
# ... and not more than this, since a person waits.
LONGEST_QUESTION_MS = 5000
# Of so many calls the fastest is told: the first one connects.
LATENCY_CALLS = 3
OLDEST_VERSION = 5

_NO_EVICTION = "noeviction"


@dataclass
class RedisFindings:
    """What there is to print, and what should not go to production, one sentence each."""

    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check_redis(state: AppState) -> RedisFindings:
    """Ask the Redis of an app whether it counts, and what it is."""
    found = RedisFindings()
    settings = state.settings
    if not settings.ratelimit_enabled or not settings.redis_url:
        found.lines.append("not used: this host's memory counts alone")
        return found
    limiter = state.limiter
    url = str(limiter.status()["redis_url"])
    found.lines.append(f"url={url}")
    if _ask_to_count(limiter, settings, url, found):
        _ask_about_server(limiter, settings, found)
        _ask_about_eviction(limiter, found)
    return found


def _ask_to_count(limiter: Limiter, settings: Settings, url: str, found: RedisFindings) -> bool:
    """Have it count; return whether further questions make sense."""
    fastest = float("inf")
    longest = min(max(QUESTION_MS, settings.ratelimit_store_timeout_ms), LONGEST_QUESTION_MS)
    try:
        for _ in range(LATENCY_CALLS):
            start = time.monotonic()
            limiter.check_redis(longest)
            fastest = min(fastest, (time.monotonic() - start) * 1000)
    except (ConnectionError, RuntimeError) as error:
        found.lines.append(f"counts=no ({error})")
        found.problems.append(f"Redis at {url} does not count: {error}{_advice(str(error))}")
        return "refused the user" in str(error)
    fastest /= 2  # one call that counts, one that forgets
    found.lines.append("counts=yes")
    found.lines.append(f"latency={fastest:.1f} ms")
    if fastest > settings.ratelimit_store_timeout_ms / 2:
        found.problems.append(
            f"Redis at {url} takes {fastest:.1f} ms to count, and RATELIMIT_STORE_TIMEOUT_MS is "
            f"{settings.ratelimit_store_timeout_ms}: it will often be taken for away"
        )
    return True


def _advice(error: str) -> str:
    if "WRONGPASS" in error or "NOAUTH" in error or "invalid password" in error:
        return ". Set the user and password in REDIS_URL"
    if "refused the user" in error:
        return ". Give the user what docs/redis.md lists"
    if "cannot be reached" in error or "in time" in error:
        return ". Start it, or set REDIS_URL (empty for none)"
    return ""


def _ask(limiter: Limiter, *words: str) -> Any:
    """Return the answer to one command, or None when there is none."""
    try:
        return limiter.ask_redis(words, QUESTION_MS)
    except (ConnectionError, RuntimeError):
        return None


def _ask_about_server(limiter: Limiter, settings: Settings, found: RedisFindings) -> None:
    # Every user may say HELLO; Redis 5 does not know it.
    server = dict(_pairs(_ask(limiter, "HELLO"))) or _info(_ask(limiter, "INFO", "server"))
    version = server.get("version") or server.get("redis_version")
    mode = server.get("mode") or server.get("redis_mode")
    found.lines.append(f"version={version or 'not known: the user may not call HELLO or INFO'}")
    if mode is not None:
        found.lines.append(f"mode={mode}")
    major = str(version or OLDEST_VERSION).partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_VERSION:
        found.problems.append(f"Redis {version} is too old: {OLDEST_VERSION}.0 or later is needed")
    options = parse_qs(urlsplit(settings.redis_url).query)
    if mode == "cluster" and options.get("cluster", ["false"])[0].lower() != "true":
        found.problems.append(
            "Redis is a node of a cluster, and may not have the counters: add cluster=true to "
            "REDIS_URL"
        )


def _ask_about_eviction(limiter: Limiter, found: RedisFindings) -> None:
    memory = _info(_ask(limiter, "INFO", "memory"))
    policy, most = memory.get("maxmemory_policy"), memory.get("maxmemory", "0")
    if policy is None:
        found.lines.append("eviction=not known: the user may not call INFO")
        return
    found.lines.append(f"eviction={policy} maxmemory={most}")
    if most != "0" and policy != _NO_EVICTION:
        found.problems.append(
            f"Redis evicts keys when maxmemory ({most} bytes) is used up (maxmemory-policy "
            f"{policy}), and the clients of evicted counters start anew: give the counters a Redis "
            f"of their own, or set {_NO_EVICTION}"
        )


def _pairs(answer: Any) -> Iterator[tuple[str, Any]]:
    """Yield what HELLO answers: names and values in turn."""
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        yield from zip(map(str, answer[::2]), answer[1::2], strict=False)


def _info(answer: Any) -> dict[str, str]:
    """Return what INFO answers: lines of ``name:value``."""
    if not isinstance(answer, str):
        return {}
    lines = (line.partition(":") for line in answer.splitlines())
    return {name: value for name, separator, value in lines if separator}
