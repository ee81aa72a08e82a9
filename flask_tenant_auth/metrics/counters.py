"""The counters of an app, from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core import Metrics
from ..audit import logger
from ..errors import ConfigurationError

if TYPE_CHECKING:
    from ..config.settings import Settings

# Of metrics, which the catalogue in csrc/metrics/catalogue.h lists.
KEY_FETCHES = "tenant_auth_jwks_fetches"
KEY_AGE = "tenant_auth_jwks_age_seconds"
REVOCATIONS = "tenant_auth_revocations"
SESSIONS = "tenant_auth_session_events"
VERIFICATION = "tenant_auth_verification_seconds"


def metrics_of(settings: Settings, *, app: str, shared: bool) -> Metrics | None:
    """Return the counters of an app; None where nothing shows them.

    :param app: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host share them.
    :raises ConfigurationError: when they cannot be had.
    """
    console = settings.auth_console_route is not None
    if settings.auth_metrics_route is None and not console:
        return None
    try:
        metrics = Metrics(
            settings.ratelimit_key_prefix,
            app=app,
            shared=shared,
            tenants=settings.auth_metrics_tenants,
            console=console,
        )
    except (OSError, MemoryError) as error:
        setting = "AUTH_CONSOLE_ROUTE" if console else "AUTH_METRICS_ROUTE"
        raise ConfigurationError(
            f"{setting}: the counters cannot be made in shared memory: {error}"
        ) from None
    reason = metrics.status()["not_shared_because"]
    if reason is not None:
        logger.warning(
            "Metrics cannot be shared with other processes of this host (%s): each worker counts "
            "alone. Give /dev/shm more room",
            reason,
        )
    return metrics


def count_fetch(metrics: Metrics, source: str, fetched: bool) -> None:
    """Count a fetch of the keys of a provider."""
    metrics.count(KEY_FETCHES, "fetched" if fetched else "failed", source)
    if fetched:
        metrics.touch(KEY_AGE, source)
