"""Named origins at both tiers, and searches for their pictures: the right origin is asked, with its arguments."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from service.records.record import unpack
from service.records.store_keys import record_key
from service.rules.origin_names import NAMESPACE
from service.rules.url_signature import UrlKey
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.command_line import Shell
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import afresh
from tests.service.tiers import child_of, encodes, told

TOKEN, SECRET = "of-the-operator", "Bearer secret-of-the-shop"
KEY, SALT = "6e6577", "00ff"
FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "cats", "ETag": '"v1"'}
ADMIN = {"Authorization": f"Bearer {TOKEN}"}
STEPS = 2


def origins_at(url: str) -> str:
    """Return two origins with the same paths. Only the first one takes a token and an argument."""
    shop = {"url": f"{url}/shop-files", "headers": {"Authorization": SECRET}, "arguments": ["v", "w"]}
    return json.dumps({"shop": shop, "blog": {"url": f"{url}/blog-files"}})


@pytest.fixture(scope="module")
def _parent(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    named = {"origins": origins_at(_session_origin.url), "admin_token": TOKEN, "latent_token": LATENT_TOKEN}
    with running_edge(read_settings(redis_url=session_valkey.url, **named)) as edge:
        yield edge


@pytest.fixture(scope="module")
def _child(session_valkey: EmbeddedValkey, _parent: RunningEdge, _session_origin: ScriptedOrigin) -> Iterator[Any]:
    named: dict[str, Any] = {"origins": origins_at(_session_origin.url), "admin_token": TOKEN}
    with child_of(_parent.url, session_valkey, key=KEY, salt=SALT, parent_retry_s=0, **named) as edge:
        yield edge


@pytest.fixture
def parent(_parent: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with two named origins."""
    return afresh(_parent, session_valkey)


@pytest.fixture
def child(_child: RunningEdge, parent: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with the same origins, whose parent is `parent`, and whose URLs are signed."""
    _ = parent
    return afresh(_child, session_valkey)


def signed(path: str, **arguments: str) -> str:
    signature = UrlKey(bytes.fromhex(KEY), bytes.fromhex(SALT)).sign(path, arguments.items())
    return f"{path}?{''.join(f'{name}={value}&' for name, value in arguments.items())}utm=1&sig={signature}"


def asked(origin: ScriptedOrigin) -> list[tuple[str, str | None]]:
    """Return the path and the token of each request to the origin."""
    return [(one.path, one.headers.get("authorization")) for one in origin.requests]


def test_a_child_fills_each_picture_from_its_parent_by_name_and_arguments(
    child: RunningEdge, parent: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    for path in ("/shop-files/a b.jpg", "/shop-files/a b.jpg?v=2", "/blog-files/a b.jpg"):
        origin.script(path, Reply(photo, headers=FRESH))
    encoded = encodes(child)
    urls = [signed("/image/shop/a b.jpg"), signed("/image/shop/a b.jpg", v="2"), signed("/image/blog/a b.jpg")]
    for url in urls:
        assert told(child.get(url)) == "latentedge; fwd=uri-miss; stored"
        assert told(child.get(url)) == "latentedge; hit"
        assert told(parent.get(url)) == "latentedge; hit"
    assert encodes(child) == encoded
    assert asked(origin) == [
        ("/shop-files/a b.jpg", SECRET),
        ("/shop-files/a b.jpg?v=2", SECRET),
        ("/blog-files/a b.jpg", None),
    ]


def test_signatures_are_for_the_child_alone(
    child: RunningEdge, parent: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/shop-files/cat.jpg?v=2", Reply(photo, headers=FRESH))
    for path in ("/image/shop/cat.jpg?v=2", signed("/image/shop/cat.jpg", v="3").replace("v=3", "v=2")):
        assert child.get(path).status_code == 403
    assert child.get(signed("/image/shop/cat.jpg", v="2")).status_code == 200
    assert told(parent.get("/image/shop/cat.jpg?v=2")) == "latentedge; hit"


def test_a_purge_at_both_tiers_leads_to_the_origin_again(
    child: RunningEdge, parent: RunningEdge, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/shop-files/cat.jpg?v=2", *[Reply(photo, headers=FRESH)] * 3)
    url = signed("/image/shop/cat.jpg", v="2")
    for order in ({"id": "shop/cat.jpg", "query": "v=2"}, {"tag": "cats"}):
        assert told(child.get(url)).startswith("latentedge; fwd=uri-miss; stored")
        for edge in (parent, child):  # the parent first: the child would else be filled with the old latent
            assert edge.client.post("/purge", json=order, headers=ADMIN).status_code == 200
    assert "fwd=uri-miss; stored" in told(child.get(url))
    assert len(asked(origin)) == 3


def test_warm_sends_the_arguments_of_its_list(
    child: RunningEdge, parent: RunningEdge, origin: ScriptedOrigin, photo: bytes, latentedge: Shell, tmp_path: Path
) -> None:
    """Each picture once, whatever the order, the size and the signature of its line; signed where keys are given."""
    for path in ("/shop-files/a b.jpg", "/shop-files/a b.jpg?v=2%20&w=3", "/blog-files/what?.jpg"):
        origin.script(path.replace("%20", " "), Reply(photo, headers=FRESH))
    lines = ["shop/a b.jpg", "shop/a b.jpg?w=3&res=high&sig=old&v=2%20", "shop/a b.jpg?v=2+&w=3", "blog/what?.jpg?"]
    (tmp_path / "ids").write_text("\n".join([*lines, "shop/../a?v=4", "shop/a?v=1&v=2"]), encoding="utf-8")
    origin.script("/shop-files/a?v=1&v=2", Reply(status=404))  # by the parent, which wants no signatures
    for edge, keys, counts in ((child, ("--key", KEY, "--salt", SALT), (3, 0, 2)), (parent, (), (0, 3, 2))):
        outcome = latentedge("warm", tmp_path / "ids", "--edge", edge.url, "--per-second", 0, *keys)
        told = json.loads(outcome.out)
        assert tuple(told[name] for name in ("stored", "hit", "failed")) == counts, outcome.err
        first, second = outcome.err.splitlines()
        assert first.startswith("shop/../a?v=4: ")
        assert second.startswith("shop/a?v=1&v=2: ")
    outcome = latentedge("warm", tmp_path / "ids", "--edge", child.url, "--key", "no hex", "--salt", SALT)
    assert (outcome.code, outcome.out) == (2, "")
    assert "hexadecimal" in outcome.err


def test_a_name_that_the_parent_does_not_know_is_fetched_from_the_origin(
    parent: RunningEdge, session_valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    origin.script("/news/cat.jpg", Reply(photo, headers=FRESH))
    named = json.dumps({"news": {"url": f"{origin.url}/news"}})
    with child_of(parent.url, session_valkey, store=3, origins=named) as child:
        assert told(child.get("/image/news/cat.jpg")) == "latentedge; fwd=uri-miss; stored"


def test_a_sweep_fetches_the_source_of_each_record_from_its_origin(
    parent: RunningEdge,
    session_valkey: EmbeddedValkey,
    origin: ScriptedOrigin,
    photo: bytes,
    latentedge: Shell,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ("/shop-files/cat.jpg?v=2", "/blog-files/cat.jpg"):
        origin.script(path, *[Reply(photo, headers=FRESH)] * 2)
    assert [parent.get(f"/image/{path}").status_code for path in ("shop/cat.jpg?v=2", "blog/cat.jpg")] == [200, 200]
    monkeypatch.setenv("EDGE_ORIGINS", origins_at(origin.url))
    options = ("--steps", STEPS, "--per-minute", 0, "--origin-requests", 1)
    outcome = latentedge("refine", "--store", session_valkey.url, *options)
    assert outcome.code == 0, outcome.err
    assert sorted(asked(origin)[2:]) == [("/blog-files/cat.jpg", None), ("/shop-files/cat.jpg?v=2", SECRET)]
    with redis.Redis.from_url(session_valkey.url) as store:
        for image_id in ("shop/cat.jpg\nv=2", "blog/cat.jpg"):
            key = record_key(image_id, origin=NAMESPACE)
            assert unpack(store.get(key), key).refinement == STEPS
