"""The rules of ``@concurrency_limit``: how many requests of whom may run at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from .._core import PERMITS_MOST, Identity, Permits
from ..audit import logger
from ..errors import ConfigurationError
from .arguments import methods_of, per_of, scope_of
from .rules import OfIdentity, custom_key, includes_method, scope_of_view, with_identity

if TYPE_CHECKING:
    from ..config.settings import Settings


@dataclass(frozen=True, eq=False, kw_only=True)
class ConcurrencyRule:
    """One ``@concurrency_limit``. Compared by identity."""

    most: int | OfIdentity
    per: str | OfIdentity = "user"
    methods: frozenset[str] | None = None
    scope: str | None = None
    name: str = ""

    def of_view(self, view: object, position: int) -> ConcurrencyRule:
        """Return the rule under a name of its own, so that no two rules share their permits."""
        name = f"{getattr(view, '__qualname__', type(view).__name__)} at once {position}"
        return replace(self, name=name)

    def applies_to(self, method: str) -> bool:
        """Whether it holds for requests of this HTTP method."""
        return includes_method(self.methods, method)

    def most_for(self, identity: Identity | None) -> int | None:
        """Return how many requests of a client may run at once; None: any number.

        :raises TypeError, ValueError: when a callable returned something else.
        """
        if isinstance(self.most, int):
            return self.most
        most = self.most(identity)
        return None if most is None else _checked(most)

    def subject(self, identity: Identity | None) -> tuple[str, str]:
        """Return what `Permits.take` counts by, and the key of a callable."""
        if isinstance(self.per, str):
            return self.per, ""
        return "custom", custom_key(self.per(identity))

    def scope_in(self, endpoint: str) -> str:
        """Return the name under which requests run together: a shared one, or this rule's own."""
        return scope_of_view(self.scope, endpoint, self.name)

    def describe(self) -> str:
        """Return the rule in a few words, for `flask auth check`."""
        most = self.most if isinstance(self.most, int) else "limit by callable"
        return f"{most} at once per {self.per if isinstance(self.per, str) else 'callable'}"


def concurrency_rule_of(*, limit: Any, per: Any, methods: Any, scope: Any) -> ConcurrencyRule:
    """Return the rule of these arguments of ``@concurrency_limit``.

    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    return ConcurrencyRule(
        most=with_identity(limit, "limit") if callable(limit) else _checked(limit),
        per=per_of(per),
        methods=methods_of(methods),
        scope=scope_of(scope),
    )


def _checked(limit: Any) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise TypeError(f"limit must be an int or a callable, not {type(limit).__name__}")
    if not 0 <= limit <= PERMITS_MOST:
        raise ValueError(f"limit must be from 0 to {PERMITS_MOST:,}, not {limit}")
    return limit


def permits_of(settings: Settings, *, app: str, shared: bool) -> Permits:
    """Return the table of the requests that run at once.

    :param app: distinguishes apps of one name on this host.
    :param shared: whether the processes of this host share it.
    :raises ConfigurationError: when it cannot be made; the message names the setting.
    """
    prefix = settings.ratelimit_key_prefix
    try:
        permits = Permits(prefix, app=app, shared=shared)
    except PermissionError as error:
        raise ConfigurationError(
            f"RATELIMIT_KEY_PREFIX {prefix!r} cannot be used: {error}. Remove that "
            "file, or set another prefix"
        ) from None
    reason = permits.status()["not_shared_because"]
    if reason is not None:
        logger.warning(
            "Concurrency limits cannot be shared with other processes of this host (%s): each "
            "worker lets as many requests run as the limit says",
            reason,
        )
    return permits
