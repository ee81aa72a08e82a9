"""What `flask auth check` reports of Redis: whether it counts, and what may prevent that.

Each command has a deadline of its own, and the first one without a reply is the last. So a Redis
that hangs takes a few seconds. What is not known is reported with the reason. Often the user of the
app may not ask for it: the rights that counting needs (docs/redis.md) do not include it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..._core import Limiter
    from ...config.settings import Settings
    from ..state import AppState

# The longest wait for one answer: RATELIMIT_STORE_TIMEOUT_MS, but not less than this ...
QUESTION_MS = 1000
# ... and not more than this, because a person waits.
LONGEST_QUESTION_MS = 5000
# The fastest of so many calls is reported: the first one connects.
LATENCY_CALLS = 3
OLDEST_VERSION = 5

_NO_EVICTION = "noeviction"

# A call of the core raises these when Redis does not do what it was asked. `code` says why.
_NOT_ANSWERED = (ConnectionError, RuntimeError)
_DENIED = "redis_denied"
# These are replies to this one command: the user may not call it, or Redis does not know it.
_COMMAND_FAILED = (_DENIED, "redis_failed", "redis_refused")
# The replies of Redis to an unknown user or password: 6 and later, and 5.
_UNKNOWN_USER = ("WRONGPASS", "NOAUTH", "invalid password")


@dataclass
class RedisFindings:
    """The lines to print, and the problems, one sentence each."""

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
    status = limiter.status()
    url = str(status["redis_url"])
    found.lines.append(f"url={url}")
    if _ask_to_count(limiter, settings, url, found):
        questions = _Questions(limiter)
        _ask_about_server(questions, status["cluster"], found)
        _ask_about_eviction(questions, found)
    return found


def _ask_to_count(limiter: Limiter, settings: Settings, url: str, found: RedisFindings) -> bool:
    """Have it count. Return whether further commands make sense."""
    fastest = float("inf")
    longest = min(max(QUESTION_MS, settings.ratelimit_store_timeout_ms), LONGEST_QUESTION_MS)
    try:
        for _ in range(LATENCY_CALLS):
            start = time.monotonic()
            limiter.check_redis(longest)
            fastest = min(fastest, (time.monotonic() - start) * 1000)
    except _NOT_ANSWERED as error:
        found.lines.append(f"counts=no ({error})")
        found.problems.append(f"Redis at {url} does not count: {error}{_advice(error)}")
        return _code(error) == _DENIED
    fastest /= 2  # one call that counts, one that forgets
    found.lines.append("counts=yes")
    found.lines.append(f"latency={fastest:.1f} ms")
    if fastest > settings.ratelimit_store_timeout_ms / 2:
        found.problems.append(
            f"Redis at {url} takes {fastest:.1f} ms to count, and RATELIMIT_STORE_TIMEOUT_MS is "
            f"{settings.ratelimit_store_timeout_ms}: it will often be taken for away"
        )
    return True


def _code(error: Exception) -> str:
    """Return the reason that the core gives, in one word."""
    return str(getattr(error, "code", ""))


def _advice(error: Exception) -> str:
    code, said = _code(error), str(getattr(error, "detail", ""))
    if code == _DENIED and any(word in said for word in _UNKNOWN_USER):
        return ". Set the user and password in REDIS_URL"
    if code == _DENIED:
        return ". Give the user what docs/redis.md lists"
    if code in ("redis_unreachable", "redis_timeout"):
        return ". Start it, or set REDIS_URL (empty for none)"
    return ""


class _Questions:
    """Commands to one Redis. The first one without a reply is the last."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._ended = ""

    def ask(self, *words: str) -> tuple[Any, str]:
        """Return the answer to one command, or None and the reason why there is none."""
        if self._ended:
            return None, self._ended
        try:
            return self._limiter.ask_redis(words, QUESTION_MS), ""
        except _NOT_ANSWERED as error:
            if _code(error) not in _COMMAND_FAILED:
                self._ended = str(error)
            return None, str(error)


def _ask_about_server(questions: _Questions, is_cluster: bool, found: RedisFindings) -> None:
    # Every user may say HELLO; Redis 5 does not know it.
    answer, why = questions.ask("HELLO")
    server = dict(_pairs(answer))
    if not server:
        answer, why = questions.ask("INFO", "server")
        server = _info(answer)
    version = server.get("version") or server.get("redis_version")
    mode = server.get("mode") or server.get("redis_mode")
    found.lines.append(f"version={version or _not_known(why)}")
    if mode is not None:
        found.lines.append(f"mode={mode}")
    major = str(version or OLDEST_VERSION).partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_VERSION:
        found.problems.append(f"Redis {version} is too old: {OLDEST_VERSION}.0 or later is needed")
    if mode == "cluster" and not is_cluster:
        found.problems.append(
            "Redis is a node of a cluster, and may not have the counters: add cluster=true to "
            "REDIS_URL"
        )


def _not_known(why: str) -> str:
    return f"not known ({why or 'the answer does not say'})"


def _ask_about_eviction(questions: _Questions, found: RedisFindings) -> None:
    answer, why = questions.ask("INFO", "memory")
    memory = _info(answer)
    policy, most = memory.get("maxmemory_policy"), memory.get("maxmemory", "0")
    if policy is None:
        found.lines.append(f"eviction={_not_known(why)}")
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
