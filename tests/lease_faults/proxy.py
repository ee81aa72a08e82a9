"""What stands between a host and Redis: it holds, delays, cuts and loses what it carries."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

Transport = asyncio.Transport

CUT = "cut"  # every connection breaks, and no other one can be made
HELD = "held"  # nothing arrives in either direction


class Proxy:
    """The only way of one host to Redis."""

    def __init__(self, redis_port: int) -> None:
        self.redis_port = redis_port
        self.port = 0
        self.links: set[Link] = set()
        self.carried = 0  # answers
        self._server: asyncio.Server | None = None
        self._right()

    def _right(self) -> None:
        self.state: str | None = None
        self.delay = 0.0  # seconds, each way
        self.lost_requests = 0  # so many of the next ones
        self.lost_answers = 0
        self.late_answers: deque[float] = deque()  # seconds
        self.broken_answers: deque[int] = deque()  # so many bytes come
        self.replays = False  # a control: see Link.replayed

    async def open(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more, and cut all connections."""
        if self._server is not None:
            self._server.close()
        self.cut()

    def right(self) -> None:
        """Be a wire again, with new connections."""
        self._right()
        self.cut()

    def hold(self) -> None:
        """Let nothing arrive from now on."""
        self.state = HELD

    def break_(self) -> None:
        """Refuse connections, and cut those that are."""
        self.state = CUT
        self.cut()

    def heal(self, *, deliver: bool) -> None:
        """End a partition; what was held arrives late, or is lost with its connection."""
        self.state = None
        for link in list(self.links):
            if deliver:
                link.deliver()
            else:
                link.cut()

    def cut(self) -> None:
        """Cut all connections."""
        for link in list(self.links):
            link.cut()

    @property
    def holds(self) -> bool:
        """Whether something may still arrive later."""
        return any(link.pending for link in self.links)


class Link(asyncio.Protocol):
    """One connection of a host, and the one to Redis that belongs to it."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client: Transport | None = None
        self.server: Transport | None = None
        self.pending: deque[tuple[bool, bytes]] = deque()  # to the server?, what
        self.request = b""
        self.grants: dict[bytes, bytes] = {}
        self.is_cut = False

    # --- The side of the host ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.client = cast(Transport, transport)
        self.proxy.links.add(self)
        if self.proxy.state == CUT:
            self.cut()
            return
        loop = asyncio.get_running_loop()
        self._opening = loop.create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Back(self), "127.0.0.1", self.proxy.redis_port)
        except OSError:
            self.cut()

    def data_received(self, data: bytes) -> None:
        if self.is_cut:
            return
        proxy = self.proxy
        if proxy.lost_requests:
            proxy.lost_requests -= 1
            self.cut()
            return
        if proxy.replays and data in self.grants:
            self._carry(False, self.grants[data])
            return
        self.request = data
        self._carry(True, data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.is_cut or not any(to_server for to_server, _ in self.pending):
            self.cut()
        else:
            self.client = None  # it waits no more, and yet its request arrives some time

    # --- The side of Redis ---

    def connected(self, server: Transport) -> None:
        if self.is_cut:
            server.abort()
            return
        self.server = server
        if self.proxy.state != HELD:
            self.deliver()

    def answered(self, data: bytes) -> None:
        if self.is_cut:
            return
        proxy = self.proxy
        proxy.carried += 1
        if self.client is None:
            self.cut()
        elif proxy.lost_answers:
            proxy.lost_answers -= 1
            self.cut()
        elif proxy.broken_answers:
            self.client.write(data[: max(1, min(proxy.broken_answers.popleft(), len(data) - 1))])
            self._cut_when_written()
        elif proxy.late_answers:
            self._later(proxy.late_answers.popleft(), False, data)
        else:
            if proxy.replays and data.startswith(b"*"):
                # No wire does this: a grant that is answered once more, unseen by Redis.
                self.grants[self.request] = data
            self._carry(False, data)

    # --- Both ---

    def _carry(self, to_server: bool, data: bytes) -> None:
        if self.proxy.state == HELD or (to_server and self.server is None):
            self.pending.append((to_server, data))
        elif self.proxy.delay:
            self._later(self.proxy.delay, to_server, data)
        else:
            self._write(to_server, data)

    def _later(self, seconds: float, to_server: bool, data: bytes) -> None:
        """A host has one request on a connection at a time, so nothing overtakes it."""
        self.pending.append((to_server, data))
        asyncio.get_running_loop().call_later(seconds, self._deliver_unless_held)

    def _deliver_unless_held(self) -> None:
        if self.proxy.state != HELD:
            self.deliver()

    def deliver(self) -> None:
        """Let arrive what is pending."""
        while self.pending and not (self.pending[0][0] and self.server is None):
            self._write(*self.pending.popleft())

    def _write(self, to_server: bool, data: bytes) -> None:
        transport = self.server if to_server else self.client
        if not self.is_cut and transport is not None:
            transport.write(data)

    def _cut_when_written(self) -> None:
        assert self.client is not None
        self.client.close()
        self.cut(client=False)

    def cut(self, *, client: bool = True) -> None:
        """Break both connections."""
        self.is_cut = True
        self.pending.clear()
        self.proxy.links.discard(self)
        if client and self.client is not None:
            self.client.abort()
        if self.server is not None:
            self.server.abort()


class Back(asyncio.Protocol):
    """The connection to Redis."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.link.connected(cast(Transport, transport))

    def data_received(self, data: bytes) -> None:
        self.link.answered(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self.link.cut()
