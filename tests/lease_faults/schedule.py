"""Random schedules: which hosts send how many requests, and what goes wrong meanwhile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from flask_tenant_auth._core import STRATEGIES

from .host import Hit

MS = 0.001
SLOWER = (0, 0, 500, 1000)  # the clocks of hosts need not be better than these
TIMEOUT_MS = 400


@dataclass(frozen=True)
class Options:
    """What the schedules of a run may contain."""

    leases: tuple[float, ...] = (0.0, 0.5, 0.5)  # of a host, one of these
    strategies: tuple[str, ...] = STRATEGIES
    redis_steps: str = "both"  # which steps of the clock of Redis there may be, of REDIS_STEPS
    controls: tuple[str, ...] = ()  # what is done that must be found: of these, each in turn


REDIS_STEPS = {"none": [0], "forwards": [1], "both": [1, -1]}

# What no limiter survives, or a limiter that is wrong. Each must be found.
CONTROLS = {
    "replay": "the wire answers a grant once more",
    "flush": "Redis forgets what it has counted",
    "allow": "hosts allow what Redis does not count",
    "memory": "hosts count by themselves what Redis does not count",
    "one more": "each limit is one higher than the judge knows",
    "short window": "each window is a tenth shorter than the judge knows",
    "slow host": "the clock of a host loses time, so that it spends a lease too late",
}


@dataclass(frozen=True)
class HostPlan:
    """A host: how many workers it has, whether each opens the limiter itself, its lease."""

    workers: int
    each_opens: bool
    lease: float
    slower: int = 0  # how much less time passes there, in ppm


@dataclass(frozen=True)
class Burst:
    """Requests of one worker, with pauses of so many seconds."""

    host: int
    worker: int
    hits: tuple[Hit, ...]
    gap: float


@dataclass(frozen=True)
class Act:
    """Something that happens to a host or a clock, so many seconds after what came before."""

    after: float
    kind: str
    host: int = 0
    worker: int = 0
    value: float = 0.0


@dataclass(frozen=True)
class Phase:
    """Bursts that begin at the same moment, acts meanwhile, and the time that passes afterwards."""

    rights: bool  # whether faults of earlier phases end first
    bursts: tuple[Burst, ...]
    acts: tuple[Act, ...]
    passes: tuple[str, float]  # "part" of a period, "edge" of a window, so many seconds before it
    recovers: bool  # whether the workers wait until they ask Redis again
    rests: float  # seconds without requests, after time has passed


@dataclass(frozen=True)
class Schedule:
    """One schedule. Its seed makes it; how its processes run is up to the machine."""

    number: int
    strategy: str
    rates: tuple[tuple[int, int], ...]  # limit, seconds
    most_cost: int
    hosts: tuple[HostPlan, ...]
    control: str
    phases: tuple[Phase, ...] = field(repr=False)

    @property
    def on_store_error(self) -> str:
        """What hosts do without Redis."""
        return self.control if self.control in ("allow", "memory") else "deny"

    def hosts_rates(self) -> tuple[tuple[int, int], ...]:
        """The rates as hosts know them."""
        if self.control == "one more":
            return tuple((limit + 1, seconds) for limit, seconds in self.rates)
        if self.control == "short window":
            return tuple((limit, max(seconds * 9 // 10, 1)) for limit, seconds in self.rates)
        return self.rates

    def smaller(self) -> Iterator[Schedule]:
        """This one without a phase, without an act, without a burst, or without half a burst."""
        for place, phase in enumerate(self.phases):
            for less in [(), *((each,) for each in _smaller(phase))]:
                phases = (*self.phases[:place], *less, *self.phases[place + 1 :])
                yield replace(self, phases=phases)


def _smaller(phase: Phase) -> Iterator[Phase]:
    for place in range(len(phase.acts)):
        yield replace(phase, acts=phase.acts[:place] + phase.acts[place + 1 :])
    for place, burst in enumerate(phase.bursts):
        others = phase.bursts[:place], phase.bursts[place + 1 :]
        yield replace(phase, bursts=others[0] + others[1])
        if len(burst.hits) > 1:
            half = replace(burst, hits=burst.hits[: len(burst.hits) // 2])
            yield replace(phase, bursts=(*others[0], half, *others[1]))


def made(seed: int, number: int, options: Options) -> Schedule:
    """The schedule with this number of a run."""
    control = options.controls[number % len(options.controls)] if options.controls else ""
    if control:
        return directed(number, control)
    chance = random.Random(f"{seed}:{number}")
    hosts = tuple(
        HostPlan(
            workers=chance.choice([1, 1, 2, 3]),
            each_opens=chance.random() < 0.3,
            lease=chance.choice(options.leases),
            slower=chance.choice(SLOWER),
        )
        for _ in range(chance.choice([1, 2, 2, 3, 3]))
    )
    draft = Schedule(
        number=number,
        strategy=chance.choice(options.strategies),
        rates=tuple(_rate(chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))),
        most_cost=chance.choice([1, 1, 3]),
        hosts=hosts,
        control="",
        phases=(),
    )
    signs = REDIS_STEPS[options.redis_steps] if chance.random() < 0.3 else [0]
    often = chance.choice([0.3, 0.5, 0.8])
    phases = tuple(_phase(chance, draft, signs, often) for _ in range(chance.randint(4, 10)))
    return replace(draft, phases=phases)


def directed(number: int, control: str) -> Schedule:
    """A schedule in which the control admits too much. Host 0 has leases, host 1 has none."""
    limit, seconds = 100, 60

    def phase(host: int, hits: int, passes: float = 0.0) -> Phase:
        burst = Burst(host, 0, (Hit((1,)),) * hits, 0)
        return Phase(False, (burst,), (), ("part", passes), True, 0.0)

    def act(kind: str, host: int, value: float = 0.0) -> Phase:
        return replace(phase(host, 0), acts=(Act(0, kind, host, value=value),))

    all_of_it = phase(1, limit)
    return Schedule(
        number=number,
        strategy="fixed-window",
        rates=((limit, seconds),),
        most_cost=1,
        hosts=(HostPlan(1, each_opens=False, lease=0.5), HostPlan(1, each_opens=False, lease=0)),
        control=control,
        phases={
            "replay": (act("replay", 1), all_of_it, all_of_it),
            "flush": (all_of_it, act("flush", 1), all_of_it),
            "allow": (all_of_it, act("break", 1), all_of_it),
            "memory": (all_of_it, act("break", 1), all_of_it),
            "one more": (phase(1, limit + 1),),
            "short window": (phase(1, limit, passes=0.95), all_of_it),
            # Host 0 has a lease of the first window, and comes to it in the second one.
            "slow host": (
                phase(0, 2),
                act("lose time", 0, 1.1 * seconds),
                all_of_it,
                phase(0, limit // 10),
            ),
        }[control],
    )


def _rate(chance: random.Random) -> tuple[int, int]:
    limit = chance.choice([chance.randint(1, 5), chance.randint(6, 40), chance.randint(40, 200)])
    return limit, chance.choice([1, 2, 5, 10, 60, 60, 3600])


def _burst(chance: random.Random, schedule: Schedule, host: int, worker: int) -> Burst:
    most = max(limit for limit, _ in schedule.rates)
    count = chance.choice([chance.randint(1, 4), chance.randint(1, min(60, 2 + most // 2))])
    return Burst(
        host,
        worker,
        tuple(_hit(chance, schedule) for _ in range(count)),
        chance.choice([0, 0, 0, 0.2 * MS, 2 * MS if count < 8 else 0]),
    )


def _hit(chance: random.Random, schedule: Schedule) -> Hit:
    costs = [
        chance.randint(1, min(schedule.most_cost, limit)) if chance.random() < 0.8 else 0
        for limit, _ in schedule.rates
    ]
    if not any(costs):
        costs[0] = 1
    return Hit(tuple(costs), chance.random() < 0.05)


def _phase(chance: random.Random, schedule: Schedule, signs: list[int], often: float) -> Phase:
    bursts = [
        _burst(chance, schedule, host, worker)
        for host, plan in enumerate(schedule.hosts)
        for worker in range(plan.workers)
        if chance.random() < 0.6
    ]
    acts = []
    if chance.random() < often:
        for _ in range(chance.choice([1, 1, 2, 3])):
            acts += _fault(chance, schedule, signs)
    passes = chance.choice(
        [
            *[("part", chance.uniform(0, 0.05))] * 3,
            *[("part", chance.uniform(0.05, 1))] * 2,
            ("part", chance.uniform(1, 2.5)),
            *[("edge", chance.uniform(0, 6 * MS))] * 3,
        ]
    )
    rights, recovers = chance.random() < 0.6, chance.random() < 0.8
    rests = chance.choice([0, 0, 30 * MS])
    return Phase(rights, tuple(bursts), tuple(acts), passes, recovers, rests)


def _fault(chance: random.Random, schedule: Schedule, signs: list[int]) -> list[Act]:
    host = chance.randrange(len(schedule.hosts))
    worker = chance.randrange(schedule.hosts[host].workers)
    period = chance.choice(schedule.rates)[1]
    after = chance.choice([0, chance.uniform(0, 4 * MS), chance.uniform(0, 20 * MS)])
    soon = chance.uniform(0, 10 * MS)

    def act(kind: str, value: float = 0.0, when: float = after) -> Act:
        return Act(when, kind, host, worker, value)

    # Until a call has failed, for some part of a period, or not at all.
    times = (1.3 * TIMEOUT_MS * MS, 1.3 * TIMEOUT_MS * MS, chance.uniform(0, 1.5) * period)
    passes = [act("pass", chance.choice(times), soon)] if chance.random() < 0.7 else []

    kinds = {
        "kill worker": [act("kill worker")],
        "kill host": [act("kill host")],
        "close host": [act("close host")],
        "freeze worker": [act("freeze worker"), *passes, act("thaw", when=soon)],
        "freeze host": [act("freeze host"), *passes, act("thaw", when=soon)],
        "freeze into the next phase": [act(chance.choice(["freeze worker", "freeze host"]))],
        "hold": [act("hold"), *passes, act(chance.choice(["deliver", "heal"]), when=soon)],
        "hold into the next phase": [act("hold")],
        "break": [act("break"), *passes, act("heal", when=soon)],
        "break into the next phase": [act("break")],
        "delay": [act("delay", chance.choice([1, 5, 30]) * MS), *passes, act("delay", when=soon)],
        "lose a request": [act("lose requests", chance.choice([1, 1, 3]))],
        "lose an answer": [act("lose answers", chance.choice([1, 1, 3]))],
        "late answer": [act("late answer", chance.choice([5, 20]) * MS), *passes],
        "half an answer": [act("half answer", chance.choice([1, 4, 9, 20]))],
        "pass": [act("pass", chance.choice([0.01, 0.3, 1.0, 1.1]) * period)],
        "step host": [act("step host", chance.choice([-1, 1]) * chance.uniform(0, 3) * period)],
    }
    sign = chance.choice(signs)
    if sign and chance.random() < 0.3:
        return [act("step redis", sign * chance.choice([0.001, 0.3, 0.9, 1.1, 3, 1000]) * period)]
    return kinds[chance.choice(list(kinds))]
