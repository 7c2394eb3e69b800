"""Choose the head of each picture size from a weights file. Every head can decode every latent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from models.autoencoder import HighAutoencoder

if TYPE_CHECKING:
    from models.checkpoint import Checkpoint
    from models.synthesis import HighHead
    from models.translator import Translator


@dataclass(frozen=True)
class ChosenHeads:
    """The heads of the 344 and the 172 picture, and the 4-byte id of each: a digest of its weights."""

    high: HighHead
    high_id: bytes
    medium: Translator
    medium_id: bytes


def head_name(name: str, device: str) -> str:
    """Return "high-cpu" or "high-gpu" for "cpu", "gpu" or "auto": high-cpu if `device` is "cpu", else high-gpu.

    Raises `ValueError` for any other name.
    """
    names = {"auto": "high-cpu" if device == "cpu" else "high-gpu", "cpu": "high-cpu", "gpu": "high-gpu"}
    if name not in names:
        raise ValueError(f"the head must be auto, cpu or gpu, not {name!r}")
    return names[name]


def choose_heads(checkpoint: Checkpoint, head: str) -> ChosenHeads:
    """Return the heads of both sizes for `head`, which is "high-cpu" or "high-gpu".

    The 172 picture is decoded by the translator, or with "high-gpu" by `medium-gpu` if the weights file has it.
    """
    networks, light, ids = checkpoint.high.networks, checkpoint.light, checkpoint.head_ids
    assert isinstance(networks, HighAutoencoder), "checkpoint.high holds the high autoencoder"
    if head == "high-cpu":
        return ChosenHeads(light.high, ids.high_cpu, light.medium, ids.medium_cpu)
    return ChosenHeads(networks.head, ids.high_gpu, networks.medium_head or light.medium, ids.medium_gpu)
