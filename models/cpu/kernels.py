"""Which number formats the matrix products of a codec run in. Text in, names out; imports no torch.

    exact      from hyper-latents to scale indexes: int8 or float32; the integers are the same
    heads      everything behind y_hat: float32 or bfloat16
    analysis   the encoder's networks: float32 or bfloat16

A processor without instructions for a format still computes in it, up to fifty times slower, and no public call of
torch tells which it is. Therefore each choice is measured once a process, when it first loads a codec, unless it is
forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

FORMATS: Mapping[str, tuple[str, ...]] = {
    "exact": ("int8", "float32"),
    "heads": ("float32", "bfloat16"),
    "analysis": ("float32", "bfloat16"),
}


class KernelsError(ValueError):
    """The text names no choice of kernels."""


@dataclass(frozen=True)
class Kernels:
    """The format of each group of products."""

    exact: str
    heads: str
    analysis: str

    @classmethod
    def measure(cls, device: str = "cpu") -> Kernels:
        """Return the quickest of each group; some tens of milliseconds. A GPU runs its networks in bfloat16."""
        return cls.choose("auto", device=device)

    @classmethod
    def choose(cls, text: str, *, device: str = "cpu") -> Kernels:
        """Return what the text names, and measure what it leaves open; raises `KernelsError`."""
        named = parse_formats(text)
        return cls(**{group: named.get(group) or _quickest(group, device) for group in FORMATS})

    def __str__(self) -> str:
        """Write them as `forced` reads them."""
        return ",".join(f"{group}={name}" for group, name in vars(self).items())


def parse_formats(text: str) -> dict[str, str]:
    """Parse "auto", "float32", "bfloat16" or "exact=int8,heads=float32" into formats by group.

    A format alone means every group that knows it. Raises `KernelsError`.
    """
    if text == "auto":
        return {}
    if "=" not in text:
        return _everywhere(text)
    parts = [part.strip().partition("=") for part in text.split(",")]
    found = {group: name for group, _, name in parts}
    if len(found) < len(parts):
        raise KernelsError(f"a group of kernels is named twice in {text!r}")
    for group, name in found.items():
        if name not in FORMATS.get(group, ()):
            raise KernelsError(f"{group}={name} is none of {_choices()}")
    return found


def _everywhere(name: str) -> dict[str, str]:
    found = {group: name for group, names in FORMATS.items() if name in names}
    if "heads" not in found:
        raise KernelsError(f"kernels are auto, float32, bfloat16 or a list of {_choices()}, not {name!r}")
    return found


def _choices() -> str:
    return ", ".join(f"{group}={'|'.join(names)}" for group, names in FORMATS.items())


@cache
def _quickest(group: str, device: str) -> str:
    """Measure once a process: all codecs of a process then write the same streams."""
    if device != "cpu" and group != "exact":  # reading stays on the processor
        return "bfloat16"
    from models.cpu import product_timing

    return {
        "exact": product_timing.exact_format,
        "heads": product_timing.heads_format,
        "analysis": product_timing.analysis_format,
    }[group]()
