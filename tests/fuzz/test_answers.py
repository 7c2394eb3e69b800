"""Whatever an origin says of its answers: they are judged without an error, strictly, and what is kept can be read."""

from dataclasses import replace
from typing import cast

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.answer import Answer
from service.metrics.outcomes import Outcome
from service.metrics.timings import Timings
from service.reason import Reason
from service.records.latent_facts import read_facts, write_facts
from service.records.negative_cache import NegativeCache
from service.records.purge_table import PurgeTable
from service.records.record import ETAG_CAP_BYTES, all_fit, fits, pack, unpack
from service.records.store_keys import record_key
from service.rules import freshness, response_age
from service.rules.cache_control import (
    LONGEST_S,
    CacheControl,
    parse_cache_control,
    parse_cdn_cache_control,
    write_cache_control,
)
from service.rules.freshness import FreshnessRules
from service.rules.origin_refused import OriginRefused
from service.rules.redirects import apply_redirects, tag_for_clients, tag_for_target, tag_of_target
from service.rules.response_fields import ResponseFields
from service.store.latent_store import LatentStore
from service.web import responses
from tests.fuzz import past_faults as past
from tests.fuzz.drawn import NOW_S, REDIRECTS, answers, field
from tests.service.test_record import SAMPLE

KEY = record_key("cat", origin="http://o")
RULES = FreshnessRules(default_ttl_s=3600, heuristic_fraction=0.1, ttl_jitter=0.5, stale_if_error_s=86400)
PICTURES = answers(st.sampled_from([200, 203, 201, 226]))
REFUSALS = answers(st.integers(300, 599))
"""Of a whole chain nothing is weaker than of a part of it."""
BINDING: set[Reason | None] = {Reason.NO_STORE, Reason.PRIVATE, Reason.VARY}


@given(PICTURES, REDIRECTS, st.floats(0, 1))
def test_every_picture_is_judged(answer: ResponseFields, redirects: tuple[ResponseFields, ...], draw: float) -> None:
    fields = apply_redirects(replace(response_age.with_date(answer), redirects=redirects), RULES)
    judged = freshness.storage(fields, RULES, draw=draw)
    assert 0 <= judged.lifetime_s <= LONGEST_S
    assert 0 <= judged.stale_while_revalidate_s <= LONGEST_S
    assert 0 <= judged.stale_if_error_s <= LONGEST_S
    for hop in (answer, *redirects):
        if freshness.storage(response_age.with_date(hop), RULES).obstacle in BINDING:
            assert judged.obstacle is not None, "what forbids the store on the way was lost"
    check_sendable(fields)


@given(PICTURES, REDIRECTS)
def test_no_chain_is_fresh_for_longer_than_one_of_its_answers(
    answer: ResponseFields, redirects: tuple[ResponseFields, ...]
) -> None:
    fields = apply_redirects(replace(response_age.with_date(answer), redirects=redirects), RULES)
    left_s = freshness.storage(fields, RULES).lifetime_s - response_age.initial_age_s(fields)
    for hop in map(response_age.with_date, (answer, *redirects)):
        targeted = parse_cdn_cache_control(hop.passed.cdn_cache_control)
        control = parse_cache_control(hop.passed.cache_control) if targeted is None else targeted
        said_s = freshness.explicit_lifetime_s(freshness.Applicable(control, targeted=targeted is not None), hop)
        if said_s is not None:
            assert max(0.0, left_s) <= max(0.0, said_s - response_age.initial_age_s(hop)) + 1


def check_sendable(fields: ResponseFields) -> None:
    """A client that is strict reads what is passed on."""
    answer = Answer(
        outcome=Outcome.MISS,
        media_type="image/jpeg",
        body=b"x",
        length_bytes=1,
        passed=fields.passed,
        age=fields.age,
        entity_tag=tag_for_clients(fields.etag),
        tags=fields.tags,
    )
    reply = responses.picture(answer, Timings(), negotiated=True)
    h11.Response(status_code=200, headers=list(reply.headers))


@given(PICTURES)
def test_what_fits_a_record_comes_back_from_it(answer: ResponseFields) -> None:
    fields = response_age.with_date(answer)
    record = replace(
        SAMPLE,
        born_ms=response_age.born_ms(fields),
        passed=fields.passed,
        status=fields.status,
        origin_etag=fields.etag if fits(fields.etag, ETAG_CAP_BYTES) else "",
    )
    if all_fit(record.passed):
        assert unpack(pack(record, KEY), KEY) == record, "another record"


@given(REFUSALS)
def test_every_error_is_judged_and_comes_back_as_it_was(answer: ResponseFields) -> None:
    negative = NegativeCache(cast("LatentStore", None), RULES, now=lambda: NOW_S)
    refused = OriginRefused(answer.status, answer)
    value, left_s = negative.pack(KEY, refused, generation=7)
    assert 0 <= left_s <= LONGEST_S or not value
    reply = responses.problem(refused, negotiated=True, head=False)
    h11.Response(status_code=int(reply.status), headers=list(reply.headers))
    if value:
        with pytest.raises(OriginRefused) as remembered:
            negative.recall(value, KEY, PurgeTable())
        assert remembered.value.status == answer.status
        assert remembered.value.fields.error_fields == answer.error_fields


@pytest.mark.parametrize("text", past.CACHE_CONTROL)
def test_past_directives(text: str) -> None:
    check_directives(text)


@given(field(*past.CACHE_CONTROL))
def test_directives_mean_the_same_when_they_are_written_again(text: str) -> None:
    check_directives(text)


def check_directives(text: str) -> None:
    for control in (parse_cache_control(text), parse_cdn_cache_control(text)):
        if control is not None and control != CacheControl():
            written = write_cache_control(control)
            assert parse_cache_control(written) == parse_cdn_cache_control(written) == control


@given(field(*past.ENTITY_TAGS), st.text(max_size=20), st.text(max_size=20))
def test_a_tag_of_one_target_is_never_said_to_another(etag: str, one: str, other: str) -> None:
    stored = tag_of_target(etag, one)
    assert tag_for_target(stored, one) in {"", etag}
    assert one == other or tag_for_target(stored, other) == ""
    assert not tag_for_clients(stored) or not one


@pytest.mark.parametrize("text", past.FACTS)
def test_past_facts(text: str) -> None:
    check_facts(text)


@given(field(*past.FACTS))
def test_facts_are_whole_or_none(text: str) -> None:
    check_facts(text)


def check_facts(text: str) -> None:
    facts = read_facts(text)
    assert facts is None or read_facts(write_facts(facts)) == facts
