"""The weights file: safetensors in and out, and digests that identify its streams and pictures. Nothing is unpickled.

Names in the file: `high.*`, `medium.*` (the two autoencoders, each with `hyperprior.indexes.*` as integers and
`tables.{symbols,hyper}` as counts), `light.high.*` (the CPU's head of the high picture), `light.medium.*` (the
translator) and, where the architecture has them, `high.medium_head.*` (a GPU's head of the medium picture) and
`light.analysis.*` (the CPU's analysis). The networks are built from the architecture in the metadata.
Matrices are stored in half precision and computed with in float32.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.autoencoder import Networks
from models.bitstream import STREAM_ID_BYTES
from models.config import QUALITIES, Architecture
from models.dct import DctSynthesis
from models.entropy_coder import EntropyCoder
from models.entropy_model import SCALE_COUNT, support_of
from models.rounding import Rounding
from models.scale_path import INTEGER_PARTS, FrozenScaleIndexes, InexactScalePathError, ScaleIndexes, ScaleWeights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.autoencoder import HighAutoencoder, LightNetworks, MediumAutoencoder

RELEASED = Path(__file__).parent / "weights" / "latentedge.safetensors"
_HEAD_ID_BYTES = 4
_FORMAT = "latentedge-weights-4"


class CheckpointError(Exception):
    """The weights file is missing, damaged, or of another version of these networks."""


@dataclass(frozen=True)
class ReleaseNotes:
    """What the metadata of a weights file says about the release."""

    default_quality: int
    """Lowest quality with a mean SSIMULACRA2 of at least 70 on the validation pictures."""
    rounding_strength: float
    """Weight of the squared error in the encoder's rounding (rounding.py), chosen on the validation pictures."""
    perceptual: float
    """Share of SSIMULACRA2 in the distortion of the training."""
    trained: str


@dataclass(frozen=True)
class Tables:
    """CDF tables of one autoencoder: symbols (one row per scale index, of different lengths), hyper (groups, C, 31)."""

    symbols: list[Tensor]
    hyper: Tensor


@dataclass(frozen=True)
class Autoencoding:
    """One autoencoder ready to code: its networks, its entropy coder and the id of its streams."""

    networks: HighAutoencoder | MediumAutoencoder
    coder: EntropyCoder
    rounding: Rounding
    stream_id: bytes


@dataclass(frozen=True)
class HeadIds:
    """Four bytes for each head, which change whenever its pictures may change."""

    high_gpu: bytes
    high_cpu: bytes
    medium_cpu: bytes
    medium_gpu: bytes
    """The translator's id where the file has no such head."""


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a weights file."""

    architecture: Architecture
    high: Autoencoding
    medium: Autoencoding
    light: LightNetworks
    notes: ReleaseNotes
    head_ids: HeadIds


def save(path: Path, networks: Networks, *, tables: tuple[Tables, Tables], notes: ReleaseNotes) -> None:
    """Freeze the networks and write them, with the tables of the high autoencoder first.

    Raises `InexactScalePathError` where a scale path is out of bounds.
    """
    tensors = _freeze("high", networks.high, tables[0]) | _freeze("medium", networks.medium, tables[1])
    tensors |= {f"light.{name}": to_stored(name, tensor) for name, tensor in networks.light.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata=_metadata(networks.architecture, notes))
    fresh.chmod(0o644)  # safetensors makes it private to its owner, but a container may run as another user
    fresh.replace(path)


def _metadata(architecture: Architecture, notes: ReleaseNotes) -> dict[str, str]:
    return {
        "format": _FORMAT,
        "architecture": json.dumps(asdict(architecture)),
        "notes": json.dumps(asdict(notes)),
    }


def load(path: Path | None = None) -> Checkpoint:
    """Read a weights file, the released one by default. Raises `CheckpointError`."""
    chosen = path or RELEASED
    try:
        with safe_open(chosen, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  a safetensors file, not a dict
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {chosen}: {error}") from error
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{chosen} is not a {_FORMAT} file")
    try:
        architecture = _architecture(metadata["architecture"])
        return _assemble(architecture, tensors, _notes(metadata["notes"]))
    except (ArithmeticError, KeyError, RuntimeError, TypeError, ValueError, InexactScalePathError) as error:
        raise CheckpointError(f"{chosen} does not fit these networks: {error}") from error


def _architecture(text: str) -> Architecture:
    """Parse the architecture. Raises `ValueError` where these networks cannot be built from it."""
    found = TypeAdapter(Architecture).validate_json(text, strict=True)
    if asdict(found) != json.loads(text):
        raise ValueError("its architecture has parts unknown to this version")
    return found


def _notes(text: str) -> ReleaseNotes:
    """Parse the notes. Raises `ValueError` where one is missing or mistyped, or the default quality is out of range."""
    found = TypeAdapter(ReleaseNotes).validate_json(text)
    if not 0 <= found.default_quality < QUALITIES:
        raise ValueError(f"its default quality is 0 to {QUALITIES - 1}, not {found.default_quality}")
    return found


def _assemble(architecture: Architecture, tensors: dict[str, Tensor], notes: ReleaseNotes) -> Checkpoint:
    networks = Networks.of(architecture)
    _fill(networks.light, tensors, "light.")
    return Checkpoint(
        architecture=architecture,
        high=_autoencoding("high.", networks.high, tensors, strength=notes.rounding_strength),
        medium=_autoencoding("medium.", networks.medium, tensors, strength=notes.rounding_strength),
        light=networks.light.eval(),
        notes=notes,
        head_ids=_head_ids(architecture, tensors),
    )


def _head_ids(architecture: Architecture, tensors: dict[str, Tensor]) -> HeadIds:
    gpu, cpu, medium, medium_gpu = (
        _digest(tensors, (prefix,), size=_HEAD_ID_BYTES)
        for prefix in ("high.head.", "light.high.", "light.medium.", "high.medium_head.")
    )
    return HeadIds(gpu, cpu, medium, medium_gpu if architecture.medium_gpu else medium)


def _autoencoding(
    prefix: str, networks: HighAutoencoder | MediumAutoencoder, tensors: dict[str, Tensor], *, strength: float
) -> Autoencoding:
    weights = ScaleWeights(*[tensors[f"{prefix}hyperprior.indexes.{name}"].float() for name in INTEGER_PARTS])
    networks.hyperprior.indexes = FrozenScaleIndexes(weights)
    _fill(networks, tensors, prefix)
    lengths = [2 * support_of(index) + 2 for index in range(SCALE_COUNT)]
    rows = list(torch.split(tensors[f"{prefix}tables.symbols"], lengths))
    hyper_tables = tensors[f"{prefix}tables.hyper"].numpy()
    coder = EntropyCoder(symbol_tables=[row.numpy() for row in rows], hyper_tables=hyper_tables)
    # all networks between bytes and y_hat, without the two analysis transforms and the head
    parts = ("hyperprior.deviation", "hyperprior.log_gain.", "hyperprior.indexes.", "hyperprior.means.", "tables.")
    between = tuple(prefix + part for part in parts)
    return Autoencoding(
        networks.eval(),
        coder,
        rounding=Rounding.from_tables(rows, strength=strength),
        stream_id=_digest(tensors, between, size=STREAM_ID_BYTES),
    )


def _freeze(prefix: str, networks: HighAutoencoder | MediumAutoencoder, tables: Tables) -> dict[str, Tensor]:
    indexes = networks.hyperprior.indexes
    if not isinstance(indexes, ScaleIndexes):
        raise TypeError("these networks are frozen already")
    weights = indexes.integers()
    FrozenScaleIndexes(weights)  # checks the bound
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


def to_stored(name: str, tensor: Tensor) -> Tensor:
    """Return a tensor as the file stores it.

    Matrices are in half precision; linear paths, gains and vectors in full; places of coefficients are integers.
    """
    if not tensor.is_floating_point():
        return tensor.to(torch.int16).contiguous()
    full = tensor.ndim < 2 or "linear" in name or "log_gain" in name or "quality" in name  # noqa: PLR2004
    return tensor.detach().float().contiguous() if full else tensor.detach().half().contiguous()


def _fill(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    state = {name: tensors[prefix + name].float() for name in module.state_dict()}
    module.load_state_dict(state)
    for part in module.modules():
        if isinstance(part, DctSynthesis):
            part.check()


def _digest(tensors: dict[str, Tensor], prefixes: tuple[str, ...], *, size: int) -> bytes:
    hashed = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(prefixes)):
        hashed.update(name.encode() + str(tuple(tensors[name].shape)).encode())
        hashed.update(tensors[name].contiguous().numpy().tobytes())
    return hashed.digest()[:size]
