"""Choose the number formats of a codec's matrix products, from text or by measurement. Imports no torch by itself.

    exact      from hyper-latents to scale indexes: int8 or float32, with the same integers as results
    heads      all layers after y_hat: float32 or bfloat16
    analysis   the encoder's networks: float32 or bfloat16

A CPU without instructions for a format computes in it up to fifty times slower, and torch has no public function that
tells whether the CPU has them. Therefore each process times the formats when it first loads a codec, unless the text
names them.
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
    """The text is not "auto", a number format, or a list such as "exact=int8,heads=float32"."""


@dataclass(frozen=True)
class Kernels:
    """The number formats of the matrix products: in reading, which must be exact, in the heads and in the analysis."""

    exact: str
    heads: str
    analysis: str

    @classmethod
    def measure(cls, device: str = "cpu") -> Kernels:
        """Measure and return the fastest format of each group, in some tens of milliseconds.

        On a GPU heads and analysis are bfloat16 without a measurement.
        """
        return cls.choose("auto", device=device)

    @classmethod
    def choose(cls, text: str, *, device: str = "cpu") -> Kernels:
        """Return the formats that `text` names (see `parse_formats`), and measure those that it does not name.

        Raises `KernelsError`.
        """
        named = parse_formats(text)
        return cls(**{group: named.get(group) or _quickest(group, device) for group in FORMATS})

    def __str__(self) -> str:
        """Return the formats as text such as "exact=int8,heads=bfloat16,analysis=bfloat16", which `choose` parses."""
        return ",".join(f"{group}={name}" for group, name in vars(self).items())


def parse_formats(text: str) -> dict[str, str]:
    """Parse text such as "exact=int8,heads=float32" into a format for each group that it names.

    "auto" names no group. "float32" or "bfloat16" alone stands for every group that has this format. Raises
    `KernelsError`.
    """
    if text == "auto":
        return {}
    if "=" not in text:
        return _everywhere(text)
    parts = [part.strip().partition("=") for part in text.split(",")]
    found = {group: name for group, _, name in parts}
    if len(found) < len(parts):
        raise KernelsError(f"{text!r} names a group of kernels twice, but each has one number format")
    for group, name in found.items():
        if name not in FORMATS.get(group, ()):
            raise KernelsError(f"each part of {text!r} must be one of {_choices()}, not {group}={name}")
    return found


def _everywhere(name: str) -> dict[str, str]:
    found = {group: name for group, names in FORMATS.items() if name in names}
    if "heads" not in found:
        raise KernelsError(f"kernels must be auto, float32, bfloat16 or a list of {_choices()}, not {name!r}")
    return found


def _choices() -> str:
    return ", ".join(f"{group}={'|'.join(names)}" for group, names in FORMATS.items())


@cache
def _quickest(group: str, device: str) -> str:
    """Return the fastest format of a group, measured once per process, so that all its codecs use the same one."""
    if device != "cpu" and group != "exact":  # The exact path runs on the CPU even if the codec's device is a GPU.
        return "bfloat16"
    from models.cpu import product_timing

    return {
        "exact": product_timing.exact_format,
        "heads": product_timing.heads_format,
        "analysis": product_timing.analysis_format,
    }[group]()
