"""The time to search a million lines of AUDIT_LOG, to verify a chain of them, and to write a line.

    python -m benchmarks.audit

Half of the lines are in a file that is compressed by gzip. A line is written with and without a
chain in turns, and the median of the rounds is printed.
"""

from __future__ import annotations

import gzip
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flask_tenant_auth._core import AuditLog, Identity
from flask_tenant_auth.trail.query import Query
from flask_tenant_auth.trail.search import Search
from flask_tenant_auth.trail.verify import verify

LINES = 1_000_000
ROUNDS, WRITES = 9, 5000
KEY = bytes(range(64))


def uuid(choose: random.Random) -> str:
    digits = f"{choose.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


def write_lines(path: Path, keys: tuple[bytes, ...]) -> tuple[str, str]:
    """Write the lines of 10,000 users of 100 tenants; return one of them."""
    choose = random.Random(7)
    tenants = [uuid(choose) for _ in range(100)]
    people = [Identity(choose.choice(tenants), uuid(choose), "user") for _ in range(10_000)]
    log = AuditLog(str(path), keys)
    for number in range(LINES):
        who = choose.choice(people)
        denied = number % 50 == 0
        log.write(
            "GET",
            f"/api/accounts/{number % 1000}",
            403 if denied else 200,
            who,
            f"198.51.{number % 200}.{number % 250}",
            "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "role_insufficient" if denied else None,
        )
        if number == LINES // 2:
            moved = path.with_name(f"{path.name}.1")
            path.rename(moved)
            with gzip.open(f"{moved}.gz", "wb") as packed:
                packed.write(moved.read_bytes())
            moved.unlink()
            log.reopen()
    return people[0].tenant_id, people[0].user_id


def search(path: Path, texts: dict[str, str]) -> Callable[[], int]:
    return lambda: sum(1 for _ in Search(path, Query.read(**texts)))


def seconds(run: Callable[[], int]) -> tuple[str, int]:
    """Return the median of the seconds and of the processor's, and what run has returned."""
    taken, of_processor = [], []
    count = 0
    for _ in range(3):
        start, start_of_processor = time.perf_counter(), time.process_time()
        count = run()
        taken.append(time.perf_counter() - start)
        of_processor.append(time.process_time() - start_of_processor)
    told = f"{statistics.median(taken):.2f} s ({statistics.median(of_processor):.2f} s processor)"
    return told, count


def write_times(folder: Path) -> None:
    logs = {
        "without a chain": AuditLog(str(folder / "plain")),
        "with a chain": AuditLog(str(folder / "chained"), (KEY,)),
    }
    line = ("GET", "/api/accounts", 200, Identity(uuid(random), uuid(random)), "::1", "curl", None)
    taken: dict[str, list[float]] = {name: [] for name in logs}
    for _ in range(ROUNDS):
        for name, log in logs.items():
            start = time.process_time()
            for _ in range(WRITES):
                log.write(*line)
            taken[name].append((time.process_time() - start) / WRITES * 1e6)
    for name, values in taken.items():
        sys.stdout.write(f"a line {name}: {statistics.median(values):.1f} us of processor time\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_times(Path(folder))
        for name, keys in (("without a chain", ()), ("with a chain", (KEY,))):
            path = Path(folder) / name.replace(" ", "_")
            tenant, user = write_lines(path, keys)
            queries = {
                "a user": {"tenant": tenant, "user": user},
                "an address": {"address": "198.51.7.7"},
                "a reason in one tenant": {"tenant": tenant, "reason": "role_insufficient"},
                "a minute long ago": {"until": "2000-01-01"},
            }
            for what, texts in queries.items():
                taken, count = seconds(search(path, texts))
                sys.stdout.write(f"{what}, {name}: {taken}, {count} of {LINES} lines\n")
            if keys:
                taken, _ = seconds(lambda p=path: len(verify(p, (KEY,)).finding))
                sys.stdout.write(f"verify: {taken}\n")


if __name__ == "__main__":
    main()
