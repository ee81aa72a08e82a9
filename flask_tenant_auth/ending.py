"""What ends with its owner: threads, segments, connections.

`weakref.finalize` alone does not end them all. At the end of a process it looks through the
finalizers of every library. Where another thread makes or ends one meanwhile, it raises an error
and calls none of the rest.
"""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable


class Ending:
    """Calls a function once: when its owner is freed, when told to, or when the process ends."""

    def __init__(self, owner: object, function: Callable[[], object]) -> None:
        _endings[self] = function
        self._owner = weakref.ref(owner, lambda _: self())

    def __call__(self) -> None:
        """Call the function now, unless it was called before."""
        # One step, whatever other threads do: the one that gets the function calls it.
        function = _endings.pop(self, None)
        if function is not None:
            function()

    def detach(self) -> None:
        """Never call the function."""
        _endings.pop(self, None)


# Those that are still to come, in the order in which they were made.
_endings: dict[Ending, Callable[[], object]] = {}


@atexit.register
def _end_all() -> None:
    """Call those that are left, the newest first."""
    for ending in reversed(list(_endings)):  # list() is one step, too
        try:
            ending()
        except Exception:  # noqa: BLE001, PERF203 - the others have to end, too
            sys.excepthook(*sys.exc_info())
