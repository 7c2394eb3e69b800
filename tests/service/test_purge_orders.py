"""Who may order a purge, and how: by the method PURGE, by POST, on the admin port and by the command."""

import asyncio
from pathlib import Path

import httpx
import pytest
import redis

from service.cli import run
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import BEARER, CATS, HIT, MISS, TOKEN, purging_edge
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.server_process import serving
from tests.service.stored import stored_keys
from tests.service.test_revalidation import told


@pytest.fixture
def edge(edge_that_purges: RunningEdge) -> RunningEdge:
    return edge_that_purges


def test_the_purge_method_returns_the_number_of_purged_pictures(
    edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, store: redis.Redis
) -> None:
    origin.script("/a b/cat", Reply(photo, headers=CATS))
    edge.get("/image/a%20b/cat")
    answers = [edge.client.request("PURGE", "/image/a%20b/cat", headers=BEARER) for _ in range(2)]
    assert [answer.json() for answer in answers] == [
        {"scope": "id", "soft": False, "purged": 1},
        {"scope": "id", "soft": False, "purged": 0},
    ]
    assert not stored_keys(store)
    assert edge.metric('edge_purges_total{scope="id"}') >= 2


class TestWhoMayPurge:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer wrong"},
            {"Authorization": f"Bearer {TOKEN} "[:-2]},
            {"Authorization": f"Basic {TOKEN}"},
            {"Authorization": TOKEN},
        ],
    )
    def test_a_purge_with_the_token_is_accepted(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, headers: dict[str, str]
    ) -> None:
        origin.script("/cat", Reply(photo, headers=CATS))
        edge.get("/image/cat")
        for answer in (
            edge.client.request("PURGE", "/image/cat", headers=headers),
            edge.client.post("/purge", json={"all": True}, headers=headers),
            edge.client.post("/purge", content=b"nonsense", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="latentedge"'
            assert answer.headers["content-type"] == "application/problem+json"
        assert told(edge.get("/image/cat")) == HIT

    def test_every_purge_is_refused_if_no_token_is_set(
        self, session_valkey: EmbeddedValkey, origin: ScriptedOrigin
    ) -> None:
        with running_edge(read_settings(origin=origin.url, redis_url=session_valkey.url)) as closed:
            for headers in ({}, BEARER, {"Authorization": "Bearer x"}):
                assert closed.client.request("PURGE", "/image/cat", headers=headers).status_code == 403
                assert closed.client.post("/purge", json={"all": True}, headers=headers).status_code == 403

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"nonsense",
            b"[]",
            b"{}",
            b'{"soft": true}',
            b'{"all": false}',
            b'{"id": "a", "tag": "b"}',
            b'{"id": "a", "all": true}',
            b'{"tag": ""}',
            b'{"tag": "caf\xc3\xa9"}',
            b'{"tag": 7}',
            b'{"all": 1}',
            b'{"id": "../a"}',
            b'{"all": true, "sofft": true}',
        ],
    )
    def test_an_invalid_body_is_refused(self, edge: RunningEdge, body: bytes) -> None:
        answer = edge.client.post("/purge", content=body, headers=BEARER)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith("Nothing was purged: ")

    def test_a_purge_without_a_store_is_an_error(self, origin: ScriptedOrigin) -> None:
        with purging_edge(origin.url, "unix:///none") as edge:
            for order in ({"id": "cat"}, {"id": "cat", "soft": True}, {"tag": "cats"}, {"all": True}):
                answer = edge.client.post("/purge", json=order, headers=BEARER)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


class TestTheCommand:
    def test_the_command_purges(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes, capsys: pytest.CaptureFixture[str]
    ) -> None:
        origin.script("/cat", *[Reply(photo, headers=CATS)] * 2)
        edge.get("/image/cat")
        assert run(["purge", "--id", "cat", "--edge", edge.url, "--token", TOKEN]) == 0
        assert '"purged":1' in capsys.readouterr().out
        assert told(edge.get("/image/cat")) == MISS

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--id", "cat", "--token", "wrong"], "401: The token is missing or wrong."),
            (["--token", TOKEN], "exactly one of --id, --tag and --all"),
            (["--id", "a", "--all", "--token", TOKEN], "exactly one of --id, --tag and --all"),
            (["--tag", "", "--token", TOKEN], "400: Nothing was purged: a tag is"),
        ],
    )
    def test_the_command_says_why_a_purge_failed(
        self, edge: RunningEdge, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
    ) -> None:
        assert run(["purge", "--edge", edge.url, *arguments]) == 2
        assert complaint in capsys.readouterr().err


def test_the_admin_port_purges_for_all_workers(
    short_path: Path, unused_port: int, origin: ScriptedOrigin, photo: bytes, valkey_program: None
) -> None:
    """The picture port has no purge routes then."""
    _ = valkey_program
    orders: list[dict[str, object]] = [{"id": "cat"}, {"tag": "cats"}, {"all": True}]
    origin.script("/cat", *[Reply(photo, headers=CATS)] * 4)
    with (
        serving(short_path, origin.url, workers=2, admin_port=unused_port, admin_token=TOKEN) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{unused_port}", headers=BEARER, timeout=60, trust_env=False) as admin,
    ):
        assert httpx.post(f"{server.url}/purge", json={"all": True}, headers=BEARER, trust_env=False).status_code == 404
        for order in orders:
            assert sum("hit" in server.get("/image/cat?res=medium").headers["cache-status"] for _ in range(8)) == 7
            assert admin.post("/purge", json=order).status_code == 200
        assert "stored" in server.get("/image/cat?res=medium").headers["cache-status"]
        assert 'edge_purges_total{scope="all"} 1.0' in admin.get("/metrics").text


def test_concurrent_purges_get_different_generations(edge: RunningEdge) -> None:
    async def ten() -> list[int]:
        async with httpx.AsyncClient(base_url=edge.url, headers=BEARER, timeout=60, trust_env=False) as client:
            answers = await asyncio.gather(*[client.post("/purge", json={"tag": "t"}) for _ in range(10)])
        return [answer.json()["generation"] for answer in answers]

    assert len(set(asyncio.run(ten()))) == 10
