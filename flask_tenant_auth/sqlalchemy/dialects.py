"""The copies of an engine's dialect that compile statements so that they are bounded."""

from __future__ import annotations

from typing import Any

from . import _compat
from .bounds import Bounds, Treatment
from .catalogue import catalogue
from .text import strict_names, strict_types
from .writing import BoundedWriting

_CACHE = "flask_tenant_auth_dialects"


def dialect_for(dialect: Any, treatment: Treatment) -> Any:
    """Return the copy of an engine's dialect that treats scoped tables in this way.

    It is kept on the engine's own dialect until the owned tables change.
    """
    generation = catalogue.current_generation()
    cached = dialect.__dict__.get(_CACHE)
    if cached is None or cached[0] is not generation:
        cached = dialect.__dict__[_CACHE] = (generation, {})
    copies: dict[Treatment, Any] = cached[1]
    found = copies.get(treatment)
    if found is None:
        found = _compat.dialect_copy(dialect, _bounded, *_strictness(treatment))
        found.__dict__.pop(_CACHE, None)
        found.flask_tenant_auth_treatment = treatment
        found = copies.setdefault(treatment, found)
    return found


def _bounded(base: type[Any]) -> type[Any]:
    return type(f"Bounded{base.__name__}", (BoundedWriting, base), {})


def _strictness(treatment: Treatment) -> tuple[Any, Any]:
    if treatment.allows_text:
        return (lambda base: base), (lambda base: base)
    return strict_names, strict_types


def bounds_of(compiled: object) -> Bounds | None:
    """Return what a compiled statement asks of its execution; None: it is not bounded."""
    return compiled.bounds if isinstance(compiled, BoundedWriting) else None
