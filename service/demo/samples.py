"""Score a few pictures that the edge decodes, and measure JPEG and AVIF files of the same pictures."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from models.config import HIGH_PX
from models.picture_array import Pixels
from models.scores import Ssimulacra2
from service.demo.load import picture_url
from service.render import image_file
from service.rendition import RENDITIONS, Rendition
from service.settings.edge_settings import Settings

JPEG_QUALITY = 80
AVIF_SPEED, AVIF_TUNE = 6, "iq"  # libaom's `tune` is given, because the default depends on Pillow's libavif
_AVIF_QUALITIES = 100  # qualities 0 to 99: quality 100 is lossless, for which libaom refuses `tune`
_LIMITS = image_file.ImageLimits(source_pixels=Settings.model_fields["source_pixels"].default)


@dataclass(frozen=True)
class DecodedPicture:
    """One size of one picture: the resized source, the picture that the edge sent, and its SSIMULACRA2 score."""

    reference: Pixels
    decoded: Pixels
    ssimulacra2: float


@dataclass(frozen=True)
class Sample:
    """One picture in both sizes, and the sizes in bytes of its source file and its latent."""

    name: str
    source_bytes: int
    latent_bytes: int
    high: DecodedPicture
    medium: DecodedPicture


class Examiner:
    """Fetches pictures from the edge as PNG, and scores them against their source files."""

    def __init__(self, edge_url: str, folder: Path, *, encode: Callable[[Pixels], bytes]) -> None:
        self._edge_url = edge_url
        self._folder = folder
        self._encode = encode

    def examine(self, name: str) -> Sample:
        """Fetch both sizes of a picture from the edge, and return them with their scores."""
        source = (self._folder / name).read_bytes()
        pixels = image_file.read(source, limits=_LIMITS).pixels
        high, medium = RENDITIONS
        return Sample(
            name,
            source_bytes=len(source),
            latent_bytes=len(self._encode(image_file.square(pixels, HIGH_PX))),
            high=self._fetch(name, high, pixels=pixels),
            medium=self._fetch(name, medium, pixels=pixels),
        )

    def _fetch(self, name: str, rendition: Rendition, *, pixels: Pixels) -> DecodedPicture:
        url = picture_url(self._edge_url, name, res=rendition.name, fmt="png")
        answer = httpx.get(url, timeout=60, trust_env=False).raise_for_status()
        decoded = _pixels(answer.content)
        reference = image_file.square(pixels, rendition.size_px)
        return DecodedPicture(reference, decoded=decoded, ssimulacra2=Ssimulacra2(reference).score(decoded))


def jpeg_pair_bytes(path: Path) -> int:
    """Return the total size in bytes of a picture's two JPEG files, one of 344 and one of 172 px."""
    pixels = image_file.read(path.read_bytes(), limits=_LIMITS).pixels
    squares = (image_file.square(pixels, one.size_px) for one in RENDITIONS)
    return sum(len(_file(square, "JPEG", quality=JPEG_QUALITY)) for square in squares)


def avif_pair_bytes(sample: Sample) -> int:
    """Return the total size in bytes of a picture's two AVIF files, which score as high as the edge's pictures."""
    pair = (sample.high, sample.medium)
    return sum(len(avif(rendition.reference, find_avif_quality(rendition))) for rendition in pair)


def find_avif_quality(rendition: DecodedPicture) -> int:
    """Return the lowest AVIF quality that scores at least as high as the edge's picture, or the best if none does."""
    scorer = Ssimulacra2(rendition.reference)
    low, high = 0, _AVIF_QUALITIES - 1
    while low < high:
        quality = (low + high) // 2
        good = scorer.score(_pixels(avif(rendition.reference, quality))) >= rendition.ssimulacra2
        low, high = (low, quality) if good else (quality + 1, high)
    return low


def avif(pixels: Pixels, quality: int) -> bytes:
    return _file(
        pixels,
        "AVIF",
        quality=quality,
        speed=AVIF_SPEED,
        subsampling="4:4:4",
        codec="aom",
        advanced={"tune": AVIF_TUNE},
    )


def _pixels(blob: bytes) -> Pixels:
    with Image.open(io.BytesIO(blob)) as picture:
        return np.asarray(picture.convert("RGB"))


def _file(pixels: Pixels, kind: str, **options: object) -> bytes:
    blob = io.BytesIO()
    Image.fromarray(pixels).save(blob, kind, **options)
    return blob.getvalue()
