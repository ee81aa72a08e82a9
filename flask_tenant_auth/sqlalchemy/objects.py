"""Objects of scoped classes: whose they are, before they are written and in the identity map."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy.orm import LoaderCallableStatus, Mapper, Session
from sqlalchemy.orm.attributes import instance_state

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
    """Whether a loaded object belongs to the identity, by the values of the database."""
    if not isinstance(instance, TenantScoped):
        return True
    state = instance_state(instance)
    for owner, attribute, _ in owner_attributes(state.mapper):
        if owner == "user_id" and reaches_tenant(identity):
            continue
        value = state.committed_state.get(attribute, state.dict.get(attribute))
        if not same(value, getattr(identity, owner)):
            return False
    return True


def stamp_object(instance: object, identity: Identity) -> None:
    """Set the owners of a new object that has none."""
    if not isinstance(instance, TenantScoped):
        return
    state = instance_state(instance)
    said = state.dict
    for owner, attribute, form in owner_attributes(state.mapper):
        if said.get(attribute) is None:
            setattr(instance, attribute, own_value(owner, identity, form))


def check_object(instance: object, identity: Identity) -> None:
    """Raise ForeignRow for an object that is, was, or is about to be somebody else's.

    Attributes that are not loaded are not checked. They need not be: the statements of the flush
    are bounded, and the values that they write are checked.
    """
    if not isinstance(instance, TenantScoped):
        return
    state = instance_state(instance)
    for owner, attribute, _ in owner_attributes(state.mapper):
        for values in (state.dict, state.committed_state):
            value = values.get(attribute, LoaderCallableStatus.NO_VALUE)
            if value is None and owner == "user_id" and reaches_tenant(identity):
                continue  # it has no user yet; the value that is written is checked again
            if not isinstance(value, LoaderCallableStatus) and not may_own(owner, value, identity):
                raise foreign(f"this {type(instance).__name__}", owner)


def check_flush(session: Session, identity: Identity) -> None:
    """Set the owners of new objects that a flush is about to write, and check the others."""
    for instance in session.new:
        stamp_object(instance, identity)
    for instance in (*session.dirty, *session.deleted):
        check_object(instance, identity)
