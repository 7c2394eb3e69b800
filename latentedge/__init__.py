"""latentedge as a library: the codec, its errors and the version.

The codec itself is `models`, and the edge is `service`. This package computes nothing. It imports a name when the name
is first used, so that `import latentedge` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.bitstream import BitstreamError, DamagedBitstream, ForeignBitstream, TruncatedBitstream
    from models.codec import Codec, PictureShapeError, QualityError, Symbols
    from models.config import HIGH_PX, MEDIUM_PX
    from models.cpu.kernels import KernelsError
    from models.medium_codec import MediumCodec
    from models.rate_control import TargetError
    from models.readers import Readers, ReadersError
    from models.scores import ScoreError
    from models.weights_file import CheckpointError

    __version__: str

__all__ = [
    "HIGH_PX",
    "MEDIUM_PX",
    "BitstreamError",
    "CheckpointError",
    "Codec",
    "DamagedBitstream",
    "ForeignBitstream",
    "KernelsError",
    "MediumCodec",
    "PictureShapeError",
    "QualityError",
    "Readers",
    "ReadersError",
    "ScoreError",
    "Symbols",
    "TargetError",
    "TruncatedBitstream",
    "__version__",
]

_MODULES = {
    "models.bitstream": ("BitstreamError", "DamagedBitstream", "ForeignBitstream", "TruncatedBitstream"),
    "models.codec": ("Codec", "PictureShapeError", "QualityError", "Symbols"),
    "models.config": ("HIGH_PX", "MEDIUM_PX"),
    "models.cpu.kernels": ("KernelsError",),
    "models.medium_codec": ("MediumCodec",),
    "models.rate_control": ("TargetError",),
    "models.readers": ("Readers", "ReadersError"),
    "models.scores": ("ScoreError",),
    "models.weights_file": ("CheckpointError",),
}


def __getattr__(name: str) -> object:
    """Import and return a public name at its first use (PEP 562)."""
    if name == "__version__":
        return _read_version()
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _read_version() -> str:
    from service.metrics.release import read_version

    return read_version()
