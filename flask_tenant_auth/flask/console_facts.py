"""What the console shows of an app: read from shared memory and settings, never asked of Redis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core import Key, now
from ..config.settings import Settings
from ..console import rotation
from ..console.facts import (
    Facts,
    KeyFact,
    Memory,
    Minute,
    Redis,
    RedisState,
    RouteFact,
    SessionFact,
    Subject,
    problems_of,
)
from ..errors import ConfigurationError
from ..keys.jwk_sets import FetchedSource, FileSource, Source
from ..keys.keyrings import KeyOfSetting, keys_of_settings
from ..metrics.counters import KEY_AGE
from .listed_routes import routes_of

if TYPE_CHECKING:
    from flask.app import Flask

    from .._core import Metrics
    from .sessions import SessionInfo
    from .state import AppState

_CHECKS = "tenant_auth_limit_checks"
_AWAY = "tenant_auth_redis_away_processes"
_PROCESSES = "tenant_auth_processes"


class Reporter:
    """Reads the facts of one app.

    :param lasting: whether the process serves requests, and so has had its keys for a while.
    :raises ConfigurationError: for an app without AUTH_CONSOLE_ROUTE.
    """

    def __init__(self, app: Flask, state: AppState, *, lasting: bool) -> None:
        if state.metrics is None or state.settings.auth_console_route is None:
            raise ConfigurationError(
                "AUTH_CONSOLE_ROUTE is not set, so nothing is counted for the console: set it, "
                "and AUTH_CONSOLE_PERMISSION"
            )
        self._app, self._state = app, state
        self._metrics: Metrics = state.metrics
        self._given = keys_of_settings(state.settings)
        self._began = monotonic() if lasting else None

    def facts(self) -> Facts:
        """Return the facts of now."""
        state = self._state
        hour, most = self._metrics.last_hour(), self._metrics.most_limited()
        values = self._metrics.read()
        status = state.limiter.status() if state.settings.ratelimit_enabled else None
        redis, memory = _redis_of(state.settings, status, values), _memory_of(status)
        routes = tuple(_routes_of(self._app))
        return Facts(
            app=state.app_name,
            at=datetime.fromtimestamp(now(), tz=timezone.utc),
            minutes=tuple(Minute(ago=each["ago"], **each["requests"]) for each in hour["minutes"]),
            reasons=_most_frequent(hour["reasons"]),
            users=tuple(
                Subject(tenant_id=tenant, user_id=user, limited=count)
                for tenant, user, count in most["users"]
            ),
            tenants=tuple(
                Subject(tenant_id=tenant, limited=count) for tenant, count in most["tenants"]
            ),
            redis=redis,
            memory=memory,
            keys=tuple(self._keys(dict(values[KEY_AGE]))),
            routes=routes,
            session_store=None if state.session_store is None else state.session_store.describe(),
            problems=problems_of(redis, memory, routes, list(_problems_of(state.sources))),
        )

    def _keys(self, ages: Mapping[tuple[str, ...], float]) -> Iterator[KeyFact]:
        state = self._state
        if state.settings.jwt_tenant_keys is not None:
            yield KeyFact(
                kid="each tenant's own",
                algorithm=state.settings.jwt_algorithm,
                origin="JWT_TENANT_KEYS",
                use="signs and verifies",
                age="not known: a callable of the app returns them",
                next_step="The app's own: its callable returns the next key beside the old one.",
            )
        yield from self._keys_of_settings()
        for source in _sources_of(state):
            for key in source.keys or ():
                yield self._key_of_source(source, key, ages.get((source.where,)))

    def _keys_of_settings(self) -> Iterator[KeyFact]:
        """Yield the keys that settings hold, each once: a pair may be in two settings."""
        settings, seen = self._state.settings, set[tuple[str, str]]()
        names = [each.setting for each in self._given]
        signing = next((each.setting for each in self._given[:1] if each.key.can_sign), None)
        if signing not in ("JWT_SECRET_KEY", "JWT_PRIVATE_KEY"):
            signing = None
        others = names.count("JWT_SECRET_KEY_FALLBACKS")
        had = None if self._began is None else monotonic() - self._began
        for place, each in enumerate(self._given):
            identity = (each.key.algorithm, each.key.kid)
            if identity in seen:
                continue
            seen.add(identity)
            signs = place == 0 and signing is not None
            yield KeyFact(
                kid=each.key.kid,
                algorithm=each.key.algorithm,
                origin=each.setting,
                use="signs and verifies" if signs else "verifies",
                age=rotation.age_of_given(had, _dates_of(each)),
                next_step=_step(each, settings, signing, others),
            )

    def _key_of_source(self, source: Source, key: Key, fetched: float | None) -> KeyFact:
        had = None if self._began is None else source.seconds_with(key)
        return KeyFact(
            kid=key.kid,
            algorithm=key.algorithm,
            origin=f"{source.name} {source.where}",
            use="verifies",
            age=rotation.age_of_fetched(had, fetched if fetched is not None else source.age),
            next_step=rotation.step_of_source(
                source.name,
                given=not source.changes,
                file=isinstance(source, FileSource),
                failure=source.failure,
            ),
        )


def session_fact(session: SessionInfo) -> SessionFact:
    """Return what the console shows of a session."""
    return SessionFact(
        id=session.id,
        role=session.role,
        device=session.device or "",
        address=session.address or "",
        began_at=session.began_at,
        used_at=session.used_at,
        expires_at=session.expires_at,
    )


def _most_frequent(reasons: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    counted = [(reason, count) for reason, count in reasons.items() if count]
    return tuple(sorted(counted, key=lambda each: (-each[1], each[0])))


def _redis_of(
    settings: Settings, status: Mapping[str, Any] | None, values: Mapping[str, Any]
) -> Redis:
    """Return what the processes of this host know of Redis."""
    if status is None or not settings.redis_url:
        return Redis(state=RedisState.UNUSED)
    away, processes = _only(values[_AWAY]), _only(values[_PROCESSES])
    counted = dict(values[_CHECKS]).get(("redis",), 0)
    if away or status["breaker"] != "closed":
        state = RedisState.AWAY
    elif counted or status["redis_has_counted"]:
        state = RedisState.ANSWERS
    else:
        state = RedisState.UNTRIED
    failure = ": ".join(filter(None, (status["failure"], status["failure_detail"])))
    return Redis(
        state=state,
        url=status["redis_url"],
        failure=failure if state is RedisState.AWAY else "",
        without_it=settings.ratelimit_on_store_error,
        processes_away=away,
        processes=processes,
    )


def _only(samples: Iterable[tuple[tuple[str, ...], Any]]) -> int:
    """Return the value of a metric without labels."""
    return int(sum(value for _, value in samples))


def _memory_of(status: Mapping[str, Any] | None) -> Memory | None:
    if status is None:
        return None
    return Memory(
        slots=status["slots"],
        used=status["slots_used"],
        evictions=status["evictions"],
        shared=status["not_shared_because"] is None,
    )


def _routes_of(app: Flask) -> Iterator[RouteFact]:
    for route in routes_of(app):
        yield RouteFact(
            method=route.method,
            path=route.path,
            protection=route.protection,
            limits=route.limits,
            unprotected=route.unprotected,
        )


def _sources_of(state: AppState) -> Iterator[Source]:
    """Yield where keys come from, those too that never change."""
    provider = state.own_provider
    if provider is not None and provider.source is not None and not provider.source.changes:
        yield provider.source
    yield from state.sources


def _problems_of(sources: Iterable[Source]) -> Iterator[str]:
    for source in sources:
        if source.keys is None and isinstance(source, FetchedSource):
            yield f"{source.name} has no keys: {source.failure or 'none were fetched yet'}."
        elif source.failure is not None:
            yield f"{source.name} keeps its keys of before: {source.failure}."


def _dates_of(each: KeyOfSetting) -> str | None:
    """Say what dates a key has: of its certificate, and of its file."""
    if each.text is None:
        return None
    known = []
    if each.key.validity is not None:
        begins, ends = (datetime.fromtimestamp(of, tz=timezone.utc) for of in each.key.validity)
        known.append(f"its certificate is of {begins:%Y-%m-%d}, until {ends:%Y-%m-%d}")
    written = None if each.text.path is None else _written(each.text.path)
    if written is not None:
        known.append(f"its file was written on {written:%Y-%m-%d}")
    return "; ".join(known) or None


def _written(path: str) -> datetime | None:
    """Return when a file was written."""
    try:
        return datetime.fromtimestamp(Path(path).stat().st_mtime, tz=timezone.utc)
    except (OSError, ValueError, OverflowError):
        return None


def _step(each: KeyOfSetting, settings: Settings, signing: str | None, others: int) -> str:
    hours = settings.jwt_expiration_hours
    if each.setting == "JWT_SECRET_KEY_FALLBACKS":
        return rotation.step_of_fallback(signing, hours=hours)
    if each.setting == signing:
        return rotation.step_of_signing(signing, others=others, hours=hours)
    return rotation.step_of_public(each.setting)
