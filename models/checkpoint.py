"""Write the networks to a weights file, build them from one, and compute the stream ids and head ids.

Names of the tensors: `high.*` and `medium.*` are the two autoencoders, each with `hyperprior.indexes.*` as integers and
`tables.{symbols,hyper}` as counts. `light.high.*` is the head `high-cpu`, `light.medium.*` the translator. Optional,
depending on the architecture: `high.medium_head.*`, the head `medium-gpu`, and `light.analysis.*`, the light encoder.
The metadata hold the architecture, from which the networks are built. `weights_file` reads and writes the tensors.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from pydantic import TypeAdapter

from models.autoencoder import MediumAutoencoder, Networks
from models.bitstream import STREAM_ID_BYTES
from models.config import QUALITIES, Architecture
from models.empty_weights import EmptyWeights
from models.entropy_coder import EntropyCoder
from models.entropy_model import SCALE_COUNT, support_of
from models.flat_grounds import RULE_VERSION
from models.rounding import Rounding
from models.scale_path import INTEGER_PARTS, FrozenScaleIndexes, InexactScalePathError, ScaleIndexes, ScaleWeights
from models.weights_file import (
    HEAD_ID_BYTES,
    CheckpointError,
    digest,
    fill,
    read_tensors,
    to_stored,
    write_tensors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from models.autoencoder import HighAutoencoder, LightNetworks

RELEASED = Path(__file__).parent / "weights" / "latentedge.safetensors"
_DIGEST_BYTES = 32
_FORMAT = "latentedge-weights-4"
_Part = TypeVar("_Part")


@dataclass(frozen=True)
class ReleaseNotes:
    """What the metadata of a weights file say about its training and its use."""

    default_quality: int
    """The lowest quality with a mean SSIMULACRA2 of at least 70 on the validation pictures."""
    rounding_strength: float
    """Weight of the squared error in the encoder's rounding (rounding.py), chosen on the validation pictures."""
    perceptual: float
    """Share of SSIMULACRA2, 0..1, in the distortion that the networks were trained for; the rest is squared error."""
    trained: str
    """A sentence for people on how the weights were trained."""


@dataclass(frozen=True)
class Tables:
    """The CDF tables of one autoencoder, as integer counts.

    `symbols` has one table per scale index, of different lengths; `hyper` is (groups of qualities, C, 31).
    """

    symbols: list[Tensor]
    hyper: Tensor


@dataclass(frozen=True)
class Autoencoding:
    """One autoencoder as read from a weights file: its networks, entropy coder, rounding and stream id."""

    networks: HighAutoencoder | MediumAutoencoder
    coder: EntropyCoder
    rounding: Rounding
    stream_id: bytes


@dataclass(frozen=True)
class HeadIds:
    """The id of each head: the first four bytes of a SHA-256 of its weights and of the rule for its pixels."""

    high_gpu: bytes
    high_cpu: bytes
    medium_cpu: bytes
    medium_gpu: bytes
    """Equal to `medium_cpu`, the translator's id, where the file has no head `medium-gpu`."""


@dataclass(frozen=True)
class MediumPart:
    """The medium autoencoder of a weights file, read without the file's other networks."""

    autoencoding: Autoencoding
    notes: ReleaseNotes
    head_id: bytes
    """The id of its head, as in `HeadIds`."""


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a weights file, with its networks built."""

    architecture: Architecture
    high: Autoencoding
    medium: Autoencoding
    light: LightNetworks
    notes: ReleaseNotes
    head_ids: HeadIds


def save(path: Path, networks: Networks, *, tables: tuple[Tables, Tables], notes: ReleaseNotes) -> None:
    """Convert trained networks to their stored formats and write a weights file.

    `tables` are those of the high and of the medium autoencoder. Raises `InexactScalePathError` where the sums of a
    scale path could reach 2^24, and `TypeError` where a scale path is frozen already.
    """
    tensors = _freeze("high", networks.high, tables[0]) | _freeze("medium", networks.medium, tables[1])
    tensors |= {f"light.{name}": to_stored(name, tensor) for name, tensor in networks.light.state_dict().items()}
    write_tensors(path, tensors, metadata=_metadata(networks.architecture, notes))


def _metadata(architecture: Architecture, notes: ReleaseNotes) -> dict[str, str]:
    return {
        "format": _FORMAT,
        "architecture": json.dumps(asdict(architecture)),
        "notes": json.dumps(asdict(notes)),
    }


def load(path: Path | None = None) -> Checkpoint:
    """Read a weights file, by default the released one, and build its networks. Raises `CheckpointError`."""
    return _load(path or RELEASED, _assemble, prefix="")


def load_medium(path: Path | None = None) -> MediumPart:
    """Read only the medium autoencoder of a weights file, by default the released one. Raises `CheckpointError`."""
    return _load(path or RELEASED, _assemble_medium, prefix="medium.")


def _load(path: Path, assemble: Callable[[Architecture, dict[str, Tensor], ReleaseNotes], _Part], prefix: str) -> _Part:
    metadata, tensors = read_tensors(path, file_format=_FORMAT, prefix=prefix)
    try:
        return assemble(_architecture(metadata["architecture"]), tensors, _notes(metadata["notes"]))
    except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError, InexactScalePathError) as error:
        raise CheckpointError(f"the weights in {path} do not fit this version's networks: {error}") from error


def _architecture(text: str) -> Architecture:
    """Parse the architecture from its JSON. Raises `ValueError` where a field is missing, unknown or out of range."""
    found = TypeAdapter(Architecture).validate_json(text, strict=True)
    if asdict(found) != json.loads(text):
        raise ValueError("the file's architecture has fields that are unknown to this version")
    return found


def _notes(text: str) -> ReleaseNotes:
    """Parse the release notes from their JSON.

    Raises `ValueError` where a field is missing or of a wrong type, or the default quality is not in 0..63.
    """
    found = TypeAdapter(ReleaseNotes).validate_json(text)
    if not 0 <= found.default_quality < QUALITIES:
        raise ValueError(f"the default quality must be in 0..{QUALITIES - 1}, not {found.default_quality}")
    return found


def _assemble(architecture: Architecture, tensors: dict[str, Tensor], notes: ReleaseNotes) -> Checkpoint:
    with EmptyWeights():
        networks = Networks.of(architecture)
    fill(networks.light, tensors, "light.")
    return Checkpoint(
        architecture=architecture,
        high=_autoencoding("high.", networks.high, tensors, strength=notes.rounding_strength),
        medium=_autoencoding("medium.", networks.medium, tensors, strength=notes.rounding_strength),
        light=networks.light.eval(),
        notes=notes,
        head_ids=_head_ids(architecture, tensors),
    )


def _assemble_medium(architecture: Architecture, tensors: dict[str, Tensor], notes: ReleaseNotes) -> MediumPart:
    networks = MediumAutoencoder(architecture)
    return MediumPart(
        _autoencoding("medium.", networks, tensors, strength=notes.rounding_strength),
        notes,
        head_id=_head_id(tensors, "medium.head."),
    )


def _head_ids(architecture: Architecture, tensors: dict[str, Tensor]) -> HeadIds:
    gpu, cpu, medium, medium_gpu = (
        _head_id(tensors, prefix) for prefix in ("high.head.", "light.high.", "light.medium.", "high.medium_head.")
    )
    return HeadIds(gpu, cpu, medium, medium_gpu if architecture.medium_gpu else medium)


def _head_id(tensors: dict[str, Tensor], prefix: str) -> bytes:
    weights = digest(tensors, (prefix,), size=_DIGEST_BYTES)
    return hashlib.sha256(weights + RULE_VERSION).digest()[:HEAD_ID_BYTES]


def _autoencoding(
    prefix: str, networks: HighAutoencoder | MediumAutoencoder, tensors: dict[str, Tensor], *, strength: float
) -> Autoencoding:
    weights = ScaleWeights(*[tensors[f"{prefix}hyperprior.indexes.{name}"].float() for name in INTEGER_PARTS])
    networks.hyperprior.indexes = FrozenScaleIndexes(weights)
    fill(networks, tensors, prefix)
    lengths = [2 * support_of(index) + 2 for index in range(SCALE_COUNT)]
    rows = list(torch.split(tensors[f"{prefix}tables.symbols"], lengths))
    hyper_tables = tensors[f"{prefix}tables.hyper"].numpy()
    coder = EntropyCoder(symbol_tables=[row.numpy() for row in rows], hyper_tables=hyper_tables)
    # The stream id is a digest of all weights that a decoder needs from bytes to y_hat, without g_a, h_a and the heads.
    parts = ("hyperprior.deviation", "hyperprior.log_gain.", "hyperprior.indexes.", "hyperprior.means.", "tables.")
    between = tuple(prefix + part for part in parts)
    return Autoencoding(
        networks.eval(),
        coder,
        rounding=Rounding.from_tables(rows, strength=strength),
        stream_id=digest(tensors, between, size=STREAM_ID_BYTES),
    )


def _freeze(prefix: str, networks: HighAutoencoder | MediumAutoencoder, tables: Tables) -> dict[str, Tensor]:
    indexes = networks.hyperprior.indexes
    if not isinstance(indexes, ScaleIndexes):
        raise TypeError("cannot freeze networks whose scale path is frozen already: they were read from a weights file")
    weights = indexes.integers()
    FrozenScaleIndexes(
        weights
    )  # constructed to check the weights: raises InexactScalePathError if a sum could reach 2^24
    tensors = {
        name: to_stored(name, tensor)
        for name, tensor in networks.state_dict().items()
        if "hyperprior.indexes." not in name
    }
    for name in INTEGER_PARTS:
        kind = torch.int32 if name.endswith("bias") else torch.int8
        tensors[f"hyperprior.indexes.{name}"] = getattr(weights, name).detach().to(kind)
    tensors["tables.symbols"] = torch.cat(tables.symbols)
    tensors["tables.hyper"] = tables.hyper
    return {f"{prefix}.{name}": tensor.contiguous() for name, tensor in tensors.items()}
