"""Which heads of a weights file decode the pictures. All heads read every latent; only their ids differ."""

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
    """The head of each size, and the 4 bytes that identify it."""

    high: HighHead
    high_id: bytes
    medium: Translator
    medium_id: bytes


def head_name(name: str, device: str) -> str:
    """Return the head of the 344 picture; `auto` is the one for this device."""
    names = {"auto": "high-cpu" if device == "cpu" else "high-gpu", "cpu": "high-cpu", "gpu": "high-gpu"}
    if name not in names:
        raise ValueError(f"a head is auto, cpu or gpu, not {name!r}")
    return names[name]


def choose_heads(checkpoint: Checkpoint, head: str) -> ChosenHeads:
    """Return the heads that go with `head`.

    With `high-gpu` the 172 picture is decoded by `medium-gpu`, if the file has one.
    """
    networks, light, ids = checkpoint.high.networks, checkpoint.light, checkpoint.head_ids
    assert isinstance(networks, HighAutoencoder), "the autoencoder of the high picture"
    if head == "high-cpu":
        return ChosenHeads(light.high, ids.high_cpu, light.medium, ids.medium_cpu)
    return ChosenHeads(networks.head, ids.high_gpu, networks.medium_head or light.medium, ids.medium_gpu)
