"""The codec: weights, quality, search, threads, and the queues in front of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, FilePath
from pydantic_settings import NoDecode

from models.cpu.kernels import parse_formats
from service.records.record import REFINEMENT_CAP
from service.settings.quality import Quality, read_quality
from service.settings.refine_for import read_refine_for
from service.settings.setting_field import setting

Device = Literal["auto", "cpu", "cuda"]
Head = Literal["auto", "cpu", "gpu"]
LostHead = Literal["cpu", "same"]
Decoder = Literal["auto", "thread", "process"]
Screen = Literal["off", "auto"]


def _kernels(text: str) -> str:
    parse_formats(text)
    return text


def _quality(value: object) -> Quality | None:
    return None if value is None else read_quality(value)


def _refine_for(text: str) -> str:
    read_refine_for(text)
    return text


class CodecSettings(BaseModel):
    """Settings of the codec and of the queues in front of it."""

    device: Device = setting(
        "auto", "name", "Device that runs the networks: cpu, cuda, or auto (a GPU if there is one)."
    )
    head: Head = setting(
        "auto",
        "name",
        "Decoder network of the 344 picture: cpu (fast), gpu (better quality, more work), or auto (the one for the "
        "device in use).",
    )
    lost_head: LostHead = setting(
        "cpu",
        "name",
        "Decoder network of the 344 picture when the CPU takes over from a failed GPU: cpu (the fast one), or same "
        "(the one used before).",
    )
    decoder: Decoder = setting(
        "auto",
        "name",
        "Where the codec runs: thread (in each worker), process (one process for all workers), or auto (process if "
        "there is a GPU, otherwise thread).",
    )
    kernels: Annotated[str, AfterValidator(_kernels)] = setting(
        "auto",
        "formats",
        "Number formats in which the codec multiplies matrices: auto (the fastest, measured at start), float32, "
        "bfloat16, or a list by part of the codec, such as exact=int8,heads=float32,analysis=bfloat16. For a part "
        "that the list does not name, the fastest is measured.",
    )
    weights: FilePath | None = setting(
        None, "path", "Path of the weights file of the networks. Empty: the weights of this release."
    )
    previous_weights: FilePath | None = setting(
        None,
        "path",
        "Path of the weights file that the edges used before. Latents of these weights in the store are still decoded "
        "and served. Empty: none.",
    )
    reencode_per_minute: float = setting(
        60.0,
        "pictures",
        "With EDGE_PREVIOUS_WEIGHTS: maximum number of old latents per minute that a worker re-encodes with the new "
        "weights after hits. 0: none.",
        ge=0,
        le=1e6,
    )
    foreign_hold_s: int = setting(
        3600,
        "s",
        "How long after its encode a latent of unknown weights is kept in the store for other edges that may use it. "
        "0: it is overwritten at once.",
        ge=0,
        le=2**31,
    )
    quality: Annotated[Quality | None, NoDecode, BeforeValidator(_quality)] = setting(
        None,
        "0..63 or auto:0..100",
        "Quality of new latents, from 0 to 63. auto:70 chooses for each picture the lowest quality that scores "
        "SSIMULACRA2 70. Empty: the default quality of the weights file.",
    )
    screen: Screen = setting(
        "auto",
        "name",
        "Whether logos, text and screenshots are stored as screen streams, which are exact or nearly exact, if that "
        "takes fewer bytes than a latent: auto, or off (every picture is stored as a latent).",
    )
    refine: int = setting(
        0,
        "steps",
        "Number of steps of the search for a better latent of a picture, which runs after a miss while the codec is "
        "idle. Recommended: 40 on a CPU, 400 on a GPU. 0: no search.",
        ge=0,
        le=REFINEMENT_CAP,
    )
    refine_for: Annotated[str, AfterValidator(_refine_for)] = setting(
        "auto",
        "heads",
        "The decoder networks (heads) for whose pictures the search improves a latent, and how much each one counts, "
        "such as high-gpu=0.55,high-cpu=0.45,medium=0.2. auto: the 344 head in use and, with a small weight, medium.",
    )
    refine_batch: int = setting(
        16,
        "pictures",
        "Maximum number of pictures that one search improves together on a GPU. On a CPU it is always one.",
        ge=1,
        le=1024,
    )
    refine_items: int = setting(
        64,
        "pictures",
        "Maximum number of pictures that wait for the search for a better latent. Further pictures keep their first "
        "latent.",
        ge=1,
    )
    # Measured: two threads on two busy cores wait for each other and take 20 times as long as one. More workers make
    # better use of more cores.
    threads: int = setting(1, "threads", "Number of CPU threads that each worker uses for the networks.", ge=1, le=1024)
    queue_items: int = setting(
        512,
        "pictures",
        "Maximum number of decodes that wait for the codec, and also of encodes. Beyond it, a hit is answered with "
        "503, and a miss with the origin's picture, resized and not stored.",
        ge=1,
    )
    queue_wait_s: float = setting(
        1.0,
        "s",
        "Maximum expected wait for the codec. Beyond it, a hit is answered with 503, and a miss with the origin's "
        "picture, resized and not stored. 0: no limit.",
        ge=0,
    )
    fetch_wait_s: float = setting(
        10.0,
        "s",
        "Maximum expected wait of a miss for its turn (see EDGE_ORIGIN_FETCHES). A miss that would "
        "wait longer gets 503 at once, or the stale picture. 0: no limit.",
        ge=0,
        le=3600,
    )
    waiters: int = setting(
        4096,
        "requests",
        "Maximum number of requests per worker that wait for another request's fetch of the same picture (collapsed "
        "requests). Further ones get 503.",
        ge=1,
    )
    hot_bytes: int = setting(
        64 * 2**20,
        "bytes",
        "Size of each worker's in-memory cache of encoded picture files (JPEG and others). 0: no such cache; every hit "
        "is decoded. Unpacked records take up to a quarter of it more, or 2 MiB if that is more.",
        ge=0,
    )
    batch_items: int = setting(
        16,
        "pictures",
        "Maximum number of pictures decoded in one batch on a GPU. On a CPU it is always one.",
        ge=1,
        le=1024,
    )
