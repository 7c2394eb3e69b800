"""Pictures that vary by a field of the request: each client gets its variant, shared with equivalent requests."""

import socket

import httpx
import pytest
import redis

from service.records.store_keys import KEY_PREFIX, VARIANTS_PREFIX, lease_key
from service.settings.edge_settings import read_settings
from service.store.embedded import EmbeddedValkey
from tests.service.purging import HIT, LIMIT_S, MISS, VALIDATED
from tests.service.running_edge import RunningEdge, running_edge
from tests.service.scripted_origin import Reply, ScriptedOrigin
from tests.service.stored import stored_keys
from tests.service.test_refinement_stories import STEPS, writes_to
from tests.service.test_revalidation import encodes
from tests.service.tiers import own_store, told
from tests.service.varying import BY_LANGUAGE, DE, EN, FR, Variants, ask, gated, in_language, opened

VARY_MISS = "latentedge; fwd=vary-miss; stored"


@pytest.fixture
def variants(edge: RunningEdge, store: redis.Redis, origin: ScriptedOrigin) -> Variants:
    _ = edge  # empties the store
    return Variants(store, origin)


def test_each_language_is_fetched_once_and_stored_as_its_own_variant(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    english, german = ask(edge, EN), ask(edge, DE)
    assert [told(english), told(german)] == [MISS, VARY_MISS]
    again = [ask(edge, asked) for asked in (EN, DE)]
    assert [told(one) for one in again] == [HIT, HIT]
    assert [one.content for one in again] == [english.content, german.content]
    assert english.headers["etag"] != german.headers["etag"]
    assert {one.headers["vary"] for one in (english, german, *again)} == {"Accept-Language, Accept"}
    assert [request.headers["accept-language"] for request in origin.requests] == ["en", "de"]
    assert set(stored_keys(store)) == {variants.home, variants.key(EN), variants.key(DE)}
    assert store.ttl(variants.home) >= store.ttl(variants.key(DE)) - 1
    assert told(ask(edge, DE, "/image/cat?res=medium&fmt=png")) == HIT


def test_the_variant_that_was_stored_first_makes_room_for_another(
    session_valkey: EmbeddedValkey, origin: ScriptedOrigin
) -> None:
    url = own_store(session_valkey, 4)
    origin.script("/cat", *[in_language("en"), in_language("de"), in_language("fr"), in_language("en")])
    with running_edge(read_settings(origin=origin.url, redis_url=url, variants=2)) as edge:
        assert [told(ask(edge, asked)) for asked in (EN, DE, DE, FR)] == [MISS, VARY_MISS, HIT, VARY_MISS]
        assert edge.metric("edge_variants_dropped_total") == 1
        assert [told(ask(edge, asked)) for asked in (FR, DE, EN)] == [HIT, HIT, VARY_MISS]
        assert edge.metric("edge_variants_dropped_total") == 2
        with redis.Redis.from_url(url) as direct:
            assert len(stored_keys(direct)) == 1 + 2, "the rule and two variants"
            (listed,) = direct.keys(VARIANTS_PREFIX + b"*")
            assert direct.ttl(listed) > 0, "the list is kept for ever"


def test_the_entity_tag_of_one_variant_does_not_match_another(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    tags = [ask(edge, asked).headers["etag"] for asked in (EN, DE)]
    asked = {"If-None-Match": tags[0]}
    assert ask(edge, {**EN, **asked}).status_code == 304
    assert ask(edge, {**DE, **asked}).status_code == 200


def test_a_request_without_the_field_has_its_own_variant(edge: RunningEdge, origin: ScriptedOrigin) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    assert [told(ask(edge, asked)) for asked in (EN, {}, EN, {})] == [MISS, VARY_MISS, HIT, HIT]
    assert ask(edge, {}).headers["etag"] != ask(edge, EN).headers["etag"]


def test_a_picture_that_does_not_vary_is_fetched_once_and_read_once(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, photo: bytes
) -> None:
    origin.script("/cat", Reply(photo, headers={"Cache-Control": "max-age=600", "Vary": "Accept, Accept-Encoding"}))
    origin.script("/dog", in_language("en"))
    assert [told(ask(edge, asked)) for asked in (EN, DE, {}, {**FR, "User-Agent": "x"})] == [MISS, HIT, HIT, HIT]
    ask(edge, EN, "/image/dog")
    assert [reads_of_a_hit(edge, store, path) for path in ("/image/cat", "/image/dog")] == [1, 2]


def reads_of_a_hit(edge: RunningEdge, store: redis.Redis, path: str) -> int:
    """Return the number of strings that a hit reads from the store."""
    with store.monitor() as monitor:  # type: ignore[no-untyped-call]
        assert told(ask(edge, EN, path)) == HIT
        store.get("the end")
        reads, command = 0, monitor.next_command()["command"]
        while command != "GET the end":
            reads += command.startswith("GET p:")
            command = monitor.next_command()["command"]
    return reads


def test_a_rule_lasts_as_long_as_its_longest_variant(
    edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
) -> None:
    origin.script("/cat", in_language("en"), in_language("de"), in_language("fr", **{"Cache-Control": "max-age=1"}))
    ask(edge, EN)
    store.expire(variants.home, 5)
    ask(edge, DE)
    longest_s = store.ttl(variants.home)
    assert longest_s >= store.ttl(variants.key(DE)) - 1
    ask(edge, FR)
    assert longest_s - 60 <= store.ttl(variants.home) <= longest_s


def test_a_better_latent_replaces_that_of_its_variant(valkey: EmbeddedValkey, origin: ScriptedOrigin) -> None:
    origin.script("/cat", in_language("en"), in_language("de"))
    settings = read_settings(origin=origin.url, redis_url=valkey.url, refine=STEPS)
    with (
        redis.Redis.from_url(valkey.url) as store,
        writes_to(store, KEY_PREFIX + b"*") as written,
        running_edge(settings) as refining,
    ):
        first = [ask(refining, asked).headers["etag"] for asked in (EN, DE)]
        variants = Variants(store, origin)
        while {variants.record(asked).refinement for asked in (EN, DE)} != {STEPS}:
            written()
        again = [ask(refining, asked) for asked in (EN, DE)]
    assert [told(one) for one in again] == [HIT, HIT]
    assert len({*first, *(one.headers["etag"] for one in again)}) == 4


def test_a_variant_is_encoded_when_it_is_asked_for_again(
    origin: ScriptedOrigin, session_valkey: EmbeddedValkey
) -> None:
    """EDGE_ADMISSION_S counts requests by variant: demand for one does not admit another."""
    origin.script("/cat", *[in_language("en")] * 2, *[in_language("de")] * 2)
    url = own_store(session_valkey, 8)
    with running_edge(read_settings(origin=origin.url, redis_url=url, admission_s=600)) as choosy:
        outcomes = [told(ask(choosy, asked)) for asked in (EN, EN, EN, DE, DE, DE)]
    not_yet = "latentedge; fwd={}; detail=not-admitted"
    assert outcomes == [not_yet.format("uri-miss"), MISS, HIT, not_yet.format("vary-miss"), VARY_MISS, HIT]


class TestARuleThatChanges:
    def test_the_picture_varies_by_one_more_field(
        self, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants
    ) -> None:
        """The latest Vary counts; variants that were stored under the previous rule are fetched again."""
        more = in_language("de", Vary="Accept-Language, DPR")
        origin.script("/cat", in_language("en"), more, more, in_language("en", Vary="DPR, Accept-Language"))
        assert [told(ask(edge, asked)) for asked in (EN, DE)] == [MISS, VARY_MISS]
        assert variants.rule.names == ("accept-language", "dpr")
        assert [told(ask(edge, {**DE, "DPR": dpr})) for dpr in ("2", "2")] == [VARY_MISS, HIT]
        assert [told(ask(edge, asked)) for asked in (EN, EN, DE)] == [VARY_MISS, HIT, HIT]

    def test_the_picture_no_longer_varies(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
    ) -> None:
        plain = Reply(in_language("de").body, headers={"Cache-Control": "max-age=600"})
        origin.script("/cat", in_language("en"), plain)
        assert [told(ask(edge, asked)) for asked in (EN, DE, EN, FR)] == [MISS, VARY_MISS, HIT, HIT]
        assert ask(edge, EN).headers["vary"] == "Accept"
        assert variants.home in stored_keys(store)

    def test_a_304_changes_the_vary_rule(self, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants) -> None:
        """RFC 9111 3.2: a 304 updates the stored fields, Vary included."""
        more = {**BY_LANGUAGE, "Vary": "Accept-Language, DPR"}
        origin.script("/cat", in_language("en"), Reply(status=304, headers=more), in_language("en", Vary=more["Vary"]))
        ask(edge, EN)
        variants.age(EN, 601)
        assert [told(ask(edge, asked)) for asked in (EN, EN, {**EN, "DPR": "2"})] == [VALIDATED, HIT, VARY_MISS]
        assert ask(edge, EN).headers["vary"] == "Accept-Language, DPR, Accept"

    def test_a_picture_begins_to_vary(self, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants) -> None:
        plain = Reply(in_language("en").body, headers={"Cache-Control": "max-age=0", "ETag": '"en"'})
        origin.script("/cat", plain, in_language("de"), in_language("en"))
        ask(edge, EN)
        assert told(ask(edge, DE)) == "latentedge; fwd=stale; fwd-status=200; stored"
        assert [told(ask(edge, asked)) for asked in (EN, DE)] == [VARY_MISS, HIT]
        assert variants.rule.names == ("accept-language",)


class TestStaleVariants:
    def test_a_variant_is_validated_by_its_own_validator(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
    ) -> None:
        origin.script("/cat", in_language("en"), in_language("de"), Reply(status=304))
        for asked in (EN, DE):
            ask(edge, asked)
        encoded, before = encodes(edge), variants.record(DE)
        variants.age(DE, 601)
        store.expire(variants.home, 5)  # as if all that is left were an old rule
        assert [told(ask(edge, asked)) for asked in (EN, DE, DE)] == [HIT, VALIDATED, HIT]
        validation = origin.requests[-1].headers
        assert (validation["If-None-Match"], validation["accept-language"]) == ('"de"', "de")
        assert encodes(edge) == encoded
        assert variants.record(DE).bitstream == before.bitstream
        assert store.ttl(variants.home) >= store.ttl(variants.key(DE)) - 1, "nobody would find it"

    def test_a_stale_variant_is_served_while_it_is_revalidated(
        self, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants
    ) -> None:
        control = "max-age=600, stale-while-revalidate=600"
        validation = gated(Reply(status=304))
        replies = [in_language(one, **{"Cache-Control": control}) for one in ("en", "de")]
        origin.script("/cat", *replies, validation)
        tags = [ask(edge, asked).headers["etag"] for asked in (EN, DE)]
        variants.age(DE, 601)
        shown = ask(edge, DE)
        assert shown.headers["cache-status"].endswith("detail=stale-while-revalidate")
        assert shown.headers["etag"] == tags[1]
        assert told(ask(edge, EN)) == HIT
        assert validation.arrived.wait(LIMIT_S)
        opened(validation)

    def test_a_stale_variant_is_served_on_error_to_its_own_clients_only(
        self, edge: RunningEdge, origin: ScriptedOrigin, variants: Variants
    ) -> None:
        origin.script("/cat", in_language("en"), in_language("de"), *[Reply(status=503)] * 2)
        tags = [ask(edge, asked).headers["etag"] for asked in (EN, DE)]
        variants.age(DE, 601)
        shown = ask(edge, DE)
        assert shown.headers["cache-status"].endswith("detail=stale-if-error")
        assert shown.headers["etag"] == tags[1]
        assert ask(edge, FR).status_code == 503

    def test_only_the_variant_that_has_become_private_is_removed(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
    ) -> None:
        """Varnish's hit-for-miss for one variant: its requests do not wait, and the other variants stay stored."""
        private = in_language("de", **{"Cache-Control": "private"})
        origin.script("/cat", in_language("en"), *[private] * 2)
        ask(edge, EN)
        assert [told(ask(edge, asked)) for asked in (DE, DE, EN)] == [
            *["latentedge; fwd=vary-miss; detail=private"] * 2,
            HIT,
        ]
        assert store.get(lease_key(variants.key(DE))) == b"passed"


class TestErrors:
    def test_a_404_for_one_language_does_not_hide_another(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis
    ) -> None:
        """In either order of requests."""
        missing = Reply(status=404, headers=BY_LANGUAGE)
        origin.script("/cat", in_language("en"), missing)
        origin.script("/dog", missing, in_language("en"))
        for path, order in (("/image/cat", (EN, DE)), ("/image/dog", (DE, EN))):
            answers = [ask(edge, asked, path) for asked in (*order, EN, DE, EN)]
            assert [one.status_code for one in answers[2:]] == [200, 404, 200]
            assert answers[3].headers["cache-status"].startswith("latentedge; hit")
        assert len(stored_keys(store)) == 6

    def test_an_error_with_another_vary_removes_no_variant(self, edge: RunningEdge, origin: ScriptedOrigin) -> None:
        other = Reply(status=404, headers={**BY_LANGUAGE, "Vary": "DPR"})
        origin.script("/cat", in_language("en"), *[other] * 2)
        assert [ask(edge, asked).status_code for asked in (EN, DE, DE, EN)] == [200, 404, 404, 200]

    def test_a_damaged_rule_is_a_miss(
        self, edge: RunningEdge, origin: ScriptedOrigin, store: redis.Redis, variants: Variants
    ) -> None:
        origin.script("/cat", in_language("en"), in_language("de"), in_language("en"))
        ask(edge, EN)
        held = store.get(variants.home)
        assert isinstance(held, bytes)
        store.set(variants.home, held[:-1] + b"?", ex=600)
        german = ask(edge, DE)
        assert german.headers["cache-status"].endswith("detail=damaged-record")
        assert [told(ask(edge, asked)) for asked in (DE, EN, EN)] == [HIT, VARY_MISS, HIT]


class TestWhatReachesTheOrigin:
    def test_no_field_value_makes_the_origin_seem_unreachable(self, edge: RunningEdge, origin: ScriptedOrigin) -> None:
        """The HTTP server keeps the space after a value, which h11 would refuse to send to the origin."""
        origin.script("/cat", in_language("en"))
        odd = b"GET /image/cat HTTP/1.1\r\nHost: edge\r\nFoo: 1 \t\r\nBar: \xfc\r\nBaz:\r\nConnection: close\r\n\r\n"
        host, port = edge.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client, client.makefile("rb") as answer:
            client.sendall(odd)
            assert answer.readline().startswith(b"HTTP/1.1 200")
        assert {name.lower(): value for name, value in origin.requests[0].headers.items()}["foo"] == "1"

    def test_fields_of_the_client_replace_those_of_the_edge(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", Reply(photo, headers=BY_LANGUAGE))
        origin.script("/dog", Reply(photo, headers=BY_LANGUAGE))
        ask(edge, [("Foo", "1"), ("Foo", "2"), ("User-Agent", "a browser"), ("Accept", "image/png"), ("Cookie", "x=1")])
        edge.client.send(httpx.Request("GET", f"{edge.url}/image/dog"))
        said, unsaid = ({name.lower(): value for name, value in one.headers.items()} for one in origin.requests)
        assert said["user-agent"] == "a browser"
        assert said["accept"] == unsaid["accept"] == "image/*, application/vnd.latentedge"
        assert unsaid["user-agent"] == "latentedge"
        assert "cookie" not in said

    def test_too_many_or_too_long_fields_are_refused_before_the_origin_is_asked(
        self, edge: RunningEdge, origin: ScriptedOrigin, photo: bytes
    ) -> None:
        origin.script("/cat", Reply(photo, headers=BY_LANGUAGE))
        answer = ask(edge, {"Foo": "x" * 8192})
        assert answer.status_code == 431
        assert answer.headers["content-type"] == "application/problem+json"
        assert told(ask(edge, {"Cookie": "x" * 8192})) == MISS

    @pytest.mark.parametrize(
        ("forward", "stored", "reaches"),
        [("none", False, set()), ("dpr", False, {"dpr"}), ("accept-language", True, {"accept-language"})],
    )
    def test_only_the_fields_of_the_setting_are_forwarded(
        self, origin: ScriptedOrigin, session_valkey: EmbeddedValkey, forward: str, stored: object, reaches: set[str]
    ) -> None:
        """A picture that varies by a field that is not forwarded is not stored."""
        origin.script("/cat", in_language("en"))
        url = own_store(session_valkey, 9)
        with running_edge(read_settings(origin=origin.url, redis_url=url, forward=forward)) as edge:
            answer = ask(edge, {**EN, "DPR": "2", "Foo": "1"})
        assert told(answer) == (MISS if stored else "latentedge; fwd=uri-miss; detail=vary")
        assert {name.lower() for name in origin.requests[0].headers} & {"accept-language", "dpr", "foo"} == reaches
