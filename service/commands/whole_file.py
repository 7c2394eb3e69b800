"""Write a file atomically, so that readers see the old content or the whole new content."""

import os
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` to a temporary file and rename it to `target`, so that `target` is never incomplete."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
