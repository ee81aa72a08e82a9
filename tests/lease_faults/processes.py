"""The processes of the hosts, as the one who plays a schedule has them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass, field
from typing import Any

from .host import MESSAGE_BYTES
from .proxy import Proxy


class Child:
    """A process of a host, and what it was told to do."""

    def __init__(self, host: int) -> None:
        self.host = host
        self.here, self.there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.here.setblocking(False)
        self.pid = 0
        self.frozen = False
        self.busy = True  # until it says its number
        self.dead = False
        self.facts: dict[str, int] = {}  # when it was last done
        asyncio.get_running_loop().add_reader(self.here, self._read)

    def _read(self) -> None:
        try:
            message = self.here.recv(MESSAGE_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            message = b""
        if not message:
            self.dead = True
            self.forget()
        elif message.startswith(b"done"):
            self.facts = json.loads(message[4:] or b"{}")
        else:
            self.pid = int(message)
        self.busy = False

    def forget(self) -> None:
        asyncio.get_running_loop().remove_reader(self.here)
        self.here.close()

    def tell(self, told: dict[str, Any], child: Child | None = None) -> None:
        """Tell it something; a child gets the socket that comes with it."""
        descriptors = [] if child is None else [child.there.fileno()]
        with contextlib.suppress(BrokenPipeError, ConnectionError):
            socket.send_fds(self.here, [json.dumps(told).encode()], descriptors)
        if child is not None:
            child.there.close()
        else:
            self.busy = True

    def freeze(self) -> None:
        if not self.dead and self.pid:
            self.frozen = True
            self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        if not self.dead and self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


@dataclass
class Host:
    """A host that runs, or has run."""

    index: int
    proxy: Proxy
    parent: Child | None = None
    workers: list[Child] = field(default_factory=list)

    def children(self) -> list[Child]:
        return [*self.workers, *([self.parent] if self.parent else [])]

    def kill(self) -> None:
        """Kill all processes, also those that are being forked now."""
        if self.parent is not None and self.parent.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.parent.pid, signal.SIGKILL)
