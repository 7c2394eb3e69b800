"""Write a file atomically, so that readers see the old content or the whole new content."""

import secrets
from pathlib import Path


def write_whole(target: Path, content: bytes) -> None:
    """Write `content` to a temporary file and rename it to `target`, so that `target` is never incomplete."""
    # The name is short whatever the target's is, because a file system allows 255 bytes.
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
