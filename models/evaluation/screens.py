"""The pictures of a folder that the screen mode would keep, beside their latents at the default quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.codec import Codec
from models.config import HIGH_PX
from models.evaluation.references import reference
from models.evaluation.streams import Scorer
from models.scores import ScoredFile
from models.screen import stream


@dataclass(frozen=True)
class ScreenedPicture:
    """A picture that EDGE_SCREEN=auto keeps as a screen stream. The quality of `screen` is its largest error."""

    path: Path
    screen: ScoredFile
    latent: ScoredFile


def find_screens(paths: Sequence[Path], codec: Codec) -> tuple[ScreenedPicture, ...]:
    """Return the pictures that the screen mode would keep, with the scores of both modes at 344 px."""
    found = (_compare(path, codec) for path in paths)
    return tuple(one for one in found if one is not None)


def _compare(path: Path, codec: Codec) -> ScreenedPicture | None:
    pixels = reference(path, HIGH_PX)
    blob = stream.encode_if_smaller(pixels)
    if blob is None:
        return None
    scorer, quality = Scorer(pixels), codec.default_quality
    latent = codec.encode(pixels, quality=quality)
    (decoded,) = codec.synthesize([codec.read(latent)], size_px=HIGH_PX)
    return ScreenedPicture(
        path,
        screen=scorer.score(stream.decode(blob, size_px=HIGH_PX), stream.largest_error(blob), blob),
        latent=scorer.score(decoded, quality, latent),
    )
