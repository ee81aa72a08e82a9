"""The script in Redis counts as the core's strategies do: both get the same random requests."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis as Client

from flask_tenant_auth._core import STRATEGIES
from paths import ROOT
from servers import Redis

SECOND = 1_000_000
Hit = tuple[int, int, int, int]


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/c/rate_oracle.c, built with the core."""
    program = tmp_path_factory.mktemp("oracle") / "rate_oracle"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libjwt", "openssl", "hiredis"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    script = program.with_name("redis_script.c")
    subprocess.run([sys.executable, ROOT / "scripts" / "embed_lua.py", script], check=True)
    files = [*sorted((ROOT / "csrc").rglob("*.c")), script]
    core = [str(path) for path in files if path.parent.name != "binding"]
    source = str(ROOT / "tests" / "c" / "rate_oracle.c")
    compiler = shlex.split(os.environ.get("CC", "cc"))
    options = ["-std=c11", "-D_GNU_SOURCE", "-O1", f"-I{ROOT / 'csrc'}", "-o", program]
    subprocess.run([*compiler, *options, source, *core, *flags, "-lpthread"], check=True)
    return program


@pytest.fixture
def client(redis: Redis) -> Iterator[Client]:
    with Client.from_url(redis.url) as client:
        client.flushall()
        yield client


def script_of(oracle: Path) -> str:
    return subprocess.run([oracle, "script"], capture_output=True, text=True, check=True).stdout


def at_told_time(script: str) -> str:
    """The script with its last argument as the time of day, in microseconds."""
    assert script.count("redis.call('TIME')") == 1
    return script.replace("redis.call('TIME')", "{0, ARGV[#ARGV]}")


def random_requests(chance: random.Random, count: int) -> Iterator[tuple[int, str, list[Hit]]]:
    """Requests in the order of time, of a few keys each of which has one rate."""
    now = 1_790_000_000 * SECOND + chance.randrange(SECOND)
    rates = []
    for _ in range(30):
        limit = chance.choice([1, 2, 3, 5, 7, 50, 999, 8_388_607])
        period = chance.choice([10, 60, 61, 3600, 86400, 5 * 365 * 86400]) * SECOND
        rates.append((limit, period))
    for _ in range(count):
        longest = chance.choice([1, 1000, SECOND, 20 * SECOND, 100 * SECOND, 90_000 * SECOND])
        now += chance.randrange(longest)
        hits = []
        for _ in range(chance.choice([1, 1, 1, 2, 3, 5])):
            key = chance.randrange(len(rates))
            limit, period = rates[key]
            cost = chance.choice([1, 1, 1, min(limit, 2), chance.randint(1, limit), limit])
            hits.append((key, limit, cost, period))
        yield now, chance.choice("cccccccppr"), hits


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_script_and_the_core_decide_alike(client: Client, oracle: Path, strategy: str) -> None:
    script = client.register_script(at_told_time(script_of(oracle)))
    requests = list(random_requests(random.Random(f"seed {strategy}"), 4000))
    lines = [
        f"{now} {action} {len(hits)} " + " ".join(" ".join(map(str, hit)) for hit in hits)
        for now, action, hits in requests
    ]
    expected = subprocess.run(
        [oracle, strategy], input="\n".join(lines), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(expected) == len(requests)
    refused = 0
    for (now, action, hits), line in zip(requests, expected, strict=True):
        numbers = [number for _, *rest in hits for number in rest]
        answer = script([f"k{key}" for key, *_ in hits], [strategy, action, *numbers, now])
        assert answer == [int(number) for number in line.split()], (now, action, hits)
        refused += 0 in answer[::4]
    assert 500 < refused < 3500


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_key_has_a_time_to_live(client: Client, oracle: Path, strategy: str) -> None:
    script = client.register_script(script_of(oracle))
    for period in (1, 60, 86400):
        script([f"a{period}", f"b{period}"], [strategy, "c", *[5, 1, period * SECOND] * 2])
        for key in (f"a{period}", f"b{period}"):
            assert 0 < client.pttl(key) <= 2 * period * 1000


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_states_of_a_clock_that_was_ahead_do_not_deny(
    client: Client, oracle: Path, strategy: str
) -> None:
    """Neither a lock-out until that time comes, nor a division by what is not there."""
    script = client.register_script(at_told_time(script_of(oracle)))
    now = client.time()[0] * SECOND
    for ahead in (3, 3600, 10**9):
        client.delete("k")
        spent = [strategy, "c", 5, 5, SECOND, now + ahead * SECOND]
        assert script(["k"], spent)[0] == 1
        assert script(["k"], spent)[0] == 0
        fits, _, reset, retry = script(["k"], [strategy, "c", 5, 1, SECOND, now])
        assert fits == 1
        assert 0 <= reset <= 2 * SECOND
        assert retry == 0


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", ["", "x", "1", "-1 -1 -1", "1 2 3 4", "nan", "1e400", "5 5 5 "])
def test_values_that_are_no_states_are_replaced(
    client: Client, oracle: Path, strategy: str, value: str
) -> None:
    client.set("k", value)
    script = client.register_script(script_of(oracle))
    assert script(["k"], [strategy, "c", 5, 1, 60 * SECOND])[0] == 1
    assert client.pttl("k") > 0
