"""Plays schedules: starts the hosts, lets them send requests, and does the faults meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from servers import Redis

from .clock import REDIS, Clocks
from .host import ANSWERED, ASKED, RECORD
from .judge import Request, Step, Story
from .processes import Child, Host
from .proxy import Proxy
from .schedule import TIMEOUT_MS, Act, Burst, Schedule

HOSTS = 3
SHARED_MEMORY = Path("/dev/shm")
TABLE_BYTES = 1 << 16
RECOVERY_SECONDS = 2
PATIENCE = 180  # seconds after which a process that does not end hangs, however busy the machine is
NS = 1_000_000_000


class Lane:
    """One Redis and the way to it of each host; schedules are played here one after the other."""

    def __init__(self, directory: Path, library: Path) -> None:
        self.clocks = Clocks(directory / "clocks")
        self.environment = self.clocks.environment(library)
        self.redis = TimedRedis(self.environment)
        self.proxies: list[Proxy] = []

    async def open(self) -> None:
        self.redis.start()
        self.proxies = [Proxy(self.redis.port) for _ in range(HOSTS)]
        for proxy in self.proxies:
            await proxy.open()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.redis.port)
        self.forker = Child(-1)
        program = [sys.executable, "-m", "tests.lease_faults.host"]
        descriptor = self.forker.there.fileno()
        self.process = subprocess.Popen(
            [*program, str(descriptor)],
            pass_fds=[descriptor],
            stdout=subprocess.DEVNULL,  # it is that of the lane, and its end is the lane's
            env=os.environ | self.environment,
        )
        self.forker.there.close()

    async def close(self) -> None:
        self.writer.close()
        for proxy in self.proxies:
            proxy.close()
        self.forker.forget()
        self.process.wait(PATIENCE)
        self.redis.close()

    def carried(self) -> int:
        """How many answers Redis has given the hosts."""
        return sum(proxy.carried for proxy in self.proxies)

    async def ask_redis(self, line: bytes) -> bytes:
        """Send a command that has an answer of one line."""
        self.writer.write(line + b"\r\n")
        return await self.reader.readline()

    async def play(self, schedule: Schedule) -> tuple[Story, str]:
        """Play one schedule; what came of it, and what did not end."""
        play, hanging = Play(self, schedule), ""
        try:
            await play.run()
        except TimeoutError as error:
            hanging = str(error)
        finally:
            await play.end()
        return play.story(), hanging


class TimedRedis(Redis):
    """A Redis whose clocks are moved."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self.environment = environment

    def command(self) -> list[str]:
        """As in the base class."""
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return ["env", *settings, *super().command()]


class Play:
    """One schedule that is played."""

    def __init__(self, lane: Lane, schedule: Schedule) -> None:
        self.lane, self.schedule, self.clocks = lane, schedule, lane.clocks
        self.hosts = [Host(index, lane.proxies[index]) for index in range(len(schedule.hosts))]
        self.ledger = SHARED_MEMORY / f"ledger-{schedule.number}"
        self.ledger.touch()
        self.host_of: list[int] = []  # of each worker that there ever was
        self.steps: list[Step] = []
        self.quiet: list[int] = []
        self.window = 0  # when the last window of the first limit may have begun
        self.day = self.clocks.day()  # before all steps
        self.acts: Counter[str] = Counter()
        self.facts: Counter[str] = Counter()  # of the processes that live to the end

    async def run(self) -> None:
        for host in self.hosts:
            self.clocks.slow_host(1 + host.index, self.schedule.hosts[host.index].slower)
        await asyncio.gather(*map(self._start, self.hosts))
        await self._settle()
        for phase in self.schedule.phases:
            if phase.rights:
                await self._right()
            self._mark_window()
            for burst in phase.bursts:
                self._begin(burst)
            for act in phase.acts:
                if act.after:
                    await asyncio.sleep(act.after)
                await self._act(act)
            await self._settle()
            await asyncio.gather(*map(self._start, self.hosts))
            await self._settle()
            if phase.recovers:
                await self._recover()
            self._pass(*phase.passes)
            await self._rest(phase.rests)

    async def end(self) -> None:
        """End all processes, and forget what they shared."""
        self.clocks.right_hosts()
        for host in self.hosts:
            host.proxy.right()
            host.kill()
        children = [child for host in self.hosts for child in host.children()]
        for child in children:
            self.facts.update(child.facts)
        await self._wait(lambda: all(child.dead for child in children), "the end of a host")
        for path in SHARED_MEMORY.glob("fta-*"):
            path.unlink()

    def story(self) -> Story:
        """What the ledger says."""
        data = self.ledger.read_bytes()
        self.ledger.unlink()
        requests: dict[tuple[int, int], Request] = {}
        for kind, allowed, uncounted, given, who, costs, number, start, end in RECORD.iter_unpack(
            data[: len(data) // RECORD.size * RECORD.size]
        ):
            if kind == ASKED:
                requests[who, number] = Request(
                    host=self.host_of[who],
                    costs=tuple(
                        costs >> 4 * place & 15 for place in range(len(self.schedule.rates))
                    ),
                    start=start,
                    end=None,
                    allowed=False,
                    uncounted=True,
                    given_back=False,
                )
            elif kind == ANSWERED:
                request = requests[who, number]
                request.end, request.allowed = end, bool(allowed)
                request.uncounted, request.given_back = bool(uncounted), bool(given)
        return Story(
            *(self.schedule, list(requests.values()), self.steps, self.quiet, self.day),
            acts=self.acts,
            facts=self.facts,
        )

    # --- Processes ---

    async def _start(self, host: Host) -> None:
        """Start what of a host does not run. The parent has to run for its workers."""
        plan = self.schedule.hosts[host.index]
        if host.parent is None or host.parent.dead:
            host.parent = Child(host.index)
            self.lane.forker.tell(
                {"do": "host", "participant": 1 + host.index, **self._settings(host)}, host.parent
            )
            host.workers.clear()
        await self._ready(host.parent)
        for place in range(plan.workers):
            if host.parent.dead or host.parent.frozen:
                return
            if place < len(host.workers) and not host.workers[place].dead:
                continue
            child = Child(host.index)
            told = {"do": "worker", "who": len(self.host_of), **self._settings(host)}
            self.host_of.append(host.index)
            host.parent.tell(told, child)
            host.workers[place : place + 1] = [child]
            await self._ready(child)

    async def _ready(self, child: Child) -> None:
        await self._wait(lambda: child.frozen or child.dead or child.pid > 0, "a new process")

    def _settings(self, host: Host) -> dict[str, Any]:
        plan, schedule = self.schedule.hosts[host.index], self.schedule
        return {
            "each_opens": plan.each_opens,
            "rates": schedule.hosts_rates(),
            "most_cost": schedule.most_cost,
            "ledger": str(self.ledger),
            "limiter": {
                "prefix": f"schedule{schedule.number}",
                "app": f"host{host.index}",
                "strategy": schedule.strategy,
                "shm_bytes": TABLE_BYTES,
                "redis_url": f"redis://127.0.0.1:{host.proxy.port}",
                "timeout_ms": TIMEOUT_MS,
                "on_store_error": schedule.on_store_error,
                "lease": plan.lease,
            },
        }

    def _living(self) -> Iterator[Child]:
        for host in self.hosts:
            yield from (each for each in host.workers if not each.dead and not each.frozen)

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            await asyncio.sleep(0.0005)
            if time.monotonic() > deadline:
                hanging = [child.pid for child in self._living() if child.busy]
                raise TimeoutError(f"not within {PATIENCE} s: {what}; processes {hanging}")

    async def _settle(self) -> None:
        """Wait until nobody who runs has something to do. Then nothing may be under way."""
        await self._wait(lambda: not any(child.busy for child in self._living()), "a request")
        children = [child for host in self.hosts for child in host.workers]
        if any(child.busy for child in children) or any(each.holds for each in self._proxies()):
            return
        for _ in range(2):  # what came to Redis before the first question is done after the second
            await self.lane.ask_redis(b"PING")
        self.quiet.append(self.clocks.now())

    def _proxies(self) -> Iterable[Proxy]:
        return (host.proxy for host in self.hosts)

    async def _recover(self) -> None:
        """Wait until Redis is asked again. A breaker waits up to a second, so time passes fast."""
        asked = []
        for child in self._living():
            if not child.busy and self.hosts[child.host].proxy.state is None:
                child.tell({"do": "recover", "seconds": RECOVERY_SECONDS})
                asked.append(child)
        await asyncio.sleep(0.002)
        for _ in range(RECOVERY_SECONDS * 20):
            if not any(child.busy and not child.dead for child in asked):
                break
            self.clocks.let_pass(NS // 20)
            await asyncio.sleep(0.01)
        await self._settle()

    async def _rest(self, seconds: float) -> None:
        """Let the hosts do what they do by themselves, which they do four times a second."""
        if seconds:
            self.clocks.let_pass(NS * 3 // 10)
            await asyncio.sleep(seconds)

    async def _right(self) -> None:
        for host in self.hosts:
            for child in host.children():
                child.thaw()
            if host.proxy.state is not None:
                host.proxy.heal(deliver=True)
            host.proxy.delay = 0.0
        await self._settle()

    # --- What happens ---

    def _begin(self, burst: Burst) -> None:
        workers = self.hosts[burst.host].workers
        if burst.worker >= len(workers):
            return
        child = workers[burst.worker]
        if not child.dead and not child.busy:
            hits = [(hit.costs, hit.gives_back) for hit in burst.hits]
            child.tell({"do": "hit", "hits": hits, "gap": burst.gap})

    def _pass(self, kind: str, value: float) -> None:
        period = self.schedule.rates[0][1] * NS
        ns = int(value * period)
        if kind == "edge":
            now = self.clocks.now()
            begun = self.window
            if self.schedule.strategy == "sliding-window-counter":
                begun = now - (now + self.clocks.day()) % period
            ns = max(begun + period - int(value * NS) - now, 0)
        self.clocks.let_pass(ns)

    def _mark_window(self) -> None:
        now = self.clocks.now()
        if now >= self.window + self.schedule.rates[0][1] * NS:
            self.window = now

    async def _act(self, act: Act) -> None:
        self.acts[act.kind] += 1
        host = self.hosts[act.host]
        if act.kind in _OF_PROXY:
            _OF_PROXY[act.kind](host.proxy, act.value)
        elif act.kind == "flush":
            await self.lane.ask_redis(b"FLUSHALL")
        elif act.kind in ("pass", "step host", "lose time", "step redis"):
            self._move_clock(act)
        elif act.kind == "close host":
            await self._close(host)
        else:
            workers = host.workers[act.worker : act.worker + 1]
            await self._signal(act.kind, workers if "worker" in act.kind else host.children())

    async def _signal(self, kind: str, children: list[Child]) -> None:
        if kind == "kill host":
            self.hosts[children[0].host].kill()
        for child in children:
            if kind == "kill worker":
                child.signal(signal.SIGKILL)
            elif kind == "thaw":
                child.thaw()
            elif kind.startswith("freeze"):
                child.freeze()
        if kind.startswith("kill"):
            await self._wait(lambda: all(child.dead for child in children), "the end of processes")

    def _move_clock(self, act: Act) -> None:
        ns = int(act.value * NS)
        if act.kind == "pass":
            self.clocks.let_pass(ns)
        elif act.kind == "step host":
            self.clocks.step_day(1 + act.host, ns)
        elif act.kind == "lose time":
            self.clocks.step_host(1 + act.host, -ns)
            self.clocks.let_pass(ns)
        else:
            before = self.clocks.now()
            self.clocks.step_day(REDIS, ns)
            self.steps.append(Step(before, self.clocks.now(), ns))

    async def _close(self, host: Host) -> None:
        """End a host as a server does: each process closes its limiter and ends."""
        workers = [child for child in host.workers if not child.dead and not child.frozen]
        for child in workers:
            if not child.busy:
                child.tell({"do": "close"})
        await self._wait(lambda: not any(child.busy for child in workers), "the last requests")
        for child in host.workers:
            if child.frozen:
                child.signal(signal.SIGKILL)
            elif not child.dead:
                child.tell({"do": "close"})
        await self._wait(lambda: all(child.dead for child in host.workers), "the end of workers")
        parent = host.parent
        if parent is not None and not parent.dead:
            parent.thaw()
            parent.tell({"do": "close"})
            await self._wait(lambda: parent.dead, "the end of a host")


_OF_PROXY: dict[str, Callable[[Any, float], None]] = {
    "hold": lambda proxy, _: proxy.hold(),
    "break": lambda proxy, _: proxy.break_(),
    "heal": lambda proxy, _: proxy.heal(deliver=False),
    "deliver": lambda proxy, _: proxy.heal(deliver=True),
    "delay": lambda proxy, value: setattr(proxy, "delay", value),
    "lose requests": lambda proxy, value: setattr(proxy, "lost_requests", int(value)),
    "lose answers": lambda proxy, value: setattr(proxy, "lost_answers", int(value)),
    "late answer": lambda proxy, value: proxy.late_answers.append(value),
    "half answer": lambda proxy, value: proxy.broken_answers.append(int(value)),
    "replay": lambda proxy, _: setattr(proxy, "replays", True),
}
