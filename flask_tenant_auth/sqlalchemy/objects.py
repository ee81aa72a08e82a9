"""Objects of scoped classes: whose they are, before they are written and in the identity map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, LoaderCallableStatus, Mapper, Session

from .._core import Identity
from .models import TenantScoped, owner_columns, owners_of
from .scope import reaches_tenant
from .values import Form, foreign, form_of, may_own, own_value, same


@lru_cache(maxsize=1024)
def owner_attributes(mapper: Mapper[Any]) -> tuple[tuple[str, str, Form], ...]:
    """Return (owner, the attribute that is loaded, what it holds) of a class."""
    found = []
    for owner in owners_of(mapper.class_):
        attribute, columns = owner_columns(mapper, owner)
        found.append((owner, attribute, form_of(columns[0])))
    return tuple(found)


def is_visible(instance: object, identity: Identity) -> bool:
    """Whether a loaded object belongs to the identity, judged by what the database said."""
    if not isinstance(instance, TenantScoped):
        return True
    state: InstanceState[Any] = inspect(instance)
    for owner, attribute, _ in owner_attributes(state.mapper):
        if owner == "user_id" and reaches_tenant(identity):
            continue
        value = state.committed_state.get(attribute, state.dict.get(attribute))
        if not same(value, getattr(identity, owner)):
            return False
    return True


def stamp_object(instance: object, identity: Identity) -> None:
    """Fill in whose a new object is, where it does not say so."""
    if not isinstance(instance, TenantScoped):
        return
    state: InstanceState[Any] = inspect(instance)
    for owner, attribute, form in owner_attributes(state.mapper):
        if state.dict.get(attribute) is None:
            setattr(instance, attribute, own_value(owner, identity, form))


def owners_said(state: InstanceState[Any], attribute: str) -> Iterator[object]:
    """Return the owner that an object has, and the one it had when it was loaded."""
    # What is not loaded is not known here; the statement itself is bounded as well.
    if attribute in state.dict:
        yield state.dict[attribute]
    if state.persistent and attribute in state.committed_state:
        yield state.committed_state[attribute]


def check_object(instance: object, identity: Identity) -> None:
    """Raise ForeignRow for an object that is, was, or is about to be somebody else's."""
    if not isinstance(instance, TenantScoped):
        return
    state: InstanceState[Any] = inspect(instance)
    for owner, attribute, _ in owner_attributes(state.mapper):
        for value in owners_said(state, attribute):
            if not isinstance(value, LoaderCallableStatus) and not may_own(owner, value, identity):
                raise foreign(f"this {type(instance).__name__}", owner)


def check_flush(session: Session, identity: Identity) -> None:
    """Stamp and check every object that a flush is about to write."""
    for instance in session.new:
        stamp_object(instance, identity)
        check_object(instance, identity)
    for instance in (*session.dirty, *session.deleted):
        check_object(instance, identity)
