"""Run an edge under load, and draw its Grafana board and its page, so that a person can look at them.

    python -m tests.pictures --minutes 5 --output FOLDER

writes board.png, page-light.png, page-dark.png and page-phone.png. It needs Debian's `prometheus` and `chromium`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.demo.children import edge_server, free_port, origin_server
from service.demo.photographs import PhotoFolder, write_photographs
from tests.pictures import board_picture, page_pictures
from tests.pictures.load import Load
from tests.prometheus_server import Prometheus

TOKEN = "of this load"
SETTINGS = {
    "EDGE_ADMIN_TOKEN": TOKEN,
    "EDGE_HOT_BYTES": str(2**20),
}


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--output", type=Path, default=Path())
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    program = shutil.which("prometheus")
    if program is None:
        parser.error("no Prometheus on this machine")
    with tempfile.TemporaryDirectory() as scratch:
        room = Path(scratch)
        photos = write_photographs(room / "photographs")
        with (
            origin_server(photos.folder, log=room / "origin.log") as origin,
            edge_server(origin.url, log=room / "edge.log", port=free_port(), settings=SETTINGS) as edge,
            Prometheus(program, room, free_port()).scraping(edge.url) as prometheus,
            _under_load(edge.url, photos, seconds=60 * options.minutes) as load,
        ):
            began_s = time.time()
            load.join(60 * options.minutes)
            page_pictures.draw(edge.url, options.output)
            board_picture.draw(prometheus, options.output / "board.png", since_s=began_s)


@contextmanager
def _under_load(url: str, photos: PhotoFolder, *, seconds: float) -> Iterator[threading.Thread]:
    """Send requests during the block."""
    ending = threading.Event()
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        load = Load(client, photos, token=TOKEN, seconds=seconds)
        thread = threading.Thread(target=load.send, args=(ending,), daemon=True)
        thread.start()
        yield thread
        ending.set()
        thread.join()


if __name__ == "__main__":
    main()
