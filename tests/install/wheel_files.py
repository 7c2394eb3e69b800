"""What a wheel of latentedge must hold, and what it must not hold."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

PACKAGES = ("latentedge", "models", "service")
DATA = re.compile(
    r"(?:latentedge|models|service)/py\.typed"
    r"|models/weights/(?:latentedge|upscaler)\.safetensors|models/weights/MODEL_CARD\.md"
    r"|service/web/page/[a-z]+\.(?:js|html|css)"
)
"""The files besides code: marks of types, weights with their model card, and the page."""
DESCRIPTION = re.compile(r"latentedge-[\w.]+\.dist-info/.*")


def faults_of(wheel: Path, root: Path) -> list[str]:
    """Return what a wheel lacks or holds too much, compared with the source tree at `root`."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not DESCRIPTION.fullmatch(name)}
    wanted = set(_wanted(root))
    return [
        *(f"{wheel.name} lacks {name}" for name in sorted(wanted - held)),
        *(f"{wheel.name} holds {name}" for name in sorted(held - wanted)),
    ]


def _wanted(root: Path) -> list[str]:
    paths = (path.relative_to(root).as_posix() for package in PACKAGES for path in (root / package).rglob("*"))
    return [path for path in paths if path.endswith(".py") or DATA.fullmatch(path)]
