"""A request after the response to a purge never gets the old picture, however slow the store is.

One edge fills through a store whose answers can be held at each of its commands. Meanwhile another edge purges, and
then another request for the picture comes to the first edge.
"""

from collections.abc import Iterator

import pytest

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import purge, purging_edge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.slow_store import SlowStore, slow_store
from tests.service.stored import afresh
from tests.service.test_lease import asked_of
from tests.service.tiers import LATENT, a_latent

OLD, NEW = (
    {**LATENT, "Cache-Tag": "t", "Last-Modified": date}  # a fill without an encode
    for date in ("Mon, 02 Nov 2026 00:00:00 GMT", "Tue, 03 Nov 2026 00:00:00 GMT")
)
ROUNDS = 20
COMMANDS = 14
"""More than a miss sends to the store: where a fill sends fewer, nothing is held, and the story is an ordinary one."""


@pytest.fixture(scope="module")
def slow(session_valkey: EmbeddedValkey) -> Iterator[SlowStore]:
    with slow_store(session_valkey.url) as store:
        yield store


@pytest.fixture(scope="module")
def _waiting(slow: SlowStore, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(origin=_session_origin.url, redis_url=slow.url, store_timeout_s=60, hold_off_s=0)
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture(scope="module")
def purging(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with purging_edge(_session_origin.url, session_valkey.url) as edge:
        yield edge


@pytest.fixture
def waiting(_waiting: RunningEdge, purging: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    afresh(purging, session_valkey)
    return _waiting


def wait_until_still(edge: RunningEdge, slow: SlowStore) -> None:
    """Wait until the event loop of the edge has run many times without a command to the store: it is blocked."""
    still = 0
    while still < ROUNDS:
        passed = slow.count_passed()
        edge.get("/livez")
        still = still + 1 if slow.count_passed() == passed else 0


@pytest.mark.parametrize("order", [{"id": "cat"}, {"id": "cat", "soft": True}, {"tag": "t"}, {"all": True}], ids=str)
@pytest.mark.parametrize("command", range(COMMANDS))
def test_a_purge_overtakes_every_step_of_a_fill(
    waiting: RunningEdge,
    purging: RunningEdge,
    slow: SlowStore,
    origin: ScriptedOrigin,
    command: int,
    order: dict[str, object],
) -> None:
    origin.publish("/cat", *[Reply(a_latent(), headers=OLD)] * 9)
    slow.hold(command)
    with asked_of(waiting, "/image/cat") as before:
        while not (before or slow.holds.wait(0.01)):
            pass
        origin.publish("/cat", *[Reply(a_latent(), headers=NEW)] * 9)
        purge(purging, **order)
        with asked_of(waiting, "/image/cat") as after:
            wait_until_still(waiting, slow)
            slow.release()
    origin.publish("/cat")
    assert before[0].status_code == after[0].status_code == 200
    assert after[0].headers["last-modified"] == NEW["Last-Modified"], after[0].headers["cache-status"]
