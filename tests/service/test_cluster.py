"""Three Valkeys as a Cluster are a store like any other: fill, hit, lease, purge, census."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.records.record import unpack
from service.records.store_keys import generations_key, lease_key, record_key
from service.settings.edge_settings import read_settings
from tests.command_line import Shell
from tests.service.cluster import Cluster, cluster_in
from tests.service.demoting import Demoting
from tests.service.filled_cache import STEPS, summary
from tests.service.paused import standing_still
from tests.service.purging import BEARER, CATS, HIT, MISS, TOKEN, VALIDATED, purge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_lease import LIMIT_S, asked_of
from tests.service.test_revalidation import told
from tests.service.tiers import LATENT, a_latent
from tests.service.varying import DE, EN, in_language

PICTURES = [f"cat-{number}" for number in range(30)]
"""So many that a machine without any is one run in 60,000: keys depend on the origin's port."""


@pytest.fixture(scope="module")
def latent() -> Reply:
    """What a static origin of latents answers: a fill without an encode."""
    return Reply(a_latent(), headers={**CATS, **LATENT})


@pytest.fixture(scope="module")
def cluster(valkey_program: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    _ = valkey_program
    with cluster_in(tmp_path_factory.mktemp("cluster")) as formed:
        yield formed


def settings_of(cluster: Cluster, origin: ScriptedOrigin) -> dict[str, object]:
    return {"origin": origin.url, "redis_url": cluster.url, "admin_token": TOKEN, "store_timeout_s": 30}


@pytest.fixture(scope="module")
def _clustered(cluster: Cluster, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with running_edge(read_settings(**settings_of(cluster, _session_origin))) as edge:
        yield edge


@pytest.fixture(scope="module")
def _clustered_twin(cluster: Cluster, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    with running_edge(read_settings(**settings_of(cluster, _session_origin))) as edge:
        yield edge


@pytest.fixture
def edge(_clustered: RunningEdge, cluster: Cluster) -> RunningEdge:
    for node in cluster.nodes:
        for key in node.scan_iter("[pl]:*"):
            node.delete(key)
    _clustered.arrivals.reset()
    return _clustered


@pytest.fixture
def twin(edge: RunningEdge, _clustered_twin: RunningEdge) -> RunningEdge:
    _ = edge  # empties the store
    _clustered_twin.arrivals.reset()
    return _clustered_twin


def test_a_machine_that_stands_still_delays_its_own_pictures_only(
    cluster: Cluster, edge: RunningEdge, origin: ScriptedOrigin, latent: Reply
) -> None:
    _ = edge  # empties the store
    once_only = {**settings_of(cluster, origin), "store_timeout_s": 2, "store_retry_s": 3600}
    with running_edge(read_settings(**once_only)) as patient:
        for name in PICTURES:
            origin.script(f"/{name}", latent)
            patient.get(f"/image/{name}?res=medium")
        table = generations_key(origin.url)
        victim = next(number for number, keys in enumerate(cluster.held()) if table not in keys)
        theirs = [name for name in PICTURES if record_key(name, origin=origin.url) in cluster.held()[victim]]
        for name in theirs:
            origin.script(f"/{name}", latent)
        with standing_still(cluster.nodes[victim]):
            for name in (*theirs, *(name for name in PICTURES if name not in theirs)):
                status = patient.get(f"/image/{name}?res=medium").headers["cache-status"]
                assert ("fwd=bypass" in status) == (name in theirs), name


def test_pictures_spread_over_the_machines(
    edge: RunningEdge, twin: RunningEdge, cluster: Cluster, origin: ScriptedOrigin, latent: Reply
) -> None:
    for name in PICTURES:
        origin.script(f"/{name}", latent)
        assert told(edge.get(f"/image/{name}?res=medium")) == MISS
        assert told(twin.get(f"/image/{name}?res=medium")) == HIT
    held = cluster.held()
    assert all(any(key.startswith(b"p:") for key in keys) for keys in held)
    assert {key for keys in held for key in keys if key.startswith(b"p:")} == {
        record_key(name, origin=origin.url) for name in PICTURES
    }


def test_the_pictures_of_all_machines_are_refined_together(
    edge: RunningEdge, latentedge: Shell, cluster: Cluster, origin: ScriptedOrigin, photo: bytes
) -> None:
    for name in PICTURES[:4]:
        origin.script(f"/{name}", *[Reply(photo, headers=CATS)] * 2)
        edge.get(f"/image/{name}?res=medium")
    options = ("--store", cluster.url, "--origin", origin.url, "--steps", STEPS, "--per-minute", 0)
    counts = summary(latentedge("refine", *options))
    assert counts["keys"] == counts["stored"] + counts["unchanged"] == 4
    values = [(node.get(key), key) for node in cluster.nodes for key in node.scan_iter("p:*")]
    assert [unpack(value, key).refinement for value, key in values if isinstance(value, bytes)] == [STEPS] * 4


def test_the_census_counts_all_machines(
    edge: RunningEdge, cluster: Cluster, origin: ScriptedOrigin, latent: Reply
) -> None:
    for name in PICTURES:
        origin.script(f"/{name}", latent)
        edge.get(f"/image/{name}?res=medium")
    with running_edge(edge.settings) as another:  # nobody has looked through its eyes yet
        store = another.stats()["store"]
    assert store["answers"] is True
    assert store["objects"] == len(PICTURES)
    assert 0 < store["latent_bytes"] < store["conventional_bytes"]
    assert store["limit_bytes"] == len(cluster.nodes) * 64 * 2**20


def test_a_record_and_its_lease_lie_together(cluster: Cluster) -> None:
    (node, *_) = cluster.nodes
    for name in PICTURES:
        key = record_key(name, origin="http://origin")
        assert node.cluster("KEYSLOT", key) == node.cluster("KEYSLOT", lease_key(key))


def test_variants_lie_where_their_rule_lies(
    edge: RunningEdge, twin: RunningEdge, cluster: Cluster, origin: ScriptedOrigin
) -> None:
    """Else no script could write both."""
    origin.script("/cat", *[in_language("en"), in_language("de")] * 2)
    for _ in range(2):
        assert "stored" in told(edge.get("/image/cat", headers=EN))
        assert "stored" in told(twin.get("/image/cat", headers=DE))
        assert [told(one.get("/image/cat", headers=asked)) for one in (edge, twin) for asked in (EN, DE)] == [HIT] * 4
        assert max(sum(key.startswith(b"p:") for key in keys) for keys in cluster.held()) >= 3
        purge(twin, id="cat")


def test_two_edges_make_one_fetch(edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes) -> None:
    reply = Reply(photo, headers=CATS, gate=threading.Event())
    origin.script("/cat", reply)
    with asked_of(edge, "/image/cat") as first:
        assert reply.arrived.wait(LIMIT_S)
        with asked_of(twin, "/image/cat") as second:
            assert reply.gate is not None
            reply.gate.set()
    assert told(first[0]) == MISS
    assert told(second[0]) in {"latentedge; fwd=uri-miss; collapsed", HIT}
    assert second[0].content == first[0].content


@pytest.mark.parametrize("order", [{"id": "cat"}, {"tag": "cats"}, {"all": True}])
def test_purges_reach_all(
    edge: RunningEdge, twin: RunningEdge, origin: ScriptedOrigin, photo: bytes, order: dict[str, object]
) -> None:
    origin.script("/cat", Reply(photo, headers=CATS), Reply(status=304), Reply(photo, headers=CATS))
    assert [told(one.get("/image/cat")) for one in (edge, twin)] == [MISS, HIT]
    purge(edge, **order, soft=True)
    assert [told(one.get("/image/cat")) for one in (twin, edge)] == [VALIDATED, HIT]
    purge(twin, **order)
    assert [told(one.get("/image/cat")) for one in (edge, twin)] == [MISS, HIT]


def test_a_fill_that_a_purge_has_overtaken_stores_nothing(
    edge: RunningEdge, cluster: Cluster, origin: ScriptedOrigin, photo: bytes
) -> None:
    old = Reply(photo, headers=CATS, gate=threading.Event())
    origin.script("/cat", old)
    with asked_of(edge, "/image/cat"):
        assert old.arrived.wait(LIMIT_S)
        purge(edge, id="cat")
        assert old.gate is not None
        old.gate.set()
    assert not any(key.startswith((b"p:", b"l:")) for keys in cluster.held() for key in keys)


def test_what_was_purged_lies_on_one_machine_without_an_end(edge: RunningEdge, cluster: Cluster) -> None:
    purge(edge, all=True)
    key = generations_key(edge.settings.origin)
    ends = [node.ttl(key) for node in cluster.nodes if key in list(node.scan_iter("g:*"))]
    assert ends == [-1]


def test_a_cluster_that_is_not_there_is_no_store(origin: ScriptedOrigin, photo: bytes, unused_port: int) -> None:
    origin.script("/cat", Reply(photo, headers=CATS))
    settings = read_settings(origin=origin.url, redis_url=f"redis+cluster://127.0.0.1:{unused_port}", admin_token=TOKEN)
    with running_edge(settings) as lonely:
        assert told(lonely.get("/image/cat")) == "latentedge; fwd=bypass; detail=store-unavailable"
        assert lonely.stats()["store"]["answers"] is False
        assert lonely.client.post("/purge", json={"id": "cat"}, headers=BEARER).status_code == 503


def test_cold_records_of_every_machine_are_demoted(
    edge: RunningEdge, cluster: Cluster, origin: ScriptedOrigin, photo: bytes, demoting_of: Demoting
) -> None:
    for name in PICTURES[:6]:
        origin.script(f"/{name}", Reply(photo, headers=CATS))
        edge.get(f"/image/{name}")
    demoting = replace(demoting_of, url=cluster.url)
    for node in cluster.nodes:
        for key in node.scan_iter("p:*"):
            replace(demoting, store=node).cool(key)
    assert demoting.work() == 6
    for name in PICTURES[:6]:
        assert edge.get(f"/image/{name}").headers["cache-status"].endswith("detail=generated")
