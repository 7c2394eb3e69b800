"""Signed URLs: who may ask for a picture, for how long, and that a signature makes no other picture."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from service.errors import SettingsError, SignatureExpired, WrongSignature
from service.rules.cache_control import parse_cache_control
from service.rules.expiry import limit_by_expiry
from service.rules.http_date import http_date
from service.rules.response_fields import PassedOn
from service.rules.url_signature import UrlKey, check_signature, read_url_keys
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.command_line import Shell
from tests.markdown_page import ROOT
from tests.service.running_edge import LATENT_TOKEN, RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import afresh, stored_keys

NEW, OLD = ("6e6577", "00ff"), ("6f6c64", "73616c74")
KEY, SALT = ",".join([NEW[0], OLD[0]]), ",".join([NEW[1], OLD[1]])
FRESH = {"Cache-Control": "max-age=600"}
Sign = Callable[..., str]


@pytest.fixture(scope="module")
def _signed(session_valkey: EmbeddedValkey, _session_origin: ScriptedOrigin) -> Iterator[RunningEdge]:
    settings = read_settings(
        origin=_session_origin.url,
        redis_url=session_valkey.url,
        key=KEY,
        salt=SALT,
        latent_token=LATENT_TOKEN,
        allow_origin="*",
    )
    with running_edge(settings) as edge:
        yield edge


@pytest.fixture
def signed(_signed: RunningEdge, session_valkey: EmbeddedValkey) -> RunningEdge:
    """An edge with an empty store that serves signed URLs alone."""
    return afresh(_signed, session_valkey)


@pytest.fixture(scope="module")
def example() -> Sign:
    """The example in Python of docs/http.md."""
    names: dict[str, Any] = {}
    exec(block("python"), names)
    sign: Sign = names["sign"]
    return sign


def block(language: str) -> str:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return str(code)


def test_unsigned_requests_are_refused_and_remembered_nowhere(
    signed: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
) -> None:
    for path in ("/image/cat", "/image/cat?res=medium&sig=", "/image/..;/cat", "/image/cat?res=none"):
        answer = signed.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["access-control-allow-origin"] == "*"
    assert not origin.requests
    assert not stored_keys(store)
    assert {signed.get(path).status_code for path in ("/livez", "/readyz", "/stats", "/docs")} == {200}


def test_every_signature_of_a_picture_leads_to_one_record(
    signed: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes, example: Sign, latentedge: Shell
) -> None:
    origin.script("/a b/ü.jpg", Reply(photo, headers=FRESH))
    asked = ("a b/ü.jpg", "--res", "medium", "--expires-in", 60, "--key", KEY, "--salt", SALT, "--edge", signed.url)
    urls = [
        example("a b/ü.jpg", *NEW, res="medium"),
        example("a b/ü.jpg", *OLD, res="high") + "&utm_source=news",
        example("a b/ü.jpg", *NEW, res="172", fmt="webp", exp=2_000_000_000),
        latentedge("sign", *asked).out.strip().removeprefix(signed.url),
    ]
    assert [signed.get(url).status_code for url in urls] == [200] * 4
    assert signed.client.head(urls[0]).status_code == 200
    assert signed.latent("a b/ü.jpg").status_code == 200
    assert len(stored_keys(store)) == 1
    assert [one.path for one in origin.requests] == ["/a b/ü.jpg"], "the origin saw arguments"


def test_a_url_that_was_changed_is_refused(signed: RunningEdge, example: Sign) -> None:
    url = example("cat", *NEW, res="medium", exp=2_000_000_000)
    changed = [
        url.replace("cat", "dog"),
        url.replace("medium", "high"),
        url.replace("2000000000", "2000000001"),
        url.replace("exp=2000000000&", ""),
        url + "&fmt=webp",
        url + "&res=medium",
        url + "&sig=" + url.rpartition("=")[2],
        url[:-1],
        url + "=",
        example("cat", NEW[0], OLD[1], res="medium"),
        example("cat", *NEW, exp=int(time.time()) - 1),
        example("cat", *NEW, exp="soon"),
    ]
    assert [signed.get(one).status_code for one in changed] == [403] * len(changed)


def test_javascript_signs_as_python_does(example: Sign) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    call = f"console.log(sign('a b/ü.jpg', '{NEW[0]}', '{NEW[1]}', {{ res: 'medium', exp: 2000000000 }}));"
    command = [node, "--input-type=module", "-e", block("javascript") + call]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == example("a b/ü.jpg", *NEW, res="medium", exp=2_000_000_000)


def test_caches_downstream_keep_the_picture_no_longer_than_its_url(
    signed: RunningEdge, origin: ScriptedOrigin, photo: bytes, example: Sign
) -> None:
    origin.script("/cat", Reply(photo, headers=FRESH))
    url = example("cat", *NEW, exp=int(time.time()) + 300)
    lifetimes_s = [parse_cache_control(signed.get(url).headers["cache-control"]).max_age_s for _ in range(2)]
    assert all(0 < (lifetime_s or 0) <= 301 for lifetime_s in lifetimes_s)
    assert signed.get(example("cat", *NEW)).headers["cache-control"] == "max-age=600"


def test_caches_downstream_keep_an_error_no_longer_than_its_url(
    signed: RunningEdge, origin: ScriptedOrigin, example: Sign
) -> None:
    origin.script("/none", Reply(status=404, headers=FRESH))
    origin.script("/down", Reply(status=500))
    expiry = {"exp": int(time.time()) + 300}
    for _ in range(2):  # the origin's error, and the one that the edge remembers
        answer = signed.get(example("none", *NEW, **expiry))
        lifetime_s = parse_cache_control(answer.headers["cache-control"]).max_age_s or 0
        assert 0 < lifetime_s <= 301 + int(answer.headers.get("age", 0))
    assert signed.get(example("down", *NEW, **expiry)).headers["cache-control"] == "no-store"
    assert signed.get(example("none", *NEW)).headers["cache-control"] == "max-age=600"


NOW_S = 1_800_000_000
IN_A_MINUTE, IN_AN_HOUR = http_date(NOW_S + 60), http_date(NOW_S + 3600)


@pytest.mark.parametrize(
    ("said", "age", "expected"),
    [
        (PassedOn(cache_control="max-age=90, immutable"), "", PassedOn(cache_control="max-age=90, immutable")),
        (PassedOn(cache_control="max-age=900"), "", PassedOn(cache_control="max-age=100")),
        (PassedOn(cache_control="max-age=900"), "50", PassedOn(cache_control="max-age=150")),
        (PassedOn(cache_control="s-maxage=900, max-age=9"), "", PassedOn(cache_control="max-age=9, s-maxage=100")),
        (
            PassedOn(cache_control="max-age=90, stale-while-revalidate=90, stale-if-error=5"),
            "",
            PassedOn(cache_control="max-age=90, stale-while-revalidate=10, stale-if-error=5"),
        ),
        (PassedOn(), "", PassedOn(cache_control="max-age=100")),
        (PassedOn(expires=IN_A_MINUTE), "", PassedOn(expires=IN_A_MINUTE)),
        (PassedOn(expires="0"), "", PassedOn(expires="0")),
        (PassedOn(expires=IN_AN_HOUR), "", PassedOn(cache_control="max-age=100")),
        (PassedOn(cache_control="no-store"), "", PassedOn(cache_control="no-store")),
        (
            PassedOn(cache_control="max-age=9", cdn_cache_control="max-age=900"),
            "",
            PassedOn(cache_control="max-age=9", cdn_cache_control="max-age=100"),
        ),
    ],
)
def test_how_an_expiry_limits_lifetimes(said: PassedOn, age: str, expected: PassedOn) -> None:
    assert limit_by_expiry(said, age=age, expires_s=NOW_S + 100, now_s=NOW_S) == expected


def test_a_signature_holds_until_its_second_and_no_longer() -> None:
    key = UrlKey(b"key", b"salt")
    arguments = [("exp", "100")]
    given = [*arguments, ("sig", key.sign("/image/cat", arguments))]
    assert check_signature([key], "/image/cat", given, now_s=99.9) == 100
    with pytest.raises(SignatureExpired):
        check_signature([key], "/image/cat", given, now_s=100)
    with pytest.raises(WrongSignature):
        check_signature([key], "/image/cat", [("sig", "\xe9" * 43)], now_s=0)
    assert "key" not in repr(key).lower().replace("urlkey", "")


def test_a_line_feed_cannot_make_a_value_pass_for_another_argument() -> None:
    """An argument of the origin could else swallow the expiry, or the size, of a URL that has been signed."""
    key = UrlKey(b"key", b"salt")
    arguments = [("a", "1"), ("exp", "100"), ("res", "medium")]
    sig = ("sig", key.sign("/image/cat", arguments))
    assert check_signature([key], "/image/cat", [*arguments, sig], now_s=99) == 100
    swallowed = [
        ("/image/cat", [("a", "1\nexp=100\nres=medium")]),
        ("/image/cat", [("a", "1\nexp=100"), ("res", "medium")]),
        ("/image/cat\na=1\nexp=100\nres=medium", []),
    ]
    for path, given in swallowed:
        with pytest.raises(WrongSignature):
            check_signature([key], path, [*given, sig], now_s=200)
    assert key.sign("/image/a?res=high", []) != key.sign("/image/a", [("res", "high")])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"key": "secretword", "salt": "00"}, "EDGE_KEY: the value must be hexadecimal"),
        ({"key": "00,", "salt": "00,00"}, "EDGE_KEY: the value must be hexadecimal"),
        ({"key": "00", "salt": "0"}, "EDGE_SALT: the value must be hexadecimal"),
        ({"key": "00"}, "EDGE_KEY and EDGE_SALT must hold the same number"),
        ({"key": "00,01", "salt": "00"}, "EDGE_KEY and EDGE_SALT must hold the same number"),
    ],
)
def test_faults_of_the_keys_are_told_at_the_start(given: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        read_settings(origin="http://o", **given)
    assert "secretword" not in str(caught.value)


def test_workers_get_the_keys() -> None:
    environment = read_settings(origin="http://o", key=KEY, salt=SALT).environment()
    assert read_url_keys(environment["EDGE_KEY"], environment["EDGE_SALT"]) == read_url_keys(KEY, SALT)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("cat",), "set EDGE_KEY and EDGE_SALT"),
        (("cat", "--key", "x", "--salt", "00"), "hexadecimal"),
        (("../cat", "--key", "00", "--salt", "00"), "An image id"),
        (("cat", "--res", "big", "--key", "00", "--salt", "00"), "The argument res"),
        (("cat", "--expires-in", 10**12, "--key", "00", "--salt", "00"), "expires-in"),
        *(
            (("cat", "--query", query, "--key", "00", "--salt", "00"), "--query must")
            for query in ("res=high", "exp=1", "sig=x", "v=1&v=2", "v=1%0Aw=2", "v=\udcff")
        ),
    ],
)
def test_the_command_says_what_is_wrong(latentedge: Shell, arguments: tuple[object, ...], told: str) -> None:
    outcome = latentedge("sign", *arguments)
    assert outcome.code == 2
    assert told in outcome.err
