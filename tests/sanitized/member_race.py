"""Four threads that set one member of one object, and do nothing else that would order them.

scripts/tsan_freethreaded.sh runs it with a core without locks, whose race must be found.
"""

from __future__ import annotations

import threading
import time

from flask_tenant_auth._core import RequestRecord

record = RequestRecord(None)
gate = threading.Barrier(4)


def work(number: int) -> None:
    gate.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        for _ in range(50):
            record.outcome = number


threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
