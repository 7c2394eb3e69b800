"""Writes a file atomically."""

import os
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Write a temporary file and rename it, so that the target is never incomplete."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
