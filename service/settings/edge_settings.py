"""All settings of the edge: name, default, unit and help. All invalid settings are reported together."""

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
        raise ValueError("the token must be printable ASCII without spaces at its ends")
    return secret


Token = Annotated[SecretStr, AfterValidator(_token)]
"""A secret token. Logs and statistics never contain it."""
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
    """The settings of one edge, read from environment variables with the prefix EDGE_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    origin: Annotated[str, AfterValidator(read_origin)] = _setting(
        ..., "address", "URL of the origin. A picture is fetched from this URL plus a slash and the image id. Required."
    )
    parent: Annotated[str, AfterValidator(read_parent)] = _setting(
        "",
        "address",
        "URL of a parent edge. On a miss, a latent is requested from the parent. The picture is requested from the "
        "origin only if the parent sends no usable latent. Empty: no parent.",
    )
    parent_token: Token = _setting(
        NO_TOKEN,
        "text",
        "Token that the edge sends to its parent. It must equal the parent's EDGE_LATENT_TOKEN. Required with "
        "EDGE_PARENT.",
    )
    parent_timeout_s: float = _setting(
        10.0, "s", "Timeout of a fetch from the parent, after which the origin is asked.", gt=0, le=600
    )
    parent_retry_s: float = _setting(
        1.0,
        "s",
        "Back-off after the parent was down or too slow: it gets no requests for this long. 0: no back-off.",
        ge=0,
        le=3600,
    )
    redis_url: Annotated[str, AfterValidator(read_store)] = _setting(
        "",
        "address",
        "URL of the Redis or Valkey that stores the latents, or of a cluster with the scheme redis+cluster://. Empty: "
        "the edge starts an embedded Valkey.",
    )
    store_bytes: int = _setting(
        256 * 2**20, "bytes", "Memory limit of the embedded Valkey. Ignored with EDGE_REDIS_URL.", ge=4 * 2**20
    )
    latent_token: Token = _setting(
        NO_TOKEN,
        "text",
        "Token that child edges must send as `Authorization: Bearer` to get `/latent/<id>`. Empty: the edge serves no "
        "latents.",
    )
    admin_token: Token = _setting(
        NO_TOKEN, "text", "Token that clients must send as `Authorization: Bearer` to purge. Empty: purging is off."
    )
    store_timeout_s: float = _setting(1.0, "s", "Timeout of a command to the Redis or Valkey.", gt=0, le=60)
    store_retry_s: float = _setting(
        1.0,
        "s",
        "Back-off after a store command timed out: no commands are sent for this long, and pictures are served from "
        "memory or from the origin. 0: no back-off.",
        ge=0,
        le=3600,
    )
    store_grace_s: float = _setting(
        30.0,
        "s",
        "How long a fresh picture is still shown from memory, after the store has last confirmed it, while the store"
        " does not answer. 0: not at all.",
        ge=0,
        le=3600,
    )
    variants: int = _setting(
        64,
        "variants",
        "Maximum number of variants (by the origin's Vary) of one picture in the store. Beyond it, the variant that was"
        " stored first is dropped. 0: no maximum.",
        ge=0,
    )
    device: Device = _setting(
        "auto", "name", "Device that runs the networks: cpu, cuda, or auto (a GPU if there is one)."
    )
    head: Head = _setting(
        "auto",
        "name",
        "Decoder network of the 344 picture: cpu (fast), gpu (better quality, more work), or auto (the one for the "
        "device in use).",
    )
    lost_head: LostHead = _setting(
        "cpu",
        "name",
        "Decoder network of the 344 picture when the CPU takes over from a failed GPU: cpu (the fast one), or same "
        "(the one used before).",
    )
    decoder: Decoder = _setting(
        "auto",
        "name",
        "Where the codec runs: thread (in each worker), process (one process for all workers), or auto (process if "
        "there is a GPU, otherwise thread).",
    )
    kernels: Annotated[str, AfterValidator(_kernels)] = _setting(
        "auto",
        "formats",
        "Number formats in which the codec multiplies matrices: auto (the fastest, measured at start), float32, "
        "bfloat16, or a list by part of the codec, such as exact=int8,heads=float32,analysis=bfloat16. For a part "
        "that the list does not name, the fastest is measured.",
    )
    weights: FilePath | None = _setting(
        None, "path", "Path of the weights file of the networks. Empty: the weights of this release."
    )
    previous_weights: FilePath | None = _setting(
        None,
        "path",
        "Path of the weights file that the edges used before. Latents of these weights in the store are still decoded "
        "and served. Empty: none.",
    )
    reencode_per_minute: float = _setting(
        60.0,
        "pictures",
        "With EDGE_PREVIOUS_WEIGHTS: maximum number of old latents per minute that a worker re-encodes with the new "
        "weights after hits. 0: none.",
        ge=0,
        le=1e6,
    )
    foreign_hold_s: int = _setting(
        3600,
        "s",
        "How long after its encode a latent of unknown weights is kept in the store for other edges that may use it. "
        "0: it is overwritten at once.",
        ge=0,
        le=2**31,
    )
    quality: Annotated[Quality | None, NoDecode, BeforeValidator(_quality)] = _setting(
        None,
        "0..63 or auto:0..100",
        "Quality of new latents, from 0 to 63. auto:70 chooses for each picture the lowest quality that scores "
        "SSIMULACRA2 70. Empty: the default quality of the weights file.",
    )
    refine: int = _setting(
        0,
        "steps",
        "Number of steps of the search for a better latent of a picture, which runs after a miss while the codec is "
        "idle. Recommended: 40 on a CPU, 400 on a GPU. 0: no search.",
        ge=0,
        le=REFINEMENT_CAP,
    )
    refine_for: Annotated[str, AfterValidator(_refine_for)] = _setting(
        "auto",
        "heads",
        "The decoder networks (heads) for whose pictures the search improves a latent, and how much each one counts, "
        "such as high-gpu=0.55,high-cpu=0.45,medium=0.2. auto: the 344 head in use and, with a small weight, medium.",
    )
    refine_batch: int = _setting(
        16,
        "pictures",
        "Maximum number of pictures that one search improves together on a GPU. On a CPU it is always one.",
        ge=1,
        le=1024,
    )
    refine_items: int = _setting(
        64,
        "pictures",
        "Maximum number of pictures that wait for a search. Further pictures keep their first latent.",
        ge=1,
    )
    # Measured: two threads on two busy cores wait for each other and take 20 times as long as one. More workers make
    # better use of more cores.
    threads: int = _setting(
        1, "threads", "Number of CPU threads that each worker uses for the networks.", ge=1, le=1024
    )
    queue_items: int = _setting(
        512,
        "pictures",
        "Maximum number of decodes that wait for the codec, and also of encodes. Beyond it, a hit is answered with "
        "503, and a miss with the origin's picture, resized and not stored.",
        ge=1,
    )
    queue_wait_s: float = _setting(
        1.0,
        "s",
        "Maximum expected wait for the codec. Beyond it, a hit is answered with 503, and a miss with the origin's "
        "picture, resized and not stored. 0: no limit.",
        ge=0,
    )
    fetch_wait_s: float = _setting(
        10.0,
        "s",
        "Maximum expected wait of a miss for its turn (see EDGE_ORIGIN_FETCHES). Beyond it, it is "
        "answered with 503 at once, or with the stale picture. 0: no limit.",
        ge=0,
        le=3600,
    )
    waiters: int = _setting(
        4096,
        "requests",
        "Maximum number of requests per worker that wait for another request's fetch of the same picture (collapsed "
        "requests). Further ones get 503.",
        ge=1,
    )
    hot_bytes: int = _setting(
        64 * 2**20,
        "bytes",
        "Size of each worker's in-memory cache of encoded picture files (JPEG and others). 0: no such cache; every hit "
        "is decoded.",
        ge=0,
    )
    batch_items: int = _setting(
        16,
        "pictures",
        "Maximum number of pictures decoded in one batch on a GPU. On a CPU it is always one.",
        ge=1,
        le=1024,
    )
    miss: Miss = _setting(
        "latent",
        "name",
        "How a miss is answered: latent (the picture is encoded, and the response is decoded from the latent, like a "
        "later hit) or source (at once with the origin's picture, resized, while the encode runs in the background).",
    )
    miss_items: int = _setting(
        64,
        "pictures",
        "With EDGE_MISS=source: maximum number of pictures that wait for their encode. Further ones are served but not "
        "stored.",
        ge=1,
    )
    admission_s: int = _setting(
        0,
        "s",
        "Encode and store a picture only at its second request within this many seconds. 0: at its first request.",
        ge=0,
        le=2**31,
    )
    default_ttl_s: int = _setting(
        3600, "s", "Freshness lifetime of a picture if the origin names none. 0: stale at once.", ge=0, le=2**31
    )
    min_ttl_s: int = _setting(
        0,
        "s",
        "Minimum freshness lifetime of a picture that may be stored. It overrides a shorter lifetime of the origin. "
        "0: no minimum.",
        ge=0,
        le=2**31,
    )
    max_ttl_s: int = _setting(
        0,
        "s",
        "Maximum freshness lifetime, even if the origin names a longer one. 0: no maximum.",
        ge=0,
        le=2**31,
    )
    heuristic_fraction: float = _setting(
        0.0,
        "fraction",
        "If the origin names no lifetime, use this fraction of the time since Last-Modified (RFC 9111 4.2.2). 0: off, "
        "EDGE_DEFAULT_TTL_S applies.",
        ge=0,
        le=1,
    )
    ttl_jitter: float = _setting(
        0.0,
        "fraction",
        "Shorten each lifetime that the origin does not name by a random fraction, up to this one, so that pictures do "
        "not all become stale at once. 0: off.",
        ge=0,
        le=1,
    )
    swr_s: int = _setting(
        0,
        "s",
        "How long after its lifetime a stale picture is served while it is revalidated, if the origin does not send "
        "stale-while-revalidate. 0: not at all.",
        ge=0,
        le=2**31,
    )
    sie_s: int = _setting(
        86400,
        "s",
        "How long after its lifetime a stale picture is served while the origin fails, if the origin does not send "
        "stale-if-error. 0: not at all.",
        ge=0,
        le=2**31,
    )
    stale_wait_s: float = _setting(
        1.0,
        "s",
        "How long a request waits for the validation of a stale picture that may be served while the origin fails. "
        "Then it gets the stale picture, and the validation goes on. 0: until the validation ends.",
        ge=0,
        le=600,
    )
    hold_off_s: float = _setting(
        1.0,
        "s",
        "Back-off after a failed revalidation: for this long, the stale picture is served without a request to the "
        "origin. 0: no back-off.",
        ge=0,
        le=3600,
    )
    negative_ttl_s: Annotated[NegativeTtls, NoDecode, BeforeValidator(read_negative_ttls)] = _setting(
        NegativeTtls((("404", 60), ("410", 60))),
        "s by status",
        "Lifetimes of negative cache entries if the origin names none, by status or class of statuses, such as "
        "404=60,5xx=2. 0: no negative caching.",
    )
    forward: Annotated[Forward, NoDecode, BeforeValidator(read_forward)] = _setting(
        Forward(),
        "fields",
        "Names of request fields that the edge forwards to the origin, separated by commas. all: every field except "
        "hop-by-hop fields and fields that may carry secrets, identify a client or select another resource. none: no "
        "field.",
    )
    origin_timeout_s: float = _setting(
        10.0,
        "s",
        "Timeout of a whole fetch from the origin, with redirects. Beyond it, the answer is 504 or a stale picture.",
        gt=0,
        le=600,
    )
    origin_connect_timeout_s: float = _setting(
        3.0, "s", "Timeout of connecting to the origin, and to the parent.", gt=0, le=600
    )
    origin_fetches: int = _setting(
        64,
        "fetches",
        "Maximum number of fetches at a time that send a request to the origin or have its file in memory. The parent "
        "has as many.",
        ge=1,
        le=65_536,
    )
    origin_slow_fetches: int = _setting(
        512,
        "fetches",
        "Maximum number of further fetches that have waited for more than 0.25 s, for a response or a file of at most "
        "256 KiB. Beyond it, such a fetch is refused with 503 as soon as others wait for its place. The limit of open "
        "files can lower it. 0: a fetch keeps its place while it waits.",
        ge=0,
        le=65_536,
    )
    origin_queue_items: int = _setting(
        1024, "fetches", "Maximum number of fetches that wait for a place. Further ones get 503.", ge=0, le=2**20
    )
    source_bytes: int = _setting(
        20_000_000, "bytes", "Maximum size of a file from the origin. Larger ones get 413.", ge=1, le=2**31
    )
    source_pixels: int = _setting(
        64_000_000,
        "pixels",
        "Maximum width times height of a picture from the origin. Larger ones get 413.",
        ge=1,
        le=2**31,
    )
    source_s: int = _setting(
        10,
        "s",
        "Maximum CPU time to decode a large or unusual file of the origin. A file that takes more gets 413.",
        ge=1,
        le=600,
    )
    request_timeout_s: float = _setting(
        10.0, "s", "Timeout for receiving a whole request from a client, answered with 408. 0: no limit.", ge=0, le=3600
    )
    idle_timeout_s: float = _setting(
        75.0, "s", "Keep-alive timeout: how long a connection waits for its next request. 0: no limit.", ge=0, le=86400
    )
    send_timeout_s: float = _setting(
        60.0,
        "s",
        "Timeout of a client that reads no bytes of its response. Its connection is then closed. 0: no limit.",
        ge=0,
        le=3600,
    )
    header_bytes: int = _setting(
        32768,
        "bytes",
        "Maximum size of the request line and the header fields of a request together. Larger ones get 431.",
        ge=1024,
        le=2**24,
    )
    header_fields: int = _setting(
        100, "fields", "Maximum number of header fields of a request. Requests with more get 431.", ge=1, le=100_000
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
        "Separate port for health checks, metrics, statistics and the status page. 0: the port of the pictures.",
        ge=0,
        le=65535,
    )
    access_log: float = _setting(
        0.0,
        "fraction",
        "Fraction of requests that are logged as JSON lines on stdout. If it is above 0, every 5xx is logged. 0: no "
        "access log.",
        ge=0,
        le=1,
    )
    log_level: LogLevel = _setting(
        "info",
        "name",
        "Minimum level of the messages logged on stderr: debug, info, warning or error. debug adds a line for each "
        "freshness decision.",
    )
    hung_s: float = _setting(
        3.0,
        "s",
        "How long the event loop of a process may stand still before the process is killed and replaced. Time in which "
        "it waits for a CPU does not count. 0: for ever.",
        ge=0,
        le=3600,
    )
    drain_delay_s: float = _setting(
        0.0,
        "s",
        "How long after SIGTERM the edge still accepts new requests, while /readyz already answers 503. 0: not at all.",
        ge=0,
        le=3600,
    )
    drain_s: int = _setting(
        30,
        "s",
        "How long requests and fills in progress may continue after EDGE_DRAIN_DELAY_S before they are cancelled.",
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
            raise ValueError("EDGE_PARENT needs EDGE_PARENT_TOKEN, which is the EDGE_LATENT_TOKEN of the parent")
        return self

    def environment(self) -> dict[str, str]:
        """Return the settings as environment variables for the worker processes."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {PREFIX + name.upper(): _written(value) for name, value in values if value is not None}


def _written(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


@dataclass(frozen=True)
class SettingRow:
    """One setting as a row of the table in docs/operations.md."""

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
    """Read the settings from the environment. `given` overrides them. Raises SettingsError with all invalid ones."""
    try:
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        # The message quotes no value of a setting, because an address may contain a password.
        raise SettingsError(
            [f"{_variable(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}" for fault in error.errors()]
        ) from None


def _variable(location: tuple[int | str, ...]) -> str:
    return PREFIX + str(location[0]).upper() if location else PREFIX.rstrip("_")
