"""What threads have of the request in which they start."""

from __future__ import annotations

import sys

from ..errors import ConfigurationError


def require_threads_apart() -> None:
    """Refuse an interpreter whose threads begin with the context variables of another thread.

    A pool starts its threads in some request, and other requests use them later: they would have
    the identity of the first one.

    :raises ConfigurationError: where `sys.flags.thread_inherit_context` is on, as it is in a
        CPython 3.14 without the GIL that was not told otherwise.
    """
    if getattr(sys.flags, "thread_inherit_context", False):
        raise ConfigurationError(
            "this Python gives a new thread the context of the thread that starts it, so a thread "
            "of a pool would keep the identity of one request in others: set "
            "PYTHON_THREAD_INHERIT_CONTEXT=0 in the environment, and no -X thread_inherit_context"
        )
