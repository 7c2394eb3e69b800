"""The pictures of every benchmark: those of the demonstration that are nearest to the size of pictures on the web."""

from pathlib import Path

from service.demo.photographs import write_photographs

COUNT = 12
# The size that the figures of thumbor and sharp behind the goals were measured with.
USUAL_BYTES = 131_000


def written(folder: Path) -> list[Path]:
    """The files, written anew; nothing else is in the folder."""
    whole = write_photographs(folder).folder
    files = sorted(whole.glob("*.jpg"), key=lambda file: abs(file.stat().st_size - USUAL_BYTES))
    for file in files[COUNT:]:
        file.unlink()
    return sorted(files[:COUNT])
