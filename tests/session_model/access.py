"""What the model test does to each store behind its back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from memory_session_store import MemorySessionStore

from .run import Access


class MemoryAccess:
    """The store in memory."""

    def __init__(self) -> None:
        self.store = MemorySessionStore()
        self.move = self.store.move
        self.snapshot = self.store.snapshot
        self.put_back = self.store.put_back


@contextmanager
def memory() -> Iterator[Access]:
    yield MemoryAccess()


STORES: dict[str, Callable[[], AbstractContextManager[Access]]] = {"memory": memory}


def opened(name: str) -> AbstractContextManager[Access]:
    """Start what the store of this name needs, and return the access to it."""
    return STORES[name]()
