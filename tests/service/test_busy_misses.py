"""More misses than the codec can encode in time: clients get pictures made from the source's pixels."""

import asyncio
import io

import httpx
from PIL import Image

from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.held_encodes import HeldEncodes, held_encodes
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.test_source_first import skipped, wait_until
from tests.service.tiers import SAID, told


async def crowd(edge: RunningEdge, held: HeldEncodes, refused: str) -> list[httpx.Response]:
    """Return the responses to three misses: one with a held encode, one that waits, and one beyond the limit."""
    async with httpx.AsyncClient(base_url=edge.url, timeout=60, trust_env=False) as client:
        first = asyncio.create_task(client.get("/image/encoding"))
        await asyncio.to_thread(held.begun.wait)
        second = asyncio.create_task(client.get("/image/waiting"))
        await asyncio.to_thread(wait_until, lambda: edge.metric("edge_queue_depth") == 1)
        third = await client.get(refused, headers=AS_A_CHILD)
        held.may_go_on.set()
        return [await first, await second, third]


def test_a_miss_with_a_full_queue_serves_the_source_and_stores_nothing(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    for name in ("encoding", "waiting"):
        origin.script(f"/{name}", Reply(photo, headers=SAID))
    origin.script("/refused", *[Reply(photo, headers=SAID)] * 2)
    settings = read_settings(origin=origin.url, redis_url=valkey.url, queue_items=1)
    with running_edge(settings) as edge, held_encodes() as held:
        first, second, refused = asyncio.run(crowd(edge, held, "/image/refused?res=medium"))
        assert told(first) == told(second) == "latentedge; fwd=uri-miss; stored"
        assert told(refused) == "latentedge; fwd=uri-miss; detail=queue-full"
        with Image.open(io.BytesIO(refused.content)) as picture:
            assert picture.size == (172, 172)
        assert skipped(edge, "queue_full") == 1
        assert told(edge.get("/image/refused")) == "latentedge; fwd=uri-miss; stored"


def test_a_child_gets_the_pixels_in_place_of_a_latent_that_cannot_be_made_in_time(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes
) -> None:
    for name in ("encoding", "waiting", "refused"):
        origin.script(f"/{name}", Reply(photo, headers=SAID))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, queue_items=1, latent_token=LATENT_TOKEN)
    with running_edge(settings) as edge, held_encodes() as held:
        _, _, refused = asyncio.run(crowd(edge, held, "/latent/refused"))
        assert told(refused) == "latentedge; fwd=uri-miss; detail=queue-full"
        assert refused.headers["content-type"] == "image/png"
        with Image.open(io.BytesIO(refused.content)) as picture:
            assert picture.size == (344, 344)
