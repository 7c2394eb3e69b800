"""Redirects to the origin's own server, however its address is written, and with the password of EDGE_ORIGIN."""

from base64 import b64encode
from urllib.parse import urlsplit

import httpx
import pytest

from service.errors import OriginBroken
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from service.upstream.redirect_target import resolve_redirect
from service.upstream.transport import server_of
from tests.service.running_edge import running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin

USER = "us:p%40s%2Fs"
BASIC = "Basic " + b64encode(b"us:p@s/s").decode()


@pytest.mark.parametrize(
    ("here", "location", "target"),
    [
        ("http://h/a/b", "c?x=%20#top", "http://h/a/c?x=%20#top"),
        ("http://h/a", "HTTP://H:80/c", "http://h/c"),
        ("http://h/a", "http:/c", "http://h/c"),
        ("HTTP://H:80/a", "http://h/c", "http://h/c"),
        ("https://h/a", "https://h:443/c", "https://h/c"),
        ("https://h:443/a", "//H/c", "https://h/c"),
        ("http://[::1]:8080/a", "http://[::1]:8080/c", "http://[::1]:8080/c"),
        ("http://bücher.example/a", "http://xn--bcher-kva.example/c", "http://xn--bcher-kva.example/c"),
        (f"http://{USER}@h/a", "http://h/c", f"http://{USER}@h/c"),
        (f"http://{USER}@h/a", "/c", f"http://{USER}@h/c"),
        (f"http://{USER}@h/a", "http://other@H/c", "http://other@h/c"),
        ("http://h/a", f"http://{USER}@h/c", f"http://{USER}@h/c"),
    ],
)
def test_the_same_server(here: str, location: str, target: str) -> None:
    resolved, wanted = resolve_redirect(httpx.URL(here), location), httpx.URL(target)
    assert (server_of(resolved), resolved.raw_path, resolved.userinfo) == (
        server_of(wanted),
        wanted.raw_path,
        wanted.userinfo,
    )


@pytest.mark.parametrize(
    "location",
    [
        "https://h/c",
        "http://h:8080/c",
        "http://h:443/c",
        "http://h.example/c",
        "//other/c",
        "http://h@other/c",
        "http://h:80@other/c",
        "ftp://h/c",
        "http://[nowhere",
        "http://h:port/c",
    ],
)
def test_another_server_is_refused(location: str) -> None:
    with pytest.raises(OriginBroken):
        resolve_redirect(httpx.URL("http://h/a"), location)


def test_a_redirect_is_followed_with_the_password_of_the_origin(
    valkey: EmbeddedValkey, origin: ScriptedOrigin, photo: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    host = urlsplit(origin.url).netloc.replace("127.0.0.1", "LocalHost")
    origin.script("/cat", Reply(status=302, headers={"Location": f"Http://{host.lower()}/real"}))
    origin.script("/real", Reply(photo))
    settings = read_settings(origin=f"http://{USER}@{host}", redis_url=valkey.url)
    with running_edge(settings) as edge:
        assert edge.get("/image/cat").status_code == 200
    assert [request.headers["Authorization"] for request in origin.requests] == [BASIC, BASIC]
    assert "p@s" not in caplog.text
    assert "p%40s" not in caplog.text
