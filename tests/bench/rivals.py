"""The edge beside those who do the same by other means: processor time of a request, of whole process families.

All serve the same photographs as JPEG of quality 85, in the two sizes, one worker each, asked in turns over one kept
connection each. The edge decodes every request (its second line: files in memory). thumbor, pyvips and Pillow start
from the source's JPEG file on disk, the AVIF rival from one AVIF of 344 px of the same score, nginx sends files that
were made before. What is not installed is reported as missing. Last line JSON.
"""

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

from service.demo.children import origin_server
from tests.bench import equal_files, photographs
from tests.bench.contest import SIZES, Result, contest
from tests.bench.edges import contestant, edge, record_bytes
from tests.bench.rival_servers import Folders, rivals

ROUNDS = 12
REQUESTS = 24
DECODED, FROM_MEMORY = "edge", "edge, from memory"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        folders = Folders(*(Path(scratch) / name for name in ("sources", "avif", "jpeg", "")))
        sources = photographs.written(folders.sources)
        files = equal_files.written(sources, avif=folders.avif, jpeg=folders.jpeg)
        result, missing, record = _measured(folders, [source.name for source in sources], rounds=rounds)
        source_bytes = fmean(source.stat().st_size for source in sources)
    _tell(result, missing)
    found = {
        "requests": result.rounds * REQUESTS,
        "source_bytes": source_bytes,
        "missing": missing,
        "bytes": asdict(files),
        "record_bytes": record,
        "cpu_ms": result.as_json(),
        "edge_over_rival": {
            name: {size: result.ratio(DECODED, name, size) for size in SIZES}
            for name in result.names
            if name not in {DECODED, FROM_MEMORY}
        },
    }
    print(json.dumps(found))


def _measured(folders: Folders, pictures: list[str], *, rounds: int) -> tuple[Result, dict[str, str], float]:
    with (
        origin_server(folders.sources, log=folders.scratch / "origin.log") as origin,
        edge(origin.url, pictures, scratch=folders.scratch) as decoding,
        edge(origin.url, pictures, scratch=folders.scratch, EDGE_HOT_BYTES=str(2**26)) as remembering,
        rivals(folders) as (present, missing),
    ):
        ours = [
            contestant(DECODED, decoding, detail="hit"),
            contestant(FROM_MEMORY, remembering, detail="detail=memory"),
        ]
        return contest([*ours, *present], pictures, rounds=rounds, requests=REQUESTS), missing, record_bytes(decoding)


def _tell(result: Result, missing: dict[str, str]) -> None:
    for name in result.names:
        for size in SIZES:
            ms = result.by_round[name, size]
            times = result.ratio(DECODED, name, size)
            spread = f"{min(ms):.2f} to {max(ms):.2f}"
            print(f"{name:18} {size}  {result.ms(name, size):6.2f} ms  ({spread}), the edge takes {times:.2f}x of it")
    for name, why in missing.items():
        print(f"{name:18} missing: {why}")


if __name__ == "__main__":
    main()
