"""How the command line encodes a picture: at a quality, within so many bytes or to a score; refined or not."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.bitstream import parse
from models.config import QUALITIES
from service.commands.failure import CommandFailure, FileFailure
from service.quality import BEST_SCORE

if TYPE_CHECKING:  # torch is imported when a codec is loaded, not before
    from models.codec import Codec

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Wish:
    """At most one of the first three is given; none is the model's own quality."""

    quality: int | None
    target_bytes: int | None
    target_ssimulacra2: float | None
    refine: int

    def check(self) -> None:
        """Raises CommandFailure."""
        given = [one for one in (self.quality, self.target_bytes, self.target_ssimulacra2) if one is not None]
        if len(given) > 1:
            raise CommandFailure("latentedge: --quality, --target-bytes and --target-ssimulacra2 exclude each other")
        if self.quality is not None and not 0 <= self.quality < QUALITIES:
            raise CommandFailure(f"latentedge: --quality is 0 to {QUALITIES - 1}, not {self.quality}")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise CommandFailure(f"latentedge: --target-bytes is 1 or more, not {self.target_bytes}")
        if self.target_ssimulacra2 is not None and not 0 <= self.target_ssimulacra2 <= BEST_SCORE:
            raise CommandFailure(f"latentedge: --target-ssimulacra2 is 0 to 100, not {self.target_ssimulacra2}")
        if self.refine < 0:
            raise CommandFailure(f"latentedge: --refine is 0 or more, not {self.refine}")


def encoded(codec: "Codec", pixels: Pixels, wish: Wish) -> bytes:
    """The bitstream; raises FileFailure where this picture cannot be what is wished for."""
    if wish.target_bytes is None and wish.target_ssimulacra2 is None:
        quality = codec.default_quality if wish.quality is None else wish.quality
        return codec.encode(pixels, quality=quality, refine=wish.refine)
    first = _on_target(codec, pixels, wish)
    if not wish.refine:
        return first
    refined = codec.encode(pixels, quality=parse(first).quality, refine=wish.refine)
    # The search weighs bytes against errors: it may trade a few of the one for the other.
    return refined if _is_as_wished(codec, pixels, wish, blob=refined) else first


def _on_target(codec: "Codec", pixels: Pixels, wish: Wish) -> bytes:
    if wish.target_bytes is not None:
        return _within(codec, pixels, wish.target_bytes)
    assert wish.target_ssimulacra2 is not None, "one of the two targets is given"
    return _reaching(codec, pixels, wish.target_ssimulacra2)


def _reaching(codec: "Codec", pixels: Pixels, target_ssimulacra2: float) -> bytes:
    blob = codec.encode_to_score(pixels, ssimulacra2=target_ssimulacra2)
    if parse(blob).quality == QUALITIES - 1 and (score := codec.ssimulacra2(pixels, blob)) < target_ssimulacra2:
        raise FileFailure(f"SSIMULACRA2 is {score:.2f} at the best quality there is")
    return blob


def _within(codec: "Codec", pixels: Pixels, target_bytes: int) -> bytes:
    from models.rate_control import TargetError

    try:
        return codec.encode_to_bytes(pixels, target_bytes=target_bytes)
    except TargetError as error:
        raise FileFailure(str(error)) from error


def _is_as_wished(codec: "Codec", pixels: Pixels, wish: Wish, *, blob: bytes) -> bool:
    if wish.target_bytes is not None:
        return len(blob) <= wish.target_bytes
    assert wish.target_ssimulacra2 is not None, "one of the two targets is given"
    return codec.ssimulacra2(pixels, blob) >= wish.target_ssimulacra2
