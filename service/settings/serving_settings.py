"""Clients, ports, logs, and the end of a process."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel

from service.settings.addresses import read_parent
from service.settings.setting_field import setting

LogLevel = Literal["debug", "info", "warning", "error"]


def _read_collector(url: str) -> str:
    """Return the address of a collector. Raises ValueError if it is not usable, or the extra is not installed."""
    if url and not _has_exporter():
        raise ValueError("traces need packages that are missing: run `pip install 'latentedge[otel]'`")
    return read_parent(url)


def _has_exporter() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even the packages above it are there
        return False


class ServingSettings(BaseModel):
    """Settings of clients, ports, logs and processes."""

    request_timeout_s: float = setting(
        10.0, "s", "Timeout for receiving a whole request from a client, answered with 408. 0: no limit.", ge=0, le=3600
    )
    idle_timeout_s: float = setting(
        75.0, "s", "Keep-alive timeout: how long a connection waits for its next request. 0: no limit.", ge=0, le=86400
    )
    send_timeout_s: float = setting(
        60.0,
        "s",
        "Timeout of a client that reads no bytes of its response. Its connection is then closed. 0: no limit.",
        ge=0,
        le=3600,
    )
    header_bytes: int = setting(
        32768,
        "bytes",
        "Maximum size of the request line and the header fields of a request together. Larger ones get 431.",
        ge=1024,
        le=2**24,
    )
    header_fields: int = setting(
        100, "fields", "Maximum number of header fields of a request. Requests with more get 431.", ge=1, le=100_000
    )
    connections: int = setting(
        0,
        "connections",
        "Maximum number of client connections of each worker. 0: as many as the open-file limit (`ulimit -n`) allows.",
        ge=0,
        le=2**20,
    )
    admin_port: int = setting(
        0,
        "port",
        "Separate port for health checks, metrics, statistics, the status page, purges and /docs. 0: the port of the "
        "pictures.",
        ge=0,
        le=65535,
    )
    access_log: float = setting(
        0.0,
        "fraction",
        "Fraction of requests that are logged as JSON lines on stdout. If it is above 0, every 5xx is logged. 0: no "
        "access log.",
        ge=0,
        le=1,
    )
    shadow_cpu: float = setting(
        0.01,
        "cores",
        "Fraction of a core that each worker uses at most, while idle, to measure the files of the shadow baseline. 0: "
        "file sizes are estimated.",
        ge=0,
        le=1,
    )
    otlp_url: Annotated[str, AfterValidator(_read_collector)] = setting(
        "",
        "address",
        "Address of an OpenTelemetry collector (OTLP over HTTP), such as `http://127.0.0.1:4318`, that gets a span for "
        "each picture request, and the metrics. Needs the extra `otel`. Empty: none.",
    )
    log_level: LogLevel = setting(
        "info",
        "name",
        "Minimum level of the messages logged on stderr: debug, info, warning or error. debug adds a line for each "
        "freshness decision.",
    )
    hung_s: float = setting(
        3.0,
        "s",
        "How long the event loop of a process may stand still before the process is killed and replaced. Time in which "
        "it waits for a CPU does not count. 0: it is never killed.",
        ge=0,
        le=3600,
    )
    drain_delay_s: float = setting(
        0.0,
        "s",
        "How long after SIGTERM the edge still accepts new requests, while /readyz already answers 503. 0: not at all.",
        ge=0,
        le=3600,
    )
    drain_s: int = setting(
        30,
        "s",
        "How long requests and fills in progress may continue after EDGE_DRAIN_DELAY_S before they are cancelled.",
        ge=0,
        le=3600,
    )
