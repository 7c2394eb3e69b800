"""Load the codec that a command uses, and turn errors of loading into failures of the command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from service.commands.failure import CommandFailure
from service.settings.codec_settings import Head

if TYPE_CHECKING:  # importing torch takes seconds, so it is imported only when a codec is loaded
    from models.codec import Codec

HEADS = get_args(Head)


@dataclass(frozen=True)
class CodecChoice:
    """The options of a command that choose the codec: weights, device and head."""

    weights: Path | None  # None stands for the released weights
    device: str
    head: str

    def load(self) -> Codec:
        """Load the codec. Raises CommandFailure if an option is invalid or the codec cannot be loaded."""
        from models.codec import Codec

        if self.device not in {"cpu", "cuda"}:
            raise CommandFailure(f"latentedge: --device must be cpu or cuda, not {self.device!r}")
        if self.head not in HEADS:
            raise CommandFailure(f"latentedge: --head must be auto, cpu or gpu, not {self.head!r}")
        with codec_failures(self.device):
            return Codec.load(self.weights, device=self.device, head=self.head)


@contextmanager
def codec_failures(device: str) -> Iterator[None]:
    """Turn errors of the weights file or the device, which the user can correct, into CommandFailure."""
    from models.weights_file import CheckpointError

    try:
        yield
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: the codec cannot be loaded: {error}") from error
    # A torch build without CUDA raises AssertionError, and a build with CUDA on a machine without a GPU RuntimeError.
    except (AssertionError, RuntimeError) as error:
        raise CommandFailure(f"latentedge: the codec cannot be loaded on {device}: {error}") from error
