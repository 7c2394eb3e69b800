"""Split a file into parts of limited size for a transfer, and join them again. Standard library only.

A part is named `NAME.DIGEST.I-of-N`. The digest is the SHA-256 of the whole file, so that parts of two versions are not
mixed up and the joined file can be verified. A file within the limit is not split.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

MOST_BYTES = 15 << 20
"""Default size limit of a part in bytes: 15 MiB (derived: the limit of one transfer from a rented machine)."""
_DIGEST_CHARACTERS = 16
_NAME = re.compile(r"(?P<name>.+)\.(?P<digest>[0-9a-f]{16})\.(?P<number>\d+)-of-(?P<count>\d+)")


class PartsError(OSError):
    """The parts of a file are incomplete, damaged, or of several versions."""


def split(file: Path, folder: Path, *, most_bytes: int = MOST_BYTES) -> list[Path]:
    """Write `file` into `folder`, in parts if it is larger than `most_bytes`; return the paths written."""
    content = file.read_bytes()
    count = -(-len(content) // most_bytes)
    folder.mkdir(parents=True, exist_ok=True)
    if count <= 1:
        whole = folder / file.name
        whole.write_bytes(content)
        return [whole]
    parts = [folder / f"{file.name}.{_digest(content)}.{number}-of-{count}" for number in range(1, count + 1)]
    for number, part in enumerate(parts):
        part.write_bytes(content[number * most_bytes : (number + 1) * most_bytes])
    return parts


def join(file: Path) -> None:
    """Write `file` from its parts in the same folder. Do nothing if it exists or has no parts. Raises `PartsError`."""
    if file.exists():
        return
    sets: dict[tuple[str, int], dict[int, Path]] = {}
    for part in file.parent.glob(f"{file.name}.*-of-*"):
        if (found := _NAME.fullmatch(part.name)) and found["name"] == file.name:
            sets.setdefault((found["digest"], int(found["count"])), {})[int(found["number"])] = part
    if len(sets) > 1:
        raise PartsError(f"{file.parent} holds parts of {len(sets)} versions of {file.name}")
    for (digest, count), parts in sets.items():
        _write_joined(file, parts, digest=digest, count=count)


def _write_joined(file: Path, parts: dict[int, Path], *, digest: str, count: int) -> None:
    missing = [number for number in range(1, count + 1) if number not in parts]
    if missing:
        raise PartsError(f"parts {missing} of {count} of {file.name} are missing in {file.parent}")
    content = b"".join(parts[number].read_bytes() for number in range(1, count + 1))
    if _digest(content) != digest:
        raise PartsError(f"the parts of {file.name} are damaged: the joined file does not have the digest {digest}")
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(file)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGEST_CHARACTERS]
