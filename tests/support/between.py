"""A proxy of one Redis that stops one request, or the answer to it, where a test says so."""

from __future__ import annotations

import enum
import select
import socket
import threading
from pathlib import Path
from types import TracebackType


class Stop(enum.Enum):
    """What becomes of a request."""

    REQUEST = "held before Redis has it"
    ANSWER = "carried out, and its answer is held"
    CLOSED = "carried out, and the connection closes without an answer"


class Between:
    """The way of one host to Redis, on a port of its own."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._words = b""
        self._stop: Stop | None = None
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._is_delivered = False
        self._threads: list[threading.Thread] = []
        self._ends, self._ended = socket.socketpair()
        self.stopped = threading.Event()
        self.peer_port = 0  # of the connection of what was stopped
        self.held = b""  # what was stopped

    def stop(self, words: bytes, what: Stop) -> None:
        """Stop the next request that has these octets."""
        with self._lock:
            self.stopped.clear()
            self._released.clear()
            self._words, self._stop = words, what

    def release(self, *, deliver: bool) -> None:
        """Let what is held arrive, or drop it with its connection."""
        self._is_delivered = deliver
        self._released.set()

    def __enter__(self) -> Between:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"
        self._run(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release(deliver=False)
        self._ended.close()
        for thread in self._threads:
            thread.join()
        self._server.close()
        self._ends.close()

    def _run(self, work: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _ready(self, *sockets: socket.socket) -> list[socket.socket]:
        """The sockets that have something; none at the end."""
        ready, _, _ = select.select([self._ends, *sockets], [], [])
        return [] if self._ends in ready else ready

    def _accept(self) -> None:
        while self._ready(self._server):
            self._run(self._serve, self._server.accept()[0])

    def _serve(self, host: socket.socket) -> None:
        try:
            with host, socket.create_connection(("127.0.0.1", self._redis_port)) as redis:
                self._carry(host, redis)
        except OSError:
            pass  # one of them has left

    def _carry(self, host: socket.socket, redis: socket.socket) -> None:
        """Carry requests and answers: a host has one of them on a connection at a time."""
        stop: Stop | None = None
        while ready := self._ready(host, redis):
            source = ready[0]
            data = source.recv(1 << 20)
            if not data:
                return
            if source is host:
                stop = self._stop_of(data)
                if stop is not None:
                    self.peer_port = host.getpeername()[1]
            if stop is Stop.REQUEST or (source is redis and stop is Stop.ANSWER):
                stop, self.held = None, data
                if not self._hold():
                    return
            elif source is redis and stop is Stop.CLOSED:
                self.stopped.set()
                return
            (redis if source is host else host).sendall(data)

    def _stop_of(self, request: bytes) -> Stop | None:
        with self._lock:
            if self._stop is None or self._words not in request:
                return None
            stop, self._stop = self._stop, None
            return stop

    def _hold(self) -> bool:
        """Hold until it is released; whether it arrives then."""
        self.stopped.set()
        self._released.wait()
        return self._is_delivered


def owner_of_port(port: int, pids: set[int]) -> int:
    """Which of the processes has the connection of this local port."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {row.split()[9] for row in rows if row.split()[1].endswith(f":{port:04X}")}
    wanted = {f"socket:[{inode}]" for inode in inodes}
    for pid in pids:
        links = Path(f"/proc/{pid}/fd").iterdir()
        if any(str(link.readlink()) in wanted for link in links if link.is_symlink()):
            return pid
    raise LookupError(port)
