"""Every setting of the edge, once: name, default, unit, help. All faults of the environment are reported together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models.cpu.kernels import parse_formats
from service.errors import SettingsError
from service.records.record import REFINEMENT_CAP
from service.rules.forwarding import Forward, read_forward
from service.rules.negative_ttls import NegativeTtls, read_negative_ttls
from service.settings.addresses import read_origin, read_parent, read_store
from service.settings.quality import Quality, read_quality
from service.settings.refine_for import read_refine_for

PREFIX = "EDGE_"
Device = Literal["auto", "cpu", "cuda"]
Head = Literal["auto", "cpu", "gpu"]
LostHead = Literal["cpu", "same"]
Decoder = Literal["auto", "thread", "process"]
Miss = Literal["latent", "source"]


def _setting(default: Any, unit: str, sentence: str, **bounds: Any) -> Any:  # noqa: ANN401  (Field's own types)
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **bounds)


def _token(token: str) -> str:
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ValueError("must be printable ASCII without spaces around it")
    return token


def _kernels(text: str) -> str:
    parse_formats(text)
    return text


def _quality(value: object) -> Quality | None:
    return None if value is None else read_quality(value)


def _refine_for(text: str) -> str:
    read_refine_for(text)
    return text


class Settings(BaseSettings):
    """One edge. A time or a size of 0 turns its feature off."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    origin: Annotated[str, AfterValidator(read_origin)] = _setting(
        ..., "address", "Where the pictures come from; an id is appended to it. Required."
    )
    parent: Annotated[str, AfterValidator(read_parent)] = _setting(
        "",
        "address",
        "Another edge. It is asked for its latents before the origin is asked for the picture; empty: none.",
    )
    parent_timeout_s: float = _setting(10.0, "s", "Time for one whole answer of the parent.", gt=0, le=600)
    parent_retry_s: float = _setting(
        1.0, "s", "How long a parent that is down or too slow is left alone.", ge=0, le=3600
    )
    redis_url: Annotated[str, AfterValidator(read_store)] = _setting(
        "", "address", "The Redis or Valkey to use, redis+cluster:// for a cluster; empty starts an embedded Valkey."
    )
    store_bytes: int = _setting(256 * 2**20, "bytes", "Memory of the embedded Valkey.", ge=4 * 2**20)
    admin_token: Annotated[str, AfterValidator(_token)] = _setting(
        "", "text", "A client that sends it as `Authorization: Bearer` may purge; empty: nobody may."
    )
    store_timeout_s: float = _setting(1.0, "s", "A slower answer of the store counts as none.", gt=0, le=60)
    store_retry_s: float = _setting(1.0, "s", "How long a store that timed out is left alone.", ge=0, le=3600)
    device: Device = _setting("auto", "name", "Where the networks run: auto, cpu or cuda.")
    head: Head = _setting(
        "auto", "name", "The network that makes the 344 picture: cpu (light) or gpu (better); auto: by the device."
    )
    lost_head: LostHead = _setting(
        "cpu",
        "name",
        "The network that makes the 344 picture after the GPU has failed: cpu (light), or same (as before).",
    )
    decoder: Decoder = _setting(
        "auto",
        "name",
        "Where the codec runs: on a thread of each worker, or in one process for all; auto: process with a GPU.",
    )
    kernels: Annotated[str, AfterValidator(_kernels)] = _setting(
        "auto",
        "formats",
        "Number formats of the codec's products: auto (measured at start), float32, bfloat16, or"
        " exact=int8,heads=float32,analysis=bfloat16; formats that a list leaves out are measured.",
    )
    weights: FilePath | None = _setting(None, "path", "A weights file other than the released one.")
    previous_weights: FilePath | None = _setting(
        None, "path", "The weights file that was in use before: its latents in the store are still served."
    )
    reencode_per_minute: float = _setting(
        60.0,
        "pictures",
        "With EDGE_PREVIOUS_WEIGHTS: latents that each worker encodes anew after a hit, at most; 0: none.",
        ge=0,
        le=1e6,
    )
    foreign_hold_s: int = _setting(
        3600,
        "s",
        "How long after its encode a latent of weights that this edge cannot read is left in the store; "
        "0: overwritten at once.",
        ge=0,
        le=2**31,
    )
    quality: Annotated[Quality | None, NoDecode, BeforeValidator(_quality)] = _setting(
        None,
        "0..63 or auto:0..100",
        "Quality of new latents; empty: the weights' own; auto:70: for each picture the lowest with SSIMULACRA2 70.",
    )
    refine: int = _setting(
        0,
        "steps",
        "Search for a better latent after a miss, while no request waits: 40 on a processor, 400 on a GPU; 0: none.",
        ge=0,
        le=REFINEMENT_CAP,
    )
    refine_for: Annotated[str, AfterValidator(_refine_for)] = _setting(
        "auto",
        "heads",
        "The heads whose pictures the search improves, such as high-gpu=0.55,high-cpu=0.45,medium=0.2; "
        "auto: the head in use.",
    )
    refine_batch: int = _setting(
        16, "pictures", "Most pictures searched for together on a GPU; on a processor one.", ge=1, le=1024
    )
    refine_items: int = _setting(64, "pictures", "Searches that may wait; beyond it a latent stays as it is.", ge=1)
    # One: measured, two threads on two busy processors wait for each other and take 20 times as long. More workers
    # use more processors better.
    threads: int = _setting(1, "threads", "Threads of one worker's networks.", ge=1, le=1024)
    queue_items: int = _setting(
        512,
        "pictures",
        "Decodes that may wait, and encodes; beyond it a hit is answered with 503, a miss with the source's pixels.",
        ge=1,
    )
    queue_wait_s: float = _setting(
        1.0,
        "s",
        "Longest expected wait for the codec; beyond it a hit is answered with 503, a miss with the source's pixels; "
        "0: no limit.",
        ge=0,
    )
    waiters: int = _setting(
        4096, "requests", "Requests that may wait for the fetch of another one; beyond it the edge answers 503.", ge=1
    )
    hot_bytes: int = _setting(
        64 * 2**20, "bytes", "Memory of each worker for finished files; 0: every request is a decode.", ge=0
    )
    batch_items: int = _setting(
        16, "pictures", "Most pictures synthesised in one call; on a processor one.", ge=1, le=1024
    )
    miss: Miss = _setting(
        "latent", "name", "What first clients get: latent, after its encode; or source, resized at once."
    )
    miss_items: int = _setting(
        64,
        "pictures",
        "With EDGE_MISS=source: encodes that may wait; beyond it a picture is not stored this time.",
        ge=1,
    )
    admission_s: int = _setting(
        0,
        "s",
        "Encode a picture only when it is asked for a second time within this many seconds; 0: encode every picture.",
        ge=0,
        le=2**31,
    )
    default_ttl_s: int = _setting(
        3600, "s", "Freshness lifetime where the origin names none; 0: never fresh.", ge=0, le=2**31
    )
    min_ttl_s: int = _setting(
        0, "s", "Least freshness lifetime of a picture that may be stored, whatever the origin says.", ge=0, le=2**31
    )
    max_ttl_s: int = _setting(0, "s", "Greatest freshness lifetime, whatever the origin says.", ge=0, le=2**31)
    heuristic_fraction: float = _setting(
        0.0, "share", "Without a lifetime, this share of the time since Last-Modified (RFC 9111 4.2.2).", ge=0, le=1
    )
    ttl_jitter: float = _setting(
        0.0, "share", "A lifetime that the origin did not name is shortened at random by up to this share.", ge=0, le=1
    )
    swr_s: int = _setting(
        0,
        "s",
        "How long a stale picture is shown during its validation, where the origin does not say.",
        ge=0,
        le=2**31,
    )
    sie_s: int = _setting(
        86400, "s", "How long a stale picture is shown while the origin fails, where it does not say.", ge=0, le=2**31
    )
    hold_off_s: float = _setting(
        1.0,
        "s",
        "How long after a failure of the origin a stale picture is shown without asking again.",
        ge=0,
        le=3600,
    )
    negative_ttl_s: Annotated[NegativeTtls, NoDecode, BeforeValidator(read_negative_ttls)] = _setting(
        NegativeTtls((("404", 60), ("410", 60))),
        "s by status",
        "How long errors are remembered where the origin does not say; 404=60,5xx=2 by status or class; 0: not at all.",
    )
    forward: Annotated[Forward, NoDecode, BeforeValidator(read_forward)] = _setting(
        Forward(),
        "fields",
        "Fields of a client's request that reach the origin, separated by commas; all: every field except those that "
        "are withheld, such as secrets; none: no field.",
    )
    origin_timeout_s: float = _setting(10.0, "s", "Time for one whole fetch from the origin.", gt=0, le=600)
    source_bytes: int = _setting(
        20_000_000, "bytes", "Largest file that the edge accepts from the origin.", ge=1, le=2**31
    )
    source_pixels: int = _setting(
        64_000_000, "pixels", "Largest picture that the edge accepts from the origin.", ge=1, le=2**31
    )
    admin_port: int = _setting(
        0, "port", "Port of health, metrics, figures and the page; 0: the picture port.", ge=0, le=65535
    )
    access_log: float = _setting(
        0.0, "share", "Share of requests that get a JSON line on stdout; above 0, every 5xx gets one.", ge=0, le=1
    )
    drain_delay_s: float = _setting(
        0.0,
        "s",
        "How long after SIGTERM the edge accepts new requests although it is not ready any more.",
        ge=0,
        le=3600,
    )
    drain_s: int = _setting(
        30, "s", "How long requests and fills under way may take after that, before they are cut.", ge=0, le=3600
    )

    @model_validator(mode="after")
    def _has_a_range_of_lifetimes(self) -> Self:
        if 0 < self.max_ttl_s < self.min_ttl_s:
            raise ValueError("EDGE_MIN_TTL_S must not be above EDGE_MAX_TTL_S")
        return self

    def environment(self) -> dict[str, str]:
        """Return these settings as environment variables, for the workers."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {PREFIX + name.upper(): str(value) for name, value in values if value is not None}


@dataclass(frozen=True)
class SettingRow:
    """A row of the table in docs/operations.md."""

    name: str
    default: str
    unit: str
    help: str


def table() -> list[SettingRow]:
    """Return the rows of all settings, in the order in which they are declared."""
    rows = []
    for name, field in Settings.model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra["unit"]) if isinstance(extra, dict) else ""
        default = "" if field.is_required() or field.default is None else str(field.default)
        rows.append(SettingRow(name=PREFIX + name.upper(), default=default, unit=unit, help=field.description or ""))
    return rows


def read_settings(**given: object) -> Settings:
    """Read the settings from the environment; `given` overrides it. Raises SettingsError with every fault."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        # The values stay out of the message: an address may hold a password.
        raise SettingsError(
            [f"{_variable(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()]
        ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + str(location[0]).upper() if location else PREFIX.rstrip("_")
