"""Read and write tensors in a safetensors file (no pickle), copy them into networks, and compute their digests.

`checkpoint` knows which networks a weights file holds. Matrices are stored in half precision and are converted to
float32 when they are read.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from models.dct import DctSynthesis

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

HEAD_ID_BYTES = 4


class CheckpointError(Exception):
    """The weights file is missing, damaged, of another version, or without a network that was asked for."""


def write_tensors(path: Path, tensors: dict[str, Tensor], *, metadata: dict[str, str]) -> None:
    """Write a weights file in place of an older one, so that a reader finds the one or the other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    save_file(tensors, fresh, metadata=metadata)
    fresh.chmod(0o644)  # safetensors creates the file with mode 0600, but a container may run as another user
    fresh.replace(path)


def read_tensors(path: Path, *, file_format: str, prefix: str = "") -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata of a weights file, and those of its tensors whose names begin with `prefix`.

    Raises `CheckpointError` where the file cannot be read or has another format than `file_format`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118  a safetensors file, not a dict
            tensors = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights in {path}: {error}") from error
    if metadata.get("format") != file_format:
        raise CheckpointError(f"the format of {path} is {metadata.get('format')!r}, not {file_format!r}")
    return metadata, tensors


def to_stored(name: str, tensor: Tensor) -> Tensor:
    """Return a parameter or buffer in the format in which the weights file stores it; `name` is its name in the file.

    Matrices are float16, but those of linear paths, gains and quality tables, and all vectors, are float32. Integers
    are int16.
    """
    if not tensor.is_floating_point():
        return tensor.to(torch.int16).contiguous()
    full = tensor.ndim < 2 or "linear" in name or "log_gain" in name or "quality" in name  # noqa: PLR2004
    return tensor.detach().float().contiguous() if full else tensor.detach().half().contiguous()


def fill(module: nn.Module, tensors: dict[str, Tensor], prefix: str = "") -> None:
    """Copy the tensors whose names begin with `prefix` into `module`, in float32.

    Raises `KeyError` or `RuntimeError` where names or shapes differ.
    """
    state = {name: tensors[prefix + name].float() for name in module.state_dict()}
    module.load_state_dict(state)
    for part in module.modules():
        if isinstance(part, DctSynthesis):
            part.check()


def digest(tensors: dict[str, Tensor], prefixes: tuple[str, ...], *, size: int) -> bytes:
    """Return the first `size` bytes of the SHA-256 over names, shapes and values of the tensors with these prefixes."""
    hashed = hashlib.sha256()
    for name in sorted(name for name in tensors if name.startswith(prefixes)):
        hashed.update(name.encode() + str(tuple(tensors[name].shape)).encode())
        hashed.update(tensors[name].contiguous().numpy().tobytes())
    return hashed.digest()[:size]
