"""Writing a file whole or not at all."""

import os
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Write beside the target, then rename: nobody ever finds half a file under its name."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
