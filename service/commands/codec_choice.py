"""Loads the codec that a command uses, and translates the errors of loading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from service.commands.failure import CommandFailure
from service.settings.edge_settings import Head

if TYPE_CHECKING:  # torch is imported when a codec is loaded, not before
    from models.codec import Codec

HEADS = get_args(Head)


@dataclass(frozen=True)
class CodecChoice:
    """The options of the codec."""

    weights: Path | None  # None: the released weights
    device: str
    head: str

    def load(self) -> Codec:
        """Load the codec. Raises CommandFailure."""
        from models.codec import Codec

        if self.device not in {"cpu", "cuda"}:
            raise CommandFailure(f"latentedge: --device is cpu or cuda, not {self.device!r}")
        if self.head not in HEADS:
            raise CommandFailure(f"latentedge: --head is auto, cpu or gpu, not {self.head!r}")
        with codec_failures(self.device):
            return Codec.load(self.weights, device=self.device, head=self.head)


@contextmanager
def codec_failures(device: str) -> Iterator[None]:
    """Translate errors in the weights or the device, which the user can correct, into CommandFailure."""
    from models.checkpoint import CheckpointError

    try:
        yield
    except CheckpointError as error:
        raise CommandFailure(f"latentedge: the codec cannot be loaded: {error}") from error
    except (
        AssertionError,
        RuntimeError,
    ) as error:  # torch without CUDA raises AssertionError, and without a GPU RuntimeError
        raise CommandFailure(f"latentedge: the codec cannot be loaded on {device}: {error}") from error
