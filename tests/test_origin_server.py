"""The static origin, as a real process, asked with a client that sends paths as they are."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.demo.children import origin_server
from service.serving.origin_server import STATS_PATH, PictureFile

BODY = b"the origin does not look into its files"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Origin:
    url: str

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, headers=response.headers, body=response.read())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    room = tmp_path_factory.mktemp("origin")
    folder = room / "pictures"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("a.jpg", "b.png", "c.webp", "d.avif", "f.le", "e.unknown", "deep/er/ü x.jpeg"):
        (folder / name).write_bytes(BODY)
    (room / "secret.jpg").write_bytes(b"outside")
    (folder / "link.jpg").symlink_to(room / "secret.jpg")
    with origin_server(folder, log=room / "log") as child:
        yield Origin(child.url)


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/a.jpg", "image/jpeg"),
        ("/b.png", "image/png"),
        ("/c.webp", "image/webp"),
        ("/d.avif", "image/avif"),
        ("/f.le", "application/vnd.latentedge"),
        ("/e.unknown", "application/octet-stream"),
        ("/deep/er/%C3%BC%20x.jpeg", "image/jpeg"),
    ],
)
def test_a_file_comes_with_its_type_and_validators(origin: Origin, path: str, media_type: str) -> None:
    answer = origin.ask(path)
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert len(answer.headers.get_all("Date", [])) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/missing.jpg",
        "/",
        "/deep",
        "/deep/",
        "/a.jpg/",
        "/../secret.jpg",
        "/%2e%2e/secret.jpg",
        "/deep/..%2f..%2fsecret.jpg",
        "//etc/passwd",
        "/link.jpg",
        "/a.jpg%00.png",
        "/" + "x" * 3000,
    ],
)
def test_nothing_but_files_of_the_folder(origin: Origin, path: str) -> None:
    answer = origin.ask(path)
    assert answer.status == 404
    assert answer.body == b"Not Found\n"


def test_head_is_a_get_without_the_body(origin: Origin) -> None:
    get, head = origin.ask("/a.jpg"), origin.ask("/a.jpg", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


def test_other_methods_are_refused(origin: Origin) -> None:
    answer = origin.ask("/a.jpg", method="POST")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_validator_that_still_holds_gets_304_without_a_body(origin: Origin) -> None:
    full = origin.ask("/a.jpg")
    tag, date = full.headers["ETag"], full.headers["Last-Modified"]
    for headers in ({"If_None_Match": tag}, {"If_None_Match": f'"x", W/{tag}'}, {"If_Modified_Since": date}):
        answer = origin.ask("/a.jpg", **headers)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["ETag"] == tag


def test_a_date_does_not_rescue_a_tag_that_differs(origin: Origin) -> None:
    date = origin.ask("/a.jpg").headers["Last-Modified"]
    assert origin.ask("/a.jpg", If_None_Match='"other"', If_Modified_Since=date).status == 200


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "yesterday", "Thu, 99 Foo 1970"])
def test_an_old_or_odd_date_gets_the_file(origin: Origin, date: str) -> None:
    assert origin.ask("/a.jpg", If_Modified_Since=date).status == 200


def test_requests_are_counted_and_the_question_is_not(origin: Origin) -> None:
    before = json.loads(origin.ask(STATS_PATH).body)
    origin.ask("/a.jpg")
    origin.ask("/missing.jpg")
    after = json.loads(origin.ask(STATS_PATH).body)
    assert after["requests"] - before["requests"] == 2
    assert after["not_found"] - before["not_found"] == 1
    assert after["body_bytes"] - before["body_bytes"] == len(BODY)


def test_a_changed_file_has_another_tag(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    first = PictureFile.at(path).entity_tag
    path.write_bytes(b"other")
    assert PictureFile.at(path).entity_tag != first
