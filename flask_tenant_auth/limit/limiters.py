"""The limiter of an app, from its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .._core import Limit, Limiter, Metrics, parse_rates
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..config.settings import Settings


def failure_limits_of(settings: Settings) -> tuple[Limit, ...]:
    """Return the limits of failed authentications, by address."""
    if not settings.auth_failure_limit:
        return ()
    return tuple(
        Limit(rate, scope="authentication failures", per="address")
        for rate in parse_rates(settings.auth_failure_limit)
    )


def limiter_of(
    settings: Settings, *, app: str, shared: bool, metrics: Metrics | None = None
) -> Limiter:
    """Return a new limiter.

    :param app: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host share its counters.
    :param metrics: where its decisions are counted.
    :raises ConfigurationError: when it cannot be made; the message names the setting.
    """
    try:
        return Limiter(
            prefix=settings.ratelimit_key_prefix,
            app=app,
            strategy=settings.ratelimit_strategy,
            shm_bytes=settings.ratelimit_shm_bytes or 0,
            shared=shared,
            redis_url=settings.redis_url,
            timeout_ms=settings.ratelimit_store_timeout_ms,
            on_store_error=settings.ratelimit_on_store_error,
            metrics=metrics,
            lease=settings.ratelimit_lease,
        )
    except PermissionError as error:
        raise ConfigurationError(
            f"RATELIMIT_KEY_PREFIX {settings.ratelimit_key_prefix!r} cannot be used: {error}: "
            "it is this user's, but others may use it, it has a second name, or it is no file. "
            "Remove it (fta-* in /dev/shm), or set another prefix"
        ) from None
    except ValueError as error:
        raise ConfigurationError(_of_setting(str(error))) from None
    except (MemoryError, OSError) as error:
        reason = str(error) or type(error).__name__
        raise ConfigurationError(
            f"RATELIMIT_SHM_BYTES {settings.ratelimit_shm_bytes} cannot be had: {reason}"
        ) from None


# A counter takes 32 bytes or less, so there is room for tens of thousands of subjects.
_SMALL_BYTES = 2**20


def small_limiter_of(settings: Settings, *, app: str, shared: bool) -> Limiter:
    """Return a limiter beside that of the app, whose memory is at most a MiB.

    It is closed by its owner. The parameters and errors are those of `limiter_of`.
    """
    most = min(settings.ratelimit_shm_bytes or _SMALL_BYTES, _SMALL_BYTES)
    return limiter_of(replace(settings, ratelimit_shm_bytes=most), app=app, shared=shared)


# The setting that each argument of `Limiter` is from.
_SETTING_OF = {
    "prefix": "RATELIMIT_KEY_PREFIX",
    "strategy": "RATELIMIT_STRATEGY",
    "shm_bytes": "RATELIMIT_SHM_BYTES",
    "redis_url": "REDIS_URL",
    "timeout_ms": "RATELIMIT_STORE_TIMEOUT_MS",
    "on_store_error": "RATELIMIT_ON_STORE_ERROR",
    "lease": "RATELIMIT_LEASE",
}


def _of_setting(error: str) -> str:
    """Name the setting in an error of `Limiter` whose first word is the argument."""
    argument, _, problem = error.partition(" ")
    if argument in _SETTING_OF:
        return f"{_SETTING_OF[argument]} {problem}"
    # The directory of the app, which may be no Unicode text.
    return f"RATELIMIT_KEY_PREFIX must be set, because the app has no name to count under: {error}"
