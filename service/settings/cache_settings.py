"""What is stored, for how long it is fresh, and when it is served stale."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator
from pydantic_settings import NoDecode

from service.rules.forwarding import Forward, read_forward
from service.rules.negative_ttls import NegativeTtls, read_negative_ttls
from service.settings.setting_field import setting

Miss = Literal["latent", "source"]


class CacheSettings(BaseModel):
    """Settings of what is stored, how long it is fresh, and when it is served stale."""

    miss: Miss = setting(
        "latent",
        "name",
        "How a miss is answered: latent (the picture is encoded, and the response is decoded from the latent, like a "
        "later hit) or source (at once with the origin's picture, resized, while the encode runs in the background).",
    )
    miss_items: int = setting(
        64,
        "pictures",
        "With EDGE_MISS=source: maximum number of pictures that wait for their encode. Further ones are served but not "
        "stored.",
        ge=1,
    )
    admission_s: int = setting(
        0,
        "s",
        "Encode and store a picture only at its second request within this many seconds. 0: at its first request.",
        ge=0,
        le=2**31,
    )
    demote: float = setting(
        0.0,
        "share",
        "Above this share of the store's maxmemory, such as 0.8, cold records are demoted in the background: their "
        "latent is replaced by a medium one of fewer bytes, and their 344 picture is generated. 0: off.",
        ge=0,
        lt=1,
    )
    demote_per_minute: float = setting(
        120.0,
        "pictures",
        "With EDGE_DEMOTE: maximum number of records per minute that are demoted, by all edges of the store together.",
        gt=0,
        le=1e6,
    )
    refill_requests: int = setting(
        2,
        "requests",
        "A demoted picture is fetched again after this many requests to a worker, within an hour, for its 344 picture. "
        "0: never.",
        ge=0,
        le=1_000_000,
    )
    generated_ttl_s: int = setting(
        60, "s", "Maximum freshness lifetime of a generated picture for clients.", ge=0, le=2**31
    )
    default_ttl_s: int = setting(
        3600, "s", "Freshness lifetime of a picture if the origin names none. 0: stale at once.", ge=0, le=2**31
    )
    min_ttl_s: int = setting(
        0,
        "s",
        "Minimum freshness lifetime of a picture that may be stored. It overrides a shorter lifetime of the origin. "
        "0: no minimum.",
        ge=0,
        le=2**31,
    )
    max_ttl_s: int = setting(
        0,
        "s",
        "Maximum freshness lifetime, even if the origin names a longer one. 0: no maximum.",
        ge=0,
        le=2**31,
    )
    heuristic_fraction: float = setting(
        0.0,
        "fraction",
        "If the origin names no lifetime, use this fraction of the time since Last-Modified (RFC 9111 4.2.2). 0: off, "
        "EDGE_DEFAULT_TTL_S applies.",
        ge=0,
        le=1,
    )
    ttl_jitter: float = setting(
        0.0,
        "fraction",
        "Shorten each lifetime that the origin does not name by a random fraction, up to this one, so that pictures do "
        "not all become stale at once. 0: off.",
        ge=0,
        le=1,
    )
    swr_s: int = setting(
        0,
        "s",
        "How long after its lifetime a stale picture is served while it is revalidated, if the origin does not send "
        "stale-while-revalidate. 0: not at all.",
        ge=0,
        le=2**31,
    )
    sie_s: int = setting(
        86400,
        "s",
        "How long after its lifetime a stale picture is served while the origin fails, if the origin does not send "
        "stale-if-error. 0: not at all.",
        ge=0,
        le=2**31,
    )
    stale_wait_s: float = setting(
        1.0,
        "s",
        "How long a request waits for the validation of a stale picture that may be served while the origin fails. "
        "Then it gets the stale picture, and the validation goes on. 0: until the validation ends.",
        ge=0,
        le=600,
    )
    hold_off_s: float = setting(
        1.0,
        "s",
        "Back-off after a failed revalidation: for this long, the stale picture is served without a request to the "
        "origin. 0: no back-off.",
        ge=0,
        le=3600,
    )
    negative_ttl_s: Annotated[NegativeTtls, NoDecode, BeforeValidator(read_negative_ttls)] = setting(
        NegativeTtls((("404", 60), ("410", 60))),
        "s by status",
        "Lifetimes of negative cache entries if the origin names none, by status or class of statuses, such as "
        "404=60,5xx=2. 0: no negative caching.",
    )
    forward: Annotated[Forward, NoDecode, BeforeValidator(read_forward)] = setting(
        Forward(),
        "fields",
        "Names of request fields that the edge forwards to the origin, separated by commas. all: every field except "
        "hop-by-hop fields and fields that may carry secrets, identify a client or select another resource. none: no "
        "field.",
    )
