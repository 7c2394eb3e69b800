"""How the command line encodes a picture: at a quality, within so many bytes or to a score; searched for or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.bitstream import parse
from models.config import QUALITIES
from models.picture_array import Pixels
from service.commands.failure import CommandFailure, FileFailure
from service.records.record import REFINEMENT_CAP
from service.settings.quality import BEST_SCORE
from service.settings.refine_for import AUTO, read_refine_for

if TYPE_CHECKING:  # torch is imported when a codec is loaded, not before
    from models.codec import Codec


@dataclass(frozen=True)
class Wish:
    """The options of an encode. At most one of the first three is given; without one, the model's default counts."""

    quality: int | None
    target_bytes: int | None
    target_ssimulacra2: float | None
    refine: int
    refine_for: str = AUTO
    refine_batch: int | None = None
    """Files that are searched for together; None leaves it to the device."""

    def check(self) -> None:
        """Check the options. Raises CommandFailure."""
        given = [one for one in (self.quality, self.target_bytes, self.target_ssimulacra2) if one is not None]
        if len(given) > 1:
            raise CommandFailure("latentedge: --quality, --target-bytes and --target-ssimulacra2 cannot be combined")
        if self.quality is not None and not 0 <= self.quality < QUALITIES:
            raise CommandFailure(f"latentedge: --quality is 0 to {QUALITIES - 1}, not {self.quality}")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise CommandFailure(f"latentedge: --target-bytes is 1 or more, not {self.target_bytes}")
        if self.target_ssimulacra2 is not None and not 0 <= self.target_ssimulacra2 <= BEST_SCORE:
            raise CommandFailure(f"latentedge: --target-ssimulacra2 is 0 to 100, not {self.target_ssimulacra2}")
        self._check_search()

    def _check_search(self) -> None:
        if not 0 <= self.refine <= REFINEMENT_CAP:
            raise CommandFailure(f"latentedge: --refine is 0 to {REFINEMENT_CAP}, not {self.refine}")
        if self.refine_batch is not None and self.refine_batch < 1:
            raise CommandFailure(f"latentedge: --refine-batch is 1 or more, not {self.refine_batch}")
        try:
            read_refine_for(self.refine_for)
        except ValueError as error:
            raise CommandFailure(f"latentedge: --refine-for: {error}") from error


@dataclass(frozen=True)
class Plain:
    """A picture and its bitstream without a search."""

    pixels: Pixels
    bitstream: bytes

    @property
    def quality(self) -> int:
        """The quality at which it was encoded."""
        return parse(self.bitstream).quality


def encoded(codec: Codec, pixels: Pixels, wish: Wish) -> Plain:
    """Encode without a search; raises FileFailure if this picture cannot reach the target."""
    if wish.target_bytes is not None:
        return Plain(pixels, _within(codec, pixels, wish.target_bytes))
    if wish.target_ssimulacra2 is not None:
        return Plain(pixels, _reaching(codec, pixels, wish.target_ssimulacra2))
    quality = codec.default_quality if wish.quality is None else wish.quality
    return Plain(pixels, codec.encode(pixels, quality=quality))


def searched(codec: Codec, plain: Sequence[Plain], wish: Wish, *, stepped: Callable[[], None]) -> list[bytes]:
    """Search for a better bitstream of each picture, for all together; `stepped` is called after each step."""
    search = codec.refinement(
        [one.pixels for one in plain],
        qualities=[one.quality for one in plain],
        steps=wish.refine,
        readers=read_refine_for(wish.refine_for),
    )
    while not search.is_done:
        search.step()
        stepped()
    found = zip(plain, search.bitstreams(), strict=True)
    # The search weighs bytes against errors: it may trade a few of the one for the other.
    return [better if _is_as_wished(codec, one.pixels, wish, blob=better) else one.bitstream for one, better in found]


def _reaching(codec: Codec, pixels: Pixels, target_ssimulacra2: float) -> bytes:
    blob = codec.encode_to_score(pixels, ssimulacra2=target_ssimulacra2)
    if parse(blob).quality == QUALITIES - 1 and (score := codec.ssimulacra2(pixels, blob)) < target_ssimulacra2:
        raise FileFailure(f"even the best quality reaches only SSIMULACRA2 {score:.2f}")
    return blob


def _within(codec: Codec, pixels: Pixels, target_bytes: int) -> bytes:
    from models.rate_control import TargetError

    try:
        return codec.encode_to_bytes(pixels, target_bytes=target_bytes)
    except TargetError as error:
        raise FileFailure(str(error)) from error


def _is_as_wished(codec: Codec, pixels: Pixels, wish: Wish, *, blob: bytes) -> bool:
    if wish.target_bytes is not None:
        return len(blob) <= wish.target_bytes
    if wish.target_ssimulacra2 is not None:
        return codec.ssimulacra2(pixels, blob) >= wish.target_ssimulacra2
    return True
