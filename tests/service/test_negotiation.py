"""Parsing of requests, and the requests that are refused before the store or the origin is asked."""

import pytest

from service.errors import BadFormat, BadImageId, BadResolution, RequestError
from service.rules.negotiation import Query, Wanted, check_image_id, negotiate, read_query

CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
FIREFOX = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
FIREFOX_46 = "image/png,image/*;q=0.8,*/*;q=0.5"
SAFARI_13 = "image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
SAFARI_14 = "image/webp,image/png,image/svg+xml,image/*;q=0.8,video/*;q=0.8,*/*;q=0.5"
OUTLOOK = "image/png, image/svg+xml, image/jxr, image/*;q=0.8"


@pytest.mark.parametrize(
    ("clause", "accept", "expected"),
    [
        ("12.5.1", "", "jpeg"),
        ("12.5.1", "*/*", "jpeg"),
        ("12.5.1", "image/*", "jpeg"),
        ("12.5.1", "image/webp", "webp"),
        ("12.5.1", "IMAGE/WEBP", "webp"),
        ("12.5.1", "image/avif,image/webp", "webp"),
        ("12.5.1", CHROME, "webp"),
        ("12.5.1", FIREFOX, "webp"),
        ("12.5.1", FIREFOX_46, "jpeg"),
        ("12.5.1", SAFARI_13, "jpeg"),
        ("12.5.1", SAFARI_14, "webp"),
        ("12.5.1", OUTLOOK, "jpeg"),
        ("12.5.1", "image/png", "png"),
        ("12.5.1", "image/png;q=0.1, image/gif", "png"),
        ("12.5.1", "image/png, text/html, image/*;q=0", "png"),
        ("12.5.1", "image/png, image/jpeg;q=0, image/avif;q=0.1", "avif"),
        ("12.5.1", "image/png, */*;q=0.1", "jpeg"),
        ("12.5.1", "image/jpeg;q=0, image/webp;q=0, image/avif;q=0, */*", "png"),
        ("12.5.1", "image/jpeg, image/avif", "jpeg"),
        ("12.4.2", "image/jpeg;q=0.5, image/avif;q=0.9", "avif"),
        ("12.4.2", "image/jpeg; q=0.5 , image/avif ; Q=0.9", "avif"),
        ("12.4.2", "image/jpeg;q=0, */*", "webp"),
        ("12.4.2", "image/jpeg;q=0.000, image/*;q=0.1", "webp"),
        ("12.4.2", "image/webp;q=0, image/avif;q=0, */*;q=0.1", "jpeg"),
        ("12.4.2", "image/webp;q=0.3, */*;q=0.7", "jpeg"),
        ("12.4.2", "image/avif;q=2, image/png;q=0.1", "png"),
        ("12.4.2", "image/avif;q=0.9999, image/png;q=0.1", "png"),
        ("12.5.1", "image/jpeg;level=1, image/png", "png"),
        ("12.5.1", "text/html", "jpeg"),
        ("12.5.1", "*/*;q=0", "jpeg"),
        ("12.5.1", ",,;;,q=1", "jpeg"),
    ],
)
def test_accept(clause: str, accept: str, expected: str) -> None:
    wanted = negotiate(image_id="a.jpg", query=Query(), accept=accept)
    assert wanted.media_type == f"image/{expected}", f"RFC 9110 {clause}"


CLIENTS = {
    "Chrome, a page": (
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
            "application/signed-exchange;v=b3;q=0.7"
        ),
        "webp",
    ),
    "Chrome 70": ("image/webp,image/apng,image/*,*/*;q=0.8", "webp"),
    "Firefox 92": ("image/avif,image/webp,*/*", "webp"),
    "Firefox 65, a page": ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", "webp"),
    "Safari 17 and Apple Mail": (
        (
            "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,"
            "image/*;q=0.8,*/*;q=0.5"
        ),
        "webp",
    ),
    "Edge 17": ("image/webp, image/png, image/svg+xml, image/jxr, image/*; q=0.8, */*; q=0.5", "webp"),
    "Internet Explorer 11": ("image/png, image/svg+xml, image/jxr, image/*;q=0.8, */*;q=0.5", "jpeg"),
    "Internet Explorer 6": ("image/gif, image/x-xbitmap, image/jpeg, image/pjpeg, application/msword, */*", "jpeg"),
    "a view in an app on iOS 12": ("image/png,image/*;q=0.8,*/*;q=0.5", "jpeg"),
    "Opera 12": (
        (
            "text/html, application/xml;q=0.9, application/xhtml+xml, image/png, image/webp, image/jpeg, image/gif, "
            "image/x-xbitmap, */*;q=0.1"
        ),
        "jpeg",
    ),
    "Java": ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "jpeg"),
    "Lynx": ("text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01", "jpeg"),
    "a proxy of web mail": ("image/webp,image/*,*/*;q=0.8", "webp"),
    "a crawler": ("image/jpeg, image/png, image/gif", "jpeg"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_gets_a_png_that_takes_a_jpeg(client: str) -> None:
    accept, expected = CLIENTS[client]
    assert negotiate(image_id="a", query=Query(), accept=accept).media_type == f"image/{expected}"


def test_fmt_beats_accept() -> None:
    assert negotiate(image_id="a", query=Query(fmt="png"), accept="image/webp").media_type == "image/png"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Wanted("a/b.jpg", 344, "image/jpeg")),
        ("res=high", Wanted("a/b.jpg", 344, "image/jpeg")),
        ("res=344", Wanted("a/b.jpg", 344, "image/jpeg")),
        ("res=medium", Wanted("a/b.jpg", 172, "image/jpeg")),
        ("res=172&fmt=avif", Wanted("a/b.jpg", 172, "image/avif")),
        ("utm_source=x&res=medium&v=3&utm_source=y", Wanted("a/b.jpg", 172, "image/jpeg")),
        ("r%65s=medium", Wanted("a/b.jpg", 172, "image/jpeg")),
    ],
)
def test_query(query: str, expected: Wanted) -> None:
    assert negotiate(image_id="a/b.jpg", query=read_query(query), accept="") == expected


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("res=", BadResolution),
        ("res=low", BadResolution),
        ("res=HIGH", BadResolution),
        ("res=345", BadResolution),
        ("res=high&res=high", BadResolution),
        ("fmt=", BadFormat),
        ("fmt=gif", BadFormat),
        ("fmt=JPEG", BadFormat),
        ("fmt=jpeg&fmt=webp", BadFormat),
    ],
)
def test_bad_query(query: str, error: type[RequestError]) -> None:
    with pytest.raises(error):
        negotiate(image_id="a", query=read_query(query), accept="")


@pytest.mark.parametrize(
    "image_id",
    [
        "a",
        "a.jpg",
        "a/b/c.jpg",
        "a b.jpg",
        "..a",
        "a..",
        "a..b/c",
        "...",
        "ä/猫.jpg",
        "a?b#c",
        "100%",
        "x" * 512,
        "a//b",
        "a/...;/b",
        "a..;b",
        "a;../b",
        "%2e%2e%2e",
    ],
)
def test_good_ids(image_id: str) -> None:
    check_image_id(image_id)


@pytest.mark.parametrize(
    "image_id",
    [
        "",
        "..",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "a/.",
        "a/..;/b",
        "..;jsessionid=1/b",
        ".;/b",
        "a/%2e%2e/b",
        "a/..%2fb",
        "a/.%2E;/b",
        "a/..%3b/b",
        "a/..%5cb",
        "/a",
        "//host/a",
        "\\\\host\\a",
        "a\\..\\b",
        "http://host/a",
        "HTTP:host",
        "file:///etc/passwd",
        "data:image/png;base64,",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        f"a{chr(0xD800)}b",
        "a\ufffdb",
        "x" * 513,
    ],
)
def test_bad_ids(image_id: str) -> None:
    with pytest.raises(BadImageId):
        check_image_id(image_id)
