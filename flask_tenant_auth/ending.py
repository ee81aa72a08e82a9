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
from typing import ClassVar


class Ending:
    """Calls a function once: when its owner is freed, when told to, or when the process ends.

    :param at_exit: False: not when the process ends, and not for an owner that is freed later.
    """

    # Those that are still to come, in the order in which they were made. A member of the class: it
    # outlives the names of this module at the end of the interpreter.
    _to_come: ClassVar[dict[Ending, Callable[[], object]]] = {}

    def __init__(
        self, owner: object, function: Callable[[], object], *, at_exit: bool = True
    ) -> None:
        self._at_exit = at_exit
        self._to_come[self] = function
        self._owner = weakref.ref(owner, lambda _: self())

    def __call__(self) -> None:
        """Call the function now, unless it was called before."""
        # One step, whatever other threads do: the one that gets the function calls it.
        function = self._to_come.pop(self, None)
        if function is not None:
            function()

    def detach(self) -> None:
        """Never call the function."""
        self._to_come.pop(self, None)

    @classmethod
    def end_all(cls) -> None:
        """Call those that are left for the end of the process, the newest first."""
        for ending in reversed(list(cls._to_come)):  # list() is one step, too
            if ending._at_exit:
                try:
                    ending()
                except Exception:  # noqa: BLE001 - the others have to end, too
                    sys.excepthook(*sys.exc_info())
        cls._to_come.clear()


atexit.register(Ending.end_all)
