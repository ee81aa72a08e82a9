"""The script in Redis counts as the core's strategies do: both get the same random requests."""

from __future__ import annotations

import os
import random
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
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


def outliving(script: str) -> str:
    """The script with keys that live on for ten minutes.

    Redis ends keys by its own clock, and so too early where the told time stands still.
    """
    life = "ceil(life / 1000)"
    assert script.count(life) == 1
    return script.replace(life, f"{life} + 600000")


def at_told_time(script: str) -> str:
    """The script with its last argument as the time of day, in microseconds."""
    assert script.count("redis.call('TIME')") == 1
    return script.replace("redis.call('TIME')", "{0, ARGV[#ARGV]}")


Taken = list[tuple[list[Hit], int]]

DAY = 86400
LIMITS = [1, 2, 3, 5, 7, 50, 999, 8_388_607, 8_388_608, 2**30, 2**31 - 2, 2**31 - 1]
PERIODS = [1, 10, 60, 61, 3600, DAY, 30 * DAY, 31 * DAY, 5 * 365 * DAY]


@dataclass
class Range:
    """What random requests are made of."""

    limits: list[int]
    periods: list[int]
    unit: int  # All times are multiples of it, in microseconds.


WHOLE_RANGE = Range(LIMITS, PERIODS, 1)
# The core starts a fixed window of a limit from 1,024 at a whole part of two seconds, the script
# at any microsecond.
RANGES = {
    "fixed-window": [
        Range([limit for limit in LIMITS if limit < 1024], PERIODS, 1),
        Range(LIMITS, [period for period in PERIODS if period % 2 == 0], 2 * SECOND),
    ]
}
CASES = [(name, range_) for name in STRATEGIES for range_ in RANGES.get(name, [WHOLE_RANGE])]


def random_requests(
    chance: random.Random, count: int, range_: Range, taken: Taken
) -> Iterator[tuple[int, str, list[Hit], list[int]]]:
    """Requests in the order of time, of a few keys each of which has one rate.

    :param taken: hits that were counted, and when. Each is given back once: soon, or after other
        requests, resets and windows.
    """
    now = 1_790_000_000 * SECOND + chance.randrange(SECOND) // range_.unit * range_.unit
    rates = [
        (chance.choice(range_.limits), chance.choice(range_.periods) * SECOND) for _ in range(30)
    ]
    for _ in range(count):
        longest = chance.choice([1, 1000, SECOND, 20 * SECOND, 100 * SECOND, 90_000 * SECOND])
        now += chance.randrange(longest) // range_.unit * range_.unit
        hits = []
        for _ in range(chance.choice([1, 1, 1, 2, 3, 5])):
            key = chance.randrange(len(rates))
            limit, period = rates[key]
            most = max(limit - 1, 1)
            cost = chance.choice([1, 1, 1, min(limit, 2), chance.randint(1, limit), most, limit])
            hits.append((key, limit, cost, period))
        action = chance.choice("cccttttgggppr")
        times: list[int] = []
        if action == "g" and taken:
            hits, at = taken.pop(-1 - chance.randrange(min(len(taken), 5)))
            times = [at] * len(hits)
        elif action == "g":
            action = "p"
        yield now, action, hits, times
        if action == "r":
            now += range_.unit  # A hit of the time of a reset may be from before it.


@pytest.mark.parametrize(("strategy", "range_"), CASES)
def test_the_script_and_the_core_decide_alike(
    client: Client, oracle: Path, strategy: str, range_: Range
) -> None:
    script = client.register_script(outliving(at_told_time(script_of(oracle))))
    taken: Taken = []
    refused = given = 0
    with subprocess.Popen(
        [oracle, strategy], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        chance = random.Random(f"seed {strategy}")
        for request in random_requests(chance, 4000, range_, taken):
            now, action, hits, times = request
            words = [now, action, len(hits), *(number for hit in hits for number in hit), *times]
            process.stdin.write(" ".join(map(str, words)) + "\n")
            process.stdin.flush()
            expected = [int(number) for number in process.stdout.readline().split()]
            numbers = [number for _, *rest in hits for number in rest]
            keys = [f"k{key}" for key, *_ in hits]
            answer = script(keys, [strategy, action, *numbers, *times, now])
            if action == "t":
                assert answer[len(expected) :] == [now] * len(hits)
                if all(answer[: len(expected) : 4]):
                    taken.append((hits, now))
            assert answer[: len(expected)] == expected, request
            refused += 0 in expected[::4]
            given += action == "g"
        process.stdin.close()
    assert 300 < refused < 3500
    assert given > 500


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_was_counted_before_a_reset_is_not_given_back_after_it(
    client: Client, oracle: Path, strategy: str
) -> None:
    script = client.register_script(at_told_time(script_of(oracle)))
    now = 1_790_000_000 * SECOND
    of_key = [5, 3, 60 * SECOND]
    assert script(["k"], [strategy, "t", *of_key, now])[4] == now
    script(["k"], [strategy, "r", *of_key, now + 1000])
    assert script(["k"], [strategy, "t", *of_key, now + 2000])[:2] == [1, 2]
    assert script(["k"], [strategy, "g", *of_key, now, now + 3000])[1] == 2
    assert script(["k"], [strategy, "g", *of_key, now + 2000, now + 4000])[1] == 5
    assert 0 < client.pttl("k") <= 120_000
    # The time of the reset stays, also where nothing is counted any more.
    assert script(["k"], [strategy, "t", *of_key, now + 5000])[:1] == [1]
    assert script(["k"], [strategy, "g", *of_key, now, now + 6000])[1] <= 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_key_of_which_all_is_given_back_is_removed(
    client: Client, oracle: Path, strategy: str
) -> None:
    script = client.register_script(at_told_time(script_of(oracle)))
    now = 1_790_000_000 * SECOND
    script(["k"], [strategy, "t", 5, 1, 60 * SECOND, now])
    assert client.exists("k")
    assert script(["k"], [strategy, "g", 5, 1, 60 * SECOND, now, now])[:2] == [1, 5]
    assert not client.exists("k")
    assert script(["k"], [strategy, "g", 5, 1, 60 * SECOND, now, now])[:2] == [1, 5]
    assert not client.exists("k")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_key_has_a_time_to_live(client: Client, oracle: Path, strategy: str) -> None:
    script = client.register_script(script_of(oracle))
    for period in (1, 60, 86400):
        script([f"a{period}", f"b{period}"], [strategy, "c", *[5, 1, period * SECOND] * 2])
        for key in (f"a{period}", f"b{period}"):
            assert 0 < client.pttl(key) <= 2 * period * 1000


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ahead", [3, 3600, 10**9])
def test_a_clock_that_steps_back_keeps_the_count(
    client: Client, oracle: Path, strategy: str, ahead: int
) -> None:
    """Not a fresh limit, and no lock-out until the old time comes again."""
    script = client.register_script(at_told_time(script_of(oracle)))
    now = client.time()[0] * SECOND
    assert script(["k"], [strategy, "c", 5, 5, SECOND, now + ahead * SECOND])[0] == 1
    fits, remaining, _, retry = script(["k"], [strategy, "c", 5, 1, SECOND, now])
    assert (fits, remaining) == (0, 0)
    assert 0 < retry <= 2 * SECOND
    assert script(["k"], [strategy, "c", 5, 1, SECOND, now + retry - 1])[0] == 0
    assert script(["k"], [strategy, "c", 5, 1, SECOND, now + retry])[0] == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("value", ["", "x", "1", "-1 -1 -1", "1 2 3 4", "nan", "1e400", "5 5 5 "])
def test_values_that_are_no_states_are_replaced(
    client: Client, oracle: Path, strategy: str, value: str
) -> None:
    client.set("k", value)
    script = client.register_script(script_of(oracle))
    assert script(["k"], [strategy, "c", 5, 1, 60 * SECOND])[0] == 1
    assert client.pttl("k") > 0
