"""The limits of log ins: what ``@login_limit`` counts, and under which keys."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._core import Limit, parse_rates
from .arguments import methods_of, of_one_argument, scope_of
from .rules import LONGEST_SCOPE, MOST_LIMITS, digest

# Control and format characters, such as a zero-width space, which nobody sees in a name.
_INVISIBLE = frozenset({"Cc", "Cf"})
# Marks and letters that are as invisible (Unicode: Default_Ignorable_Code_Point), after NFKC.
# MySQL compares names without them.
_IGNORED = frozenset(
    chr(point)
    for first, last in (
        *((0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
        *((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)),
    )
    for point in range(first, last + 1)
)


@dataclass(frozen=True, kw_only=True)
class LoginRule:
    """One ``@login_limit``: what it allows, and whom it counts."""

    limit: str
    address_limit: str
    key: str | Callable[[Any], Any]
    methods: frozenset[str] | None = None
    scope: str = ""
    # Prepared by `of_view`: by the account, by the address, and by the device of an account.
    account: tuple[Limit, ...] = ()
    address: tuple[Limit, ...] = ()
    device: tuple[Limit, ...] = ()

    def of_view(self, module: str, name: str) -> LoginRule:
        """Return the rule with its limits, under the scope that was given or a view's own."""
        scope = self.scope or f"{module}.{name}"
        return replace(
            self,
            account=_limits(self.limit, f"login account {scope}", "custom"),
            address=_limits(self.address_limit, f"login address {scope}", "address"),
            device=_limits(self.limit, f"login device {scope}", "custom"),
        )

    def applies_to(self, method: str) -> bool:
        """Whether it counts requests of this HTTP method."""
        return method != "OPTIONS" if self.methods is None else method in self.methods


def login_rule_of(
    *, limit: Any, key: Any, address_limit: Any, methods: Any, scope: Any
) -> LoginRule:
    """Return the rule of these arguments of ``@login_limit``.

    :raises TypeError, ValueError: for an argument that cannot be meant; the message names it.
    """
    by_address = limit if address_limit is None else address_limit
    count = 0
    for name, text in (("limit", limit), ("address_limit", by_address)):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a str, not {type(text).__name__}")
        count += len(parse_rates(text))
    if count > MOST_LIMITS:
        raise ValueError(f"limit and address_limit can be at most {MOST_LIMITS} limits together")
    if isinstance(key, str):
        if not key.strip():
            raise ValueError('key must name a field of the request, as "email"')
    elif of_one_argument("key", key, "the request, or the name of a field,") is None:
        raise TypeError('key must be the name of a field, as "email", or a callable of the request')
    return LoginRule(
        limit=limit,
        address_limit=by_address,
        key=key,
        methods=methods_of(methods),
        scope=scope_of(scope) or "",
    )


def account_of(name: object) -> str | None:
    """Return the key under which an account is counted; None where a request names none.

    However a name is written, one account has one key: without case and width (Unicode's NFKC),
    surplus spaces and characters that nobody sees. The key is a digest, so that no store holds
    names.
    """
    if isinstance(name, bool) or not isinstance(name, str | int):
        return None
    text = unicodedata.normalize("NFKC", str(name)).casefold()
    text = unicodedata.normalize("NFKC", text)
    # White space first, because tabs and line ends are control characters too.
    text = " ".join(text.split())
    text = "".join(
        each
        for each in text
        if each not in _IGNORED and unicodedata.category(each) not in _INVISIBLE
    )
    text = " ".join(text.split())
    return digest(text) if text else None


def _limits(text: str, scope: str, per: str) -> tuple[Limit, ...]:
    if len(scope.encode("utf-8", "surrogatepass")) > LONGEST_SCOPE:
        scope = digest(scope)
    return tuple(Limit(rate, scope=scope, per=per) for rate in parse_rates(text))
