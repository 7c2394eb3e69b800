"""Write the archive of golden bitstreams. Its bytes depend on its content alone."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

_DATE = (2026, 11, 28, 0, 0, 0)


def write_archive(file: Path, entries: Iterable[tuple[str, bytes]]) -> None:
    """Write named entries, in their order, without compression and all with the same date."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, date_time=_DATE), content)
