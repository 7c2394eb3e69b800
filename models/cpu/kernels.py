"""Which number formats the matrix products of a codec use. Text in, names out; imports no torch.

    exact      from hyper-latents to scale indexes: int8 or float32; the integers are the same
    heads      all layers after y_hat: float32 or bfloat16
    analysis   the encoder's networks: float32 or bfloat16

A CPU without instructions for a format computes in it up to fifty times slower, and torch has no public call that
tells whether it has them. Therefore each process measures each choice when it first loads a codec, unless the text
names the format.
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
    """The text does not name a valid choice of kernels."""


@dataclass(frozen=True)
class Kernels:
    """The format of each group of products."""

    exact: str
    heads: str
    analysis: str

    @classmethod
    def measure(cls, device: str = "cpu") -> Kernels:
        """Return the fastest format of each group, in some tens of milliseconds. A GPU uses bfloat16."""
        return cls.choose("auto", device=device)

    @classmethod
    def choose(cls, text: str, *, device: str = "cpu") -> Kernels:
        """Return the formats that the text names, and measure the others. Raises `KernelsError`."""
        named = parse_formats(text)
        return cls(**{group: named.get(group) or _quickest(group, device) for group in FORMATS})

    def __str__(self) -> str:
        """Return the formats as text that `choose` parses."""
        return ",".join(f"{group}={name}" for group, name in vars(self).items())


def parse_formats(text: str) -> dict[str, str]:
    """Parse "auto", "float32", "bfloat16" or "exact=int8,heads=float32" into formats by group.

    A format without a group applies to every group that has it. Raises `KernelsError`.
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
            raise KernelsError(f"{group}={name} is not one of {_choices()}")
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
    """Measure once per process, so that all its codecs write the same streams."""
    if device != "cpu" and group != "exact":  # reading stays on the CPU
        return "bfloat16"
    from models.cpu import product_timing

    return {
        "exact": product_timing.exact_format,
        "heads": product_timing.heads_format,
        "analysis": product_timing.analysis_format,
    }[group]()
