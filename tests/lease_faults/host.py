"""The processes of a host: a parent that opens the limiter, and the workers that it forks.

One program, started once, forks the parents of all hosts: a parent lives as long as its host. What
a process is told comes as one message of a socket; it writes what it does to the ledger.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

from flask_tenant_auth._core import Limit, Limiter, parse_rates

from . import clock

ADDRESS = "192.0.2.1"
MESSAGE_BYTES = 65536
PR_SET_CHILD_SUBREAPER = 36

# asked or answered, allowed, not counted by a store, given back, who, costs, number, from, until
RECORD = struct.Struct("<BBBBHHIqq")
ASKED, ANSWERED = 1, 2
FACTS = ("requests_from_leases", "permits_sent_back")  # of a limiter that has leases


@dataclass(frozen=True)
class Hit:
    """One request: the cost of each limit, 0 for those that are not hit; whether it gives back."""

    costs: tuple[int, ...]
    gives_back: bool = False

    def packed(self) -> int:
        """The costs in four bits each, as a record has them."""
        return sum(cost << 4 * place for place, cost in enumerate(self.costs))


def limits_of(rates: list[tuple[int, int]], most_cost: int) -> list[list[Limit]]:
    """The limits of a schedule, each with every cost."""
    made = []
    for place, (limit, seconds) in enumerate(rates):
        (rate,) = parse_rates(f"{limit} per {seconds} seconds")
        costs = range(1, min(most_cost, limit) + 1)
        made.append([Limit(rate, scope=f"l{place}", per="address", cost=cost) for cost in costs])
    return made


class Worker:
    """A process that serves requests."""

    def __init__(self, limiter: Limiter, told: dict[str, Any], told_by: socket.socket) -> None:
        self.limiter, self.told_by, self.who = limiter, told_by, int(told["who"])
        self.limits = limits_of(told["rates"], told["most_cost"])
        self.ledger = os.open(told["ledger"], os.O_WRONLY | os.O_APPEND)
        self.number = 0
        self.now = clock.right_clock()

    def run(self) -> None:
        """Do what is told until the limiter is to be closed, or nobody tells any more."""
        self.told_by.send(str(os.getpid()).encode())
        while message := self.told_by.recv(MESSAGE_BYTES):
            told = json.loads(message)
            if told["do"] == "close":
                self.limiter.close()
            elif told["do"] == "recover":
                self.recover(told["seconds"])
            else:
                for costs, gives_back in told["hits"]:
                    self.hit(Hit(tuple(costs), gives_back))
                    if told["gap"]:
                        select.select([], [], [], told["gap"])
            self.told_by.send(b"done" + json.dumps(self.facts()).encode())
            if told["do"] == "close":
                return

    def hit(self, hit: Hit) -> None:
        """Serve one request; what it was allowed stays in the ledger, whatever happens then."""
        self.number += 1
        who = (self.who, hit.packed(), self.number)
        limits = [self.limits[place][cost - 1] for place, cost in enumerate(hit.costs) if cost]
        start = self.now()
        os.write(self.ledger, RECORD.pack(ASKED, 0, 0, 0, *who, start, 0))
        if hit.gives_back:
            reservation = self.limiter.reserve(limits, None, ADDRESS)
            decision = reservation.decision
            reservation.give_back()
        else:
            decision = self.limiter.hit(limits, None, ADDRESS)
        end = self.now()
        said = (decision.allowed, decision.store == "none", hit.gives_back)
        os.write(self.ledger, RECORD.pack(ANSWERED, *said, *who, start, end))

    def facts(self) -> dict[str, int]:
        """What the limiter of this process says of its leases."""
        status = self.limiter.status()
        return {name: int(status[name]) for name in FACTS if name in status}

    def recover(self, seconds: float) -> None:
        """Wait until this process asks Redis again."""
        deadline = time.monotonic() + seconds
        while self.limiter.status()["breaker"] != "closed" and time.monotonic() < deadline:
            select.select([], [], [], 0.01)


def limiter_of(told: dict[str, Any]) -> Limiter:
    """The limiter of a host. It has no lease where the core has none."""
    options = dict(told["limiter"])
    if not options.get("lease"):
        options.pop("lease", None)
    return Limiter(**options)


def obey(told_by: socket.socket, limiter: Limiter | None) -> None:
    """Fork what is told, until nobody tells any more. A child is told by the socket that came."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(told_by, MESSAGE_BYTES, 1)
        if not message:
            return
        told = json.loads(message)
        if told["do"] == "close":
            if limiter is not None:
                limiter.close()
            told_by.send(b"done")
            return
        child = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            told_by.close()
            live(told, child, limiter)
            os._exit(0)
        child.close()


def live(told: dict[str, Any], told_by: socket.socket, limiter: Limiter | None) -> None:
    """Be the parent of a host, or one of its workers."""
    if told["do"] == "host":
        os.setpgid(0, 0)
        clock.be(told["participant"])
        limiter = None if told["each_opens"] else limiter_of(told)
        told_by.send(str(os.getpid()).encode())
        obey(told_by, limiter)
    else:
        Worker(limiter or limiter_of(told), told, told_by).run()


def main() -> None:
    """Fork hosts as the socket with the number of the argument says."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a child
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    obey(socket.socket(fileno=int(sys.argv[1])), None)


if __name__ == "__main__":
    main()
