"""All settings of the edge: name, default, unit and help. All faults of the environment are reported together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, ValidationError, model_validator
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
LogLevel = Literal["debug", "info", "warning", "error"]


def _setting(default: Any, unit: str, sentence: str, **bounds: Any) -> Any:  # noqa: ANN401  (Field's own types)
    return Field(default, description=sentence, json_schema_extra={"unit": unit}, **bounds)


def _token(secret: SecretStr) -> SecretStr:
    token = secret.get_secret_value()
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ValueError("must be printable ASCII without spaces around it")
    return secret


Token = Annotated[SecretStr, AfterValidator(_token)]
"""A secret. Neither logs nor statistics show it."""
NO_TOKEN = SecretStr("")


def _kernels(text: str) -> str:
    parse_formats(text)
    return text


def _quality(value: object) -> Quality | None:
    return None if value is None else read_quality(value)


def _refine_for(text: str) -> str:
    read_refine_for(text)
    return text


class Settings(BaseSettings):
    """The settings of one edge. A time or a size of 0 turns its feature off."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    origin: Annotated[str, AfterValidator(read_origin)] = _setting(
        ..., "address", "The address of the origin. The image id is appended to it. Required."
    )
    parent: Annotated[str, AfterValidator(read_parent)] = _setting(
        "",
        "address",
        "The address of a parent edge. It is asked for a latent before the origin is asked for the picture. "
        "Empty: no parent.",
    )
    parent_token: Token = _setting(
        NO_TOKEN, "text", "The token that the edge sends to its parent: the parent's EDGE_LATENT_TOKEN."
    )
    parent_timeout_s: float = _setting(10.0, "s", "Timeout of a whole fetch from the parent.", gt=0, le=600)
    parent_retry_s: float = _setting(
        1.0, "s", "Back-off of a parent that was down or too slow: it is not asked for this long.", ge=0, le=3600
    )
    redis_url: Annotated[str, AfterValidator(read_store)] = _setting(
        "",
        "address",
        "The Redis or Valkey to use, with redis+cluster:// for a cluster. Empty: the edge starts an embedded Valkey.",
    )
    store_bytes: int = _setting(256 * 2**20, "bytes", "Memory of the embedded Valkey.", ge=4 * 2**20)
    latent_token: Token = _setting(
        NO_TOKEN,
        "text",
        "The token for `/latent/<id>`, sent as `Authorization: Bearer` by child edges. Empty: no latents are served.",
    )
    admin_token: Token = _setting(
        NO_TOKEN, "text", "The token for purges, which clients send as `Authorization: Bearer`. Empty: purging is off."
    )
    store_timeout_s: float = _setting(1.0, "s", "Timeout of a store command.", gt=0, le=60)
    store_retry_s: float = _setting(
        1.0, "s", "Back-off of a store that timed out: it is not asked for this long.", ge=0, le=3600
    )
    device: Device = _setting("auto", "name", "The device of the networks: auto, cpu or cuda.")
    head: Head = _setting(
        "auto",
        "name",
        "The network that decodes the 344 picture: cpu (light), gpu (better), or auto, which follows the device.",
    )
    lost_head: LostHead = _setting(
        "cpu",
        "name",
        "The network that decodes the 344 picture after the GPU has failed: cpu (light), or same (as before).",
    )
    decoder: Decoder = _setting(
        "auto",
        "name",
        "Where the codec runs: on a thread of each worker, in one process for all workers, or auto, which takes the "
        "process if there is a GPU.",
    )
    kernels: Annotated[str, AfterValidator(_kernels)] = _setting(
        "auto",
        "formats",
        "Number formats of the codec's products: auto (the fastest, measured at start), float32, bfloat16, or a list "
        "such as exact=int8,heads=float32,analysis=bfloat16. Formats missing from the list are measured.",
    )
    weights: FilePath | None = _setting(None, "path", "A weights file. Empty: the released weights.")
    previous_weights: FilePath | None = _setting(
        None, "path", "The previous weights file. Its latents in the store are still decoded and served."
    )
    reencode_per_minute: float = _setting(
        60.0,
        "pictures",
        "With EDGE_PREVIOUS_WEIGHTS: maximum number of latents that a worker re-encodes a minute, after hits. 0: none.",
        ge=0,
        le=1e6,
    )
    foreign_hold_s: int = _setting(
        3600,
        "s",
        "How long after its encode a latent of unknown weights stays in the store. 0: it is overwritten at once.",
        ge=0,
        le=2**31,
    )
    quality: Annotated[Quality | None, NoDecode, BeforeValidator(_quality)] = _setting(
        None,
        "0..63 or auto:0..100",
        "Quality of new latents. auto:70 chooses for each picture the lowest quality that scores SSIMULACRA2 70. "
        "Empty: the default of the weights.",
    )
    refine: int = _setting(
        0,
        "steps",
        "Steps of the search for a better latent, which runs after a miss while the codec is idle. Recommended: 40 on "
        "a CPU, 400 on a GPU. 0: no search.",
        ge=0,
        le=REFINEMENT_CAP,
    )
    refine_for: Annotated[str, AfterValidator(_refine_for)] = _setting(
        "auto",
        "heads",
        "The heads whose pictures the search improves, with weights such as "
        "high-gpu=0.55,high-cpu=0.45,medium=0.2. auto: the head in use.",
    )
    refine_batch: int = _setting(
        16, "pictures", "Maximum number of pictures in one search on a GPU. On a CPU it is one.", ge=1, le=1024
    )
    refine_items: int = _setting(
        64, "pictures", "Maximum number of searches that may wait. Further pictures keep their first latent.", ge=1
    )
    # Measured: two threads on two busy cores wait for each other and take 20 times as long. More workers use more
    # cores better.
    threads: int = _setting(1, "threads", "Threads for the networks of each worker.", ge=1, le=1024)
    queue_items: int = _setting(
        512,
        "pictures",
        "Maximum number of waiting decodes, and as many encodes. Beyond it, a hit gets 503, and a miss the resized "
        "source.",
        ge=1,
    )
    queue_wait_s: float = _setting(
        1.0,
        "s",
        "Maximum expected wait for the codec. Beyond it, a hit is answered with 503, and a miss with the resized "
        "source. 0: no limit.",
        ge=0,
    )
    waiters: int = _setting(
        4096,
        "requests",
        "Maximum number of requests that wait for another request's fetch (collapsed requests). Further ones get 503.",
        ge=1,
    )
    hot_bytes: int = _setting(
        64 * 2**20,
        "bytes",
        "Size of each worker's in-memory cache of picture files. 0: no such cache, every hit is decoded.",
        ge=0,
    )
    batch_items: int = _setting(
        16, "pictures", "Maximum number of pictures decoded in one batch on a GPU. On a CPU it is one.", ge=1, le=1024
    )
    miss: Miss = _setting(
        "latent",
        "name",
        "What a miss is answered with: latent (the decoded latent, after its encode) or source (the resized source, "
        "while the encode runs in the background).",
    )
    miss_items: int = _setting(
        64,
        "pictures",
        "With EDGE_MISS=source: maximum number of encodes that wait. Beyond it, a picture is served and not stored.",
        ge=1,
    )
    admission_s: int = _setting(
        0,
        "s",
        "Encode a picture only at its second request within this many seconds. 0: encode it at the first.",
        ge=0,
        le=2**31,
    )
    default_ttl_s: int = _setting(
        3600, "s", "Freshness lifetime if the origin names none. 0: stale at once.", ge=0, le=2**31
    )
    min_ttl_s: int = _setting(
        0,
        "s",
        "Minimum freshness lifetime of a storable picture. It overrides a shorter one of the origin. 0: no minimum.",
        ge=0,
        le=2**31,
    )
    max_ttl_s: int = _setting(
        0,
        "s",
        "Greatest freshness lifetime, even if the origin names a longer one. 0: no limit.",
        ge=0,
        le=2**31,
    )
    heuristic_fraction: float = _setting(
        0.0,
        "fraction",
        "Freshness lifetime as a fraction of the time since Last-Modified, if the origin names none (RFC 9111 4.2.2). "
        "0: off.",
        ge=0,
        le=1,
    )
    ttl_jitter: float = _setting(
        0.0,
        "fraction",
        "Randomly shorten a lifetime that the origin did not name, by up to this fraction.",
        ge=0,
        le=1,
    )
    swr_s: int = _setting(
        0,
        "s",
        "How long a stale picture is served while it is revalidated, if the origin does not say.",
        ge=0,
        le=2**31,
    )
    sie_s: int = _setting(
        86400,
        "s",
        "How long a stale picture is served while the origin fails, if the origin does not say.",
        ge=0,
        le=2**31,
    )
    hold_off_s: float = _setting(
        1.0,
        "s",
        "Back-off after a failed revalidation: the stale picture is served for this long without asking the origin.",
        ge=0,
        le=3600,
    )
    negative_ttl_s: Annotated[NegativeTtls, NoDecode, BeforeValidator(read_negative_ttls)] = _setting(
        NegativeTtls((("404", 60), ("410", 60))),
        "s by status",
        "Lifetime of negative cache entries if the origin names none, by status or class, such as 404=60,5xx=2. "
        "0: no negative caching.",
    )
    forward: Annotated[Forward, NoDecode, BeforeValidator(read_forward)] = _setting(
        Forward(),
        "fields",
        "Request fields that the edge forwards to the origin, separated by commas. all: every field except withheld "
        "ones, such as secrets. none: no field.",
    )
    origin_timeout_s: float = _setting(10.0, "s", "Timeout of a whole fetch from the origin.", gt=0, le=600)
    source_bytes: int = _setting(20_000_000, "bytes", "Maximum size of a file from the origin.", ge=1, le=2**31)
    source_pixels: int = _setting(
        64_000_000, "pixels", "Maximum number of pixels of a picture from the origin.", ge=1, le=2**31
    )
    source_s: int = _setting(
        10,
        "s",
        "Processor time to read a large or unusual file of the origin; beyond it, it is too large.",
        ge=1,
        le=600,
    )
    request_timeout_s: float = _setting(
        10.0, "s", "Timeout of receiving a whole request from a client, answered with 408. 0: no limit.", ge=0, le=3600
    )
    idle_timeout_s: float = _setting(
        75.0, "s", "Keep-alive timeout: how long a connection waits for its next request. 0: no limit.", ge=0, le=86400
    )
    send_timeout_s: float = _setting(
        60.0,
        "s",
        "Timeout of a client that reads nothing of its response. The connection is then closed. 0: no limit.",
        ge=0,
        le=3600,
    )
    header_bytes: int = _setting(
        32768,
        "bytes",
        "Maximum size of a request's head, with its request line. Larger ones get 431.",
        ge=1024,
        le=2**24,
    )
    header_fields: int = _setting(
        100, "fields", "Maximum number of header fields of a request. More get 431.", ge=1, le=100_000
    )
    connections: int = _setting(
        0,
        "connections",
        "Maximum number of client connections of each worker. 0: as many as the open-file limit (`ulimit -n`) allows.",
        ge=0,
        le=2**20,
    )
    admin_port: int = _setting(
        0,
        "port",
        "Port of health checks, metrics, statistics and the status page. 0: the picture port.",
        ge=0,
        le=65535,
    )
    access_log: float = _setting(
        0.0,
        "fraction",
        "Fraction of requests logged as JSON lines on stdout. Above 0, every 5xx is logged.",
        ge=0,
        le=1,
    )
    log_level: LogLevel = _setting(
        "info",
        "name",
        "Minimum level of the log on stderr: debug, info, warning or error. debug adds a line for each freshness "
        "decision.",
    )
    drain_delay_s: float = _setting(
        0.0,
        "s",
        "How long after SIGTERM the edge still accepts new requests while /readyz says that it is not ready.",
        ge=0,
        le=3600,
    )
    drain_s: int = _setting(
        30,
        "s",
        "How long requests and fills in progress may take after EDGE_DRAIN_DELAY_S, before they are cancelled.",
        ge=0,
        le=3600,
    )

    @model_validator(mode="after")
    def _has_a_range_of_lifetimes(self) -> Self:
        if 0 < self.max_ttl_s < self.min_ttl_s:
            raise ValueError("EDGE_MIN_TTL_S must not be above EDGE_MAX_TTL_S")
        return self

    @model_validator(mode="after")
    def _has_a_token_for_its_parent(self) -> Self:
        if self.parent and not self.parent_token.get_secret_value():
            raise ValueError("EDGE_PARENT needs EDGE_PARENT_TOKEN: the EDGE_LATENT_TOKEN of the parent")
        return self

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for the worker processes."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {PREFIX + name.upper(): _written(value) for name, value in values if value is not None}


def _written(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


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
        # The message quotes no value, because an address may hold a password.
        raise SettingsError(
            [f"{_variable(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()]
        ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + str(location[0]).upper() if location else PREFIX.rstrip("_")
