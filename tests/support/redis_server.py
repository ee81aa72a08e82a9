"""Every kind of Redis (unix socket, TLS, cluster, sentinel), and peers that are no Redis."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from redis import Redis as Client

from servers import Redis, Server, free_port
from waiting import until


def blocked_clients(client: Client) -> int:
    """How many clients wait in a command that Redis answers later."""
    return int(client.info("clients")["blocked_clients"])


class UnixRedis(Redis):
    """A Redis that listens on a unix socket only."""

    def __init__(self) -> None:
        super().__init__()
        self.path = self.directory / "redis.sock"
        self.options = ("--port", "0", "--unixsocket", str(self.path))
        self.url = f"unix://{self.path}"

    def ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return self.path.exists() and probe.connect_ex(str(self.path)) == 0


class Authority:
    """A certificate authority. Its files are removed at the end."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="authority-"))
        self.certificate = self.directory / "ca.pem"
        self.key = self.directory / "ca.key"
        usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]  # RFC 5280, 4.2.1.3
        subject = [*usage, "-subj", "/CN=Test CA", "-days", "2", "-out", str(self.certificate)]
        self._openssl("req", "-x509", *self._new_key(self.key), *subject)

    @staticmethod
    def _new_key(path: Path) -> list[str]:
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*curve, "-noenc", "-keyout", str(path)]

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def issue(self, name: str, alternatives: str, *, days: int = 2) -> tuple[Path, Path]:
        """A certificate and its key; alternatives as in "DNS:localhost,IP:127.0.0.1"."""
        request, key, certificate, extensions = (
            self.directory / f"{name}.{suffix}" for suffix in ("csr", "key", "pem", "ext")
        )
        keys = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        extensions.write_text(f"subjectAltName={alternatives}\n{keys}")
        subject = ["-subj", f"/CN={name}", "-out", str(request)]
        self._openssl("req", *self._new_key(key), *subject)
        signer = ["-CA", str(self.certificate), "-CAkey", str(self.key), "-CAcreateserial"]
        files = ["-in", str(request), "-out", str(certificate), "-extfile", str(extensions)]
        self._openssl("x509", "-req", *signer, *files, "-days", str(days))
        return certificate, key

    def __enter__(self) -> Authority:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.directory)


class TLSRedis(Redis):
    """A Redis that speaks only TLS, with this certificate."""

    def __init__(
        self, authority: Authority, certificate: Path, key: Path, *, clients: str = "no"
    ) -> None:
        super().__init__()
        self.options = (
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", clients),
            *("--tls-cert-file", str(certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(authority.certificate)),
        )


class ClusterNode(Redis):
    """One node; its bus listens on another free port."""

    def __init__(self) -> None:
        # cluster-node-timeout keeps its default. With a short one, a node that a busy machine stops
        # for a moment counts as failed, and the cluster is down.
        bus = ("--cluster-port", str(free_port()))
        super().__init__("--cluster-enabled", "yes", *bus)

    def client(self) -> Client:
        return Client(port=self.port, decode_responses=True)


class Cluster:
    """Three primaries with a third of the slots each."""

    def __init__(self) -> None:
        self.nodes = [ClusterNode() for _ in range(3)]
        self.url = f"redis://127.0.0.1:{self.nodes[0].port}?cluster=true"
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._join()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _join(self) -> None:
        bounds = [0, 5461, 10923, 16384]
        for index, node in enumerate(self.nodes):
            with node.client() as client:
                first, last = bounds[index], bounds[index + 1] - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
                for other in self.nodes[:index]:
                    bus = other.options[3]
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port, bus)
        for node in self.nodes:
            until(lambda node=node: self._is_whole(node), "a cluster of three")  # type: ignore[misc]

    def _is_whole(self, node: ClusterNode) -> bool:
        with node.client() as client:
            info = str(client.execute_command("CLUSTER", "INFO"))
            return "cluster_state:ok" in info and "cluster_known_nodes:3" in info

    def identity(self, node: ClusterNode) -> str:
        with node.client() as client:
            return str(client.execute_command("CLUSTER", "MYID"))

    def owner(self, slot: int) -> ClusterNode:
        with self.nodes[0].client() as client:
            for first, last, primary, *_ in client.execute_command("CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return next(node for node in self.nodes if node.port == primary[1])
        raise LookupError(slot)


class Replica(Redis):
    """A replica of another Redis."""

    def __init__(self, primary: Redis) -> None:
        super().__init__("--replicaof", "127.0.0.1", str(primary.port))

    def ready(self) -> bool:
        if not super().ready():
            return False
        with Client(port=self.port) as client:
            return bool(client.info("replication")["master_link_status"] == "up")


class Sentinel(Server):
    """A sentinel that decides without others."""

    def __init__(self, primary: Redis, service: str) -> None:
        super().__init__()
        self.file = self.directory / "sentinel.conf"
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\n"
            f"sentinel monitor {service} 127.0.0.1 {primary.port} 1\n"
            # A primary that a busy machine stops for a moment is not down.
            f"sentinel down-after-milliseconds {service} 3000\n"
            f"sentinel failover-timeout {service} 10000\n"
        )

    def command(self) -> list[str]:
        return ["redis-server", str(self.file), "--sentinel"]


@contextmanager
def false_redis(behaviour: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a peer that is no Redis. It calls behaviour for each connection, in a thread."""
    stopped = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(peer: socket.socket) -> None:
            with peer:
                try:
                    behaviour(peer)
                    while not stopped.is_set() and peer.recv(1):
                        pass
                except OSError:
                    pass  # the other side left

        def accept() -> None:
            while not stopped.is_set():
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                peer.settimeout(5)
                threads.append(threading.Thread(target=serve, args=(peer,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield f"redis://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            server.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for thread in threads:
                thread.join()


def open_descriptors() -> dict[str, str]:
    """The open descriptors of this process: number to path."""
    places = list(Path("/proc/self/fd").iterdir())
    # The one that the listing itself had open is gone.
    return {place.name: str(place.readlink()) for place in places if place.is_symlink()}


def children_exit_codes(pids: list[int]) -> list[int]:
    """Wait for forked children; return their exit codes."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
