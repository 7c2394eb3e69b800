"""Encode a picture for the command `encode`: at a quality, to a size or to a score, with or without a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.bitstream import parse
from models.config import QUALITIES
from models.picture_array import Pixels
from service.commands.failure import CommandFailure, FileFailure
from service.records.record import REFINEMENT_CAP
from service.settings.background import read_background
from service.settings.quality import BEST_SCORE
from service.settings.refine_for import AUTO, read_refine_for

if TYPE_CHECKING:  # importing torch takes seconds, so it is imported only when a codec is loaded
    from models.codec import Codec


@dataclass(frozen=True)
class EncodeOptions:
    """The options of `encode`. If `quality` and both targets are None, the default quality of the weights is used."""

    quality: int | None
    target_bytes: int | None
    target_ssimulacra2: float | None
    refine: int
    refine_for: str = AUTO
    refine_batch: int | None = None
    """The number of files in one search; None means 1 on a CPU and 64 on a GPU."""
    background: str = "ffffff"
    """The colour behind transparent pictures, in hexadecimal digits."""
    screen: bool = False
    """Whether logos, text and screenshots become screen streams, as with EDGE_SCREEN=auto."""

    def check(self) -> None:
        """Raise CommandFailure if the options are invalid."""
        given = [one for one in (self.quality, self.target_bytes, self.target_ssimulacra2) if one is not None]
        if len(given) > 1:
            raise CommandFailure("latentedge: --quality, --target-bytes and --target-ssimulacra2 cannot be combined")
        if self.quality is not None and not 0 <= self.quality < QUALITIES:
            raise CommandFailure(f"latentedge: --quality must be 0 to {QUALITIES - 1}, not {self.quality}")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise CommandFailure(f"latentedge: --target-bytes must be 1 or more, not {self.target_bytes}")
        if self.target_ssimulacra2 is not None and not 0 <= self.target_ssimulacra2 <= BEST_SCORE:
            raise CommandFailure(f"latentedge: --target-ssimulacra2 must be 0 to 100, not {self.target_ssimulacra2}")
        try:
            read_background(self.background)
        except ValueError as error:
            raise CommandFailure(f"latentedge: --background is invalid: {error}") from error
        self._check_search()

    def _check_search(self) -> None:
        if not 0 <= self.refine <= REFINEMENT_CAP:
            raise CommandFailure(f"latentedge: --refine must be 0 to {REFINEMENT_CAP} steps, not {self.refine}")
        if self.refine_batch is not None and self.refine_batch < 1:
            raise CommandFailure(f"latentedge: --refine-batch must be 1 or more, not {self.refine_batch}")
        try:
            read_refine_for(self.refine_for)
        except ValueError as error:
            raise CommandFailure(f"latentedge: --refine-for is invalid: {error}") from error


@dataclass(frozen=True)
class Plain:
    """A picture (344, 344, 3) and its bitstream as encoded, before a search for a better one."""

    pixels: Pixels
    bitstream: bytes

    @property
    def quality(self) -> int:
        """Return the quality (0 to 63) in the header of the bitstream."""
        return parse(self.bitstream).quality


def encode_plain(codec: Codec, pixels: Pixels, options: EncodeOptions) -> Plain:
    """Encode a picture (344, 344, 3) without a search. Raises FileFailure if the target is out of reach."""
    if options.screen and (stream := _encode_screen(pixels, options)) is not None:
        return Plain(pixels, stream)
    if options.target_bytes is not None:
        return Plain(pixels, _encode_to_bytes(codec, pixels, options.target_bytes))
    if options.target_ssimulacra2 is not None:
        return Plain(pixels, _encode_to_score(codec, pixels, options.target_ssimulacra2))
    quality = codec.default_quality if options.quality is None else options.quality
    return Plain(pixels, codec.encode(pixels, quality=quality))


def search_better(
    codec: Codec, plain: Sequence[Plain], options: EncodeOptions, *, on_step: Callable[[], None]
) -> list[bytes]:
    """Return better bitstreams of several pictures, found in one search. Call `on_step` after each of its steps.

    A picture whose new bitstream misses the target keeps its old one.
    """
    search = codec.refinement(
        [one.pixels for one in plain],
        qualities=[one.quality for one in plain],
        steps=options.refine,
        readers=read_refine_for(options.refine_for),
    )
    while not search.is_done:
        search.step()
        on_step()
    found = zip(plain, search.bitstreams(), strict=True)
    # The search optimises rate plus distortion, so a result may miss a target that the first bitstream meets.
    return [
        better if _meets_target(codec, one.pixels, options, blob=better) else one.bitstream for one, better in found
    ]


def _encode_screen(pixels: Pixels, options: EncodeOptions) -> bytes | None:
    from models.screen.stream import encode_if_smaller

    return encode_if_smaller(pixels, target_bytes=options.target_bytes)


def _encode_to_score(codec: Codec, pixels: Pixels, target_ssimulacra2: float) -> bytes:
    blob = codec.encode_to_score(pixels, ssimulacra2=target_ssimulacra2)
    if parse(blob).quality == QUALITIES - 1 and (score := codec.ssimulacra2(pixels, blob)) < target_ssimulacra2:
        raise FileFailure(
            f"the best quality reaches only SSIMULACRA2 {score:.2f}, below the target of {target_ssimulacra2:g}"
        )
    return blob


def _encode_to_bytes(codec: Codec, pixels: Pixels, target_bytes: int) -> bytes:
    from models.rate_control import TargetError

    try:
        return codec.encode_to_bytes(pixels, target_bytes=target_bytes)
    except TargetError as error:
        raise FileFailure(f"the target size cannot be reached: {error}") from error


def _meets_target(codec: Codec, pixels: Pixels, options: EncodeOptions, *, blob: bytes) -> bool:
    if options.target_bytes is not None:
        return len(blob) <= options.target_bytes
    if options.target_ssimulacra2 is not None:
        return codec.ssimulacra2(pixels, blob) >= options.target_ssimulacra2
    return True
