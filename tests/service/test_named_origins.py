"""Several origins behind one edge: each by its name, with its own access, rules, limits and arguments."""

import asyncio
import json
import logging
import os
import queue
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from service.errors import NoSuchOrigin, SettingsError, WrongSignature
from service.records.store_keys import record_key
from service.rules.forwarding import Forward
from service.rules.origin_names import NAMESPACE, OriginNames, OriginRule
from service.rules.url_signature import read_url_keys
from service.settings.edge_settings import read_settings
from service.settings.setting_field import NO_TOKEN
from service.store.embedded import EmbeddedValkey
from service.upstream.folder_transport import FOLDER_URL, FolderTransport
from service.upstream.origin_access import OPEN
from service.web.questions import Questions, RequestFacts
from tests.command_line import Shell
from tests.service.running_edge import AS_A_CHILD, LATENT_TOKEN, RunningEdge, running_edge
from tests.service.s3_server import ACCESS_KEY, EMPTY, REGION, SECRET_KEY, S3Server, s3_server, signature
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import afresh, stored_keys

TOKEN, SECRET = "of-the-operator", "Bearer secret-of-the-shop"
FRESH = {"Cache-Control": "max-age=600", "Cache-Tag": "cats"}
LIMIT_S = 60


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("of pictures")


@pytest.fixture(scope="module")
def _named(
    session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin, s3: S3Server, folder: Path
) -> Iterator[RunningEdge]:
    keys = {"region": REGION, "access_key": ACCESS_KEY}
    origins: dict[str, Any] = {
        "shop": {
            "url": f"{_session_origin.url}/files/",
            "headers": {"Authorization": SECRET, "X-Site": "shop"},
            "allow": ["public/*", "*.jpg"],
            "deny": ["*secret*"],
            "arguments": ["v", "w"],
            "fetches": 1,
        },
        "archive": {"url": f"{s3.url}/bucket", "s3": {**keys, "secret_key": SECRET_KEY}},
        "stranger": {"url": f"{s3.url}/bucket", "s3": {**keys, "secret_key": "wrong"}},
        "local": {"url": folder.as_uri(), "deny": ["hidden/*"]},
    }
    settings = read_settings(
        origins=json.dumps(origins),
        redis_url=session_valkey.url,
        admin_token=TOKEN,
        latent_token=LATENT_TOKEN,
        default_ttl_s=0,
        forward="all",
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def named(_named: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with four origins and an empty store."""
    return afresh(_named, session_valkey)


def test_a_name_leads_to_its_origin_with_its_token(
    named: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "service")
    origin.script("/files/public/cat", Reply(photo, headers=FRESH))
    answer = named.get("/image/shop/public/cat?res=medium", headers={"X-Site": "mine", "Authorization": "mine"})
    assert answer.status_code == 200
    asked = [(name.lower(), value) for name, value in origin.requests[-1].lines]
    assert [value for name, value in asked if name == "authorization"] == [SECRET]
    assert [value for name, value in asked if name == "x-site"] == ["shop"]
    assert stored_keys(store) == [record_key("shop/public/cat", origin=NAMESPACE)]
    said = [
        str(answer.headers),
        caplog.text,
        named.get("/stats").text,
        named.get("/metrics").text,
        repr(named.settings),
    ]
    assert not [text for text in said if "secret-of" in text or SECRET_KEY in text]


def test_arguments_that_the_origin_needs_make_pictures_of_their_own(
    named: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    for target in ("/files/cat.jpg", "/files/cat.jpg?v=2", "/files/cat.jpg?v=2&w=a%20b%26"):
        origin.script(target.replace("%20", " ").replace("%26", "&"), Reply(photo, headers=FRESH))
    for query in ("", "x=1", "v=2", "v=2&x=1", "w=a+b%26&v=2", "v=2&res=172&w=a%20b%26", "utm=3&w=a b%26&v=%32"):
        assert named.get(f"/image/shop/cat.jpg?fmt=webp&{query}").status_code == 200
    assert len(stored_keys(store)) == 3


@pytest.mark.parametrize(
    "path", ["cat.jpg", "shop", "shop/", "Shop/cat.jpg", "nobody/cat.jpg", "shop/private/cat", "shop/public/secret.jpg"]
)
def test_an_id_that_names_no_origin_or_is_not_permitted_is_refused(
    named: RunningEdge, origin: ScriptedOrigin, path: str
) -> None:
    for route, headers in (("image", {}), ("latent", AS_A_CHILD)):
        answer = named.get(f"/{route}/{path}", headers=headers)
        assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert not origin.requests


@pytest.mark.parametrize(
    ("allow", "deny", "path", "permitted"),
    [
        *(
            ((), ("private/*", "secret"), path, False)
            for path in ("private/a", "/private/a", "private//a", "//private/a", "Private/a", "private;x/a", "secret/")
        ),
        *(
            ((), ("private/*", "caf\xe9"), path, False)
            for path in ("%70rivate/a", "private%2Fa", "%2fprivate/a", "private%5Ca", "private%3Bx/a", "cafe\u0301")
        ),
        (("public/*", "*.jpg"), (), "private/a;x.jpg", False),
        (("public/*", "*.jpg"), (), "public/a;b%25//c", True),
        ((), ("private/*",), "a//b;c%2", True),
        (("Public/*",), (), "public/a", False),
    ],
)
def test_patterns_hold_for_each_way_in_which_an_origin_may_read_an_id(
    allow: tuple[str, ...], deny: tuple[str, ...], path: str, *, permitted: bool
) -> None:
    assert OriginRule(allow=allow, deny=deny).permits(path) is permitted


def test_patterns_of_a_folder_hold_for_each_name_of_a_file(named: RunningEdge, folder: Path, photo: bytes) -> None:
    (folder / "hidden").mkdir()
    (folder / "hidden" / "a.jpg").write_bytes(photo)
    for path in ("hidden/a.jpg", "/hidden/a.jpg", "hidden//a.jpg", "%2fhidden/a.jpg"):
        assert named.get(f"/image/local/{path}?res=medium").status_code == 404, path


def test_purges_name_a_picture_by_its_url_or_its_tag(
    named: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    bearer, path = {"Authorization": f"Bearer {TOKEN}"}, "/image/shop/cat.jpg?w=1&v=2"
    origin.publish("/files/cat.jpg?v=2&w=1", *[Reply(photo, headers=FRESH)] * 4)
    orders: list[dict[str, Any]] = [
        {"method": "PURGE", "url": path + "&res=high"},
        {"method": "POST", "url": "/purge", "json": {"id": "shop/cat.jpg", "query": "v=2&w=1"}},
        {"method": "POST", "url": "/purge", "json": {"tag": "cats"}},
    ]
    for order in orders:
        assert named.get(path).headers["cache-status"].startswith("latentedge; fwd=uri-miss")
        assert named.client.request(**order, headers=bearer).status_code == 200
    assert named.get(path).headers["cache-status"].endswith("detail=purged")
    wrong = [{"id": "shop/" + "c" * 505, "query": "v=2"}, {"tag": "cats", "query": "v=2"}]
    assert [named.client.post("/purge", json=order, headers=bearer).status_code for order in wrong] == [400, 400]
    assert len(stored_keys(store)) == 1


def test_an_s3_origin_is_asked_with_a_signature(named: RunningEdge, s3: S3Server, photo: bytes) -> None:
    paths = ["cat.jpg", "a b/ü+(1)!*'~@:=,;$&.jpg", "100%25.jpg"]
    s3.objects.update({f"/bucket/{path}": photo for path in paths})
    for path in paths:
        escaped = path.replace("%", "%25").replace("+", "%2B").replace(" ", "%20")
        assert named.get(f"/image/archive/{escaped}?res=medium").status_code == 200, path
    assert named.get("/image/archive/none").status_code == 404
    assert named.get("/image/stranger/cat.jpg").status_code == 403


@pytest.mark.parametrize(
    ("target", "more", "expected"),
    [
        ("/test.txt", {"range": "bytes=0-9"}, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
        ("/?lifecycle", {}, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", {}, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_the_server_of_these_tests_computes_the_signatures_that_aws_has_published(
    target: str, more: dict[str, str], expected: str
) -> None:
    headers = {
        "host": "examplebucket.s3.amazonaws.com",
        "x-amz-content-sha256": EMPTY,
        "x-amz-date": "20130524T000000Z",
        **more,
    }
    signed = ";".join(sorted(headers))
    assert signature(target, headers, signed=signed, date="20130524", region=REGION, secret=SECRET_KEY) == expected


def test_a_folder_is_an_origin_with_validators(named: RunningEdge, folder: Path, photo: bytes) -> None:
    (folder / "a b").mkdir()
    file = folder / "a b" / "50%25.jpg"
    file.write_bytes(photo)
    os.utime(file, ns=(10**18, 10**18))
    path = "/image/local/a%20b/50%2525.jpg?res=medium"
    first, second = named.get(path), named.get(path)
    assert (first.status_code, first.headers["last-modified"]) == (200, "Sun, 09 Sep 2001 01:46:40 GMT")
    assert second.headers["cache-status"].startswith("latentedge; fwd=stale; fwd-status=304")
    os.utime(file, ns=(10**18 + 1, 10**18 + 1))
    assert named.get(path).headers["cache-status"].startswith("latentedge; fwd=stale; fwd-status=200")


def test_nothing_outside_of_the_folder_is_shown(named: RunningEdge, folder: Path, tmp_path: Path, photo: bytes) -> None:
    (tmp_path / "secret.jpg").write_bytes(photo)
    (folder / "inside.jpg").write_bytes(photo)
    (folder / "link-inside.jpg").symlink_to("inside.jpg")
    (folder / "link-outside.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "folder-outside").symlink_to(tmp_path)
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe")
    asked = {
        "link-inside.jpg": 200,
        "link-outside.jpg": 404,
        "folder-outside/secret.jpg": 404,
        "none.jpg": 404,
        "empty": 404,
        "empty/": 404,
        "pipe": 404,
        "inside.jpg/x": 404,
        "x" * 300: 404,
        "..;/x": 400,
        "a/%2e%2e/%2e%2e/x": 400,
    }
    assert {path: named.get(f"/image/local/{path}?res=medium").status_code for path in asked} == asked


def test_a_file_that_opens_after_the_timeout_is_closed(folder: Path) -> None:
    (folder / "late.jpg").write_bytes(b"late")
    opened: queue.SimpleQueue[int] = queue.SimpleQueue()
    timeout_is_over = threading.Event()

    class SlowDisk(FolderTransport):
        def _open(self, path: Path) -> Any:  # noqa: ANN401  (a type of that module)
            late = super()._open(path)
            opened.put(late.descriptor)
            assert timeout_is_over.wait(LIMIT_S)
            return late

    async def ask() -> None:
        request = httpx.Request("GET", f"{FOLDER_URL}/late.jpg")
        asking = asyncio.create_task(SlowDisk(folder).handle_async_request(request))
        descriptor = await asyncio.to_thread(opened.get, timeout=LIMIT_S)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        timeout_is_over.set()
        async with asyncio.timeout(LIMIT_S):
            while descriptor_leads_to(descriptor, folder / "late.jpg"):  # noqa: ASYNC110  (no event tells of a close)
                await asyncio.sleep(0)

    asyncio.run(ask())


def descriptor_leads_to(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat())
    except OSError:
        return False


def test_an_origin_that_hangs_takes_no_place_from_another(
    named: RunningEdge, origin: ScriptedOrigin, folder: Path, photo: bytes
) -> None:
    gate, arrived = threading.Event(), threading.Event()
    origin.script("/files/slow.jpg", Reply(photo, headers=FRESH, gate=gate, arrived=arrived))
    (folder / "quick.jpg").write_bytes(photo)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(named.get, "/image/shop/slow.jpg?res=medium")
        try:
            assert arrived.wait(LIMIT_S)
            assert named.get("/image/local/quick.jpg?res=medium").status_code == 200
        finally:
            gate.set()
        assert slow.result(LIMIT_S).status_code == 200


def test_a_child_asks_its_parent_with_the_arguments() -> None:
    names = OriginNames({"shop": OriginRule(arguments=frozenset({"v"}))})
    parent = Questions("a-node", Forward(), NO_TOKEN, names=names)
    scope = {"type": "http", "method": "GET", "path": "/image/shop/a?.jpg", "query_string": b"v=%0A&x=1", "headers": []}
    image_id = parent.read(scope, RequestFacts()).wanted.image_id
    assert str(OPEN.url("http://parent/latent", image_id)) == "http://parent/latent/shop/a%3F.jpg?v=%0A"
    with pytest.raises(NoSuchOrigin):
        parent.read({**scope, "path": "/image/a.jpg"}, RequestFacts())


def test_the_command_signs_the_arguments_of_an_origin(latentedge: Shell) -> None:
    asked = ("shop/cat.jpg", "--res", "high", "--query", "w=a b&v=2", "--key", "00ff", "--salt", "aa")
    url = urlsplit(latentedge("sign", *asked).out.strip())
    names = OriginNames({"shop": OriginRule(arguments=frozenset({"v", "w"}))})
    parent = Questions("a-node", Forward(), NO_TOKEN, read_url_keys("00ff", "aa"), names)
    scope = {"type": "http", "method": "GET", "path": url.path, "headers": []}
    signed = parent.read({**scope, "query_string": url.query.encode()}, RequestFacts())
    assert signed.wanted.image_id == "shop/cat.jpg\nv=2&w=a%20b"
    with pytest.raises(WrongSignature):
        parent.read({**scope, "query_string": url.query.replace("v=2", "v=3").encode()}, RequestFacts())


FAULTY = """
[Shop]
url = "http://shop.example"
[a]
url = "ftp://user:hidden@shop.example"
timeout = 3
[b]
url = "http://b.example"
headers = { Host = "hidden.example", "X-A" = "hid\\nden" }
arguments = ["sig"]
fetches = 0
[c]
url = "file:///no/such/folder"
[d]
url = "http://d.example"
s3 = { region = "eu", access_key = "hidden" }
"""


def test_every_fault_of_the_file_has_a_line_without_values(tmp_path: Path) -> None:
    file = tmp_path / "origins.toml"
    file.write_text(FAULTY)
    with pytest.raises(SettingsError) as caught:
        read_settings(origins=str(file))
    told = [re.sub(r": .*", "", fault.removeprefix("EDGE_ORIGINS: ")) for fault in caught.value.faults]
    expected = ["Shop", "a.url", "a.timeout", "b.headers.Host", "b.headers.X-A", "b.arguments.0", "b.fetches", "c.url"]
    assert told == [*expected, "d.s3.secret_key"]
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"origins": "/no/such.toml"}, "EDGE_ORIGINS: the file cannot be read: No such file"),
        ({"origins": '{"a": '}, "EDGE_ORIGINS: the JSON is not valid: Expecting value in line 1"),
        ({"origins": '{"a": ' * 20_000}, "EDGE_ORIGINS: the values are nested"),
        ({"origins": '{"a": {"url": "http://a", "deny": ["*"]}, "a": {"url": "http://a"}}'}, "there twice: a"),
        *(
            ({"origin": f"http://{host}"}, "EDGE_ORIGIN: the address is too long")
            for host in ("xn--zz..a", "\xe4..b", f"{'a' * 64}.b", f"a/{'b' * 70_000}")
        ),
        ({"origin": f"file:///{'a' * 300}/b"}, "EDGE_ORIGIN: the address names no folder"),
        ({"origins": "{}"}, "EDGE_ORIGINS: there must be at least one origin"),
        ({"origins": '{"a": {"url": "http://a"}}', "origin": "http://b"}, "EDGE_ORIGIN: the value must be empty"),
        ({"origin": "file:///no/such"}, "EDGE_ORIGIN: the address names no folder"),
        ({"origin": "file:///"}, "EDGE_ORIGIN: the address names no folder"),
        ({"origin": "file://host/tmp"}, "EDGE_ORIGIN: the address must begin"),
        ({"origins": '{"a": {"url": "file:///usr", "arguments": ["v"]}}'}, "EDGE_ORIGINS: a: a folder takes no"),
        (
            {"origin": "http://o", "parent": "file:///usr", "parent_token": "t"},
            "EDGE_PARENT: the address must begin with http",
        ),
    ],
)
def test_other_faults_are_told_at_the_start(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)):
        read_settings(**given)


def test_a_toml_file_and_a_json_file_are_read_and_reach_the_workers(tmp_path: Path) -> None:
    (tmp_path / "o.toml").write_text('[a]\nurl = "http://a/"\n')
    (tmp_path / "o.json").write_text('{"a": {"url": "http://a/"}}')
    for name in ("o.toml", "o.json"):
        settings = read_settings(origins=str(tmp_path / name))
        assert settings.namespace == NAMESPACE
        assert settings.environment()["EDGE_ORIGINS"] == str(tmp_path / name)
